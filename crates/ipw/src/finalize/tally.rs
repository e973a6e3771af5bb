//! What is said of the whole run, counted up block by block.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use energy_proto::Nanos;
use serde_json::Value;

use super::blocks::{Block, window};
use super::{Sent, common};
use crate::attribution::energy::{Method, gap, integrated_energy};
use crate::attribution::lag::undeclared_lag;
use crate::attribution::measure::{Idle, Window};
use crate::attribution::steady::{Steady, steady};
use crate::derive::{mean_known, ratio};
use crate::record::ProfilingRecord;
use crate::results::{self, Conservation, QueryCounts, RequestEntry, SteadyState, Summary, Totals};

/// Sums over a run.
pub(super) struct Tally {
    segments: Vec<Segment>,
    /// Seconds from the idle baselines to the ends of the last requests.
    pub(super) seconds: f64,
    /// Counters that show energy later than they say, by the names and UUIDs of their devices.
    pub(super) lags: BTreeMap<String, Duration>,
    estimators: BTreeSet<&'static str>,
}

/// Sums over a segment. An energy is `None` once a part of it isn't known.
struct Segment {
    idle_window: Option<(Nanos, Nanos)>,
    steady: Option<Steady>,
    idle: Option<Idle>,
    total_joules: Option<f64>,
    idle_joules: Option<f64>,
    steady_joules: Option<f64>,
    /// Of the sensors and blocks in which both a counter and power are known.
    counter_joules: Option<f64>,
    integrated_joules: f64,
    gaps: BTreeMap<u32, u64>,
}

fn add(sum: &mut Option<f64>, part: Option<f64>) {
    *sum = sum.zip(part).map(|(sum, part)| sum + part);
}

impl Tally {
    pub(super) fn of(
        summary: &Summary,
        answered: &HashMap<Sent, &RequestEntry>,
        records: &[ProfilingRecord],
    ) -> Self {
        Self::new(&summary.segments, steady_states(summary, answered, records))
    }

    pub(super) fn new(told: &[results::Segment], steady: Vec<Option<Steady>>) -> Self {
        let mut steady = steady.into_iter();
        let segment = |told: &results::Segment| Segment {
            idle_window: told.idle,
            steady: steady.next().flatten(),
            idle: None,
            total_joules: Some(0.0),
            idle_joules: Some(0.0),
            steady_joules: Some(0.0),
            counter_joules: Some(0.0),
            integrated_joules: 0.0,
            gaps: BTreeMap::new(),
        };
        Self {
            segments: told.iter().map(segment).collect(),
            seconds: 0.0,
            lags: BTreeMap::new(),
            estimators: BTreeSet::new(),
        }
    }

    pub(super) fn add(&mut self, block: &Block<'_>) {
        let Block { from, to, timeline, meter, .. } = block;
        let segment = &mut self.segments[block.segment];
        self.seconds += to.since(*from).as_secs_f64();
        self.estimators.extend(meter.estimator());
        segment.idle = meter.idle;
        // The energy of what of a stretch of time is in this block.
        let joules = |stretch: (Nanos, Nanos)| {
            let (from, to) = (stretch.0.max(*from), stretch.1.min(*to));
            if from >= to {
                return Some(0.0);
            }
            Some(meter.energy(timeline, meter.members(), from, to).ok()?.energy.0)
        };
        add(&mut segment.total_joules, joules((*from, *to)));
        let idle = segment.idle_window.map_or(Some(0.0), joules);
        add(&mut segment.idle_joules, idle);
        let steady = segment.steady.map_or(Some(0.0), |steady| joules((steady.from, steady.to)));
        add(&mut segment.steady_joules, steady);
        let interval = meter.sampling.interval;
        for sensor in &meter.sensors {
            let limit = gap(sensor, interval);
            *segment.gaps.entry(sensor.id).or_default() +=
                timeline.gaps(sensor.id, *from, *to, limit);
        }
        for sensor in meter.members().iter().filter_map(|id| meter.sensor(*id)) {
            let reads = timeline.sensor(sensor.id);
            let name = format!("{} ({})", sensor.name, sensor.uuid);
            if !self.lags.contains_key(&name)
                && let Some(lag) = undeclared_lag(sensor, reads)
            {
                self.lags.insert(name, lag);
            }
            let integrated = integrated_energy(sensor, reads, *from, *to, interval);
            let Ok(integrated) = integrated else { continue };
            match meter.energy(timeline, &[sensor.id], *from, *to) {
                Ok(counted) if counted.method != Method::Counter => {}
                counted => {
                    let counted = counted.ok().map(|counted| counted.energy.0);
                    add(&mut segment.counter_joules, counted);
                    segment.integrated_joules += integrated.energy.0;
                }
            }
        }
    }

    /// Brings the summary's figures up to the final records.
    pub(super) fn retell(&self, summary: &mut Summary, records: &[ProfilingRecord]) {
        summary.queries =
            QueryCounts { skipped: summary.queries.skipped, ..QueryCounts::default() };
        summary.totals = Totals::default();
        for record in records {
            summary.count(record);
        }
        let energies = || records.iter().map(|record| &record.metrics.energy_metrics);
        let energy = &mut summary.energy;
        energy.coverage = mean_known(energies().map(|energy| energy.coverage));
        energy.method = common(energies().filter_map(|energy| energy.method.as_deref()));
        energy.estimator = common(self.estimators.iter().copied());
        let idle = self.segments.iter().map(|segment| segment.idle.map(|idle| idle.mean));
        energy.idle_watts = mean_known(idle);
        energy.conservation = self.conservation(records);
        energy.counter_vs_integral = self.counter_vs_integral();
        energy.steady_state = self.steady_state();
        let gaps = |segment: &Segment| segment.gaps.values().max().copied().unwrap_or(0);
        summary.telemetry.gaps = self.segments.iter().map(gaps).sum();
    }

    /// Where the energy went; `None` if part of it isn't known.
    fn conservation(&self, records: &[ProfilingRecord]) -> Option<Conservation> {
        let sum = |joules: fn(&Segment) -> Option<f64>| {
            self.segments.iter().map(joules).sum::<Option<f64>>()
        };
        let attributed = records
            .iter()
            .map(|record| record.metrics.energy_metrics.basis_joules)
            .sum::<Option<f64>>()?;
        let total = sum(|segment| segment.total_joules)?;
        let idle = sum(|segment| segment.idle_joules)?;
        Some(Conservation { attributed, idle, unattributed: total - attributed - idle })
    }

    /// The counters' energy over that of integrated power, where a sensor has both.
    fn counter_vs_integral(&self) -> Option<f64> {
        let counted = self.segments.iter().map(|segment| segment.counter_joules);
        let integrated: f64 = self.segments.iter().map(|segment| segment.integrated_joules).sum();
        ratio(counted.sum::<Option<f64>>(), Some(integrated))
    }

    /// Energy and tokens while as many queries as asked for were under way.
    fn steady_state(&self) -> Option<SteadyState> {
        let mut sum = SteadyState::default();
        for segment in &self.segments {
            let Some(steady) = segment.steady else { continue };
            sum.seconds += steady.to.since(steady.from).as_secs_f64();
            sum.energy_joules += segment.steady_joules?;
            sum.output_tokens += steady.output_tokens;
        }
        (sum.seconds > 0.0).then(|| SteadyState {
            joules_per_output_token: ratio(Some(sum.energy_joules), Some(sum.output_tokens)),
            output_tokens_per_second: ratio(Some(sum.output_tokens), Some(sum.seconds)),
            ..sum
        })
    }
}

/// The steady state of each segment; none of a run with one query at a time.
fn steady_states(
    summary: &Summary,
    answered: &HashMap<Sent, &RequestEntry>,
    records: &[ProfilingRecord],
) -> Vec<Option<Steady>> {
    let asked = summary.profiler_config.get("concurrency").and_then(Value::as_u64);
    let concurrency = asked.and_then(|asked| usize::try_from(asked).ok()).unwrap_or(1);
    let mut queries: Vec<Vec<(Window, Option<i64>)>> = vec![Vec::new(); summary.segments.len()];
    for record in records {
        let entry = answered.get(&(record.query_index, record.started_at_nanos));
        if let Some(entry) = entry {
            let tokens = record.metrics.token_metrics.output;
            queries[entry.segment as usize].push((window(entry), tokens));
        }
    }
    let of_segment = |queries: Vec<(Window, Option<i64>)>| {
        if concurrency > 1 { steady(&queries, concurrency) } else { None }
    };
    queries.into_iter().map(of_segment).collect()
}
