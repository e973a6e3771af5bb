//! Several runs side by side, as text. Pure.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use comfy_table::Cell;

use super::table::{FIGURES, Figure, new_table, right_but_first, significant};
use crate::analysis::provenance::citation;
use crate::analysis::stats::mean;
use crate::finalize::Finished;
use crate::record::QueryStatus;

/// A column for each run, and what has to be known of them.
pub(super) fn side_by_side(runs: &[(&Finished, &Path)]) -> String {
    let mut table = new_table();
    let numbers = (1..=runs.len()).map(|number| format!("[{number}]"));
    table.set_header(row("", numbers));
    for (name, text) in TEXTS {
        table.add_row(row(name, runs.iter().map(|(finished, _)| text(finished))));
    }
    for (name, figure) in FIGURES {
        let means = runs.iter().map(|(finished, _)| mean_of(finished, figure));
        table.add_row(row(&format!("{name}, mean"), means));
    }
    let mut text = format!("\n{}\n", table.trim_fmt());
    for (number, (finished, directory)) in (1..).zip(runs) {
        let _ = write!(text, "\n[{number}] {}", directory.display());
        let scored = finished.accuracy.iter().flat_map(|accuracy| &accuracy.warnings);
        for warning in scored.chain(&finished.summary.warnings) {
            let _ = write!(text, "\n    warning: {warning}");
        }
        if let Some(accuracy) = &finished.accuracy {
            let citation = citation(&finished.summary, &accuracy.summary);
            let _ = write!(text, "\n    cite: {citation}");
        }
    }
    for (what, of) in SAME {
        let values: BTreeSet<String> = runs.iter().map(|(finished, _)| of(finished)).collect();
        if values.len() > 1 {
            let values: Vec<String> = values.into_iter().collect();
            let _ = write!(
                text,
                "\nwarning: the runs have different {what} ({}): their numbers don't compare",
                values.join(", ")
            );
        }
    }
    text
}

type Text = fn(&Finished) -> String;

const TEXTS: [(&str, Text); 8] = [
    ("Model", |run| run.summary.model.clone()),
    ("Hardware", |run| run.summary.hardware_label.clone()),
    ("Dataset", |run| run.summary.dataset.clone()),
    ("Queries ok", |run| format!("{} of {}", run.summary.queries.ok, run.summary.total_queries)),
    ("Accuracy (%)", |run| {
        let accuracy = run.accuracy.as_ref().map(|accuracy| &accuracy.summary);
        let percent = |share: f64| format!("{:.1}", 100.0 * share);
        let value = accuracy.and_then(|accuracy| accuracy.accuracy);
        with_interval(value, accuracy.and_then(|accuracy| accuracy.accuracy_ci95), percent)
    }),
    ("IPJ (accuracy per joule)", |run| {
        let accuracy = run.accuracy.as_ref().map(|accuracy| &accuracy.summary);
        let value = accuracy.and_then(|accuracy| accuracy.intelligence_per_joule);
        let interval = accuracy.and_then(|accuracy| accuracy.intelligence_per_joule_ci95);
        with_interval(value, interval, significant) + &marked(run)
    }),
    ("IPW (accuracy per watt)", |run| {
        let accuracy = run.accuracy.as_ref().map(|accuracy| &accuracy.summary);
        let value = accuracy.and_then(|accuracy| accuracy.intelligence_per_watt);
        let interval = accuracy.and_then(|accuracy| accuracy.intelligence_per_watt_ci95);
        with_interval(value, interval, significant) + &marked(run)
    }),
    ("Energy from", |run| {
        let energy = &run.summary.energy;
        match (&energy.basis, &energy.method) {
            (Some(basis), Some(method)) => format!("{basis}, {method}"),
            (Some(basis), None) => basis.clone(),
            (None, _) => "not measured".to_owned(),
        }
    }),
];

/// What numbers can't be compared without.
const SAME: [(&str, Text); 3] = [
    ("datasets", |run| format!("{} {}", run.summary.dataset, run.summary.dataset_revision)),
    ("energy bases", |run| run.summary.energy.basis.clone().unwrap_or_else(|| "none".to_owned())),
    ("numbers of queries", |run| run.summary.total_queries.to_string()),
];

fn row(name: &str, cells: impl Iterator<Item = String>) -> Vec<Cell> {
    std::iter::once(name.to_owned()).chain(cells).map(right_but_first()).collect()
}

fn with_interval(
    value: Option<f64>,
    interval: Option<[f64; 2]>,
    text: impl Fn(f64) -> String,
) -> String {
    let interval =
        interval.map(|[low, high]| format!(" [{}, {}]", text(low), text(high))).unwrap_or_default();
    value.map_or_else(|| "-".to_owned(), |value| text(value) + &interval)
}

fn marked(run: &Finished) -> String {
    run.summary.mark().map(|mark| format!(" {mark}")).unwrap_or_default()
}

fn mean_of(run: &Finished, (figure, is_energy): (Figure, bool)) -> String {
    let ok = run.scored.iter().filter(|query| query.status == QueryStatus::Ok);
    let values: Vec<f64> = ok.filter_map(figure).collect();
    let mark = if is_energy { marked(run) } else { String::new() };
    mean(&values).map_or_else(|| "-".to_owned(), |mean| significant(mean) + &mark)
}
