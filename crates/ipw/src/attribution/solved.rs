//! A counter's energy over a whole run, solved: the estimate of the final records.
//!
//! A run is cut where the counter's values stop to compare (another epoch, a fall) or weren't read, and
//! each part is solved on its own. Whether the solution is better than straight lines is tried on the
//! counter itself: every other update is left out and foretold by both. Lines, too, profit from a whole
//! run: its rhythm tells when the updates were.

use std::time::Duration;

use energy_proto::{Nanos, SensorInfo, SensorReading};

use super::energy::{Update, gap, goes_on, likely_lag, updates};
use super::fit::{Fit, Point};
use super::load::{Load, Share};
use super::locate::{Seen, locate};
use super::middle;
use super::power::Step;

/// Updates of which a part's power can be learnt.
const ENOUGH: usize = 16;
/// So many updates, every other of which is foretold, tell whether the solution is the better one.
const TRIAL: usize = 2048;
/// How much worse than straight lines the solution may foretell it with half of the updates.
const HANDICAP: f64 = 1.2;

/// The solved parts of one sensor's run, in the order of time.
#[derive(Debug, Clone, Default)]
pub struct Solved {
    parts: Vec<Part>,
}

/// A change of the counter to `value` microjoules, of which both sides were seen.
#[derive(Debug, Clone, Copy)]
struct Change {
    after: Nanos,
    before: Nanos,
    value: u64,
}

/// A part in which the counter was read without a break.
#[derive(Debug, Clone)]
pub(super) struct Part {
    origin: Nanos,
    /// Microjoules of the counter at its first update.
    base: u64,
    curve: Curve,
}

/// How energy goes on between a part's updates, in seconds and joules since its beginning.
#[derive(Debug, Clone)]
enum Curve {
    Fit(Box<Fit>),
    /// On straight lines, which foretold the counter better.
    Line(Vec<Point>),
}

impl Solved {
    /// Solves what can be of a sensor's run under a load, with readings at an interval.
    #[must_use]
    pub fn of(
        sensor: &SensorInfo,
        reads: &[SensorReading],
        load: &Load,
        interval: Duration,
    ) -> Self {
        let mut solved = Self::default();
        let counted: Vec<&SensorReading> =
            reads.iter().filter(|read| read.energy_microjoules.is_some()).collect();
        let gap = gap(sensor, interval);
        let unbroken = |a: &&SensorReading, b: &&SensorReading| {
            goes_on(a, b) && b.read_end.since(a.read_end) <= gap
        };
        for reads in counted.chunk_by(unbroken) {
            // Of when the first value appeared, the monitor may know only the one side.
            let changes: Vec<Change> = updates(sensor, reads)
                .into_iter()
                .filter_map(|Update { after, before, value, .. }| {
                    Some(Change { after: after?, before, value })
                })
                .collect();
            if changes.len() >= ENOUGH {
                solved.parts.extend(Part::of(sensor, &changes, load));
            }
        }
        solved
    }

    /// The part that holds the whole of a stretch of time.
    pub(super) fn part(&self, from: Nanos, to: Nanos) -> Option<&Part> {
        let next = self.parts.partition_point(|part| part.origin <= from);
        let part = self.parts[..next].last()?;
        let (first, last) = part.curve.span();
        (first <= part.seconds(from) && part.seconds(to) <= last).then_some(part)
    }

    /// How the sensor's final energies were estimated: `fit`, `line` or, where that differs between parts
    /// of the run, `mixed`.
    #[must_use]
    pub fn estimator(&self) -> &'static str {
        let fits = self.parts.iter().filter(|part| matches!(part.curve, Curve::Fit(_))).count();
        match fits {
            0 => "line",
            all if all == self.parts.len() => "fit",
            _ => "mixed",
        }
    }
}

impl Part {
    fn of(sensor: &SensorInfo, changes: &[Change], load: &Load) -> Option<Self> {
        let lag = likely_lag(sensor);
        let (origin, base) = (changes[0].after.before(lag), changes[0].value);
        let seconds = |at: Nanos| at.before(lag).since(origin).as_secs_f64();
        let seen: Vec<Seen> = changes
            .iter()
            .map(|change| Seen { after: seconds(change.after), before: seconds(change.before) })
            .collect();
        let period = sensor.update_period.map(|period| period.as_secs_f64());
        let mut points: Vec<Point> = Vec::with_capacity(changes.len());
        for (instant, change) in locate(&seen, period).into_iter().zip(changes) {
            let joules = (change.value - base) as f64 * 1e-6;
            if points.last().is_none_or(|last| last.instant.at < instant.at) {
                points.push(Point { instant, joules });
            }
        }
        let quantum = sensor.quantum_microjoules.unwrap_or(0) as f64 * 1e-6;
        let solve = |points: Vec<Point>| {
            let (first, last) = (points.first()?.instant.at, points.last()?.instant.at);
            let at =
                |seconds: f64| origin + Duration::try_from_secs_f64(seconds).unwrap_or_default();
            // Rounding to nanoseconds must not leave the ends uncovered.
            let around =
                (at(first).before(Duration::from_nanos(2)), at(last) + Duration::from_nanos(2));
            let stretches = load.stretches(origin, around.0, around.1, points.len());
            Fit::solve(points, &stretches, quantum)
        };
        // Of changes that contradict each other too few may be left.
        if points.len() < 2 {
            return None;
        }
        let fit = if foretells(&points, solve) { solve(points.clone()) } else { None };
        let curve = fit.map_or_else(|| Curve::Line(points), |fit| Curve::Fit(Box::new(fit)));
        Some(Self { origin, base, curve })
    }

    fn seconds(&self, at: Nanos) -> f64 {
        at.since(self.origin).as_secs_f64()
    }

    /// Joules counted from `base` microjoules of the counter to an instant.
    pub(super) fn joules_since(&self, base: u64, at: Nanos) -> f64 {
        let offset = i128::from(self.base) - i128::from(base);
        offset as f64 * 1e-6 + self.curve.until(self.seconds(at))
    }

    /// Standard deviation, in joules, of the error of a sum of shares; `None` of straight lines.
    pub(super) fn sd(&self, shares: &[Share]) -> Option<f64> {
        let Curve::Fit(fit) = &self.curve else { return None };
        let shares: Vec<(f64, f64, f64)> = shares
            .iter()
            .map(|share| (self.seconds(share.from), self.seconds(share.to), share.share))
            .collect();
        Some(fit.sd(&shares))
    }

    /// Power between two instants, as steps that have the energy.
    pub(super) fn steps(&self, from: Nanos, to: Nanos) -> Vec<Step> {
        let at =
            |seconds: f64| self.origin + Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let steps = self.curve.steps(self.seconds(from), self.seconds(to));
        let mean = |(from, to): (f64, f64)| {
            let joules = self.curve.until(to) - self.curve.until(from);
            (at(from), at(to), joules / (to - from))
        };
        steps.into_iter().map(mean).collect()
    }
}

impl Curve {
    fn span(&self) -> (f64, f64) {
        match self {
            Self::Fit(fit) => fit.span(),
            Self::Line(points) => (points[0].instant.at, points[points.len() - 1].instant.at),
        }
    }

    fn until(&self, at: f64) -> f64 {
        match self {
            Self::Fit(fit) => fit.until(at),
            Self::Line(points) => {
                let next = next(points, at);
                let (a, b) = (points[next - 1], points[next]);
                let share = (at - a.instant.at) / (b.instant.at - a.instant.at);
                a.joules + (b.joules - a.joules) * share.clamp(0.0, 1.0)
            }
        }
    }

    /// Stretches of constant power.
    fn steps(&self, from: f64, to: f64) -> Vec<(f64, f64)> {
        match self {
            Self::Fit(fit) => fit.steps(from, to).collect(),
            Self::Line(points) => points[next(points, from) - 1..=next(points, to)]
                .windows(2)
                .map(|pair| (pair[0].instant.at.max(from), pair[1].instant.at.min(to)))
                .filter(|(from, to)| from < to)
                .collect(),
        }
    }
}

/// The end of the interval that an instant is in.
fn next(points: &[Point], at: f64) -> usize {
    points.partition_point(|point| point.instant.at < at).clamp(1, points.len() - 1)
}

/// Whether a solution foretells every other update from the rest about as well as straight lines, which
/// have less to find out and miss less when half is left out.
fn foretells(points: &[Point], solve: impl Fn(Vec<Point>) -> Option<Fit>) -> bool {
    let points = middle(points, TRIAL);
    let kept: Vec<Point> = points.iter().step_by(2).copied().collect();
    let Some(fit) = solve(kept.clone()) else { return false };
    let line = Curve::Line(kept);
    let (base, last) = (points[0].joules, line.span().1);
    let (mut solved, mut on_line) = (0.0, 0.0);
    for left_out in points.iter().skip(1).step_by(2).filter(|point| point.instant.at < last) {
        let Point { instant, joules } = left_out;
        solved += (base + fit.until(instant.at) - joules).abs();
        on_line += (line.until(instant.at) - joules).abs();
    }
    solved <= HANDICAP * on_line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::energy::tests::counter;
    use crate::attribution::measure::Window;
    use energy_proto::SensorKind;

    const MS: u64 = 1_000_000;

    fn gpu() -> SensorInfo {
        SensorInfo {
            update_period: Some(Duration::from_millis(100)),
            quantum_microjoules: Some(1_000),
            ..SensorInfo::new(0, SensorKind::Gpu, "nvml")
        }
    }

    /// Queries of 300 ms every 700 ms.
    fn queries() -> Vec<Window> {
        (0..80)
            .map(|n| Window::whole(Nanos((1_000 + 700 * n) * MS), Nanos((1_300 + 700 * n) * MS)))
            .collect()
    }

    /// 100 W, and 400 W during queries.
    fn microjoules(ms: u64) -> u64 {
        let busy = |ms: u64| ms / 700 * 300 + (ms % 700).min(300);
        100_000 * ms + 300_000 * busy(ms.saturating_sub(1_000))
    }

    fn reads() -> Vec<SensorReading> {
        counter(47, 100, 56_000, microjoules)
    }

    fn solved(reads: &[SensorReading]) -> Solved {
        Solved::of(&gpu(), reads, &Load::of(queries()), Duration::from_millis(50))
    }

    #[test]
    fn a_query_of_three_steps_is_found_to_a_part_in_a_hundred() {
        let solved = solved(&reads());
        assert_eq!(solved.estimator(), "fit");
        let (from, to) = (Nanos(15_000 * MS), Nanos(15_300 * MS));
        let part = solved.part(from, to).unwrap();
        let found = part.joules_since(0, to) - part.joules_since(0, from);
        assert!((found - 120.0).abs() < 1.2, "{found}");
        let sd = part.sd(&[Share::whole(from, to)]).unwrap();
        assert!((0.001..1.2).contains(&sd), "{sd}");
    }

    #[test]
    fn steps_of_power_have_the_energy_of_the_window() {
        let solved = solved(&reads());
        let (from, to) = (Nanos(15_150 * MS), Nanos(16_800 * MS));
        let part = solved.part(from, to).unwrap();
        let joules = |(from, to, watts): &Step| watts * to.since(*from).as_secs_f64();
        let sum: f64 = part.steps(from, to).iter().map(joules).sum();
        let whole = part.joules_since(0, to) - part.joules_since(0, from);
        assert!((sum - whole).abs() < 1e-6, "{sum} {whole}");
    }

    #[test]
    fn a_run_is_cut_where_values_do_not_compare_or_were_not_read() {
        let whole = reads();
        let at = |ms: u64| Nanos(ms * MS);
        let middle = whole.partition_point(|read| read.read_end < at(28_000));
        let mut restarted = whole.clone();
        restarted[middle..].iter_mut().for_each(|read| read.epoch = 1);
        let mut missed = whole.clone();
        missed.drain(middle..middle + 30);
        for reads in [restarted, missed] {
            let solved = solved(&reads);
            assert!(solved.part(at(10_000), at(11_000)).is_some());
            assert!(solved.part(at(40_000), at(41_000)).is_some());
            assert!(solved.part(at(27_000), at(31_000)).is_none(), "across the break");
        }
        assert!(solved(&whole).part(at(27_000), at(31_000)).is_some());
        assert!(solved(&whole).part(at(10_000), at(60_000)).is_none(), "beyond the readings");
    }

    #[test]
    fn what_can_not_be_solved_is_left_to_straight_lines() {
        let few = reads()[..20].to_vec();
        assert_eq!(solved(&few).estimator(), "line");
        let point = |n: u32| Point {
            instant: crate::attribution::locate::Located { at: f64::from(n), sd: 0.01 },
            joules: f64::from(n * n),
        };
        let points: Vec<Point> = (0..40).map(point).collect();
        assert!(!foretells(&points, |_| None));
        let line = Curve::Line(points);
        assert_eq!((line.span(), line.until(3.5)), ((0.0, 39.0), 12.5));
        assert_eq!(line.steps(1.5, 3.25), [(1.5, 2.0), (2.0, 3.0), (3.0, 3.25)]);
    }
}
