//! SuperGPQA: questions of 285 graduate fields with up to ten options.
//!
//! Answers: what is asked, and which letter is right, in a row of its file. The options stay with the row,
//! since its rules of scoring look for their texts, too.

use super::benchmark::{Benchmark, Part, Question};
use super::options::{self, Form};
use super::rows::{Fields, kept, text, texts};
use super::{Scoring, choice_letter};

/// What is kept of a row beside question, answer and subject.
const KEPT: [&str; 6] = ["uuid", "options", "field", "subfield", "difficulty", "is_calculation"];

/// The provider of `supergpqa`.
pub(super) const SUPERGPQA: Benchmark = Benchmark {
    id: "supergpqa",
    name: "SuperGPQA",
    help: "26,529 questions of 13 disciplines with up to 10 options (hub: m-a-p/SuperGPQA)",
    repo: "m-a-p/SuperGPQA",
    parts: &[Part { split: "train", subset: None, path: "SuperGPQA-all.jsonl" }],
    columns: &[],
    question,
};

fn question(row: &Fields, _seed: u64) -> Result<Question, String> {
    let subject = text(row, "discipline")?;
    let options = texts(row, "options")?;
    let letter = text(row, "answer_letter")?;
    let right = choice_letter(&letter)
        .and_then(options::place)
        .ok_or_else(|| format!("its answer is `{letter}`, and not a letter from A to J"))?;
    let letter = options::right_letter(&options, right)?;
    Ok(Question {
        problem: options::prompt(&subject, &text(row, "question")?, &options, &Form::Answer)?,
        answer: letter.to_string(),
        subject,
        scoring: Scoring::LetterSupergpqa,
        metadata: kept(row, &KEPT),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn asked(options: &Value, letter: &str) -> Result<Question, String> {
        let row = json!({"uuid": "u", "question": "Which?", "options": options, "answer": "b",
            "answer_letter": letter, "discipline": "Law", "field": "f", "subfield": "g",
            "difficulty": "hard", "is_calculation": false, "other": 1});
        question(row.as_object().unwrap(), 0)
    }

    #[test]
    fn a_row_becomes_a_lettered_question_that_keeps_its_options() {
        let options = json!(["a", "b", "c"]);
        let asked = asked(&options, "B").unwrap();
        assert!(asked.problem.contains("\nC. c\n\nThink"), "{}", asked.problem);
        assert_eq!((asked.answer.as_str(), asked.subject.as_str()), ("B", "Law"));
        assert_eq!(asked.scoring, Scoring::LetterSupergpqa);
        assert_eq!(asked.metadata["options"], options);
        assert_eq!(asked.metadata["is_calculation"], false);
        assert!(!asked.metadata.contains_key("other"));
    }

    #[test]
    fn a_letter_beyond_the_options_is_refused() {
        assert_eq!(asked(&json!(["a", "b"]), "C").unwrap_err(), "its answer is option 3 of 2");
        let eleven: Vec<String> = (0..11).map(|n| n.to_string()).collect();
        assert_eq!(
            asked(&json!(eleven), "A").unwrap_err(),
            "it has 11 options; letters go up to J"
        );
    }
}
