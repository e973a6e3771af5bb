//! Costs, and what they buy, of two runs over the same queries.

use super::bootstrap::{self, Pair, intervals};
use super::pairing::{is_right, positive, watts};
use super::report::Figure;
use super::verdict::{self, Words};
use crate::analysis::accuracy::ScoredQuery;

/// Fewer pairs have no intervals.
const FEWEST_PAIRS: usize = 10;
/// With fewer right answers on one side the bootstrap is much too sure of accuracy.
const FEWEST_RIGHT: f64 = 5.0;

/// What is compared.
pub(super) struct Kind {
    pub(super) unit: &'static str,
    pub(super) words: Words,
    /// Whether it is made from energy.
    pub(super) is_of_energy: bool,
    /// Whether it is accuracy by a cost.
    is_of_accuracy: bool,
    /// A query's part of numerator and denominator; `None` if it has none.
    part: fn(&ScoredQuery) -> Option<[f64; 2]>,
}

pub(super) const ENERGY: Kind = Kind {
    unit: "J",
    words: Words { noun: "energy", verb: "takes", less: "less", more_is_better: false },
    is_of_energy: true,
    is_of_accuracy: false,
    part: |query| Some([positive(query.basis_joules)?, 1.0]),
};

pub(super) const LATENCY: Kind = Kind {
    unit: "s",
    words: Words { noun: "time", verb: "takes", less: "less", more_is_better: false },
    is_of_energy: false,
    is_of_accuracy: false,
    part: |query| Some([positive(query.seconds)?, 1.0]),
};

pub(super) const FIRST_TOKEN: Kind = Kind {
    unit: "s",
    words: Words {
        noun: "time to the first token",
        verb: "takes",
        less: "less",
        more_is_better: false,
    },
    is_of_energy: false,
    is_of_accuracy: false,
    part: |query| Some([positive(query.time_to_first_token_seconds)?, 1.0]),
};

pub(super) const OUTPUT_TOKENS: Kind = Kind {
    unit: "tokens",
    words: Words {
        noun: "output tokens (each model's own)",
        verb: "writes",
        less: "fewer",
        more_is_better: false,
    },
    is_of_energy: false,
    is_of_accuracy: false,
    part: |query| Some([query.output_tokens.filter(|tokens| *tokens >= 0)? as f64, 1.0]),
};

pub(super) const PER_JOULE: Kind = Kind {
    unit: "1/J",
    words: Words {
        noun: "intelligence per joule",
        verb: "gives",
        less: "less",
        more_is_better: true,
    },
    is_of_energy: true,
    is_of_accuracy: true,
    part: |query| Some([right(query)?, positive(query.basis_joules)?]),
};

pub(super) const PER_WATT: Kind = Kind {
    unit: "1/W",
    words: Words {
        noun: "intelligence per watt",
        verb: "gives",
        less: "less",
        more_is_better: true,
    },
    is_of_energy: true,
    is_of_accuracy: true,
    part: |query| Some([right(query)?, watts(query)?]),
};

fn right(query: &ScoredQuery) -> Option<f64> {
    is_right(query).map(|right| f64::from(u8::from(right)))
}

/// What is known of the energies of the two runs together.
pub(super) struct EnergyTrust {
    /// Why they can't be compared.
    pub(super) obstacle: Option<String>,
    /// Whether they are estimates.
    pub(super) is_estimated: bool,
    /// By what factor the ratio of two sensors' readings may be off, either way; 1 of the same sensors,
    /// `None` if it isn't known.
    pub(super) gain: Option<f64>,
}

/// The figure over the queries that have it in both runs.
pub(super) fn figure(
    kind: &Kind,
    names: [&str; 2],
    answered: &[Vec<&ScoredQuery>],
    trust: &EnergyTrust,
) -> Figure {
    let obstacle = trust.obstacle.as_ref().filter(|_| kind.is_of_energy);
    let pairs: Vec<Pair> = match obstacle {
        Some(_) => Vec::new(),
        None => answered.iter().filter_map(|queries| pair(kind, queries)).collect(),
    };
    let missing = obstacle.cloned().or_else(|| too_little(kind, &pairs));
    let limits = if missing.is_none() { Some(intervals(&pairs)) } else { None };
    let [a, b] = bootstrap::figures(&bootstrap::total(&pairs)).map(finite);
    let ratio_ci95 = limits.and_then(|limits| limits.ratio);
    let told = ratio_ci95.map(|range| widened(range, kind, trust));
    Figure {
        unit: kind.unit.to_owned(),
        pairs: pairs.len(),
        a,
        b,
        difference: a.zip(b).map(|(a, b)| a - b),
        difference_ci95: limits.and_then(|limits| limits.difference),
        ratio: a.zip(b).and_then(|(a, b)| finite(a / b)),
        ratio_ci95,
        verdict: verdict_on(kind, names, pairs.len(), told, missing.as_deref(), trust),
        status: missing.unwrap_or_else(|| "ok".to_owned()),
    }
}

fn pair(kind: &Kind, queries: &[&ScoredQuery]) -> Option<Pair> {
    let [a, b] = queries else { return None };
    let ([a_above, a_below], [b_above, b_below]) = ((kind.part)(a)?, (kind.part)(b)?);
    Some([a_above, a_below, b_above, b_below])
}

/// Why there are no intervals.
fn too_little(kind: &Kind, pairs: &[Pair]) -> Option<String> {
    let [a_right, _, b_right, _] = bootstrap::total(pairs);
    match pairs.len() {
        0 => Some("no query has it in both runs".to_owned()),
        few if few < FEWEST_PAIRS => Some(format!(
            "{few} queries have it in both runs: under {FEWEST_PAIRS} there are no intervals"
        )),
        _ if kind.is_of_accuracy && a_right.min(b_right) < FEWEST_RIGHT => Some(format!(
            "{a_right} and {b_right} right answers: under {FEWEST_RIGHT} there are no intervals"
        )),
        _ => None,
    }
}

/// The range with the sensors' own errors, as far as they are known.
fn widened([low, high]: [f64; 2], kind: &Kind, trust: &EnergyTrust) -> [f64; 2] {
    let gain = if kind.is_of_energy { trust.gain.unwrap_or(1.0) } else { 1.0 };
    [low / gain, high * gain]
}

fn verdict_on(
    kind: &Kind,
    names: [&str; 2],
    pairs: usize,
    range: Option<[f64; 2]>,
    missing: Option<&str>,
    trust: &EnergyTrust,
) -> String {
    let Some(range) = range else {
        let reason = missing.unwrap_or("resamples of the queries have no ratio");
        return format!("not compared: {reason}");
    };
    let mark = if kind.is_of_energy && trust.is_estimated { "ESTIMATED: " } else { "" };
    let doubt = match trust.gain {
        _ if !kind.is_of_energy => "",
        None => ", as two sensors of unknown error have it",
        Some(gain) if gain > 1.0 => ", the sensors' own errors included",
        Some(_) => "",
    };
    format!("{mark}{}{doubt}", verdict::on_ratio(&kind.words, names, pairs, range))
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
