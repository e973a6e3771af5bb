//! gRPC: Health, StreamTelemetry, Describe, the standard `grpc.health.v1`, and reflection. With its
//! submodules the only file here that speaks tonic.

mod codec;
pub mod secure;
mod subscription;
mod unix;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use energy_proto::{ClockAnchor, Description, FILE_DESCRIPTOR_SET, monotonic_now, pb};
use tokio::time::sleep;
use tokio_stream::Stream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::hub::Hub;
use crate::listen::Listener;
use crate::sampler::{Sensors, stale_after};
use crate::tls::Tls;
use crate::token::Access;
pub use codec::ReadingCodec;
use generated::energy_monitor_server::{EnergyMonitor, EnergyMonitorServer};
use secure::Guard;
use subscription::{Identity, Order, Subscription};

#[expect(
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
mod generated {
    tonic::include_proto!("energy.EnergyMonitor");
}

/// Streams at a time: of all subscribers, and of one connection.
const MOST_SUBSCRIBERS: u64 = 1_000;
const MOST_STREAMS: u32 = 100;
/// A connection that is silent for so long is asked for a sign of life, and has as long to give it.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// How often the standard health service is told, and how often while the answer is no: whoever waits
/// for the first reading should not wait for the answer, too.
const HEALTH_PERIOD: Duration = Duration::from_secs(1);
const ILL_HEALTH_PERIOD: Duration = Duration::from_millis(20);

/// What subscribers may ask of this monitor.
#[derive(Debug, Clone)]
pub struct Monitor {
    hub: Hub,
    description: Description,
    sensors: Sensors,
}

impl Monitor {
    /// A monitor that streams from `hub` and describes itself so, with the sensors as they are known
    /// at the time of the question.
    #[must_use]
    pub fn new(hub: Hub, description: Description, sensors: Sensors) -> Self {
        Self { hub, description, sensors }
    }

    fn is_sampling(&self) -> bool {
        self.hub.is_sampling(monotonic_now(), stale_after(self.description.interval))
    }
}

/// Serves until `stop` is ready and every stream has ended.
///
/// # Errors
/// If the server fails.
pub async fn serve(
    listener: Listener,
    monitor: Monitor,
    access: Arc<Access>,
    tls: Option<&Tls>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let reporting = tokio::spawn(report_health(reporter, monitor.clone()));
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let mut server = Server::builder()
        .max_concurrent_streams(MOST_STREAMS)
        // A subscriber whose host is gone is found out.
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE));
    if let Some(tls) = tls {
        server = server.tls_config(secure::tls_config(tls))?;
    }
    // Health stays open: it tells nothing of the sensors.
    let guard = Guard::new(access);
    let router = server
        .add_service(health)
        .add_service(InterceptedService::new(reflection().build_v1()?, guard.clone()))
        // What tools of before 2023 ask for.
        .add_service(InterceptedService::new(reflection().build_v1alpha()?, guard.clone()))
        .add_service(EnergyMonitorServer::with_interceptor(monitor, guard));
    match listener {
        Listener::Tcp(listener) => {
            // A reading is far smaller than a segment: waiting for more only delays it.
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            router.serve_with_incoming_shutdown(incoming, stop).await?;
        }
        Listener::Unix(listener, _file) => {
            router.serve_with_incoming_shutdown(unix::incoming(listener), stop).await?;
        }
    }
    reporting.abort();
    Ok(())
}

/// Tells `grpc.health.v1` whether the monitor samples.
async fn report_health(reporter: HealthReporter, monitor: Monitor) {
    loop {
        let (status, next) = if monitor.is_sampling() {
            (ServingStatus::Serving, HEALTH_PERIOD)
        } else {
            (ServingStatus::NotServing, ILL_HEALTH_PERIOD)
        };
        reporter.set_service_status("", status).await;
        reporter.set_service_status("energy.EnergyMonitor", status).await;
        sleep(next).await;
    }
}

#[tonic::async_trait]
impl EnergyMonitor for Monitor {
    type StreamTelemetryStream = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

    async fn health(
        &self,
        _request: Request<pb::HealthRequest>,
    ) -> Result<Response<pb::HealthResponse>, Status> {
        Ok(Response::new(pb::HealthResponse {
            healthy: self.is_sampling(),
            platform: self.description.platform.clone(),
        }))
    }

    async fn stream_telemetry(
        &self,
        request: Request<pb::StreamRequest>,
    ) -> Result<Response<Self::StreamTelemetryStream>, Status> {
        let order = Order::check(&request.into_inner(), self.description.interval)
            .map_err(Status::invalid_argument)?;
        if self.hub.subscribers() >= MOST_SUBSCRIBERS {
            return Err(Status::resource_exhausted(format!(
                "this monitor serves at most {MOST_SUBSCRIBERS} streams at a time"
            )));
        }
        let subscriber =
            self.hub.subscribe().ok_or_else(|| Status::unavailable("the monitor is stopping"))?;
        let identity = Identity::of(&self.description);
        let subscription = Subscription::new(subscriber, order, identity);
        Ok(Response::new(Box::pin(subscription.into_stream())))
    }

    async fn describe(
        &self,
        _request: Request<pb::DescribeRequest>,
    ) -> Result<Response<pb::DescribeResponse>, Status> {
        let now = Description {
            anchor: ClockAnchor::now(),
            sensors: self.sensors.now(),
            missed_ticks: self.sensors.missed_ticks(),
            ..self.description.clone()
        };
        Ok(Response::new(now.into()))
    }
}
