//! How far a query's energy is from the truth, by each method, on simulated power: no program is started,
//! and the machine's load doesn't matter.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use e2e::simulated::{BACK_TO_BACK, Counter, PAUSES, Query, Reads, Trace, long_run};
use fastrand::Rng;
use ipw::analysis::stats::{mean, median};
use ipw::attribution::energy::{NoEnergy, Sampling, shared_energy};
use ipw::attribution::load::Load;
use ipw::attribution::solved::Solved;

use crate::Effort;
use crate::energy::mean_size;
use crate::finding::{Finding, Verdict, shown};

const QUERIES: usize = 120;

/// A load and a counter.
struct Scenario {
    name: &'static str,
    counter: Counter,
    /// Seconds of a query.
    length: f64,
    rhythm: Rhythm,
    /// The most that the mean error may be, in percent. A bias may be a third of it.
    at_most: f64,
}

/// When queries are sent.
enum Rhythm {
    /// So long after the last one.
    After((f64, f64)),
    /// As `--precise` has it.
    Precise,
    /// At any time, and power knows nothing of them.
    Anywhere,
}

use Rhythm::{After, Anywhere, Precise};

const fn counter(period: f64, jitter: f64) -> Counter {
    Counter { period, jitter }
}

const STEADY: Counter = counter(0.1, 0.0);

const fn scenario(
    name: &'static str,
    counter: Counter,
    length: f64,
    rhythm: Rhythm,
    at_most: f64,
) -> Scenario {
    Scenario { name, counter, length, rhythm, at_most }
}

/// In the order of the promises.
const SCENARIOS: [Scenario; 17] = [
    scenario("100 ms, 1 s with pauses", STEADY, 1.0, After(PAUSES), 0.3),
    scenario("100 ms, 300 ms with pauses", STEADY, 0.3, After(PAUSES), 1.2),
    scenario("100 ms, 100 ms with pauses", STEADY, 0.1, After(PAUSES), 1.0),
    scenario("100 ms, 1 s back to back", STEADY, 1.0, After(BACK_TO_BACK), 0.4),
    scenario("100 ms, 300 ms back to back", STEADY, 0.3, After(BACK_TO_BACK), 2.0),
    scenario("100 ms, 100 ms back to back", STEADY, 0.1, After(BACK_TO_BACK), 5.0),
    scenario("100 ms, 1 s precise", STEADY, 1.0, Precise, 0.2),
    scenario("100 ms, 300 ms precise", STEADY, 0.3, Precise, 0.6),
    scenario("100 ms, 100 ms precise", STEADY, 0.1, Precise, 0.8),
    scenario("100 ms, 1 s anywhere", STEADY, 1.0, Anywhere, 1.7),
    scenario("200 ms, 1 s with pauses", counter(0.2, 0.0), 1.0, After(PAUSES), 1.0),
    scenario("200 ms, 300 ms with pauses", counter(0.2, 0.0), 0.3, After(PAUSES), 2.0),
    scenario("20 ms, 1 s with pauses", counter(0.02, 0.0), 1.0, After(PAUSES), 0.2),
    scenario("20 ms, 300 ms with pauses", counter(0.02, 0.0), 0.3, After(PAUSES), 0.6),
    scenario("100 +-5 ms, 1 s with pauses", counter(0.1, 0.05), 1.0, After(PAUSES), 0.45),
    scenario("100 +-5 ms, 300 ms with pauses", counter(0.1, 0.05), 0.3, After(PAUSES), 1.8),
    scenario("100 +-5 ms, 100 ms with pauses", counter(0.1, 0.05), 0.1, After(PAUSES), 1.5),
];

/// Measures all methods on all scenarios.
pub(crate) fn measure(effort: Effort) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for scenario in SCENARIOS {
        findings.extend(scenario.measure(effort.pick(20, 4)).context(scenario.name)?);
    }
    findings.push(speed()?);
    Ok(findings)
}

const MANY_READS: u64 = 1_000_000;

/// How long the final pass takes for a run of so many reads and a tenth of that in queries.
fn seconds(reads: u64) -> Result<f64> {
    let (windows, sensor, readings) = long_run(reads);
    let begun = Instant::now();
    let load = Load::of(windows.iter().copied());
    let solved = Solved::of(&sensor, &readings, &load, Duration::from_millis(50));
    for window in &windows {
        let shares = load.shares(window.start, window.end);
        let found = shared_energy(&sensor, &readings, &shares, Sampling::default(), Some(&solved));
        let found = found.map_err(|reason| anyhow::anyhow!("no energy: {}", reason.as_str()))?;
        black_box(found);
    }
    Ok(begun.elapsed().as_secs_f64())
}

fn speed() -> Result<Finding> {
    let (half, whole) = (seconds(MANY_READS / 2)?, seconds(MANY_READS)?);
    Ok(Finding::stated(
        "a million reads and 100,000 windows",
        "< 1 s; twice the time of half of it".to_owned(),
        format!("{whole:.2} s; {:.1} times", whole / half),
        Verdict::of(whole < 1.0 && whole / half < 2.5),
    ))
}

/// Errors in percent of the truth, one a query.
#[derive(Default)]
struct Errors {
    fit: Vec<f64>,
    line: Vec<f64>,
    first_and_last: Vec<f64>,
    prefill: Vec<f64>,
    /// Whether the truth is inside the 95 % interval, whose full width is so much of it.
    intervals: Vec<(bool, f64)>,
    /// Truths outside of the hard bounds.
    outside: usize,
    /// Queries whose energy, or whose prefill's, is refused for want of resolution.
    refused: usize,
}

impl Scenario {
    fn measure(&self, phases: usize) -> Result<Vec<Finding>> {
        let mut rng = Rng::with_seed(7);
        let mut errors = Errors::default();
        for _phase in 0..phases {
            self.add_phase(&mut errors, &mut rng)?;
        }
        Ok(self.findings(&errors))
    }

    fn add_phase(&self, errors: &mut Errors, rng: &mut Rng) -> Result<()> {
        let (counter, length) = (self.counter, self.length);
        let phase = counter.phase(rng);
        let trace = match self.rhythm {
            After(pauses) => Trace::of_queries(QUERIES, length, pauses, rng),
            Precise => Trace::of_precise_queries(QUERIES, length, (phase, counter.period), rng),
            Anywhere => Trace::of_random_steps(QUERIES, length, rng),
        };
        let load = match self.rhythm {
            After(_) | Precise => trace.load(),
            Anywhere => Load::default(),
        };
        let reads = counter.read(&trace, phase, rng);
        let solved = reads.solved(&load);
        for query in &trace.queries {
            errors.add(&trace, &reads, &solved, *query)?;
        }
        Ok(())
    }

    fn findings(&self, errors: &Errors) -> Vec<Finding> {
        let Self { name, at_most, .. } = self;
        let known = |figure: Option<f64>| figure.unwrap_or(f64::NAN);
        let (error, bias) = (known(mean_size(&errors.fit)), known(mean(&errors.fit)));
        let line = known(mean_size(&errors.line));
        let reached = error <= *at_most && bias.abs() <= at_most / 3.0 && error <= line;
        let inside = errors.intervals.iter().filter(|(inside, _)| *inside).count();
        let inside = 100.0 * inside as f64 / errors.intervals.len() as f64;
        let widths: Vec<f64> = errors.intervals.iter().map(|(_, width)| *width).collect();
        let width = known(median(&widths));
        vec![
            Finding::stated(
                &format!("{name}: mean error"),
                format!("<= {at_most} %, bias a third, line no better"),
                format!("{} %, bias {} %", shown(error), shown(bias)),
                Verdict::of(reached),
            ),
            Finding::stated(
                "  of a line; of the first and last read; of the prefill",
                String::new(),
                format!(
                    "{} %; {} %; {} %",
                    shown(line),
                    shown(known(mean_size(&errors.first_and_last))),
                    shown(known(mean_size(&errors.prefill)))
                ),
                Verdict::NotJudged,
            ),
            Finding::stated(
                "  truths inside the 95 % interval; its width; on lines, without one",
                "94 to 98 %".to_owned(),
                format!(
                    "{} %; {} %; {}",
                    shown(inside),
                    shown(width),
                    errors.fit.len() - errors.intervals.len()
                ),
                Verdict::of((94.0..=98.0).contains(&inside)),
            ),
            Finding::stated(
                "  truths outside the hard bounds; refused",
                "0".to_owned(),
                format!("{} of {}; {}", errors.outside, errors.fit.len(), errors.refused),
                Verdict::of(errors.outside == 0 && !errors.fit.is_empty()),
            ),
        ]
    }
}

impl Errors {
    fn add(&mut self, trace: &Trace, reads: &Reads, solved: &Solved, query: Query) -> Result<()> {
        let Query { start, first_token, end } = query;
        let truth = trace.energy(start, end);
        let percent = |joules: f64, truth: f64| 100.0 * (joules - truth) / truth;
        self.line.push(percent(reads.line(start, end), truth));
        self.first_and_last.push(percent(reads.first_and_last(start, end), truth));
        match reads.energy(solved, start, first_token) {
            Ok(prefill) => {
                self.prefill.push(percent(prefill.energy.0, trace.energy(start, first_token)));
            }
            Err(reason) => self.refuse(reason)?,
        }
        let found = match reads.energy(solved, start, end) {
            Ok(found) => found,
            Err(reason) => return self.refuse(reason),
        };
        self.fit.push(percent(found.energy.0, truth));
        let off = (found.energy.0 - truth).abs();
        let half = found.ci95().map(|half| half.0);
        self.intervals.extend(half.map(|half| (off <= half, 100.0 * 2.0 * half / truth)));
        let held = found.lower.0 <= truth && truth <= found.upper.0;
        self.outside += usize::from(!held);
        Ok(())
    }

    fn refuse(&mut self, reason: NoEnergy) -> Result<()> {
        let is_refusal = matches!(reason, NoEnergy::TooUncertain | NoEnergy::TooShort);
        anyhow::ensure!(is_refusal, "no energy: {}", reason.as_str());
        self.refused += 1;
        Ok(())
    }
}
