//! `ipw analyze`: a run's headline numbers, made again if something of them is missing; its energies, if
//! they aren't final or it is asked to.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use crate::analysis::accuracy::AccuracyOptions;
use crate::exit::Exit;
use crate::finalize::{self, Finished};
use crate::results::{AttributionState, RunDirectory, RunStatus, read_summary};
use crate::ui;

#[derive(Debug, Args)]
pub(super) struct AnalyzeArgs {
    /// Directories of runs
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Share of the scored queries that must have energy for IPJ and IPW to be given
    #[arg(long, default_value_t = AccuracyOptions::default().min_energy_coverage, value_parser = share)]
    min_energy_coverage: f64,
    /// Make the energies again from telemetry.arrow and requests.jsonl
    #[arg(long)]
    reattribute: bool,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("give a number from 0 to 1".to_owned()),
    }
}

pub(super) fn run(args: &AnalyzeArgs) -> anyhow::Result<Exit> {
    for run in &args.runs {
        let finished =
            analyze(run, args).with_context(|| format!("can't analyze {}", run.display()))?;
        if args.json {
            ui::json(&ui::report(&finished, run));
        } else {
            ui::results(&finished, run);
        }
    }
    Ok(Exit::Done)
}

fn analyze(run: &Path, args: &AnalyzeArgs) -> anyhow::Result<Finished> {
    let directory = RunDirectory::reopen(run)?;
    let mut summary = read_summary(run)?;
    // We hold the lock, so no process is at it any more.
    if summary.status == RunStatus::Running {
        summary.status = RunStatus::Interrupted;
    }
    let options = AccuracyOptions { min_energy_coverage: args.min_energy_coverage };
    let is_final = summary.attribution == AttributionState::Final;
    Ok(if is_final && !args.reattribute {
        finalize::analyze(&directory, summary, options)?
    } else {
        finalize::finalize(&directory, summary, Some(options))?
    })
}
