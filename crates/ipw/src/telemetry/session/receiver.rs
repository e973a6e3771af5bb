//! The receiving end of one monitor of a session: one task that owns the stream, brings it back when it
//! drops, and puts each reading on this host's monotonic clock and under the ids that the run knows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use energy_proto::{CLIENT_API, Nanos, Reading, monotonic_now, pb};
use tokio::sync::mpsc;
use tonic::Streaming;

use super::clock::{Clock, RENEWAL};
use super::link::{Client, Place, answer, connect, describe};
use super::nodes::{Share, Told};
use super::sensors::renumbering;
use super::{MonitorLink, Node, Received, SessionError, Shared};
use crate::telemetry::Backoff;
use crate::telemetry::original::{self, Original};

/// A stream that is silent for this long is given up, unless its interval is longer.
const STALL: Duration = Duration::from_secs(2);
/// A monitor that is silent for so much longer hangs.
const HUNG: Duration = Duration::from_secs(5);
/// Messages of an original monitor by which it is judged.
const FIRST_MESSAGES: usize = 12;
/// How long they are waited for once there are two of them, and until there are.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const FIRST_PATIENCE: Duration = Duration::from_secs(10);
/// Round trips to an original monitor; the fastest counts.
const ROUND_TRIPS: usize = 4;
/// Nobody waits for a reading before a query's end, and several at once cost one wake-up of either
/// program: at 1 ms, where each reading alone would take 5 % of a core.
const MAX_DELAY_MS: u32 = 20;

/// How a monitor's messages become readings.
#[derive(Debug)]
enum Contract {
    /// Ours.
    Energy1(Clock),
    /// The original's.
    Original(Box<Original>),
}

/// A monitor that has said what it is.
pub(super) struct Introduced {
    client: Client,
    contract: Contract,
    pub(super) told: Told,
}

/// Connects to a monitor, and asks it what it is.
pub(super) async fn introduce(place: &Place) -> Result<Introduced, SessionError> {
    let mut client = connect(place).await?;
    let (contract, description) = match describe(&mut client).await? {
        Some(description) => {
            let clock = Clock::align(&mut client, &description).await?;
            (Contract::Energy1(clock), description)
        }
        None => {
            let round_trip = health_round_trip(&mut client).await?;
            let first = first_messages(&mut client).await?;
            let description = original::description(&first)
                .ok_or_else(|| SessionError::Refused("it streams nothing".to_owned()))?;
            let original = Box::new(Original::new(&description, round_trip));
            (Contract::Original(original), description)
        }
    };
    Ok(Introduced { client, contract, told: Told { place: place.to_string(), description } })
}

/// The fastest round trip to a monitor of whatever contract.
async fn health_round_trip(client: &mut Client) -> Result<Duration, SessionError> {
    let mut fastest = Duration::MAX;
    for _ in 0..ROUND_TRIPS {
        let sent = Instant::now();
        answer(client.health(pb::HealthRequest {})).await.map_err(no_monitor)?;
        fastest = fastest.min(sent.elapsed());
    }
    Ok(fastest)
}

fn no_monitor(status: tonic::Status) -> SessionError {
    match status.code() {
        tonic::Code::Unimplemented => SessionError::NoMonitor(status.message().to_owned()),
        _ => status.into(),
    }
}

async fn subscribe(client: &mut Client) -> Result<Streaming<pb::TelemetryReading>, SessionError> {
    let request = pb::StreamRequest {
        client_api: CLIENT_API,
        max_delay_ms: MAX_DELAY_MS,
        ..Default::default()
    };
    answer(client.stream_telemetry(request)).await.map_err(no_monitor)
}

/// The first messages of an original monitor: at least two, so that its interval is known.
async fn first_messages(client: &mut Client) -> Result<Vec<pb::TelemetryReading>, SessionError> {
    let mut stream = subscribe(client).await?;
    let mut messages: Vec<pb::TelemetryReading> = Vec::new();
    let begun = Instant::now();
    while messages.len() < FIRST_MESSAGES {
        let wait = if messages.len() < 2 { FIRST_PATIENCE } else { FIRST_WAIT };
        let left = wait.saturating_sub(begun.elapsed());
        let Ok(message) = tokio::time::timeout(left, stream.message()).await else { break };
        let Some(message) = message? else { break };
        // It sends its last reading again until it has another.
        if messages.last().is_none_or(|last| last.timestamp_nanos != message.timestamp_nanos) {
            messages.push(message);
        }
    }
    if messages.len() < 2 {
        return Err(SessionError::Refused(format!(
            "it is an original monitor, and sent {} readings within {} s: too few to measure a \
             query by",
            messages.len(),
            FIRST_PATIENCE.as_secs()
        )));
    }
    Ok(messages)
}

/// What a stream is waited for.
#[derive(Debug, PartialEq)]
enum Next<T> {
    Message(T),
    Renewal,
    Silence,
}

/// The next thing that happens to a stream. `patience` is the caller's, from the last message on: a
/// renewal is no sign of life, and may come more often than messages.
async fn next<T>(
    message: impl Future<Output = T>,
    patience: tokio::time::Instant,
    renewal: &mut tokio::time::Interval,
) -> Next<T> {
    tokio::select! {
        message = tokio::time::timeout_at(patience, message) => {
            message.map_or(Next::Silence, Next::Message)
        }
        _ = renewal.tick() => Next::Renewal,
    }
}

/// The receiving end: one task, which owns everything it changes but the shared store.
pub(super) struct Receiver {
    shared: Arc<Shared>,
    node: Arc<Node>,
    sink: mpsc::Sender<Received>,
    contract: Contract,
    /// The present monitor's sensor ids to those that the run knows.
    ids: HashMap<u32, u32>,
    stall: Duration,
    heard: Instant,
}

impl Receiver {
    /// Receives a monitor's part of the run.
    pub(super) fn new(
        introduced: Introduced,
        share: Share,
        shared: &Arc<Shared>,
        sink: mpsc::Sender<Received>,
    ) -> Self {
        let Introduced { client, contract, told } = introduced;
        let node = Node::new(told.place, &share.host, share.sensors, client);
        let receiver = Self {
            shared: Arc::clone(shared),
            node: Arc::new(node),
            sink,
            contract,
            ids: share.ids,
            stall: STALL.max(told.description.interval * 5),
            heard: Instant::now(),
        };
        receiver.note_uncertainty();
        receiver
    }

    /// The monitor that it receives from.
    pub(super) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Receives until it is dropped, or the monitor is gone for good.
    pub(super) async fn run(mut self, mut link: Box<dyn MonitorLink>) {
        let node = Arc::clone(&self.node);
        let place = &node.place;
        loop {
            match self.receive(node.client()).await {
                Ok(()) => tracing::warn!("the energy monitor at {place} ended its stream"),
                Err(reason) => {
                    tracing::warn!("the stream of the energy monitor at {place} broke: {reason}");
                }
            }
            match self.reconnect(link.as_mut()).await {
                Ok(client) => node.connected(client),
                Err(error) => {
                    tracing::error!("{error}");
                    return;
                }
            }
            self.shared.count(|stats| stats.reconnects += 1);
        }
    }

    async fn reconnect(&mut self, link: &mut dyn MonitorLink) -> Result<Client, SessionError> {
        let mut delays = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        loop {
            if self.heard.elapsed() > self.stall + HUNG {
                link.end_hung().await;
                self.heard = Instant::now();
            }
            match self.try_reconnect(link).await {
                Err(error) if error.is_final() => return Err(error),
                Err(error) => tracing::debug!("{error}"),
                Ok(client) => return Ok(client),
            }
            let delay = delays.next().unwrap_or(Duration::from_secs(2));
            tokio::time::sleep(delay).await;
        }
    }

    async fn try_reconnect(&mut self, link: &mut dyn MonitorLink) -> Result<Client, SessionError> {
        let mut client = connect(&link.place().await?).await?;
        match &mut self.contract {
            Contract::Energy1(clock) => {
                let description = describe(&mut client)
                    .await?
                    .ok_or_else(|| SessionError::OtherApi(original::SOURCE.to_owned()))?;
                *clock = Clock::align(&mut client, &description).await?;
                self.ids = renumbering(&self.node.sensors(), &description.sensors);
                self.node.learn(&description.sensors);
            }
            Contract::Original(original) => {
                if let Some(description) = describe(&mut client).await? {
                    return Err(SessionError::OtherApi(format!(
                        "{} instead of the original's contract now",
                        description.api
                    )));
                }
                original.reconnected(health_round_trip(&mut client).await?);
            }
        }
        self.note_uncertainty();
        Ok(client)
    }

    fn note_uncertainty(&self) {
        let now = match &self.contract {
            Contract::Energy1(clock) => clock.uncertainty,
            Contract::Original(original) => original.uncertainty(),
        };
        self.shared.count(|stats| stats.clock_uncertainty = stats.clock_uncertainty.max(now));
    }

    async fn receive(&mut self, mut client: Client) -> Result<(), SessionError> {
        let mut stream = subscribe(&mut client).await?;
        let mut renewal = tokio::time::interval(RENEWAL);
        renewal.reset();
        let mut dropped = 0;
        let mut patience = tokio::time::Instant::now() + self.stall;
        loop {
            match next(stream.message(), patience, &mut renewal).await {
                Next::Silence => return Err(SessionError::Silent(self.stall)),
                Next::Renewal => self.renew(&mut client).await?,
                Next::Message(message) => {
                    let arrival = monotonic_now();
                    patience = tokio::time::Instant::now() + self.stall;
                    let Some(wire) = message? else { return Ok(()) };
                    self.heard = Instant::now();
                    let Some(reading) = self.read(wire, arrival) else { continue };
                    let lost = reading.dropped.saturating_sub(dropped);
                    dropped = reading.dropped;
                    self.keep(reading, lost);
                }
            }
        }
    }

    /// Looks at a foreign clock again.
    async fn renew(&mut self, client: &mut Client) -> Result<(), SessionError> {
        if let Contract::Energy1(clock) = &mut self.contract
            && clock.foreign
        {
            let description = describe(client)
                .await?
                .ok_or_else(|| SessionError::Refused("it describes itself no more".to_owned()))?;
            *clock = Clock::align(client, &description).await?;
        }
        self.note_uncertainty();
        Ok(())
    }

    /// A message as a reading on our clock and under the ids that the run knows; `None` if it says
    /// nothing new.
    fn read(&mut self, wire: pb::TelemetryReading, arrival: Nanos) -> Option<Reading> {
        let mut reading = match &mut self.contract {
            Contract::Energy1(clock) => {
                let mut reading = Reading::from(wire);
                reading.at = clock.ours(reading.at);
                reading.sensors.iter_mut().for_each(|read| clock.place(read));
                reading
            }
            Contract::Original(original) => {
                let reading = original.read(&wire, arrival);
                self.note_uncertainty();
                reading?
            }
        };
        reading.sensors.retain_mut(|read| match self.ids.get(&read.sensor) {
            Some(known) => {
                read.sensor = *known;
                true
            }
            // The run doesn't know it.
            None => false,
        });
        Some(reading)
    }

    fn keep(&self, reading: Reading, lost: u64) {
        // To the sink first: what the timeline shows can always be written down.
        let received = Received { host: Arc::clone(&self.node.host), reading: reading.clone() };
        let unsaved = u64::from(self.sink.try_send(received).is_err());
        self.shared.push(&reading);
        self.shared.count(|stats| {
            stats.readings += 1;
            stats.dropped += lost + unsaved;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silent_stream_is_given_up_however_often_the_clock_is_looked_at() {
        let mut renewal = tokio::time::interval(Duration::from_millis(20));
        let patience = tokio::time::Instant::now() + Duration::from_millis(100);
        let silent = async {
            let mut renewals = 0;
            while next(std::future::pending::<()>(), patience, &mut renewal).await == Next::Renewal
            {
                renewals += 1;
            }
            renewals
        };
        let renewals = tokio::time::timeout(Duration::from_secs(5), silent).await;
        assert!(renewals.as_ref().is_ok_and(|renewals| *renewals >= 2), "{renewals:?}");
    }
}
