//! Whether a counter shows energy later than it is used: against the same device's power, which has
//! times of its own. A lag that isn't declared moves every query's energy, and no bound holds it.

use std::time::Duration;

use energy_proto::{Nanos, SensorInfo, SensorReading};

use super::energy::{likely_lag, power_at, updates};

/// Lags that are tried, in seconds: to a second, either way.
const STEP: f64 = 0.005;
const MOST: i32 = 200;
/// Updates of which a lag is told, and the longest interval between two that counts, in seconds.
const ENOUGH: usize = 50;
const MANY: usize = 4096;
const LONGEST: f64 = 1.0;
/// What a lag must leave of the squared difference between counter and power, to be one.
const CLEAR: f64 = 0.5;
/// A shorter one is within what samples of power can tell.
const LEAST: f64 = 0.03;

/// How much later than declared the counter of a sensor shows what its power shows, if that is clear.
/// `None` also where it can't be told: no power with a known averaging window, too few updates, or a load
/// too steady.
#[must_use]
pub fn undeclared_lag(sensor: &SensorInfo, reads: &[SensorReading]) -> Option<Duration> {
    let energy = Cumulative::of(sensor, reads)?;
    let counted: Vec<&SensorReading> =
        reads.iter().filter(|read| read.energy_microjoules.is_some()).collect();
    let mut intervals: Vec<(f64, f64, f64)> = Vec::new();
    for reads in
        counted.chunk_by(|a, b| a.epoch == b.epoch && a.energy_microjoules <= b.energy_microjoules)
    {
        let updates = updates(sensor, reads);
        intervals.extend(updates.windows(2).filter_map(|pair| {
            let (from, to) = (energy.seconds(pair[0].at)?, energy.seconds(pair[1].at)?);
            let joules = (pair[1].value - pair[0].value) as f64 * 1e-6;
            (to - from <= LONGEST).then_some((from, to, joules))
        }));
    }
    let beside = intervals.len().saturating_sub(MANY) / 2;
    let intervals = &intervals[beside..intervals.len() - beside];
    if intervals.len() < ENOUGH {
        return None;
    }
    let off = |lag: f64| energy.difference(intervals, lag);
    let lags = (-MOST..=MOST).map(|step| f64::from(step) * STEP);
    let (best, least) = lags.map(|lag| (lag, off(lag))).min_by(|a, b| a.1.total_cmp(&b.1))?;
    // Power that is late itself says nothing of the counter; and part of the declared lag is allowed for
    // in the updates, the rest may be there.
    let beyond =
        best - (sensor.publication_lag.unwrap_or_default() - likely_lag(sensor)).as_secs_f64();
    let clear = beyond >= LEAST && least < CLEAR * off(0.0);
    clear.then(|| Duration::from_secs_f64(beyond))
}

/// Energy by integrating power, in joules and seconds since the first sample.
struct Cumulative {
    origin: Nanos,
    points: Vec<(f64, f64)>,
}

impl Cumulative {
    fn of(sensor: &SensorInfo, reads: &[SensorReading]) -> Option<Self> {
        // A mean over the last while was true half of it ago.
        let age = sensor.power_window? / 2;
        let known = |read: &SensorReading| Some((power_at(read)?.before(age), read.power?.0));
        let mut samples = reads.iter().filter_map(known);
        let (origin, mut power) = samples.next()?;
        let mut points = vec![(0.0, 0.0)];
        let (mut time, mut joules) = (0.0, 0.0);
        for (at, watts) in samples {
            let now = at.since(origin).as_secs_f64();
            if now > time {
                joules += f64::midpoint(power, watts) * (now - time);
                (time, power) = (now, watts);
                points.push((time, joules));
            }
        }
        Some(Self { origin, points })
    }

    fn seconds(&self, at: Nanos) -> Option<f64> {
        (at >= self.origin).then(|| at.since(self.origin).as_secs_f64())
    }

    fn at(&self, time: f64) -> f64 {
        let next = self.points.partition_point(|point| point.0 < time);
        let Some(b) = self.points.get(next) else { return self.points[self.points.len() - 1].1 };
        let Some(a) = next.checked_sub(1).map(|before| self.points[before]) else { return b.1 };
        a.1 + (b.1 - a.1) * (time - a.0) / (b.0 - a.0)
    }

    /// The sum of squares of what intervals of the counter differ by from integrated power so much
    /// earlier, whatever the ratio of the two instruments is.
    fn difference(&self, intervals: &[(f64, f64, f64)], lag: f64) -> f64 {
        let (mut both, mut power, mut counter) = (0.0, 0.0, 0.0);
        for (from, to, joules) in intervals {
            let integrated = self.at(to - lag) - self.at(from - lag);
            both += joules * integrated;
            power += integrated * integrated;
            counter += joules * joules;
        }
        if power > 0.0 { counter - both * both / power } else { counter }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use energy_proto::{SensorKind, Status, Watts};

    const MS: u64 = 1_000_000;

    /// A square wave of 100 and 400 W, 370 ms each; a counter that moves every 100 ms and shows it so
    /// much later, and power as of each read.
    fn reads(lag_ms: u64) -> Vec<SensorReading> {
        let energy = |ms: u64| {
            let (waves, rest) = (ms / 740, ms % 740);
            waves * 370 * 500_000 + rest.min(370) * 100_000 + rest.saturating_sub(370) * 400_000
        };
        let mut reads: Vec<SensorReading> = Vec::new();
        for at in (1_000..60_000).step_by(47) {
            let value = energy(at / 100 * 100 - lag_ms);
            let mut read = SensorReading::empty(0, Nanos(at * MS), Nanos(at * MS), Status::Ok);
            read.energy_microjoules = Some(value);
            read.power = Some(Watts(if at % 740 < 370 { 100.0 } else { 400.0 }));
            let last = reads.last();
            let same = last.filter(|last| last.energy_microjoules == Some(value));
            read.changed_after =
                same.map_or(last.map(|last| last.read_start), |it| it.changed_after);
            read.changed_before = same.map_or(Some(read.read_end), |it| it.changed_before);
            reads.push(read);
        }
        reads
    }

    fn gpu(power_window: Option<Duration>) -> SensorInfo {
        SensorInfo { power_window, ..SensorInfo::new(0, SensorKind::Gpu, "nvml") }
    }

    #[test]
    fn a_lag_that_is_not_declared_is_found() {
        let found = undeclared_lag(&gpu(Some(Duration::ZERO)), &reads(100)).unwrap();
        assert!((80..=120).contains(&found.as_millis()), "{found:?}");
        let declared = SensorInfo {
            publication_lag: Some(Duration::from_millis(100)),
            ..gpu(Some(Duration::ZERO))
        };
        assert_eq!(undeclared_lag(&declared, &reads(100)), None);
    }

    #[test]
    fn a_counter_that_is_on_time_has_none() {
        assert_eq!(undeclared_lag(&gpu(Some(Duration::ZERO)), &reads(0)), None);
    }

    #[test]
    fn power_of_unknown_age_tells_nothing() {
        assert_eq!(undeclared_lag(&gpu(None), &reads(100)), None);
        assert_eq!(undeclared_lag(&gpu(Some(Duration::ZERO)), &reads(100)[..40]), None);
    }
}
