//! The figures, one a module, and what several of them say in the same way.

pub(super) mod energy_accuracy;
pub(super) mod energy_over_time;
pub(super) mod joules_per_token;
pub(super) mod latency;
pub(super) mod output_kde;
pub mod pareto;
pub(super) mod power_timeline;
pub(super) mod regression;

use super::figure::{Key, Sample};
use super::mark::{Direction, Mark};
use super::palette::{Hue, Ink};
use super::scene::Stroke;

/// Of a figure with one panel in a row: that of a text column with some air.
const WIDTH: f64 = 760.0;
/// Of a figure with three.
const WIDE: f64 = 980.0;

/// Up to so many queries each has its own bars.
const MOST_BARS: usize = 400;

/// The hard bounds of an energy.
const BOUNDS: Stroke = Stroke { ink: Ink::Muted, width: 1.0, opacity: 0.7, dash: None };
/// Its 95 % interval.
const INTERVAL: Stroke = Stroke { ink: Ink::Hue(Hue::Blue), width: 2.6, opacity: 0.45, dash: None };

/// Bars with their entries in the legend, where any interval is known.
fn bars(
    bounds: Vec<(f64, f64, f64)>,
    intervals: Vec<(f64, f64, f64)>,
    legend: &mut Vec<Key>,
) -> Vec<Mark> {
    let mut marks = Vec::new();
    for (bars, stroke, text) in
        [(bounds, BOUNDS, "hard bounds"), (intervals, INTERVAL, "95 % interval")]
    {
        if !bars.is_empty() {
            legend.push(Key::new(Sample::Bar(stroke), text));
            marks.push(Mark::Bars { bars, direction: Direction::Up, stroke });
        }
    }
    marks
}

/// The legend of dots, or of the cells that stand for many of them.
fn keys_of_points(mark: &Mark, hue: Hue, text: &str) -> Vec<Key> {
    match mark {
        Mark::Cells { .. } => Key::of_cells(),
        _ => vec![Key::new(Sample::Dot(hue), text)],
    }
}
