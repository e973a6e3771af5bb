//! Telemetry as `ipw` sees it: a connection to a monitor that comes back when it drops, and the
//! readings it brought, by time.

mod backoff;
pub mod original;
mod session;
mod timeline;

pub use backoff::Backoff;
pub use session::{
    MonitorLink, Place, SessionError, SessionStats, TelemetrySession, exposes_token,
};
pub use timeline::Timeline;
