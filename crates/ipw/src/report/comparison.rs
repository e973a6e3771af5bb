//! Several runs compared: what can be said of their differences, in words and in figures.

use maud::{Markup, html};

use super::ReportedRun;
use super::parts::{Place, Section, UNKNOWN, interval, shown};
use super::pictures::picture;
use crate::analysis::compare::{
    ComparedRow, ComparisonReport, Figure, PairReport, Ranking, RunRows, RunSettings, compare,
};
use crate::analysis::words::{percent, points, significant};
use crate::plot::{Standing, pareto};

/// The runs against each other.
pub(super) fn section(runs: &[ReportedRun], place: &Place) -> Markup {
    let rows: Vec<RunRows> = runs.iter().map(rows).collect();
    let standings: Vec<Standing> = runs.iter().map(|run| Standing::of(&run.data)).collect();
    let content = html! {
        @match compare(&rows) {
            Ok(report) => (compared(&report, place)),
            Err(reason) => p { "The runs can't be compared query by query: " (reason) "." },
        }
        (picture(pareto::ID, pareto::draw(&standings), place))
    };
    place.section(&Section { name: "comparison", title: "Comparison", content })
}

fn rows(run: &ReportedRun) -> RunRows {
    let queries = run.questions.iter().zip(&run.data.scored);
    let rows =
        queries.map(|(question, query)| ComparedRow { question: *question, query: query.clone() });
    RunRows {
        name: run.name.clone(),
        settings: RunSettings::from(&run.data.summary),
        rows: rows.collect(),
    }
}

fn compared(report: &ComparisonReport, place: &Place) -> Markup {
    html! {
        (place.warnings("Warnings about the comparison", report.warnings.iter()))
        p class="what" {
            "Over the " (report.queries.same_question) " queries with the same prompt and reference "
            "answer in all runs."
        }
        @match &report.pair {
            Some(pair) => (of_two(pair, place)),
            None => (ranked(&report.ranking, report.queries.answered, place)),
        }
    }
}

fn of_two(pair: &PairReport, place: &Place) -> Markup {
    let figures = pair.named();
    let accuracy = &pair.accuracy;
    let mut rows = vec![vec![
        "Accuracy".to_owned(),
        shown(accuracy.a, percent),
        shown(accuracy.b, percent),
        shown(accuracy.difference, |difference| format!("{} points", points(difference))),
        interval(accuracy.difference_ci95, points),
        UNKNOWN.to_owned(),
        UNKNOWN.to_owned(),
        accuracy.pairs.to_string(),
    ]];
    rows.extend(figures.map(|(name, figure)| row(name, figure)));
    html! {
        ul class="verdicts" {
            li { "Accuracy: " (accuracy.verdict) }
            @for (name, figure) in figures { li { (name) ": " (figure.verdict) } }
        }
        p class="what" { "A is " (pair.a) ", B is " (pair.b) "." }
        (place.table("Differences", &["Figure", "A", "B", "A − B", "95 %", "A / B", "95 %", "pairs"], &rows))
    }
}

fn row(name: &str, figure: &Figure) -> Vec<String> {
    vec![
        format!("{name} ({})", figure.unit),
        shown(figure.a, significant),
        shown(figure.b, significant),
        shown(figure.difference, significant),
        interval(figure.difference_ci95, significant),
        shown(figure.ratio, significant),
        interval(figure.ratio_ci95, significant),
        figure.pairs.to_string(),
    ]
}

fn ranked(ranking: &Ranking, answered: usize, place: &Place) -> Markup {
    let on_front = |front: Option<bool>| match front {
        Some(true) => "yes",
        Some(false) => "no",
        None => UNKNOWN,
    };
    let rows: Vec<Vec<String>> = ranking
        .runs
        .iter()
        .map(|run| {
            vec![
                run.name.clone(),
                run.rank.map_or_else(|| UNKNOWN.to_owned(), |rank| rank.to_string()),
                shown(run.accuracy, percent),
                shown(run.joules, significant),
                shown(run.seconds, significant),
                shown(run.intelligence_per_joule, significant),
                interval(run.intelligence_per_joule_ci95, significant),
                shown(run.intelligence_per_watt, significant),
                on_front(run.on_pareto_front).to_owned(),
            ]
        })
        .collect();
    let head =
        ["Run", "rank", "accuracy", "J a query", "s a query", "IPJ", "95 %", "IPW", "Pareto front"];
    html! {
        (place.table("Ranking", &head, &rows))
        p class="what" {
            (ranking.sentence(answered))
        }
    }
}
