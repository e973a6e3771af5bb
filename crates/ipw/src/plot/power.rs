//! Power of a run's basis on an even grid of time, from every reading in its telemetry. A cell's power is
//! the mean over the cell, so that the surface below the curve is the energy; where a device of the basis
//! wasn't observed there is none.

use std::collections::BTreeMap;
use std::time::Duration;

use energy_proto::{Joules, Nanos, SensorInfo, SensorReading};

use super::run_time::RunTime;
use crate::attribution::basis;
use crate::attribution::energy::{gap, may_be_off, power_at};
use crate::results::{ResultsError, Summary, TelemetryRow};

/// A cell is known if each device was observed in this part of it.
const OBSERVED: f64 = 0.5;

/// The time between two values must be this many times what isn't known of it, else the next one is
/// waited for.
const CERTAIN: u32 = 2;

/// Power between two instants.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Step {
    from: Nanos,
    to: Nanos,
    watts: f64,
}

/// What a sensor showed last.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Seen {
    Energy { at: Nanos, unsure: Duration, microjoules: u64, epoch: u32 },
    Power { at: Nanos, watts: f64 },
}

/// Makes steps from the reads of one sensor, one after the other.
#[derive(Debug)]
struct Follower {
    sensor: SensorInfo,
    gap: Duration,
    seen: Option<Seen>,
    /// Where in the sum it is.
    place: usize,
}

impl Follower {
    fn follow(&mut self, read: &SensorReading) -> Option<Step> {
        match read.energy_microjoules {
            Some(microjoules) => self.follow_counter(read, microjoules),
            None => self.follow_power(power_at(read)?, read.power?.0),
        }
    }

    fn follow_counter(&mut self, read: &SensorReading, microjoules: u64) -> Option<Step> {
        let before = read.changed_before?;
        let width = read.changed_after.map_or(Duration::ZERO, |after| before.since(after));
        let unsure = self.sensor.update_period.map_or(width, |period| width.min(period));
        let at = before.before(unsure / 2);
        let now = Seen::Energy { at, unsure, microjoules, epoch: read.epoch };
        let Some(Seen::Energy { at: last, unsure: last_unsure, microjoules: old, epoch }) =
            self.seen
        else {
            self.seen = Some(now);
            return None;
        };
        if epoch != read.epoch || microjoules < old {
            self.seen = Some(now);
            return None;
        }
        if microjoules == old {
            // Only what may be off is known to have used nothing.
            let is_off = may_be_off(&self.sensor) && read.power.is_some_and(|power| power.0 == 0.0);
            let (from, to) = (last, read.read_end);
            if is_off && to > from {
                self.seen = Some(Seen::Energy { at: to, unsure, microjoules, epoch });
                return Some(Step { from, to, watts: 0.0 });
            }
            return None;
        }
        if at <= last || at.since(last) < (unsure + last_unsure) * CERTAIN {
            return None;
        }
        self.seen = Some(now);
        let energy = Joules::from_microjoules(microjoules - old);
        let watts = (energy / at.since(last)).0;
        (at.since(last) <= self.gap).then_some(Step { from: last, to: at, watts })
    }

    fn follow_power(&mut self, at: Nanos, watts: f64) -> Option<Step> {
        if let Some(Seen::Power { at: last, .. }) = self.seen
            && at <= last
        {
            return None;
        }
        let last = self.seen.replace(Seen::Power { at, watts });
        let Some(Seen::Power { at: from, watts: before }) = last else { return None };
        let watts = f64::midpoint(before, watts);
        (at.since(from) <= self.gap).then_some(Step { from, to: at, watts })
    }
}

/// Power on an even grid.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Grid {
    from: f64,
    step: f64,
    /// Joules and observed seconds, by device and cell.
    devices: Vec<Vec<(f64, f64)>>,
}

impl Grid {
    /// Of so many devices, with `cells` cells between two times.
    #[must_use]
    pub(super) fn new(from: f64, to: f64, cells: usize, devices: usize) -> Self {
        let cells = cells.max(1);
        let step = (to - from) / cells as f64;
        Self { from, step, devices: vec![vec![(0.0, 0.0); cells]; devices] }
    }

    /// The length of a cell in seconds.
    #[must_use]
    pub(super) fn step(&self) -> f64 {
        self.step
    }

    fn add(&mut self, device: usize, from: f64, to: f64, watts: f64) {
        let (start, step) = (self.from, self.step);
        let Some(cells) = self.devices.get_mut(device).filter(|_| step > 0.0) else { return };
        let first = ((from - start) / step).floor().max(0.0) as usize;
        for (index, cell) in cells.iter_mut().enumerate().skip(first) {
            let begin = start + index as f64 * step;
            if begin >= to {
                break;
            }
            let seconds = (begin + step).min(to) - begin.max(from);
            if seconds > 0.0 {
                cell.0 += watts * seconds;
                cell.1 += seconds;
            }
        }
    }

    /// The middle of each cell, and its power, if each device was observed in it.
    #[must_use]
    pub(super) fn watts(&self) -> Vec<(f64, Option<f64>)> {
        let cells = self.devices.first().map_or(0, Vec::len);
        let power = |index: usize| {
            self.devices
                .iter()
                .map(|cells| {
                    let (joules, seconds) = cells[index];
                    (seconds > 0.0 && seconds >= OBSERVED * self.step).then(|| joules / seconds)
                })
                .sum::<Option<f64>>()
        };
        (0..cells)
            .map(|index| (self.from + (index as f64 + 0.5) * self.step, power(index)))
            .collect()
    }
}

/// How many devices the basis has at most, in the segments of a run; why there is none, if there isn't.
///
/// # Errors
/// The reason of the first segment, in words.
pub(super) fn devices(summary: &Summary) -> Result<usize, String> {
    let counts =
        summary.segments.iter().map(|segment| members(summary, segment).map(|ids| ids.len()));
    let counts = counts.collect::<Result<Vec<usize>, String>>()?;
    counts
        .into_iter()
        .max()
        .filter(|most| *most > 0)
        .ok_or_else(|| "the run has no segment".to_owned())
}

fn members(summary: &Summary, segment: &crate::results::Segment) -> Result<Vec<u32>, String> {
    if let Some(reason) = &segment.no_energy {
        return Err(reason.clone());
    }
    if summary.energy.basis.is_none() {
        return Err(summary.energy.status.clone());
    }
    let counted = segment.counted.iter().copied().collect();
    Ok(basis::choose(&segment.sensors, &counted)?.members)
}

/// Fills grids from a run's telemetry.
///
/// # Errors
/// It can't be read.
pub(super) fn fill(
    grids: &mut [Grid],
    summary: &Summary,
    time: &RunTime,
    rows: impl Iterator<Item = Result<TelemetryRow, ResultsError>>,
) -> Result<(), ResultsError> {
    let interval = Duration::from_millis(summary.telemetry.interval_ms);
    let mut followers: BTreeMap<(u32, u32), Follower> = BTreeMap::new();
    for (index, segment) in (0_u32..).zip(&summary.segments) {
        for (place, id) in members(summary, segment).unwrap_or_default().into_iter().enumerate() {
            let Some(sensor) = segment.sensors.iter().find(|sensor| sensor.id == id) else {
                continue;
            };
            let (sensor, gap) = (sensor.clone(), gap(sensor, interval));
            followers.insert((index, id), Follower { sensor, gap, seen: None, place });
        }
    }
    for row in rows {
        let row = row?;
        let Some(follower) = followers.get_mut(&(row.segment, row.reading.sensor)) else {
            continue;
        };
        let Some(step) = follower.follow(&row.reading) else { continue };
        let Some((from, to)) = time.stretch(row.segment, step.from, step.to) else { continue };
        grids.iter_mut().for_each(|grid| grid.add(follower.place, from, to, step.watts));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use energy_proto::{SensorKind, Status, Watts};

    use super::*;

    const MS: u64 = 1_000_000;

    fn follower(kind: SensorKind, source: &str) -> Follower {
        let sensor = SensorInfo::new(0, kind, source);
        let gap = gap(&sensor, Duration::from_millis(50));
        Follower { sensor, gap, seen: None, place: 0 }
    }

    fn counter(at: u64, microjoules: u64, epoch: u32) -> SensorReading {
        SensorReading {
            energy_microjoules: Some(microjoules),
            epoch,
            changed_after: Some(Nanos((at - 2) * MS)),
            changed_before: Some(Nanos(at * MS)),
            ..SensorReading::empty(0, Nanos(at * MS), Nanos(at * MS), Status::Ok)
        }
    }

    fn power(at: u64, watts: f64) -> SensorReading {
        SensorReading {
            power: Some(Watts(watts)),
            ..SensorReading::empty(0, Nanos(at * MS), Nanos(at * MS), Status::Ok)
        }
    }

    fn steps(follower: &mut Follower, reads: &[SensorReading]) -> Vec<(u64, u64, f64)> {
        let steps = reads.iter().filter_map(|read| follower.follow(read));
        steps.map(|step| (step.from.0 / MS, step.to.0 / MS, step.watts)).collect()
    }

    #[test]
    fn a_counter_gives_mean_power_between_its_updates() {
        let mut gpu = follower(SensorKind::Gpu, "nvml");
        let reads = [
            counter(100, 0, 1),
            counter(200, 10_000_000, 1),
            counter(300, 10_000_000, 1),
            counter(400, 20_000_000, 1),
        ];
        assert_eq!(steps(&mut gpu, &reads), [(99, 199, 100.0), (199, 399, 50.0)]);
    }

    #[test]
    fn a_reset_and_a_gap_give_no_power() {
        let mut gpu = follower(SensorKind::Gpu, "nvml");
        let reads = [
            counter(100, 5, 1),
            counter(200, 0, 2),
            counter(300, 1_000_000, 2),
            counter(5_000, 2_000_000, 2),
            counter(5_100, 3_000_000, 2),
        ];
        assert_eq!(steps(&mut gpu, &reads), [(199, 299, 10.0), (4_999, 5_099, 10.0)]);
    }

    #[test]
    fn updates_closer_than_their_times_are_known_are_joined() {
        let mut gpu = follower(SensorKind::Gpu, "nvml");
        let reads: Vec<SensorReading> = (0..20).map(|n| counter(100 + n, n * 100_000, 1)).collect();
        assert_eq!(steps(&mut gpu, &reads), [(99, 107, 100.0), (107, 115, 100.0)]);
    }

    #[test]
    fn power_is_half_way_between_reads_and_what_is_off_uses_none() {
        let mut estimate = follower(SensorKind::CpuPackage, "estimate");
        let reads = [power(100, 10.0), power(200, 20.0), power(200, 99.0), power(9_000, 20.0)];
        assert_eq!(steps(&mut estimate, &reads), [(100, 200, 15.0)]);
        let still = |at| SensorReading {
            power: Some(Watts(0.0)),
            changed_before: Some(Nanos(50 * MS)),
            ..counter(at, 7, 1)
        };
        let mut ane = follower(SensorKind::Ane, "apple");
        assert_eq!(steps(&mut ane, &[still(100), still(200)]), [(50, 200, 0.0)]);
        let mut gpu = follower(SensorKind::Gpu, "nvml");
        assert!(steps(&mut gpu, &[still(100), still(200)]).is_empty());
    }

    #[test]
    fn a_grid_keeps_the_energy_and_knows_only_what_all_devices_show() {
        let mut grid = Grid::new(0.0, 10.0, 5, 2);
        grid.add(0, -1.0, 7.0, 100.0);
        grid.add(1, 1.0, 3.0, 50.0);
        grid.add(1, 3.0, 99.0, 10.0);
        let watts = grid.watts();
        assert_eq!(watts[0], (1.0, Some(150.0)));
        assert_eq!(watts[1], (3.0, Some(130.0)));
        assert_eq!(watts[3], (7.0, Some(110.0)));
        assert_eq!(watts[4], (9.0, None));
        grid.add(7, 0.0, 1.0, 1.0);
        assert!(Grid::new(0.0, 0.0, 5, 1).watts().iter().all(|cell| cell.1.is_none()));
    }
}
