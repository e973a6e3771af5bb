//! A run's rows as the analysis sees them: which are scored, which have energy, and which have not.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::evaluation::Verdict;
use crate::record::{EvaluationMetrics, ProfilingRecord, QueryStatus};

/// The basis, and the method, of energy that no counter measured.
const ESTIMATED: [&str; 2] = ["cpu_estimated", "estimated"];

/// What the analysis needs of one query.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredQuery {
    /// Position in the dataset.
    pub query_index: i64,
    /// What the prompt is about.
    pub subject: String,
    /// How the query ended; only `Ok` is scored.
    pub status: QueryStatus,
    /// Whether generation ended at the token limit.
    pub cut_off: bool,
    /// The verdict on the answer.
    pub verdict: Verdict,
    /// Evaluator and rule, e.g. `letter:answer_is`.
    pub method: Option<String>,
    /// The energy basis.
    pub basis: Option<String>,
    /// How the energy was had: counter, integrated, estimated.
    pub energy_method: Option<String>,
    /// `ok`, or why there is no energy.
    pub energy_status: Option<String>,
    /// Energy of the basis in joules.
    pub basis_joules: Option<f64>,
    /// From the request's start to its end.
    pub seconds: Option<f64>,
    /// From the request's start to the first token.
    pub time_to_first_token_seconds: Option<f64>,
    /// Generated tokens.
    pub output_tokens: Option<i64>,
    /// Generated tokens per second of the query.
    pub tokens_per_second: Option<f64>,
    /// Energy of the basis in joules for each generated token.
    pub joules_per_output_token: Option<f64>,
}

impl From<&ProfilingRecord> for ScoredQuery {
    fn from(record: &ProfilingRecord) -> Self {
        let metrics = &record.metrics;
        let energy = &metrics.energy_metrics;
        Self {
            query_index: record.query_index,
            subject: record.subject.clone(),
            status: record.status,
            cut_off: record.finish_reason.as_deref() == Some("length"),
            verdict: metrics.evaluation.as_ref().map_or(Verdict::Unevaluated, verdict),
            method: metrics.evaluation.as_ref().map(|evaluation| evaluation.method.clone()),
            basis: energy.basis.clone(),
            energy_method: energy.method.clone(),
            energy_status: energy.status.clone(),
            basis_joules: energy.basis_joules,
            seconds: metrics.latency_metrics.total_query_seconds,
            time_to_first_token_seconds: metrics.latency_metrics.time_to_first_token_seconds,
            output_tokens: metrics.token_metrics.output,
            tokens_per_second: metrics.latency_metrics.throughput_tokens_per_sec,
            joules_per_output_token: energy.energy_per_output_token_joules,
        }
    }
}

/// What counts of an evaluation's metadata.
#[derive(Deserialize)]
struct Kept {
    verdict: Verdict,
}

/// The verdict that a row keeps: in its metadata, which tells unparsed from incorrect.
fn verdict(evaluation: &EvaluationMetrics) -> Verdict {
    let kept = serde_json::from_str::<Kept>(&evaluation.metadata).ok().map(|kept| kept.verdict);
    match (kept, evaluation.is_correct) {
        (Some(verdict), _) => verdict,
        (None, Some(true)) => Verdict::Correct,
        (None, Some(false)) => Verdict::Incorrect,
        (None, None) => Verdict::Unevaluated,
    }
}

/// Queries by how they ended and what was decided.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) correct: usize,
    pub(super) incorrect: usize,
    pub(super) unparsed: usize,
    pub(super) unevaluated: usize,
    pub(super) failed: usize,
}

impl Counts {
    pub(super) fn of(queries: &[ScoredQuery]) -> Self {
        let mut counts = Self::default();
        for query in queries {
            let count = match (query.status, query.verdict) {
                (QueryStatus::Error | QueryStatus::Timeout | QueryStatus::Truncated, _) => {
                    &mut counts.failed
                }
                (QueryStatus::Ok, Verdict::Correct) => &mut counts.correct,
                (QueryStatus::Ok, Verdict::Incorrect) => &mut counts.incorrect,
                (QueryStatus::Ok, Verdict::Unparsed) => &mut counts.unparsed,
                (QueryStatus::Ok, Verdict::Unevaluated) => &mut counts.unevaluated,
            };
            *count += 1;
        }
        counts
    }

    pub(super) fn scored(&self) -> usize {
        self.correct + self.incorrect + self.unparsed
    }
}

pub(super) fn is_scored(query: &ScoredQuery) -> bool {
    query.status == QueryStatus::Ok && query.verdict != Verdict::Unevaluated
}

/// The rows that are ok, scored and have basis energy, and what was seen while choosing them.
pub(super) struct EnergyRows<'a> {
    pub(super) rows: Vec<(&'a ScoredQuery, f64)>,
    pub(super) bases: BTreeSet<Option<&'a str>>,
    /// Scored rows whose energy is zero, negative or not finite: no query costs that.
    pub(super) impossible: usize,
}

impl<'a> EnergyRows<'a> {
    pub(super) fn of(queries: &'a [ScoredQuery]) -> Self {
        let (mut rows, mut impossible) = (Vec::new(), 0);
        for query in queries.iter().filter(|query| is_scored(query)) {
            match query.basis_joules {
                Some(joules) if joules.is_finite() && joules > 0.0 => rows.push((query, joules)),
                Some(_) => impossible += 1,
                None => {}
            }
        }
        let bases = rows.iter().map(|(query, _)| query.basis.as_deref()).collect();
        Self { rows, bases, impossible }
    }

    /// Joules of each row, with whether its answer is right. Joules of different things have no mean:
    /// nothing if the rows have more than one basis.
    pub(super) fn joules(&self) -> Vec<(bool, f64)> {
        if self.bases.len() > 1 {
            return Vec::new();
        }
        self.rows
            .iter()
            .map(|(query, joules)| (query.verdict == Verdict::Correct, *joules))
            .collect()
    }

    /// Mean watts of each row that has a duration, with whether its answer is right.
    pub(super) fn watts(&self) -> Vec<(bool, f64)> {
        if self.bases.len() > 1 {
            return Vec::new();
        }
        self.rows
            .iter()
            .filter_map(|(query, joules)| {
                let watts = joules / query.seconds.filter(|seconds| *seconds > 0.0)?;
                let possible = watts.is_finite() && watts > 0.0;
                possible.then_some((query.verdict == Verdict::Correct, watts))
            })
            .collect()
    }

    pub(super) fn basis(&self) -> Option<String> {
        match self.bases.len() {
            1 => self.bases.first().copied().flatten().map(str::to_owned),
            _ => None,
        }
    }
}

/// Whether an energy was estimated, and not measured.
pub(super) fn is_estimated(query: &ScoredQuery) -> bool {
    let says =
        |word: &Option<String>| word.as_deref().is_some_and(|word| ESTIMATED.contains(&word));
    query.basis_joules.is_some() && (says(&query.basis) || says(&query.energy_method))
}

#[cfg(test)]
mod tests {
    use Verdict::{Correct, Incorrect, Unevaluated, Unparsed};

    use super::*;
    use crate::dataset::Scoring;
    use crate::evaluation::{Question, evaluate};

    #[test]
    fn a_record_gives_up_its_verdict_even_if_its_metadata_is_lost() {
        let evaluation = |is_correct, metadata: &str| EvaluationMetrics {
            is_correct,
            method: String::new(),
            metadata: metadata.to_owned(),
        };
        for (response, expected) in
            [("Answer: 4", Correct), ("Answer: 5", Incorrect), ("", Unparsed)]
        {
            let metadata = &serde_json::Map::new();
            let question = Question { scoring: Scoring::Exact, reference: "4", metadata };
            assert_eq!(verdict(&evaluate(question, response).into()), expected);
        }
        for (is_correct, expected) in
            [(Some(true), Correct), (Some(false), Incorrect), (None, Unevaluated)]
        {
            for metadata in ["", "{}", "[1]", r#"{"verdict": "maybe"}"#] {
                assert_eq!(verdict(&evaluation(is_correct, metadata)), expected);
            }
        }
    }
}
