//! How near a query's joules are to the truth: 1 s queries through the whole of `ipw profile`, on a
//! fake GPU whose counter moves every 100 ms and whose power doesn't depend on the queries.
//!
//! Truth: the integral of the fake's power over the query's window in requests.jsonl. Errors in
//! percent of it. What a real sensor adds (gain, lag, jitter) and a load that begins and ends with
//! the query are not in it.

use std::time::Duration;

use anyhow::{Context, Result};
use e2e::fake_server::{Behaviour, FakeServer, Flavour, Setup};
use fake_nvml::{Gpu, Model, PowerShape};
use ipw::analysis::stats::{mean, quantile};

use crate::finding::{Finding, Verdict, shown};
use crate::profile::{Profile, Query};
use crate::{Effort, report};

/// Power as of a server whose load comes and goes faster than the queries, and slowly.
const SHAPES: [PowerShape; 2] = [
    PowerShape::Square { low: 90.0, high: 510.0, period_ms: 370, duty: 0.4 },
    PowerShape::Sine { mean: 300.0, amplitude: 200.0, period_ms: 730 },
];
const TOKENS: usize = 31;
const PER_TOKEN: Duration = Duration::from_millis(30);
/// With the tokens: from 0.95 to 1.05 s.
const SHORTEST_PREFILL_MS: u64 = 50;
const PREFILL_SPREAD_MS: u64 = 100;
/// Has no factor in common with the spread or the refresh period: edges fall everywhere in a period.
const STRIDE_MS: u64 = 37;

/// One query against the truth.
struct Judged {
    /// Relative to the truth, in percent.
    error_pct: f64,
    is_within_bounds: bool,
    /// Half the distance of the bounds, in percent of the truth.
    half_width_pct: f64,
}

/// Measures errors and bounds.
pub(crate) fn measure(effort: Effort) -> Result<Vec<Finding>> {
    let prompts: Vec<String> =
        (0..effort.pick(20, 8)).map(|number| format!("question {number}")).collect();
    let mut rounds = Vec::new();
    for number in 0..effort.rounds() {
        report::progress(&format!("  round {}: {} queries of 1 s", number + 1, prompts.len()));
        rounds.push(round(number, &prompts)?);
    }
    findings(&rounds)
}

fn round(number: usize, prompts: &[String]) -> Result<Vec<Judged>> {
    let gpu = Gpu {
        refresh_ms: 100,
        phase_ms: number as u64 * STRIDE_MS % 100,
        power: SHAPES[number % SHAPES.len()].clone(),
        ..Gpu::default()
    };
    let setup = Setup::new(Flavour::Vllm);
    let model = setup.model.clone();
    let server = FakeServer::start(setup, |request| second(request.index as u64))?;
    let profile = Profile {
        client: "vllm",
        server: &server.url(),
        model: &model,
        prompts,
        gpus: Some(&Model { gpus: vec![gpu.clone()], ..Model::default() }),
        flags: &[],
    };
    profile.run()?.iter().map(|query| judge(query, &gpu)).collect()
}

/// An answer that takes about a second, each a little longer or shorter than the last.
fn second(index: u64) -> Behaviour {
    let prefill = SHORTEST_PREFILL_MS + index * STRIDE_MS % PREFILL_SPREAD_MS;
    Behaviour::saying(&" word".repeat(TOKENS)).timed(Duration::from_millis(prefill), PER_TOKEN)
}

fn judge(query: &Query, gpu: &Gpu) -> Result<Judged> {
    let energy = &query.row.metrics.energy_metrics;
    let known = energy.basis_joules.zip(energy.basis_joules_lower.zip(energy.basis_joules_upper));
    let (joules, (lower, upper)) = known.with_context(|| {
        format!("query {} has no energy: {:?}", query.row.query_index, energy.status)
    })?;
    let truth = gpu.true_energy(query.request.start, query.request.end).0;
    Ok(Judged {
        error_pct: (joules - truth) / truth * 100.0,
        is_within_bounds: lower <= truth && truth <= upper,
        half_width_pct: (upper - lower) / 2.0 / truth * 100.0,
    })
}

fn findings(rounds: &[Vec<Judged>]) -> Result<Vec<Finding>> {
    let per_round = |value: fn(&[f64]) -> Option<f64>| {
        let of_round = |round: &Vec<Judged>| {
            value(&round.iter().map(|query| query.error_pct).collect::<Vec<f64>>())
        };
        rounds.iter().map(of_round).collect::<Option<Vec<f64>>>().context("a round has no query")
    };
    let all: Vec<&Judged> = rounds.iter().flatten().collect();
    let within = all.iter().filter(|query| query.is_within_bounds).count();
    let widths: Vec<f64> = all.iter().map(|query| query.half_width_pct).collect();
    let width = mean(&widths).context("no query")?;
    Ok(vec![
        Finding::median(
            "energy of 1 s: mean absolute error",
            "%",
            Some(3.0),
            &per_round(mean_size)?,
        ),
        Finding::median("  p95 of the absolute error", "%", None, &per_round(p95_of_size)?),
        Finding::median("  bias", "%", None, &per_round(mean)?),
        Finding::stated(
            "energy of 1 s: truths within the row's bounds",
            "all".to_owned(),
            format!("{within} of {}, bounds +-{} % wide", all.len(), shown(width)),
            Verdict::of(within == all.len()),
        ),
    ])
}

fn sizes(errors: &[f64]) -> Vec<f64> {
    let mut sizes: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    sizes
}

pub(crate) fn mean_size(errors: &[f64]) -> Option<f64> {
    mean(&sizes(errors))
}

pub(crate) fn p95_of_size(errors: &[f64]) -> Option<f64> {
    quantile(&sizes(errors), 0.95)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(error_pct: f64, is_within_bounds: bool) -> Judged {
        Judged { error_pct, is_within_bounds, half_width_pct: 8.0 }
    }

    #[test]
    fn errors_of_both_signs_do_not_cancel() {
        let findings = findings(&[vec![judged(4.0, true), judged(-4.0, true)]]).unwrap();
        assert!(findings[0].is_missed());
        assert!(!findings[3].is_missed());
    }

    #[test]
    fn one_truth_outside_its_bounds_is_a_miss() {
        let findings = findings(&[vec![judged(1.0, true), judged(1.0, false)]]).unwrap();
        assert!(!findings[0].is_missed());
        assert!(findings[3].is_missed());
    }

    #[test]
    fn every_answer_takes_about_a_second_and_hardly_two_take_the_same() {
        let times: Vec<Duration> =
            (0..20).map(|index| second(index).prefill + PER_TOKEN * (TOKENS as u32 - 1)).collect();
        assert!(times.iter().all(|time| (0.95..1.05).contains(&time.as_secs_f64())));
        assert!(times.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
