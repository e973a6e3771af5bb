//! Runs as one HTML page that needs nothing else: no network, no script, no other file.
//!
//! Answers: what a reader should see of a run, and in which order: first what must be known of its
//! numbers, then the numbers, then pictures, answers, and what it was made with. It computes nothing of
//! its own: figures come from `analysis`, pictures from `plot`. Every text of a dataset, a model or a
//! server is escaped by the template, and the page's policy forbids scripts altogether.

use std::path::Path;

use crate::analysis::accuracy::{self, AccuracyOptions, AccuracyReport};
use crate::analysis::compare::question;
use crate::analysis::regression::{self, RegressionReport};
use crate::plot::RunData;
use crate::results::{ResultsError, read_summary};

mod answers;
mod comparison;
mod page;
mod parts;
mod pictures;
mod run;
mod setup;

use answers::Answers;
pub use page::page;

/// A run with all that its part of the page shows.
pub struct ReportedRun {
    /// What the page calls it.
    name: String,
    data: RunData,
    accuracy: AccuracyReport,
    regression: RegressionReport,
    answers: Answers,
    /// Of each row: what it asked, to compare it with other runs.
    questions: Vec<u64>,
}

impl ReportedRun {
    /// Reads the run in `directory`, which the page calls `name`, and which stays as it is. Texts are kept of few answers only, so that
    /// memory and page stay small.
    ///
    /// # Errors
    /// It isn't a run, or can't be read.
    pub fn read(
        directory: &Path,
        name: String,
        options: AccuracyOptions,
    ) -> Result<Self, ResultsError> {
        let mut answers = Answers::of(read_summary(directory)?.mark());
        let mut questions = Vec::new();
        let data = RunData::read_with(directory, |record| {
            questions.push(question(record));
            answers.add(record);
        })?;
        let model = &data.summary.model;
        let accuracy = accuracy::analyze(model, &data.scored, options);
        let regression = regression::analyze(model, &data.fitted);
        Ok(Self { name, data, accuracy, regression, answers, questions })
    }
}
