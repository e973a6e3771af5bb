//! The final pass over a run: from its telemetry, requests and texts to the records and figures that
//! stay. Reads only the run's directory, so that it can be done again at any time and gives the same.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use energy_proto::Nanos;
use serde_json::Value;

use crate::analysis::accuracy::{self, AccuracyOptions, AccuracyReport, ScoredQuery};
use crate::attribution::basis;
use crate::attribution::energy::{GAP, Method, Sampling, gap, integrated_energy};
use crate::attribution::measure::{self, Meter, THROTTLED, Window};
use crate::dataset::Scoring;
use crate::derive::{self, ModelFacts, mean_known};
use crate::evaluation::{self, without_reasoning};
use crate::record::{EnergyMetrics, ProfilingRecord, QueryStatus};
use crate::results::{
    AttributionState, Conservation, QueryCounts, RequestEntry, RequestKind, RequestOutcome,
    ResultsError, RunDirectory, Segment, Summary, Totals, read_requests, read_rows, read_telemetry,
    remove_if_there, rewrite_rows, write_json, write_summary,
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
    let facts = ModelFacts::of(&summary);
    attribute(&mut records, &requests, &segments, &summary.segments, &facts);
    if scoring.is_some() {
        score(&mut records);
    }
    rewrite_rows(path, &summary.model, records.iter().cloned().map(Ok))?;

    summary.attribution = AttributionState::Final;
    summary.generated_at = jiff::Timestamp::now().to_string();
    retell(&mut summary, &records, &requests, &segments);
    warn_of_impossible_utilization(&mut summary, &records, &facts);
    write_summary(path, &summary)?;
    let accuracy = scoring.map(|options| {
        let queries: Vec<ScoredQuery> = records.iter().map(ScoredQuery::from).collect();
        accuracy::analyze(&summary.model, &queries, options)
    });
    let accuracy_path = path.join("analysis").join("accuracy.json");
    match &accuracy {
        Some(accuracy) => write_json(&accuracy_path, accuracy)?,
        // An earlier part of the run may have left one, which isn't true any more.
        None => remove_if_there(&accuracy_path)?,
    }
    Ok(Finished { summary, records, accuracy })
}

/// A segment's readings and how they are read.
struct Measured {
    timeline: Timeline,
    meter: Meter,
}

impl Measured {
    fn gaps(&self) -> u64 {
        let interval = self.meter.sampling.interval;
        self.timeline.gaps(|id| self.meter.sensor(id).map_or(GAP, |sensor| gap(sensor, interval)))
    }
}

fn segments(directory: &RunDirectory, summary: &Summary) -> Result<Vec<Measured>, ResultsError> {
    let mut timelines: Vec<Timeline> = vec![Timeline::default(); summary.segments.len()];
    for row in read_telemetry(directory.path())? {
        let row = row?;
        if let Some(timeline) = timelines.get_mut(row.segment as usize) {
            timeline.push_read(row.reading);
        }
    }
    let interval = Duration::from_millis(summary.telemetry.interval_ms);
    let measured = |(timeline, segment): (Timeline, &Segment)| {
        let meter = meter(segment, interval).with_idle(&timeline, segment.idle);
        Measured { timeline, meter }
    };
    Ok(timelines.into_iter().zip(&summary.segments).map(measured).collect())
}

fn meter(segment: &Segment, interval: Duration) -> Meter {
    let counted = segment.counted.iter().copied().collect();
    let chosen = basis::choose(&segment.sensors, &counted);
    Meter {
        sensors: segment.sensors.clone(),
        counted,
        basis: chosen.map_err(|reason| segment.no_energy.clone().unwrap_or(reason)),
        sampling: Sampling {
            interval,
            clock_uncertainty: Duration::from_nanos(segment.clock_uncertainty_nanos),
        },
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

/// A row and its request are joined by the query and by when it was sent: a query that was sent again
/// may have a later request without a row.
fn attribute(
    records: &mut [ProfilingRecord],
    requests: &[RequestEntry],
    segments: &[Measured],
    told: &[Segment],
    facts: &ModelFacts,
) {
    let sent_at = |entry: &RequestEntry| {
        Some(told.get(entry.segment as usize)?.anchor.unix_nanos_at(entry.start))
    };
    let answered: HashMap<(i64, i64), &RequestEntry> = requests
        .iter()
        .filter(|entry| matches!(entry.kind, RequestKind::Query | RequestKind::Retry))
        .filter(|entry| entry.outcome != RequestOutcome::Interrupted)
        .filter_map(|entry| Some(((entry.query_index?, sent_at(entry)?), entry)))
        .collect();
    for record in records {
        let entry = answered.get(&(record.query_index, record.started_at_nanos));
        let measured = entry.and_then(|entry| {
            let segment = segments.get(entry.segment as usize)?;
            let window =
                Window { start: entry.start, first_token: entry.first_token, end: entry.end };
            Some(segment.meter.measure(&segment.timeline, window))
        });
        record.metrics.set_measured(measured.unwrap_or_else(not_recorded), facts);
    }
}

/// What is known of a row without a request.
fn not_recorded() -> measure::Measured {
    let status = Some("request_not_recorded".to_owned());
    let energy = EnergyMetrics { status, ..EnergyMetrics::default() };
    measure::Measured { energy, ..measure::Measured::default() }
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
    summary.telemetry.gaps = segments.iter().map(Measured::gaps).sum();
    warn_of_idle_devices(summary, records);
    warn_of_throttling(summary, records);
    warn_of_missing_energy(summary, records);
}

/// Says how many rows have no energy although the run has a basis, and why most of them don't.
fn warn_of_missing_energy(summary: &mut Summary, records: &[ProfilingRecord]) {
    let mark = "queries have no energy";
    summary.warnings.retain(|warning| !warning.contains(mark));
    if summary.energy.basis.is_none() {
        return;
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for record in records {
        let energy = &record.metrics.energy_metrics;
        if energy.basis_joules.is_none() {
            *reasons.entry(energy.status.as_deref().unwrap_or("unknown")).or_default() += 1;
        }
    }
    let missing: usize = reasons.values().sum();
    let Some((reason, _)) = reasons.into_iter().max_by_key(|(_, count)| *count) else {
        summary.energy.status = "ok".to_owned();
        return;
    };
    summary.warnings.push(format!("{missing} of {} {mark}: {reason}", records.len()));
    let all = missing == records.len();
    summary.energy.status = if all { reason } else { "ok" }.to_owned();
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
            let Some(sensor) = part.meter.sensor(*id) else { continue };
            let interval = part.meter.sampling.interval;
            let integral = integrated_energy(sensor, reads, start, end, interval);
            let Ok(integral) = integral else { continue };
            let counter = part.meter.energy(&part.timeline, &[*id], start, end).ok()?;
            if counter.method == Method::Counter {
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

fn warn_of_throttling(summary: &mut Summary, records: &[ProfilingRecord]) {
    let status = |record: &ProfilingRecord| record.metrics.energy_metrics.status.clone();
    let throttled: Vec<String> =
        records.iter().filter_map(status).filter(|status| status.starts_with(THROTTLED)).collect();
    let mark = "the clocks of a counted device were held down";
    summary.warnings.retain(|warning| !warning.contains(mark));
    if let Some(first) = throttled.first() {
        summary.warnings.push(format!(
            "in {} of {} queries {mark} ({first}): times and energies are not those of a healthy \
             device; look at its cooling and its power supply",
            throttled.len(),
            records.len()
        ));
    }
}

fn warn_of_impossible_utilization(
    summary: &mut Summary,
    records: &[ProfilingRecord],
    facts: &ModelFacts,
) {
    summary.warnings.retain(|warning| !warning.contains(derive::IMPOSSIBLE));
    summary.warnings.extend(derive::impossible(records, facts));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ModelMetrics;
    use energy_proto::ClockAnchor;

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
        let measured: Vec<Measured> = told
            .iter()
            .map(|segment| Measured {
                timeline: Timeline::default(),
                meter: meter(segment, Duration::ZERO),
            })
            .collect();
        let requests = [request(0, 5), request(1, 7)];
        let mut rows = [row(1_005), row(2_007), row(9_999)];
        attribute(&mut rows, &requests, &measured, &told, &ModelFacts::default());
        let statuses = rows.map(|row| row.metrics.energy_metrics.status.unwrap());
        assert_eq!(statuses, ["segment of 1000", "segment of 2000", "request_not_recorded"]);
    }
}
