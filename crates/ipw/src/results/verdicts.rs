//! `analysis/verdicts.jsonl`: a line for each answer that a judge has ruled on, so that no answer is
//! paid for twice. Scoring reads it; nothing else of a run needs it.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::lines::{Entry, LineLog, read_entries};
use super::{Result, ResultsError, VERDICTS_FILE};
use crate::evaluation::Verdict;

/// What a judge said of one answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerdictEntry {
    /// Hash of all that the judge was asked with: [`crate::evaluation::judge::Case::key`].
    pub key: String,
    /// The judge's model, as it was asked for.
    pub judge: String,
    /// The model that the server says it was.
    pub judge_model: Option<String>,
    /// correct | incorrect | unparsed (no reply held exactly one verdict).
    pub verdict: Verdict,
    /// The judge's words for it.
    pub reason: Option<String>,
    /// Requests that it took.
    pub attempts: u32,
    /// Tokens of all of them that tell.
    pub input_tokens: Option<u64>,
    /// Tokens of their replies.
    pub output_tokens: Option<u64>,
    /// Characters of prompt, reference and answer that weren't sent, for their length.
    pub left_out_chars: usize,
    /// When it was said, RFC 3339.
    pub ruled_at: String,
}

impl Entry for VerdictEntry {
    const FILE: &'static str = VERDICTS_FILE;
}

/// Appends to `analysis/verdicts.jsonl`. An answer of which a crash left half a line is asked about again.
pub type VerdictLog = LineLog<VerdictEntry>;

/// All verdicts of the run in the order in which they were given; none if no judge was ever asked.
///
/// # Errors
/// The file can't be read, or a line in it is damaged; the error names the line.
pub fn read_verdicts(dir: &Path) -> Result<Vec<VerdictEntry>> {
    match read_entries(dir) {
        Err(ResultsError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(Vec::new())
        }
        read => read,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_come_back_in_their_order_and_a_run_without_any_has_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_verdicts(dir.path()).unwrap(), []);
        let entry = |key: &str| VerdictEntry {
            key: key.to_owned(),
            judge: "j".to_owned(),
            judge_model: None,
            verdict: Verdict::Unparsed,
            reason: None,
            attempts: 3,
            input_tokens: Some(1),
            output_tokens: None,
            left_out_chars: 0,
            ruled_at: "2026-01-01T00:00:00Z".to_owned(),
        };
        let mut log = VerdictLog::open(dir.path()).unwrap();
        for key in ["b", "a"] {
            log.push(&entry(key)).unwrap();
        }
        assert_eq!(read_verdicts(dir.path()).unwrap(), [entry("b"), entry("a")]);
    }
}
