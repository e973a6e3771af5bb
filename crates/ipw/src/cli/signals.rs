//! Ctrl-C and its like: an orderly end first, leaving at once when asked again.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;
use crate::ui;

/// The first SIGINT or SIGTERM cancels the token that is returned, the second leaves at once.
///
/// # Errors
/// Signals can't be watched.
pub(super) fn watch_signals() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stopping = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if stopping.is_cancelled() {
                std::process::exit(Exit::Interrupted as i32);
            }
            ui::note("stopping: saving what is done (again to leave at once)");
            stopping.cancel();
        }
    });
    Ok(stop)
}
