//! One run's part of the page: warnings, headline, tables, figures, answers, set-up.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::ReportedRun;
use super::parts::{Place, Section, interval, line, shown};
use super::{pictures, setup};
use crate::analysis::accuracy::{AccuracySummary, Tally};
use crate::analysis::provenance::{citation, energy};
use crate::analysis::stats::{mean, quantile};
use crate::analysis::words::{percent, significant};
use crate::record::QueryStatus;
use crate::results::{MARKS, RunStatus, Summary};
use crate::ui::{FIGURES, Figure};

/// Rows of the tables by subject and by rule; how many are left out is said.
const MOST_ROWS: usize = 100;

impl ReportedRun {
    /// All of it.
    pub(super) fn markup(&self, place: &Place) -> Markup {
        let mut sections = vec![
            Section { name: "queries", title: "Per query", content: self.figures(place) },
            Section {
                name: "tokens",
                title: "What a token costs",
                content: self.regression(place),
            },
        ];
        sections.extend(self.tallies(place));
        sections.push(self.pictures(place));
        sections.extend(self.answers.sections());
        sections.push(setup::section(self.summary(), place));
        html! {
            (self.warnings(place))
            (self.headline())
            (place.sections(&sections))
        }
    }

    /// Dataset, how many queries went well, and when.
    pub(super) fn about(&self) -> String {
        let summary = &self.data.summary;
        let end = if summary.status == RunStatus::Complete { "" } else { ", not complete" };
        format!(
            "Dataset {}, {} of {} queries ok{end}, {}",
            summary.dataset_name, summary.queries.ok, summary.total_queries, summary.start_time
        )
    }

    fn summary(&self) -> &Summary {
        &self.data.summary
    }

    fn warnings(&self, place: &Place) -> Markup {
        let of_scores = &self.accuracy.warnings;
        // The mark of energies that weren't measured may be explained in both.
        let is_new = |warning: &&String| {
            !of_scores.contains(warning)
                && !MARKS.iter().any(|mark| {
                    warning.contains(mark) && of_scores.iter().any(|other| other.contains(mark))
                })
        };
        place.warnings(
            "Warnings",
            of_scores.iter().chain(self.summary().warnings.iter().filter(is_new)),
        )
    }

    fn headline(&self) -> Markup {
        let accuracy = &self.accuracy.summary;
        let mark = self.summary().mark();
        let joules = accuracy.avg_per_query_energy_joules;
        let watts = accuracy.avg_per_query_power_watts;
        let cards = [
            Card {
                name: "Accuracy",
                value: shown(accuracy.accuracy, percent),
                interval: accuracy.accuracy_ci95.map(|ends| interval(Some(ends), percent)),
                what: counts(accuracy),
                mark: None,
            },
            Card {
                name: "IPJ",
                value: shown(accuracy.intelligence_per_joule, significant),
                interval: of_figure(accuracy.intelligence_per_joule_ci95),
                what: format!("accuracy per joule, {} queries", accuracy.energy_sample_count),
                mark,
            },
            Card {
                name: "IPW",
                value: shown(accuracy.intelligence_per_watt, significant),
                interval: of_figure(accuracy.intelligence_per_watt_ci95),
                what: format!("accuracy per watt, {} queries", accuracy.power_sample_count),
                mark,
            },
            Card {
                name: "Energy",
                value: shown(joules, |joules| format!("{} J", significant(joules))),
                interval: None,
                what: "a query, mean of the scored".to_owned(),
                mark,
            },
            Card {
                name: "Power",
                value: shown(watts, |watts| format!("{} W", significant(watts))),
                interval: None,
                what: "while a query runs, mean of the scored".to_owned(),
                mark,
            },
        ];
        html! {
            div class="cards" {
                @for card in cards { (card.markup()) }
            }
            p class="cite" { "Cite: " span { (citation(self.summary(), accuracy)) } }
        }
    }

    fn figures(&self, place: &Place) -> Markup {
        let mark = self.summary().mark().map(|mark| format!(" {mark}")).unwrap_or_default();
        let ok = || self.data.scored.iter().filter(|query| query.status == QueryStatus::Ok);
        let row = |(name, (figure, is_energy)): (&str, (Figure, bool))| {
            let mut values: Vec<f64> = ok().filter_map(figure).collect();
            values.sort_by(f64::total_cmp);
            let cells = [
                mean(&values),
                quantile(&values, 0.5),
                quantile(&values, 0.95),
                values.last().copied(),
            ];
            let mut row = vec![format!("{name}{}", if is_energy { mark.as_str() } else { "" })];
            row.extend(cells.map(|cell| shown(cell, significant)));
            row.push(values.len().to_string());
            row
        };
        let rows: Vec<Vec<String>> = FIGURES.into_iter().map(row).collect();
        let source = match energy(self.summary()) {
            Ok(source) => format!("Energy basis and method: {source}."),
            Err(reason) => format!("Energy was not measured: {reason}."),
        };
        html! {
            (place.table("Figures per query", &["Figure", "mean", "median", "p95", "max", "queries"], &rows))
            p class="what" { (source) }
        }
    }

    fn regression(&self, place: &Place) -> Markup {
        let lines = self.regression.data.regressions.named();
        let row = |(name, line): (&str, &crate::analysis::regression::LineFit)| {
            vec![
                name.to_owned(),
                shown(line.slope, significant),
                interval(line.slope_ci95, significant),
                shown(line.intercept, significant),
                shown(line.r2, |r2| format!("{r2:.3}")),
                line.count.to_string(),
            ]
        };
        let rows: Vec<Vec<String>> = lines.into_iter().map(row).collect();
        let is_new = |warning: &&String| !self.accuracy.warnings.contains(warning);
        let of_lines = self.regression.warnings.iter().filter(is_new);
        html! {
            p { (self.regression.sentence()) }
            (place.warnings("Warnings about token costs", of_lines))
            (place.table("Lines", &["Line", "slope", "95 %", "intercept", "r²", "queries"], &rows))
        }
    }

    fn tallies(&self, place: &Place) -> Vec<Section> {
        let Some(of_model) = self.accuracy.data.per_model.get(&self.accuracy.summary.model) else {
            return Vec::new();
        };
        let tables = [
            ("subjects", "Accuracy by subject", "Subject", &of_model.by_subject),
            ("rules", "Accuracy by what scored it", "Rule", &of_model.by_method),
        ];
        let of = |(name, title, first, all): (_, _, _, &BTreeMap<String, Tally>)| {
            let content = tallies(place, title, first, all);
            (!all.is_empty()).then_some(Section { name, title, content })
        };
        tables.into_iter().filter_map(of).collect()
    }

    fn pictures(&self, place: &Place) -> Section {
        let content = html! {
            @for picture in pictures::of_run(&self.data, place) { (picture) }
        };
        Section { name: "figures", title: "Figures", content }
    }
}

/// A number of the headline.
struct Card {
    name: &'static str,
    value: String,
    interval: Option<String>,
    what: String,
    /// What stands beside a number that wasn't measured.
    mark: Option<&'static str>,
}

impl Card {
    fn markup(&self) -> Markup {
        html! {
            div class="card" {
                p class="label" { (self.name) }
                p class="value" { (self.value) }
                @if let Some(interval) = &self.interval { p class="what" { "95 %: " (interval) } }
                p class="what" { (self.what) }
                @if let Some(mark) = self.mark { p class="mark" { (mark) } }
            }
        }
    }
}

fn of_figure(ends: Option<[f64; 2]>) -> Option<String> {
    ends.map(|ends| interval(Some(ends), significant))
}

fn counts(accuracy: &AccuracySummary) -> String {
    let mut text = format!("{} right, {} wrong", accuracy.correct, accuracy.incorrect);
    for (count, what) in [
        (accuracy.unparsed, "without an answer"),
        (accuracy.unevaluated, "not scored"),
        (accuracy.failed, "failed"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    text
}

/// Those with most scored queries first.
fn tallies(place: &Place, title: &str, first: &str, all: &BTreeMap<String, Tally>) -> Markup {
    let mut all: Vec<(&String, &Tally)> = all.iter().collect();
    all.sort_by(|(one, a), (other, b)| b.scored.cmp(&a.scored).then(one.cmp(other)));
    let more = all.len().saturating_sub(MOST_ROWS);
    let row = |(name, tally): &(&String, &Tally)| {
        vec![
            line(name),
            tally.correct.to_string(),
            tally.scored.to_string(),
            shown(tally.accuracy, percent),
            interval(tally.accuracy_ci95, percent),
        ]
    };
    let rows: Vec<Vec<String>> = all.iter().take(MOST_ROWS).map(row).collect();
    html! {
        (place.table(title, &[first, "right", "scored", "accuracy", "95 %"], &rows))
        @if more > 0 { p class="what" { "and " (more) " more, in analysis/accuracy.json" } }
    }
}
