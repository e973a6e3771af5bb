//! Generates the server's side of `proto/energy.proto`'s service, with one difference to
//! energy-proto's: readings are sent as the bytes into which the sampler encoded them, once for all
//! subscribers.

use tonic_build::manual::{Builder, Method, MethodBuilder, Service};

const PROST: &str = "tonic_prost::ProstCodec";

fn method(name: &str, route: &str, input: &str, output: &str, codec: &str) -> MethodBuilder {
    Method::builder()
        .name(name)
        .route_name(route)
        .input_type(format!("energy_proto::pb::{input}"))
        .output_type(output)
        .codec_path(codec)
}

fn main() {
    let health =
        method("health", "Health", "HealthRequest", "energy_proto::pb::HealthResponse", PROST);
    let stream = method(
        "stream_telemetry",
        "StreamTelemetry",
        "StreamRequest",
        "bytes::Bytes",
        "crate::service::ReadingCodec",
    )
    .server_streaming();
    let describe = method(
        "describe",
        "Describe",
        "DescribeRequest",
        "energy_proto::pb::DescribeResponse",
        PROST,
    );
    let service = Service::builder()
        .name("EnergyMonitor")
        .package("energy")
        .method(health.build())
        .method(stream.build())
        .method(describe.build())
        .build();
    Builder::new().build_client(false).compile(&[service]);
    println!("cargo:rerun-if-changed=build.rs");
}
