//! Whether a commit costs the same in a long run as in a short one: 100 rows with their telemetry and
//! requests, as the runner commits them, in a young run and in one of 50,000 rows.
//!
//! Milliseconds to durability, on the disk that the target directory is on.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use energy_proto::{Nanos, Reading, SensorReading, Status, Watts};
use ipw::analysis::stats::median;
use ipw::record::{DeviceEnergy, ModelMetrics, ProfilingRecord, QueryStatus};
use ipw::results::{
    RequestEntry, RequestKind, RequestLog, RequestOutcome, RowWriter, TelemetryWriter,
};

use crate::finding::Finding;
use crate::{Effort, machine, report};

const ROWS: u64 = 100;
/// One second of readings a query, at the usual interval.
const READINGS_A_ROW: u64 = 20;
const READING_INTERVAL_NANOS: u64 = 50_000_000;
/// Commits timed at either end; their median counts.
const TIMED: usize = 20;

/// Measures commits at both ends of a run.
pub(crate) fn measure(effort: Effort) -> Result<Vec<Finding>> {
    let rows = effort.pick(50_000, 10_000);
    let (mut early, mut late, mut ratio) = (Vec::new(), Vec::new(), Vec::new());
    for number in 1..=effort.rounds() {
        report::progress(&format!("  round {number}: {rows} rows"));
        let (young, old) = round(rows)?;
        early.push(young);
        late.push(old);
        ratio.push(old / young);
    }
    Ok(vec![
        Finding::median(
            &format!("commit of {ROWS} rows: after {rows} rows to the first"),
            "x",
            Some(1.5),
            &ratio,
        ),
        Finding::median("  the first", "ms", None, &early),
        Finding::median(&format!("  after {rows} rows"), "ms", None, &late),
    ])
}

/// The median of the first and of the last commits of a run, in ms.
fn round(rows: u64) -> Result<(f64, f64)> {
    // Not the system's folder for temporary files: that may be memory.
    let beside = machine::built("ipw")?.with_file_name("");
    let directory = tempfile::tempdir_in(beside)?;
    let mut run = Run::create(directory.path())?;
    let early = run.timed_commits()?;
    while run.next_row < rows {
        run.commit()?;
    }
    Ok((early, run.timed_commits()?))
}

/// The growing files of a run.
struct Run {
    rows: RowWriter,
    telemetry: TelemetryWriter,
    requests: RequestLog,
    next_row: u64,
}

impl Run {
    fn create(directory: &Path) -> Result<Self> {
        Ok(Self {
            rows: RowWriter::create(directory, "bench:1b")?,
            telemetry: TelemetryWriter::create(directory)?,
            requests: RequestLog::open(directory)?,
            next_row: 0,
        })
    }

    fn timed_commits(&mut self) -> Result<f64> {
        let times: Result<Vec<f64>> =
            (0..TIMED).map(|_| Ok(self.commit()?.as_secs_f64() * 1e3)).collect();
        median(&times?).context("no commit")
    }

    /// Commits the next rows with what they were made from; how long the commit took.
    fn commit(&mut self) -> Result<Duration> {
        for row in self.next_row..self.next_row + ROWS {
            self.rows.push(record(row));
            self.requests.push(&request(row))?;
            for number in 0..READINGS_A_ROW {
                self.telemetry.push(0, "host", &reading(row * READINGS_A_ROW + number));
            }
        }
        self.next_row += ROWS;
        let started = Instant::now();
        self.telemetry.commit()?;
        self.requests.sync()?;
        self.rows.commit()?;
        Ok(started.elapsed())
    }
}

/// A row of the usual size: 200 characters of prompt, 1,000 of answer, and its energy.
fn record(row: u64) -> ProfilingRecord {
    let mut metrics = ModelMetrics::default();
    let joules = 300.0 + row as f64 * 1e-3;
    metrics.energy_metrics.per_query_joules = Some(joules);
    metrics.energy_metrics.basis_joules = Some(joules);
    metrics.energy_metrics.basis_joules_lower = Some(joules * 0.9);
    metrics.energy_metrics.basis_joules_upper = Some(joules * 1.1);
    metrics.energy_metrics.basis = Some("gpu".to_owned());
    metrics.energy_metrics.devices = vec![DeviceEnergy {
        sensor: "GPU-fake0000-0000-0000-0000-000000000000".to_owned(),
        host: "host".to_owned(),
        joules: Some(joules),
        lower: Some(joules * 0.9),
        upper: Some(joules * 1.1),
    }];
    metrics.latency_metrics.total_query_seconds = Some(1.0);
    metrics.token_metrics.output = Some(250);
    ProfilingRecord {
        problem: "word ".repeat(40),
        answer: "B".to_owned(),
        subject: "bench".to_owned(),
        dataset_metadata: "{\"scoring\":\"letter\"}".to_owned(),
        query_index: row as i64,
        status: QueryStatus::Ok,
        finish_reason: Some("stop".to_owned()),
        error: None,
        started_at_nanos: row as i64 * 1_000_000_000,
        first_token_at_nanos: Some(row as i64 * 1_000_000_000 + 50_000_000),
        ended_at_nanos: (row as i64 + 1) * 1_000_000_000,
        response: "word ".repeat(200),
        metrics,
    }
}

fn request(row: u64) -> RequestEntry {
    let start = Nanos(row * 1_000_000_000);
    RequestEntry {
        kind: RequestKind::Query,
        query_index: Some(row as i64),
        attempt: 1,
        segment: 0,
        start,
        first_byte: Some(start + Duration::from_millis(50)),
        first_token: Some(start + Duration::from_millis(50)),
        end: start + Duration::from_secs(1),
        outcome: RequestOutcome::Ok,
        error: None,
        server_timing: None,
        flags: Vec::new(),
    }
}

fn reading(number: u64) -> Reading {
    let at = Nanos(number * READING_INTERVAL_NANOS);
    Reading {
        sequence: number,
        instance: 1,
        dropped: 0,
        at,
        sensors: vec![SensorReading {
            energy_microjoules: Some(number * 15_000_000),
            power: Some(Watts(300.0)),
            ..SensorReading::empty(0, at, at, Status::Ok)
        }],
    }
}
