//! Connections to one monitor or several that come back when they drop, and a store of what they
//! brought.
//!
//! Readings are on this host's monotonic clock, and each sensor has one id in the run, whichever
//! monitor it is of. What is missing stays missing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use energy_proto::{Description, Nanos, Reading, SensorInfo, SensorReading};
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::Timeline;

mod clock;
mod error;
mod link;
mod nodes;
mod receiver;
mod sensors;

pub use error::SessionError;
pub use link::{MonitorLink, Place, exposes_token};

use link::{Client, describe};
use nodes::Told;
use receiver::{Receiver, introduce};
use sensors::learn;

/// A reading as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// The host whose monitor sent it.
    pub host: Arc<str>,
    /// What it says, on our clock and under the ids of the run.
    pub reading: Reading,
}

/// How the telemetry has gone so far, over all monitors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionStats {
    /// Readings received.
    pub readings: u64,
    /// Times a stream was lost and came back.
    pub reconnects: u64,
    /// Readings a monitor dropped because we were slow, and those we could not keep.
    pub dropped: u64,
    /// Half-width of what isn't known about a monitor's clock, the most of all so far.
    pub clock_uncertainty: Duration,
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the receiving tasks fill together and the session shows.
#[derive(Debug, Default)]
struct Shared {
    timeline: RwLock<Timeline>,
    stats: Mutex<SessionStats>,
    /// A reading has come.
    arrived: Notify,
}

impl Shared {
    fn count(&self, change: impl FnOnce(&mut SessionStats)) {
        change(&mut held(&self.stats));
    }

    fn push(&self, reading: &Reading) {
        self.timeline.write().unwrap_or_else(PoisonError::into_inner).push(reading);
        self.arrived.notify_waiters();
    }
}

/// One monitor, as far as the session asks it.
#[derive(Debug)]
struct Node {
    place: String,
    host: Arc<str>,
    /// Under the ids of the run.
    sensors: Mutex<Vec<SensorInfo>>,
    /// The present connection.
    client: Mutex<Client>,
}

impl Node {
    fn new(place: String, host: &str, sensors: Vec<SensorInfo>, client: Client) -> Self {
        let (sensors, client) = (Mutex::new(sensors), Mutex::new(client));
        Self { place, host: Arc::from(host), sensors, client }
    }

    fn learn(&self, told: &[SensorInfo]) {
        learn(&mut held(&self.sensors), told);
    }

    fn sensors(&self) -> Vec<SensorInfo> {
        held(&self.sensors).clone()
    }

    fn connected(&self, client: Client) {
        *held(&self.client) = client;
    }

    fn client(&self) -> Client {
        held(&self.client).clone()
    }

    /// Asks the monitor what it has found out about its sensors by now.
    async fn ask(self: Arc<Self>) {
        match describe(&mut self.client()).await {
            Ok(Some(told)) => self.learn(&told.sensors),
            // An original monitor finds nothing out.
            Ok(None) => {}
            Err(error) => tracing::debug!("{}: {error}", self.place),
        }
    }
}

/// Running connections to all monitors of a run.
#[derive(Debug)]
pub struct TelemetrySession {
    shared: Arc<Shared>,
    nodes: Vec<Arc<Node>>,
    tasks: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

impl TelemetrySession {
    /// Connects to each monitor, asks what it measures, and starts to keep readings. Each is also handed
    /// to `sink`; one that finds it full is counted as dropped. What comes back describes all monitors as
    /// one.
    ///
    /// # Errors
    /// When a monitor can't be reached, speaks another contract, answers with nonsense, or shows a device
    /// that another one shows, too.
    pub async fn open(
        links: Vec<Box<dyn MonitorLink>>,
        sink: mpsc::Sender<Received>,
    ) -> Result<(Self, Description), SessionError> {
        let several = links.len() > 1;
        let mut monitors = Vec::with_capacity(links.len());
        for mut link in links {
            let place = link.place().await?;
            let introduced = introduce(&place).await;
            let named =
                |error: SessionError| if several { error.at(place.to_string()) } else { error };
            monitors.push((link, introduced.map_err(named)?));
        }
        let told: Vec<&Told> = monitors.iter().map(|(_, introduced)| &introduced.told).collect();
        let shares = nodes::share_out(&told)?;
        let description = nodes::description(&told, &shares).ok_or(SessionError::Unnamed)?;

        let (shared, stop) = (Arc::new(Shared::default()), CancellationToken::new());
        let (mut nodes, mut tasks) = (Vec::new(), Vec::new());
        for ((link, introduced), share) in monitors.into_iter().zip(shares) {
            let receiver = Receiver::new(introduced, share, &shared, sink.clone());
            nodes.push(Arc::clone(receiver.node()));
            tasks.push(watched(stop.clone().run_until_cancelled_owned(receiver.run(link))));
        }
        Ok((Self { shared, nodes, tasks, stop }, description))
    }

    /// Exactly the reads that ended inside `[start, end]`, at once.
    #[must_use]
    pub fn get_window(&self, start: Nanos, end: Nanos) -> Vec<SensorReading> {
        self.with_timeline(|timeline| timeline.get_window(start, end))
    }

    /// Waits until what has come is enough, e.g. to bracket a window; it is looked at with each reading.
    /// If the monitor is gone it may never be: bound the wait.
    pub async fn cover(&self, enough: impl Fn(&Timeline) -> bool) {
        loop {
            // Before looking, so that no reading is missed in between.
            let arrived = self.shared.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            if self.with_timeline(&enough) {
                return;
            }
            arrived.await;
        }
    }

    /// Looks at the readings; they can't change meanwhile.
    pub fn with_timeline<T>(&self, look: impl FnOnce(&Timeline) -> T) -> T {
        look(&self.shared.timeline.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Drops readings that nothing will ask for again.
    pub fn forget_before(&self, time: Nanos) {
        self.shared.timeline.write().unwrap_or_else(PoisonError::into_inner).forget_before(time);
    }

    /// The sensors under the ids of the run, with what the monitors have found out about them by now.
    /// Of a monitor that doesn't answer, with what is known already.
    pub async fn sensors(&self) -> Vec<SensorInfo> {
        // At once, so that several that don't answer cost no more time than one.
        let mut asked: JoinSet<()> = self.nodes.iter().map(|node| Arc::clone(node).ask()).collect();
        while asked.join_next().await.is_some() {}
        self.nodes.iter().flat_map(|node| node.sensors()).collect()
    }

    /// How it has gone so far.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        *held(&self.shared.stats)
    }

    /// Ends the connections. Readings that came stay where the sink took them.
    pub async fn close(mut self) {
        self.stop.cancel();
        for task in &mut self.tasks {
            // It only reports how its receiver ended.
            let _ = task.await;
        }
    }
}

/// Starts a receiver, and says so if it fails.
fn watched(receiver: impl Future<Output = Option<()>> + Send + 'static) -> JoinHandle<()> {
    let receiver = tokio::spawn(receiver);
    tokio::spawn(async move {
        if let Err(failed) = receiver.await {
            tracing::error!("the telemetry task failed: {failed}");
        }
    })
}

impl Drop for TelemetrySession {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
