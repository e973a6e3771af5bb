//! Prompts with reference answers, and how each answer is to be scored.
//!
//! Answers: which prompts there are under an id, what pins their content (the revision), and which rows
//! can't be used and why. It does not know what a model makes of a prompt, nor whether an answer is
//! right (that is `evaluation`). Sizes are bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

mod builtin;
mod file;
mod jsonl;

/// How an answer is compared with its reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scoring {
    /// Multiple choice by MMLU-Pro's rules: the reference is a letter A-J.
    Letter,
    /// Multiple choice by SuperGPQA's rules: the reference is a letter A-J; `options` in the row's
    /// metadata are the options' texts.
    LetterSupergpqa,
    /// The same text or number, after normalising.
    Exact,
    /// The same number; the last one in the answer if none is marked.
    Numeric,
    /// The same mathematical expression, as text or by value (MATH-500).
    Math,
    /// Rules about the answer's form that a program can check: `constraints` in the row's metadata.
    Constraints,
    /// A language model compares the answer with the reference.
    Judge,
}

/// One prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Position in the dataset, counted over usable and unusable rows alike.
    pub index: usize,
    /// The prompt as it is sent.
    pub problem: String,
    /// The reference.
    pub answer: String,
    /// What it is about.
    pub subject: String,
    /// How it is scored.
    pub scoring: Scoring,
    /// The row's id and what else the dataset says of it.
    pub metadata: Map<String, Value>,
}

/// A row that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedRow {
    /// Where it is, as a person would look for it: `line 17`.
    pub place: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A dataset in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// For the run directory's name: the provider's id, `file-<stem>` for a file.
    pub id: String,
    /// For people.
    pub name: String,
    /// What pins its content: a commit, or `sha256:` and the hash of the file's bytes.
    pub revision: String,
    /// Usable rows in order.
    pub samples: Vec<Sample>,
    /// The others.
    pub skipped: Vec<SkippedRow>,
}

/// Values of `--dataset-param`.
pub type DatasetParams = BTreeMap<String, String>;

/// Why a dataset can't be had. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// No such id.
    #[error("unknown dataset `{0}`; there are: {1}")]
    Unknown(String, String),
    /// A parameter is missing, unknown or has a bad value.
    #[error("{0}")]
    Parameter(String),
    /// The file can't be read.
    #[error("can't read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file was read, or could have been, but can't be a dataset: empty, binary, far too big.
    #[error("{path} {reason}")]
    Unsuitable {
        /// The file.
        path: String,
        /// What it is, and what to give instead.
        reason: String,
    },
    /// Not one usable row.
    #[error("{place} has no usable row; the first problem: {first}")]
    Empty {
        /// The file or dataset.
        place: String,
        /// The first row's problem.
        first: String,
    },
}

/// A source of prompts that can be asked for by id.
pub trait DatasetProvider: Sync {
    /// For `--dataset`.
    fn id(&self) -> &'static str;
    /// One line of help.
    fn help(&self) -> &'static str;
    /// Reads it.
    ///
    /// # Errors
    /// See [`DatasetError`]; a row that can't be used is in [`Dataset::skipped`] and no error.
    fn load(&self, params: &DatasetParams) -> Result<Dataset, DatasetError>;
}

/// All datasets.
pub const DATASETS: [&dyn DatasetProvider; 2] = [&builtin::Ipw, &file::File];

/// The dataset with this id.
///
/// # Errors
/// An unknown id, and what its provider reports.
pub fn load(id: &str, params: &DatasetParams) -> Result<Dataset, DatasetError> {
    let provider = DATASETS.iter().find(|provider| provider.id() == id).ok_or_else(|| {
        let known: Vec<&str> = DATASETS.iter().map(|provider| provider.id()).collect();
        DatasetError::Unknown(id.to_owned(), known.join(", "))
    })?;
    provider.load(params)
}

/// The letter A to J that a reference names: `B`, ` b `, `(B)`, `B.`; `None` if it is anything else.
pub(crate) fn choice_letter(reference: &str) -> Option<char> {
    let bare = reference.trim().trim_start_matches('(').trim_end_matches(['.', ')']);
    let mut chars = bare.chars();
    let letter = chars.next()?.to_ascii_uppercase();
    (chars.next().is_none() && letter.is_ascii_uppercase() && letter <= 'J').then_some(letter)
}

/// Refuses a parameter that the dataset doesn't have; the text lists those that it has.
fn check_parameters(id: &str, params: &DatasetParams, known: &[&str]) -> Result<(), DatasetError> {
    let Some(unknown) = params.keys().find(|name| !known.contains(&name.as_str())) else {
        return Ok(());
    };
    let there_are = if known.is_empty() {
        "it takes none".to_owned()
    } else {
        format!("it takes {}", known.join(", "))
    };
    Err(DatasetError::Parameter(format!(
        "dataset `{id}` has no parameter `{unknown}`; {there_are}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_dataset_is_told_which_there_are() {
        let error = load("mmlu", &DatasetParams::new()).unwrap_err().to_string();
        assert_eq!(error, "unknown dataset `mmlu`; there are: ipw, file");
    }

    #[test]
    fn a_choice_is_one_letter_from_a_to_j_however_it_is_dressed() {
        for (reference, letter) in
            [("B", 'B'), (" b ", 'B'), ("(J)", 'J'), ("C.", 'C'), ("d)", 'D')]
        {
            assert_eq!(choice_letter(reference), Some(letter), "{reference}");
        }
        for reference in ["", " ", "K", "AB", "A B", "1", "\u{e4}", "()", "the"] {
            assert_eq!(choice_letter(reference), None, "{reference}");
        }
    }

    #[test]
    fn ids_are_unique_and_every_dataset_has_a_line_of_help() {
        for (position, dataset) in DATASETS.iter().enumerate() {
            assert!(!dataset.help().is_empty() && !dataset.help().contains('\n'));
            assert!(DATASETS[..position].iter().all(|other| other.id() != dataset.id()));
        }
    }

    #[test]
    fn an_unknown_parameter_is_answered_with_the_known_ones() {
        let params = DatasetParams::from([("split".to_owned(), "test".to_owned())]);
        let of = |id| load(id, &params).unwrap_err().to_string();
        assert_eq!(of("ipw"), "dataset `ipw` has no parameter `split`; it takes none");
        let file = of("file");
        assert!(
            file.starts_with("dataset `file` has no parameter `split`; it takes path, problem"),
            "{file}"
        );
    }
}
