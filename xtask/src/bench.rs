//! `cargo xtask bench`: what the figures of docs/benchmarks.md come to on this machine.
//!
//! Builds the programs in release, starts the demo's server where a figure needs it, and leaves the
//! measuring and judging to the program `bench` of the tests' package.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::demo::Server;
use crate::process::describe;
use crate::python;
use crate::steps::Steps;
use crate::workspace::Workspace;

/// Which of the figures needs the demo's server.
const NEEDS_SERVER: &str = "disturbance";
/// What can be asked for, by the names that the program `bench` knows.
const FIGURES: [&str; 10] = [
    "attribution",
    "scoring",
    "dataset",
    "analysis",
    "monitor",
    "energy",
    "live",
    "first-token",
    "commit",
    NEEDS_SERVER,
];
/// The other core of two stays free for those who measure.
const SERVER_THREADS: usize = 1;

/// What the command line of the bench can say.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    /// Nothing: all.
    figures: Vec<String>,
    quick: bool,
}

impl Options {
    /// Reads the arguments after `bench`.
    ///
    /// # Errors
    /// In words, if one is neither a figure nor a flag.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        let (flags, figures): (Vec<_>, Vec<_>) =
            arguments.iter().cloned().partition(|argument| argument == "--quick");
        match figures.iter().find(|name| !FIGURES.contains(&name.as_str())) {
            Some(unknown) => {
                Err(format!("error: `{unknown}` is not a figure: {}", FIGURES.join(", ")))
            }
            None => Ok(Self { figures, quick: !flags.is_empty() }),
        }
    }

    fn needs_server(&self) -> bool {
        self.figures.is_empty() || self.figures.iter().any(|name| name == NEEDS_SERVER)
    }
}

/// Measures; 1 if a target is missed.
///
/// # Errors
/// If something can't be set up or built, or the measuring itself fails.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let steps = Steps::start();
    let python = options.needs_server().then(|| python::DEMO.ready(workspace, &steps));
    let python = python.transpose()?;
    build(workspace, &steps)?;
    let mut bench = Command::new(workspace.release_binary("bench"));
    bench.args(&options.figures).args(options.quick.then_some("--quick"));
    let server = python
        .map(|python| Server::start(workspace, &steps, &python, SERVER_THREADS))
        .transpose()?;
    if let Some(server) = &server {
        bench.args(["--server-url", &server.url]);
    }
    steps.announce("measuring: leave the machine alone meanwhile");
    let status = workspace.processes.shown(&mut bench)?;
    steps.announce(&format!("bench: {}", describe(status)));
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.context("the bench was killed")?))
}

fn build(workspace: &Workspace, steps: &Steps) -> Result<()> {
    steps.announce("building everything in release (minutes from cold)");
    let mut build = workspace.cargo(&["build", "--quiet", "--release"]);
    // What tests link to, cargo builds without: the fake library has to be named too.
    build.args(["-p", "ipw", "-p", "energy-monitor", "-p", "fake-nvml", "-p", "e2e", "--bins"]);
    build.arg("--lib");
    workspace.processes.quiet("build-bench", &mut build).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, String> {
        Options::parse(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn nothing_named_means_everything() {
        let options = parse(&[]).unwrap();
        assert_eq!(options, Options { figures: Vec::new(), quick: false });
        assert!(options.needs_server());
    }

    #[test]
    fn figures_can_be_named_and_only_one_of_them_needs_the_server() {
        let options = parse(&["monitor", "--quick", "commit"]).unwrap();
        assert_eq!(options.figures, ["monitor", "commit"]);
        assert!(options.quick && !options.needs_server());
        assert!(parse(&["monitor", "disturbance"]).unwrap().needs_server());
    }

    #[test]
    fn an_unknown_figure_is_named_with_those_there_are() {
        let error = parse(&["latency"]).unwrap_err();
        assert!(error.contains("`latency`") && error.contains("first-token"), "{error}");
        assert!(parse(&["--fast"]).is_err());
    }
}
