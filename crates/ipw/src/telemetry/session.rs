//! A connection to a monitor that comes back when it drops, and a store of what it brought.
//!
//! Readings are put on this host's monotonic clock as they come: as they are if the monitor shares
//! it, else by the offset of the fastest of several round trips. What is missing stays missing.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use std::{fmt, io};

use async_trait::async_trait;
use energy_proto::pb::energy_monitor_client::EnergyMonitorClient;
use energy_proto::{
    API, CLIENT_API, Description, MalformedReading, Nanos, Reading, SensorInfo, SensorReading, pb,
};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use super::{Backoff, Timeline};

/// Round trips for one look at a foreign clock; the fastest counts.
const CLOCK_ROUND_TRIPS: usize = 16;
/// How often a foreign clock is looked at again.
const CLOCK_RENEWAL: Duration = Duration::from_secs(60);
/// How far two clocks may drift apart between two looks: 50 ppm, twice a usual crystal's tolerance.
const CLOCK_DRIFT: Duration = Duration::from_millis(3);
/// A stream that is silent for this long is given up, unless its interval is longer.
const STALL: Duration = Duration::from_secs(2);
/// The longest wait for a connection, and for an answer to `Describe`.
const ANSWER: Duration = Duration::from_secs(5);

/// Where a monitor listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A Unix socket.
    Socket(PathBuf),
    /// `http://host:port`
    Url(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

/// A way to the monitor, asked at the start and each time the connection is lost.
#[async_trait]
pub trait MonitorLink: Send {
    /// Where it listens now; starts it again first if it is ours and has died.
    async fn place(&mut self) -> Result<Place, SessionError>;
}

/// Why there is no telemetry.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No connection.
    #[error("can't reach the energy monitor at {place}: {reason}")]
    Unreachable {
        /// Where it should be.
        place: String,
        /// What went wrong.
        reason: String,
    },
    /// It is gone for good.
    #[error("the energy monitor keeps failing: {0}")]
    KeepsFailing(String),
    /// It answered with an error.
    #[error("the energy monitor answered: {0}")]
    Refused(String),
    /// It speaks another contract.
    #[error(
        "the energy monitor speaks `{0}`, this ipw speaks `{API}`: use the energy-monitor of the same version"
    )]
    OtherApi(String),
    /// It sent nonsense.
    #[error("the energy monitor sent a malformed answer: {0}")]
    Malformed(#[from] MalformedReading),
}

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

#[derive(Debug, Default)]
struct Shared {
    timeline: RwLock<Timeline>,
    stats: Mutex<SessionStats>,
}

impl Shared {
    fn count(&self, change: impl FnOnce(&mut SessionStats)) {
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
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
        let mut client = connect(link.as_mut()).await?;
        let description = describe(&mut client).await?;
        let shared = Arc::new(Shared::default());
        let clock = Clock::align(&mut client, &description).await?;
        shared.count(|stats| stats.clock_uncertainty = clock.uncertainty);
        let stop = CancellationToken::new();
        let receiver = Receiver {
            shared: Arc::clone(&shared),
            known: description.sensors.clone(),
            sink,
            clock,
            ids: HashMap::new(),
            stall: STALL.max(description.interval * 5),
        };
        let task = tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            receiver.run(link, client).await;
        }));
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

    /// How it has gone so far.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        *self.shared.stats.lock().unwrap_or_else(PoisonError::into_inner)
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

async fn connect(link: &mut dyn MonitorLink) -> Result<EnergyMonitorClient<Channel>, SessionError> {
    let place = link.place().await?;
    let connected = match &place {
        Place::Socket(path) => connect_socket(path.clone()).await,
        Place::Url(url) => connect_url(url.clone()).await,
    };
    let channel = connected.map_err(|error| SessionError::Unreachable {
        place: place.to_string(),
        reason: deepest(&error),
    })?;
    Ok(EnergyMonitorClient::new(channel))
}

async fn connect_url(url: String) -> Result<Channel, tonic::transport::Error> {
    Endpoint::from_shared(url)?.connect_timeout(ANSWER).tcp_nodelay(true).connect().await
}

async fn connect_socket(path: PathBuf) -> Result<Channel, tonic::transport::Error> {
    let connector = tower::service_fn(move |_: tonic::transport::Uri| {
        let path = path.clone();
        async move { Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
    });
    // The URI is not used: the connector knows the socket.
    Endpoint::from_static("http://monitor.invalid")
        .connect_timeout(ANSWER)
        .connect_with_connector(connector)
        .await
}

/// The innermost cause: tonic's outer text is "transport error".
fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

async fn describe(client: &mut EnergyMonitorClient<Channel>) -> Result<Description, SessionError> {
    let answer = tokio::time::timeout(ANSWER, client.describe(pb::DescribeRequest {}))
        .await
        .map_err(|_| SessionError::Refused(format!("nothing within {} s", ANSWER.as_secs())))?
        .map_err(|status| match status.code() {
            tonic::Code::Unimplemented => {
                SessionError::OtherApi("the original contract, without Describe".to_owned())
            }
            _ => SessionError::Refused(status.message().to_owned()),
        })?;
    let description = Description::try_from(answer.into_inner())?;
    if description.api != API {
        return Err(SessionError::OtherApi(description.api));
    }
    Ok(description)
}

/// What is known of the monitor's clock against ours.
#[derive(Debug, Clone, Copy)]
struct Clock {
    /// Monitor's minus ours, in nanoseconds.
    offset: i128,
    uncertainty: Duration,
    foreign: bool,
}

impl Clock {
    async fn align(
        client: &mut EnergyMonitorClient<Channel>,
        description: &Description,
    ) -> Result<Self, SessionError> {
        let same_boot = description.boot_id.is_some()
            && description.boot_id == energy_proto::boot_id()
            && description.time_namespace == energy_proto::time_namespace();
        if same_boot {
            return Ok(Self { offset: 0, uncertainty: Duration::ZERO, foreign: false });
        }
        let mut best: Option<(Duration, i128)> = None;
        for _ in 0..CLOCK_ROUND_TRIPS {
            let sent = energy_proto::monotonic_now();
            let theirs = describe(client).await?.anchor.monotonic;
            let received = energy_proto::monotonic_now();
            let round_trip = received.since(sent);
            if best.is_none_or(|(fastest, _)| round_trip < fastest) {
                let ours = sent.midpoint(received);
                best = Some((round_trip, i128::from(theirs.0) - i128::from(ours.0)));
            }
        }
        let (round_trip, offset) = best.unwrap_or_default();
        Ok(Self { offset, uncertainty: round_trip / 2 + CLOCK_DRIFT, foreign: true })
    }

    /// A time of the monitor's clock on ours.
    fn ours(&self, theirs: Nanos) -> Nanos {
        let ours = i128::from(theirs.0) - self.offset;
        Nanos(u64::try_from(ours.max(0)).unwrap_or(u64::MAX))
    }
}

/// The receiving end: one task, which owns everything it changes but the shared store.
struct Receiver {
    shared: Arc<Shared>,
    known: Vec<SensorInfo>,
    sink: mpsc::Sender<Reading>,
    clock: Clock,
    /// The present monitor's sensor id to the one that the run knows, where they differ.
    ids: HashMap<u32, Option<u32>>,
    stall: Duration,
}

impl Receiver {
    /// Receives until it is dropped, or the monitor is gone for good.
    async fn run(mut self, mut link: Box<dyn MonitorLink>, client: EnergyMonitorClient<Channel>) {
        let mut client = client;
        loop {
            match self.receive(&mut client).await {
                Ok(()) => tracing::warn!("the energy monitor ended its stream"),
                Err(reason) => tracing::warn!("the energy monitor's stream broke: {reason}"),
            }
            client = match self.reconnect(link.as_mut()).await {
                Ok(client) => client,
                Err(error) => {
                    tracing::error!("{error}");
                    return;
                }
            };
            self.shared.count(|stats| stats.reconnects += 1);
        }
    }

    async fn reconnect(
        &mut self,
        link: &mut dyn MonitorLink,
    ) -> Result<EnergyMonitorClient<Channel>, SessionError> {
        let mut delays = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        loop {
            match self.try_reconnect(link).await {
                Err(error @ (SessionError::KeepsFailing(_) | SessionError::OtherApi(_))) => {
                    return Err(error);
                }
                Err(error) => tracing::debug!("{error}"),
                Ok(client) => return Ok(client),
            }
            let delay = delays.next().unwrap_or(Duration::from_secs(2));
            tokio::time::sleep(delay).await;
        }
    }

    async fn try_reconnect(
        &mut self,
        link: &mut dyn MonitorLink,
    ) -> Result<EnergyMonitorClient<Channel>, SessionError> {
        let mut client = connect(link).await?;
        let description = describe(&mut client).await?;
        self.clock = Clock::align(&mut client, &description).await?;
        self.note_uncertainty();
        self.ids = renumbering(&self.known, &description.sensors);
        Ok(client)
    }

    fn note_uncertainty(&self) {
        let now = self.clock.uncertainty;
        self.shared.count(|stats| stats.clock_uncertainty = stats.clock_uncertainty.max(now));
    }

    async fn receive(&mut self, client: &mut EnergyMonitorClient<Channel>) -> Result<(), String> {
        let request = pb::StreamRequest { client_api: CLIENT_API, ..Default::default() };
        let mut stream = client
            .stream_telemetry(request)
            .await
            .map_err(|status| status.message().to_owned())?
            .into_inner();
        let mut renewal = tokio::time::interval(CLOCK_RENEWAL);
        renewal.reset();
        let mut dropped = 0;
        loop {
            tokio::select! {
                message = tokio::time::timeout(self.stall, stream.message()) => {
                    let Ok(message) = message else {
                        return Err(format!("nothing for {:.1} s", self.stall.as_secs_f64()));
                    };
                    let Some(wire) = message.map_err(|status| status.message().to_owned())? else {
                        return Ok(());
                    };
                    let reading = Reading::try_from(wire).map_err(|error| error.to_string())?;
                    let lost = reading.dropped.saturating_sub(dropped);
                    dropped = reading.dropped;
                    self.keep(reading, lost);
                }
                _ = renewal.tick(), if self.clock.foreign => {
                    let description = describe(client).await.map_err(|error| error.to_string())?;
                    self.clock = Clock::align(client, &description)
                        .await
                        .map_err(|error| error.to_string())?;
                    self.note_uncertainty();
                }
            }
        }
    }

    fn keep(&self, mut reading: Reading, lost: u64) {
        reading.at = self.clock.ours(reading.at);
        reading.sensors.retain_mut(|read| self.place(read));
        // To the sink first: what the timeline shows can always be written down.
        let unsaved = u64::from(self.sink.try_send(reading.clone()).is_err());
        self.shared.timeline.write().unwrap_or_else(PoisonError::into_inner).push(&reading);
        self.shared.count(|stats| {
            stats.readings += 1;
            stats.dropped += lost + unsaved;
        });
    }

    /// Puts a read on our clock and under the id the run knows; false for a sensor that it doesn't.
    fn place(&self, read: &mut SensorReading) -> bool {
        match self.ids.get(&read.sensor) {
            Some(Some(known)) => read.sensor = *known,
            Some(None) => return false,
            None => {}
        }
        read.read_start = self.clock.ours(read.read_start);
        read.read_end = self.clock.ours(read.read_end);
        read.changed_after = read.changed_after.map(|at| self.clock.ours(at));
        read.changed_before = read.changed_before.map(|at| self.clock.ours(at));
        true
    }
}

/// From a new monitor's ids to those that the run knows, by what a sensor is; `None` for a new one.
fn renumbering(known: &[SensorInfo], present: &[SensorInfo]) -> HashMap<u32, Option<u32>> {
    present
        .iter()
        .map(|sensor| {
            let same = known.iter().find(|old| {
                (old.kind, &old.uuid, &old.source) == (sensor.kind, &sensor.uuid, &sensor.source)
            });
            (sensor.id, same.map(|old| old.id))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use energy_proto::SensorKind;

    fn sensor(id: u32, uuid: &str) -> SensorInfo {
        SensorInfo { uuid: uuid.into(), ..SensorInfo::new(id, SensorKind::Gpu, "nvml") }
    }

    #[test]
    fn a_restarted_monitor_that_numbers_differently_is_translated() {
        let known = [sensor(0, "a"), sensor(1, "b")];
        let present = [sensor(0, "b"), sensor(1, "new"), sensor(2, "a")];
        let ids = renumbering(&known, &present);
        assert_eq!(ids[&0], Some(1));
        assert_eq!(ids[&1], None);
        assert_eq!(ids[&2], Some(0));
    }

    #[test]
    fn a_foreign_time_is_moved_by_the_offset() {
        let clock = Clock { offset: 500, uncertainty: Duration::ZERO, foreign: true };
        assert_eq!(clock.ours(Nanos(800)), Nanos(300));
        assert_eq!(clock.ours(Nanos(100)), Nanos(0), "before our boot: clamped");
    }
}
