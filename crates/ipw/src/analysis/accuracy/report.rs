//! The content of `analysis/accuracy.json`, field by field.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::evaluation::Verdict;
use crate::record::{QueryStatus, Stats};

/// `analysis/accuracy.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccuracyReport {
    /// `accuracy`.
    pub analysis: String,
    /// The headline.
    pub summary: AccuracySummary,
    /// What a reader of the headline has to know, each with what to do about it.
    pub warnings: Vec<String>,
    /// The details.
    pub data: AccuracyData,
}

/// The headline: counts of queries, and figures that are `None` where they can't be known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccuracySummary {
    /// The model.
    pub model: String,
    /// Right answers.
    pub correct: usize,
    /// Wrong answers.
    pub incorrect: usize,
    /// Texts in which no answer was found; wrong, too.
    pub unparsed: usize,
    /// Answers that were not judged; outside accuracy.
    pub unevaluated: usize,
    /// Queries that did not end well; outside accuracy.
    pub failed: usize,
    /// Correct, incorrect and unparsed.
    pub total_scored: usize,
    /// Correct of all scored.
    pub accuracy: Option<f64>,
    /// Correct of those in which an answer was found.
    pub accuracy_parsed: Option<f64>,
    /// 95 % interval of `accuracy`.
    pub accuracy_ci95: Option<[f64; 2]>,
    /// Accuracy per joule of a mean query.
    pub intelligence_per_joule: Option<f64>,
    /// Its 95 % interval over queries.
    pub intelligence_per_joule_ci95: Option<[f64; 2]>,
    /// Accuracy per watt of a mean query.
    pub intelligence_per_watt: Option<f64>,
    /// Its 95 % interval over queries.
    pub intelligence_per_watt_ci95: Option<[f64; 2]>,
    /// Mean joules of the scored queries that have energy.
    pub avg_per_query_energy_joules: Option<f64>,
    /// Mean watts (joules / seconds of each query) of those that have a duration, too.
    pub avg_per_query_power_watts: Option<f64>,
    /// Queries behind the joules.
    pub energy_sample_count: usize,
    /// Queries behind the watts.
    pub power_sample_count: usize,
    /// gpu | soc | module | cpu | cpu_estimated; `None`: no energy, or more than one basis.
    pub energy_basis: Option<String>,
}

/// The details.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccuracyData {
    /// Where the accuracy comes from, by model; a run has one.
    pub per_model: BTreeMap<String, ModelAccuracy>,
    /// Each query, in the order of the rows.
    pub records: Vec<QueryAccuracy>,
    /// The distributions behind the means.
    pub efficiency: EfficiencySummary,
}

/// One model's accuracy in parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelAccuracy {
    /// Correct of all scored.
    pub accuracy: Option<f64>,
    /// Accuracy per joule of a mean query.
    pub intelligence_per_joule: Option<f64>,
    /// Accuracy per watt of a mean query.
    pub intelligence_per_watt: Option<f64>,
    /// Scored queries by subject.
    pub by_subject: BTreeMap<String, Tally>,
    /// Scored queries by evaluator and rule.
    pub by_method: BTreeMap<String, Tally>,
}

/// Right ones among scored ones.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Right answers.
    pub correct: usize,
    /// All scored.
    pub scored: usize,
    /// Their quotient.
    pub accuracy: Option<f64>,
    /// Its 95 % interval.
    pub accuracy_ci95: Option<[f64; 2]>,
}

/// One query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueryAccuracy {
    /// Position in the dataset.
    pub query_index: i64,
    /// How the query ended.
    pub status: QueryStatus,
    /// The verdict; `None` for a query that failed.
    pub verdict: Option<Verdict>,
    /// Evaluator and rule.
    pub method: Option<String>,
    /// Energy of the basis in joules.
    pub basis_joules: Option<f64>,
    /// Duration.
    pub seconds: Option<f64>,
}

/// Distributions: of energy and power over the rows behind IPJ and IPW, of the rest over all ok rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EfficiencySummary {
    /// Accuracy of the very rows whose joules are counted.
    pub accuracy_of_energy_rows: Option<f64>,
    /// Joules spent for each right answer: the inverse of IPJ.
    pub joules_per_correct_answer: Option<f64>,
    /// Joules of all those rows per token that they generated, if all of them say how many.
    pub joules_per_output_token: Option<f64>,
    /// Joules of a query.
    pub joules: Stats,
    /// Watts of a query.
    pub watts: Stats,
    /// Seconds of a query.
    pub seconds: Stats,
    /// Seconds to the first token.
    pub time_to_first_token_seconds: Stats,
    /// Generated tokens per second.
    pub tokens_per_second: Stats,
}
