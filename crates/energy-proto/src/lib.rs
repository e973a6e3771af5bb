//! What `energy-monitor` and its clients say to each other.
//!
//! [`pb`] holds the generated messages and stubs; everything else is the domain language that both
//! sides use, free of the wire: readings of sensors, in joules, watts and nanoseconds, where a
//! missing value is `None`.

mod clock;
mod convert;
pub mod duration_nanos;
mod reading;
mod units;

/// Messages and gRPC stubs generated from `proto/energy.proto`.
#[expect(
    missing_docs,
    clippy::all,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod pb {
    tonic::include_proto!("energy");
}

/// The contract as a `FileDescriptorSet`, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("energy");

pub use prost::Message;

pub use clock::{ClockAnchor, boot_id, monotonic_now, time_namespace};
pub use convert::MalformedReading;
pub use reading::{
    Description, GpuInfo, Reading, SensorInfo, SensorKind, SensorReading, SkippedSource, Status,
    SystemInfo, Throttle, UnknownSensorKind,
};
pub use units::{Joules, Nanos, Watts};

/// The version of the contract this crate speaks, as announced in the `listening` line and `Describe`.
pub const API: &str = "energy/1";

/// The value of `StreamRequest.client_api` that a client of this crate sends.
pub const CLIENT_API: u32 = 1;
