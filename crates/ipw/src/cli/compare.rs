//! `ipw compare`: do runs differ, and by how much?

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::analysis::compare::{ComparedRow, RunRows, RunSettings, compare};
use crate::exit::{Exit, UsageError};
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
    let names = names(&args.runs)?;
    let runs = args.runs.iter().zip(names).map(|(run, name)| rows(run, name));
    let runs = runs.collect::<Result<Vec<_>, _>>()?;
    let report = compare(&runs).map_err(|error| UsageError(error.to_string()))?;
    if args.json {
        ui::json(&report);
    } else {
        ui::comparison(&report);
    }
    Ok(Exit::Done)
}

/// What the runs are called: by their directories' names, if these tell them apart, else by their paths.
///
/// # Errors
/// A run is given twice.
pub(super) fn names(runs: &[PathBuf]) -> Result<Vec<String>, UsageError> {
    let absolute = |run: &PathBuf| run.canonicalize().unwrap_or_else(|_| run.clone());
    let places: Vec<PathBuf> = runs.iter().map(absolute).collect();
    let mut seen = BTreeSet::new();
    if let Some(twice) = places.iter().find(|place| !seen.insert(*place)) {
        return Err(UsageError(format!("{} is given twice: give different runs", twice.display())));
    }
    let name = |place: &PathBuf| {
        place.file_name().unwrap_or(place.as_os_str()).to_string_lossy().into_owned()
    };
    let names: Vec<String> = places.iter().map(name).collect();
    if names.iter().collect::<BTreeSet<_>>().len() == names.len() {
        return Ok(names);
    }
    Ok(runs.iter().map(|run| run.display().to_string()).collect())
}

fn rows(run: &Path, name: String) -> Result<RunRows, ResultsError> {
    let summary = read_summary(run)?;
    let rows = read_rows(run)?
        .map(|record| record.map(|record| ComparedRow::from(&record)))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(RunRows { name, settings: RunSettings::from(&summary), rows })
}
