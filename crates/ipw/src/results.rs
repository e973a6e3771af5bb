//! A run's directory: what is in it, how it is written so that a reader never meets half of a row,
//! and how it is read back.
//!
//! Rows and telemetry are Arrow IPC streams that grow by whole batches (see `results/stream.rs`); the JSON
//! files are replaced as a whole; `requests.jsonl` grows by lines. This is the only module that knows
//! Arrow. It doesn't know how any number came about.

mod ahead;
mod cells;
mod columns;
mod directory;
mod error;
mod flat;
mod foreign;
mod lines;
mod replace;
mod requests;
mod rows;
mod schema;
mod stream;
mod summary;
mod telemetry;
mod verdicts;

pub use directory::{RunDirectory, remove_if_there, slug};
pub use error::{Result, ResultsError};
pub use flat::{FlatColumn, FlatKind, FlatRow, flat_columns};
pub use foreign::{FILE_MAGIC, ForeignRows, STREAM_MAGIC};
pub use lines::LineLog;
pub use replace::{replace, write_bytes, write_json};
pub use requests::{RequestEntry, RequestKind, RequestLog, RequestOutcome, read_requests};
pub use rows::{RowWriter, Rows, read_rows, rewrite_rows};
pub use summary::{
    AttributionState, Conservation, EnergySummary, Hardware, MARKS, OwnCost, QueryCounts,
    RunStatus, SCHEMA_VERSION, Segment, SteadyState, Summary, TelemetrySummary, Totals,
    read_summary, write_summary,
};
pub use telemetry::{
    TelemetryBatches, TelemetryRow, TelemetryRows, TelemetryWriter, read_telemetry,
    read_telemetry_batches,
};
pub use verdicts::{VerdictEntry, VerdictLog, read_verdicts};

/// The rows, one for each query.
const ROWS_FILE: &str = "data-00000-of-00001.arrow";
/// What HuggingFace `datasets` asks for beside the rows.
const DATASET_INFO_FILE: &str = "dataset_info.json";
/// Where HuggingFace `datasets` looks for the rows, and under which fingerprint it caches.
const STATE_FILE: &str = "state.json";
/// What the run was, and how it went.
pub const SUMMARY_FILE: &str = "summary.json";
const TELEMETRY_FILE: &str = "telemetry.arrow";
const REQUESTS_FILE: &str = "requests.jsonl";
/// What a judge said, by what it was asked.
const VERDICTS_FILE: &str = "analysis/verdicts.jsonl";
