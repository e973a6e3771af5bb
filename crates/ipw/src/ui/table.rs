//! The closing table, as text. Pure.

use std::fmt::Write as _;
use std::path::Path;

use comfy_table::{Cell, CellAlignment, LineStyle, Table, presets};

use crate::analysis::accuracy::{AccuracySummary, ScoredQuery};
use crate::analysis::provenance::citation;
use crate::analysis::stats::{mean, quantile};
pub(super) use crate::analysis::words::significant;
use crate::finalize::Finished;
use crate::record::QueryStatus;
use crate::results::{MARKS, RunStatus, Summary};

/// Everything about a finished run that fits on a screen.
pub(super) fn results(finished: &Finished, directory: &Path) -> String {
    let summary = &finished.summary;
    let mut text = format!(
        "\n{} on {}, dataset {}, {}\n\n",
        summary.model,
        summary.hardware_label,
        summary.dataset,
        queries(summary)
    );
    let answered: Vec<&ScoredQuery> =
        finished.scored.iter().filter(|query| query.status == QueryStatus::Ok).collect();
    let mark = summary.mark().map(|mark| format!(" {mark}")).unwrap_or_default();
    let mark = mark.as_str();
    let _ = writeln!(text, "{}\n", figures(&answered, mark));
    if let Some(accuracy) = &finished.accuracy {
        text.push_str(&headline(&accuracy.summary, mark));
    }
    let _ = writeln!(text, "{}", energy(summary));
    for line in [steady(summary), cost(summary)].into_iter().flatten() {
        let _ = writeln!(text, "{line}{mark}");
    }
    let _ = write!(text, "Results   {}", directory.display());
    let scored = finished.accuracy.iter().flat_map(|accuracy| &accuracy.warnings);
    // That it is no measurement stands beside every number already.
    let said = |warning: &&String| MARKS.iter().any(|mark| warning.contains(mark));
    let known = summary.warnings.iter().filter(|warning| !said(warning));
    for warning in scored.chain(known) {
        let _ = write!(text, "\nwarning: {warning}");
    }
    if let Some(accuracy) = &finished.accuracy {
        let _ = write!(text, "\nCite      {}", citation(summary, &accuracy.summary));
    }
    text
}

fn queries(summary: &Summary) -> String {
    let counts = &summary.queries;
    let mut text = format!("{} of {} queries ok", counts.ok, summary.total_queries);
    for (count, what) in [
        (counts.error, "failed"),
        (counts.timeout, "timed out"),
        (counts.truncated, "cut off"),
        (summary.total_queries.saturating_sub(counts.rows()), "not sent"),
        (counts.skipped, "unusable rows skipped"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    if summary.status != RunStatus::Complete {
        text.push_str(" (the run is not complete)");
    }
    text
}

/// A number of a query.
pub type Figure = fn(&ScoredQuery) -> Option<f64>;

/// What is shown of each query's numbers; whether it is made from energy.
pub const FIGURES: [(&str, (Figure, bool)); 7] = [
    ("Energy per query (J)", (|query| query.basis_joules, true)),
    ("Power (W)", (watts, true)),
    ("Energy per output token (J)", (|query| query.joules_per_output_token, true)),
    ("Time to first token (s)", (|query| query.time_to_first_token_seconds, false)),
    ("Latency (s)", (|query| query.seconds, false)),
    ("Tokens per second", (|query| query.tokens_per_second, false)),
    ("Output tokens", (|query| query.output_tokens.map(|tokens| tokens as f64), false)),
];

fn figures(queries: &[&ScoredQuery], mark: &str) -> String {
    let mut table = new_table();
    table.set_header(["", "mean", "median", "p95", "max", "queries"].map(right_but_first()));
    for (name, (figure, is_energy)) in FIGURES {
        let name = format!("{name}{}", if is_energy { mark } else { "" });
        let mut values: Vec<f64> = queries.iter().filter_map(|query| figure(query)).collect();
        values.sort_by(f64::total_cmp);
        let cells = [
            mean(&values),
            quantile(&values, 0.5),
            quantile(&values, 0.95),
            values.last().copied(),
        ];
        let cells = cells.map(|value| value.map_or_else(|| "-".to_owned(), significant));
        let all = std::iter::once(name)
            .chain(cells)
            .chain(std::iter::once(values.len().to_string()))
            .map(right_but_first());
        table.add_row(all.collect::<Vec<Cell>>());
    }
    table.trim_fmt()
}

/// A table with nothing but a line below its head.
pub(super) fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING.header_separator(LineStyle::none().fill('─').junction('─')));
    table
}

/// Cells of numbers align right, the first of a row left.
pub(super) fn right_but_first<T: ToString>() -> impl FnMut(T) -> Cell {
    let mut first = true;
    move |content| {
        let align = if first { CellAlignment::Left } else { CellAlignment::Right };
        first = false;
        Cell::new(content).set_alignment(align)
    }
}

fn watts(query: &ScoredQuery) -> Option<f64> {
    let (joules, seconds) = query.basis_joules.zip(query.seconds)?;
    (seconds > 0.0).then(|| joules / seconds)
}

fn headline(accuracy: &AccuracySummary, mark: &str) -> String {
    let mut text = String::new();
    let share = accuracy.accuracy.map_or_else(
        || "not known: nothing was scored".to_owned(),
        |share| format!("{:.1} %", share * 100.0),
    );
    let interval = accuracy.accuracy_ci95.map_or_else(String::new, |[low, high]| {
        format!(" [{:.1}, {:.1}]", low * 100.0, high * 100.0)
    });
    let _ = writeln!(
        text,
        "Accuracy  {share}{interval}   {} right, {} wrong, {} unparsed{}",
        accuracy.correct,
        accuracy.incorrect,
        accuracy.unparsed,
        if accuracy.failed > 0 { format!(", {} failed", accuracy.failed) } else { String::new() }
    );
    let score =
        |name: &str, unit: &str, value: Option<f64>, interval: Option<[f64; 2]>, rows: u64| {
            let interval = interval.map_or_else(String::new, |[low, high]| {
                format!(" [{}, {}]", significant(low), significant(high))
            });
            match value {
                Some(value) => format!(
                    "{name}       {}{interval} {unit}   from {rows} queries{mark}\n",
                    significant(value)
                ),
                None => format!("{name}       not known\n"),
            }
        };
    text.push_str(&score(
        "IPJ",
        "accuracy per joule",
        accuracy.intelligence_per_joule,
        accuracy.intelligence_per_joule_ci95,
        accuracy.energy_sample_count as u64,
    ));
    text.push_str(&score(
        "IPW",
        "accuracy per watt",
        accuracy.intelligence_per_watt,
        accuracy.intelligence_per_watt_ci95,
        accuracy.power_sample_count as u64,
    ));
    text
}

fn energy(summary: &Summary) -> String {
    let energy = &summary.energy;
    let Some(basis) = &energy.basis else {
        let remedy = energy.remedy.as_ref().map(|text| format!("; {text}")).unwrap_or_default();
        return format!("Energy    not measured ({}){remedy}", energy.status);
    };
    let method = match (energy.method.as_deref(), energy.estimator.as_deref()) {
        (Some("counter"), Some(estimator)) => format!("counter ({estimator})"),
        (method, _) => method.unwrap_or("none").to_owned(),
    };
    let mark = summary.mark().map(|mark| format!("{mark}, not measured; ")).unwrap_or_default();
    let idle =
        energy.idle_watts.map(|idle| format!(", idle {} W", significant(idle))).unwrap_or_default();
    format!(
        "Energy    {mark}basis {basis}, method {method}{idle}, of {} of {} queries",
        summary.totals.energy_queries, summary.queries.ok
    )
}

/// The steady state of a run with several queries at once.
fn steady(summary: &Summary) -> Option<String> {
    let steady = summary.energy.steady_state?;
    Some(format!(
        "Steady    {} J per output token, {} tokens/s, over {} s with all of them in flight",
        significant(steady.joules_per_output_token?),
        significant(steady.output_tokens_per_second?),
        significant(steady.seconds)
    ))
}

/// What the energy of all queries cost, if anything was said of what energy costs.
fn cost(summary: &Summary) -> Option<String> {
    let known = |value: Option<f64>, unit: &str| Some(format!("{} {unit}", significant(value?)));
    let totals = &summary.totals;
    let dollars = known(totals.energy_cost_usd, "USD");
    let carbon = known(totals.carbon_grams, "g CO2e");
    let parts: Vec<String> = dollars.into_iter().chain(carbon).collect();
    (!parts.is_empty())
        .then(|| format!("Cost      {} for the energy of the queries", parts.join(", ")))
}
