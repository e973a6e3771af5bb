//! What a reader of the fits has to know, each with its consequence and, where there is one, the remedy.

use super::OkRows;
use super::report::EnergyModel;
use crate::analysis::words::{counted, percent, three_digits};

/// Fits on fewer points deserve a warning.
const FEW: usize = 20;
/// From this share of prompt tokens out of the cache on a warning is due.
const MANY_CACHED: f64 = 0.05;
/// From this square of the correlation of prompt and generated tokens on a warning is due.
const RISE_TOGETHER: f64 = 0.9;

/// All that is due.
pub(super) fn warnings(rows: &OkRows, model: Option<&EnergyModel>) -> Vec<String> {
    let due = [
        few_points(rows),
        rows.is_estimated.then(|| {
            "ESTIMATED: the energy is an estimate from the load and a stated TDP, not a measurement"
                .to_owned()
        }),
        impossible_energy(rows),
        mixed_bases(rows),
        cached_tokens(rows),
        tokens_rise_together(model),
    ];
    due.into_iter().flatten().collect()
}

fn few_points(rows: &OkRows) -> Option<String> {
    let count = rows.rows.len();
    (count < FEW).then(|| {
        format!(
            "{} ended well: lines through so few points say little, and less beyond them",
            counted(count, "query", "queries")
        )
    })
}

fn impossible_energy(rows: &OkRows) -> Option<String> {
    (rows.impossible > 0).then(|| {
        format!(
            "{} an energy that can't be (zero, negative or not finite) and left out; look at \
             energy_metrics.status",
            counted(rows.impossible, "query has", "queries have")
        )
    })
}

fn mixed_bases(rows: &OkRows) -> Option<String> {
    (rows.bases.len() > 1).then(|| {
        let bases: Vec<&str> = rows.bases.iter().map(|basis| basis.unwrap_or("unknown")).collect();
        format!(
            "the queries' energies are of different bases ({}), which lie on no common line: nothing of \
             energy or power is fitted; profile again on one basis",
            bases.join(", ")
        )
    })
}

fn cached_tokens(rows: &OkRows) -> Option<String> {
    let share = rows.cached_share().filter(|share| *share >= MANY_CACHED)?;
    Some(format!(
        "{} of the prompt tokens came from the server's cache: what a prompt token costs is that of this \
         mix; for computed ones switch the cache off (vLLM: --no-enable-prefix-caching, llama.cpp: \
         --client-param cache_prompt=false)",
        percent(share)
    ))
}

fn tokens_rise_together(model: Option<&EnergyModel>) -> Option<String> {
    let r = model?.token_correlation.filter(|r| r * r >= RISE_TOGETHER)?;
    Some(format!(
        "prompt and generated tokens go together (correlation {}): how energy splits between them is \
         uncertain; a dataset in which they vary apart tells more",
        three_digits(r)
    ))
}
