//! `ipw export`: the flat table of runs.

use std::io::ErrorKind::BrokenPipe;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

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
    /// One file for all runs; - for standard output (CSV) [default: queries.csv or queries.parquet in each run]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
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
    match &args.output {
        Some(output) if output.as_os_str() == "-" => {
            if format == Format::Parquet {
                return Err(UsageError("Parquet needs a file: --output FILE".to_owned()).into());
            }
            match export::export_csv(&args.runs, ui::output()) {
                // A reader that has seen enough is no error.
                Err(ResultsError::Io { source, .. }) if source.kind() == BrokenPipe => {}
                written => drop(written?),
            }
        }
        Some(output) => {
            let rows = export::export(&args.runs, format, output)?;
            ui::note(&format!("{rows} queries in {}", output.display()));
        }
        None => {
            for run in &args.runs {
                let output = run.join(name);
                let rows = export::export(std::slice::from_ref(run), format, &output)?;
                ui::note(&format!("{rows} queries in {}", output.display()));
            }
        }
    }
    Ok(Exit::Done)
}
