//! `requests.jsonl`: a line for each request that was sent, with its monotonic times. Together with
//! the telemetry it is all that energies are made from.

use std::path::Path;

use energy_proto::Nanos;
use serde::{Deserialize, Serialize};

use super::lines::{Entry, LineLog, read_entries};
use super::{REQUESTS_FILE, Result};
use crate::client::ServerTiming;

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

impl Entry for RequestEntry {
    const FILE: &'static str = REQUESTS_FILE;
}

/// Appends to `requests.jsonl`. A request of which a crash left half a line has no outcome.
pub type RequestLog = LineLog<RequestEntry>;

/// All requests of the run, in the order in which they ended. What a crash left of a last line is
/// passed over.
///
/// # Errors
/// The file can't be read, or a line in it is damaged; the error names the line.
pub fn read_requests(dir: &Path) -> Result<Vec<RequestEntry>> {
    read_entries(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_request_comes_back_as_it_was_pushed() {
        let entry = RequestEntry {
            kind: RequestKind::Query,
            query_index: Some(3),
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
        };
        let dir = tempfile::tempdir().unwrap();
        RequestLog::open(dir.path()).unwrap().push(&entry).unwrap();
        assert_eq!(read_requests(dir.path()).unwrap(), [entry]);
    }
}
