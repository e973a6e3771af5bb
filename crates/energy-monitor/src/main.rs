//! The `energy-monitor` program: arguments, configuration, run, exit code (0 done, 1 failed, 2
//! usage).

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use energy_monitor::cli::Cli;
use energy_monitor::config::Config;
use energy_monitor::{describe, logging, run};

fn main() -> ExitCode {
    let config = match Config::try_from(Cli::parse()) {
        Ok(config) => config,
        Err(error) => Cli::command().error(clap::error::ErrorKind::ValueValidation, error).exit(),
    };
    logging::start(config.log_format);
    let done = match config.describe {
        Some(format) => describe::print(&config, format),
        None => run::serve(&config),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error),
    }
}

#[expect(clippy::print_stderr, reason = "the one place that reports why the program failed")]
fn complain(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}
