//! The page as a whole.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::ReportedRun;
use super::parts::{Place, line};
use super::{comparison, pictures};
use crate::analysis::provenance::hardware;

/// Nothing may run and nothing may be fetched, whatever a text holds.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; font-src data:; \
                      base-uri 'none'; form-action 'none'";

/// The page of a run, or of several with their comparison.
#[must_use]
pub fn page(runs: &[ReportedRun]) -> String {
    let (title, content) = match runs {
        [run] => (title(run), of_one(run)),
        several => (format!("{} runs", several.len()), of_several(several)),
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(concat!("ipw ", env!("CARGO_PKG_VERSION")));
                title { (title) " – Intelligence per Watt" }
                style { (PreEscaped(include_str!("page.css"))) (PreEscaped(pictures::style())) }
            }
            body {
                a class="skip" href="#main" { "Skip to the results" }
                (content)
                footer {
                    p {
                        "Made by ipw " (env!("CARGO_PKG_VERSION")) ". Intervals are over queries: what "
                        "other queries of the kind would show. They don't hold a sensor's gain error."
                    }
                }
            }
        }
    };
    page.into_string()
}

fn title(run: &ReportedRun) -> String {
    format!("{} on {}", line(&run.data.summary.model), line(&hardware(&run.data.summary)))
}

fn badge(run: &ReportedRun) -> Markup {
    html! {
        @if let Some(mark) = run.data.summary.mark() { " " span class="mark" { (mark) } }
    }
}

fn of_one(run: &ReportedRun) -> Markup {
    html! {
        header {
            h1 { (title(run)) (badge(run)) }
            p class="what" { (run.about()) }
        }
        main id="main" tabindex="-1" { (run.markup(&Place::alone())) }
    }
}

fn of_several(runs: &[ReportedRun]) -> Markup {
    let place = Place::alone();
    html! {
        header {
            h1 { (runs.len()) " runs compared" }
            nav aria-label="Runs" {
                ol {
                    @for (number, run) in (1..).zip(runs) {
                        li { a href=(format!("#run{number}")) { (run.name) } ": " (title(run)) (badge(run)) }
                    }
                }
            }
        }
        main id="main" tabindex="-1" {
            (comparison::section(runs, &place))
            @for (number, run) in (1..).zip(runs) {
                article aria-labelledby=(format!("run{number}")) {
                    h2 id=(format!("run{number}")) { (number) ". " (title(run)) }
                    p class="what" { (run.name) ". " (run.about()) }
                    (run.markup(&Place::of_run(number)))
                }
            }
        }
    }
}
