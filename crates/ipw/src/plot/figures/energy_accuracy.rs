//! What the subjects of a dataset cost, and how often they were answered right.

use std::collections::BTreeMap;

use super::WIDTH;
use crate::analysis::accuracy::{AccuracyOptions, ScoredQuery, Tally, analyze};
use crate::analysis::stats::{mean, positive_mean_ci95};
use crate::evaluation::Verdict;
use crate::plot::axis::{Axis, Scale};
use crate::plot::data::positive;
use crate::plot::figure::{Figure, Key, Row, Sample, Table};
use crate::plot::mark::{Direction, Mark};
use crate::plot::number::{Unit, count, fixed};
use crate::plot::palette::{Hue, Ink};
use crate::plot::panel::Panel;
use crate::plot::scene::Stroke;
use crate::plot::{NotDrawable, RunData, Visualization};
use crate::record::QueryStatus;

/// Energy against accuracy by subject.
pub(in crate::plot) struct EnergyAccuracy;

/// More subjects than these aren't read.
const MOST_SUBJECTS: usize = 30;

/// Intervals are cut from so many times the largest and so small a part of the least energy on.
const FAR_END: f64 = 2.0;

pub(super) const INTERVAL: Stroke =
    Stroke { ink: Ink::Muted, width: 1.1, opacity: 0.55, dash: None };

/// A subject, or whatever is compared.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) scored: usize,
    /// In percent.
    pub(super) accuracy: f64,
    /// In percent.
    pub(super) accuracy_ci95: Option<[f64; 2]>,
    pub(super) joules: Option<f64>,
    pub(super) joules_ci95: Option<[f64; 2]>,
}

impl Visualization for EnergyAccuracy {
    fn id(&self) -> &'static str {
        "energy_accuracy"
    }

    fn help(&self) -> &'static str {
        "energy against accuracy, by subject of the dataset"
    }

    fn draw(&self, run: &RunData) -> Result<Figure, NotDrawable> {
        let report = analyze(&run.summary.model, &run.scored, AccuracyOptions::default());
        let model = report.data.per_model.values().next();
        let subjects = model.map(|model| &model.by_subject).filter(|subjects| !subjects.is_empty());
        let Some(subjects) = subjects else {
            return Err(NotDrawable("no answer is scored: ipw analyze scores them".to_owned()));
        };
        let (places, left_out) = places(run, subjects);
        let mut notes = vec!["Energy: mean of the scored queries that have it.".to_owned()];
        if left_out > 0 {
            notes.push(format!(
                "The {MOST_SUBJECTS} subjects with the most queries; {left_out} more are not shown."
            ));
        }
        let panel = panel("Mean energy per query", &places)
            .ok_or_else(|| NotDrawable(run.why_no_energy()))?;
        Ok(Figure {
            id: self.id(),
            title: "Energy against accuracy by subject".to_owned(),
            description: "Each subject of the dataset by the mean energy of its queries and the share of right \
                          answers, with 95 % intervals. The table has the same numbers."
                .to_owned(),
            caption: run.caption(),
            legend: keys("a subject, numbered as in the table", &panel),
            rows: vec![Row { panels: vec![panel], height: 300.0 }],
            table: Some(table("subject", &places)),
            notes,
            width: WIDTH,
        })
    }
}

/// The legend of a panel.
pub(super) fn keys(text: &str, panel: &Panel) -> Vec<Key> {
    let mut keys = vec![Key::new(Sample::Dot(Hue::Blue), text)];
    if panel.marks.iter().any(|mark| matches!(mark, Mark::Bars { .. })) {
        keys.push(Key::new(Sample::Bar(INTERVAL), "95 % interval"));
    }
    keys
}

/// The energy of a query whose answer is scored: as the accuracy's own mean takes it.
pub(super) fn scored_joules(query: &ScoredQuery) -> Option<f64> {
    let is_scored = query.status == QueryStatus::Ok && query.verdict != Verdict::Unevaluated;
    positive(query.basis_joules.filter(|_| is_scored))
}

/// The subjects with the most queries, best first, and how many others there are.
fn places(run: &RunData, subjects: &BTreeMap<String, Tally>) -> (Vec<Place>, usize) {
    let mut joules: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for query in &run.scored {
        if let Some(value) = scored_joules(query) {
            joules.entry(&query.subject).or_default().push(value);
        }
    }
    let mut all: Vec<(&String, &Tally)> = subjects.iter().collect();
    all.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.scored));
    let left_out = all.len().saturating_sub(MOST_SUBJECTS);
    all.truncate(MOST_SUBJECTS);
    let place = |(subject, tally): (&String, &Tally)| {
        let joules = joules.get(subject.as_str()).map_or(&[][..], Vec::as_slice);
        Some(Place {
            name: if subject.trim().is_empty() { "(none)".to_owned() } else { subject.clone() },
            scored: tally.scored,
            accuracy: 100.0 * tally.accuracy?,
            accuracy_ci95: tally.accuracy_ci95.map(|ends| ends.map(|end| 100.0 * end)),
            joules: mean(joules),
            joules_ci95: positive_mean_ci95(joules),
        })
    };
    let mut places: Vec<Place> = all.into_iter().filter_map(place).collect();
    places.sort_by(|a, b| b.accuracy.total_cmp(&a.accuracy));
    (places, left_out)
}

/// `None` if not one of them has energy.
pub(super) fn panel(name: &str, places: &[Place]) -> Option<Panel> {
    let known =
        || places.iter().enumerate().filter_map(|(at, place)| Some((at, place, place.joules?)));
    let bars: Vec<_> = known()
        .filter_map(|(_, place, _)| {
            place.joules_ci95.map(|[low, high]| (place.accuracy, low, high))
        })
        .collect();
    // An interval of two queries may reach to the moon: it is cut.
    let (least, most) = known()
        .map(|(.., joules)| joules)
        .fold((f64::INFINITY, 0.0_f64), |(least, most), joules| {
            (least.min(joules), most.max(joules))
        });
    let near = (least / FAR_END)..(FAR_END * most);
    let ends = bars.iter().flat_map(|bar| [bar.1, bar.2]).filter(|end| near.contains(end));
    let x = energy_axis(name, known().map(|(.., joules)| joules).chain(ends).collect())?;
    let y = accuracy_axis(known().map(|(_, place, _)| place));
    let upright = known()
        .filter_map(|(_, place, joules)| place.accuracy_ci95.map(|[low, high]| (joules, low, high)))
        .collect();
    let points: Vec<_> = known().map(|(_, place, joules)| (joules, place.accuracy)).collect();
    let tags = known().map(|(at, place, joules)| ((joules, place.accuracy), (at + 1).to_string()));
    let bars = [(bars, Direction::Across), (upright, Direction::Up)]
        .into_iter()
        .filter(|(bars, _)| !bars.is_empty())
        .map(|(bars, direction)| Mark::Bars { bars, direction, stroke: INTERVAL });
    let dots =
        [Mark::Dots { points, hue: Hue::Blue, radius: 3.2 }, Mark::Tags { tags: tags.collect() }];
    Some(Panel::new("", x, y, bars.chain(dots).collect()))
}

/// By ratio where energies are far apart, as those of small and large models are.
fn energy_axis(name: &str, joules: Vec<f64>) -> Option<Axis> {
    let by_ratio = Axis::by_ratio(name, Unit::Joules, joules.iter().copied())?;
    if by_ratio.scale == Scale::Logarithmic {
        return Some(by_ratio);
    }
    Axis::around(name, Unit::Joules, joules)
}

/// Whole tens around the accuracies and their intervals.
fn accuracy_axis<'a>(places: impl Iterator<Item = &'a Place>) -> Axis {
    /// Beyond the ends, so that a dot on one is whole.
    const MARGIN: f64 = 2.0;
    /// What the axis spans at least: a single place would stand between ticks of a percent.
    const LEAST: f64 = 20.0;
    let ends = |place: &Place| place.accuracy_ci95.unwrap_or([place.accuracy; 2]);
    let (low, high) = places
        .map(ends)
        .fold((100.0_f64, 0.0_f64), |(low, high), [from, to]| (low.min(from), high.max(to)));
    let low = (((low - MARGIN) / 10.0).floor() * 10.0).max(0.0);
    let high = (((high + MARGIN) / 10.0).ceil() * 10.0).max(low + LEAST).min(100.0);
    let low = low.min(high - LEAST);
    Axis::new("Accuracy", Unit::Percent, low - MARGIN, high + MARGIN)
}

pub(super) fn table(what: &str, places: &[Place]) -> Table {
    let interval = |ends: Option<[f64; 2]>| {
        ends.map(|[low, high]| format!(" [{}, {}]", fixed(low, 1), fixed(high, 1)))
            .unwrap_or_default()
    };
    let row = |(at, place): (usize, &Place)| {
        let joules = |joules| Unit::Joules.with_interval(joules, place.joules_ci95);
        vec![
            (at + 1).to_string(),
            place.name.clone(),
            count(place.scored),
            format!("{} %{}", fixed(place.accuracy, 1), interval(place.accuracy_ci95)),
            place.joules.map_or_else(|| "not known".to_owned(), joules),
        ]
    };
    Table {
        head: ["", what, "scored", "accuracy", "mean energy per query"].map(str::to_owned).to_vec(),
        rows: places.iter().enumerate().map(row).collect(),
    }
}
