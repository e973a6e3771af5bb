//! A subscriber: what came to it within a window, and what that tells of delays, rate and deadlines.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use energy_proto::pb::energy_monitor_client::EnergyMonitorClient;
use energy_proto::{CLIENT_API, Nanos, monotonic_now, pb};
use ipw::analysis::stats::quantile;
use tonic::Streaming;
use tonic::transport::Endpoint;

/// A monitor that is silent for longer is broken.
const SILENCE_LIMIT: Duration = Duration::from_secs(10);

/// The time in which readings count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) from: Nanos,
    pub(super) until: Nanos,
}

impl Window {
    pub(super) fn length(self) -> Duration {
        self.until.since(self.from)
    }

    fn contains(self, at: Nanos) -> bool {
        self.from <= at && at < self.until
    }
}

/// What one subscriber got of the readings that were composed within a window.
#[derive(Debug, Default)]
pub(super) struct Received {
    ticks: Vec<Tick>,
    /// From the newest read in it to its receipt, in ms.
    from_read: Vec<f64>,
    /// From when it was composed to its receipt, in ms.
    from_composed: Vec<f64>,
    /// Readings that the monitor says this subscriber has lost, since it came.
    pub(super) lost: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tick {
    sequence: u64,
    composed: Nanos,
}

/// Subscribes as the clients of this workspace do.
pub(super) async fn subscribe(
    endpoint: Endpoint,
    max_delay: Duration,
) -> Result<Streaming<pb::TelemetryReading>> {
    let channel = endpoint.connect().await.context("can't connect to the monitor")?;
    let request = pb::StreamRequest {
        client_api: CLIENT_API,
        max_delay_ms: u32::try_from(max_delay.as_millis())?,
        ..Default::default()
    };
    let stream = EnergyMonitorClient::new(channel).stream_telemetry(request).await;
    Ok(stream.context("the monitor doesn't stream")?.into_inner())
}

/// The next reading.
pub(super) async fn next(
    stream: &mut Streaming<pb::TelemetryReading>,
) -> Result<pb::TelemetryReading> {
    let message = tokio::time::timeout(SILENCE_LIMIT, stream.message()).await;
    let message = message.context("the monitor has fallen silent")?;
    message.context("the stream failed")?.context("the stream has ended")
}

/// Subscribes, and takes readings until the window is over.
pub(super) async fn receive(
    endpoint: Endpoint,
    max_delay: Duration,
    window: Window,
) -> Result<Received> {
    let mut stream = subscribe(endpoint, max_delay).await?;
    ensure!(monotonic_now() < window.from, "subscribing took longer than the warm-up");
    let mut received = Received::default();
    loop {
        let reading = next(&mut stream).await?;
        let now = monotonic_now();
        if reading.monotonic_nanos >= window.until.0 {
            return Ok(received);
        }
        received.take(&reading, now, window);
    }
}

impl Received {
    fn take(&mut self, reading: &pb::TelemetryReading, now: Nanos, window: Window) {
        self.lost = reading.dropped;
        let composed = Nanos(reading.monotonic_nanos);
        if !window.contains(composed) {
            return;
        }
        self.ticks.push(Tick { sequence: reading.sequence, composed });
        self.from_composed.push(milliseconds(now.since(composed)));
        let newest = reading.sensors.iter().map(|sensor| sensor.read_end_nanos).max();
        self.from_read.extend(newest.map(|newest| milliseconds(now.since(Nanos(newest)))));
    }

    /// Readings a second of the window.
    pub(super) fn rate(&self, window: Window) -> f64 {
        self.ticks.len() as f64 / window.length().as_secs_f64()
    }

    /// p99 of how far ticks were from their deadlines, in ms; nothing without a tick.
    pub(super) fn deadline_error(&self, interval: Duration) -> Option<f64> {
        p99(deadline_errors(&self.ticks, interval))
    }
}

/// p99 over all subscribers from the newest read in a message to its receipt, in ms.
pub(super) fn from_read(received: &[Received]) -> Option<f64> {
    p99(received.iter().flat_map(|one| &one.from_read).copied().collect())
}

/// p99 over all subscribers from when a message was composed to its receipt, in ms.
pub(super) fn from_composed(received: &[Received]) -> Option<f64> {
    p99(received.iter().flat_map(|one| &one.from_composed).copied().collect())
}

/// How much later than its deadline each tick was composed, in ms. Deadlines are an interval apart,
/// counted by the sequence; where they lie, the most punctual tick shows.
fn deadline_errors(ticks: &[Tick], interval: Duration) -> Vec<f64> {
    let interval = interval.as_nanos() as i128;
    let offset = |tick: &Tick| i128::from(tick.composed.0) - i128::from(tick.sequence) * interval;
    let earliest = ticks.iter().map(offset).min().unwrap_or_default();
    ticks.iter().map(|tick| (offset(tick) - earliest) as f64 / 1e6).collect()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn p99(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    quantile(&values, 0.99)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { from: Nanos(2_000_000), until: Nanos(12_000_000) };

    fn reading(sequence: u64, composed: u64, reads: &[u64]) -> pb::TelemetryReading {
        let sensor = |read: &u64| pb::SensorReading { read_end_nanos: *read, ..Default::default() };
        pb::TelemetryReading {
            sequence,
            monotonic_nanos: composed,
            sensors: reads.iter().map(sensor).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn a_reading_is_as_old_as_its_newest_read() {
        let mut received = Received::default();
        received.take(&reading(7, 3_500_000, &[1_000_000, 3_000_000]), Nanos(4_000_000), WINDOW);
        assert_eq!(
            (&received.from_read[..], &received.from_composed[..]),
            (&[1.0][..], &[0.5][..])
        );
        received.take(&reading(8, 4_500_000, &[]), Nanos(5_000_000), WINDOW);
        assert_eq!(received.from_read, [1.0], "no sensor has answered");
    }

    #[test]
    fn readings_composed_outside_the_window_do_not_count_but_what_was_lost_does() {
        let mut received = Received::default();
        let early = pb::TelemetryReading { dropped: 3, ..reading(1, 1_999_999, &[1]) };
        received.take(&early, Nanos(2_500_000), WINDOW);
        assert_eq!((received.ticks.len(), received.lost), (0, 3));
        for sequence in 2..12 {
            received.take(&reading(sequence, sequence * 1_000_000, &[1]), WINDOW.until, WINDOW);
        }
        assert_eq!(received.rate(WINDOW), 1_000.0);
    }

    #[test]
    fn deadlines_are_absolute_and_a_missed_tick_is_no_error() {
        let tick = |sequence, composed| Tick { sequence, composed: Nanos(composed) };
        let millisecond = Duration::from_millis(1);
        // The third comes late, the fourth is missed, the fifth is punctual again.
        let ticks =
            [tick(10, 5_010_000), tick(11, 6_000_000), tick(12, 7_400_000), tick(14, 9_000_000)];
        assert_eq!(deadline_errors(&ticks, millisecond), [0.01, 0.0, 0.4, 0.0]);
        assert!(deadline_errors(&[], millisecond).is_empty());
        assert_eq!(Received::default().deadline_error(millisecond), None);
    }
}
