//! Telemetry as `ipw` sees it: a connection to a monitor that comes back when it drops, and the
//! readings it brought, by time.

mod backoff;
mod clock;
mod error;
mod link;
pub mod original;
mod receiver;
mod sensors;
mod session;
mod timeline;

pub use backoff::Backoff;
pub use error::SessionError;
pub use link::{MonitorLink, Place, exposes_token};
pub use session::{SessionStats, TelemetrySession};
pub use timeline::Timeline;
