//! How far a query's energy is from the truth, by each method, on simulated power: no program is started,
//! and the machine's load doesn't matter.

use anyhow::{Context, Result};
use e2e::simulated::{BACK_TO_BACK, Counter, PAUSES, Query, Reads, Trace};
use energy_proto::{Nanos, SensorInfo, SensorKind};
use fastrand::Rng;
use ipw::attribution::energy::{Sampling, window_energy};
use ipw::attribution::fit::{Fit, Stretch};

use crate::Effort;
use crate::finding::{Finding, Verdict, shown};

const QUERIES: usize = 120;
/// In joules, and in microjoules.
const QUANTUM: f64 = 1e-3;
const QUANTUM_MICROJOULES: u64 = 1_000;

/// A load and a counter.
struct Scenario {
    name: &'static str,
    counter: Counter,
    /// Seconds of a query.
    length: f64,
    /// Time between queries; nothing if power knows nothing of them.
    pauses: Option<(f64, f64)>,
    /// The most that the mean error may be, in percent. A bias may be a third of it.
    at_most: f64,
}

const fn counter(period: f64, jitter: f64) -> Counter {
    Counter { period, jitter }
}

const STEADY: Counter = counter(0.1, 0.0);

const fn scenario(
    name: &'static str,
    counter: Counter,
    length: f64,
    pauses: Option<(f64, f64)>,
    at_most: f64,
) -> Scenario {
    Scenario { name, counter, length, pauses, at_most }
}

/// In the order of the promises.
const SCENARIOS: [Scenario; 14] = [
    scenario("100 ms, 1 s with pauses", STEADY, 1.0, Some(PAUSES), 0.3),
    scenario("100 ms, 300 ms with pauses", STEADY, 0.3, Some(PAUSES), 1.2),
    scenario("100 ms, 100 ms with pauses", STEADY, 0.1, Some(PAUSES), 1.0),
    scenario("100 ms, 1 s back to back", STEADY, 1.0, Some(BACK_TO_BACK), 0.4),
    scenario("100 ms, 300 ms back to back", STEADY, 0.3, Some(BACK_TO_BACK), 2.0),
    scenario("100 ms, 100 ms back to back", STEADY, 0.1, Some(BACK_TO_BACK), 5.0),
    scenario("100 ms, 1 s anywhere", STEADY, 1.0, None, 1.7),
    scenario("200 ms, 1 s with pauses", counter(0.2, 0.0), 1.0, Some(PAUSES), 1.0),
    scenario("200 ms, 300 ms with pauses", counter(0.2, 0.0), 0.3, Some(PAUSES), 2.0),
    scenario("20 ms, 1 s with pauses", counter(0.02, 0.0), 1.0, Some(PAUSES), 0.2),
    scenario("20 ms, 300 ms with pauses", counter(0.02, 0.0), 0.3, Some(PAUSES), 0.6),
    scenario("100 +-5 ms, 1 s with pauses", counter(0.1, 0.05), 1.0, Some(PAUSES), 0.45),
    scenario("100 +-5 ms, 300 ms with pauses", counter(0.1, 0.05), 0.3, Some(PAUSES), 1.8),
    scenario("100 +-5 ms, 100 ms with pauses", counter(0.1, 0.05), 0.1, Some(PAUSES), 1.5),
];

/// Measures all methods on all scenarios.
pub(crate) fn measure(effort: Effort) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for scenario in SCENARIOS {
        findings.extend(scenario.measure(effort.pick(20, 4))?);
    }
    Ok(findings)
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
    /// Queries that have hard bounds, and truths outside of them.
    bounded: usize,
    outside: usize,
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
        let trace = match self.pauses {
            Some(pauses) => Trace::of_queries(QUERIES, self.length, pauses, rng),
            None => Trace::of_random_steps(QUERIES, self.length, rng),
        };
        let stretches = match self.pauses {
            Some(_) => trace.stretches(),
            None => vec![Stretch { from: 0.0, to: trace.seconds(), kind: 0 }],
        };
        let reads = self.counter.read(&trace, rng);
        let fit = Fit::solve(reads.points.clone(), &stretches, QUANTUM).context("no solution")?;
        for query in &trace.queries {
            errors.add(&trace, &reads, &fit, *query)?;
        }
        Ok(())
    }

    fn findings(&self, errors: &Errors) -> Vec<Finding> {
        let Self { name, at_most, .. } = self;
        let (error, bias) = (mean_size(&errors.fit), mean(&errors.fit));
        let line = mean_size(&errors.line);
        let reached = error <= *at_most && bias.abs() <= at_most / 3.0 && error <= line;
        let inside = errors.intervals.iter().filter(|(inside, _)| *inside).count();
        let inside = 100.0 * inside as f64 / errors.intervals.len() as f64;
        let widths: Vec<f64> = errors.intervals.iter().map(|(_, width)| *width).collect();
        let width = ipw::analysis::stats::median(&widths).unwrap_or(f64::NAN);
        vec![
            Finding::stated(
                &format!("{name}: mean error of the fit"),
                format!("<= {at_most} %, bias a third, line no better"),
                format!("{} %, bias {} %", shown(error), shown(bias)),
                Verdict::of(reached),
            ),
            Finding::stated(
                "  of a line; of the first and last read; of the fit's prefill",
                String::new(),
                format!(
                    "{} %; {} %; {} %",
                    shown(line),
                    shown(mean_size(&errors.first_and_last)),
                    shown(mean_size(&errors.prefill))
                ),
                Verdict::NotJudged,
            ),
            Finding::stated(
                "  truths inside the 95 % interval; its width",
                "94 to 98 %".to_owned(),
                format!("{} %; {} %", shown(inside), shown(width)),
                Verdict::of((94.0..=98.0).contains(&inside)),
            ),
            Finding::stated(
                "  truths outside the hard bounds",
                "0".to_owned(),
                format!("{} of {} that have any", errors.outside, errors.bounded),
                Verdict::of(errors.outside == 0 && errors.bounded > 0),
            ),
        ]
    }
}

impl Errors {
    fn add(&mut self, trace: &Trace, reads: &Reads, fit: &Fit, query: Query) -> Result<()> {
        let Query { start, first_token, end } = query;
        let truth = trace.energy(start, end);
        let percent = |joules: f64, truth: f64| 100.0 * (joules - truth) / truth;
        let found = fit.energy(start, end).context("a query beyond the counter's reads")?;
        let prefill = fit.energy(start, first_token).context("no prefill")?;
        self.fit.push(percent(found.joules, truth));
        self.line.push(percent(reads.line(start, end), truth));
        self.first_and_last.push(percent(reads.first_and_last(start, end), truth));
        self.prefill.push(percent(prefill.joules, trace.energy(start, first_token)));
        let half = 1.96 * found.sd;
        self.intervals.push(((found.joules - truth).abs() <= half, 100.0 * 2.0 * half / truth));
        let sensor = SensorInfo {
            quantum_microjoules: Some(QUANTUM_MICROJOULES),
            ..SensorInfo::new(0, SensorKind::Gpu, "simulated")
        };
        let at = |seconds: f64| Nanos((seconds * 1e9).round() as u64);
        let bounds =
            window_energy(&sensor, &reads.readings, at(start), at(end), Sampling::default());
        // One in which the counter didn't move has none.
        if let Ok(bounds) = bounds {
            let held = bounds.lower.0 <= truth && truth <= bounds.upper.0;
            self.bounded += 1;
            self.outside += usize::from(!held);
        }
        Ok(())
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn mean_size(values: &[f64]) -> f64 {
    values.iter().map(|value| value.abs()).sum::<f64>() / values.len() as f64
}
