//! `ipw compare`: do runs differ, and by how much?

use std::path::{Path, PathBuf};

use clap::Args;

use crate::analysis::compare::{ComparedRow, RunRows, RunSettings, compare};
use crate::exit::Exit;
use crate::results::{ResultsError, read_rows, read_summary};
use crate::ui;

#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    /// Directories of two runs, or of more to be ranked
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Print the comparison as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &CompareArgs) -> anyhow::Result<Exit> {
    let runs = args.runs.iter().map(|run| rows(run)).collect::<Result<Vec<_>, _>>()?;
    let report = compare(&runs)?;
    if args.json {
        ui::json(&report);
    } else {
        ui::comparison(&report);
    }
    Ok(Exit::Done)
}

fn rows(run: &Path) -> Result<RunRows, ResultsError> {
    let summary = read_summary(run)?;
    let rows = read_rows(run)?
        .map(|record| record.map(|record| ComparedRow::from(&record)))
        .collect::<Result<Vec<_>, _>>()?;
    let name = run.file_name().unwrap_or(run.as_os_str()).to_string_lossy();
    Ok(RunRows { name: name.into_owned(), settings: RunSettings::from(&summary), rows })
}
