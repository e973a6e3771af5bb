//! `ipw export`: the flat table of runs.

use std::io::ErrorKind::BrokenPipe;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::analysis::words::counted;
use crate::exit::{Exit, UsageError};
use crate::export::{self, Format};
use crate::results::ResultsError;
use crate::ui;

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// Directories of runs
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// How the table is written
    #[arg(long, value_enum, default_value = "csv")]
    format: TableFormat,
    /// One file for all runs; - for standard output (CSV, without --json) [default: queries.csv or queries.parquet in each run]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print as JSON how many queries went into which files
    #[arg(long)]
    json: bool,
}

/// What was written; for programs as it is.
#[derive(Debug, Default, Serialize)]
struct Exported {
    /// In all files.
    rows: u64,
    files: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TableFormat {
    /// Text with commas; an empty cell is a value that isn't known
    Csv,
    /// For pandas, polars and DuckDB; null is a value that isn't known
    Parquet,
}

pub(super) fn run(args: &ExportArgs) -> anyhow::Result<Exit> {
    let (format, name) = match args.format {
        TableFormat::Csv => (Format::Csv, "queries.csv"),
        TableFormat::Parquet => (Format::Parquet, "queries.parquet"),
    };
    let files = match &args.output {
        Some(output) if output.as_os_str() == "-" => {
            if args.json {
                let reason = "--json and --output - both print on standard output: give a file";
                return Err(UsageError(reason.to_owned()).into());
            }
            if format == Format::Parquet {
                return Err(UsageError("Parquet needs a file: --output FILE".to_owned()).into());
            }
            match export::export_csv(&args.runs, ui::output()) {
                // A reader that has seen enough is no error.
                Err(ResultsError::Io { source, .. }) if source.kind() == BrokenPipe => {}
                written => drop(written?),
            }
            return Ok(Exit::Done);
        }
        Some(output) => vec![(args.runs.as_slice(), output.clone())],
        None => args.runs.iter().map(|run| (std::slice::from_ref(run), run.join(name))).collect(),
    };
    let mut exported = Exported::default();
    for (runs, file) in files {
        let rows = export::export(runs, format, &file)?;
        let queries = counted(rows as usize, "query", "queries");
        ui::note(&format!("{queries} in {}", file.display()));
        exported.rows += rows;
        exported.files.push(file);
    }
    if args.json {
        ui::json(&exported);
    }
    Ok(Exit::Done)
}
