//! `ipw plot`: pictures of runs.

use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;

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
    /// Print as JSON which files were written, and what can't be drawn and why
    #[arg(long)]
    json: bool,
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

/// What became of figures; for programs as it is.
#[derive(Debug, Default, Serialize)]
struct Drawn {
    written: Vec<PathBuf>,
    not_drawn: Vec<Missing>,
}

/// A figure that its run, or all runs together, haven't got the data for.
#[derive(Debug, Serialize)]
struct Missing {
    /// `None`: of all runs.
    run: Option<PathBuf>,
    visualization: &'static str,
    reason: String,
}

pub(super) fn run(args: &PlotArgs) -> anyhow::Result<Exit> {
    let choice = choose(args)?;
    let (mut standings, mut all) = (Vec::new(), Drawn::default());
    let mut done = |drawn: Drawn| {
        if args.json {
            all.written.extend(drawn.written);
            all.not_drawn.extend(drawn.not_drawn);
        } else {
            drawn.show();
        }
    };
    for run in &args.runs {
        let data = RunData::read(run).with_context(|| format!("can't plot {}", run.display()))?;
        let directory = match &args.output {
            Some(output) if args.runs.len() == 1 => output.clone(),
            _ => run.join(PLOTS),
        };
        draw_each(&choice, &data, &directory, args.format.kinds(), &mut done)?;
        standings.push(Standing::of(&data));
    }
    if choice.pareto {
        let directory = args.output.clone().unwrap_or_else(|| PathBuf::from(PLOTS));
        let of_all = Of { run: None, visualization: pareto::ID };
        let figure = pareto::draw(&standings);
        done(finish(of_all, figure, &choice, &directory, args.format.kinds())?);
    }
    if args.json {
        ui::json(&all);
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

/// Draws a run's figures side by side: they share nothing but the run. `done` gets each as it comes.
fn draw_each(
    choice: &Choice,
    run: &RunData,
    directory: &Path,
    formats: &[Format],
    done: &mut impl FnMut(Drawn),
) -> anyhow::Result<()> {
    thread::scope(|scope| {
        let start = |one: &&'static dyn Visualization| {
            let one = *one;
            let of = Of { run: Some(&run.directory), visualization: one.id() };
            scope.spawn(move || finish(of, one.draw(run), choice, directory, formats))
        };
        let drawing: Vec<_> = choice.of_each.iter().map(start).collect();
        for thread in drawing {
            let drawn = thread.join().map_err(|_| anyhow!("a figure could not be drawn"))?;
            done(drawn?);
        }
        Ok(())
    })
}

/// Which figure it is.
#[derive(Clone, Copy)]
struct Of<'a> {
    run: Option<&'a Path>,
    visualization: &'static str,
}

fn finish(
    of: Of<'_>,
    figure: Result<Figure, NotDrawable>,
    choice: &Choice,
    directory: &Path,
    formats: &[Format],
) -> anyhow::Result<Drawn> {
    let Of { run, visualization } = of;
    let (mut written, mut not_drawn) = (Vec::new(), Vec::new());
    match figure {
        Ok(figure) => written = plot::write(&figure, directory, formats)?,
        Err(reason) if choice.by_id => bail!("can't draw {visualization}: {reason}"),
        Err(NotDrawable(reason)) => {
            not_drawn.push(Missing { run: run.map(Path::to_owned), visualization, reason });
        }
    }
    Ok(Drawn { written, not_drawn })
}

impl Drawn {
    fn show(&self) {
        ui::paths(&self.written);
        for Missing { run, visualization, reason } in &self.not_drawn {
            let of = run.as_ref().map(|run| format!(" of {}", run.display())).unwrap_or_default();
            ui::note(&format!("{visualization}{of} is not drawn: {reason}"));
        }
    }
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
