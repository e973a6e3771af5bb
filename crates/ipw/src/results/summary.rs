//! `summary.json`: what the run was, on what, and how it went.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use energy_proto::{ClockAnchor, GpuInfo, Nanos, SensorInfo, SkippedSource, SystemInfo};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Result, ResultsError, SUMMARY_FILE, write_json};
use crate::client::ServerInfo;
use crate::hardware::REPLAYED_PLATFORM;
use crate::record::{ProfilingRecord, QueryStatus};

/// The version of the files of a run that this program writes.
pub const SCHEMA_VERSION: u32 = 1;

/// What marks energies that come from a model of the hardware, and those of a recorded trace.
pub const MARKS: [&str; 2] = ["ESTIMATED", "REPLAYED"];

/// The most bytes a summary may have.
const MAX_SUMMARY_BYTES: u64 = 64 << 20;

/// Where the run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// A process is at it; without a holder of the lock it was interrupted.
    Running,
    /// Every query asked for has a row.
    Complete,
    /// Stopped by the user or by the loss of its process.
    Interrupted,
    /// Stopped by a failure.
    Failed,
}

/// Which pass made the rows' energies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttributionState {
    /// Made one by one while the run lasted.
    Provisional,
    /// Made by the one pass over the whole run.
    Final,
}

/// The whole of `summary.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it, with their units")]
pub struct Summary {
    pub schema_version: u32,
    pub model: String,
    pub dataset: String,
    pub dataset_name: String,
    pub dataset_revision: String,
    pub client: String,
    /// All that was asked for, without secrets.
    pub profiler_config: Map<String, Value>,
    pub hardware: Hardware,
    pub hardware_label: String,
    pub system_info: Option<SystemInfo>,
    pub gpu_info: Option<GpuInfo>,
    pub client_info: ServerInfo,
    /// RFC 3339.
    pub start_time: String,
    /// RFC 3339; `None` while it runs.
    pub end_time: Option<String>,
    /// Time in which a process was at it, over all segments.
    pub duration_seconds: f64,
    /// RFC 3339: when this file was written.
    pub generated_at: String,
    pub status: RunStatus,
    pub attribution: AttributionState,
    /// Queries asked for.
    pub total_queries: u64,
    pub queries: QueryCounts,
    pub totals: Totals,
    pub energy: EnergySummary,
    pub telemetry: TelemetrySummary,
    /// CPU time of the two programs, which on a CPU basis is inside the energies.
    #[serde(rename = "self")]
    pub own: OwnCost,
    pub warnings: Vec<String>,
    pub segments: Vec<Segment>,
    /// Program name to version.
    pub versions: BTreeMap<String, String>,
    pub output_dir: String,
}

impl Summary {
    /// Adds a row to the counts and totals.
    pub fn count(&mut self, record: &ProfilingRecord) {
        let count = match record.status {
            QueryStatus::Ok => &mut self.queries.ok,
            QueryStatus::Error => &mut self.queries.error,
            QueryStatus::Timeout => &mut self.queries.timeout,
            QueryStatus::Truncated => &mut self.queries.truncated,
        };
        *count += 1;
        let (tokens, totals) = (&record.metrics.token_metrics, &mut self.totals);
        if let Some((input, output)) = tokens.input.zip(tokens.output) {
            *totals.input_tokens.get_or_insert(0) += input;
            *totals.output_tokens.get_or_insert(0) += output;
            totals.token_queries += 1;
        }
        let cost = &record.metrics.cost;
        for (total, part) in [
            (&mut totals.energy_cost_usd, cost.energy_cost_usd),
            (&mut totals.carbon_grams, cost.carbon_grams),
        ] {
            if let Some(part) = part {
                *total.get_or_insert(0.0) += part;
            }
        }
        let Some(joules) = record.metrics.energy_metrics.basis_joules else { return };
        if record.status == QueryStatus::Ok {
            *totals.energy_joules.get_or_insert(0.0) += joules;
            totals.energy_queries += 1;
        } else {
            *totals.failed_energy_joules.get_or_insert(0.0) += joules;
        }
    }
}

impl Summary {
    /// What stands beside every energy of a run that isn't measured here, in one word.
    #[must_use]
    pub fn mark(&self) -> Option<&'static str> {
        let [estimated, replayed] = MARKS;
        if self.energy.basis.as_deref() == Some("cpu_estimated") {
            return Some(estimated);
        }
        let platform = self.hardware.platform.as_deref();
        (platform == Some(REPLAYED_PLATFORM)).then_some(replayed)
    }
}

impl QueryCounts {
    /// Rows of whatever status.
    #[must_use]
    pub fn rows(self) -> u64 {
        self.ok + self.error + self.timeout + self.truncated
    }
}

/// What was measured on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Hardware {
    pub gpu_name: Option<String>,
    /// Counted GPUs.
    pub gpu_count: u32,
    pub cpu_brand: Option<String>,
    pub platform: Option<String>,
    pub label: String,
    pub sensors: Vec<SensorInfo>,
    /// Sources that were not used, and why.
    pub skipped_sources: Vec<SkippedSource>,
}

/// Rows by status; `skipped` are dataset rows that couldn't be used and have no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct QueryCounts {
    pub ok: u64,
    pub error: u64,
    pub timeout: u64,
    pub truncated: u64,
    pub skipped: u64,
}

/// Sums over the rows that have the figure; `None` when not one has it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it, with their units")]
pub struct Totals {
    pub input_tokens: Option<i64>,
    pub output_tokens: Option<i64>,
    /// Rows behind the tokens.
    pub token_queries: u64,
    /// Basis energy of the rows that are ok.
    pub energy_joules: Option<f64>,
    /// Basis energy of the others.
    pub failed_energy_joules: Option<f64>,
    /// Rows behind `energy_joules`.
    pub energy_queries: u64,
    /// What the energy of all rows cost, also of those that failed.
    pub energy_cost_usd: Option<f64>,
    /// Its carbon, in grams of CO2e.
    pub carbon_grams: Option<f64>,
}

/// How energies were made.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it, with their units")]
pub struct EnergySummary {
    /// gpu | soc | module | cpu | cpu_estimated; `None` with the reason in `status`.
    pub basis: Option<String>,
    /// counter | integrated | estimated
    pub method: Option<String>,
    /// How the final rows' energies were found between a counter's updates: fit | line | mixed
    #[serde(default)]
    pub estimator: Option<String>,
    /// Power of the basis at idle, before the warm-up.
    pub idle_watts: Option<f64>,
    /// Mean over the rows.
    pub coverage: Option<f64>,
    pub conservation: Option<Conservation>,
    /// Counter energy over integrated power, where a sensor has both: their ratio over the run.
    pub counter_vs_integral: Option<f64>,
    /// Of a run with several queries at once: when as many as asked for were under way.
    #[serde(default)]
    pub steady_state: Option<SteadyState>,
    /// `ok`, or why there is no energy.
    pub status: String,
    /// What would help.
    pub remedy: Option<String>,
}

/// The basis energy of a run's steady state, over all segments.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it, with their units")]
pub struct SteadyState {
    pub seconds: f64,
    pub energy_joules: f64,
    pub output_tokens: f64,
    pub joules_per_output_token: Option<f64>,
    pub output_tokens_per_second: Option<f64>,
}

/// Where the basis energy of the run went, in joules.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Conservation {
    /// Inside queries.
    pub attributed: f64,
    /// The idle baseline's window.
    pub idle: f64,
    /// Warm-up, failed attempts and the time between queries.
    pub unattributed: f64,
}

/// How the telemetry went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it, with their units")]
pub struct TelemetrySummary {
    pub interval_ms: u64,
    pub readings: u64,
    pub gaps: u64,
    pub reconnects: u64,
    pub dropped: u64,
}

/// What the programs themselves took.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it, with their units")]
pub struct OwnCost {
    pub ipw_cpu_seconds: f64,
    pub monitor_cpu_seconds: Option<f64>,
}

/// One process's time in the run: monotonic times compare only within a segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// RFC 3339.
    pub started_at: String,
    /// Of the host that `ipw` ran on.
    pub boot_id: Option<String>,
    /// From monotonic to wall time.
    pub anchor: ClockAnchor,
    /// The window of the idle baseline, before the warm-up.
    pub idle: Option<(Nanos, Nanos)>,
    /// The monitor's sensors.
    pub sensors: Vec<SensorInfo>,
    /// Ids of the sensors whose energy is counted.
    pub counted: Vec<u32>,
    /// Why its energies are not known, if they aren't: as in a row's `status`.
    pub no_energy: Option<String>,
    /// Half-width of the uncertainty of the monitor's clock against ours; 0 on one host.
    pub clock_uncertainty_nanos: u64,
}

/// Writes the summary in place of the one that is there.
///
/// # Errors
/// The directory can't be written, or its disk is full; the old summary is then untouched.
pub fn write_summary(dir: &Path, summary: &Summary) -> Result<()> {
    write_json(&dir.join(SUMMARY_FILE), summary)
}

/// The summary of the run in `dir`.
///
/// # Errors
/// There is none, or it can't be read, or it isn't one that this program understands.
pub fn read_summary(dir: &Path) -> Result<Summary> {
    let path = dir.join(SUMMARY_FILE);
    let file = File::open(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            ResultsError::NotARun { path: dir.to_owned() }
        }
        _ => ResultsError::reading(&path)(source),
    })?;
    let mut text = Vec::new();
    file.take(MAX_SUMMARY_BYTES).read_to_end(&mut text).map_err(ResultsError::reading(&path))?;
    let summary: Summary = serde_json::from_slice(&text)
        .map_err(|error| ResultsError::damaged(&path, error.to_string()))?;
    if summary.schema_version != SCHEMA_VERSION {
        let reason = format!(
            "it has schema version {}, this ipw knows {SCHEMA_VERSION}: use the ipw that wrote it",
            summary.schema_version
        );
        return Err(ResultsError::damaged(&path, reason));
    }
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn summary() -> Summary {
        Summary {
            schema_version: SCHEMA_VERSION,
            model: "llama3.2:1b".into(),
            dataset: "ipw".into(),
            dataset_name: "ipw".into(),
            dataset_revision: "1".into(),
            client: "ollama".into(),
            profiler_config: Map::from_iter([("seed".to_owned(), Value::Null)]),
            hardware: Hardware::default(),
            hardware_label: "M4".into(),
            system_info: None,
            gpu_info: Some(GpuInfo { device_id: u64::MAX, ..GpuInfo::default() }),
            client_info: ServerInfo::default(),
            start_time: "2026-01-01T00:00:00Z".into(),
            end_time: None,
            duration_seconds: 0.1 + 0.2,
            generated_at: "2026-01-01T00:00:01Z".into(),
            status: RunStatus::Running,
            attribution: AttributionState::Provisional,
            total_queries: 3,
            queries: QueryCounts::default(),
            totals: Totals::default(),
            energy: EnergySummary::default(),
            telemetry: TelemetrySummary::default(),
            own: OwnCost::default(),
            warnings: vec!["w".into()],
            segments: vec![Segment {
                started_at: "2026-01-01T00:00:00Z".into(),
                boot_id: None,
                anchor: ClockAnchor { monotonic: Nanos(1), unix_nanos: -1 },
                idle: Some((Nanos(1), Nanos(2))),
                sensors: vec![],
                counted: vec![0],
                clock_uncertainty_nanos: 0,
                no_energy: None,
            }],
            versions: BTreeMap::from([("ipw".to_owned(), "0.1.0".to_owned())]),
            output_dir: "runs".into(),
        }
    }

    #[test]
    fn a_summary_comes_back_exactly() {
        let dir = tempfile::tempdir().unwrap();
        write_summary(dir.path(), &summary()).unwrap();
        assert_eq!(read_summary(dir.path()).unwrap(), summary());
    }

    #[test]
    fn a_directory_without_a_summary_is_no_run() {
        let dir = tempfile::tempdir().unwrap();
        let refused = read_summary(dir.path());
        assert!(matches!(refused, Err(ResultsError::NotARun { .. })), "{refused:?}");
    }

    #[test]
    fn a_summary_that_was_cut_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        write_summary(dir.path(), &summary()).unwrap();
        let path = dir.path().join(SUMMARY_FILE);
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() / 2]).unwrap();
        let refused = read_summary(dir.path());
        assert!(matches!(refused, Err(ResultsError::Damaged { .. })), "{refused:?}");
    }
}
