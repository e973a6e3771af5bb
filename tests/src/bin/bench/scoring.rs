//! How long it takes to score answers, by each rule: no program is started, one core.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};
use fastrand::Rng;
use ipw::dataset::Scoring;
use ipw::evaluation::{Question, Verdict, evaluate};
use serde_json::{Map, Value, json};

use crate::Effort;
use crate::finding::Finding;

/// Different answers; together they are larger than a core's caches.
const ANSWERS: usize = 10_000;
/// How often each is scored for the figure that has a target.
const TIMES: usize = 10;
/// Lengths of answers before what they end with, in characters.
const LENGTHS: std::ops::Range<usize> = 300..2_000;
/// What the answers are made of: the rules' own words are among them, but no answer.
const PHRASES: [&str; 16] = [
    "the answer depends on ",
    "no option is ruled out by ",
    "the pressure in ",
    "which follows from ",
    "1/2 of ",
    "12.5 times ",
    "x and y, ",
    "energy, which holds between ",
    "the first law of ",
    "it would be constant. ",
    "This is so. A field of ",
    "and I would find that ",
    "therefore **all** of ",
    "However, we find ",
    "the cell (see above)\n\n",
    "something else.\n",
];

/// A scoring, and how answers to it end: the right one.
struct Rules {
    name: &'static str,
    scoring: Scoring,
    reference: &'static str,
    endings: &'static [&'static str],
}

const LETTER: Rules = Rules {
    name: "letter",
    scoring: Scoring::Letter,
    reference: "C",
    endings: &[
        "\nThe answer is (C).",
        "\n\nAnswer: C",
        "\nSo it must be **C**.",
        "\n\\boxed{C}",
        " Thus the third one, C, is right",
        " So the answer is **c**",
    ],
};
/// Those without a target.
const OTHERS: [Rules; 5] = [
    Rules {
        name: "letter_supergpqa",
        scoring: Scoring::LetterSupergpqa,
        reference: "C",
        endings: &[
            "\nThe answer is (C).",
            "\nAnswer: C\nI hope so.",
            "\n**C**",
            "\nThe answer is green.",
        ],
    },
    Rules {
        name: "exact",
        scoring: Scoring::Exact,
        reference: "1,234.5",
        endings: &[
            "\nAnswer: 1234.5",
            "\n**Answer:** 1,234.5 kg",
            "\n\\boxed{1234.50}",
            "\n1234.5",
        ],
    },
    Rules {
        name: "numeric",
        scoring: Scoring::Numeric,
        reference: "1234.5",
        endings: &[
            "\nAnswer: 1234.5",
            "\nThe answer is 1,234.5 kg.",
            "\nThat makes $1,234.50 in all.",
        ],
    },
    Rules {
        name: "math",
        scoring: Scoring::Math,
        reference: "\\left( \\frac{1}{2}, 3\\sqrt{2} \\right)",
        endings: &[
            "\n$\\boxed{\\left(\\frac{1}{2},3\\sqrt{2}\\right)}$",
            "\n\\boxed{(0.5, \\sqrt{18})}",
            "\nThe final answer is $(\\tfrac12, 3\\sqrt2)$.",
        ],
    },
    Rules {
        name: "constraints",
        scoring: Scoring::Constraints,
        reference: "a plain text",
        endings: &["\nThat is all, thank you."],
    },
];

/// Measures all rules.
pub(crate) fn measure(effort: Effort) -> Result<Vec<Finding>> {
    let rounds = effort.rounds();
    let letter = LETTER.seconds(rounds, TIMES)?;
    let mut findings = vec![Finding::median(
        &format!("{} letter answers scored", ANSWERS * TIMES),
        "s",
        Some(1.0),
        &letter,
    )];
    for rules in &OTHERS {
        let seconds = rules.seconds(rounds, 1)?;
        let micros: Vec<f64> = seconds.iter().map(|it| it * 1e6 / ANSWERS as f64).collect();
        findings.push(Finding::median(
            &format!("  an answer, {}", rules.name),
            "us",
            None,
            &micros,
        ));
    }
    Ok(findings)
}

impl Rules {
    /// How long it takes to score all answers so many times, in each round.
    fn seconds(&self, rounds: usize, times: usize) -> Result<Vec<f64>> {
        let mut rng = Rng::with_seed(11);
        let answers: Vec<String> =
            self.endings.iter().cycle().take(ANSWERS).map(|it| answer(it, &mut rng)).collect();
        let metadata = metadata();
        let question =
            Question { scoring: self.scoring, reference: self.reference, metadata: &metadata };
        // All are found to be right, or it is something else that is measured.
        for answer in &answers {
            let found = evaluate(question, answer);
            ensure!(found.verdict == Verdict::Correct, "{found:?} of {answer}");
        }
        Ok((0..rounds).map(|_| timed(question, &answers, times)).collect())
    }
}

fn timed(question: Question<'_>, answers: &[String], times: usize) -> f64 {
    let begun = Instant::now();
    for _time in 0..times {
        for answer in answers {
            black_box(evaluate(question, black_box(answer)));
        }
    }
    begun.elapsed().as_secs_f64()
}

/// An answer of a usual length; half of one in four is reasoning.
fn answer(ending: &str, rng: &mut Rng) -> String {
    let length = rng.usize(LENGTHS);
    let reasoning = if rng.u8(..4) == 0 { length / 2 } else { 0 };
    let text = prose(length - reasoning, rng) + ending;
    if reasoning == 0 { text } else { format!("<think>{}</think>\n{text}", prose(reasoning, rng)) }
}

fn prose(length: usize, rng: &mut Rng) -> String {
    let mut text = String::with_capacity(length + 64);
    while text.len() < length {
        text.push_str(PHRASES[rng.usize(..PHRASES.len())]);
    }
    text
}

fn metadata() -> Map<String, Value> {
    let row = json!({
        "options": ["red", "blue", "green", "yellow", "white", "black", "brown", "grey", "pink", "orange"],
        "constraints": [
            { "kind": "words", "min": 10, "max": 500 },
            { "kind": "sentences", "min": 1 },
            { "kind": "excludes", "text": "purple" },
            { "kind": "ends_with", "text": "thank you." },
        ],
    });
    row.as_object().cloned().unwrap_or_default()
}
