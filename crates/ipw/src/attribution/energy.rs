//! One sensor's energy in one window, with bounds.
//!
//! A counter is a staircase: if its value changed within `(after, before]`, the true energy at some
//! instant in there was the new value. The estimate joins those instants by straight lines; the bounds
//! use nothing but the fact that energy never falls, and hold for what the counter counts. A sensor
//! without a counter has its power integrated over measured times; its bounds trust that power between
//! two reads stays between them.

use std::time::Duration;

use energy_proto::{Joules, Nanos, SensorInfo, SensorKind, SensorReading};

use super::load::Share;
use super::solved::{Part, Solved};

/// Reads further apart than this leave a gap that lowers the coverage.
pub const GAP: Duration = Duration::from_secs(1);

/// The gap of a sensor whose own schedule, or whose monitor's sampling interval, may be slower than
/// [`GAP`].
#[must_use]
pub fn gap(sensor: &SensorInfo, interval: Duration) -> Duration {
    GAP.max(sensor.read_period.unwrap_or_default().max(interval).saturating_mul(3))
}

/// How a monitor's readings were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sampling {
    /// Time between two of its readings.
    pub interval: Duration,
    /// Half-width of what isn't known about the offset between the readings' clock and ours.
    pub clock_uncertainty: Duration,
}

/// How far around a window its bracketing reads are looked for: beyond the longest sampling interval
/// (60 s), and bounded so that a lookup doesn't cost more in a longer run.
pub const NEIGHBOURHOOD: Duration = Duration::from_secs(150);

/// How an energy was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// From the hardware's energy counter.
    Counter,
    /// From power readings.
    Integrated,
    /// From a model of the hardware.
    Estimated,
}

impl Method {
    /// The name in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Integrated => "integrated",
            Self::Estimated => "estimated",
        }
    }
}

/// Why a window has no energy. The name in files is [`NoEnergy::as_str`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoEnergy {
    /// The sensor gave no figure around the window.
    NoReadings,
    /// No reading lies before, or none after, the window.
    NotBracketed,
    /// The counter started again in or near the window.
    CounterReset,
    /// The counter didn't move within the window: it can't resolve it.
    TooShort,
    /// The error may well be more than half of the estimate.
    TooUncertain,
    /// Power readings are missing in the window.
    Gap,
    /// The mean power would be above the device's limit.
    AbovePowerLimit,
}

impl NoEnergy {
    /// The name in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoReadings => "no_readings",
            Self::NotBracketed => "window_not_bracketed",
            Self::CounterReset => "counter_reset",
            Self::TooShort => "window_too_short_for_sensor",
            Self::TooUncertain => "uncertain_by_more_than_half",
            Self::Gap => "gap_in_readings",
            Self::AbovePowerLimit => "above_power_limit",
        }
    }
}

/// An energy and how far it can be trusted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EnergyEstimate {
    /// Best estimate.
    pub energy: Joules,
    /// Not less than this.
    pub lower: Joules,
    /// Not more than this.
    pub upper: Joules,
    /// The same two for one who trusts that power never exceeds the device's limit by more than a tenth;
    /// `None` where no limit is known.
    pub limited: Option<(Joules, Joules)>,
    /// Standard deviation of the error, where the run's solution gave the estimate.
    pub sd: Option<Joules>,
    /// How it was made.
    pub method: Method,
    /// Share of the window without a gap between reads, 0 to 1.
    pub coverage: f64,
}

impl EnergyEstimate {
    /// Half the width of the interval that holds the truth in 95 of 100 cases.
    #[must_use]
    pub fn ci95(&self) -> Option<Joules> {
        self.sd.map(|sd| sd * Z95)
    }
}

/// The normal distribution's 97.5 % quantile.
const Z95: f64 = 1.959_964;

/// A mean over a limit that the driver enforces, by more than the sensor's gain error could explain, is
/// no measurement.
const OVER_LIMIT: f64 = 1.1;

/// The energy of `sensor` between `start` and `end`, on straight lines between updates.
///
/// # Errors
/// See [`NoEnergy`]: what can't be known is refused.
pub fn window_energy(
    sensor: &SensorInfo,
    reads: &[SensorReading],
    start: Nanos,
    end: Nanos,
    sampling: Sampling,
) -> Result<EnergyEstimate, NoEnergy> {
    shared_energy(sensor, reads, &[Share::whole(start, end)], sampling, None)
}

/// A query's share of the energy of `sensor`, over parts of its window that follow each other without a
/// gap; from the sensor's solution, if it has one for them.
///
/// # Errors
/// See [`NoEnergy`]: what can't be known is refused.
pub fn shared_energy(
    sensor: &SensorInfo,
    reads: &[SensorReading],
    shares: &[Share],
    sampling: Sampling,
    solved: Option<&Solved>,
) -> Result<EnergyEstimate, NoEnergy> {
    let (Some(first), Some(last)) = (shares.first(), shares.last()) else {
        return Err(NoEnergy::NoReadings);
    };
    let (start, end) = (first.from, last.to);
    let reads = neighbourhood(reads, start, end);
    let counted = Staircase::around(sensor, reads, start, end, sampling)
        .and_then(|stairs| stairs.energy(shares, solved.and_then(|all| all.part(start, end))));
    let estimate = match counted {
        Err(NoEnergy::NoReadings) => {
            integrate(reads, gap(sensor, sampling.interval), shares, sampling.clock_uncertainty)?
        }
        Err(reason) => at_rest(sensor, reads, start, end, sampling).ok_or(reason)?,
        Ok(estimate) => estimate,
    };
    let seconds: f64 = shares.iter().map(Share::seconds).sum();
    let limit = sensor.power_limit.map(|limit| Joules(limit.0 * OVER_LIMIT * seconds));
    if limit.is_some_and(|limit| estimate.lower > limit) {
        return Err(NoEnergy::AbovePowerLimit);
    }
    let method = if sensor.is_estimate() { Method::Estimated } else { estimate.method };
    Ok(EnergyEstimate { method, ..on_grid(estimate) })
}

/// Multiples of 2^-30 J (0.9 nJ) have exact sums and differences up to 8 MJ, so that the parts of a
/// query are the query to the last bit. No sensor has a finer step.
const GRID: f64 = (1u64 << 30) as f64;

fn on_grid(estimate: EnergyEstimate) -> EnergyEstimate {
    let on_grid = |joules: Joules, round: fn(f64) -> f64| Joules(round(joules.0 * GRID) / GRID);
    let bounds = |(lower, upper)| (on_grid(lower, f64::floor), on_grid(upper, f64::ceil));
    let (lower, upper) = bounds((estimate.lower, estimate.upper));
    EnergyEstimate {
        energy: on_grid(estimate.energy, f64::round),
        lower,
        upper,
        limited: estimate.limited.map(bounds),
        ..estimate
    }
}

/// The reads that can matter for a window.
pub(super) fn neighbourhood(reads: &[SensorReading], start: Nanos, end: Nanos) -> &[SensorReading] {
    let from = reads.partition_point(|read| read.read_end < start.before(NEIGHBOURHOOD));
    let to = reads.partition_point(|read| read.read_end <= end + NEIGHBOURHOOD);
    &reads[from..to.max(from)]
}

/// A change of the counter: `value` microjoules appeared after `after`, if that is known, and not after
/// `before`. They were the true energy then, or up to the sensor's publication lag earlier.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Update {
    pub(super) after: Option<Nanos>,
    pub(super) before: Nanos,
    /// Best guess of when the value was the energy.
    pub(super) at: Nanos,
    pub(super) value: u64,
}

/// The updates that matter for a window: from the last that is surely before it to the first that is
/// surely after it.
#[derive(Debug)]
pub(super) struct Staircase {
    updates: Vec<Update>,
    /// Microjoules by which the true energy may be above what the counter shows.
    quantum: f64,
    clock_uncertainty: Duration,
    lag: Duration,
    /// Watts that are trusted not to be exceeded.
    limit: Option<f64>,
    coverage: f64,
}

impl Staircase {
    pub(super) fn around(
        sensor: &SensorInfo,
        reads: &[SensorReading],
        start: Nanos,
        end: Nanos,
        sampling: Sampling,
    ) -> Result<Self, NoEnergy> {
        let clock_uncertainty = sampling.clock_uncertainty;
        let lag = sensor.publication_lag.unwrap_or_default();
        let (earliest, latest) = (start.before(clock_uncertainty), end + clock_uncertainty + lag);
        let surely_before =
            |read: &&SensorReading| read.changed_before.is_some_and(|before| before <= earliest);
        let surely_after =
            |read: &&SensorReading| read.changed_after.is_some_and(|after| after >= latest);
        let with_energy = |read: &&SensorReading| read.energy_microjoules.is_some();

        let pivot = reads.partition_point(|read| read.read_end < earliest);
        let first =
            reads[..pivot].iter().rposition(|read| with_energy(&read) && surely_before(&read));
        let tail = reads.partition_point(|read| read.read_end < latest);
        let last = reads[tail..].iter().position(|read| with_energy(&read) && surely_after(&read));
        let (Some(first), Some(last)) = (first, last.map(|offset| tail + offset)) else {
            let near = &reads[pivot.saturating_sub(1)..(tail + 1).min(reads.len())];
            return Err(if near.iter().any(|read| read.energy_microjoules.is_some()) {
                NoEnergy::NotBracketed
            } else {
                NoEnergy::NoReadings
            });
        };
        let near: Vec<&SensorReading> = reads[first..=last].iter().filter(with_energy).collect();
        if near.windows(2).any(|pair| !goes_on(pair[0], pair[1])) {
            return Err(NoEnergy::CounterReset);
        }
        let updates = updates(sensor, &near);
        // A monitor that contradicts itself may leave one.
        if updates.len() < 2 {
            return Err(NoEnergy::TooShort);
        }
        Ok(Self {
            updates,
            quantum: sensor.quantum_microjoules.unwrap_or(0) as f64,
            clock_uncertainty,
            lag,
            limit: sensor.power_limit.map(|limit| limit.0 * OVER_LIMIT),
            coverage: coverage(&near, gap(sensor, sampling.interval), start, end),
        })
    }

    fn energy(&self, shares: &[Share], part: Option<&Part>) -> Result<EnergyEstimate, NoEnergy> {
        let (start, end) = (shares[0].from, shares[shares.len() - 1].to);
        let sd = part.and_then(|part| part.sd(shares)).map(Joules);
        if sd.is_none() {
            self.resolves(start, end)?;
        }
        // Parts add up to the whole, and nothing leaves its bounds, since all of them are sums over one
        // curve, and two that it stays between. In microjoules, what a counter shows is whole numbers,
        // and its bounds don't depend on the rounding of where it is counted from.
        let curve = |at: Nanos| {
            let found = match part {
                Some(part) => part.joules_since(self.base(), at) * 1e6,
                None => self.line_at(at),
            };
            // Of two bounds that contradict each other neither is the better.
            found.min(self.at_most(at)).max(self.at_least(at))
        };
        let energy = combined(shares, |at, _| curve(at));
        let bounds = |least: &dyn Fn(Nanos) -> f64, most: &dyn Fn(Nanos) -> f64| {
            let lower = combined(shares, |at, rises| if rises { least(at) } else { most(at) });
            let upper = combined(shares, |at, rises| if rises { most(at) } else { least(at) });
            (Joules(lower.0.max(0.0)), upper)
        };
        let (lower, upper) = bounds(&|at| self.at_least(at), &|at| self.at_most(at));
        let limited = self.limit.map(|watts| {
            let (lower, upper) =
                bounds(&|at| self.at_least_within(watts, at), &|at| self.at_most_within(watts, at));
            let seconds: f64 = shares.iter().map(Share::seconds).sum();
            (lower, Joules(upper.0.min(watts * seconds)))
        });
        if sd.is_some_and(|sd| Z95 * sd.0 > 0.5 * energy.0) {
            return Err(NoEnergy::TooUncertain);
        }
        Ok(EnergyEstimate {
            energy,
            lower,
            upper,
            // Where the limit was exceeded, trust in it says nothing.
            limited: limited.filter(|(lower, upper)| lower <= upper),
            sd,
            method: Method::Counter,
            coverage: self.coverage,
        })
    }

    /// An error unless the counter moved, for sure, within `[start, end]`.
    fn resolves(&self, start: Nanos, end: Nanos) -> Result<(), NoEnergy> {
        let moved = self
            .updates
            .iter()
            .any(|update| update.after >= Some(start + self.lag) && update.before <= end);
        moved.then_some(()).ok_or(NoEnergy::TooShort)
    }

    /// Microjoules at the first update, from which joules are counted here.
    fn base(&self) -> u64 {
        self.updates[0].value
    }

    /// Microjoules since the first update.
    fn since_base(&self, value: u64) -> f64 {
        (value - self.base()) as f64
    }

    /// What had been used by a time at the least, whatever the offset of the clocks is: microjoules since
    /// the first update.
    fn at_least(&self, at: Nanos) -> f64 {
        self.since_base(self.known_at(at.before(self.clock_uncertainty)))
    }

    /// And at the most.
    fn at_most(&self, at: Nanos) -> f64 {
        self.since_base(self.bound_at(at + self.clock_uncertainty)) + self.quantum
    }

    /// The same for power of `watts` at most: what was there later wasn't much less before.
    fn at_least_within(&self, watts: f64, at: Nanos) -> f64 {
        let earliest = at.before(self.clock_uncertainty);
        let next = self.updates.partition_point(|update| update.before < earliest);
        let back = |update: &Update| {
            self.since_base(update.value)
                - 1e6 * watts * update.before.since(earliest).as_secs_f64()
        };
        let later = self.updates[next..].iter().take(2).map(back);
        later.fold(self.at_least(at), f64::max)
    }

    /// The same for power of `watts` at most: not much has come since what was there before.
    fn at_most_within(&self, watts: f64, at: Nanos) -> f64 {
        let latest = at + self.clock_uncertainty;
        let next = self.updates.partition_point(|update| update.after <= Some(latest));
        let on = |update: &Update| {
            let time = latest.since(update.after?) + self.lag;
            Some(self.since_base(update.value) + self.quantum + 1e6 * watts * time.as_secs_f64())
        };
        let earlier = self.updates[..next].iter().rev().take(2).filter_map(on);
        earlier.fold(self.at_most(at), f64::min)
    }

    /// Mean power between each two updates.
    pub(super) fn slopes(&self) -> impl Iterator<Item = (Nanos, Nanos, f64)> + '_ {
        self.updates.windows(2).map(|pair| {
            let energy = Joules::from_microjoules(pair[1].value - pair[0].value);
            (pair[0].at, pair[1].at, (energy / pair[1].at.since(pair[0].at)).0)
        })
    }

    /// The largest value known to have appeared by `time`: the true energy isn't less.
    fn known_at(&self, time: Nanos) -> u64 {
        let count = self.updates.partition_point(|update| update.before <= time);
        self.updates[count.saturating_sub(1)].value
    }

    /// The first value known to be of `time` or later, which with a lag appears that much after it: the
    /// true energy isn't more.
    fn bound_at(&self, time: Nanos) -> u64 {
        let time = Some(time + self.lag);
        let index = self.updates.partition_point(|update| update.after < time);
        self.updates[index.min(self.updates.len() - 1)].value
    }

    /// Microjoules since the first update, on straight lines between updates.
    fn line_at(&self, time: Nanos) -> f64 {
        let next = self
            .updates
            .partition_point(|update| update.at < time)
            .clamp(1, self.updates.len() - 1);
        let (a, b) = (self.updates[next - 1], self.updates[next]);
        let share = (time.0 as f64 - a.at.0 as f64) / (b.at.0 - a.at.0) as f64;
        self.since_base(a.value) + (b.value - a.value) as f64 * share.clamp(0.0, 1.0)
    }
}

/// The sum over shares of what an amount that grows with time, in microjoules, gains in each. With each
/// instant's amount it is told whether the sum rises with it.
fn combined(shares: &[Share], amount: impl Fn(Nanos, bool) -> f64) -> Joules {
    let mut sum = 0.0;
    let mut add = |at: Nanos, weight: f64| {
        if weight != 0.0 {
            sum += weight * amount(at, weight > 0.0);
        }
    };
    let mut before = 0.0;
    for Share { from, share, .. } in shares.iter().copied() {
        add(from, before - share);
        before = share;
    }
    if let Some(last) = shares.last() {
        add(last.to, before);
    }
    Joules(sum / 1e6)
}

/// Whether the values that a counter shows in two reads, one after the other, compare.
pub(super) fn goes_on(a: &SensorReading, b: &SensorReading) -> bool {
    a.epoch == b.epoch && a.energy_microjoules <= b.energy_microjoules
}

/// A value is no older than the sensor's lag when it appears; half of it is off by the least.
pub(super) fn likely_lag(sensor: &SensorInfo) -> Duration {
    sensor.publication_lag.unwrap_or_default() / 2
}

/// Each change among reads of one epoch, once.
pub(super) fn updates(sensor: &SensorInfo, reads: &[&SensorReading]) -> Vec<Update> {
    let (period, lag) = (sensor.update_period, likely_lag(sensor));
    let mut updates: Vec<Update> = Vec::with_capacity(reads.len());
    let mut previous: Option<&SensorReading> = None;
    for read in reads {
        let (Some(value), Some(before)) = (read.energy_microjoules, read.changed_before) else {
            continue;
        };
        // A monitor that has just started again doesn't know since when its first value has been
        // there; the last read before it, of whichever monitor, does.
        let after = read.changed_after.or(previous.map(|previous| previous.read_start));
        previous = Some(read);
        // A counter that moves more often than it is read was refreshed less than a period before.
        let half = after.map_or(Duration::ZERO, |after| before.since(after) / 2);
        let age = period.map_or(half, |period| half.min(period / 2));
        let at = before.before(age + lag);
        if updates.last().is_none_or(|last| last.at < at && last.value < value) {
            updates.push(Update { after, before, at, value });
        }
    }
    updates
}

/// A rail of an Apple chip that was off, as its neural engine mostly is: the counter stood still and every power
/// read said zero, from before the window to after it. Two instruments that agree are no guess.
fn at_rest(
    sensor: &SensorInfo,
    reads: &[SensorReading],
    start: Nanos,
    end: Nanos,
    sampling: Sampling,
) -> Option<EnergyEstimate> {
    if !may_be_off(sensor) {
        return None;
    }
    let clock_uncertainty = sampling.clock_uncertainty;
    let lag = sensor.publication_lag.unwrap_or_default();
    let (earliest, latest) = (start.before(clock_uncertainty), end + clock_uncertainty + lag);
    let first = reads.iter().rposition(|read| read.read_end <= earliest)?;
    let last = reads.iter().position(|read| read.read_start >= latest)?;
    let near: Vec<&SensorReading> = reads.get(first..=last)?.iter().collect();
    let still = |read: &&SensorReading| {
        read.energy_microjoules.is_some()
            && (read.energy_microjoules, read.epoch) == (near[0].energy_microjoules, near[0].epoch)
            && read.power.is_some_and(|power| power.0 == 0.0)
    };
    near.iter().all(still).then(|| EnergyEstimate {
        energy: Joules(0.0),
        lower: Joules(0.0),
        upper: Joules::from_microjoules(sensor.quantum_microjoules.unwrap_or(0)),
        limited: None,
        sd: None,
        method: Method::Counter,
        coverage: coverage(&near, gap(sensor, sampling.interval), start, end),
    })
}

/// Whether no power and a counter that stands still are what this sensor may show. Of another GPU, or
/// of a CPU, they are a fault.
pub(crate) fn may_be_off(sensor: &SensorInfo) -> bool {
    sensor.kind == SensorKind::Ane || (sensor.kind == SensorKind::Gpu && sensor.source == "apple")
}

/// Share of the window that isn't inside a stretch of more than `gap` without a read.
fn coverage(reads: &[&SensorReading], gap: Duration, start: Nanos, end: Nanos) -> f64 {
    let window = end.since(start).as_secs_f64();
    if window == 0.0 {
        return 1.0;
    }
    let missing: f64 = reads
        .windows(2)
        .filter(|pair| pair[1].read_end.since(pair[0].read_end) > gap)
        .map(|pair| overlap(pair[0].read_end, pair[1].read_end, start, end).as_secs_f64())
        .sum();
    (1.0 - missing / window).clamp(0.0, 1.0)
}

/// The time that two stretches share.
fn overlap(a_start: Nanos, a_end: Nanos, b_start: Nanos, b_end: Nanos) -> Duration {
    a_end.min(b_end).since(a_start.max(b_start))
}

/// Energy from power reads alone, whether or not there is a counter: a second instrument.
///
/// # Errors
/// Power isn't known for the whole window.
pub fn integrated_energy(
    sensor: &SensorInfo,
    reads: &[SensorReading],
    start: Nanos,
    end: Nanos,
    interval: Duration,
) -> Result<EnergyEstimate, NoEnergy> {
    integrate(reads, gap(sensor, interval), &[Share::whole(start, end)], Duration::ZERO)
}

/// Energy of a sensor that only gives power: trapezoids between reads.
fn integrate(
    reads: &[SensorReading],
    gap: Duration,
    shares: &[Share],
    clock_uncertainty: Duration,
) -> Result<EnergyEstimate, NoEnergy> {
    let (Some(first), Some(last)) = (shares.first(), shares.last()) else {
        return Err(NoEnergy::NoReadings);
    };
    let (start, end) = (first.from.before(clock_uncertainty), last.to + clock_uncertainty);
    let points = power_points(reads, start, end)?;
    if points.windows(2).any(|pair| pair[1].0.since(pair[0].0) > gap) {
        return Err(NoEnergy::Gap);
    }
    let (mut energy, mut lower, mut upper) = (0.0, 0.0, 0.0);
    let mut next = 0;
    for Share { from, to, share } in shares.iter().copied() {
        while next + 2 < points.len() && points[next + 1].0 <= from {
            next += 1;
        }
        for pair in points[next..].windows(2).take_while(|pair| pair[0].0 < to) {
            let ((t0, p0), (t1, p1)) = (pair[0], pair[1]);
            let (from, to) = (t0.max(from), t1.min(to));
            let time = share * to.since(from).as_secs_f64();
            let power_at = |t: Nanos| {
                p0 + (p1 - p0) * (t.since(t0).as_secs_f64() / t1.since(t0).as_secs_f64())
            };
            energy +=
                if time > 0.0 { f64::midpoint(power_at(from), power_at(to)) * time } else { 0.0 };
            lower += p0.min(p1) * time;
            upper += p0.max(p1) * time;
        }
    }
    // An unknown clock offset moves both ends of the window by as much.
    let peak = points.iter().map(|(_, power)| *power).fold(0.0, f64::max);
    let slack = peak * 2.0 * clock_uncertainty.as_secs_f64();
    Ok(EnergyEstimate {
        energy: Joules(energy),
        lower: Joules((lower - slack).max(0.0)),
        upper: Joules(upper + slack),
        limited: None,
        sd: None,
        method: Method::Integrated,
        coverage: 1.0,
    })
}

/// When a read's power was true: as the driver says, else in the middle of the read.
pub(crate) fn power_at(read: &SensorReading) -> Option<Nanos> {
    read.power.map(|_| read.power_at.unwrap_or(read.read_start.midpoint(read.read_end)))
}

/// Power reads from the last at or before `start` to the first at or after `end`.
pub(super) fn power_points(
    reads: &[SensorReading],
    start: Nanos,
    end: Nanos,
) -> Result<Vec<(Nanos, f64)>, NoEnergy> {
    let pivot = reads.partition_point(|read| read.read_end < start);
    let known = |read: &SensorReading| Some((power_at(read)?, read.power?.0));
    let before = reads[..pivot].iter().rev().find_map(known);
    let mut points: Vec<(Nanos, f64)> = before.into_iter().collect();
    for point in reads[pivot..].iter().filter_map(known) {
        // A driver gives one sample, with its time, until it has the next.
        if points.last().is_some_and(|last| last.0 >= point.0) {
            continue;
        }
        points.push(point);
        if point.0 >= end {
            break;
        }
    }
    match (points.first(), points.last()) {
        (None, _) | (_, None) => Err(NoEnergy::NoReadings),
        (Some(first), Some(last)) if first.0 <= start && last.0 >= end => Ok(points),
        _ => Err(NoEnergy::NotBracketed),
    }
}

#[cfg(test)]
#[path = "energy/tests.rs"]
pub(super) mod tests;
