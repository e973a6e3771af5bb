//! The command line: arguments in, exit code out.

use clap::{Parser, Subcommand};

use crate::exit::Exit;

mod analyze;
mod compare;
mod env;
mod export;
mod judging;
mod list;
mod plot;
mod profile;
mod report;
mod signals;

/// How much intelligence per joule and per watt does a language model give on this hardware?
#[derive(Debug, Parser)]
#[command(name = "ipw", version, about, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send a dataset's prompts to an inference server and measure the energy of each answer
    Profile(Box<profile::ProfileArgs>),
    /// Score what isn't scored yet, and print the accuracy, IPJ and IPW of runs
    Analyze(analyze::AnalyzeArgs),
    /// Draw runs: PNG and SVG files into their plots/ directories
    Plot(plot::PlotArgs),
    /// Write runs as one HTML page: numbers, figures, answers, set-up
    Report(report::ReportArgs),
    /// Say whether runs differ, and by how much: accuracy, energy, time, IPJ and IPW
    Compare(compare::CompareArgs),
    /// Write runs' rows as one flat table: CSV or Parquet
    Export(export::ExportArgs),
    /// List what can be asked for by id
    List(list::ListArgs),
}

/// Reads the command line; prints help or a usage error and leaves by itself.
#[must_use]
pub fn parse() -> Cli {
    Cli::parse()
}

/// Does what was asked.
///
/// # Errors
/// What [`crate::exit::of`] has a code for.
pub async fn run(cli: Cli) -> anyhow::Result<Exit> {
    match cli.command {
        Command::Profile(args) => profile::run(*args).await,
        Command::Plot(args) => plot::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Analyze(args) => analyze::run(&args).await,
        Command::Compare(args) => compare::run(&args),
        Command::Export(args) => export::run(&args),
        Command::List(args) => Ok(list::run(args)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
