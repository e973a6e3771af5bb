//! The log: on standard error, at `info` unless `RUST_LOG` says otherwise.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// Starts the log of this process. A log that was started before stays.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // An error means that there is a log already, as when several tests share a process.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
