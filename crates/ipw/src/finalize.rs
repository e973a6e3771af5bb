//! The final pass over a run: from its telemetry, requests and texts to the records and figures that
//! stay. Reads only the run's directory, so that it can be done again at any time and gives the same.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use crate::analysis::accuracy::{self, AccuracyReport, ScoredQuery};
use crate::analysis::regression::{self, RegressionReport, RegressionRow};
use crate::attribution::basis;
use crate::attribution::energy::Sampling;
use crate::attribution::measure::{self, Meter};
use crate::derive::ModelFacts;
use crate::record::{EnergyMetrics, ProfilingRecord};
use crate::results::{
    AttributionState, RequestEntry, RequestKind, RequestOutcome, ResultsError, RunDirectory,
    Segment, Summary, read_requests, read_rows, remove_if_there, rewrite_rows, write_json,
    write_summary,
};
use crate::scoring::{self, ScoreOptions, Verdicts};

/// From the run's directory.
const ACCURACY: &str = "analysis/accuracy.json";
/// From the run's directory.
const REGRESSION: &str = "analysis/regression.json";

mod blocks;
mod tally;
mod warnings;

use blocks::{BLOCK, Part, window};
use tally::Tally;

/// A run in its final state.
#[derive(Debug)]
pub struct Finished {
    /// As written to summary.json.
    pub summary: Summary,
    /// What accuracy is made from, of each row, sorted by query.
    pub scored: Vec<ScoredQuery>,
    /// What the regressions are made from, likewise.
    pub fitted: Vec<RegressionRow>,
    /// Answers that are a judge's to decide, whether or not one has; none if nothing was scored.
    pub undecided: usize,
    /// As written to analysis/accuracy.json; `None` if it wasn't asked for.
    pub accuracy: Option<AccuracyReport>,
}

/// Makes a run's final records and figures and writes them. With `options`, the answers are scored and
/// accuracy.json is written, too.
///
/// # Errors
/// A file of the run can't be read or written; then the run stays as it was.
pub fn finalize(
    directory: &RunDirectory,
    mut summary: Summary,
    options: Option<&ScoreOptions>,
) -> Result<Finished, ResultsError> {
    let path = directory.path();
    let requests = read_requests(path)?;
    let mut records = last_attempts(directory)?;
    let mut tally = Tally::of(&summary, &answered(&requests, &summary.segments), &records);
    let interval = Duration::from_millis(summary.telemetry.interval_ms);
    let facts = ModelFacts::of(&summary);
    let known = Known { segments: &summary.segments, interval, facts };
    attribute(path, &mut records, &requests, &known, &mut tally)?;
    let undecided = match options {
        Some(options) => score(path, &mut records, options)?,
        None => 0,
    };
    rewrite_rows(path, &summary.model, records.iter().cloned().map(Ok))?;

    summary.attribution = AttributionState::Final;
    summary.generated_at = jiff::Timestamp::now().to_string();
    tally.retell(&mut summary, &records);
    warnings::renew(&mut summary, &records, &tally, &facts);
    write_summary(path, &summary)?;
    let scored: Vec<ScoredQuery> = records.iter().map(ScoredQuery::from).collect();
    let fitted: Vec<RegressionRow> = records.iter().map(RegressionRow::from).collect();
    let accuracy = match options {
        Some(options) => Some(figures(path, &summary, &scored, options)?),
        None => {
            // An earlier part of the run may have left one, which isn't true any more.
            remove_if_there(&path.join(ACCURACY))?;
            None
        }
    };
    if path.join(REGRESSION).exists() {
        regression(directory, &summary, &fitted)?;
    }
    Ok(Finished { summary, scored, fitted, undecided, accuracy })
}

/// Fits a final run's regressions and writes them.
///
/// # Errors
/// They can't be written.
pub fn regression(
    directory: &RunDirectory,
    summary: &Summary,
    rows: &[RegressionRow],
) -> Result<RegressionReport, ResultsError> {
    let report = regression::analyze(&summary.model, rows);
    write_json(&directory.path().join(REGRESSION), &report)?;
    Ok(report)
}

/// Scores a final run's answers, and its figures again; its energies stay as they are. A few batches of
/// rows are in memory at a time, and they are written only if a score has changed.
///
/// # Errors
/// A file of the run can't be read or written, or its rows aren't a final run's; then the run stays as
/// it was.
pub fn analyze(
    directory: &RunDirectory,
    summary: Summary,
    options: &ScoreOptions,
) -> Result<Finished, ResultsError> {
    let path = directory.path();
    let verdicts = Verdicts::read(path)?;
    let score =
        |row: &mut ProfilingRecord| scoring::score(row, &verdicts, options.judge.as_deref());
    let (mut scored, mut fitted) = (Vec::new(), Vec::new());
    let (mut changed, mut undecided) = (false, 0);
    for row in final_rows(path)? {
        let mut row = row?;
        let outcome = score(&mut row);
        changed |= outcome.changed;
        undecided += usize::from(outcome.undecided);
        scored.push(ScoredQuery::from(&row));
        fitted.push(RegressionRow::from(&row));
    }
    if changed {
        let again = final_rows(path)?.map(|row| {
            let mut row = row?;
            score(&mut row);
            Ok(row)
        });
        rewrite_rows(path, &summary.model, again)?;
    }
    let accuracy = Some(figures(path, &summary, &scored, options)?);
    Ok(Finished { summary, scored, fitted, undecided, accuracy })
}

/// With what judges have said, which is in the run's directory, too. How many are a judge's to decide.
fn score(
    path: &Path,
    records: &mut [ProfilingRecord],
    options: &ScoreOptions,
) -> Result<usize, ResultsError> {
    let verdicts = Verdicts::read(path)?;
    let judge = options.judge.as_deref();
    let outcomes = records.iter_mut().map(|row| scoring::score(row, &verdicts, judge));
    Ok(outcomes.filter(|outcome| outcome.undecided).count())
}

/// Makes accuracy.json.
fn figures(
    path: &Path,
    summary: &Summary,
    scored: &[ScoredQuery],
    options: &ScoreOptions,
) -> Result<AccuracyReport, ResultsError> {
    let report = accuracy::analyze(&summary.model, scored, options.accuracy);
    write_json(&path.join(ACCURACY), &report)?;
    Ok(report)
}

/// The rows of a final run: one for each query, sorted. Others end in an error.
fn final_rows(
    path: &Path,
) -> Result<impl Iterator<Item = Result<ProfilingRecord, ResultsError>>, ResultsError> {
    let mut last = None;
    let in_order = move |row: Result<ProfilingRecord, ResultsError>| {
        if let Ok(row) = &row
            && last.replace(row.query_index).is_some_and(|before| before >= row.query_index)
        {
            return Err(ResultsError::OutOfOrder { path: path.to_owned() });
        }
        row
    };
    Ok(read_rows(path)?.map(in_order))
}

fn meter(segment: &Segment, interval: Duration) -> Meter {
    let counted = segment.counted.iter().copied().collect();
    let chosen = basis::choose(&segment.sensors, &counted);
    let basis = chosen.map_err(|reason| segment.no_energy.clone().unwrap_or(reason));
    let clock_uncertainty = Duration::from_nanos(segment.clock_uncertainty_nanos);
    let sampling = Sampling { interval, clock_uncertainty };
    Meter::new(segment.sensors.clone(), counted, basis, sampling)
}

/// The rows by query, the last attempt of each.
fn last_attempts(directory: &RunDirectory) -> Result<Vec<ProfilingRecord>, ResultsError> {
    let mut last = BTreeMap::new();
    for record in read_rows(directory.path())? {
        let record = record?;
        last.insert(record.query_index, record);
    }
    Ok(last.into_values().collect())
}

/// By the query and by when it was sent, in Unix nanoseconds: a query that was sent again may have a
/// later request without a row.
type Sent = (i64, i64);

/// The requests that a row may be of.
fn answered<'a>(requests: &'a [RequestEntry], told: &[Segment]) -> HashMap<Sent, &'a RequestEntry> {
    requests.iter().filter_map(|entry| Some((sent(entry, told)?, entry))).collect()
}

fn sent(entry: &RequestEntry, told: &[Segment]) -> Option<Sent> {
    let is_query = matches!(entry.kind, RequestKind::Query | RequestKind::Retry)
        && entry.outcome != RequestOutcome::Interrupted;
    let segment = told.get(entry.segment as usize).filter(|_| is_query)?;
    Some((entry.query_index?, segment.anchor.unix_nanos_at(entry.start)))
}

/// What the summary knows of the run that rows are made with.
struct Known<'a> {
    segments: &'a [Segment],
    /// Time between two readings.
    interval: Duration,
    facts: ModelFacts,
}

/// Makes the records' measured groups again, and counts up what is said of the whole run.
fn attribute(
    dir: &Path,
    records: &mut [ProfilingRecord],
    requests: &[RequestEntry],
    known: &Known<'_>,
    tally: &mut Tally,
) -> Result<(), ResultsError> {
    let Known { segments: told, interval, facts } = known;
    let mut rows: HashMap<Sent, usize> = HashMap::new();
    for (row, record) in records.iter_mut().enumerate() {
        record.metrics.set_measured(not_recorded(), facts);
        rows.insert((record.query_index, record.started_at_nanos), row);
    }
    blocks::each(dir, &parts(requests, told, *interval), BLOCK, |block| {
        for entry in &block.requests {
            let row = sent(entry, told).and_then(|sent| rows.get(&sent));
            if let Some(row) = row {
                let measured = block.meter.measure(&block.timeline, window(entry));
                records[*row].metrics.set_measured(measured, facts);
            }
        }
        tally.add(block);
    })
}

/// What is known of a row without a request.
fn not_recorded() -> measure::Measured {
    let status = Some("request_not_recorded".to_owned());
    let energy = EnergyMetrics { status, ..EnergyMetrics::default() };
    measure::Measured { energy, ..measure::Measured::default() }
}

fn parts<'a>(requests: &'a [RequestEntry], told: &[Segment], interval: Duration) -> Vec<Part<'a>> {
    let part = |(index, segment): (usize, &Segment)| {
        let own = requests.iter().filter(|entry| entry.segment as usize == index);
        Part { meter: meter(segment, interval), idle: segment.idle, requests: own.collect() }
    };
    told.iter().enumerate().map(part).collect()
}

/// The one value of all, or `mixed`.
fn common<'a>(mut values: impl Iterator<Item = &'a str>) -> Option<String> {
    let first = values.next()?;
    Some(if values.all(|value| value == first) { first } else { "mixed" }.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ModelMetrics, QueryStatus};
    use energy_proto::{ClockAnchor, Nanos};

    fn segment(unix_nanos: i64) -> Segment {
        Segment {
            started_at: String::new(),
            boot_id: None,
            anchor: ClockAnchor { monotonic: Nanos(0), unix_nanos },
            idle: None,
            sensors: Vec::new(),
            counted: Vec::new(),
            no_energy: Some(format!("segment of {unix_nanos}")),
            clock_uncertainty_nanos: 0,
        }
    }

    fn request(segment: u32, start: u64) -> RequestEntry {
        RequestEntry {
            kind: RequestKind::Query,
            query_index: Some(4),
            attempt: 1,
            segment,
            start: Nanos(start),
            first_byte: None,
            first_token: None,
            end: Nanos(start + 10),
            outcome: RequestOutcome::Error,
            error: None,
            server_timing: None,
            flags: Vec::new(),
        }
    }

    fn row(started_at_nanos: i64) -> ProfilingRecord {
        ProfilingRecord {
            problem: String::new(),
            answer: String::new(),
            subject: String::new(),
            dataset_metadata: "{}".to_owned(),
            query_index: 4,
            status: QueryStatus::Error,
            finish_reason: None,
            error: None,
            started_at_nanos,
            first_token_at_nanos: None,
            ended_at_nanos: started_at_nanos + 10,
            response: String::new(),
            metrics: ModelMetrics::default(),
        }
    }

    #[test]
    fn a_row_takes_the_energy_of_its_own_request_and_not_of_a_later_one() {
        let told = [segment(1_000), segment(2_000)];
        let requests = [request(0, 5), request(1, 7)];
        let mut rows = [row(1_005), row(2_007), row(9_999)];
        let dir = tempfile::tempdir().unwrap();
        crate::results::TelemetryWriter::create(dir.path()).unwrap().commit().unwrap();
        let mut tally = Tally::new(&told, Vec::new());
        let facts = ModelFacts::default();
        let known = Known { segments: &told, interval: Duration::ZERO, facts };
        attribute(dir.path(), &mut rows, &requests, &known, &mut tally).unwrap();
        let statuses = rows.map(|row| row.metrics.energy_metrics.status.unwrap());
        assert_eq!(statuses, ["segment of 1000", "segment of 2000", "request_not_recorded"]);
    }

    #[test]
    fn the_rows_of_a_final_run_are_one_for_each_query_in_order() {
        let read = |indices: &[i64]| -> Result<Vec<i64>, ResultsError> {
            let dir = tempfile::tempdir().unwrap();
            let rows =
                indices.iter().map(|index| Ok(ProfilingRecord { query_index: *index, ..row(1) }));
            rewrite_rows(dir.path(), "m", rows).unwrap();
            final_rows(dir.path())?.map(|row| Ok(row?.query_index)).collect()
        };
        assert_eq!(read(&[0, 3, 7]).unwrap(), [0, 3, 7]);
        for wrong in [[0, 1, 1], [0, 2, 1]] {
            let refused = read(&wrong).unwrap_err();
            assert!(matches!(refused, ResultsError::OutOfOrder { .. }), "{refused:?}");
        }
    }
}
