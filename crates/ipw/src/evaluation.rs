//! Is an answer right? Deterministic rules; no I/O, no clock, time linear in the answer's length.
//!
//! Answers: the verdict on one text, the rule that found the answer in it, and what was taken for the
//! answer. It does not know whether the query succeeded or what it cost.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::dataset::Scoring;
use crate::record::EvaluationMetrics;

mod exact;
mod latex;
mod mcq;

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
        let metadata =
            json!({ "verdict": evaluation.verdict, "extracted": evaluation.extracted }).to_string();
        Self { is_correct, method: evaluation.method, metadata }
    }
}

/// Scores `response`, in which reasoning may still stand between `<think>` tags.
///
/// Unparsed: no rule found an answer in the text, or the text is empty. Incorrect: an answer was found and
/// is another one. Unevaluated: the reference is none that can be compared with (empty, or no letter).
#[must_use]
pub fn evaluate(question: Question<'_>, response: &str) -> Evaluation {
    let response = without_reasoning(response);
    let Question { scoring, reference, .. } = question;
    match scoring {
        Scoring::Letter | Scoring::LetterSupergpqa => mcq::evaluate(reference, &response),
        Scoring::Exact | Scoring::Numeric | Scoring::Math => exact::evaluate(reference, &response),
        Scoring::Constraints | Scoring::Judge => Evaluation {
            verdict: Verdict::Unevaluated,
            method: "judge:not_asked".to_owned(),
            extracted: None,
            undecided: true,
        },
    }
}

/// The response without its reasoning: what stands between `<think>` and `</think>`, after a `<think>`
/// that is never closed, or before a `</think>` that was never opened (many chat templates put the
/// opening tag into the prompt).
#[must_use]
pub fn without_reasoning(response: &str) -> Cow<'_, str> {
    let mut visible = String::new();
    // Where the visible text that is being read starts; `None` inside reasoning.
    let mut start = Some(0);
    let mut tags = 0;
    for (at, name) in response.match_indices("think>") {
        let end = at + name.len();
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scored(scoring: Scoring, reference: &str, response: &str) -> Evaluation {
        evaluate(Question { scoring, reference, metadata: &Map::new() }, response)
    }

    #[test]
    fn reasoning_is_taken_out_wherever_its_tags_stand() {
        let cases = [
            ("plain", "plain"),
            ("<think>why</think>B", "B"),
            ("<think>\nwhy\n</think>\n\nB\n", "B"),
            ("<think>never closed, the answer is A", ""),
            ("the answer is B <think>or not", "the answer is B"),
            ("opened by the template</think>C", "C"),
            ("<think>a</think>B<think>c</think>D", "BD"),
            ("<think>a <think> b</think>C", "C"),
            ("x</think>y</think>z", "z"),
            ("I think> so", "I think> so"),
            ("<think></think>", ""),
            ("", ""),
        ];
        for (response, visible) in cases {
            assert_eq!(without_reasoning(response), visible, "{response}");
        }
    }

    #[test]
    fn an_answer_inside_reasoning_only_is_unparsed() {
        let response = "<think>The answer is (B).\nAnswer: 4";
        assert_eq!(scored(Scoring::Letter, "B", response).verdict, Verdict::Unparsed);
        assert_eq!(scored(Scoring::Exact, "4", response).verdict, Verdict::Unparsed);
    }

    #[test]
    fn an_empty_answer_is_unparsed_and_a_missing_reference_unevaluated() {
        for scoring in [Scoring::Letter, Scoring::Exact] {
            assert_eq!(scored(scoring, "B", " \n ").verdict, Verdict::Unparsed);
            assert_eq!(scored(scoring, " ", "B").verdict, Verdict::Unevaluated);
        }
    }

    #[test]
    fn the_record_keeps_verdict_rule_and_what_was_taken() {
        let metrics: EvaluationMetrics = scored(Scoring::Letter, "B", "The answer is (C).").into();
        assert_eq!(metrics.is_correct, Some(false));
        assert_eq!(metrics.method, "letter:answer_is");
        assert_eq!(metrics.metadata, r#"{"verdict":"incorrect","extracted":"C"}"#);
        let unknown: EvaluationMetrics = scored(Scoring::Letter, "?", "C").into();
        assert_eq!(unknown.is_correct, None);
    }

    #[test]
    fn megabytes_that_almost_match_take_linear_time() {
        const MEGABYTES: usize = 2;
        let almost = [
            "<think>",
            "think>",
            "</think>",
            "answer is ",
            "Answer:",
            "Answer: ",
            "answer:\n",
            "\\boxed{",
            "\\boxed{}",
            "**",
            "{",
            "A a ",
            "I'm ",
            "\n",
            "$",
            "(",
            "1,",
            "\u{1f600}",
        ];
        for piece in almost {
            let response = piece.repeat(MEGABYTES * 1_000_000 / piece.len());
            let started = std::time::Instant::now();
            let letter = scored(Scoring::Letter, "B", &response);
            let exact = scored(Scoring::Exact, "B", &response);
            assert_ne!(letter.verdict, Verdict::Correct, "{piece:?}");
            assert_ne!(exact.verdict, Verdict::Correct, "{piece:?}");
            // A quadratic scan of this would take an hour; the bound leaves room for a busy machine.
            assert!(started.elapsed().as_secs() < 20, "{piece:?}: {:?}", started.elapsed());
        }
    }

    /// Text in which the scanners' own words are frequent.
    fn awkward_text() -> impl Strategy<Value = String> {
        let word = prop_oneof![
            Just("answer is ".to_owned()),
            Just("Answer: ".to_owned()),
            Just("<think>".to_owned()),
            Just("</think>".to_owned()),
            Just("\\boxed{".to_owned()),
            Just("\\frac{1}{".to_owned()),
            Just("}".to_owned()),
            Just("**".to_owned()),
            Just("(B".to_owned()),
            Just("1,234.5e6/7 ".to_owned()),
            Just("\n".to_owned()),
            any::<char>().prop_map(String::from),
            "\\PC{0,6}",
        ];
        prop::collection::vec(word, 0..24).prop_map(|words| words.concat())
    }

    proptest! {
        #[test]
        fn no_text_makes_a_scorer_panic(reference in awkward_text(), response in awkward_text()) {
            for scoring in [Scoring::Letter, Scoring::Exact] {
                let evaluation = scored(scoring, &reference, &response);
                let found = matches!(evaluation.verdict, Verdict::Correct | Verdict::Incorrect);
                prop_assert_eq!(evaluation.extracted.is_some(), found);
            }
        }

        #[test]
        fn an_answer_in_the_asked_form_is_compared_with_the_reference(
            right in 0_u8..10, given in 0_u8..10, before in "[a-z ,.\n]{0,80}",
        ) {
            let [right, given] = [right, given].map(|at| char::from(b'A' + at));
            let response = format!("{before}\nThe answer is ({given}).");
            let verdict = scored(Scoring::Letter, &right.to_string(), &response).verdict;
            prop_assert_eq!(verdict == Verdict::Correct, right == given);
        }

        #[test]
        fn a_line_of_text_is_always_equal_to_itself(reference in "[^\\pC:<>=]{0,40}[a-z0-9]") {
            let response = format!("Let me see.\nAnswer: {reference}");
            let verdict = scored(Scoring::Exact, &reference, &response).verdict;
            prop_assert_eq!(verdict, Verdict::Correct);
        }

        #[test]
        fn two_whole_numbers_are_equal_only_if_they_are(a in any::<i64>(), step in -2_i64..3) {
            let b = a.wrapping_add(step);
            let verdict = scored(Scoring::Exact, &a.to_string(), &format!("Answer: {b}")).verdict;
            prop_assert_eq!(verdict == Verdict::Correct, a == b);
        }
    }
}
