//! How long answers were: the density of output tokens, over a histogram of the same values.

use super::WIDTH;
use crate::analysis::kde::kde;
use crate::analysis::stats::{mean, quantile};
use crate::plot::axis::Axis;
use crate::plot::figure::{Figure, Key, Row, Sample};
use crate::plot::mark::{Direction, Extent, Mark};
use crate::plot::number::{Unit, count, significant};
use crate::plot::palette::{Hue, Ink};
use crate::plot::panel::Panel;
use crate::plot::scene::{Fill, Stroke};
use crate::plot::{NotDrawable, RunData, Visualization};

/// The density of output tokens.
pub(in crate::plot) struct OutputKde;

const CURVE: Stroke = Stroke::solid(Ink::Hue(Hue::Blue), 2.0);
const MEDIAN: Stroke = Stroke::dashed(Ink::Hue(Hue::Green), 1.4);
const BOXES: Fill = Fill { ink: Ink::Hue(Hue::Sky), opacity: 0.4 };
/// Single values below the histogram, of so many at most.
const MOST_RUG: usize = 500;
const RUG: Stroke = Stroke { ink: Ink::Muted, width: 1.0, opacity: 0.35, dash: None };
/// The most columns of the histogram.
const MOST_COLUMNS: usize = 60;

impl Visualization for OutputKde {
    fn id(&self) -> &'static str {
        "output_kde"
    }

    fn help(&self) -> &'static str {
        "how long the answers were: the density of output tokens"
    }

    fn draw(&self, run: &RunData) -> Result<Figure, NotDrawable> {
        let mut values = run.values(|query| query.output_tokens.filter(|tokens| *tokens >= 0.0));
        values.sort_by(f64::total_cmp);
        let axis = Axis::from_zero("Output tokens", Unit::Tokens, values.iter().copied());
        let x = axis.ok_or_else(|| {
            NotDrawable("the number of output tokens isn't known of any answered query".to_owned())
        })?;
        // The kernel's width follows from the spread, which what is far out would make too large.
        let shown: Vec<f64> = values.iter().copied().filter(|value| x.holds(*value)).collect();
        let density = kde(&shown);
        let mut legend = vec![Key::new(Sample::Surface(BOXES), "histogram")];
        let (columns, highest) = histogram(&shown, &x);
        let mut marks = vec![Mark::Boxes { boxes: columns, fill: BOXES }];
        let mut notes = Vec::new();
        let mut top = highest;
        match &density {
            Some(density) => {
                top = density.density.iter().copied().fold(top, f64::max);
                let points = density.x.iter().copied().zip(density.density.iter().copied());
                // A number of tokens isn't negative, whatever the kernel's tail says.
                let points = points.filter(|point| point.0 >= 0.0).collect();
                marks.push(Mark::Line { points, stroke: CURVE });
                legend.push(Key::new(Sample::Line(CURVE), "kernel density"));
                let bandwidth = significant(density.bandwidth, 3);
                notes.push(format!(
                    "Gaussian kernel, Scott's bandwidth: {bandwidth} tokens. Answered queries only."
                ));
            }
            None => notes
                .push("A density needs two queries with different numbers of tokens.".to_owned()),
        }
        if shown.len() <= MOST_RUG {
            let bars = shown.iter().map(|value| (*value, 0.0, 0.03 * top)).collect();
            marks.push(Mark::Bars { bars, direction: Direction::Up, stroke: RUG });
            legend.push(Key::new(Sample::Bar(RUG), "a query"));
        }
        if let Some(at) = quantile(&values, 0.5) {
            marks.push(Mark::Rule { at, direction: Direction::Up, stroke: MEDIAN });
            legend.push(Key::new(Sample::Line(MEDIAN), "median"));
        }
        let y = Axis::new("Density (per token)", Unit::Plain, 0.0, 1.05 * top);
        let mut panel = Panel::new("", x, y, marks).noting(told(&values));
        if let (true, Some(most)) = (shown.len() < values.len(), values.last()) {
            let beyond = count(values.len() - shown.len());
            panel = panel.noting(format!(
                "{beyond} beyond the axis, up to {} tokens, not in the density",
                significant(*most, 3)
            ));
        }
        Ok(Figure {
            id: self.id(),
            title: "Length of the answers".to_owned(),
            description: format!("Density of output tokens per query. {}.", told(&values)),
            caption: run.caption(),
            legend,
            rows: vec![Row { panels: vec![panel], height: 270.0 }],
            table: None,
            notes,
            width: WIDTH,
        })
    }
}

fn told(sorted: &[f64]) -> String {
    let of = |q| quantile(sorted, q);
    let figures =
        [("mean", mean(sorted)), ("p5", of(0.05)), ("median", of(0.5)), ("p95", of(0.95))];
    let mut told: Vec<String> = figures
        .iter()
        .filter_map(|(name, value)| Some(format!("{name} {}", significant((*value)?, 3))))
        .collect();
    told.push(format!("n {}", count(sorted.len())));
    told.join(" · ")
}

/// Columns whose surface is 1 in all, of whole tokens, and the highest of them.
fn histogram(values: &[f64], x: &Axis) -> (Vec<Extent>, f64) {
    let (Some(least), Some(most)) = (values.first(), values.last()) else {
        return (Vec::new(), 1.0);
    };
    // Freedman and Diaconis: twice the middle half's width by the cube root of n. Of few values that is
    // often one column for all, and Sturges' number of columns shows more.
    let n = values.len() as f64;
    let spread = quantile(values, 0.75).zip(quantile(values, 0.25)).map_or(0.0, |(a, b)| a - b);
    let wanted = (2.0 * spread / n.cbrt()).min((most - least) / (n.log2() + 1.0).ceil());
    let least_width = (x.high - x.low) / MOST_COLUMNS as f64;
    let width = wanted.max(least_width).max(1.0).ceil();
    let first = (least / width).floor();
    let columns = ((most / width).floor() - first) as usize + 1;
    let mut counts = vec![0_usize; columns];
    for value in values {
        counts[((value / width).floor() - first) as usize] += 1;
    }
    let height = |count: usize| count as f64 / (n * width);
    let highest = counts.iter().copied().max().map_or(1.0, height);
    let extent = |(index, count): (usize, &usize)| {
        let from = (first + index as f64) * width;
        Extent { x: [from, from + width], y: [0.0, height(*count)] }
    };
    (counts.iter().enumerate().map(extent).collect(), highest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_has_a_surface_of_one_and_a_column_for_each_value() {
        let mut values: Vec<f64> = (0..1_000).map(|n| f64::from(n * n % 701)).collect();
        values.sort_by(f64::total_cmp);
        let x = Axis::from_zero("x", Unit::Tokens, values.iter().copied()).unwrap();
        let (columns, highest) = histogram(&values, &x);
        let surface: f64 =
            columns.iter().map(|column| (column.x[1] - column.x[0]) * column.y[1]).sum();
        assert!((surface - 1.0).abs() < 1e-9);
        assert!(columns.len() <= MOST_COLUMNS + 1 && highest > 0.0);
        let one = histogram(&[7.0], &Axis::new("x", Unit::Tokens, 0.0, 8.0));
        assert_eq!(one, (vec![Extent { x: [7.0, 8.0], y: [0.0, 1.0] }], 1.0));
    }
}
