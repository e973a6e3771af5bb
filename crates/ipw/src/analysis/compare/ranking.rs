//! Runs in order, over the queries that all of them answered, and which of them no other one beats.

use super::pairing::{Common, positive, verdicts, watts};
use super::report::{RankedRun, Ranking};
use super::runs::RunRows;
use crate::analysis::accuracy::ScoredQuery;
use crate::analysis::stats::{mean, ratio_ci95, wilson_ci95};

/// What runs may be ranked by.
struct Order {
    field: &'static str,
    /// The less, the better.
    loss: fn(&RankedRun) -> Option<f64>,
}

/// Runs are ranked by the first that all of them have.
const ORDERS: [Order; 3] = [
    Order {
        field: "intelligence_per_joule",
        loss: |run| run.intelligence_per_joule.map(std::ops::Neg::neg),
    },
    Order { field: "accuracy", loss: |run| run.accuracy.map(std::ops::Neg::neg) },
    Order { field: "joules", loss: |run| run.joules },
];

/// The runs in order. Without `energies_compare` they have no figure of energy.
pub(super) fn ranking(runs: &[RunRows], common: &Common, energies_compare: bool) -> Ranking {
    let columns = Columns::of(common, energies_compare);
    let mut ranked: Vec<RankedRun> =
        runs.iter().enumerate().map(|(run, rows)| columns.ranked(run, rows)).collect();
    mark_front(&mut ranked);
    let ranked_by = order(&mut ranked);
    Ranking { ranked_by, runs: ranked }
}

/// What the runs are judged by: rows are queries that all runs have it for, each with one of each run.
struct Columns {
    verdicts: Vec<Vec<bool>>,
    joules: Vec<Vec<f64>>,
    seconds: Vec<Vec<f64>>,
    verdict_and_joules: Vec<Vec<(bool, f64)>>,
    verdict_and_watts: Vec<Vec<(bool, f64)>>,
}

impl Columns {
    fn of(common: &Common, energies_compare: bool) -> Self {
        let joules =
            |query: &ScoredQuery| positive(query.basis_joules).filter(|_| energies_compare);
        let watts = |query: &ScoredQuery| watts(query).filter(|_| energies_compare);
        Self {
            verdicts: common.answered.iter().filter_map(|queries| verdicts(queries)).collect(),
            joules: each(common, joules),
            seconds: each(common, |query| positive(query.seconds)),
            verdict_and_joules: each_with_verdict(common, joules),
            verdict_and_watts: each_with_verdict(common, watts),
        }
    }

    fn ranked(&self, run: usize, rows: &RunRows) -> RankedRun {
        let verdicts = column(&self.verdicts, run);
        let right = verdicts.iter().filter(|right| **right).count();
        let (joules, watts) =
            (column(&self.verdict_and_joules, run), column(&self.verdict_and_watts, run));
        RankedRun {
            rank: None,
            name: rows.name.clone(),
            model: rows.settings.model.clone(),
            hardware: rows.settings.hardware.clone(),
            accuracy: (!verdicts.is_empty()).then(|| right as f64 / verdicts.len() as f64),
            accuracy_ci95: wilson_ci95(right, verdicts.len()).filter(|_| verdicts.len() >= 2),
            joules: mean(&column(&self.joules, run)),
            seconds: mean(&column(&self.seconds, run)),
            intelligence_per_joule: intelligence(&joules),
            intelligence_per_joule_ci95: ratio_ci95(&joules),
            intelligence_per_watt: intelligence(&watts),
            intelligence_per_watt_ci95: ratio_ci95(&watts),
            on_pareto_front: None,
        }
    }
}

/// A figure of each run, for the queries that have it in all.
fn each(common: &Common, figure: impl Fn(&ScoredQuery) -> Option<f64>) -> Vec<Vec<f64>> {
    let of_all = |queries: &Vec<&ScoredQuery>| queries.iter().map(|query| figure(query)).collect();
    common.answered.iter().filter_map(of_all).collect()
}

/// The same with each answer's verdict, for the queries that are scored in all, too.
fn each_with_verdict(
    common: &Common,
    figure: impl Fn(&ScoredQuery) -> Option<f64>,
) -> Vec<Vec<(bool, f64)>> {
    let of_all = |queries: &Vec<&ScoredQuery>| {
        let figures: Option<Vec<f64>> = queries.iter().map(|query| figure(query)).collect();
        Some(verdicts(queries)?.into_iter().zip(figures?).collect())
    };
    common.answered.iter().filter_map(of_all).collect()
}

fn column<T: Copy>(rows: &[Vec<T>], run: usize) -> Vec<T> {
    rows.iter().map(|row| row[run]).collect()
}

/// Accuracy by mean cost.
fn intelligence(queries: &[(bool, f64)]) -> Option<f64> {
    let right = queries.iter().filter(|(right, _)| *right).count() as f64;
    let costs: f64 = queries.iter().map(|(_, cost)| cost).sum();
    (!queries.is_empty()).then(|| right / costs).filter(|value| value.is_finite())
}

/// A run is beaten by one that is at least as accurate for at most as many joules, and better in one of
/// both.
fn mark_front(runs: &mut [RankedRun]) {
    let known = |run: &RankedRun| Some((run.accuracy?, run.joules?));
    let Some(places) = runs.iter().map(known).collect::<Option<Vec<_>>>() else { return };
    for (run, (accuracy, joules)) in runs.iter_mut().zip(&places) {
        let beats = |other: &(f64, f64)| {
            other.0 >= *accuracy && other.1 <= *joules && (other.0 > *accuracy || other.1 < *joules)
        };
        run.on_pareto_front = Some(!places.iter().any(beats));
    }
}

/// Sorts the runs, best first, and gives them their ranks. Runs that are equal stay as they were given.
fn order(runs: &mut [RankedRun]) -> Option<String> {
    let Order { field, loss } =
        ORDERS.into_iter().find(|order| runs.iter().all(|run| (order.loss)(run).is_some()))?;
    let loss = |run: &RankedRun| loss(run).unwrap_or(f64::INFINITY);
    runs.sort_by(|one, other| loss(one).total_cmp(&loss(other)));
    for place in 0..runs.len() {
        let tied = place > 0 && loss(&runs[place]) == loss(&runs[place - 1]);
        runs[place].rank = if tied { runs[place - 1].rank } else { Some(place + 1) };
    }
    Some(field.to_owned())
}
