//! Is an answer right? Deterministic rules; no I/O, no clock, time linear in the answer's length.
//!
//! Answers: the verdict on one text, the rule that found the answer in it, and what was taken for the
//! answer. It does not know whether the query succeeded or what it cost.

use std::borrow::Cow;

use memchr::memmem;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::dataset::Scoring;
use crate::record::EvaluationMetrics;

mod constraints;
mod exact;
pub mod judge;
mod latex;
mod marked;
mod math;
mod mcq;
mod numeric;
mod quantity;
mod supergpqa;

/// How much of what was taken for the answer is kept in the record, in characters.
const LONGEST_EXTRACT: usize = 200;

/// What was decided about an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Right.
    Correct,
    /// Wrong.
    Incorrect,
    /// No answer could be found in the text; counts as wrong.
    Unparsed,
    /// Not decided: there was no answer to score, or no evaluator for it.
    Unevaluated,
}

/// The method of an answer that only a judge can score and none has.
pub const NOT_ASKED: &str = "judge:not_asked";

/// A verdict and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// The verdict.
    pub verdict: Verdict,
    /// Evaluator and rule, e.g. `letter:answer_is`.
    pub method: String,
    /// What was taken for the answer.
    pub extracted: Option<String>,
    /// The rules can't tell for sure: a judge decides, if there is one.
    pub undecided: bool,
}

impl Evaluation {
    /// An answer was found by the rule that `method` names.
    fn decided(is_correct: bool, method: String, extracted: &str) -> Self {
        Self {
            verdict: if is_correct { Verdict::Correct } else { Verdict::Incorrect },
            method,
            extracted: Some(extracted.trim().chars().take(LONGEST_EXTRACT).collect()),
            undecided: false,
        }
    }

    /// No rule found an answer.
    fn unparsed(method: &str) -> Self {
        let method = method.to_owned();
        Self { verdict: Verdict::Unparsed, method, extracted: None, undecided: false }
    }

    /// There is nothing that an answer could be held against.
    fn unevaluated(method: &str) -> Self {
        let method = method.to_owned();
        Self { verdict: Verdict::Unevaluated, method, extracted: None, undecided: false }
    }
}

/// What was asked, and how the answer to it is scored.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Whose rules.
    pub scoring: Scoring,
    /// The reference.
    pub reference: &'a str,
    /// What else the dataset says of the row: options, constraints.
    pub metadata: &'a Map<String, Value>,
}

impl From<Evaluation> for EvaluationMetrics {
    fn from(evaluation: Evaluation) -> Self {
        let is_correct = match evaluation.verdict {
            Verdict::Correct => Some(true),
            Verdict::Incorrect | Verdict::Unparsed => Some(false),
            Verdict::Unevaluated => None,
        };
        let Evaluation { verdict, method, extracted, .. } = evaluation;
        // A word and a text can't fail to be JSON.
        let metadata = serde_json::to_string(&Kept { verdict, extracted }).unwrap_or_default();
        Self { is_correct, method, metadata }
    }
}

/// What a row keeps of an evaluation in its metadata.
#[derive(Serialize)]
struct Kept {
    verdict: Verdict,
    extracted: Option<String>,
}

/// Scores `response`, in which reasoning may still stand between `<think>` tags.
///
/// Unparsed: no rule found an answer in the text, or the text is empty. Incorrect: an answer was found and
/// is another one. Unevaluated: the reference is none that can be compared with (empty, no letter, no number,
/// constraints that make no sense), or only a judge could tell.
#[must_use]
pub fn evaluate(question: Question<'_>, response: &str) -> Evaluation {
    let response = without_reasoning(response);
    let Question { scoring, reference, metadata } = question;
    match scoring {
        Scoring::Letter => mcq::evaluate(reference, &response),
        Scoring::LetterSupergpqa => supergpqa::evaluate(reference, metadata, &response),
        Scoring::Exact => exact::evaluate(reference, &response),
        Scoring::Numeric => numeric::evaluate(reference, &response),
        Scoring::Math => math::evaluate(reference, &response),
        Scoring::Constraints => constraints::evaluate(metadata, &response),
        Scoring::Judge if response.trim().is_empty() => Evaluation::unparsed("judge:none"),
        Scoring::Judge => Evaluation { undecided: true, ..Evaluation::unevaluated(NOT_ASKED) },
    }
}

/// The response without its reasoning: what stands between `<think>` and `</think>`, after a `<think>`
/// that is never closed, or before a `</think>` that was never opened (many chat templates put the
/// opening tag into the prompt).
#[must_use]
pub fn without_reasoning(response: &str) -> Cow<'_, str> {
    const TAG: &str = "think>";
    let mut visible = String::new();
    // Where the visible text that is being read starts; `None` inside reasoning.
    let mut start = Some(0);
    let mut tags = 0;
    for at in memmem::find_iter(response.as_bytes(), TAG) {
        let end = at + TAG.len();
        if response[..at].ends_with("</") {
            if start.is_some() {
                visible.clear();
            }
            start = Some(end);
        } else if response[..at].ends_with('<') {
            if let Some(from) = start.take() {
                visible.push_str(&response[from..at - 1]);
            }
        } else {
            continue;
        }
        tags += 1;
    }
    if tags == 0 {
        return Cow::Borrowed(response);
    }
    if let Some(from) = start {
        visible.push_str(&response[from..]);
    }
    Cow::Owned(visible.trim().to_owned())
}

#[cfg(test)]
mod tests;
