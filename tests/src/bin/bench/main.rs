//! The figures that this project promises, measured: `cargo xtask bench` builds all that is needed and
//! runs this.
//!
//! Answers, for each figure, its target, what it came to and whether that is good enough; docs/benchmarks.md
//! says what each means. It drives the programs built beside it, on fakes whose truth is known, and for
//! `disturbance` on a real server. It can't make a busy machine idle: it says how busy it was.

mod analysis;
mod attribution;
mod bare_client;
mod child;
mod commit;
mod dataset;
mod disturbance;
mod energy;
mod finding;
mod first_token;
mod live;
mod machine;
mod monitor;
mod profile;
mod report;
mod scoring;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use finding::Finding;

#[derive(Parser)]
#[command(about = "Measures the figures of docs/benchmarks.md")]
struct Args {
    /// What to measure; everything if nothing is named
    #[arg(value_enum)]
    figures: Vec<Figure>,
    /// Fewer and shorter rounds
    #[arg(long)]
    quick: bool,
    /// Root of llama.cpp's server with one thread, for `disturbance`
    #[arg(long, value_name = "URL")]
    server_url: Option<String>,
    /// What this program starts itself as, to measure what a loop takes that does next to nothing
    #[arg(long, hide = true)]
    bare_loop: Option<String>,
    /// What this program starts itself as, to load a dataset from this cache once
    #[arg(long, hide = true)]
    load_dataset: Option<PathBuf>,
    /// What this program starts itself as, to start another one and say what that took
    #[arg(long, hide = true, num_args = 1.., allow_hyphen_values = true)]
    start: Option<Vec<OsString>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Figure {
    Attribution,
    Scoring,
    Dataset,
    Analysis,
    Monitor,
    Energy,
    Live,
    FirstToken,
    Commit,
    Disturbance,
}

/// How much time is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effort {
    /// What the targets are stated for.
    Full,
    /// A look.
    Quick,
}

impl Effort {
    fn pick<T>(self, full: T, quick: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
        }
    }

    /// How often a figure is measured; its median counts.
    fn rounds(self) -> usize {
        self.pick(5, 3)
    }
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if let Some(order) = &args.bare_loop {
        monitor::bare::run(order)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(cache) = &args.load_dataset {
        report::result(&dataset::load_once(cache)?);
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(order) = &args.start {
        report::result(&child::start(order)?);
        return Ok(ExitCode::SUCCESS);
    }
    let effort = if args.quick { Effort::Quick } else { Effort::Full };
    let figures =
        if args.figures.is_empty() { Figure::value_variants() } else { args.figures.as_slice() };
    let mut findings = Vec::new();
    for figure in figures {
        report::progress(&format!("{figure:?}"));
        let watch = machine::Watch::start()?;
        // What the others came to is kept.
        let found = measure(*figure, effort, &args).unwrap_or_else(|error| {
            report::progress(&format!("{error:#}"));
            vec![Finding::failed(&format!("{figure:?}"))]
        });
        let others = watch.others_pct()?;
        findings.extend(found.into_iter().map(|finding| finding.beside_others(others)));
    }
    let header = header(effort)?;
    report::result(&format!("{header}\n{}", finding::table(&findings)));
    Ok(if findings.iter().any(Finding::is_missed) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn measure(figure: Figure, effort: Effort, args: &Args) -> Result<Vec<Finding>> {
    match figure {
        Figure::Attribution => attribution::measure(effort),
        Figure::Scoring => scoring::measure(effort),
        Figure::Dataset => dataset::measure(effort),
        Figure::Analysis => analysis::measure(effort),
        Figure::Monitor => monitor::measure(effort),
        Figure::Energy => energy::measure(effort),
        Figure::Live => Ok(live::measure(effort)),
        Figure::FirstToken => first_token::measure(effort),
        Figure::Commit => commit::measure(effort),
        Figure::Disturbance => disturbance::measure(effort, args.server_url.as_deref()),
    }
}

fn header(effort: Effort) -> Result<String> {
    let mode = match effort {
        Effort::Full => String::new(),
        Effort::Quick => {
            format!(
                "\nQUICK: {} short rounds, not what the targets are stated for",
                effort.rounds()
            )
        }
    };
    Ok(format!("{}{mode}", machine::description()?))
}
