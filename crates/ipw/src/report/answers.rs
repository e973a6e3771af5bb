//! The answers that are worth a look: the costliest, the slowest, the wrong ones, and what failed.

use std::sync::Arc;

use maud::{Markup, html};

use super::parts::{Section, line};
use crate::analysis::accuracy::ScoredQuery;
use crate::analysis::words::significant;
use crate::evaluation::Verdict;
use crate::record::{ProfilingRecord, QueryStatus};

/// Of the costliest and of the slowest.
const MOST_EXTREME: usize = 20;
/// Wrong answers, in the order of the dataset.
const MOST_WRONG: usize = 200;
/// Queries that failed, in the order of the dataset.
const MOST_FAILED: usize = 20;
/// How many of them are seen without opening the rest.
const AT_ONCE: usize = 10;
/// Bytes of the beginning and of the end of a text that are shown: a question often stands at the end.
const HEAD_BYTES: usize = 2_600;
const TAIL_BYTES: usize = 1_400;

/// Gathers them while a run is read.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// What stands beside energies that weren't measured.
    mark: Option<&'static str>,
    costliest: Extremes,
    slowest: Extremes,
    wrong: First,
    failed: First,
}

impl Answers {
    /// None yet, of a run whose energies carry `mark`.
    pub(super) fn of(mark: Option<&'static str>) -> Self {
        Self { mark, ..Self::default() }
    }

    /// Looks at the next row.
    pub(super) fn add(&mut self, record: &ProfilingRecord) {
        let metrics = &record.metrics;
        let joules = metrics.energy_metrics.basis_joules;
        let seconds = metrics.latency_metrics.total_query_seconds;
        let is_ok = record.status == QueryStatus::Ok;
        let verdict = ScoredQuery::from(record).verdict;
        let is_wrong = is_ok && matches!(verdict, Verdict::Incorrect | Verdict::Unparsed);
        let costly = joules.filter(|joules| is_ok && self.costliest.takes(*joules));
        let slow = seconds.filter(|seconds| is_ok && self.slowest.takes(*seconds));
        let wrong = is_wrong && self.wrong.takes(MOST_WRONG);
        let failed = !is_ok && self.failed.takes(MOST_FAILED);
        if costly.is_none() && slow.is_none() && !wrong && !failed {
            return;
        }
        let answer = Arc::new(Answer::new(record, verdict, self.mark));
        if let Some(joules) = costly {
            self.costliest.put(joules, &answer);
        }
        if let Some(seconds) = slow {
            self.slowest.put(seconds, &answer);
        }
        if wrong {
            self.wrong.answers.push(Arc::clone(&answer));
        }
        if failed {
            self.failed.answers.push(answer);
        }
    }

    /// What was gathered, a section for each kind of which there are any.
    pub(super) fn sections(&self) -> Vec<Section> {
        let sections = [
            ("failed", "Queries that failed", &self.failed.answers, self.failed.left_out()),
            ("costliest", "The costliest answers", &self.costliest.answers(), 0),
            ("slowest", "The slowest answers", &self.slowest.answers(), 0),
            ("wrong", "Wrong answers", &self.wrong.answers, self.wrong.left_out()),
        ];
        let of = |(name, title, answers, left_out): (_, _, &Vec<Arc<Answer>>, usize)| {
            let content = list(answers, left_out);
            (!answers.is_empty()).then_some(Section { name, title, content })
        };
        sections.into_iter().filter_map(of).collect()
    }
}

/// Those with the largest of a figure, largest first.
#[derive(Debug, Default)]
struct Extremes {
    kept: Vec<(f64, Arc<Answer>)>,
}

impl Extremes {
    fn takes(&self, figure: f64) -> bool {
        figure.is_finite()
            && (self.kept.len() < MOST_EXTREME
                || self.kept.last().is_some_and(|(least, _)| figure > *least))
    }

    fn answers(&self) -> Vec<Arc<Answer>> {
        self.kept.iter().map(|(_, answer)| Arc::clone(answer)).collect()
    }

    fn put(&mut self, figure: f64, answer: &Arc<Answer>) {
        let place = self.kept.partition_point(|(other, _)| *other >= figure);
        self.kept.insert(place, (figure, Arc::clone(answer)));
        self.kept.truncate(MOST_EXTREME);
    }
}

/// The first of many.
#[derive(Debug, Default)]
struct First {
    seen: usize,
    answers: Vec<Arc<Answer>>,
}

impl First {
    fn takes(&mut self, most: usize) -> bool {
        self.seen += 1;
        self.answers.len() < most
    }

    fn left_out(&self) -> usize {
        self.seen - self.answers.len()
    }
}

/// One query with its texts.
#[derive(Debug)]
struct Answer {
    line: String,
    problem: String,
    reference: String,
    response: String,
    error: Option<String>,
    method: Option<String>,
}

impl Answer {
    fn new(record: &ProfilingRecord, verdict: Verdict, mark: Option<&str>) -> Self {
        let metrics = &record.metrics;
        let unit = |value: Option<f64>, unit: &str| Some(format!("{} {unit}", significant(value?)));
        let joules = mark.map_or_else(|| "J".to_owned(), |mark| format!("J {mark}"));
        let tokens = metrics.token_metrics.output;
        let facts: Vec<String> = [
            Some(ending(record, verdict).to_owned()),
            unit(metrics.energy_metrics.basis_joules, &joules),
            unit(metrics.latency_metrics.total_query_seconds, "s"),
            tokens.map(|tokens| format!("{tokens} output tokens")),
        ]
        .into_iter()
        .flatten()
        .collect();
        let subject = if record.subject.is_empty() { "" } else { ", " };
        Self {
            line: format!(
                "Query {}{subject}{}: {}",
                record.query_index,
                line(&record.subject),
                facts.join(", ")
            ),
            problem: shortened(&record.problem),
            reference: shortened(&record.answer),
            response: shortened(&record.response),
            error: record.error.as_deref().map(shortened),
            method: metrics.evaluation.as_ref().map(|evaluation| evaluation.method.clone()),
        }
    }

    fn markup(&self) -> Markup {
        html! {
            details {
                summary { (self.line) }
                div class="answer" {
                    @if let Some(error) = &self.error { (text("What went wrong", error)) }
                    (text("Prompt", &self.problem))
                    (text("Response", &self.response))
                    (text("Reference answer", &self.reference))
                    @if let Some(method) = &self.method { p { "Scored by " code { (method) } } }
                }
            }
        }
    }
}

fn ending(record: &ProfilingRecord, verdict: Verdict) -> &'static str {
    match (record.status, verdict) {
        (QueryStatus::Error, _) => "failed",
        (QueryStatus::Timeout, _) => "timed out",
        (QueryStatus::Truncated, _) => "the stream broke off",
        (QueryStatus::Ok, Verdict::Correct) => "right",
        (QueryStatus::Ok, Verdict::Incorrect) => "wrong",
        (QueryStatus::Ok, Verdict::Unparsed) => "no answer found",
        (QueryStatus::Ok, Verdict::Unevaluated) => "not scored",
    }
}

fn text(title: &str, text: &str) -> Markup {
    html! {
        p class="label" { (title) }
        @if text.is_empty() { p class="what" { "(empty)" } } @else { pre { (text) } }
    }
}

fn list(answers: &[Arc<Answer>], left_out: usize) -> Markup {
    let (first, more) = answers.split_at(answers.len().min(AT_ONCE));
    html! {
        @for answer in first { (answer.markup()) }
        @if !more.is_empty() {
            details {
                summary { (more.len()) " more" }
                div class="answer" { @for answer in more { (answer.markup()) } }
            }
        }
        @if left_out > 0 {
            p class="what" { "and " (left_out) " more; " code { "ipw export" } " writes them all" }
        }
    }
}

/// A text without its middle, if it is long.
fn shortened(text: &str) -> String {
    if text.len() <= HEAD_BYTES + TAIL_BYTES {
        return text.to_owned();
    }
    let is_boundary = |at: &usize| text.is_char_boundary(*at);
    let head = (0..=HEAD_BYTES).rev().find(is_boundary).unwrap_or(0);
    let tail = (text.len() - TAIL_BYTES..text.len()).find(is_boundary).unwrap_or(text.len());
    format!("{}\n[… {} bytes left out …]\n{}", &text[..head], tail - head, &text[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(line: usize) -> Arc<Answer> {
        Arc::new(Answer {
            line: line.to_string(),
            problem: String::new(),
            reference: String::new(),
            response: String::new(),
            error: None,
            method: None,
        })
    }

    #[test]
    fn the_largest_are_kept_in_order_and_of_equal_ones_the_first() {
        let mut extremes = Extremes::default();
        for index in 0..100_usize {
            let figure = (index % 50) as f64;
            if extremes.takes(figure) {
                extremes.put(figure, &answer(index));
            }
        }
        assert!(!extremes.takes(f64::NAN) && !extremes.takes(39.0));
        let kept: Vec<&str> = extremes.kept.iter().map(|(_, answer)| &*answer.line).collect();
        assert_eq!(kept.len(), MOST_EXTREME);
        assert_eq!(kept[..4], ["49", "99", "48", "98"]);
    }

    #[test]
    fn a_long_text_keeps_both_ends_and_says_what_is_missing() {
        let text = format!("{}ä{}", "a".repeat(HEAD_BYTES - 1), "b".repeat(5_000));
        let short = shortened(&text);
        assert!(short.starts_with("aaa") && short.ends_with("bbb"));
        let missing = text.len() - (HEAD_BYTES - 1) - TAIL_BYTES;
        assert!(short.contains(&format!("[… {missing} bytes left out …]")), "{short}");
        assert_eq!(shortened(&"ä".repeat(2_000)), "ä".repeat(2_000));
    }
}
