//! `requests.jsonl`: a line for each request that was sent, with its monotonic times. Together with
//! the telemetry it is all that energies are made from.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use energy_proto::Nanos;
use serde::{Deserialize, Serialize};

use super::{REQUESTS_FILE, Result, ResultsError};
use crate::client::ServerTiming;

/// The most bytes a line may have. Only a server's error text could make one long.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// Why a request was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// To warm the server up; has no row.
    Warmup,
    /// A query of the dataset.
    Query,
    /// A query sent again after a failure before the first byte.
    Retry,
    /// A judge on this host.
    Judge,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestOutcome {
    /// Answered to the end.
    Ok,
    /// Failed.
    Error,
    /// Given up for its time.
    Timeout,
    /// Cut without an end mark.
    Truncated,
    /// Given up because the run was stopped.
    Interrupted,
}

/// One request. Times are monotonic nanoseconds of the segment's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestEntry {
    /// Why it was sent.
    pub kind: RequestKind,
    /// The dataset row, for a query.
    pub query_index: Option<i64>,
    /// Counts from 1, for each query and segment.
    pub attempt: u32,
    /// Index into the summary's segments.
    pub segment: u32,
    /// Just before it was sent.
    pub start: Nanos,
    /// Arrival of the answer's head.
    pub first_byte: Option<Nanos>,
    /// Arrival of the first content or reasoning.
    pub first_token: Option<Nanos>,
    /// Arrival of the end mark, or when it was given up.
    pub end: Nanos,
    /// How it ended.
    pub outcome: RequestOutcome,
    /// What went wrong.
    pub error: Option<String>,
    /// The server's own account of its time.
    #[serde(default)]
    pub server_timing: Option<ServerTiming>,
    /// What can't be true of the answer or looks odd.
    #[serde(default)]
    pub flags: Vec<String>,
}

/// Appends to `requests.jsonl`. Each line is whole in the file before [`RequestLog::push`] returns,
/// and survives the process; after [`RequestLog::sync`] it survives a loss of power.
#[derive(Debug)]
pub struct RequestLog {
    file: File,
    path: PathBuf,
    /// Where the next line begins. Behind it there may be the beginning of a line that failed.
    end: u64,
}

impl RequestLog {
    /// Opens the log in the run's directory, or begins one. What a crash left of a line is dropped:
    /// its request has no outcome.
    ///
    /// # Errors
    /// The file can't be read or written, or is damaged.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(REQUESTS_FILE);
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(ResultsError::writing(&path))?;
        let end = Lines::of(&file, &path).whole_lines_end()?;
        let log = Self { file, path, end };
        log.drop_rest().map_err(ResultsError::writing(&log.path))?;
        Ok(log)
    }

    /// Appends one line and hands it to the operating system.
    ///
    /// # Errors
    /// The disk is full or fails, or the entry is too long; the line is then not there, and it may
    /// be pushed again.
    pub fn push(&mut self, entry: &RequestEntry) -> Result<()> {
        let mut line = serde_json::to_vec(entry)
            .map_err(|source| ResultsError::unencodable(&self.path, source))?;
        line.push(b'\n');
        if line.len() as u64 > MAX_LINE_BYTES {
            return Err(ResultsError::unencodable(&self.path, "the entry is too long for a line"));
        }
        // The length is set first so that a shorter line leaves nothing of a failed longer one.
        self.drop_rest()
            .and_then(|()| self.file.write_all_at(&line, self.end))
            .map_err(ResultsError::writing(&self.path))?;
        self.end += line.len() as u64;
        Ok(())
    }

    /// Makes all lines durable.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(ResultsError::writing(&self.path))
    }

    fn drop_rest(&self) -> std::io::Result<()> {
        self.file.set_len(self.end)
    }
}

/// All requests of the run, in the order in which they ended. What a crash left of a last line is
/// passed over.
///
/// # Errors
/// The file can't be read, or a line in it is damaged; the error names the line.
pub fn read_requests(dir: &Path) -> Result<Vec<RequestEntry>> {
    let path = dir.join(REQUESTS_FILE);
    let file = File::open(&path).map_err(ResultsError::reading(&path))?;
    let mut lines = Lines::of(&file, &path);
    let mut entries = Vec::new();
    while let Some(line) = lines.next_whole()? {
        let entry = serde_json::from_slice(line)
            .map_err(|error| lines_damaged(&path, entries.len(), &error.to_string()))?;
        entries.push(entry);
    }
    Ok(entries)
}

/// The whole lines of a file, one in memory at a time.
struct Lines<'a> {
    reader: BufReader<&'a File>,
    path: &'a Path,
    line: Vec<u8>,
    count: usize,
}

impl<'a> Lines<'a> {
    fn of(file: &'a File, path: &'a Path) -> Self {
        Self { reader: BufReader::new(file), path, line: Vec::new(), count: 0 }
    }

    /// The next line that ends in a line feed.
    fn next_whole(&mut self) -> Result<Option<&[u8]>> {
        self.line.clear();
        self.reader
            .by_ref()
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut self.line)
            .map_err(ResultsError::reading(self.path))?;
        if self.line.last() == Some(&b'\n') {
            self.count += 1;
            return Ok(Some(&self.line));
        }
        if self.line.len() as u64 == MAX_LINE_BYTES {
            return Err(lines_damaged(self.path, self.count, "it is too long"));
        }
        Ok(None)
    }

    /// The offset behind the last whole line.
    fn whole_lines_end(mut self) -> Result<u64> {
        let mut end = 0;
        while let Some(line) = self.next_whole()? {
            end += line.len() as u64;
        }
        Ok(end)
    }
}

fn lines_damaged(path: &Path, whole_before: usize, what: &str) -> ResultsError {
    ResultsError::damaged(path, format!("line {}: {what}", whole_before + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::Duration;

    fn entry(query_index: i64) -> RequestEntry {
        RequestEntry {
            kind: RequestKind::Query,
            query_index: Some(query_index),
            attempt: 1,
            segment: 0,
            start: Nanos(u64::MAX),
            first_byte: None,
            first_token: Some(Nanos(7)),
            end: Nanos(9),
            outcome: RequestOutcome::Error,
            error: Some("two\nlines".into()),
            server_timing: Some(ServerTiming {
                prefill: Some(Duration::from_nanos(1)),
                ..ServerTiming::default()
            }),
            flags: vec!["odd".into()],
        }
    }

    fn indices(dir: &Path) -> Vec<i64> {
        read_requests(dir).unwrap().iter().map(|entry| entry.query_index.unwrap()).collect()
    }

    #[test]
    fn entries_come_back_as_they_were_pushed_over_several_openings() {
        let dir = tempfile::tempdir().unwrap();
        for index in 0..3 {
            RequestLog::open(dir.path()).unwrap().push(&entry(index)).unwrap();
        }
        assert_eq!(read_requests(dir.path()).unwrap(), [0, 1, 2].map(entry));
    }

    #[test]
    fn a_log_cut_at_any_byte_keeps_its_whole_lines_and_takes_new_ones() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = RequestLog::open(dir.path()).unwrap();
        log.push(&entry(0)).unwrap();
        let one_line = log.end;
        log.push(&entry(1)).unwrap();
        log.sync().unwrap();
        let path = dir.path().join(REQUESTS_FILE);
        let whole = fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let kept = [one_line, log.end].iter().filter(|end| **end <= cut as u64).count() as i64;
            assert_eq!(indices(dir.path()), (0..kept).collect::<Vec<_>>(), "cut at {cut}");
            RequestLog::open(dir.path()).unwrap().push(&entry(9)).unwrap();
            assert_eq!(indices(dir.path()), (0..kept).chain([9]).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = RequestLog::open(dir.path()).unwrap();
        for index in 0..3 {
            log.push(&entry(index)).unwrap();
        }
        let path = dir.path().join(REQUESTS_FILE);
        let text =
            fs::read_to_string(&path).unwrap().replacen("\"query_index\":1", "\"query_in", 1);
        fs::write(&path, text).unwrap();
        let refused = read_requests(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("line 2"), "{refused}");
    }

    #[test]
    fn an_endless_line_is_an_error_and_not_a_memory_hog() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(REQUESTS_FILE), vec![b'x'; MAX_LINE_BYTES as usize + 1]).unwrap();
        for refused in [read_requests(dir.path()).map(drop), RequestLog::open(dir.path()).map(drop)]
        {
            assert!(matches!(refused, Err(ResultsError::Damaged { .. })), "{refused:?}");
        }
    }

    #[test]
    fn what_a_failed_push_left_is_gone_after_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = RequestLog::open(dir.path()).unwrap();
        log.push(&entry(0)).unwrap();
        log.file.write_all_at(&[b'x'; 5000], log.end).unwrap();
        log.push(&entry(1)).unwrap();
        assert_eq!(indices(dir.path()), [0, 1]);
    }
}
