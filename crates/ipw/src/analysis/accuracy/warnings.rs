//! What a reader of the headline has to know, each with its consequence and, where there is one, the
//! remedy.

use std::collections::BTreeMap;

use super::AccuracyOptions;
use super::rows::{Counts, EnergyRows, ScoredQuery, is_estimated, is_scored};
use super::share;
use crate::analysis::words::counted;
use crate::evaluation::{NOT_ASKED, Verdict};
use crate::record::QueryStatus;

/// Below this share of scored queries with energy a warning is due.
const FULL_ENERGY_COVERAGE: f64 = 0.95;
/// From this share of unparsed answers on a warning is due.
const MANY_UNPARSED: f64 = 0.05;

/// All that is due: first of the accuracy, then of the energy.
pub(super) fn warnings(
    queries: &[ScoredQuery],
    counts: &Counts,
    energy: &EnergyRows,
    options: AccuracyOptions,
) -> Vec<String> {
    let of_accuracy = [unscored(queries, counts), unparsed(queries, counts)];
    let of_energy = [
        queries.iter().any(is_estimated).then(|| {
            "ESTIMATED: the energy is an estimate from the load and a stated TDP, not a measurement"
                .to_owned()
        }),
        impossible_energy(energy),
        mixed_bases(energy),
        energy_coverage(queries, counts.scored(), energy, options),
        missing_durations(energy),
    ];
    of_accuracy.into_iter().chain(of_energy).flatten().collect()
}

fn unscored(queries: &[ScoredQuery], counts: &Counts) -> Option<String> {
    let waiting = queries
        .iter()
        .filter(|query| query.status == QueryStatus::Ok)
        .filter(|query| query.method.as_deref() == Some(NOT_ASKED))
        .count();
    let parts: Vec<String> = [
        (counts.failed, ["query failed", "queries failed"]),
        (waiting, ["answer waits for a judge", "answers wait for a judge"]),
        (counts.unevaluated - waiting, ["could not be evaluated"; 2]),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, [one, many])| counted(count, one, many))
    .collect();
    let parts = parts.join(", ");
    match (counts.scored(), parts.is_empty()) {
        (0, true) => Some("no query was scored: accuracy is unknown".to_owned()),
        (0, false) => Some(format!("no query was scored ({parts}): accuracy is unknown")),
        (_, true) => None,
        (scored, false) => Some(format!("{parts}: accuracy is that of the other {scored}")),
    }
}

fn unparsed(queries: &[ScoredQuery], counts: &Counts) -> Option<String> {
    share(counts.unparsed, counts.scored()).filter(|share| *share >= MANY_UNPARSED)?;
    let cut_off = queries
        .iter()
        .filter(|query| is_scored(query) && query.verdict == Verdict::Unparsed && query.cut_off)
        .count();
    let remedy = match cut_off {
        0 => String::new(),
        _ => format!("; {cut_off} of them ended at the token limit: raise --max-tokens"),
    };
    Some(format!(
        "in {} of {} answers no answer was found, which counts as wrong (accuracy_parsed leaves them \
         out){remedy}",
        counts.unparsed,
        counts.scored()
    ))
}

fn impossible_energy(energy: &EnergyRows) -> Option<String> {
    (energy.impossible > 0).then(|| {
        format!(
            "{} an energy that can't be (zero, negative or not finite), which is left out of intelligence \
             per joule and per watt; look at energy_metrics.status",
            counted(energy.impossible, "query has", "queries have")
        )
    })
}

fn mixed_bases(energy: &EnergyRows) -> Option<String> {
    (energy.bases.len() > 1).then(|| {
        let bases: Vec<&str> =
            energy.bases.iter().map(|basis| basis.unwrap_or("unknown")).collect();
        format!(
            "the queries' energies are of different bases ({}), which have no common mean: \
             intelligence per joule and per watt are not given; profile again on one basis",
            bases.join(", ")
        )
    })
}

fn energy_coverage(
    queries: &[ScoredQuery],
    scored: usize,
    energy: &EnergyRows,
    options: AccuracyOptions,
) -> Option<String> {
    let with_energy = energy.rows.len();
    let coverage = share(with_energy, scored).filter(|share| *share < FULL_ENERGY_COVERAGE)?;
    let reason = commonest_reason(queries).map(|reason| format!(" ({reason})")).unwrap_or_default();
    let consequence = if with_energy == 0 {
        "intelligence per joule and per watt are unknown".to_owned()
    } else if coverage < options.min_energy_coverage {
        format!(
            "under --min-energy-coverage {}: intelligence per joule and per watt are not given",
            options.min_energy_coverage
        )
    } else {
        "intelligence per joule and per watt hold for these alone".to_owned()
    };
    Some(format!("{with_energy} of {scored} scored queries have energy{reason}: {consequence}"))
}

fn missing_durations(energy: &EnergyRows) -> Option<String> {
    let (with_power, with_energy) = (energy.watts().len(), energy.joules().len());
    (with_power < with_energy).then(|| {
        format!(
            "{with_power} of the {with_energy} queries with energy have a duration, too: intelligence per \
             watt is of these alone, or unknown if they are too few"
        )
    })
}

/// Why most of the scored queries without energy have none.
fn commonest_reason(queries: &[ScoredQuery]) -> Option<&str> {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    let without = queries.iter().filter(|query| is_scored(query) && query.basis_joules.is_none());
    for reason in without.filter_map(|query| query.energy_status.as_deref()) {
        *reasons.entry(reason).or_default() += 1;
    }
    reasons.into_iter().max_by_key(|(_, count)| *count).map(|(reason, _)| reason)
}
