//! MATH-500: competition problems with an expression as the answer.
//!
//! Answers: what is asked, and the reference, in a row of its file.

use super::Scoring;
use super::benchmark::{Benchmark, Part, Question};
use super::rows::{Fields, kept, text};

/// The provider of `math500`.
pub(super) const MATH500: Benchmark = Benchmark {
    id: "math500",
    name: "MATH-500",
    help: "500 competition problems with an expression as the answer (hub: HuggingFaceH4/MATH-500)",
    repo: "HuggingFaceH4/MATH-500",
    parts: &[Part { split: "test", subset: None, path: "test.jsonl" }],
    columns: &[],
    question,
};

fn question(row: &Fields, _seed: u64) -> Result<Question, String> {
    let asked = text(row, "problem")?;
    let (asked, answer) = (asked.trim(), text(row, "answer")?);
    for (name, text) in [("problem", asked), ("answer", answer.trim())] {
        if text.is_empty() {
            return Err(format!("`{name}` is empty"));
        }
    }
    Ok(Question {
        problem: format!(
            "{asked}\n\nWork it out step by step, and put the final answer in \\boxed{{}}."
        ),
        answer,
        subject: text(row, "subject")?,
        scoring: Scoring::Math,
        metadata: kept(row, &["unique_id", "level"]),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_row_becomes_a_problem_whose_solution_is_not_shown() {
        let row = json!({"problem": "What is $1+1$?", "solution": "Add.", "answer": "2",
            "subject": "Algebra", "level": 1, "unique_id": "test/1"});
        let asked = question(row.as_object().unwrap(), 0).unwrap();
        assert!(asked.problem.starts_with("What is $1+1$?\n\n"));
        assert!(asked.problem.ends_with("\\boxed{}.") && !asked.problem.contains("Add."));
        assert_eq!((asked.answer.as_str(), asked.scoring), ("2", Scoring::Math));
        assert_eq!(Value::Object(asked.metadata), json!({"unique_id": "test/1", "level": 1}));
        let empty = json!({"problem": "p", "answer": " ", "subject": "s"});
        assert_eq!(question(empty.as_object().unwrap(), 0).unwrap_err(), "`answer` is empty");
    }
}
