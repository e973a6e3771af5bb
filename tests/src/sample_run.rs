//! Directories of runs that never were: queries with plausible times and energies, and the telemetry and
//! requests that go with them, from a seed. What analyses and pictures are tested on.

use std::collections::BTreeMap;
use std::path::Path;

use energy_proto::{
    ClockAnchor, Nanos, Reading, SensorInfo, SensorKind, SensorReading, Status, Watts,
};
use ipw::client::ServerInfo;
use ipw::record::{EvaluationMetrics, ModelMetrics, ProfilingRecord, QueryStatus};
use ipw::results::{
    AttributionState, EnergySummary, Hardware, OwnCost, QueryCounts, RequestEntry, RequestKind,
    RequestLog, RequestOutcome, RowWriter, RunStatus, SCHEMA_VERSION, Segment, Summary,
    TelemetrySummary, TelemetryWriter, Totals, write_summary,
};

/// Unix nanoseconds of monotonic zero.
const ZERO: i64 = 1_790_000_000_000_000_000;
/// When the first request was sent, in monotonic seconds; the idle baseline is before it.
const START: f64 = 110.0;
const IDLE_WATTS: f64 = 75.0;
const PREFILL_WATTS: f64 = 420.0;
const DECODE_WATTS: f64 = 310.0;
const SECONDS_PER_PROMPT_TOKEN: f64 = 0.000_4;
const SECONDS_PER_OUTPUT_TOKEN: f64 = 0.012;
/// What is between two queries.
const PAUSE: f64 = 0.05;

/// What a run is like.
#[derive(Debug, Clone)]
pub struct SampleRun {
    /// The model's name.
    pub model: String,
    /// How many queries it has.
    pub queries: usize,
    /// How many were in flight.
    pub concurrency: usize,
    /// How many subjects there are.
    pub subjects: usize,
    /// The share of right answers.
    pub accuracy: f64,
    /// By how much all energies are multiplied.
    pub cost: f64,
    /// Between two readings.
    pub interval_seconds: f64,
    /// Without readings, in seconds from the first request.
    pub gap: Option<(f64, f64)>,
    /// `cpu_estimated` and so on; `None` for a run without energy.
    pub basis: Option<String>,
    /// Makes the same run each time.
    pub seed: u64,
}

impl Default for SampleRun {
    fn default() -> Self {
        Self {
            model: "llama3.2:1b".to_owned(),
            queries: 60,
            concurrency: 1,
            subjects: 6,
            accuracy: 0.7,
            cost: 1.0,
            interval_seconds: 0.05,
            gap: None,
            basis: Some("gpu".to_owned()),
            seed: 1,
        }
    }
}

/// A query's times in monotonic seconds.
#[derive(Debug, Clone, Copy)]
struct Times {
    start: f64,
    first_token: f64,
    end: f64,
}

impl SampleRun {
    /// Writes it into `dir`, which must be there; `change` may alter each row.
    pub fn write(&self, dir: &Path, mut change: impl FnMut(&mut ProfilingRecord)) {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let mut free = vec![START; self.concurrency.max(1)];
        let mut rows = RowWriter::create(dir, &self.model).expect("the directory is new");
        let mut log = RequestLog::open(dir).expect("the directory can be written");
        let mut all = Vec::new();
        let mut counts = QueryCounts::default();
        for index in 0..self.queries {
            let lane = (0..free.len()).min_by(|a, b| free[*a].total_cmp(&free[*b])).unwrap_or(0);
            let (mut record, times) = self.record(index, free[lane], &mut random);
            free[lane] = times.end + PAUSE * (0.5 + random.f64());
            change(&mut record);
            match record.status {
                QueryStatus::Ok => counts.ok += 1,
                QueryStatus::Error => counts.error += 1,
                QueryStatus::Timeout => counts.timeout += 1,
                QueryStatus::Truncated => counts.truncated += 1,
            }
            log.push(&request(&record, times)).expect("the directory can be written");
            rows.push(record);
            if rows.pending() >= 1_000 {
                rows.commit().expect("the directory can be written");
            }
            all.push(times);
        }
        rows.commit().expect("the directory can be written");
        log.sync().expect("the directory can be written");
        let end = all.iter().map(|times| times.end).fold(START, f64::max);
        self.write_telemetry(dir, &all, end);
        write_summary(dir, &self.summary(counts, end)).expect("the directory can be written");
    }

    fn record(
        &self,
        index: usize,
        start: f64,
        random: &mut fastrand::Rng,
    ) -> (ProfilingRecord, Times) {
        let input = 20 + (random.f64().powi(2) * 1_500.0) as i64;
        let output = 1 + (-(1.0 - random.f64()).ln() * 140.0) as i64;
        let noise = |random: &mut fastrand::Rng, size: f64| 1.0 + size * (random.f64() - 0.5);
        let prefill = (0.03 + input as f64 * SECONDS_PER_PROMPT_TOKEN) * noise(random, 0.3);
        let decode = output as f64 * SECONDS_PER_OUTPUT_TOKEN * noise(random, 0.1);
        let times = Times { start, first_token: start + prefill, end: start + prefill + decode };
        let share = self.cost / self.concurrency.max(1) as f64;
        let prefill_joules = prefill * PREFILL_WATTS * share * noise(random, 0.1);
        let decode_joules = decode * DECODE_WATTS * share * noise(random, 0.1);
        let joules = prefill_joules + decode_joules;
        let right = random.f64() < self.accuracy;
        let nanos = |seconds: f64| ZERO + (seconds * 1e9) as i64;
        let mut metrics = ModelMetrics {
            lm_correctness: Some(right),
            evaluation: Some(EvaluationMetrics {
                is_correct: Some(right),
                method: "exact".into(),
                metadata: "{}".into(),
            }),
            ..ModelMetrics::default()
        };
        metrics.token_metrics.input = Some(input);
        metrics.token_metrics.output = Some(output);
        metrics.token_metrics.total = Some(input + output);
        let latency = &mut metrics.latency_metrics;
        latency.total_query_seconds = Some(prefill + decode);
        latency.time_to_first_token_seconds = Some(prefill);
        latency.tpot_ms = (output > 1).then(|| 1e3 * decode / (output - 1) as f64);
        let energy = &mut metrics.energy_metrics;
        energy.basis = self.basis.clone();
        if self.basis.is_some() {
            energy.basis_joules = Some(joules);
            energy.basis_joules_lower = Some((joules - 22.0 * share).max(0.0));
            energy.basis_joules_upper = Some(joules + 25.0 * share);
            energy.basis_joules_ci95 = Some(0.06 * joules + 2.0 * share);
            energy.method = Some("counter".to_owned());
            energy.status = Some("ok".to_owned());
            energy.energy_per_output_token_joules = Some(joules / output as f64);
            energy.energy_per_total_token_joules = Some(joules / (input + output) as f64);
            let phases = &mut metrics.phase_metrics;
            phases.prefill_energy_per_input_token_j = Some(prefill_joules / input as f64);
            phases.decode_energy_per_output_token_j = Some(decode_joules / output as f64);
        }
        let record = ProfilingRecord {
            problem: "2 + 2 = ?".into(),
            answer: "4".into(),
            subject: format!("subject {}", index % self.subjects.max(1)),
            dataset_metadata: "{}".into(),
            query_index: index as i64,
            status: QueryStatus::Ok,
            finish_reason: Some("stop".to_owned()),
            error: None,
            started_at_nanos: nanos(times.start),
            first_token_at_nanos: Some(nanos(times.first_token)),
            ended_at_nanos: nanos(times.end),
            response: "4".into(),
            metrics,
        };
        (record, times)
    }

    fn sensor(&self) -> SensorInfo {
        let (kind, source) = match self.basis.as_deref() {
            Some("cpu_estimated") => (SensorKind::CpuPackage, "estimate"),
            _ => (SensorKind::Gpu, "nvml"),
        };
        SensorInfo {
            host: "node".to_owned(),
            name: "Sample board".to_owned(),
            measures: vec!["power".to_owned(), "energy".to_owned()],
            ..SensorInfo::new(0, kind, source)
        }
    }

    fn watts(&self, times: &[Times], at: f64) -> f64 {
        let busy: f64 = times
            .iter()
            .filter(|times| (times.start..times.end).contains(&at))
            .map(|times| if at < times.first_token { PREFILL_WATTS } else { DECODE_WATTS })
            .sum();
        if busy > 0.0 { self.cost * busy / self.concurrency.max(1) as f64 } else { IDLE_WATTS }
    }

    fn write_telemetry(&self, dir: &Path, all: &[Times], end: f64) {
        let mut writer = TelemetryWriter::create(dir).expect("the directory is new");
        let mut random = fastrand::Rng::with_seed(self.seed ^ 7);
        let (mut energy, mut at, mut changed) = (5e9, START - 6.0, START - 6.0);
        let mut sequence = 0;
        // Queries by time: only those that may be under way are looked at.
        let mut sorted = all.to_vec();
        sorted.sort_by(|a, b| a.start.total_cmp(&b.start));
        let (mut first, mut last) = (0, 0);
        while at < end + 1.0 {
            let before = at;
            at += self.interval_seconds;
            while last < sorted.len() && sorted[last].start <= at {
                last += 1;
            }
            while first < last && sorted[first].end < before - 60.0 {
                first += 1;
            }
            let watts = self.watts(&sorted[first..last], before) + 12.0 * (random.f64() - 0.5);
            energy += watts * self.interval_seconds * 1e6;
            let since = at - START;
            if self.gap.is_some_and(|(from, to)| (from..to).contains(&since)) {
                continue;
            }
            let nanos = |seconds: f64| Nanos((seconds * 1e9) as u64);
            let read = SensorReading {
                energy_microjoules: Some(energy as u64),
                epoch: 1,
                changed_after: Some(nanos(at - 0.002)),
                changed_before: Some(nanos(at)),
                power: Some(Watts(watts)),
                ..SensorReading::empty(0, nanos(at), nanos(at + 0.000_1), Status::Ok)
            };
            changed = changed.max(at);
            let reading = Reading {
                sequence,
                instance: 1,
                dropped: 0,
                at: nanos(changed),
                sensors: vec![read],
            };
            sequence += 1;
            writer.push(0, "node", &reading);
            if writer.pending() >= 50_000 {
                writer.commit().expect("the directory can be written");
            }
        }
        writer.commit().expect("the directory can be written");
    }

    fn summary(&self, queries: QueryCounts, end: f64) -> Summary {
        let nanos = |seconds: f64| Nanos((seconds * 1e9) as u64);
        let sensor = self.sensor();
        let no_energy = self.basis.is_none().then(|| "server_not_on_this_host".to_owned());
        let status = no_energy.clone().unwrap_or_else(|| "ok".to_owned());
        Summary {
            schema_version: SCHEMA_VERSION,
            model: self.model.clone(),
            dataset: "ipw".into(),
            dataset_name: "ipw".into(),
            dataset_revision: "sha256:0".into(),
            client: "vllm".into(),
            profiler_config: serde_json::Map::new(),
            hardware: Hardware {
                gpu_name: Some("Sample H100 80GB".into()),
                gpu_count: 1,
                cpu_brand: Some("Sample CPU".into()),
                platform: Some("nvidia".into()),
                label: "H100".into(),
                sensors: vec![sensor.clone()],
                skipped_sources: Vec::new(),
            },
            hardware_label: "H100".into(),
            system_info: None,
            gpu_info: None,
            client_info: ServerInfo {
                server: Some("vllm".into()),
                version: Some("0.11.0".into()),
                ..ServerInfo::default()
            },
            start_time: "2026-01-02T03:04:05Z".into(),
            end_time: Some("2026-01-02T04:04:05Z".into()),
            duration_seconds: end - START,
            generated_at: "2026-01-02T04:04:05Z".into(),
            status: RunStatus::Complete,
            attribution: AttributionState::Final,
            total_queries: self.queries as u64,
            queries,
            totals: Totals::default(),
            energy: EnergySummary {
                basis: self.basis.clone(),
                method: self.basis.as_ref().map(|_| "counter".into()),
                estimator: self.basis.as_ref().map(|_| "fit".into()),
                idle_watts: self.basis.as_ref().map(|_| IDLE_WATTS),
                status,
                remedy: no_energy
                    .as_ref()
                    .map(|_| "run a monitor there: --monitor http://HOST:50053".into()),
                ..EnergySummary::default()
            },
            telemetry: TelemetrySummary {
                interval_ms: (1e3 * self.interval_seconds) as u64,
                ..TelemetrySummary::default()
            },
            own: OwnCost::default(),
            warnings: Vec::new(),
            segments: vec![Segment {
                started_at: "2026-01-02T03:04:05Z".into(),
                boot_id: None,
                anchor: ClockAnchor { monotonic: Nanos(0), unix_nanos: ZERO },
                idle: Some((nanos(START - 5.0), nanos(START - 2.0))),
                sensors: vec![sensor],
                counted: vec![0],
                no_energy,
                clock_uncertainty_nanos: 0,
            }],
            versions: BTreeMap::from([("ipw".to_owned(), "0.1.0".to_owned())]),
            output_dir: "runs".into(),
        }
    }
}

fn request(record: &ProfilingRecord, times: Times) -> RequestEntry {
    let nanos = |seconds: f64| Nanos((seconds * 1e9) as u64);
    let outcome = match record.status {
        QueryStatus::Ok => RequestOutcome::Ok,
        QueryStatus::Error => RequestOutcome::Error,
        QueryStatus::Timeout => RequestOutcome::Timeout,
        QueryStatus::Truncated => RequestOutcome::Truncated,
    };
    RequestEntry {
        kind: RequestKind::Query,
        query_index: Some(record.query_index),
        attempt: 1,
        segment: 0,
        start: nanos(times.start),
        first_byte: None,
        first_token: Some(nanos(times.first_token)),
        end: nanos(times.end),
        outcome,
        error: None,
        server_timing: None,
        flags: Vec::new(),
    }
}
