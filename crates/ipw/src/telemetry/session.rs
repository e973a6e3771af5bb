//! A connection to a monitor that comes back when it drops, and a store of what it brought.
//!
//! Readings are on this host's monotonic clock. What is missing stays missing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use energy_proto::{Description, Nanos, Reading, SensorInfo, SensorReading};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Timeline;

mod clock;
mod error;
mod link;
mod receiver;
mod sensors;

pub use error::SessionError;
pub use link::{MonitorLink, Place, exposes_token};

use link::{Client, connect, describe};
use receiver::Receiver;
use sensors::learn;

/// How the telemetry has gone so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionStats {
    /// Readings received.
    pub readings: u64,
    /// Times the stream was lost and came back.
    pub reconnects: u64,
    /// Readings the monitor dropped because we were slow, and those we could not keep.
    pub dropped: u64,
    /// Half-width of what isn't known about the monitor's clock, the most so far.
    pub clock_uncertainty: Duration,
}

/// What the receiving task fills and the session shows.
#[derive(Debug, Default)]
struct Shared {
    timeline: RwLock<Timeline>,
    stats: Mutex<SessionStats>,
    sensors: Mutex<Vec<SensorInfo>>,
    /// The present connection.
    client: Mutex<Option<Client>>,
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn count(&self, change: impl FnOnce(&mut SessionStats)) {
        change(&mut held(&self.stats));
    }

    fn push(&self, reading: &Reading) {
        self.timeline.write().unwrap_or_else(PoisonError::into_inner).push(reading);
    }

    fn know(&self, sensors: Vec<SensorInfo>) {
        *held(&self.sensors) = sensors;
    }

    fn learn(&self, told: &[SensorInfo]) {
        learn(&mut held(&self.sensors), told);
    }

    fn sensors(&self) -> Vec<SensorInfo> {
        held(&self.sensors).clone()
    }

    fn connected(&self, client: Client) {
        *held(&self.client) = Some(client);
    }

    fn client(&self) -> Option<Client> {
        held(&self.client).clone()
    }
}

/// A running connection to a monitor.
#[derive(Debug)]
pub struct TelemetrySession {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl TelemetrySession {
    /// Connects, asks what is measured, and starts to keep readings. Each is also handed to `sink`;
    /// one that finds it full is counted as dropped.
    ///
    /// # Errors
    /// When the monitor can't be reached, speaks another contract, or answers with nonsense.
    pub async fn open(
        mut link: Box<dyn MonitorLink>,
        sink: mpsc::Sender<Reading>,
    ) -> Result<(Self, Description), SessionError> {
        let client = connect(link.as_mut()).await?;
        let shared = Arc::new(Shared::default());
        let (receiver, description) = Receiver::open(client, &shared, sink).await?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(stop.clone().run_until_cancelled_owned(receiver.run(link)));
        let task = tokio::spawn(async move {
            if let Err(failed) = task.await {
                tracing::error!("the telemetry task failed: {failed}");
            }
        });
        Ok((Self { shared, task, stop }, description))
    }

    /// Exactly the reads that ended inside `[start, end]`, at once.
    #[must_use]
    pub fn get_window(&self, start: Nanos, end: Nanos) -> Vec<SensorReading> {
        self.with_timeline(|timeline| timeline.get_window(start, end))
    }

    /// Looks at the readings; they can't change meanwhile.
    pub fn with_timeline<T>(&self, look: impl FnOnce(&Timeline) -> T) -> T {
        look(&self.shared.timeline.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Drops readings that nothing will ask for again.
    pub fn forget_before(&self, time: Nanos) {
        self.shared.timeline.write().unwrap_or_else(PoisonError::into_inner).forget_before(time);
    }

    /// The sensors under the ids of the run, with what the monitor has found out about them by now.
    /// If it doesn't answer, with what is known already.
    pub async fn sensors(&self) -> Vec<SensorInfo> {
        if let Some(mut client) = self.shared.client() {
            match describe(&mut client).await {
                Ok(Some(told)) => self.shared.learn(&told.sensors),
                // An original monitor finds nothing out.
                Ok(None) => {}
                Err(error) => tracing::debug!("{error}"),
            }
        }
        self.shared.sensors()
    }

    /// How it has gone so far.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        *held(&self.shared.stats)
    }

    /// Ends the connection. Readings that came stay where the sink took them.
    pub async fn close(mut self) {
        self.stop.cancel();
        // The task only reports how the receiver ended.
        let _ = (&mut self.task).await;
    }
}

impl Drop for TelemetrySession {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
