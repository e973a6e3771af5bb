//! `ipw plot`: pictures of runs.

use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};

use crate::exit::{Exit, UsageError};
use crate::plot::{
    self, Figure, Format, NotDrawable, RunData, Standing, VISUALIZATIONS, Visualization, pareto,
};
use crate::ui;

/// Below a run's directory.
const PLOTS: &str = "plots";

#[derive(Debug, Args)]
pub(super) struct PlotArgs {
    /// Directories of runs
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Only this one (see ipw list visualizations)
    #[arg(long, value_name = "ID")]
    visualization: Option<String>,
    /// Where files go [default: RUN/plots; of what compares several runs ./plots]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Kind of files
    #[arg(long, value_enum, default_value = "both")]
    format: Formats,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Formats {
    Png,
    Svg,
    Both,
}

/// What is to be drawn.
struct Choice {
    of_each: Vec<&'static dyn Visualization>,
    pareto: bool,
    /// Whether it was asked for by id, so that it is an error if it can't be drawn.
    by_id: bool,
}

pub(super) fn run(args: &PlotArgs) -> anyhow::Result<Exit> {
    let choice = choose(args)?;
    let mut standings = Vec::new();
    for run in &args.runs {
        let data = RunData::read(run).with_context(|| format!("can't plot {}", run.display()))?;
        let directory = match &args.output {
            Some(output) if args.runs.len() == 1 => output.clone(),
            _ => run.join(PLOTS),
        };
        draw_each(&choice, &data, &directory, args.format.kinds())?;
        standings.push(Standing::of(&data));
    }
    if choice.pareto {
        let directory = args.output.clone().unwrap_or_else(|| PathBuf::from(PLOTS));
        let figure = pareto::draw(&standings);
        finish(pareto::ID, figure, &choice, &directory, args.format.kinds())?;
    }
    Ok(Exit::Done)
}

fn choose(args: &PlotArgs) -> anyhow::Result<Choice> {
    let several = args.runs.len() > 1;
    let Some(id) = &args.visualization else {
        return Ok(Choice { of_each: VISUALIZATIONS.to_vec(), pareto: several, by_id: false });
    };
    if id == pareto::ID {
        if !several {
            bail!(UsageError(format!("{id} compares runs: give two or more")));
        }
        return Ok(Choice { of_each: Vec::new(), pareto: true, by_id: true });
    }
    let one = VISUALIZATIONS.iter().find(|one| one.id() == id);
    let one = one.ok_or_else(|| {
        let known: Vec<&str> = VISUALIZATIONS.iter().map(|one| one.id()).collect();
        UsageError(format!(
            "unknown visualization `{id}`; there are: {}, {}",
            known.join(", "),
            pareto::ID
        ))
    })?;
    Ok(Choice { of_each: vec![*one], pareto: false, by_id: true })
}

/// Draws a run's figures side by side: they share nothing but the run.
fn draw_each(
    choice: &Choice,
    run: &RunData,
    directory: &Path,
    formats: &[Format],
) -> anyhow::Result<()> {
    thread::scope(|scope| {
        let start = |one: &&'static dyn Visualization| {
            let one = *one;
            scope.spawn(move || finish(one.id(), one.draw(run), choice, directory, formats))
        };
        let drawing: Vec<_> = choice.of_each.iter().map(start).collect();
        drawing.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(anyhow!("a figure could not be drawn")))
        })
    })
}

fn finish(
    id: &str,
    figure: Result<Figure, NotDrawable>,
    choice: &Choice,
    directory: &Path,
    formats: &[Format],
) -> anyhow::Result<()> {
    match figure {
        Ok(figure) => ui::paths(&plot::write(&figure, directory, formats)?),
        Err(reason) if choice.by_id => bail!("can't draw {id}: {reason}"),
        Err(reason) => ui::note(&format!("{id} is not drawn: {reason}")),
    }
    Ok(())
}

impl Formats {
    fn kinds(self) -> &'static [Format] {
        match self {
            Self::Png => &[Format::Png],
            Self::Svg => &[Format::Svg],
            Self::Both => &[Format::Png, Format::Svg],
        }
    }
}
