//! `--precise`: when the next query is sent, so that its energy can be told apart from what lies around
//! it. It starts just after an update of the counter, and between two queries a whole step of the
//! counter is at rest.
//!
//! Waits only between queries, and each time for a bounded while: whatever doesn't come, the query is
//! sent. Of several counters it follows the first; each has a rhythm of its own.

use std::sync::Arc;
use std::time::Duration;

use energy_proto::{Nanos, SensorInfo, SensorReading, monotonic_now};

use super::metering::Metering;
use crate::attribution::measure::Meter;
use crate::telemetry::TelemetrySession;

/// A counter that moves more often has its updates close to whatever instant.
const SLOW_COUNTER: Duration = Duration::from_millis(20);
/// An update that is nearer can't be hit any more.
const AHEAD: Duration = Duration::from_millis(5);
/// How long after an update that is foretold a query starts: it may be so much late.
const BEHIND: Duration = Duration::from_millis(3);
/// Updates back from which one is foretold: beyond, an error of the period adds up.
const RECENT_UPDATES: u32 = 10;
/// The least time for which what is awaited may keep a query back.
const PATIENCE: Duration = Duration::from_millis(500);

/// The counters that a run is timed by.
pub(super) struct Precise {
    session: Arc<TelemetrySession>,
    meter: Meter,
    patience: Duration,
}

impl Precise {
    /// With what the monitor has found out about its sensors by now; `None` if no energy is measured.
    pub(super) async fn new(metering: &Metering) -> Option<Self> {
        let session = metering.session().filter(|_| metering.meter().basis.is_ok())?;
        let meter = Meter { sensors: session.sensors().await, ..metering.meter().clone() };
        let patience = patience(slow_counter(&meter).and_then(|sensor| sensor.update_period));
        Some(Self { session, meter, patience })
    }

    /// Waits for the moment to send a query when the last one ended at `last_end`.
    pub(super) async fn before_query(&self, last_end: Nanos) {
        let moment = async {
            self.covered(last_end).await;
            if let Some(update) = self.next_update() {
                let start = update + BEHIND + self.meter.sampling.clock_uncertainty;
                tokio::time::sleep(start.since(monotonic_now())).await;
            }
        };
        // If the time is up, it is sent all the same.
        let _ = tokio::time::timeout(self.patience, moment).await;
    }

    /// Waits for a whole step of the counters at rest after the last query.
    pub(super) async fn settle(&self, last_end: Nanos) {
        let _ = tokio::time::timeout(self.patience, self.covered(last_end)).await;
        let _ = tokio::time::timeout(self.patience, self.covered(monotonic_now())).await;
    }

    /// Waits until every member has shown an update wholly after `end`.
    async fn covered(&self, end: Nanos) {
        self.session.cover(|timeline| self.meter.is_covered(timeline, end)).await;
    }

    fn next_update(&self) -> Option<Nanos> {
        let sensor = slow_counter(&self.meter)?;
        let earliest = monotonic_now() + AHEAD;
        self.session
            .with_timeline(|timeline| foretell(sensor, timeline.sensor(sensor.id), earliest))
    }
}

/// Two updates and the readings' way here, and no less than [`PATIENCE`].
fn patience(period: Option<Duration>) -> Duration {
    let updates = period.unwrap_or_default().saturating_mul(2) + Duration::from_millis(200);
    updates.max(PATIENCE)
}

/// The first member of the basis whose updates are worth waiting for.
fn slow_counter(meter: &Meter) -> Option<&SensorInfo> {
    let mut members = meter.members().iter().filter_map(|id| meter.sensor(*id));
    members.find(|sensor| sensor.gives("energy") && period(sensor).is_some())
}

fn period(sensor: &SensorInfo) -> Option<Duration> {
    sensor.update_period.filter(|period| *period >= SLOW_COUNTER)
}

/// The first update of a counter at or after `earliest`: whole periods after the one, among the recent
/// ones, whose time is known best. `None` if its period isn't known or is short, or nothing recent is.
fn foretell(sensor: &SensorInfo, reads: &[SensorReading], earliest: Nanos) -> Option<Nanos> {
    let period = period(sensor)?;
    let (after, before) = reads
        .iter()
        .rev()
        .filter_map(|read| read.changed_after.zip(read.changed_before))
        .take_while(|(_, before)| earliest.since(*before) <= period * RECENT_UPDATES)
        .min_by_key(|(after, before)| before.since(*after))?;
    let seen = after.midpoint(before);
    let periods = earliest.since(seen).as_nanos().div_ceil(period.as_nanos());
    Some(seen + period * u32::try_from(periods).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use energy_proto::{SensorKind, Status};

    const MS: u64 = 1_000_000;

    fn counter(period_ms: Option<u64>) -> SensorInfo {
        SensorInfo {
            measures: vec!["energy".into()],
            update_period: period_ms.map(Duration::from_millis),
            ..SensorInfo::new(0, SensorKind::Gpu, "nvml")
        }
    }

    /// A read at `at` that shows a value which appeared in (after, before), all in milliseconds.
    fn read(at: u64, after: u64, before: u64) -> SensorReading {
        let at = Nanos(at * MS);
        SensorReading {
            energy_microjoules: Some(before),
            changed_after: Some(Nanos(after * MS)),
            changed_before: Some(Nanos(before * MS)),
            ..SensorReading::empty(0, at, at, Status::Ok)
        }
    }

    fn foretold(reads: &[SensorReading], earliest_ms: u64) -> Option<u64> {
        let update = foretell(&counter(Some(100)), reads, Nanos(earliest_ms * MS))?;
        Some(update.0 / MS)
    }

    #[test]
    fn the_next_update_is_whole_periods_after_the_one_that_is_known_best() {
        // At 1000, 1100, ..., a few of them late; the interval of 1298 to 1302 is the narrowest.
        let reads = [
            read(1_050, 980, 1_030),
            read(1_150, 1_090, 1_130),
            read(1_250, 1_203, 1_213),
            read(1_310, 1_298, 1_302),
            read(1_450, 1_380, 1_440),
        ];
        assert_eq!(foretold(&reads, 1_455), Some(1_500));
        assert_eq!(foretold(&reads, 1_500), Some(1_500));
        assert_eq!(foretold(&reads, 1_501), Some(1_600));
    }

    #[test]
    fn of_two_that_are_known_equally_well_the_later_one_counts() {
        let reads = [read(1_010, 998, 1_002), read(1_130, 1_106, 1_110), read(1_150, 1_106, 1_110)];
        assert_eq!(foretold(&reads, 1_150), Some(1_208));
    }

    #[test]
    fn an_update_that_is_still_to_come_or_long_ago_is_handled() {
        let reads = [read(1_010, 998, 1_002)];
        assert_eq!(foretold(&reads, 990), Some(1_000), "not before it was seen");
        assert_eq!(foretold(&reads, 2_001), Some(2_100));
        assert_eq!(foretold(&reads, 2_003), None, "more than ten periods ago");
    }

    #[test]
    fn without_a_slow_rhythm_nothing_is_foretold() {
        let reads = [read(1_010, 998, 1_002)];
        let foretell = |period| foretell(&counter(period), &reads, Nanos(1_050 * MS));
        assert_eq!(foretell(None), None);
        assert_eq!(foretell(Some(1)), None, "RAPL's");
        assert!(foretell(Some(20)).is_some());
        let unmoved = SensorReading { changed_after: None, ..reads[0] };
        assert_eq!(foretold(&[unmoved], 1_050), None);
        assert_eq!(foretold(&[], 1_050), None);
    }

    #[test]
    fn a_query_is_kept_back_for_a_bounded_time() {
        let millis = Duration::from_millis;
        assert_eq!(patience(None), millis(500));
        assert_eq!(patience(Some(millis(100))), millis(500));
        assert_eq!(patience(Some(millis(1_000))), millis(2_200));
    }
}
