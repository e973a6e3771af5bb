//! `ipw report`: runs as one page.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::compare::names;
use crate::analysis::accuracy::AccuracyOptions;
use crate::exit::Exit;
use crate::report::{ReportedRun, page};
use crate::results::write_bytes;
use crate::ui;

/// In a run's directory; of several runs where the command is called.
const REPORT: &str = "report.html";

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// Directories of runs; several are compared on one page
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The page [default: RUN/report.html; of several runs ./report.html]
    #[arg(long, value_name = "FILE.html")]
    output: Option<PathBuf>,
    /// Print the page's path as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ReportArgs) -> anyhow::Result<Exit> {
    let mut runs = Vec::new();
    for (run, name) in args.runs.iter().zip(names(&args.runs)?) {
        let about = || format!("can't report on {}", run.display());
        runs.push(ReportedRun::read(run, name, AccuracyOptions::default()).with_context(about)?);
    }
    let output = match (&args.output, args.runs.as_slice()) {
        (Some(output), _) => output.clone(),
        (None, [run]) => run.join(REPORT),
        (None, _) => PathBuf::from(REPORT),
    };
    write_bytes(&output, page(&runs).as_bytes())?;
    if args.json {
        ui::json(&json!({ "report": output }));
    } else {
        ui::paths(&[output]);
    }
    Ok(Exit::Done)
}
