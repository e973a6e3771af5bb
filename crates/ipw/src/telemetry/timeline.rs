//! Readings by sensor and time, all on one monotonic clock. Knows nothing of queries.

use std::collections::BTreeMap;
use std::time::Duration;

use energy_proto::{Nanos, Reading, SensorInfo, SensorReading, Watts};

use crate::attribution::energy::{may_be_off, power_at};

/// Each sensor's reads in the order in which they ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Timeline {
    series: BTreeMap<u32, Vec<SensorReading>>,
}

impl Timeline {
    /// Adds a tick's reads. One that is already there (a slow source is told again with each tick)
    /// or is older than the newest of its sensor is left out.
    pub fn push(&mut self, reading: &Reading) {
        for read in &reading.sensors {
            self.push_read(*read);
        }
    }

    /// Adds one read, with the same rule.
    pub fn push_read(&mut self, read: SensorReading) {
        let series = self.series.entry(read.sensor).or_default();
        if series.last().is_none_or(|last| last.read_end < read.read_end) {
            series.push(read);
        }
    }

    /// All reads of one sensor.
    #[must_use]
    pub fn sensor(&self, sensor: u32) -> &[SensorReading] {
        self.series.get(&sensor).map_or(&[], Vec::as_slice)
    }

    /// The reads of one sensor that ended inside `[start, end]`.
    #[must_use]
    pub fn inside(&self, sensor: u32, start: Nanos, end: Nanos) -> &[SensorReading] {
        let series = self.sensor(sensor);
        let from = series.partition_point(|read| read.read_end < start);
        let to = series.partition_point(|read| read.read_end <= end);
        &series[from..to.max(from)]
    }

    /// Exactly the reads that ended inside `[start, end]`, in the order of time.
    #[must_use]
    pub fn get_window(&self, start: Nanos, end: Nanos) -> Vec<SensorReading> {
        let mut inside: Vec<SensorReading> =
            self.series.keys().flat_map(|id| self.inside(*id, start, end).to_vec()).collect();
        inside.sort_by_key(|read| read.read_end);
        inside
    }

    /// Whether a sensor has shown something that happened wholly at or after `end`: a change of its
    /// counter, or, where it has none, a read.
    #[must_use]
    pub fn covers(&self, sensor: &SensorInfo, end: Nanos) -> bool {
        // A counter shows what was true up to a lag before.
        let shown = end + sensor.publication_lag.unwrap_or_default();
        let mut after = self.sensor(sensor.id).iter().rev().take_while(|read| read.read_end >= end);
        after.any(|read| match read.energy_microjoules {
            // A rail that is off shows no change, however long one waits.
            Some(_) => {
                read.changed_after.is_some_and(|changed| changed >= shown)
                    || (may_be_off(sensor)
                        && read.power == Some(Watts(0.0))
                        && read.read_start >= shown)
            }
            None => power_at(read).is_some_and(|at| at >= end) && read.read_start >= end,
        })
    }

    /// Start of the first and end of the last read of a sensor.
    #[must_use]
    pub fn span(&self, sensor: u32) -> Option<(Nanos, Nanos)> {
        let series = self.sensor(sensor);
        Some((series.first()?.read_start, series.last()?.read_end))
    }

    /// Drops what ended before `time`: it is on disk, and nothing will ask for it again.
    pub fn forget_before(&mut self, time: Nanos) {
        for series in self.series.values_mut() {
            let keep = series.partition_point(|read| read.read_end < time);
            // Shifting the rest costs its length, so that is done only when it pays.
            if keep > series.len() / 2 {
                series.drain(..keep);
            }
        }
    }

    /// How often, between two instants, more passed from one read of a sensor to the next than its limit.
    #[must_use]
    pub fn gaps(&self, sensor: u32, from: Nanos, to: Nanos, limit: Duration) -> u64 {
        let series = self.sensor(sensor);
        let first = series.partition_point(|read| read.read_end <= from).saturating_sub(1);
        let after = series.partition_point(|read| read.read_end <= to);
        let gaps = series[first..after.max(first)]
            .windows(2)
            .filter(|pair| pair[1].read_start.since(pair[0].read_end) > limit);
        gaps.count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use energy_proto::{SensorKind, Status};

    fn gpu() -> SensorInfo {
        SensorInfo::new(0, SensorKind::Gpu, "nvml")
    }

    fn read(sensor: u32, at: u64) -> SensorReading {
        SensorReading {
            power: Some(Watts(1.0)),
            ..SensorReading::empty(sensor, Nanos(at - 1), Nanos(at), Status::Ok)
        }
    }

    fn timeline(times: &[u64]) -> Timeline {
        let mut timeline = Timeline::default();
        for at in times {
            timeline.push_read(read(0, *at));
        }
        timeline
    }

    #[test]
    fn a_window_holds_exactly_the_reads_inside() {
        let mut timeline = timeline(&[10, 20, 30, 40]);
        timeline.push_read(read(1, 25));
        let times: Vec<u64> =
            timeline.get_window(Nanos(20), Nanos(30)).iter().map(|read| read.read_end.0).collect();
        assert_eq!(times, [20, 25, 30]);
        assert!(timeline.get_window(Nanos(41), Nanos(50)).is_empty());
        assert!(timeline.get_window(Nanos(30), Nanos(20)).is_empty());
    }

    #[test]
    fn a_read_told_twice_or_out_of_order_is_kept_once() {
        let timeline = timeline(&[10, 20, 20, 15, 30]);
        let times: Vec<u64> = timeline.sensor(0).iter().map(|read| read.read_end.0).collect();
        assert_eq!(times, [10, 20, 30]);
    }

    #[test]
    fn a_counter_covers_a_time_only_with_a_change_wholly_after_it() {
        let mut timeline = Timeline::default();
        let counter = |at: u64, changed: u64| SensorReading {
            energy_microjoules: Some(changed),
            changed_after: Some(Nanos(changed - 5)),
            changed_before: Some(Nanos(changed)),
            ..read(0, at)
        };
        timeline.push_read(counter(100, 90));
        assert!(!timeline.covers(&gpu(), Nanos(95)));
        timeline.push_read(counter(120, 99));
        assert!(!timeline.covers(&gpu(), Nanos(95)), "the change may have been before 95");
        timeline.push_read(counter(130, 101));
        assert!(timeline.covers(&gpu(), Nanos(95)));
        let lagging = SensorInfo { publication_lag: Some(Duration::from_nanos(2)), ..gpu() };
        assert!(!timeline.covers(&lagging, Nanos(95)), "what it showed at 96 may be of 94");
        let silent = SensorInfo::new(7, SensorKind::Gpu, "nvml");
        assert!(!timeline.covers(&silent, Nanos(95)), "sensor 7 has shown nothing");
    }

    #[test]
    fn no_power_and_no_change_cover_a_time_only_of_what_may_be_off() {
        let mut timeline = Timeline::default();
        let still = |at: u64| SensorReading {
            energy_microjoules: Some(7),
            power: Some(Watts(0.0)),
            changed_before: Some(Nanos(10)),
            ..read(0, at)
        };
        [20, 120].map(still).into_iter().for_each(|read| timeline.push_read(read));
        for (kind, source, covered) in [
            (SensorKind::Ane, "apple", true),
            (SensorKind::Gpu, "apple", true),
            (SensorKind::Gpu, "nvml", false),
            (SensorKind::CpuPackage, "apple", false),
        ] {
            let sensor = SensorInfo::new(0, kind, source);
            assert_eq!(timeline.covers(&sensor, Nanos(95)), covered, "{kind} {source}");
        }
    }

    #[test]
    fn power_covers_a_time_only_if_it_was_true_after_it() {
        let mut timeline = Timeline::default();
        let told_late =
            |at: u64, of: u64| SensorReading { power_at: Some(Nanos(of)), ..read(0, at) };
        timeline.push_read(told_late(100, 80));
        assert!(!timeline.covers(&gpu(), Nanos(90)), "read after it, but sampled before");
        timeline.push_read(told_late(120, 95));
        assert!(timeline.covers(&gpu(), Nanos(90)));
    }

    #[test]
    fn a_gap_is_counted_where_it_ends() {
        let timeline = timeline(&[10, 20, 50, 60, 90]);
        let gaps = |from, to| timeline.gaps(0, Nanos(from), Nanos(to), Duration::from_nanos(15));
        assert_eq!((gaps(0, 55), gaps(55, 100), gaps(0, 100), gaps(20, 49)), (1, 1, 2, 0));
    }

    #[test]
    fn what_is_forgotten_is_only_what_ended_before() {
        let mut timeline = timeline(&[10, 20, 30, 40]);
        timeline.forget_before(Nanos(35));
        assert_eq!(timeline.sensor(0).len(), 1);
        assert_eq!(timeline.span(0), Some((Nanos(39), Nanos(40))));
    }
}
