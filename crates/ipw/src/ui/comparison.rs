//! Runs compared, as text. Pure.

use std::fmt::Write as _;

use super::table::{new_table, right_but_first, significant};
use crate::analysis::compare::{AccuracyDifference, ComparisonReport, Figure, PairReport, Ranking};

/// Warnings first: whether the figures can be compared at all; then the figures, and what they mean.
pub(super) fn comparison(report: &ComparisonReport) -> String {
    let mut text = String::new();
    for warning in &report.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    for (letter, run) in
        ('A'..='Z').zip(&report.runs).take(if report.pair.is_some() { 2 } else { 0 })
    {
        let _ = writeln!(text, "{letter}  {} ({} on {})", run.name, run.model, run.hardware);
    }
    match &report.pair {
        Some(pair) => text.push_str(&of_two(pair)),
        None => text.push_str(&ranked(&report.ranking, report.queries.answered)),
    }
    text.trim_end().to_owned()
}

fn of_two(pair: &PairReport) -> String {
    let figures = pair.named();
    let mut table = new_table();
    let head = ["", "A", "B", "A - B", "95 %", "A / B", "95 %", "pairs"];
    table.set_header(head.map(right_but_first()));
    table.add_row(accuracy(&pair.accuracy).map(right_but_first()));
    for (name, figure) in figures {
        table.add_row(figure_row(name, figure).map(right_but_first()));
    }
    let mut text = format!("\n{}\n\n", table.trim_fmt());
    let _ = writeln!(text, "Accuracy: {}", pair.accuracy.verdict);
    if pair.accuracy.pairs > 0 {
        let AccuracyDifference { both, only_a, only_b, neither, .. } = pair.accuracy;
        let _ = writeln!(
            text,
            "  right in both {both}, in A only {only_a}, in B only {only_b}, in neither {neither}"
        );
    }
    for (name, figure) in figures {
        let _ = writeln!(text, "{name}: {}", figure.verdict);
    }
    text
}

fn accuracy(accuracy: &AccuracyDifference) -> [String; 8] {
    let percent = |value: f64| format!("{:.1}", 100.0 * value);
    [
        "Accuracy (%)".to_owned(),
        shown(accuracy.a, percent),
        shown(accuracy.b, percent),
        shown(accuracy.difference, percent),
        interval(accuracy.difference_ci95, percent),
        "-".to_owned(),
        "-".to_owned(),
        accuracy.pairs.to_string(),
    ]
}

fn figure_row(name: &str, figure: &Figure) -> [String; 8] {
    [
        format!("{name} ({})", figure.unit),
        shown(figure.a, significant),
        shown(figure.b, significant),
        shown(figure.difference, significant),
        interval(figure.difference_ci95, significant),
        shown(figure.ratio, significant),
        interval(figure.ratio_ci95, significant),
        figure.pairs.to_string(),
    ]
}

fn ranked(ranking: &Ranking, answered: usize) -> String {
    let mut table = new_table();
    let head =
        ["", "run", "accuracy (%)", "J a query", "s a query", "IPJ", "95 %", "IPW", "Pareto front"];
    table.set_header(head.map(right_but_first()));
    for run in &ranking.runs {
        let front = match run.on_pareto_front {
            Some(true) => "yes",
            Some(false) => "no",
            None => "-",
        };
        let cells = [
            run.rank.map_or_else(|| "-".to_owned(), |rank| rank.to_string()),
            run.name.clone(),
            shown(run.accuracy, |value| format!("{:.1}", 100.0 * value)),
            shown(run.joules, significant),
            shown(run.seconds, significant),
            shown(run.intelligence_per_joule, significant),
            interval(run.intelligence_per_joule_ci95, significant),
            shown(run.intelligence_per_watt, significant),
            front.to_owned(),
        ];
        table.add_row(cells.map(right_but_first()));
    }
    format!("\n{}\n\n{}\n", table.trim_fmt(), ranking.sentence(answered))
}

fn shown(value: Option<f64>, text: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), text)
}

fn interval(interval: Option<[f64; 2]>, text: impl Fn(f64) -> String) -> String {
    interval
        .map_or_else(|| "-".to_owned(), |[low, high]| format!("{} .. {}", text(low), text(high)))
}
