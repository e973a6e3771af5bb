//! The project's own chores, run as `cargo xtask TASK`: each is one file here.
//!
//! Knows how to build, set up and start things; knows nothing of energy or models.

mod bench;
mod browser;
mod ci;
mod dataset;
mod demo;
mod process;
mod python;
mod steps;
mod test;
mod tidy;
mod workspace;

use std::env;
use std::process::ExitCode;

use anyhow::Result;

use process::Interrupted;
use workspace::Workspace;

const USAGE: &str = "\
usage: cargo xtask TASK

  demo [--tdp-watts W]  profile a small real model on a real server, all from this clone
  test [ARGUMENT]...    set up what the tests need and run them all (arguments go to cargo test)
  bench [FIGURE]... [--quick]
                        measure the figures of docs/benchmarks.md: attribution, scoring, dataset,
                        analysis, monitor, energy, live, first-token, commit, disturbance; 1 if a
                        target is missed (seconds to 40 minutes each)
  dataset [--check]     generate the built-in prompts (needs python3), or check that the file is
                        what would be generated
  ci                    fmt, tidy, dataset, clippy, docs, test: what a change must pass
  tidy                  check the rules of docs/architecture.md that a program can check";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) if error.is::<Interrupted>() => {
            steps::failure("interrupted");
            ExitCode::from(130)
        }
        Err(error) => {
            steps::failure(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode> {
    let Some((task, rest)) = arguments.split_first() else { return Ok(usage_error()) };
    match (task.as_str(), rest) {
        ("help" | "--help" | "-h", _) => steps::result(USAGE),
        ("demo" | "bench" | "dataset" | "ci" | "tidy", [flag]) if flag == "--help" => {
            steps::result(USAGE)
        }
        ("demo", rest) => match demo::Options::parse(rest) {
            Ok(options) => demo::run(&Workspace::open()?, &options)?,
            Err(reason) => {
                steps::failure(&reason);
                return Ok(usage_error());
            }
        },
        ("bench", rest) => match bench::Options::parse(rest) {
            Ok(options) => return bench::run(&Workspace::open()?, &options),
            Err(reason) => {
                steps::failure(&reason);
                return Ok(usage_error());
            }
        },
        ("test", rest) => test::run(&Workspace::open()?, rest)?,
        ("dataset", []) => dataset::run(&Workspace::open()?, false)?,
        ("dataset", [flag]) if flag == "--check" => dataset::run(&Workspace::open()?, true)?,
        ("ci", []) => ci::run(&Workspace::open()?)?,
        ("tidy", []) => tidy::run(&Workspace::open()?.root)?,
        _ => return Ok(usage_error()),
    }
    Ok(ExitCode::SUCCESS)
}

fn usage_error() -> ExitCode {
    steps::failure(USAGE);
    ExitCode::from(2)
}
