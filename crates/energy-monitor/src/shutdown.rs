//! When to stop: at SIGINT, at SIGTERM, or when the parent has closed our standard input.

use std::fmt;
use std::io::{self, Read};
use std::thread;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Why the monitor stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// SIGINT.
    Interrupted,
    /// SIGTERM.
    Terminated,
    /// Standard input has closed.
    ParentGone,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupted => "interrupted",
            Self::Terminated => "asked to terminate",
            Self::ParentGone => "standard input has closed",
        })
    }
}

/// Listens for orders to stop, from its creation on.
#[derive(Debug)]
pub struct Shutdown {
    interrupt: Signal,
    terminate: Signal,
    parent: Option<oneshot::Receiver<()>>,
}

impl Shutdown {
    /// Starts to listen; with `exit_with_parent` for the end of standard input too.
    ///
    /// # Errors
    /// If a signal can't be caught or the thread that waits for the parent can't be started.
    pub fn listen(exit_with_parent: bool) -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            parent: if exit_with_parent { Some(watch_parent()?) } else { None },
        })
    }

    /// Waits for the first order to stop.
    pub async fn requested(&mut self) -> Reason {
        let parent = async {
            match &mut self.parent {
                // An error means that the watching thread is gone: no parent to be seen either.
                Some(gone) => gone.await.unwrap_or(()),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Reason::Interrupted,
            _ = self.terminate.recv() => Reason::Terminated,
            () = parent => Reason::ParentGone,
        }
    }
}

/// Reads standard input to its end on a thread of its own: it blocks, and can't be waited for.
fn watch_parent() -> io::Result<oneshot::Receiver<()>> {
    let (gone, parent) = oneshot::channel();
    thread::Builder::new().name("parent".to_owned()).spawn(move || {
        let mut ignored = [0; 64];
        let mut input = io::stdin().lock();
        while input.read(&mut ignored).is_ok_and(|length| length > 0) {}
        // An error means that the monitor stops for another reason.
        let _ = gone.send(());
    })?;
    Ok(parent)
}
