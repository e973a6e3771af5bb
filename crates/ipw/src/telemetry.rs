//! Telemetry as `ipw` sees it: connections to monitors that come back when they drop, and the readings
//! they brought, by time.

mod backoff;
pub mod original;
mod session;
mod timeline;

pub use backoff::Backoff;
pub use session::{
    MonitorLink, Place, Received, SessionError, SessionStats, TelemetrySession, exposes_token,
};
pub use timeline::Timeline;
