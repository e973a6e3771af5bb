//! What the user should know of a finished run's energies. Renewed by each final pass: what isn't so any
//! more is no longer said.

use std::collections::BTreeMap;

use super::tally::Tally;
use crate::attribution::measure::{CROWDED, IDLE, THROTTLED};
use crate::derive::{IMPOSSIBLE, ModelFacts, impossible};
use crate::record::ProfilingRecord;
use crate::results::Summary;

const DISAGREEMENT: &str = "apart from its integrated power";
const LATE: &str = "shows energy later than its power";
const MISSING: &str = "queries have no energy";

/// What is flagged in a record's energy status, with what it means.
const FLAGS: [(&str, &str); 3] = [
    (
        IDLE,
        "the counted devices stayed at idle power and without utilisation: does the server use others? \
         (--gpus)",
    ),
    (
        THROTTLED,
        "the clocks of a counted device were held down: times and energies are not those of a healthy \
         device; look at its cooling and its power supply",
    ),
    (CROWDED, "a counted device did other work, too, and its energy can't be told apart"),
];

/// Seconds over which two instruments have to agree, and by how many percent.
const LONG_ENOUGH: f64 = 10.0;
const AGREEMENT: f64 = 2.0;

/// Replaces the warnings of an earlier pass.
pub(super) fn renew(
    summary: &mut Summary,
    records: &[ProfilingRecord],
    tally: &Tally,
    facts: &ModelFacts,
) {
    let marks =
        || [DISAGREEMENT, LATE, MISSING, IMPOSSIBLE].into_iter().chain(FLAGS.map(|flag| flag.1));
    summary.warnings.retain(|warning| !marks().any(|mark| warning.contains(mark)));
    let new: Vec<String> = disagreement(summary.energy.counter_vs_integral, tally.seconds)
        .into_iter()
        .chain(lags(tally))
        .chain(FLAGS.iter().filter_map(|flag| flagged(*flag, records)))
        .chain(impossible(records, facts))
        .collect();
    summary.warnings.extend(new);
    missing(summary, records);
}

/// Two instruments on one device that disagree: one of them is wrong, or late.
fn disagreement(ratio: Option<f64>, seconds: f64) -> Option<String> {
    let percent = 100.0 * (ratio? - 1.0);
    (seconds >= LONG_ENOUGH && percent.abs() > AGREEMENT).then(|| {
        format!(
            "the energy counter is {percent:+.1} % {DISAGREEMENT} over {seconds:.0} s: one of the two \
             is wrong (energies are the counter's); compare with an external meter"
        )
    })
}

fn lags(tally: &Tally) -> impl Iterator<Item = String> + '_ {
    tally.lags.iter().map(|(name, lag)| {
        format!(
            "the counter of {name} {LATE}, by about {} ms: that much of each query's energy stands with \
             what comes after it, and the bounds don't know of it; use queries that are long against it",
            lag.as_millis()
        )
    })
}

fn flagged((flag, meaning): (&str, &str), records: &[ProfilingRecord]) -> Option<String> {
    let statuses = records.iter().filter_map(|one| one.metrics.energy_metrics.status.as_deref());
    let flagged: Vec<&str> = statuses.filter(|status| status.starts_with(flag)).collect();
    let first = flagged.first()?;
    Some(format!("in {} of {} queries {meaning} ({first})", flagged.len(), records.len()))
}

/// Says how many rows have no energy although the run has a basis, and why most of them don't.
fn missing(summary: &mut Summary, records: &[ProfilingRecord]) {
    if summary.energy.basis.is_none() {
        return;
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for record in records {
        let energy = &record.metrics.energy_metrics;
        if energy.basis_joules.is_none() {
            *reasons.entry(energy.status.as_deref().unwrap_or("unknown")).or_default() += 1;
        }
    }
    let missing: usize = reasons.values().sum();
    let Some((reason, _)) = reasons.into_iter().max_by_key(|(_, count)| *count) else {
        summary.energy.status = "ok".to_owned();
        return;
    };
    summary.warnings.push(format!("{missing} of {} {MISSING}: {reason}", records.len()));
    let all = missing == records.len();
    summary.energy.status = if all { reason } else { "ok" }.to_owned();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instruments_have_to_agree_over_a_while() {
        assert_eq!(disagreement(None, 60.0), None);
        assert_eq!(disagreement(Some(1.015), 60.0), None);
        assert_eq!(disagreement(Some(0.9), 5.0), None, "too short to tell");
        let told = disagreement(Some(0.9), 60.0).unwrap();
        assert!(told.contains("-10.0 %") && told.contains("60 s"), "{told}");
    }
}
