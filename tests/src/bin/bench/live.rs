//! How near a query's joules are to the truth when the queries make the load: `ipw profile` with its own
//! monitor, a fake server, and a fake GPU that follows the server and whose counter moves every 100 ms.
//!
//! Truth: the integral of the load as the server wrote it down over the query's window in requests.jsonl,
//! both on the same clock. The counter is the same integral, whatever the scheduler does, so the truth is
//! exact. How far the server's stamps are from those of `ipw` is told beside: the way through the kernel and
//! the wait for a core, as with a real server. Errors and widths in percent of the truth.

use std::time::Duration;

use anyhow::{Context, Result};
use e2e::fake_server::{Behaviour, ChatRequest, FakeServer, Fault, Flavour, RequestLog, Setup};
use e2e::live::Queries;
use energy_proto::Nanos;
use fake_nvml::{Gpu, Model};
use ipw::analysis::stats::{mean, median, quantile};

use crate::energy::{mean_size, p95_of_size};
use crate::finding::{Finding, Verdict, shown};
use crate::profile::{Profile, Query};
use crate::{Effort, report};

/// Has no factor in common with the counter's period.
const PHASE_STRIDE_MS: u64 = 37;

/// What lies between two queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// What `ipw` needs to go on.
    BackToBack,
    /// A quarter to half a second: the server turns each query away once, and `ipw` sends it again.
    Pauses,
    /// What `ipw` waits for by itself.
    Precise,
}

/// Queries of one kind.
#[derive(Debug, Clone, Copy)]
struct Scenario {
    name: &'static str,
    pace: Pace,
    length: Duration,
    /// In a round.
    queries: usize,
    /// The most that the mean error may be, in percent. A bias may be a third of it.
    at_most: f64,
}

const fn of_1_s(name: &'static str, pace: Pace, at_most: f64) -> Scenario {
    Scenario { name, pace, length: Duration::from_secs(1), queries: 40, at_most }
}

const fn of_300_ms(name: &'static str, pace: Pace, at_most: f64) -> Scenario {
    Scenario { name, pace, length: Duration::from_millis(300), queries: 80, at_most }
}

const fn of_100_ms(name: &'static str, pace: Pace, at_most: f64) -> Scenario {
    Scenario { name, pace, length: Duration::from_millis(100), queries: 150, at_most }
}

/// In the order of the promises.
const SCENARIOS: [Scenario; 9] = [
    of_1_s("1 s with pauses", Pace::Pauses, 0.3),
    of_300_ms("300 ms with pauses", Pace::Pauses, 1.2),
    of_100_ms("100 ms with pauses", Pace::Pauses, 1.0),
    of_1_s("1 s back to back", Pace::BackToBack, 0.4),
    of_300_ms("300 ms back to back", Pace::BackToBack, 2.0),
    of_100_ms("100 ms back to back", Pace::BackToBack, 5.0),
    of_1_s("1 s with --precise", Pace::Precise, 0.2),
    of_300_ms("300 ms with --precise", Pace::Precise, 0.6),
    of_100_ms("100 ms with --precise", Pace::Precise, 0.8),
];

/// Measures all scenarios. One that fails doesn't take the others with it.
pub(crate) fn measure(effort: Effort) -> Vec<Finding> {
    let measured = |scenario: &Scenario| {
        scenario.measure(effort).unwrap_or_else(|error| {
            report::progress(&format!("  {error:#}"));
            vec![Finding::failed(&scenario.figure())]
        })
    };
    SCENARIOS.iter().flat_map(measured).collect()
}

impl Pace {
    fn flags(self) -> &'static [&'static str] {
        if self == Self::Precise { &["--precise"] } else { &[] }
    }

    fn answer(self, queries: &Queries, request: &ChatRequest) -> Behaviour {
        // The first request loads the model; of those after it every other one is a second attempt.
        if self == Self::Pauses && !request.index.is_multiple_of(2) {
            return Behaviour::default().failing(Fault::Loading);
        }
        queries.answer(request)
    }
}

impl Scenario {
    fn figure(&self) -> String {
        format!("live, {}: mean absolute error", self.name)
    }

    fn measure(&self, effort: Effort) -> Result<Vec<Finding>> {
        let count = self.queries / effort.pick(1, 4);
        let mut rounds = Vec::new();
        for number in 0..effort.rounds() {
            report::progress(&format!("  round {}: {count} queries of {}", number + 1, self.name));
            rounds.push(self.round(number as u64, count)?);
        }
        Ok(self.findings(&rounds))
    }

    fn round(&self, number: u64, count: usize) -> Result<Vec<Judged>> {
        let scratch = tempfile::tempdir()?;
        let queries = Queries::new(scratch.path().join("load"), self.length, number)?;
        let gpu = Gpu { phase_ms: number * PHASE_STRIDE_MS % 100, ..queries.gpu() };
        let setup = Setup::new(Flavour::Vllm);
        let model = setup.model.clone();
        let pace = self.pace;
        let server = FakeServer::start(setup, move |request| pace.answer(&queries, request))?;
        let prompts: Vec<String> = (0..count).map(|number| format!("question {number}")).collect();
        let profile = Profile {
            client: "vllm",
            server: &server.url(),
            model: &model,
            prompts: &prompts,
            gpus: Some(&Model { gpus: vec![gpu.clone()], ..Model::default() }),
            flags: pace.flags(),
        };
        let measured = profile.run()?;
        let chats = server.chats();
        measured.iter().map(|query| Judged::of(query, &gpu, &chats)).collect()
    }

    fn findings(&self, rounds: &[Vec<Judged>]) -> Vec<Finding> {
        let errors = |queries: &[Judged]| -> Vec<f64> {
            queries.iter().filter_map(|query| query.error_pct).collect()
        };
        let sizes: Vec<f64> = rounds.iter().filter_map(|round| mean_size(&errors(round))).collect();
        let all = rounds.concat();
        let (p95, bias) = (p95_of_size(&errors(&all)), mean(&errors(&all)));
        let most_bias = self.at_most / 3.0;
        let bounds = Held::of(all.iter().map(|query| query.bounds));
        let interval = Held::of(all.iter().map(|query| query.interval));
        let distances = [0, 1, 2].map(|which| {
            let mut of_all: Vec<f64> = all.iter().map(|query| query.distances_ms[which]).collect();
            of_all.sort_by(f64::total_cmp);
            known(quantile(&of_all, 0.95))
        });
        vec![
            Finding::median(&self.figure(), "%", Some(self.at_most), &sizes),
            Finding::stated(
                "  p95 of the absolute error; bias",
                format!("bias <= {} %", shown(most_bias)),
                format!("{} %; {} %", known(p95), known(bias)),
                Verdict::of(bias.is_some_and(|bias| bias.abs() <= most_bias)),
            ),
            Finding::stated(
                "  truths within the row's bounds",
                "all".to_owned(),
                bounds.words(),
                Verdict::of(bounds.there > 0 && bounds.held == bounds.there),
            ),
            Finding::stated(
                "  truths within the row's 95 % interval",
                String::new(),
                interval.words(),
                Verdict::NotJudged,
            ),
            Finding::stated(
                "  p95 from the server's stamp to ipw's: start; first token; end",
                String::new(),
                format!("{} ms", distances.join("; ")),
                Verdict::NotJudged,
            ),
        ]
    }
}

/// One query against the truth. What its row doesn't tell is absent.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Judged {
    error_pct: Option<f64>,
    bounds: Option<Range>,
    interval: Option<Range>,
    /// From the server's stamp of the start, the first token and the end to ours, in milliseconds.
    distances_ms: [f64; 3],
}

impl Judged {
    fn of(query: &Query, gpu: &Gpu, chats: &[RequestLog]) -> Result<Self> {
        let request = &query.request;
        let energy = &query.row.metrics.energy_metrics;
        let truth = gpu.true_energy(request.start, request.end).0;
        let joules = energy.basis_joules;
        let bounds = energy.basis_joules_lower.zip(energy.basis_joules_upper);
        let around = joules.zip(energy.basis_joules_ci95);
        let interval = around.map(|(joules, half)| (joules - half, joules + half));
        Ok(Self {
            error_pct: joules.map(|joules| (joules - truth) / truth * 100.0),
            bounds: bounds.map(|ends| Range::of(ends, truth)),
            interval: interval.map(|ends| Range::of(ends, truth)),
            distances_ms: distances_ms(query, chats)?,
        })
    }
}

fn distances_ms(query: &Query, chats: &[RequestLog]) -> Result<[f64; 3]> {
    let request = &query.request;
    let (served, written) = query.served(chats)?;
    let ended = served.ended.context("the server didn't end its answer")?;
    let apart = |one: Nanos, other: Nanos| one.since(other).max(other.since(one)).as_secs_f64();
    let seconds = [
        apart(request.start, served.received),
        apart(query.first_token()?, written),
        apart(request.end, ended),
    ];
    Ok(seconds.map(|seconds| seconds * 1e3))
}

/// Two ends that the truth should lie between.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Range {
    holds_truth: bool,
    width_pct: f64,
}

impl Range {
    fn of((lower, upper): (f64, f64), truth: f64) -> Self {
        let holds_truth = lower <= truth && truth <= upper;
        Self { holds_truth, width_pct: (upper - lower) / truth * 100.0 }
    }
}

/// How many of the ranges that are there hold their truth.
struct Held {
    held: usize,
    there: usize,
    all: usize,
    /// The median.
    width_pct: Option<f64>,
}

impl Held {
    fn of(ranges: impl Iterator<Item = Option<Range>>) -> Self {
        let all: Vec<Option<Range>> = ranges.collect();
        let there: Vec<Range> = all.iter().flatten().copied().collect();
        let widths: Vec<f64> = there.iter().map(|range| range.width_pct).collect();
        Self {
            held: there.iter().filter(|range| range.holds_truth).count(),
            there: there.len(),
            all: all.len(),
            width_pct: median(&widths),
        }
    }

    fn words(&self) -> String {
        let Some(width) = self.width_pct else { return "-".to_owned() };
        let none = match self.all - self.there {
            0 => String::new(),
            missing => format!(" ({missing} rows have none)"),
        };
        format!("{} of {}{none}, {} % wide", self.held, self.there, shown(width))
    }
}

fn known(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELD: Range = Range { holds_truth: true, width_pct: 10.0 };

    fn judged(error_pct: f64, bounds: Option<Range>) -> Judged {
        let distances_ms = [0.2, 0.1, 0.1];
        Judged { error_pct: Some(error_pct), bounds, interval: None, distances_ms }
    }

    fn missed(queries: &[Judged]) -> Vec<bool> {
        let findings = SCENARIOS[0].findings(&[queries.to_vec()]);
        findings.iter().map(Finding::is_missed).collect()
    }

    #[test]
    fn errors_of_both_signs_do_not_cancel_in_the_error_and_do_in_the_bias() {
        let queries = [judged(4.0, Some(HELD)), judged(-4.0, Some(HELD))];
        assert_eq!(missed(&queries), [true, false, false, false, false]);
        let biased = [judged(0.2, Some(HELD)), judged(0.2, Some(HELD))];
        assert_eq!(missed(&biased), [false, true, false, false, false]);
    }

    #[test]
    fn a_truth_outside_is_a_miss_and_bounds_that_no_row_has_are_too() {
        let outside = Range { holds_truth: false, ..HELD };
        assert!(missed(&[judged(0.0, Some(HELD)), judged(0.0, Some(outside))])[2]);
        assert!(missed(&[judged(0.0, None)])[2]);
        assert!(!missed(&[judged(0.0, Some(HELD)), judged(0.0, None)])[2]);
    }

    #[test]
    fn rows_without_bounds_are_counted_and_what_nobody_has_is_a_dash() {
        let some = Held::of([Some(HELD), None, Some(HELD)].into_iter());
        assert_eq!(some.words(), "2 of 2 (1 rows have none), 10.0 % wide");
        assert_eq!(Held::of([None].into_iter()).words(), "-");
    }

    #[test]
    fn a_range_is_as_wide_as_its_ends_are_apart_in_percent_of_the_truth() {
        assert_eq!(Range::of((95.0, 105.0), 100.0), HELD);
        assert!(!Range::of((101.0, 111.0), 100.0).holds_truth);
    }

    #[test]
    fn every_query_is_turned_away_once_where_there_are_pauses() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("load");
        let queries = Queries::new(path, Duration::from_millis(100), 0).unwrap();
        let turned_away = |pace: Pace, index| {
            let body = serde_json::Value::Null;
            let request = ChatRequest { index, prompt: String::new(), body };
            pace.answer(&queries, &request).fault.is_some()
        };
        assert_eq!(
            [0, 1, 2, 3].map(|index| turned_away(Pace::Pauses, index)),
            [false, true, false, true]
        );
        assert!((0..4).all(|index| !turned_away(Pace::BackToBack, index)));
    }
}
