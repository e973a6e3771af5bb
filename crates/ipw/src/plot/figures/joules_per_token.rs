//! What a token costs: by how long the answer was, and by what the token is for.

use super::{BOUNDS, MOST_BARS, WIDE, keys_of_points};
use crate::analysis::stats::quantile;
use crate::plot::axis::Axis;
use crate::plot::data::{Query, positive};
use crate::plot::figure::{Figure, Key, Row, Sample};
use crate::plot::mark::{Datum, Direction, Mark};
use crate::plot::number::{Unit, count};
use crate::plot::palette::{Hue, Ink};
use crate::plot::panel::Panel;
use crate::plot::scene::Stroke;
use crate::plot::{NotDrawable, RunData, Visualization};

/// Joules per token.
pub(in crate::plot) struct JoulesPerToken;

const MOST_OF_THEM: Stroke = Stroke::solid(Ink::Hue(Hue::Blue), 1.4);
const HALF: Stroke = Stroke { ink: Ink::Hue(Hue::Blue), width: 9.0, opacity: 0.45, dash: None };

type Cost = (&'static str, fn(&Query) -> Option<f64>);

const COSTS: [Cost; 4] = [
    ("all, per output token", |query| positive(query.joules_per_output_token)),
    ("all, per token in and out", |query| positive(query.joules_per_total_token)),
    ("prefill, per prompt token", |query| positive(query.prefill_joules_per_input_token)),
    ("decode, per output token", |query| positive(query.decode_joules_per_output_token)),
];

impl Visualization for JoulesPerToken {
    fn id(&self) -> &'static str {
        "joules_per_token"
    }

    fn help(&self) -> &'static str {
        "energy per token by length of the answer, and in prefill and decode"
    }

    fn draw(&self, run: &RunData) -> Result<Figure, NotDrawable> {
        let by_length = by_length(run);
        let by_use = by_use(run);
        let (Some((by_length, mut legend)), Some(by_use)) = (by_length, by_use) else {
            return Err(NotDrawable(if run.answered().any(|query| query.joules.is_some()) {
                "no query has both energy and output tokens".to_owned()
            } else {
                run.why_no_energy()
            }));
        };
        legend.extend([
            Key::new(Sample::Bar(HALF), "middle half of the queries"),
            Key::new(Sample::Line(MOST_OF_THEM), "p5 to p95"),
            Key::new(Sample::Dot(Hue::Vermillion), "median"),
        ]);
        Ok(Figure {
            id: self.id(),
            title: "Energy per token".to_owned(),
            description: "Energy per output token against the length of the answer, and the distribution of \
                          energy per token of whole queries, of their prefill and of their decode phase."
                .to_owned(),
            caption: run.caption(),
            legend,
            rows: vec![Row { panels: vec![by_length, by_use], height: 250.0 }],
            table: None,
            notes: vec!["Answered queries only. Prefill ends with the first token.".to_owned()],
            width: WIDE,
        })
    }
}

fn by_length(run: &RunData) -> Option<(Panel, Vec<Key>)> {
    let tokens = |query: &Query| positive(query.output_tokens);
    let cost = |query: &Query| Some((tokens(query)?, positive(query.joules_per_output_token)?));
    let points: Vec<Datum> = run.answered().filter_map(cost).collect();
    let x = Axis::by_ratio("Output tokens", Unit::Tokens, points.iter().map(|at| at.0))?;
    let y = Axis::by_ratio(
        "Energy per output token",
        Unit::JoulesPerToken,
        points.iter().map(|at| at.1),
    )?;
    let mut legend = Vec::new();
    let mut marks = Vec::new();
    if points.len() <= MOST_BARS {
        let bar = |query: &Query| {
            let (tokens, [low, high]) = (cost(query)?.0, query.bounds()?);
            Some((tokens, low / tokens, high / tokens))
        };
        let bars: Vec<_> = run.answered().filter_map(bar).collect();
        if !bars.is_empty() {
            marks.push(Mark::Bars { bars, direction: Direction::Up, stroke: BOUNDS });
            legend.push(Key::new(Sample::Bar(BOUNDS), "hard bounds"));
        }
    }
    let scatter = Mark::scatter(points, Hue::Blue);
    legend.splice(0..0, keys_of_points(&scatter, Hue::Blue, "a query"));
    marks.push(scatter);
    Some((Panel::new("By length of the answer", x, y, marks), legend))
}

fn by_use(run: &RunData) -> Option<Panel> {
    let (mut names, mut most, mut half, mut medians) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut queries: Vec<usize> = Vec::new();
    for (name, cost) in COSTS {
        let mut values = run.values(cost);
        values.sort_by(f64::total_cmp);
        let of = |q| quantile(&values, q);
        let (Some(p5), Some(p25), Some(p50), Some(p75), Some(p95)) =
            (of(0.05), of(0.25), of(0.5), of(0.75), of(0.95))
        else {
            continue;
        };
        let place = names.len() as f64;
        names.push(name.to_owned());
        queries.push(values.len());
        most.push((place, p5, p95));
        half.push((place, p25, p75));
        medians.push((p50, place));
    }
    let ends = most.iter().flat_map(|(_, low, high)| [*low, *high]);
    let x = Axis::by_ratio("Energy", Unit::JoulesPerToken, ends)?;
    let direction = Direction::Across;
    let marks = vec![
        Mark::Bars { bars: most, direction, stroke: MOST_OF_THEM },
        Mark::Bars { bars: half, direction, stroke: HALF },
        Mark::Dots { points: medians, hue: Hue::Vermillion, radius: 3.2 },
    ];
    let panel = Panel::new("By what the energy went into", x, Axis::of_names(names), marks);
    let (fewest, most) = (queries.iter().min()?, queries.iter().max()?);
    Some(panel.noting(if fewest == most {
        format!("n {}", count(*most))
    } else {
        format!("n {} to {}", count(*fewest), count(*most))
    }))
}
