//! How time, energy and power go with tokens: the nine regressions, each with its queries and its line.

use super::{BOUNDS, MOST_BARS, WIDE, keys_of_points};
use crate::analysis::regression::{LineFit, analyze};
use crate::plot::axis::{Axis, Scale};
use crate::plot::data::{Query, positive};
use crate::plot::figure::{Figure, Key, Row, Sample};
use crate::plot::mark::{Datum, Direction, Mark};
use crate::plot::number::{Unit, count, fixed};
use crate::plot::palette::{Hue, Ink};
use crate::plot::panel::Panel;
use crate::plot::scene::Stroke;
use crate::plot::{NotDrawable, RunData, Visualization};

/// The regressions.
pub(in crate::plot) struct Regression;

const LINE: Stroke = Stroke::solid(Ink::Hue(Hue::Vermillion), 1.8);
const ROBUST: Stroke = Stroke::dashed(Ink::Text, 1.4);
/// A line on a logarithmic axis is a curve: so many points make it look like one.
const POINTS_OF_LINE: usize = 64;
const PANELS_OF_ROW: usize = 3;

type Value = fn(&Query) -> Option<f64>;

/// What a panel shows.
struct Pair<'a> {
    x: (&'static str, Value),
    y: (&'static str, Unit, Value),
    fit: &'a LineFit,
    /// Whether the line is through the natural logarithm of the tokens.
    logarithmic: bool,
}

const INPUT: (&str, Value) = ("Prompt tokens", |query| query.input_tokens.filter(|n| *n >= 0.0));
const OUTPUT: (&str, Value) = ("Output tokens", |query| query.output_tokens.filter(|n| *n >= 0.0));
const TOTAL: (&str, Value) =
    ("Prompt and output tokens", |query| query.total_tokens.filter(|n| *n >= 0.0));
const ENERGY: (&str, Unit, Value) = ("Energy", Unit::Joules, |query| positive(query.joules));
const POWER: (&str, Unit, Value) = ("Power", Unit::Watts, Query::watts);
const LATENCY: (&str, Unit, Value) = ("Latency", Unit::Seconds, |query| positive(query.seconds));
const FIRST_TOKEN: (&str, Unit, Value) =
    ("Time to first token", Unit::Seconds, |query| positive(query.first_token_seconds));

impl Visualization for Regression {
    fn id(&self) -> &'static str {
        "regression"
    }

    fn help(&self) -> &'static str {
        "time, energy and power against tokens, with fitted lines"
    }

    fn draw(&self, run: &RunData) -> Result<Figure, NotDrawable> {
        let report = analyze(&run.summary.model, &run.fitted);
        let fits = &report.data.regressions;
        let pair = |x, y, fit, logarithmic| Pair { x, y, fit, logarithmic };
        let pairs = [
            pair(INPUT, FIRST_TOKEN, &fits.input_tokens_vs_ttft, false),
            pair(OUTPUT, LATENCY, &fits.output_tokens_vs_latency, false),
            pair(TOTAL, LATENCY, &fits.total_tokens_vs_latency, false),
            pair(INPUT, ENERGY, &fits.input_tokens_vs_energy, false),
            pair(OUTPUT, ENERGY, &fits.output_tokens_vs_energy, false),
            pair(TOTAL, ENERGY, &fits.total_tokens_vs_energy, false),
            pair(INPUT, POWER, &fits.input_tokens_vs_power, false),
            pair(TOTAL, POWER, &fits.total_tokens_vs_power, false),
            pair(TOTAL, POWER, &fits.total_tokens_vs_power_log, true),
        ];
        let panels: Vec<Panel> = pairs.iter().map(|pair| panel(run, pair)).collect();
        if panels.iter().all(|panel| panel.empty.is_some()) {
            return Err(NotDrawable(
                "no answered query has both its tokens and a time or an energy".to_owned(),
            ));
        }
        Ok(Figure {
            id: self.id(),
            title: "Time, energy and power against tokens".to_owned(),
            description: format!("Nine scatter plots with fitted lines. {}", report.sentence()),
            caption: run.caption(),
            legend: legend(&panels),
            rows: panels
                .chunks(PANELS_OF_ROW)
                .map(|panels| Row { panels: panels.to_vec(), height: 190.0 })
                .collect(),
            table: None,
            notes: vec![
                report.sentence(),
                "Slopes with 95 % intervals. Answered queries only.".to_owned(),
            ],
            width: WIDE,
        })
    }
}

fn legend(panels: &[Panel]) -> Vec<Key> {
    let marks = || panels.iter().flat_map(|panel| &panel.marks);
    let points = marks().find(|mark| matches!(mark, Mark::Dots { .. } | Mark::Cells { .. }));
    let mut legend =
        points.map(|mark| keys_of_points(mark, Hue::Blue, "a query")).unwrap_or_default();
    if marks().any(|mark| matches!(mark, Mark::Bars { .. })) {
        legend.push(Key::new(Sample::Bar(BOUNDS), "hard bounds of its energy"));
    }
    for (line, text) in [
        (LINE, "least squares"),
        (ROBUST, "robust fit (Huber), where single queries pull the line"),
    ] {
        if marks().any(|mark| matches!(mark, Mark::Line { stroke, .. } if *stroke == line)) {
            legend.push(Key::new(Sample::Line(line), text));
        }
    }
    legend
}

fn panel(run: &RunData, pair: &Pair<'_>) -> Panel {
    let (name, unit, y) = pair.y;
    let (x_name, x) = pair.x;
    let by = if pair.logarithmic { "the logarithm of tokens" } else { x_name };
    let title = format!("{name} by {}", by.to_lowercase());
    let is_shown = |at: &Datum| !pair.logarithmic || at.0 > 0.0;
    let both = |query: &Query| Some((x(query)?, y(query)?)).filter(is_shown);
    // Of several bases there is no energy in common, and no line.
    let points: Vec<Datum> =
        if pair.fit.count == 0 { Vec::new() } else { run.answered().filter_map(both).collect() };
    let axes = x_axis(x_name, &points, pair.logarithmic).zip(Axis::around(
        name,
        unit,
        points.iter().map(|at| at.1),
    ));
    let Some((x_axis, y_axis)) = axes else {
        let why = match unit {
            Unit::Joules | Unit::Watts => run.why_no_energy(),
            _ => "not known of any query".to_owned(),
        };
        return Panel::without_data(&title, &why);
    };
    let mut marks = Vec::new();
    if unit == Unit::Joules && points.len() <= MOST_BARS {
        let bar = |query: &Query| {
            let (at, [low, high]) = (both(query)?, query.bounds()?);
            Some((at.0, low, high))
        };
        let bars: Vec<(f64, f64, f64)> = run.answered().filter_map(bar).collect();
        if !bars.is_empty() {
            marks.push(Mark::Bars { bars, direction: Direction::Up, stroke: BOUNDS });
        }
    }
    marks.push(Mark::scatter(points, Hue::Blue));
    marks.extend(lines(pair, &x_axis));
    let panel = Panel::new(&title, x_axis, y_axis, marks);
    slope(pair, unit).into_iter().fold(panel, Panel::noting)
}

fn x_axis(name: &str, points: &[Datum], logarithmic: bool) -> Option<Axis> {
    let values = || points.iter().map(|at| at.0);
    let axis = Axis::around(name, Unit::Tokens, values())?;
    if !logarithmic {
        return Some(axis);
    }
    let (low, high) = values()
        .fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    let scale = Scale::Logarithmic;
    Some(Axis { scale, ..Axis::new(name, Unit::Tokens, low / 1.1, high * 1.1) })
}

fn lines(pair: &Pair<'_>, x: &Axis) -> Vec<Mark> {
    let line = |slope: f64, intercept: f64, stroke: Stroke| {
        let at = |n: usize| {
            let value = x.at(n as f64 / (POINTS_OF_LINE - 1) as f64);
            let regressor = if pair.logarithmic { value.ln() } else { value };
            (value, intercept + slope * regressor)
        };
        Mark::Line { points: (0..POINTS_OF_LINE).map(at).collect(), stroke }
    };
    let least_squares = pair.fit.slope.zip(pair.fit.intercept);
    let robust = pair.fit.robust.as_ref();
    least_squares
        .map(|(slope, intercept)| line(slope, intercept, LINE))
        .into_iter()
        .chain(robust.map(|robust| line(robust.slope, robust.intercept, ROBUST)))
        .collect()
}

/// What the line says.
fn slope(pair: &Pair<'_>, unit: Unit) -> Vec<String> {
    let fit = pair.fit;
    let Some(slope) = fit.slope else {
        return vec!["no line: there is one number of tokens only".to_owned()];
    };
    let per = if pair.logarithmic { "per e-fold of tokens" } else { "per token" };
    let mut second = Vec::new();
    second.extend(fit.r2.map(|r2| format!("R² {}", fixed(r2, 2))));
    second.push(format!("n {}", count(fit.count)));
    second.extend(fit.robust.as_ref().map(|robust| format!("robust {}", unit.text(robust.slope))));
    vec![format!("{} {per}", unit.with_interval(slope, fit.slope_ci95)), second.join(" · ")]
}
