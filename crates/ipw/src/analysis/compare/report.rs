//! What a comparison says, field by field.

use serde::{Deserialize, Serialize};

use super::pairing::Overlap;

/// Runs compared over the queries that all of them answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparisonReport {
    /// `comparison`.
    pub analysis: String,
    /// The runs, in the order given.
    pub runs: Vec<ComparedRun>,
    /// How far their queries are the same.
    pub queries: Overlap,
    /// What a reader has to know, each with its consequence.
    pub warnings: Vec<String>,
    /// The two runs against each other; `None` of more than two.
    pub pair: Option<PairReport>,
    /// The runs in order.
    pub ranking: Ranking,
}

/// One run, as it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ComparedRun {
    pub name: String,
    pub model: String,
    pub dataset: String,
    pub dataset_revision: String,
    pub hardware: String,
    pub energy_basis: Option<String>,
    pub concurrency: u64,
}

/// Two runs, A and B: the first and the second given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairReport {
    /// A's name.
    pub a: String,
    /// B's name.
    pub b: String,
    /// Which answers are right more often.
    pub accuracy: AccuracyDifference,
    /// Joules of the basis a query.
    pub energy: Figure,
    /// Seconds a query.
    pub latency: Figure,
    /// Seconds to the first token.
    pub time_to_first_token: Figure,
    /// Generated tokens a query.
    pub output_tokens: Figure,
    /// Accuracy per joule of a mean query.
    pub intelligence_per_joule: Figure,
    /// Accuracy per watt of a mean query.
    pub intelligence_per_watt: Figure,
}

impl PairReport {
    /// The figures beside accuracy, with their names.
    #[must_use]
    pub fn named(&self) -> [(&'static str, &Figure); 6] {
        [
            ("Energy per query", &self.energy),
            ("Latency", &self.latency),
            ("Time to first token", &self.time_to_first_token),
            ("Output tokens", &self.output_tokens),
            ("IPJ", &self.intelligence_per_joule),
            ("IPW", &self.intelligence_per_watt),
        ]
    }
}

/// Accuracies over the queries scored in both runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccuracyDifference {
    /// Queries scored in both.
    pub pairs: usize,
    /// A's accuracy over these.
    pub a: Option<f64>,
    /// B's.
    pub b: Option<f64>,
    /// A's less B's.
    pub difference: Option<f64>,
    /// Its 95 % interval: Newcombe's method 10.
    pub difference_ci95: Option<[f64; 2]>,
    /// Right in both.
    pub both: usize,
    /// Right in A alone.
    pub only_a: usize,
    /// Right in B alone.
    pub only_b: usize,
    /// Right in none.
    pub neither: usize,
    /// McNemar's test, exact and two-sided.
    pub p_value: Option<f64>,
    /// What that means.
    pub verdict: String,
}

/// A figure of both runs over the queries that have it in both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Its unit.
    pub unit: String,
    /// Queries behind it.
    pub pairs: usize,
    /// A's: the mean over the queries; of intelligence the accuracy by the mean cost.
    pub a: Option<f64>,
    /// B's.
    pub b: Option<f64>,
    /// A's less B's.
    pub difference: Option<f64>,
    /// Its 95 % interval over queries.
    pub difference_ci95: Option<[f64; 2]>,
    /// A's by B's.
    pub ratio: Option<f64>,
    /// Its 95 % interval over queries.
    pub ratio_ci95: Option<[f64; 2]>,
    /// `ok`, or why a figure or its intervals are missing.
    pub status: String,
    /// What that means.
    pub verdict: String,
}

/// The runs in order, over the same queries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// By which field; `None` if the runs have none in common.
    pub ranked_by: Option<String>,
    /// Best first.
    pub runs: Vec<RankedRun>,
}

impl Ranking {
    /// What the runs are ranked by, over how many queries, and how far to trust it.
    #[must_use]
    pub fn sentence(&self, answered: usize) -> String {
        let by = match self.ranked_by.as_deref() {
            Some("intelligence_per_joule") => "IPJ, intelligence per joule",
            Some("joules") => "joules per query",
            Some(other) => other,
            None => return "Not ranked: there is nothing that all runs have.".to_owned(),
        };
        format!(
            "Ranked by {by}, over the {answered} queries that all runs answered. Within their intervals \
             neighbours may change places."
        )
    }
}

/// One run's figures over the queries that all runs answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankedRun {
    /// From 1 on; equal figures have equal ranks.
    pub rank: Option<usize>,
    /// The run.
    pub name: String,
    /// Its model.
    pub model: String,
    /// Its hardware.
    pub hardware: String,
    /// Correct of the queries scored in all runs.
    pub accuracy: Option<f64>,
    /// Its 95 % interval.
    pub accuracy_ci95: Option<[f64; 2]>,
    /// Mean joules of the queries with energy in all runs.
    pub joules: Option<f64>,
    /// Mean seconds of the queries with a duration in all runs.
    pub seconds: Option<f64>,
    /// Accuracy per joule of a mean query.
    pub intelligence_per_joule: Option<f64>,
    /// Its 95 % interval.
    pub intelligence_per_joule_ci95: Option<[f64; 2]>,
    /// Accuracy per watt of a mean query.
    pub intelligence_per_watt: Option<f64>,
    /// Its 95 % interval.
    pub intelligence_per_watt_ci95: Option<[f64; 2]>,
    /// Whether no other run is at least as accurate for at most as many joules, and better in one of them;
    /// `None` if a run's accuracy or energy isn't known.
    pub on_pareto_front: Option<bool>,
}
