//! All that is printed: results on stdout, everything else on stderr; plain where it isn't a terminal.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use crate::analysis::accuracy::AccuracyReport;
use crate::analysis::compare::ComparisonReport;
use crate::analysis::provenance::citation;
use crate::analysis::regression::RegressionReport;
use crate::analysis::words::printable;
use crate::exit;
use crate::finalize::Finished;
use crate::results::{EnergySummary, QueryCounts, RunStatus, Totals};
use crate::runner::End;

mod comparison;
mod downloads;
mod progress;
mod regression;
mod runs;
mod table;

pub use downloads::Downloads;
pub use progress::Progress;
pub use table::{FIGURES, Figure};

/// Logs go to stderr, as much as `IPW_LOG` asks for (a tracing filter, `warn` by default).
pub fn init_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("IPW_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(progress::above_the_bar)
        .with_ansi(colors())
        .with_target(false)
        .without_time()
        .init();
}

/// Whether stderr takes colours: a terminal that doesn't say otherwise.
fn colors() -> bool {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !plain && io::stderr().is_terminal()
}

/// Prints an error with its causes, and gives its exit code.
#[must_use]
pub fn fail(error: &anyhow::Error) -> ExitCode {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        // A cause that its parent has already told isn't told again.
        if !text.contains(&cause) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&cause);
        }
    }
    note(&format!("error: {text}"));
    exit::of(error).into()
}

/// Text on stderr.
pub fn note(text: &str) {
    progress::print_line(&harmless(text));
}

/// Text on stdout. A reader that has gone away is no error of ours.
fn print(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{}", harmless(text));
}

/// What models, servers and datasets say must not steer the terminal.
fn harmless(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<String>>().join("\n")
}

/// Where a table goes that was asked for on stdout.
pub fn output() -> impl Write {
    io::stdout().lock()
}

/// JSON on stdout.
pub fn json<T: Serialize>(value: &T) {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match serde_json::to_writer_pretty(&mut out, value) {
        // As in `print`, a reader that has gone away is no error of ours.
        Ok(()) => drop(writeln!(out)),
        Err(error) if error.is_io() => {}
        Err(error) => note(&format!("error: can't print the result as JSON: {error}")),
    }
}

/// A titled list of ids and what they are.
pub fn list(title: &str, entries: &[(String, String)]) {
    let width = entries.iter().map(|(id, _)| id.len()).max().unwrap_or(0);
    print(title);
    for (id, help) in entries {
        print(&format!("  {id:width$}  {help}"));
    }
}

/// Files that were written, one a line.
pub fn paths(paths: &[PathBuf]) {
    paths.iter().for_each(|path| print(&path.display().to_string()));
}

/// A run's results: what was measured, the headline numbers, and where everything lies.
pub fn results(finished: &Finished, directory: &Path) {
    print(&table::results(finished, directory));
}

/// Several runs' figures side by side.
pub fn side_by_side(runs: &[(&Finished, &Path)]) {
    print(&runs::side_by_side(runs));
}

/// What a run's tokens cost.
pub fn regression(report: &RegressionReport) {
    print(&regression::regression(report));
}

/// Runs compared.
pub fn comparison(report: &ComparisonReport) {
    print(&comparison::comparison(report));
}

/// One run's results for programs.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    directory: &'a Path,
    status: RunStatus,
    queries: QueryCounts,
    total_queries: u64,
    totals: &'a Totals,
    energy: &'a EnergySummary,
    accuracy: &'a Option<AccuracyReport>,
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    regression: Option<&'a RegressionReport>,
    /// The headline in one line, if there is one.
    citation: Option<String>,
}

/// What is known of a run.
#[must_use]
pub fn report<'a>(
    finished: &'a Finished,
    directory: &'a Path,
    regression: Option<&'a RegressionReport>,
) -> Report<'a> {
    let summary = &finished.summary;
    let accuracy = finished.accuracy.as_ref();
    Report {
        directory,
        status: summary.status,
        queries: summary.queries,
        total_queries: summary.total_queries,
        totals: &summary.totals,
        energy: &summary.energy,
        accuracy: &finished.accuracy,
        warnings: &summary.warnings,
        regression,
        citation: accuracy.map(|accuracy| citation(summary, &accuracy.summary)),
    }
}

/// How the run ended, if not simply done, and what to do next.
pub fn ending(end: &End, directory: &Path) {
    let resume = format!(
        "what is done is in {}; the same command with --resume goes on",
        directory.display()
    );
    match end {
        End::Complete => {}
        End::Interrupted => note(&format!("interrupted: {resume}")),
        End::ServerLost(reason) => note(&format!("error: {reason}\n{resume}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_steers_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\r\nc\u{9b}d"), "a [2Jb \nc d");
    }
}
