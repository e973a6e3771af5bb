//! Prompts with reference answers, and how each answer is to be scored.
//!
//! Answers: which prompts there are under an id, what pins their content (the revision), and which rows
//! can't be used and why. It does not know what a model makes of a prompt, nor whether an answer is
//! right (that is `evaluation`). Sizes are bytes.

use std::collections::BTreeMap;
use std::io::{self, Read};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

mod arrow;
mod benchmark;
mod builtin;
mod choice;
mod csv;
mod file;
mod gpqa;
mod hub;
mod jsonl;
mod math500;
mod mmlu_pro;
mod options;
mod parquet;
mod rows;
mod supergpqa;

pub use hub::{HubError, HubSettings};

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

/// What a provider is asked for.
pub struct Request<'a> {
    /// Values of `--dataset-param`.
    pub params: &'a DatasetParams,
    /// Which hub there is, and where what came from it is kept.
    pub hub: &'a HubSettings,
    /// Where the provider tells what it is doing.
    pub events: &'a (dyn Fn(Event) + Send + Sync),
}

/// What a provider tells while it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Something that the user should know.
    Warning(String),
    /// What it is waiting for.
    Waiting(String),
    /// So much of a file is here; at first what is there from before.
    Download {
        /// The file's name.
        file: String,
        /// Bytes that are here.
        bytes: u64,
        /// Bytes of the whole file, if the hub says.
        total: Option<u64>,
    },
}

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
    /// It can't be had from the hub.
    #[error(transparent)]
    Hub(#[from] HubError),
}

/// A source of prompts that can be asked for by id.
#[async_trait]
pub trait DatasetProvider: Sync {
    /// For `--dataset`.
    fn id(&self) -> &'static str;
    /// One line of help.
    fn help(&self) -> &'static str;
    /// Reads it.
    ///
    /// # Errors
    /// See [`DatasetError`]; a row that can't be used is in [`Dataset::skipped`] and no error.
    async fn load(&self, request: &Request<'_>) -> Result<Dataset, DatasetError>;
}

/// All datasets.
pub const DATASETS: [&dyn DatasetProvider; 6] = [
    &builtin::Ipw,
    &mmlu_pro::MMLU_PRO,
    &supergpqa::SUPERGPQA,
    &gpqa::GPQA,
    &math500::MATH500,
    &file::File,
];

/// The dataset with this id.
///
/// # Errors
/// An unknown id, and what its provider reports.
pub async fn load(id: &str, request: &Request<'_>) -> Result<Dataset, DatasetError> {
    let provider = DATASETS.iter().find(|provider| provider.id() == id).ok_or_else(|| {
        let known: Vec<&str> = DATASETS.iter().map(|provider| provider.id()).collect();
        DatasetError::Unknown(id.to_owned(), known.join(", "))
    })?;
    provider.load(request).await
}

/// An error if there is no sample.
fn not_empty(samples: &[Sample], skipped: &[SkippedRow], place: &str) -> Result<(), DatasetError> {
    if !samples.is_empty() {
        return Ok(());
    }
    let first = skipped
        .first()
        .map_or_else(|| "it has none".to_owned(), |row| format!("{}: {}", row.place, row.reason));
    Err(DatasetError::Empty { place: place.to_owned(), first })
}

/// What pins bytes: `sha256:` and their hash.
fn revision_of(hash: Sha256) -> String {
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Adds all further bytes of `input` to a hash.
fn add_to_hash(input: &mut impl Read, hash: &mut Sha256) -> io::Result<()> {
    let mut part = vec![0; 64 << 10];
    loop {
        match input.read(&mut part) {
            Ok(0) => return Ok(()),
            Ok(count) => hash.update(&part[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
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
    Err(DatasetError::Parameter(format!(
        "dataset `{id}` has no parameter `{unknown}`; it takes {}",
        known.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Why a dataset isn't loaded, in words.
    async fn refusal(id: &str, params: &DatasetParams) -> String {
        let hub = HubSettings::offline_in("/nonexistent");
        let request = Request { params, hub: &hub, events: &|_| {} };
        load(id, &request).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn an_unknown_dataset_is_told_which_there_are() {
        assert_eq!(
            refusal("mmlu", &DatasetParams::new()).await,
            "unknown dataset `mmlu`; there are: ipw, mmlu-pro, supergpqa, gpqa, math500, file"
        );
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

    #[tokio::test]
    async fn an_unknown_parameter_is_answered_with_the_known_ones() {
        let params = DatasetParams::from([("color".to_owned(), "test".to_owned())]);
        for (id, known) in [
            ("ipw", "max_samples, seed"),
            ("mmlu-pro", "max_samples, seed, revision, split, subset"),
            ("file", "path, problem, answer, subject, scoring, split, max_samples, seed"),
        ] {
            let expected = format!("dataset `{id}` has no parameter `color`; it takes {known}");
            assert_eq!(refusal(id, &params).await, expected);
        }
    }
}
