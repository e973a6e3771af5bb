//! What can go wrong with a run's directory, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::RunStatus;

/// The result of whatever touches a run's directory.
pub type Result<T> = std::result::Result<T, ResultsError>;

/// What went wrong with a run's directory.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// A new run would have to share its directory with an earlier one.
    #[error(
        "{} already holds a run ({}): continue it with --resume, replace it with --overwrite, or \
         keep both with --tag TEXT",
        path.display(),
        status_word(*status)
    )]
    AlreadyThere {
        /// The directory.
        path: PathBuf,
        /// Where that run stands; `None` if its summary can't be read.
        status: Option<RunStatus>,
    },
    /// The directory has no run in it.
    #[error("{} holds no run: give the directory that `ipw profile` named at its end", path.display())]
    NotARun {
        /// The directory.
        path: PathBuf,
    },
    /// Another process writes there.
    #[error(
        "another process is at work in {}: wait for it, stop it, or start this run with --tag TEXT",
        path.display()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The place can't be written at all.
    #[error("cannot write {}: choose another place, or mend its permissions", path.display())]
    NotWritable {
        /// What was to be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No space is left.
    #[error(
        "no space left to write {}: free some, then continue with --resume; what was committed is safe",
        path.display()
    )]
    DiskFull {
        /// What was to be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file isn't what this program wrote.
    #[error(
        "{} is damaged: {what}; take it from a copy, or make the run again with --overwrite",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
    /// A final run has one row for each query, in the queries' order.
    #[error(
        "{} is a final run, but its rows aren't one for each query in the queries' order: make them \
         again with `ipw analyze --reattribute`, which keeps the last attempt at each",
        path.display()
    )]
    OutOfOrder {
        /// The directory.
        path: PathBuf,
    },
    /// Rows of one run must have the same columns.
    #[error(
        "the columns of {} are not those this program writes for `{model}`: resume with the program \
         version and the model that began the run, or start anew with --overwrite or --tag TEXT",
        path.display()
    )]
    SchemaMismatch {
        /// The file.
        path: PathBuf,
        /// The model of the rows that were to be written.
        model: String,
    },
    /// One row is more than a batch may hold.
    #[error(
        "query {query_index} has {bytes} bytes of text, more than a row can hold ({limit}): bound \
         the answers with --max-tokens"
    )]
    RowTooLarge {
        /// The row.
        query_index: i64,
        /// Its size.
        bytes: usize,
        /// The most a row may have.
        limit: usize,
    },
    /// A value can't be written in its column: a mistake of this program.
    #[error("{} can't be encoded: please report this with the text that follows", path.display())]
    Unencodable {
        /// The file.
        path: PathBuf,
        /// What the encoder said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Anything else the system refuses.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ResultsError {
    pub(super) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.into() }
    }

    pub(super) fn unencodable(
        path: &Path,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unencodable { path: path.to_owned(), source: source.into() }
    }

    /// For what failed while `path` was read.
    pub(super) fn reading(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { action: "read", path: path.to_owned(), source }
    }

    /// For what failed while `path` was written.
    pub(crate) fn writing(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::PermissionDenied
                | io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::NotADirectory
                // A file stands where a directory has to be made.
                | io::ErrorKind::AlreadyExists => Self::NotWritable { path, source },
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Self::DiskFull { path, source }
                }
                _ => Self::Io { action: "write", path, source },
            }
        }
    }
}

fn status_word(status: Option<RunStatus>) -> &'static str {
    match status {
        Some(RunStatus::Running) => "running",
        Some(RunStatus::Complete) => "complete",
        Some(RunStatus::Interrupted) => "interrupted",
        Some(RunStatus::Failed) => "failed",
        None => "its summary can't be read",
    }
}
