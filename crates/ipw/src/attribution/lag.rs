//! Whether a counter shows energy later than it is used: against the same device's power, which has
//! times of its own. A lag that isn't declared moves every query's energy, and no bound holds it.

use std::time::Duration;

use energy_proto::{Nanos, SensorInfo, SensorReading};

use super::energy::{goes_on, likely_lag, power_at, updates};
use super::middle;

/// Lags that are tried, in seconds: to a second, either way.
const STEP: f64 = 0.005;
const MOST: i32 = 200;
/// Updates of which a lag is told, and the longest interval between two that counts, in seconds.
const ENOUGH: usize = 50;
const MANY: usize = 512;
const LONGEST: f64 = 1.0;
/// What a lag must leave of the squared difference between counter and power, to be one.
const CLEAR: f64 = 0.5;
/// Lags that leave so much more of it, as a share of what the best of them takes away, are as good.
const ALIKE: f64 = 0.1;
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
    for reads in counted.chunk_by(|a, b| goes_on(a, b)) {
        let updates = updates(sensor, reads);
        intervals.extend(updates.windows(2).filter_map(|pair| {
            let (from, to) = (energy.seconds(pair[0].at)?, energy.seconds(pair[1].at)?);
            let joules = (pair[1].value - pair[0].value) as f64 * 1e-6;
            (to - from <= LONGEST).then_some((from, to, joules))
        }));
    }
    let intervals = middle(&intervals, MANY);
    if intervals.len() < ENOUGH {
        return None;
    }
    let lags: Vec<(f64, f64)> = (-MOST..=MOST)
        .map(|step| f64::from(step) * STEP)
        .map(|lag| (lag, energy.difference(intervals, lag)))
        .collect();
    let at_none = energy.difference(intervals, 0.0);
    let least = lags.iter().map(|lag| lag.1).reduce(f64::min)?;
    // A load that repeats itself agrees with itself at whole periods, too: the nearest counts.
    let is_as_good = |off: f64| off <= least + ALIKE * (at_none - least);
    let valleys = lags.windows(3).filter(|three| {
        three[1].1 <= three[0].1 && three[1].1 <= three[2].1 && is_as_good(three[1].1)
    });
    let (best, least) =
        valleys.map(|three| three[1]).min_by(|a, b| a.0.abs().total_cmp(&b.0.abs()))?;
    // Power that is late itself says nothing of the counter; and part of the declared lag is allowed for
    // in the updates, the rest may be there.
    let beyond =
        best - (sensor.publication_lag.unwrap_or_default() - likely_lag(sensor)).as_secs_f64();
    let clear = beyond >= LEAST && least < CLEAR * at_none;
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
    use crate::attribution::energy::tests::counter;
    use energy_proto::{SensorKind, Watts};

    const MS: u64 = 1_000_000;

    /// A square wave of 100 and 400 W, 370 ms each; a counter that moves every 100 ms and shows it so
    /// much later, and power as of each read.
    fn reads(lag_ms: u64) -> Vec<SensorReading> {
        let energy = |ms: u64| {
            let (waves, rest) = (ms / 740, ms % 740);
            waves * 370 * 500_000 + rest.min(370) * 100_000 + rest.saturating_sub(370) * 400_000
        };
        let mut reads = counter(47, 100, 60_000, |ms| energy(ms.saturating_sub(lag_ms)));
        for read in &mut reads {
            let high = read.read_start.0 / MS % 740 >= 370;
            read.power = Some(Watts(if high { 400.0 } else { 100.0 }));
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
