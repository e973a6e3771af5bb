//! In what the runs differ beside the model, each with what that does to the figures.

use std::collections::BTreeSet;

use super::pairing::Overlap;
use super::runs::RunRows;
use super::without_energy;
use crate::analysis::words::{counted, percent};

/// Below this share of the queries a warning is due.
const FULL: f64 = 0.95;
/// With fewer pairs the intervals are rough.
const FEW_PAIRS: usize = 30;

/// All that is due.
pub(super) fn warnings(runs: &[RunRows], overlap: Overlap) -> Vec<String> {
    let of_runs = [
        any(runs, |run| run.settings.is_estimated()).map(|names| {
            format!("ESTIMATED: the energy of {names} is an estimate from the load and a stated TDP, not a measurement")
        }),
        any(runs, |run| run.settings.is_replayed).map(|names| {
            format!("the readings of {names} were replayed from a trace: its energy was not measured there")
        }),
        any(runs, |run| !run.settings.is_final).map(|names| {
            format!("the energies of {names} are provisional; run `ipw analyze` on it first")
        }),
        without_energy(runs).map(|without| format!("{without}: nothing of energy is compared")),
        differs_if_measured(runs, "energy basis", |run| text(run.settings.basis.as_ref())).map(|differs| {
            format!("{differs}: figures of energy are of different things and are not compared")
        }),
        differs_if_measured(runs, "energy method", |run| text(run.settings.method.as_ref()))
            .map(|differs| format!("{differs}: their errors differ")),
        differs(runs, "hardware", |run| run.settings.hardware.clone())
            .map(|differs| format!("{differs}: what differs is due to the hardware, too")),
        sensors(runs),
        differs(runs, "server", |run| text(run.settings.server.as_ref()))
            .map(|differs| format!("{differs}: what differs is due to the server, too")),
        differs(runs, "concurrency", |run| run.settings.concurrency.to_string()).map(|differs| {
            format!("{differs}: latency, and a query's share of the energy, depend on how many are in flight")
        }),
        differs(runs, "dataset revision", |run| run.settings.dataset_revision.clone()).map(|differs| {
            format!("{differs}: only queries with the same prompt and reference answer are compared")
        }),
        differs(runs, "judge", judges)
            .map(|differs| format!("{differs}: judges differ in what they take for right")),
    ];
    of_runs.into_iter().flatten().chain(sampling(runs)).chain(of_overlap(overlap)).collect()
}

/// Who judged a run's answers, where rules couldn't.
fn judges(run: &RunRows) -> String {
    let methods = run.rows.iter().filter_map(|row| row.query.method.as_deref());
    let judges: BTreeSet<&str> =
        methods.filter_map(|method| method.strip_prefix("judge:")).collect();
    if judges.is_empty() { "none".to_owned() } else { Vec::from_iter(judges).join(" and ") }
}

fn text(value: Option<&String>) -> String {
    value.cloned().unwrap_or_else(|| "unknown".to_owned())
}

/// The names of the runs that are so; `None` if none is.
fn any(runs: &[RunRows], is_so: impl Fn(&RunRows) -> bool) -> Option<String> {
    let names: Vec<&str> =
        runs.iter().filter(|run| is_so(run)).map(|run| run.name.as_str()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// The same of what only energies have, which is told where each run has some.
fn differs_if_measured(
    runs: &[RunRows],
    what: &str,
    setting: impl Fn(&RunRows) -> String,
) -> Option<String> {
    let all = runs.iter().all(|run| run.settings.no_energy.is_none());
    all.then(|| differs(runs, what, setting)).flatten()
}

/// What each run has of a setting, if not all have the same.
fn differs(runs: &[RunRows], what: &str, setting: impl Fn(&RunRows) -> String) -> Option<String> {
    let settings: Vec<String> = runs.iter().map(setting).collect();
    if settings.windows(2).all(|neighbours| neighbours[0] == neighbours[1]) {
        return None;
    }
    let each: Vec<String> =
        runs.iter().zip(&settings).map(|(run, value)| format!("{} {value}", run.name)).collect();
    Some(format!("the runs differ in {what} ({})", each.join(", ")))
}

/// Whether the runs were measured by different sensors, whose errors don't cancel.
fn sensors(runs: &[RunRows]) -> Option<String> {
    let has_energy =
        runs.iter().all(|run| run.settings.basis.is_some() && !run.settings.is_estimated());
    let same = runs.windows(2).all(|pair| pair[0].settings.devices == pair[1].settings.devices);
    if same || !has_energy {
        return None;
    }
    let gains: Option<Vec<f64>> = runs.iter().map(|run| run.settings.gain_error_pct).collect();
    Some(match gains {
        Some(gains) => format!(
            "the energies are of different sensors, each with a gain error of its own (up to {} %): the \
             intervals are over queries and without it, the verdicts allow for it",
            gains.iter().copied().fold(0.0, f64::max)
        ),
        None => "the energies are of different sensors whose gain errors aren't known: neither intervals nor \
                 verdicts allow for them"
            .to_owned(),
    })
}

fn sampling(runs: &[RunRows]) -> Vec<String> {
    let names: BTreeSet<&String> =
        runs.iter().flat_map(|run| run.settings.sampling.keys()).collect();
    let difference = |name: &String| {
        let value = |run: &RunRows| match run.settings.sampling.get(name) {
            Some(value) => value.to_string(),
            None => "the server's default".to_owned(),
        };
        differs(runs, name, value)
            .map(|differs| format!("{differs}: answers differ for that reason, too"))
    };
    names.into_iter().filter_map(difference).collect()
}

fn of_overlap(overlap: Overlap) -> Vec<String> {
    let Overlap { in_any, in_all, same_question, answered, scored } = overlap;
    let share = |part: usize, whole: usize| part as f64 / whole as f64;
    let due = [
        (same_question < in_all).then(|| {
            format!(
                "{} another prompt or reference answer in one of the runs and left out",
                counted(in_all - same_question, "query has", "queries have")
            )
        }),
        (share(answered, in_any) < FULL).then(|| {
            format!(
                "the figures are of the {answered} queries that all runs answered, {} of the {in_any} that \
                 any of them has: those that failed or are missing may be the hard ones",
                percent(share(answered, in_any))
            )
        }),
        (scored == 0).then(|| {
            "no query is scored in all runs: nothing is said of accuracy, IPJ and IPW; `ipw analyze RUN` scores \
             answers"
                .to_owned()
        }),
        (scored > 0 && share(scored, answered) < FULL).then(|| {
            format!("{scored} of these {answered} queries are scored in all runs: accuracy is over these")
        }),
        (answered < FEW_PAIRS).then(|| {
            format!("{}: intervals over so few are rough", counted(answered, "query is common", "queries are common"))
        }),
    ];
    due.into_iter().flatten().collect()
}
