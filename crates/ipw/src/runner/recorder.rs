//! From answers and readings to rows on disk, in the background: a row is made when the readings that
//! bracket its query have come, and rows are committed at least every 100 and every 5 seconds.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use energy_proto::{ClockAnchor, Nanos, SensorInfo, monotonic_now};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::begin::{Begun, now};
use super::metering::Metering;
use super::needed::{Hold, Needed};
use super::send::SegmentClock;
use super::{RunConfig, RunError};
use crate::attribution::energy::NEIGHBOURHOOD;
use crate::attribution::measure::{Meter, Window};
use crate::client::{Exchange, Outcome};
use crate::dataset::Sample;
use crate::derive::{self, ModelFacts};
use crate::record::{ModelMetrics, ProfilingRecord, QueryStatus};
use crate::results::{
    RequestEntry, RequestLog, RowWriter, Summary, TelemetrySummary, TelemetryWriter, write_summary,
};
use crate::telemetry::{Received, TelemetrySession};

/// Rows that are committed together at the most.
const COMMIT_ROWS: usize = 100;
/// Time between two commits at the most.
const COMMIT_EVERY: Duration = Duration::from_secs(5);
/// How long a row waits for the readings after its end: a counter that hasn't moved in this time
/// won't tell more.
const TAIL: Duration = Duration::from_secs(2);
/// How often waiting rows and the commit are looked after when nothing comes.
const TICK: Duration = Duration::from_millis(100);

/// What the recorder is told.
#[derive(Debug)]
pub(super) enum Item {
    /// A request was sent and ended.
    Request(RequestEntry),
    /// A query has its answer; telemetry is still to come.
    Query(Box<ProfilingRecord>, Window, Hold),
    /// What the monitor has found out about its sensors.
    Sensors(Vec<SensorInfo>),
}

/// Owns the files of a running run.
pub(super) struct Recorder {
    rows: RowWriter,
    requests: RequestLog,
    telemetry: TelemetryWriter,
    directory: std::path::PathBuf,
    summary: Summary,
    facts: ModelFacts,
    segment: SegmentClock,
    meter: Meter,
    session: Option<std::sync::Arc<TelemetrySession>>,
    readings: Option<mpsc::Receiver<Received>>,
    /// By their ends: of two, the one that ended first can be made first.
    waiting: VecDeque<Waiting>,
    needed: Needed,
    /// Queries share their devices.
    shared: bool,
    started: Instant,
    /// End of the last request.
    last_end: Nanos,
    duration_before: f64,
    telemetry_before: TelemetrySummary,
    committed: Instant,
    /// Every reading that the final pass may ask for has come.
    settled: bool,
}

struct Waiting {
    record: ProfilingRecord,
    window: Window,
    _hold: Hold,
}

impl Recorder {
    /// Opens the files, and writes a first summary.
    pub(super) fn open(
        begun: &Begun,
        config: &RunConfig,
        metering: &mut Metering,
    ) -> Result<Self, RunError> {
        let model = &config.model;
        let summary = begun.summary.clone();
        let index = summary.segments.len().saturating_sub(1);
        let anchor = summary.segments[index].anchor;
        let path = begun.directory.path();
        let (rows, telemetry) = if begun.resumed {
            (RowWriter::append_to(path, model)?, TelemetryWriter::append_to(path)?)
        } else {
            (RowWriter::create(path, model)?, TelemetryWriter::create(path)?)
        };
        let recorder = Self {
            rows,
            telemetry,
            requests: RequestLog::open(path)?,
            directory: path.to_owned(),
            duration_before: summary.duration_seconds,
            telemetry_before: summary.telemetry,
            segment: SegmentClock { index: index as u32, anchor },
            meter: metering.meter().clone(),
            session: metering.session(),
            readings: metering.take_readings(),
            facts: ModelFacts::of(&summary),
            summary,
            waiting: VecDeque::new(),
            needed: Needed::default(),
            shared: config.concurrency > 1,
            last_end: anchor.monotonic,
            started: Instant::now(),
            committed: Instant::now(),
            settled: false,
        };
        write_summary(path, &recorder.summary)?;
        Ok(recorder)
    }

    pub(super) fn segment(&self) -> SegmentClock {
        self.segment
    }

    /// How far back readings are kept in memory.
    pub(super) fn needed(&self) -> Needed {
        self.needed.clone()
    }

    /// Tells when the hardware was at rest.
    pub(super) fn set_idle(&mut self, start: Nanos, end: Nanos) -> Result<(), RunError> {
        self.summary.segments[self.segment.index as usize].idle = Some((start, end));
        write_summary(&self.directory, &self.summary)?;
        Ok(())
    }

    /// Takes over what the monitor has found out about its sensors: periods above all, by which
    /// energies are made.
    pub(super) fn learn(&mut self, sensors: Vec<SensorInfo>) {
        self.summary.segments[self.segment.index as usize].sensors.clone_from(&sensors);
        self.summary.hardware.sensors.clone_from(&sensors);
        self.meter.sensors = sensors;
    }

    /// Takes items and readings until there are no more items and no row waits.
    pub(super) async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Item>,
    ) -> Result<Summary, RunError> {
        let mut tick = tokio::time::interval(TICK);
        let mut open = true;
        while open || !self.waiting.is_empty() {
            tokio::select! {
                item = inbox.recv(), if open => match item {
                    Some(Item::Request(entry)) => {
                        self.last_end = self.last_end.max(entry.end);
                        self.requests.push(&entry)?;
                    }
                    Some(Item::Query(record, window, hold)) => {
                        self.wait_for_readings(Waiting { record: *record, window, _hold: hold });
                    }
                    Some(Item::Sensors(sensors)) => self.learn(sensors),
                    None => open = false,
                },
                Some(Received { host, reading }) = next(&mut self.readings) => {
                    self.telemetry.push(self.segment.index, &host, &reading);
                }
                _ = tick.tick() => {}
            }
            self.complete_rows();
            if self.rows.pending() >= COMMIT_ROWS || self.committed.elapsed() >= COMMIT_EVERY {
                self.commit()?;
            }
        }
        self.settle(&mut tick).await;
        self.commit()?;
        Ok(self.summary)
    }

    /// Waits until the last request is covered whatever has become known of the clock meanwhile, and
    /// lets no more become known: the final pass has to find what its bounds ask for.
    async fn settle(&mut self, tick: &mut tokio::time::Interval) {
        loop {
            self.note_clock();
            let waited = monotonic_now().since(self.last_end);
            if self.is_covered(self.last_end) || waited >= TAIL {
                break;
            }
            tick.tick().await;
        }
        self.settled = true;
    }

    /// Measures idle power once the readings that bracket it have come.
    fn measure_idle(&mut self) {
        let window = self.summary.segments[self.segment.index as usize].idle;
        if let (Some(session), None, Some(window)) = (&self.session, self.meter.idle, window) {
            self.meter.idle =
                session.with_timeline(|timeline| self.meter.idle_power(timeline, window));
        }
    }

    fn wait_for_readings(&mut self, new: Waiting) {
        let place = self.waiting.partition_point(|other| other.window.end <= new.window.end);
        self.waiting.insert(place, new);
    }

    /// Makes the rows whose readings have come, in the order in which their queries ended.
    fn complete_rows(&mut self) {
        let now = monotonic_now();
        if !self.waiting.is_empty() {
            self.measure_idle();
        }
        while let Some(first) = self.waiting.front() {
            if !self.is_covered(first.window.end) && now.since(first.window.end) < TAIL {
                break;
            }
            let Some(Waiting { mut record, window, _hold }) = self.waiting.pop_front() else {
                break;
            };
            let measured = match &self.session {
                Some(session) => {
                    session.with_timeline(|timeline| self.meter.measure(timeline, window))
                }
                None => self.meter.measure(&Default::default(), window),
            };
            let measured = if self.shared { measured.unshared() } else { measured };
            record.metrics.set_measured(measured, &self.facts);
            record.metrics.gpu_info.clone_from(&self.summary.gpu_info);
            record.metrics.system_info.clone_from(&self.summary.system_info);
            self.summary.count(&record);
            self.rows.push(record);
        }
    }

    fn is_covered(&self, end: Nanos) -> bool {
        self.session.as_ref().is_none_or(|session| {
            session.with_timeline(|timeline| self.meter.is_covered(timeline, end))
        })
    }

    /// Telemetry and requests first: a row on disk always has what it was made from beside it.
    fn commit(&mut self) -> Result<(), RunError> {
        self.committed = Instant::now();
        while let Some(received) = self.readings.as_mut().and_then(|inbox| inbox.try_recv().ok()) {
            self.telemetry.push(self.segment.index, &received.host, &received.reading);
        }
        self.note_telemetry();
        self.summary.generated_at = now();
        self.summary.duration_seconds = self.duration_before + self.started.elapsed().as_secs_f64();
        let written = tokio::task::block_in_place(|| {
            self.telemetry.commit()?;
            self.requests.sync()?;
            self.rows.commit()?;
            write_summary(&self.directory, &self.summary)
        });
        written?;
        Ok(())
    }

    /// What is not known of a foreign clock may have grown since the start.
    fn note_clock(&mut self) {
        let Some(session) = self.session.as_ref().filter(|_| !self.settled) else { return };
        let uncertainty = session.stats().clock_uncertainty;
        self.meter.sampling.clock_uncertainty = uncertainty;
        self.summary.segments[self.segment.index as usize].clock_uncertainty_nanos =
            u64::try_from(uncertainty.as_nanos()).unwrap_or(u64::MAX);
    }

    fn note_telemetry(&mut self) {
        let Some(session) = self.session.clone() else { return };
        let stats = session.stats();
        let telemetry = &mut self.summary.telemetry;
        telemetry.readings = self.telemetry_before.readings + stats.readings;
        telemetry.reconnects = self.telemetry_before.reconnects + stats.reconnects;
        telemetry.dropped = self.telemetry_before.dropped + stats.dropped;
        self.note_clock();
        let oldest = self.needed.since().map_or(self.last_end, |start| start.min(self.last_end));
        session.forget_before(oldest.before(NEIGHBOURHOOD));
    }
}

/// The next reading; never, if there are none to come.
async fn next(readings: &mut Option<mpsc::Receiver<Received>>) -> Option<Received> {
    match readings {
        Some(readings) => readings.recv().await,
        None => std::future::pending().await,
    }
}

/// A record of an exchange, with what was asked and answered when.
pub(super) fn record(sample: &Sample, exchange: &Exchange, anchor: ClockAnchor) -> ProfilingRecord {
    let (status, error) = match &exchange.outcome {
        Outcome::Complete => (QueryStatus::Ok, None),
        Outcome::Truncated => (
            QueryStatus::Truncated,
            Some("the stream ended without saying that it was done".to_owned()),
        ),
        Outcome::Failed(error) if error.is_timeout() => {
            (QueryStatus::Timeout, Some(error.to_string()))
        }
        Outcome::Failed(error) => (QueryStatus::Error, Some(error.to_string())),
    };
    ProfilingRecord {
        problem: sample.problem.clone(),
        answer: sample.answer.clone(),
        subject: sample.subject.clone(),
        dataset_metadata: metadata(sample),
        query_index: sample.index as i64,
        status,
        finish_reason: exchange.finish_reason.clone(),
        error,
        started_at_nanos: anchor.unix_nanos_at(exchange.start),
        first_token_at_nanos: exchange.first_token.map(|at| anchor.unix_nanos_at(at)),
        ended_at_nanos: anchor.unix_nanos_at(exchange.end),
        response: response(exchange),
        metrics: ModelMetrics {
            latency_metrics: derive::latency(exchange),
            token_metrics: derive::tokens(exchange.usage),
            ..ModelMetrics::default()
        },
    }
}

/// What the dataset says of the row, and how it is scored: scoring needs nothing but the row.
fn metadata(sample: &Sample) -> String {
    let mut metadata = sample.metadata.clone();
    metadata.insert("scoring".to_owned(), json!(sample.scoring));
    Value::Object(metadata).to_string()
}

/// All that was generated: reasoning that the server sent apart is put where models put it themselves.
fn response(exchange: &Exchange) -> String {
    if exchange.reasoning.is_empty() {
        exchange.text.clone()
    } else {
        format!("<think>{}</think>\n{}", exchange.reasoning, exchange.text)
    }
}
