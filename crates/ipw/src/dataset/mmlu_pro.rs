//! MMLU-Pro: questions of fourteen subjects with up to ten options.
//!
//! Answers: what is asked, and which letter is right, in a row of its file.

use super::benchmark::{Benchmark, Part, Question};
use super::options::{self, Form};
use super::rows::{Fields, kept, text, texts};
use super::{Scoring, choice_letter};

/// What stands where a question has fewer than ten options.
const NO_OPTION: &str = "N/A";

/// The provider of `mmlu-pro`.
pub(super) const MMLU_PRO: Benchmark = Benchmark {
    id: "mmlu-pro",
    name: "MMLU-Pro",
    help: "12,032 questions of 14 subjects with up to 10 options (hub: TIGER-Lab/MMLU-Pro)",
    repo: "TIGER-Lab/MMLU-Pro",
    parts: &[
        Part { split: "test", subset: None, path: "data/test-00000-of-00001.parquet" },
        Part { split: "validation", subset: None, path: "data/validation-00000-of-00001.parquet" },
    ],
    columns: &["question_id", "question", "options", "answer", "answer_index", "category", "src"],
    question,
};

fn question(row: &Fields, _seed: u64) -> Result<Question, String> {
    let subject = text(row, "category")?;
    let (options, right) = without_gaps(&texts(row, "options")?, right_place(row)?)?;
    let letter = options::right_letter(&options, right)?;
    Ok(Question {
        problem: options::prompt(&subject, &text(row, "question")?, &options, &Form::TheAnswerIs)?,
        answer: letter.to_string(),
        subject,
        scoring: Scoring::Letter,
        metadata: kept(row, &["question_id", "src"]),
    })
}

/// Where the right option stands: by its number and by its letter, which must agree.
fn right_place(row: &Fields) -> Result<usize, String> {
    let letter = text(row, "answer")?;
    let by_letter = choice_letter(&letter)
        .and_then(options::place)
        .ok_or_else(|| format!("its answer is `{letter}`, and not a letter from A to J"))?;
    match row.get("answer_index").and_then(serde_json::Value::as_u64) {
        Some(number) if number != by_letter as u64 => Err(format!(
            "its answer is {letter} by letter and option {} by number",
            number.saturating_add(1)
        )),
        _ => Ok(by_letter),
    }
}

/// The options that there are, and where the right one is among them.
fn without_gaps(options: &[String], right: usize) -> Result<(Vec<String>, usize), String> {
    let is_there = |option: &&String| option.trim() != NO_OPTION;
    match options.get(right) {
        Some(option) if !is_there(&option) => {
            return Err(format!("its answer is option {}, which is {NO_OPTION}", right + 1));
        }
        Some(_) => {}
        None => {
            return Err(format!("its answer is option {} of {}", right + 1, options.len()));
        }
    }
    let before = options[..right].iter().filter(is_there).count();
    Ok((options.iter().filter(is_there).cloned().collect(), before))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn asked(options: Value, answer: &str, index: Value) -> Result<Question, String> {
        let row = json!({"question_id": 70, "question": "Which?", "options": options,
            "answer": answer, "answer_index": index, "category": "law", "src": "x", "cot": "secret"});
        question(row.as_object().unwrap(), 0)
    }

    #[test]
    fn a_row_becomes_a_lettered_question() {
        let asked = asked(json!(["a", "b", "c", "N/A"]), "C", json!(2)).unwrap();
        assert!(asked.problem.contains("\nC. c\n\nThink"), "{}", asked.problem);
        assert!(!asked.problem.contains("N/A"));
        assert_eq!((asked.answer.as_str(), asked.subject.as_str()), ("C", "law"));
        assert_eq!(asked.scoring, Scoring::Letter);
        assert_eq!(Value::Object(asked.metadata), json!({"question_id": 70, "src": "x"}));
    }

    #[test]
    fn the_letter_follows_an_option_that_moves_up_into_a_gap() {
        let asked = asked(json!(["a", "N/A", "c"]), "C", Value::Null).unwrap();
        assert_eq!(asked.answer, "B");
        assert!(asked.problem.contains("\nB. c\n"));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let ten: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        let eleven: Vec<String> = (0..11).map(|n| n.to_string()).collect();
        for (options, answer, index, reason) in [
            (json!(["a", "b"]), "A", json!(1), "its answer is A by letter and option 2 by number"),
            (json!(["a", "b"]), "C", json!(2), "its answer is option 3 of 2"),
            (json!(["a", "b"]), "K", json!(10), "its answer is `K`, and not a letter from A to J"),
            (json!(["a", "N/A"]), "B", json!(1), "its answer is option 2, which is N/A"),
            (json!(["a", "N/A"]), "A", json!(0), "it has 1 options to choose from"),
            (json!(eleven), "A", json!(0), "it has 11 options; letters go up to J"),
            (json!("a"), "A", json!(0), "`options` is not a list of texts"),
        ] {
            assert_eq!(asked(options, answer, index).unwrap_err(), reason);
        }
        assert_eq!(asked(json!(ten), "J", json!(9)).unwrap().answer, "J");
    }
}
