//! How long answers took: the share of queries that were done within a time.

use super::WIDE;
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

/// The distributions of times.
pub(in crate::plot) struct Latency;

/// A curve needs no more points than this.
const MOST_POINTS: usize = 400;

const CURVE: Stroke = Stroke::solid(Ink::Hue(Hue::Blue), 1.8);
/// What is marked of each distribution.
const QUANTILES: [(f64, &str, Hue); 2] =
    [(0.5, "p50, half of the queries", Hue::Green), (0.95, "p95, 19 of 20", Hue::Vermillion)];

type Time = (&'static str, fn(&Query) -> Option<f64>);

const TIMES: [Time; 3] = [
    ("Time to first token", |query| positive(query.first_token_seconds)),
    ("Whole answer", |query| positive(query.seconds)),
    ("Time per output token", |query| positive(query.seconds_per_output_token)),
];

impl Visualization for Latency {
    fn id(&self) -> &'static str {
        "latency"
    }

    fn help(&self) -> &'static str {
        "how long until the first token, the whole answer, and each further token"
    }

    fn draw(&self, run: &RunData) -> Result<Figure, NotDrawable> {
        let panels = TIMES.map(|(name, time)| panel(name, run.values(time)));
        if panels.iter().all(|panel| panel.empty.is_some()) {
            return Err(NotDrawable("no query was answered, so none took a time".to_owned()));
        }
        let mut legend = vec![Key::new(Sample::Line(CURVE), "share of queries within the time")];
        legend.extend(QUANTILES.map(|(_, text, hue)| Key::new(Sample::Line(rule(hue)), text)));
        Ok(Figure {
            id: self.id(),
            title: "Latency".to_owned(),
            description: "Cumulative distributions of the time to the first token, the time of the whole \
                          answer and the time per output token, with their medians and 95th percentiles."
                .to_owned(),
            caption: run.caption(),
            legend,
            rows: vec![Row { panels: panels.to_vec(), height: 230.0 }],
            table: None,
            notes: vec![
                "Answered queries only. From the request's start; per output token after the first one."
                    .to_owned(),
            ],
            width: WIDE,
        })
    }
}

fn rule(hue: Hue) -> Stroke {
    Stroke::dashed(Ink::Hue(hue), 1.4)
}

fn panel(name: &str, mut values: Vec<f64>) -> Panel {
    values.sort_by(f64::total_cmp);
    let Some(x) = Axis::by_ratio("Time", Unit::Seconds, values.iter().copied()) else {
        return Panel::without_data(name, "not known of any query");
    };
    let mut marks = Vec::new();
    let mut told = Vec::new();
    for (q, text, hue) in QUANTILES {
        let Some(at) = quantile(&values, q) else { continue };
        marks.push(Mark::Rule { at, direction: Direction::Up, stroke: rule(hue) });
        let name = text.split(',').next().unwrap_or(text);
        told.push(format!("{name} {}", Unit::Seconds.text(at)));
    }
    marks.push(Mark::Line { points: cumulative(&values), stroke: CURVE });
    told.push(format!("n {}", count(values.len())));
    // An axis that was cut has values beyond; the curve then doesn't reach 100 %.
    let beyond = values.len() - values.partition_point(|value| x.holds(*value) || *value < x.low);
    let y = Axis::new("Queries", Unit::Percent, 0.0, 100.0);
    let panel = Panel::new(name, x, y, marks).noting(told.join(" · "));
    match (beyond, values.last()) {
        (0, _) | (_, None) => panel,
        (beyond, Some(longest)) => {
            let longest = Unit::Seconds.text(*longest);
            panel.noting(format!("{} beyond the axis, up to {longest}", count(beyond)))
        }
    }
}

/// The share of values, in percent, at or below each; of many, as many as are seen.
fn cumulative(sorted: &[f64]) -> Vec<Datum> {
    let share = |rank: usize| 100.0 * rank as f64 / sorted.len() as f64;
    let shown: Vec<usize> = if sorted.len() <= MOST_POINTS {
        (0..sorted.len()).collect()
    } else {
        (0..MOST_POINTS).map(|n| n * (sorted.len() - 1) / (MOST_POINTS - 1)).collect()
    };
    let step = |index: usize| [(sorted[index], share(index)), (sorted[index], share(index + 1))];
    shown.into_iter().flat_map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_rises_from_none_to_all() {
        assert_eq!(cumulative(&[1.0, 2.0]), [(1.0, 0.0), (1.0, 50.0), (2.0, 50.0), (2.0, 100.0)]);
        let many: Vec<f64> = (0..100_000).map(f64::from).collect();
        let curve = cumulative(&many);
        assert_eq!(curve.len(), 2 * MOST_POINTS);
        assert_eq!((curve[0].1, curve[curve.len() - 1]), (0.0, (99_999.0, 100.0)));
        assert!(curve.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1));
    }
}
