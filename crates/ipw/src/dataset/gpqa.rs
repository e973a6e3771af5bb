//! GPQA: questions by experts for experts, with four options.
//!
//! Answers: what is asked, and which letter is right, in a row of its file. The file has the right option
//! first: options are put into an order that depends on the seed and the question alone.

use super::Scoring;
use super::benchmark::{Benchmark, Part, Question};
use super::choice::shuffled;
use super::options::{self, Form};
use super::rows::{Fields, kept, text};

/// The options' columns, the right one first.
const OPTIONS: [&str; 4] =
    ["Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3"];

/// The provider of `gpqa`.
pub(super) const GPQA: Benchmark = Benchmark {
    id: "gpqa",
    name: "GPQA",
    help: "198 questions by experts for experts with 4 options; asks for access (hub: Idavidrein/gpqa)",
    repo: "Idavidrein/gpqa",
    parts: &[
        Part { split: "train", subset: Some("diamond"), path: "gpqa_diamond.csv" },
        Part { split: "train", subset: Some("main"), path: "gpqa_main.csv" },
        Part { split: "train", subset: Some("extended"), path: "gpqa_extended.csv" },
    ],
    columns: &[],
    question,
};

fn question(row: &Fields, seed: u64) -> Result<Question, String> {
    let asked = text(row, "Question")?;
    let subject = text(row, "High-level domain")?;
    let as_written: Vec<String> = OPTIONS
        .iter()
        .map(|name| match text(row, name) {
            Ok(option) if option.trim().is_empty() => Err(format!("`{name}` is empty")),
            option => option,
        })
        .collect::<Result<_, _>>()?;
    let order = shuffled(seed, asked.trim(), as_written.len());
    let options: Vec<String> = order.iter().map(|number| as_written[*number].clone()).collect();
    let right = order.iter().position(|number| *number == 0).unwrap_or_default();
    let letter = options::right_letter(&options, right)?;
    Ok(Question {
        problem: options::prompt(&subject, &asked, &options, &Form::TheAnswerIs)?,
        answer: letter.to_string(),
        subject,
        scoring: Scoring::Letter,
        metadata: kept(row, &["Record ID", "Subdomain"]),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;

    fn asked(seed: u64) -> Question {
        let row = json!({"Question": "Which?\n", "Correct Answer": "right\n",
            "Incorrect Answer 1": "w1", "Incorrect Answer 2": "w2", "Incorrect Answer 3": "w3",
            "High-level domain": "Physics", "Subdomain": "Optics", "Record ID": "rec1"});
        question(row.as_object().unwrap(), seed).unwrap()
    }

    #[test]
    fn the_letter_is_that_of_the_right_option_wherever_the_seed_puts_it() {
        let mut letters = BTreeSet::new();
        for seed in 0..50 {
            let asked = asked(seed);
            assert!(
                asked.problem.contains(&format!("\n{}. right\n", asked.answer)),
                "{}",
                asked.problem
            );
            for wrong in ["w1", "w2", "w3"] {
                assert!(asked.problem.contains(&format!(". {wrong}\n")));
            }
            letters.insert(asked.answer);
        }
        assert_eq!(letters.into_iter().collect::<String>(), "ABCD");
        assert_eq!(asked(7).problem, asked(7).problem);
    }

    #[test]
    fn what_is_known_of_a_row_stays_with_it() {
        let asked = asked(0);
        assert_eq!((asked.subject.as_str(), asked.scoring), ("Physics", Scoring::Letter));
        assert_eq!(
            Value::Object(asked.metadata),
            json!({"Record ID": "rec1", "Subdomain": "Optics"})
        );
    }

    #[test]
    fn a_row_without_an_option_is_refused() {
        let row = json!({"Question": "Which?", "Correct Answer": " ", "High-level domain": "x"});
        let error = question(row.as_object().unwrap(), 0).unwrap_err();
        assert_eq!(error, "`Correct Answer` is empty");
    }
}
