//! A prompt before it has its id, its letters and its closing instruction; and how two ways of
//! computing an answer are held against each other.

use std::fmt::Debug;

use anyhow::{Result, bail, ensure};

use super::constraint::Constraint;
use super::random::Random;

/// How often a puzzle is drawn anew until one fits.
const MOST_ATTEMPTS: usize = 20_000;

/// A prompt without what is the same for all families.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) subject: String,
    /// The prompt without its closing instruction.
    pub(super) task: String,
    pub(super) key: Key,
    /// What shows with another program that the answer is right.
    pub(super) proof: Option<Proof>,
}

/// What a right answer is.
#[derive(Debug, Clone)]
pub(super) enum Key {
    /// This text or number; `form` says how it is to be given.
    Exact { answer: String, form: String },
    /// The first of these; they are not yet in their order.
    Choice { options: Vec<String> },
    /// Whatever keeps the rules; `sample` does.
    Constraints { rules: Vec<Constraint>, sample: String },
    /// What a language model finds right by this reference or rubric.
    Judge { rubric: String },
}

/// What a program that isn't ours has to find.
#[derive(Debug, Clone)]
pub(super) enum Proof {
    /// A Python program that prints the answer.
    Python(String),
    /// A query whose only row and column is the answer, over what the script has set up.
    Sql { script: String, query: String },
}

impl Draft {
    /// A prompt with one short answer.
    pub(super) fn exact(
        subject: &str,
        task: impl Into<String>,
        answer: impl ToString,
        form: impl Into<String>,
    ) -> Self {
        let key = Key::Exact { answer: answer.to_string(), form: form.into() };
        Self { subject: subject.to_owned(), task: task.into(), key, proof: None }
    }

    /// A prompt with options, the right one first.
    pub(super) fn choice(subject: &str, task: impl Into<String>, options: Vec<String>) -> Self {
        let key = Key::Choice { options };
        Self { subject: subject.to_owned(), task: task.into(), key, proof: None }
    }

    /// A prompt whose answer must keep rules, and an answer that does.
    pub(super) fn constrained(
        subject: &str,
        task: impl Into<String>,
        rules: Vec<Constraint>,
        sample: impl Into<String>,
    ) -> Self {
        let key = Key::Constraints { rules, sample: sample.into() };
        Self { subject: subject.to_owned(), task: task.into(), key, proof: None }
    }

    /// With what another program has to find.
    pub(super) fn proven(mut self, proof: Proof) -> Self {
        self.proof = Some(proof);
        self
    }
}

/// What two ways of computing a thing agree on.
///
/// # Errors
/// If they don't.
pub(super) fn agreed<T: PartialEq + Debug>(one: T, other: T) -> Result<T> {
    ensure!(one == other, "two ways of computing it disagree: {one:?} and {other:?}");
    Ok(one)
}

/// The only solution that a search has found.
///
/// # Errors
/// If there is none, or more than one.
pub(super) fn only<T: Debug>(solutions: impl IntoIterator<Item = T>) -> Result<T> {
    let mut solutions = solutions.into_iter();
    match (solutions.next(), solutions.next()) {
        (Some(solution), None) => Ok(solution),
        (None, _) => bail!("there is no solution"),
        (Some(one), Some(other)) => bail!("there are two solutions: {one:?} and {other:?}"),
    }
}

/// The first thing that fits, drawn again and again.
///
/// # Errors
/// If nothing fits in many attempts.
pub(super) fn drawn<T>(
    random: &mut Random,
    mut attempt: impl FnMut(&mut Random) -> Option<T>,
) -> Result<T> {
    for _ in 0..MOST_ATTEMPTS {
        if let Some(found) = attempt(random) {
            return Ok(found);
        }
    }
    bail!("nothing fits in {MOST_ATTEMPTS} attempts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_disagrees_or_has_no_single_solution_is_an_error() {
        assert_eq!(agreed(3, 3).unwrap(), 3);
        assert!(agreed(3, 4).unwrap_err().to_string().contains("3 and 4"));
        assert_eq!(only([7]).unwrap(), 7);
        assert!(only(Vec::<i64>::new()).is_err());
        assert!(only([7, 8]).unwrap_err().to_string().contains("two solutions: 7 and 8"));
    }
}
