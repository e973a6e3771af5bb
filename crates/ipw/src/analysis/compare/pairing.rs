//! Which queries can be compared: those that all runs have with the same text.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::runs::{ComparedRow, RunRows};
use crate::analysis::accuracy::ScoredQuery;
use crate::evaluation::Verdict;
use crate::record::QueryStatus;

/// How far the runs' queries are the same, each count within the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlap {
    /// In any run.
    pub in_any: usize,
    /// In all runs.
    pub in_all: usize,
    /// With the same prompt and reference answer in all.
    pub same_question: usize,
    /// Ended well in all: what costs are compared over.
    pub answered: usize,
    /// Scored in all: what accuracy is compared over.
    pub scored: usize,
}

/// The queries that all runs answered.
pub(super) struct Common<'a> {
    /// By query, one of each run in the order of the runs.
    pub(super) answered: Vec<Vec<&'a ScoredQuery>>,
    pub(super) overlap: Overlap,
}

impl<'a> Common<'a> {
    pub(super) fn of(runs: &'a [RunRows]) -> Self {
        let by_index: Vec<BTreeMap<i64, &ComparedRow>> = runs.iter().map(by_index).collect();
        let in_any: BTreeSet<i64> = by_index.iter().flat_map(|rows| rows.keys().copied()).collect();
        let in_each = |index: &i64| {
            by_index.iter().map(|rows| rows.get(index).copied()).collect::<Option<Vec<_>>>()
        };
        let in_all: Vec<Vec<&ComparedRow>> = in_any.iter().filter_map(in_each).collect();
        let is_same = |rows: &&Vec<&ComparedRow>| {
            rows.windows(2).all(|neighbours| neighbours[0].question == neighbours[1].question)
        };
        let same: Vec<_> = in_all.iter().filter(is_same).collect();
        let queries = same.iter().map(|rows| rows.iter().map(|row| &row.query).collect::<Vec<_>>());
        let answered: Vec<_> = queries
            .filter(|queries| queries.iter().all(|query| query.status == QueryStatus::Ok))
            .collect();
        let overlap = Overlap {
            in_any: in_any.len(),
            in_all: in_all.len(),
            same_question: same.len(),
            answered: answered.len(),
            scored: answered.iter().filter(|queries| verdicts(queries).is_some()).count(),
        };
        Self { answered, overlap }
    }
}

fn by_index(run: &RunRows) -> BTreeMap<i64, &ComparedRow> {
    run.rows.iter().map(|row| (row.query.query_index, row)).collect()
}

/// Whether each of these answers to one question is right; `None` unless all of them are scored.
pub(super) fn verdicts(queries: &[&ScoredQuery]) -> Option<Vec<bool>> {
    queries.iter().map(|query| is_right(query)).collect()
}

/// Whether an answer is right; `None` if it wasn't scored. What can't be parsed is wrong.
pub(super) fn is_right(query: &ScoredQuery) -> Option<bool> {
    match query.verdict {
        Verdict::Correct => Some(true),
        Verdict::Incorrect | Verdict::Unparsed => Some(false),
        Verdict::Unevaluated => None,
    }
}

/// A cost that can be: no query takes nothing.
pub(super) fn positive(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite() && *value > 0.0)
}

/// Mean watts of the query.
pub(super) fn watts(query: &ScoredQuery) -> Option<f64> {
    positive(Some(positive(query.basis_joules)? / positive(query.seconds)?))
}
