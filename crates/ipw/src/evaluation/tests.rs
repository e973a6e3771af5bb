//! What holds for every scoring.

use serde_json::json;
use std::sync::LazyLock;
use std::time::Instant;

use proptest::prelude::*;

use super::*;

/// Each scoring with a reference that it can use.
const SCORINGS: [(Scoring, &str); 7] = [
    (Scoring::Letter, "B"),
    (Scoring::LetterSupergpqa, "B"),
    (Scoring::Exact, "B"),
    (Scoring::Numeric, "-7.5"),
    (Scoring::Math, "\\frac{7}{13}"),
    (Scoring::Constraints, "as asked"),
    (Scoring::Judge, "B"),
];

/// What the scorings need: options, and constraints of every kind, of which no answer keeps all.
fn metadata() -> &'static Map<String, Value> {
    static METADATA: LazyLock<Map<String, Value>> = LazyLock::new(|| {
        let row = json!({
            "options": ["answer is", "A a A a b", "option is a", "((1,1)"],
            "constraints": [
                { "kind": "words", "min": 1 },
                { "kind": "sentences", "min": 1 },
                { "kind": "lines", "min": 1 },
                { "kind": "paragraphs", "min": 1 },
                { "kind": "characters", "min": 1 },
                { "kind": "bullets", "min": 1 },
                { "kind": "numbered", "min": 1 },
                { "kind": "line_words", "min": 1 },
                { "kind": "contains", "text": "a a", "max": 3 },
                { "kind": "excludes", "text": "1,1" },
                { "kind": "excludes_character", "text": "$" },
                { "kind": "starts_with", "text": "B" },
                { "kind": "ends_with", "text": "B" },
                { "kind": "case", "text": "upper" },
                { "kind": "case", "text": "lower" },
                { "kind": "acrostic", "text": "watt" },
                { "kind": "sorted" },
                { "kind": "json_keys", "keys": ["a"] },
                { "kind": "json_array", "min": 1 },
            ],
        });
        row.as_object().cloned().unwrap_or_default()
    });
    &METADATA
}

fn scored(scoring: Scoring, reference: &str, response: &str) -> Evaluation {
    evaluate(Question { scoring, reference, metadata: metadata() }, response)
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
    let response = "<think>The answer is (B).\nAnswer: 4\n\\boxed{4}";
    for (scoring, reference) in SCORINGS {
        assert_eq!(scored(scoring, reference, response).verdict, Verdict::Unparsed, "{scoring:?}");
    }
}

#[test]
fn an_empty_answer_is_unparsed_and_a_missing_reference_unevaluated() {
    for (scoring, reference) in SCORINGS {
        assert_eq!(scored(scoring, reference, " \n ").verdict, Verdict::Unparsed, "{scoring:?}");
        let needs_reference = !matches!(scoring, Scoring::Constraints | Scoring::Judge);
        if needs_reference {
            assert_eq!(scored(scoring, " ", "B").verdict, Verdict::Unevaluated, "{scoring:?}");
        }
    }
}

#[test]
fn a_judge_is_left_to_decide_what_only_a_judge_can() {
    let evaluation = scored(Scoring::Judge, "a rubric", "an answer");
    assert_eq!(evaluation.verdict, Verdict::Unevaluated);
    assert_eq!(evaluation.method, "judge:not_asked");
    assert!(evaluation.undecided && evaluation.extracted.is_none());
    assert!(!scored(Scoring::Judge, "a rubric", "").undecided);
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

/// A quadratic scan of megabytes would take an hour; the bound leaves room for a busy machine.
fn assert_takes_linear_time(scorings: &[(Scoring, &str)], response: &str, what: &str) {
    for (scoring, reference) in scorings {
        let started = Instant::now();
        let verdict = scored(*scoring, reference, response).verdict;
        assert_ne!(verdict, Verdict::Correct, "{scoring:?} of {what:?}");
        let took = started.elapsed();
        assert!(took.as_secs() < 20, "{scoring:?} of {what:?}: {took:?}");
    }
}

#[test]
fn megabytes_that_almost_match_take_linear_time() {
    const BYTES: usize = 600_000;
    let almost = [
        "<think>",
        "think>",
        "</think>",
        "answer is ",
        "answer is:\n",
        "answer is 1/",
        "final answer is $$",
        "final answer is \\[",
        "The option to choose is ",
        "answer option answer ",
        "Answer:",
        "Answer: ",
        "answer:\n",
        ": :",
        "\\boxed{",
        "\\boxed{}",
        "\\frac{",
        "\\frac{1}{",
        "\\text{",
        "**",
        "* ",
        "- ",
        "{",
        "A a ",
        "a ",
        "wW",
        "I'm ",
        "\n",
        "\n1. ",
        "$",
        "-$",
        "(",
        "[",
        "```\n",
        "1,",
        "1,111,",
        "1/",
        "1.",
        "1e",
        "e.g. ",
        ". ",
        "=",
        "7",
        "\u{1f600}",
        "\u{e4}",
    ];
    for piece in almost {
        let response = piece.repeat(BYTES / piece.len());
        assert_takes_linear_time(&SCORINGS, &response, piece);
        // All of it in the one place that is marked.
        let marked = format!("Answer: {response} The answer is ");
        assert_takes_linear_time(&SCORINGS[2..5], &marked, piece);
    }
}

#[test]
fn ten_megabytes_are_scored_by_every_rule() {
    const BYTES: usize = 10_000_000;
    for piece in ["All in all, 5 of 7. \n", "the answer is \\boxed{", "\u{7b54}"] {
        assert_takes_linear_time(&SCORINGS, &piece.repeat(BYTES / piece.len()), piece);
    }
}

/// Text in which the scanners' own words are frequent.
fn awkward_text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("answer is ".to_owned()),
        Just("The final answer is ".to_owned()),
        Just("option ".to_owned()),
        Just("Answer: ".to_owned()),
        Just("<think>".to_owned()),
        Just("</think>".to_owned()),
        Just("\\boxed{".to_owned()),
        Just("\\frac{1}{".to_owned()),
        Just("\\sqrt".to_owned()),
        Just("\\text{ cm".to_owned()),
        Just("\\pm ".to_owned()),
        Just("\\{".to_owned()),
        Just("x=".to_owned()),
        Just("^".to_owned()),
        Just("[1,".to_owned()),
        Just(")".to_owned()),
        Just("- ".to_owned()),
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
        for (scoring, usable) in SCORINGS {
            for reference in [&reference, usable] {
                let evaluation = scored(scoring, reference, &response);
                let found = matches!(evaluation.verdict, Verdict::Correct | Verdict::Incorrect);
                prop_assert_eq!(evaluation.extracted.is_some(), found);
            }
        }
    }

    #[test]
    fn an_answer_in_the_asked_form_is_compared_with_the_reference(
        right in 0_u8..10, given in 0_u8..10, before in "[a-z ,.\n]{0,80}",
    ) {
        let [right, given] = [right, given].map(|at| char::from(b'A' + at));
        let response = format!("{before}\nThe answer is ({given}).");
        for scoring in [Scoring::Letter, Scoring::LetterSupergpqa] {
            let verdict = scored(scoring, &right.to_string(), &response).verdict;
            prop_assert_eq!(verdict == Verdict::Correct, right == given);
        }
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
        for scoring in [Scoring::Exact, Scoring::Numeric, Scoring::Math] {
            let verdict = scored(scoring, &a.to_string(), &format!("Answer: {b}")).verdict;
            prop_assert_eq!(verdict == Verdict::Correct, a == b);
        }
    }

    #[test]
    fn a_formula_is_always_equal_to_itself(reference in awkward_text()) {
        let response = format!("\\boxed{{{reference}}}");
        let evaluation = scored(Scoring::Math, &reference, &response);
        let boxed = evaluation.extracted.as_deref() == Some(reference.trim());
        if boxed && !reference.contains("\\boxed") && !reference.trim().is_empty() {
            prop_assert_eq!(evaluation.verdict, Verdict::Correct);
        }
    }

    #[test]
    fn the_last_number_of_prose_is_taken(a in -9_999_i64..10_000, before in "[a-z .]{0,40}") {
        let response = format!("{before} 12, or rather {a}.");
        let verdict = scored(Scoring::Numeric, &a.to_string(), &response).verdict;
        prop_assert_eq!(verdict, Verdict::Correct);
    }
}
