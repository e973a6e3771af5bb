//! The final pass over a run: from its telemetry, requests and texts to the records and figures that
//! stay. Reads only the run's directory, so that it can be done again at any time and gives the same.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use energy_proto::Nanos;
use serde_json::Value;

use crate::analysis::accuracy::{self, AccuracyOptions, AccuracyReport, ScoredQuery};
use crate::attribution::basis;
use crate::attribution::energy::{GAP, integrated_energy};
use crate::attribution::measure::{Meter, Window};
use crate::dataset::Scoring;
use crate::derive::mean_known;
use crate::evaluation::{self, without_reasoning};
use crate::record::{EnergyMetrics, ProfilingRecord, QueryStatus};
use crate::results::{
    AttributionState, Conservation, QueryCounts, RequestEntry, RequestKind, RequestOutcome,
    ResultsError, RunDirectory, Segment, Summary, Totals, read_requests, read_rows, read_telemetry,
    rewrite_rows, write_json, write_summary,
};
use crate::telemetry::Timeline;

/// A run in its final state.
#[derive(Debug)]
pub struct Finished {
    /// As written to summary.json.
    pub summary: Summary,
    /// As written to the rows, sorted by query.
    pub records: Vec<ProfilingRecord>,
    /// As written to analysis/accuracy.json; `None` if it wasn't asked for.
    pub accuracy: Option<AccuracyReport>,
}

/// Makes a run's final records and figures and writes them. With `scoring`, the answers are scored and
/// accuracy.json is written, too.
///
/// # Errors
/// A file of the run can't be read or written; then the run stays as it was.
pub fn finalize(
    directory: &RunDirectory,
    mut summary: Summary,
    scoring: Option<AccuracyOptions>,
) -> Result<Finished, ResultsError> {
    let path = directory.path();
    let requests = read_requests(path)?;
    let segments = segments(directory, &summary)?;
    let mut records = last_attempts(directory)?;
    attribute(&mut records, &requests, &segments);
    if scoring.is_some() {
        score(&mut records);
    }
    rewrite_rows(path, &summary.model, records.iter().cloned().map(Ok))?;

    summary.attribution = AttributionState::Final;
    summary.generated_at = jiff::Timestamp::now().to_string();
    retell(&mut summary, &records, &requests, &segments);
    write_summary(path, &summary)?;
    let accuracy = scoring.map(|options| {
        let queries: Vec<ScoredQuery> = records.iter().map(ScoredQuery::from).collect();
        accuracy::analyze(&summary.model, &queries, options)
    });
    if let Some(accuracy) = &accuracy {
        write_json(&path.join("analysis").join("accuracy.json"), accuracy)?;
    }
    Ok(Finished { summary, records, accuracy })
}

/// A segment's readings and how they are read.
struct Measured {
    timeline: Timeline,
    meter: Meter,
}

fn segments(directory: &RunDirectory, summary: &Summary) -> Result<Vec<Measured>, ResultsError> {
    let mut timelines: Vec<Timeline> = vec![Timeline::default(); summary.segments.len()];
    for row in read_telemetry(directory.path())? {
        let row = row?;
        if let Some(timeline) = timelines.get_mut(row.segment as usize) {
            timeline.push_read(row.reading);
        }
    }
    let measured = |(timeline, segment): (Timeline, &Segment)| {
        let meter = meter(segment).with_idle(&timeline, segment.idle);
        Measured { timeline, meter }
    };
    Ok(timelines.into_iter().zip(&summary.segments).map(measured).collect())
}

fn meter(segment: &Segment) -> Meter {
    let counted = segment.counted.iter().copied().collect();
    let chosen = basis::choose(&segment.sensors, &counted);
    let reason = || segment.no_energy.clone().unwrap_or_else(|| "no_energy_counter".to_owned());
    Meter {
        sensors: segment.sensors.clone(),
        counted,
        basis: chosen.ok_or_else(reason),
        clock_uncertainty: Duration::from_nanos(segment.clock_uncertainty_nanos),
        idle: None,
    }
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

fn attribute(records: &mut [ProfilingRecord], requests: &[RequestEntry], segments: &[Measured]) {
    let answered: HashMap<i64, &RequestEntry> = requests
        .iter()
        .filter(|entry| matches!(entry.kind, RequestKind::Query | RequestKind::Retry))
        .filter(|entry| entry.outcome != RequestOutcome::Interrupted)
        .filter_map(|entry| Some((entry.query_index?, entry)))
        .collect();
    for record in records {
        let entry = answered.get(&record.query_index);
        let measured = entry.and_then(|entry| {
            let segment = segments.get(entry.segment as usize)?;
            let window =
                Window { start: entry.start, first_token: entry.first_token, end: entry.end };
            Some(segment.meter.measure(&segment.timeline, window))
        });
        match measured {
            Some(measured) => record.metrics.set_measured(measured),
            None => {
                record.metrics.energy_metrics = EnergyMetrics {
                    status: Some("request_not_recorded".to_owned()),
                    ..EnergyMetrics::default()
                };
            }
        }
    }
}

/// Scores what is answered. How a row is scored stands in its metadata.
fn score(records: &mut [ProfilingRecord]) {
    for record in records.iter_mut().filter(|record| record.status == QueryStatus::Ok) {
        let scoring = scoring(&record.dataset_metadata);
        let Some(scoring) = scoring else { continue };
        let evaluation = evaluation::evaluate(scoring, &record.answer, &record.response);
        record.metrics.lm_response = Some(without_reasoning(&record.response).into_owned());
        let evaluation = crate::record::EvaluationMetrics::from(evaluation);
        record.metrics.lm_correctness = evaluation.is_correct;
        record.metrics.evaluation = Some(evaluation);
    }
}

fn scoring(metadata: &str) -> Option<Scoring> {
    let metadata: Value = serde_json::from_str(metadata).ok()?;
    serde_json::from_value(metadata.get("scoring")?.clone()).ok()
}

/// Brings the summary's figures up to the final records.
fn retell(
    summary: &mut Summary,
    records: &[ProfilingRecord],
    requests: &[RequestEntry],
    segments: &[Measured],
) {
    summary.queries = QueryCounts { skipped: summary.queries.skipped, ..QueryCounts::default() };
    summary.totals = Totals::default();
    for record in records {
        summary.count(record);
    }
    let energies = || records.iter().map(|record| &record.metrics.energy_metrics);
    summary.energy.coverage = mean_known(energies().map(|energy| energy.coverage));
    summary.energy.method = common(energies().filter_map(|energy| energy.method.as_deref()));
    summary.energy.idle_watts =
        mean_known(segments.iter().map(|part| part.meter.idle.map(|idle| idle.mean)));
    let spans = spans(segments.len(), requests, summary);
    summary.energy.conservation = conservation(summary, records, segments, &spans);
    summary.energy.counter_vs_integral = counter_vs_integral(segments, &spans);
    summary.telemetry.gaps = segments.iter().map(|part| part.timeline.gaps(GAP)).sum();
    warn_of_idle_devices(summary, records);
}

/// The one value of all, or `mixed`.
fn common<'a>(mut values: impl Iterator<Item = &'a str>) -> Option<String> {
    let first = values.next()?;
    Some(if values.all(|value| value == first) { first } else { "mixed" }.to_owned())
}

/// From the start of the idle baseline, or the first request, to the end of the last: per segment.
fn spans(
    segments: usize,
    requests: &[RequestEntry],
    summary: &Summary,
) -> Vec<Option<(Nanos, Nanos)>> {
    let span = |index: usize| {
        let own = || requests.iter().filter(move |entry| entry.segment as usize == index);
        let idle = summary.segments[index].idle.map(|(start, _)| start);
        let start = idle.into_iter().chain(own().map(|entry| entry.start)).min()?;
        Some((start, own().map(|entry| entry.end).max()?))
    };
    (0..segments).map(span).collect()
}

/// Where the energy went; `None` if part of it isn't known.
fn conservation(
    summary: &Summary,
    records: &[ProfilingRecord],
    segments: &[Measured],
    spans: &[Option<(Nanos, Nanos)>],
) -> Option<Conservation> {
    let attributed: f64 = records
        .iter()
        .map(|record| record.metrics.energy_metrics.basis_joules)
        .sum::<Option<f64>>()?;
    let (mut total, mut idle) = (0.0, 0.0);
    for ((part, span), segment) in segments.iter().zip(spans).zip(&summary.segments) {
        let energy =
            |start, end| part.meter.energy(&part.timeline, part.meter.members(), start, end).ok();
        let Some((start, end)) = *span else { continue };
        total += energy(start, end)?.energy.0;
        if let Some((start, end)) = segment.idle {
            idle += energy(start, end)?.energy.0;
        }
    }
    Some(Conservation { attributed, idle, unattributed: total - attributed - idle })
}

/// The counter's energy over that of integrated power, over the run and the sensors that have both.
fn counter_vs_integral(segments: &[Measured], spans: &[Option<(Nanos, Nanos)>]) -> Option<f64> {
    let (mut counted, mut integrated) = (0.0, 0.0);
    for (part, span) in segments.iter().zip(spans) {
        let Some((start, end)) = *span else { continue };
        for id in part.meter.members() {
            let reads = part.timeline.sensor(*id);
            let Ok(integral) = integrated_energy(reads, start, end) else { continue };
            let counter = part.meter.energy(&part.timeline, &[*id], start, end).ok()?;
            if counter.method == crate::attribution::energy::Method::Counter {
                counted += counter.energy.0;
                integrated += integral.energy.0;
            }
        }
    }
    (integrated > 0.0).then(|| counted / integrated)
}

fn warn_of_idle_devices(summary: &mut Summary, records: &[ProfilingRecord]) {
    let idle = records
        .iter()
        .filter(|record| {
            record.metrics.energy_metrics.status.as_deref() == Some("device_did_not_react")
        })
        .count();
    let mark = "stayed at idle power and without utilisation";
    summary.warnings.retain(|warning| !warning.contains(mark));
    if idle > 0 {
        summary.warnings.push(format!(
            "in {idle} of {} queries the counted devices {mark}: does the server use others? \
             (--gpus)",
            records.len()
        ));
    }
}
