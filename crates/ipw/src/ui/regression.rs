//! The regressions, as text. Pure.

use std::fmt::Write as _;

use super::table::{new_table, right_but_first, significant};
use crate::analysis::regression::RegressionReport;

/// The lines, what a token costs in words, and what has to be known of both.
pub(super) fn regression(report: &RegressionReport) -> String {
    let mut table = new_table();
    let head = ["", "slope", "95 %", "intercept", "r2", "queries"];
    table.set_header(head.map(right_but_first()));
    for (name, line) in report.data.regressions.named() {
        let interval =
            |[low, high]: [f64; 2]| format!("{} .. {}", significant(low), significant(high));
        let cells = [
            name.to_owned(),
            known(line.slope),
            line.slope_ci95.map_or_else(|| "-".to_owned(), interval),
            known(line.intercept),
            line.r2.map_or_else(|| "-".to_owned(), |r2| format!("{r2:.3}")),
            line.count.to_string(),
        ];
        table.add_row(cells.map(right_but_first()));
    }
    let mut text = format!("\nRegression, {}\n\n{}\n", report.summary.model, table.trim_fmt());
    let _ = write!(text, "\n{}", report.sentence());
    for warning in &report.warnings {
        let _ = write!(text, "\nwarning: {warning}");
    }
    text
}

fn known(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), significant)
}
