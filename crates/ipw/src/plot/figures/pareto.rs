//! Several runs by what a query costs and how often it is answered right, with those that no other one
//! beats in both.

use std::collections::BTreeSet;

use super::WIDTH;
use super::energy_accuracy::{Place, keys, panel, scored_joules, table};
use crate::analysis::accuracy::{AccuracyOptions, analyze};
use crate::analysis::stats::positive_mean_ci95;
use crate::analysis::words::counted;
use crate::plot::NotDrawable;
use crate::plot::data::RunData;
use crate::plot::figure::{Caption, Figure, Key, Row, Sample};
use crate::plot::mark::{Datum, Mark};
use crate::plot::palette::{Hue, Ink};
use crate::plot::scene::Stroke;

/// The id of this figure, which is of several runs.
pub const ID: &str = "pareto";
/// Its line of help.
pub const HELP: &str = "accuracy against energy of several runs, with the Pareto front";

const FRONT: Stroke = Stroke::solid(Ink::Hue(Hue::Vermillion), 1.6);

/// What the comparison needs of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    place: Option<Place>,
    model: String,
    dataset: String,
    basis: Option<String>,
    mark: Option<&'static str>,
}

impl Standing {
    /// Where a run stands.
    #[must_use]
    pub fn of(run: &RunData) -> Self {
        let summary = &run.summary;
        let report = analyze(&summary.model, &run.scored, AccuracyOptions::default()).summary;
        let joules: Vec<f64> = run.scored.iter().filter_map(scored_joules).collect();
        let place = report.accuracy.map(|accuracy| Place {
            name: format!("{}, {}", summary.model, summary.hardware_label),
            scored: report.total_scored,
            accuracy: 100.0 * accuracy,
            accuracy_ci95: report.accuracy_ci95.map(|ends| ends.map(|end| 100.0 * end)),
            joules: report.avg_per_query_energy_joules,
            joules_ci95: positive_mean_ci95(&joules),
        });
        Self {
            place,
            model: summary.model.clone(),
            dataset: format!("{} ({})", summary.dataset, summary.dataset_revision),
            basis: report.energy_basis,
            mark: summary.mark(),
        }
    }
}

/// Draws runs.
///
/// # Errors
/// Not one of them has both accuracy and energy.
pub fn draw(runs: &[Standing]) -> Result<Figure, NotDrawable> {
    let mut places: Vec<Place> = Vec::new();
    for run in runs {
        let Some(mut place) = run.place.clone() else { continue };
        if let Some(mark) = run.mark {
            place.name = format!("{} ({mark})", place.name);
        }
        places.push(place);
    }
    places.sort_by(|a, b| b.accuracy.total_cmp(&a.accuracy));
    let front = front(&places);
    let mut panel = panel("Mean energy per query", &places)
        .ok_or_else(|| NotDrawable("no run has both accuracy and energy".to_owned()))?;
    panel.marks.insert(0, Mark::Line { points: front, stroke: FRONT });
    let mut legend = keys("a run, numbered as in the table", &panel);
    legend.push(Key::new(Sample::Line(FRONT), "Pareto front: no run is better in both"));
    Ok(Figure {
        id: ID,
        title: "Accuracy against energy".to_owned(),
        description:
            "Each run by its mean energy per query and its accuracy, with 95 % intervals and the \
                      Pareto front. The table has the same numbers."
                .to_owned(),
        caption: caption(runs),
        legend,
        rows: vec![Row { panels: vec![panel], height: 300.0 }],
        table: Some(table("run", &places)),
        notes: notes(runs, places.len()),
        width: WIDTH,
    })
}

fn caption(runs: &[Standing]) -> Caption {
    let models: BTreeSet<&str> = runs.iter().map(|run| run.model.as_str()).collect();
    let models = counted(models.len(), "model", "models");
    let subject = format!("{} runs of {models}", runs.len());
    // The strongest that holds for one of them; which ones, the table says.
    let mark = runs.iter().find_map(|run| run.mark);
    Caption { subject, about: all(runs, |run| Some(&run.dataset)), mark }
}

/// The different values of a run's property.
fn all(runs: &[Standing], of: impl Fn(&Standing) -> Option<&String>) -> Vec<String> {
    runs.iter().filter_map(of).collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

fn notes(runs: &[Standing], shown: usize) -> Vec<String> {
    let mut notes = Vec::new();
    if shown < runs.len() {
        notes
            .push(format!("{} runs have no scored answers and are not shown.", runs.len() - shown));
    }
    let (datasets, bases) =
        (all(runs, |run| Some(&run.dataset)), all(runs, |run| run.basis.as_ref()));
    if datasets.len() > 1 {
        notes.push(
            "The runs are of different datasets or revisions: their accuracies don't compare."
                .to_owned(),
        );
    }
    if bases.len() > 1 {
        notes.push(format!(
            "The runs have different energy bases ({}): their energies don't compare.",
            bases.join(", ")
        ));
    }
    notes
}

/// From the cheapest run on, each step up to the next one that is better: what is reached for so much.
fn front(places: &[Place]) -> Vec<Datum> {
    let mut known: Vec<Datum> =
        places.iter().filter_map(|place| Some((place.joules?, place.accuracy))).collect();
    known.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    let mut steps: Vec<Datum> = Vec::new();
    for (joules, accuracy) in known {
        match steps.last() {
            Some(last) if accuracy <= last.1 => {}
            Some(last) => {
                let before = last.1;
                steps.extend([(joules, before), (joules, accuracy)]);
            }
            None => steps.push((joules, accuracy)),
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(joules: Option<f64>, accuracy: f64) -> Place {
        Place {
            name: String::new(),
            scored: 10,
            accuracy,
            accuracy_ci95: None,
            joules,
            joules_ci95: None,
        }
    }

    #[test]
    fn the_front_has_what_no_other_run_beats_in_both() {
        let places = [
            place(Some(10.0), 50.0),
            place(Some(20.0), 40.0),
            place(Some(30.0), 70.0),
            place(Some(30.0), 60.0),
            place(None, 99.0),
        ];
        assert_eq!(front(&places), [(10.0, 50.0), (30.0, 50.0), (30.0, 70.0)]);
        assert!(front(&[]).is_empty());
    }
}
