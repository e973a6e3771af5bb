//! `ipw analyze`: runs' headline numbers, with what isn't scored yet scored first; their energies made
//! again, if they aren't final or it is asked to.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::judging::{self, EvalArgs, Judged, Judging};
use super::signals::watch_signals;
use crate::analysis::accuracy::AccuracyOptions;
use crate::analysis::regression::RegressionReport;
use crate::exit::Exit;
use crate::finalize::{self, Finished};
use crate::results::{AttributionState, RunDirectory, RunStatus, read_summary};
use crate::scoring::ScoreOptions;
use crate::ui;

#[derive(Debug, Args)]
pub(super) struct AnalyzeArgs {
    /// Directories of runs; of several, the figures are printed side by side
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// What to make: see `ipw list analyses`
    #[arg(long, value_enum, default_value = "accuracy")]
    analysis: Analysis,
    /// Share of the scored queries that must have energy for IPJ and IPW to be given
    #[arg(long, default_value_t = AccuracyOptions::default().min_energy_coverage, value_parser = share)]
    min_energy_coverage: f64,
    /// Make the energies again from telemetry.arrow and requests.jsonl
    #[arg(long)]
    reattribute: bool,
    /// Print the results as JSON: an object, of several runs a list
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    eval: EvalArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Analysis {
    /// Accuracy, IPJ and IPW
    Accuracy,
    /// What time, energy and power depend on; joules per prompt and generated token
    Regression,
    /// Both
    All,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("give a number from 0 to 1".to_owned()),
    }
}

pub(super) async fn run(args: &AnalyzeArgs) -> anyhow::Result<Exit> {
    let judging = Judging {
        available: judging::available(&args.eval)?,
        args: &args.eval,
        options: ScoreOptions {
            accuracy: AccuracyOptions { min_energy_coverage: args.min_energy_coverage },
            judge: args.eval.eval_model.clone(),
        },
        progress: &ui::Progress::new(args.json),
        stop: watch_signals().context("can't watch for signals")?,
    };
    let mut exit = Exit::Done;
    let mut all: Vec<Analyzed<'_>> = Vec::new();
    for run in &args.runs {
        let about = || format!("can't analyze {}", run.display());
        let finished = analyze(run, args, &judging.options).with_context(about)?;
        let (finished, judged) = match args.analysis {
            Analysis::Regression => (finished, Judged::All),
            _ => judging.judge(run, finished).await.with_context(about)?,
        };
        exit = exit.worse(judged.exit());
        let regression = match args.analysis {
            Analysis::Accuracy => None,
            _ => Some(regression(run, &finished).with_context(about)?),
        };
        all.push(Analyzed { run, finished, regression });
    }
    if args.json {
        let reports: Vec<Report<'_>> = all.iter().map(|one| one.report(args.analysis)).collect();
        match reports.as_slice() {
            [only] => ui::json(only),
            several => ui::json(&several),
        }
    } else {
        show(&all, args.analysis);
    }
    Ok(exit)
}

/// A run with what was made of it.
struct Analyzed<'a> {
    run: &'a Path,
    finished: Finished,
    regression: Option<RegressionReport>,
}

/// The same for programs.
#[derive(Serialize)]
#[serde(untagged)]
enum Report<'a> {
    Whole(ui::Report<'a>),
    Regression { directory: &'a Path, regression: &'a Option<RegressionReport> },
}

impl Analyzed<'_> {
    fn report(&self, analysis: Analysis) -> Report<'_> {
        match analysis {
            Analysis::Regression => {
                Report::Regression { directory: self.run, regression: &self.regression }
            }
            Analysis::Accuracy | Analysis::All => {
                Report::Whole(ui::report(&self.finished, self.run, self.regression.as_ref()))
            }
        }
    }
}

fn show(all: &[Analyzed<'_>], analysis: Analysis) {
    match all {
        _ if analysis == Analysis::Regression => {}
        [only] => ui::results(&only.finished, only.run),
        several => {
            let runs: Vec<_> = several.iter().map(|one| (&one.finished, one.run)).collect();
            ui::side_by_side(&runs);
        }
    }
    all.iter().filter_map(|one| one.regression.as_ref()).for_each(ui::regression);
}

fn regression(run: &Path, finished: &Finished) -> anyhow::Result<RegressionReport> {
    let directory = RunDirectory::reopen(run)?;
    Ok(finalize::regression(&directory, &finished.summary, &finished.fitted)?)
}

fn analyze(run: &Path, args: &AnalyzeArgs, options: &ScoreOptions) -> anyhow::Result<Finished> {
    let directory = RunDirectory::reopen(run)?;
    let mut summary = read_summary(run)?;
    // We hold the lock, so no process is at it any more.
    if summary.status == RunStatus::Running {
        summary.status = RunStatus::Interrupted;
    }
    let is_final = summary.attribution == AttributionState::Final;
    Ok(if is_final && !args.reattribute {
        finalize::analyze(&directory, summary, options)?
    } else {
        finalize::finalize(&directory, summary, Some(options))?
    })
}
