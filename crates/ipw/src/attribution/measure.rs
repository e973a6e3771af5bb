//! The groups of a record that come from telemetry, for one query's window.

use std::collections::{BTreeMap, BTreeSet};

use energy_proto::{Joules, Nanos, SensorInfo, SensorKind, SensorReading, Throttle};

use super::basis::{Basis, BasisKind, hosts};
use super::energy::{EnergyEstimate, Method, NoEnergy, Sampling, shared_energy};
use super::load::{Load, Share};
use super::power;
use super::solved::Solved;
use crate::analysis::stats::summarize;
use crate::record::{
    DeviceEnergy, EnergyMetrics, GpuUtilization, MemoryMetrics, PhaseMetrics, PowerMetrics,
    PowerPair, Stats,
};
use crate::telemetry::Timeline;

/// How the status of an energy begins that was measured while a device was throttled.
pub const THROTTLED: &str = "throttled";
/// How it begins where other processes used a counted device meanwhile.
pub const CROWDED: &str = "other_processes";
/// The status of an energy of devices that showed nothing of the query.
pub const IDLE: &str = "device_did_not_react";

/// The status of an energy that is the query's share of what several took together, until the final pass
/// has made it.
pub const SHARED: &str = "shared_until_final";

/// Reasons to throttle that a healthy device doesn't have.
const FAULTS: [Throttle; 3] =
    [Throttle::THERMAL, Throttle::HARDWARE_SLOWDOWN, Throttle::POWER_BRAKE];

const MIB: f64 = 1024.0 * 1024.0;
const GIB: f64 = 1024.0 * MIB;

/// A query's times on the clock of the readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Just before the request was sent.
    pub start: Nanos,
    /// Arrival of the first token, if one came.
    pub first_token: Option<Nanos>,
    /// Arrival of the end.
    pub end: Nanos,
}

impl Window {
    /// A window without phases.
    #[must_use]
    pub fn whole(start: Nanos, end: Nanos) -> Self {
        Self { start, first_token: None, end }
    }

    fn seconds(self) -> f64 {
        self.end.since(self.start).as_secs_f64()
    }
}

/// Everything about one window that telemetry knows.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "the names of the record's groups")]
pub struct Measured {
    pub energy: EnergyMetrics,
    pub memory: MemoryMetrics,
    pub temperature: Stats,
    pub power: PowerMetrics,
    pub phases: PhaseMetrics,
    pub gpu_utilization: GpuUtilization,
}

/// Which sensors are read as what: one for each segment of a run.
#[derive(Debug, Clone)]
pub struct Meter {
    /// The monitor's sensors.
    pub sensors: Vec<SensorInfo>,
    /// Ids of those whose energy is counted.
    pub counted: BTreeSet<u32>,
    /// The basis, or why there is none, as in `status`.
    pub basis: Result<Basis, String>,
    /// How its readings were taken.
    pub sampling: Sampling,
    /// Power of the basis at idle, once it has been measured.
    pub idle: Option<Idle>,
    /// All requests; none while the run lasts.
    pub load: Load,
    /// Counters by their sensors' ids, solved under that load; none while the run lasts.
    pub solved: BTreeMap<u32, Solved>,
}

/// Power at rest, in watts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Idle {
    /// Mean over the idle window.
    pub mean: f64,
    /// The least between two updates of the counter: nothing that runs takes less.
    pub floor: f64,
}

impl Meter {
    /// Reads these sensors, and knows nothing of idle power and load yet.
    #[must_use]
    pub fn new(
        sensors: Vec<SensorInfo>,
        counted: BTreeSet<u32>,
        basis: Result<Basis, String>,
        sampling: Sampling,
    ) -> Self {
        let (load, solved) = (Load::default(), BTreeMap::new());
        Self { sensors, counted, basis, sampling, idle: None, load, solved }
    }

    /// How the energies of the basis were estimated between a counter's updates: `fit`, `line`, or `mixed`
    /// where that differs between its members or parts of the run.
    #[must_use]
    pub fn estimator(&self) -> Option<&'static str> {
        let mut all = self.members().iter().filter_map(|id| Some(self.solved.get(id)?.estimator()));
        let first = all.next()?;
        Some(if all.all(|other| other == first) { first } else { "mixed" })
    }

    /// Ids of the sensors that a row waits for.
    #[must_use]
    pub fn members(&self) -> &[u32] {
        self.basis.as_ref().map_or(&[], |basis| &basis.members)
    }

    /// Whether all that a row of a query that ended at `end` waits for has come.
    #[must_use]
    pub fn is_covered(&self, timeline: &Timeline, end: Nanos) -> bool {
        let end = end + self.sampling.clock_uncertainty;
        self.members()
            .iter()
            .all(|id| self.sensor(*id).is_some_and(|sensor| timeline.covers(sensor, end)))
    }

    /// Power of the basis at idle, if it is known for the whole of an idle window.
    #[must_use]
    pub fn idle_power(&self, timeline: &Timeline, (start, end): (Nanos, Nanos)) -> Option<Idle> {
        let steps = self.steps(timeline, self.members(), Window::whole(start, end));
        let watts = power::stats(&steps);
        Some(Idle { mean: watts.avg?, floor: watts.min? })
    }

    /// All that can be known of a window.
    #[must_use]
    pub fn measure(&self, timeline: &Timeline, window: Window) -> Measured {
        let gpus = self.ids(SensorKind::Gpu);
        let parts = Parts::of(&self.load, window);
        let energy = self.energy_metrics(timeline, window, &parts);
        Measured {
            phases: self.phases(timeline, window, &energy),
            energy,
            memory: MemoryMetrics {
                cpu_mb: self.sampled(timeline, &self.ids(SensorKind::Memory), window, used_mb, sum),
                gpu_mb: self.sampled(timeline, &gpus, window, used_mb, sum),
            },
            temperature: self.sampled(
                timeline,
                &gpus,
                window,
                |read| read.temperature_celsius,
                max,
            ),
            power: self.power(timeline, window, &parts),
            gpu_utilization: self.gpu_utilization(timeline, &gpus, window),
        }
    }

    /// The whole energy of a set of sensors over a window: all of them, or the reason of the first that has
    /// none.
    ///
    /// # Errors
    /// The reason, with the sensor's name.
    pub fn energy(
        &self,
        timeline: &Timeline,
        members: &[u32],
        start: Nanos,
        end: Nanos,
    ) -> Result<EnergyEstimate, String> {
        self.shared(timeline, members, &[Share::whole(start, end)])
    }

    fn shared(
        &self,
        timeline: &Timeline,
        members: &[u32],
        shares: &[Share],
    ) -> Result<EnergyEstimate, String> {
        let mut total: Option<EnergyEstimate> = None;
        for id in members {
            let one = self
                .sensor_energy(timeline, *id, shares)
                .map_err(|reason| format!("{}: {}", reason.as_str(), self.name(*id)))?;
            total = Some(total.map_or(one, |total| add(total, one)));
        }
        total.ok_or_else(|| self.no_basis())
    }

    fn no_basis(&self) -> String {
        self.basis.as_ref().err().cloned().unwrap_or_else(|| "no_energy_counter".to_owned())
    }

    fn sensor_energy(
        &self,
        timeline: &Timeline,
        id: u32,
        shares: &[Share],
    ) -> Result<EnergyEstimate, NoEnergy> {
        let sensor = self.sensor(id).ok_or(NoEnergy::NoReadings)?;
        let solved = self.solved.get(&id);
        shared_energy(sensor, timeline.sensor(id), shares, self.sampling, solved)
    }

    /// A sensor by its id.
    #[must_use]
    pub fn sensor(&self, id: u32) -> Option<&SensorInfo> {
        self.sensors.iter().find(|sensor| sensor.id == id)
    }

    /// A sensor's name, of several hosts with its own.
    fn name(&self, id: u32) -> String {
        match self.sensor(id) {
            Some(sensor) if hosts(&self.sensors).len() > 1 => {
                format!("{} on {}", sensor.name, sensor.host)
            }
            sensor => sensor.map_or("?", |sensor| &sensor.name).to_owned(),
        }
    }

    /// Counted sensors of a kind. An estimate is left out unless it is the basis: a number made from
    /// it would stand in the record without its mark. Of several hosts each must have one, or what the
    /// others have would pass for all; only GPUs count where they are used.
    fn ids(&self, kind: SensorKind) -> Vec<u32> {
        let estimated = matches!(&self.basis, Ok(basis) if basis.kind.is_estimate());
        let of_kind = || {
            self.sensors
                .iter()
                .filter(|sensor| sensor.kind == kind && self.counted.contains(&sensor.id))
                .filter(|sensor| estimated || !sensor.is_estimate())
        };
        if kind != SensorKind::Gpu && hosts(of_kind()).len() < hosts(&self.sensors).len() {
            return Vec::new();
        }
        of_kind().map(|sensor| sensor.id).collect()
    }

    /// A group's energy as the query has it and as its devices do.
    fn group(&self, timeline: &Timeline, ids: &[u32], parts: &Parts) -> Group {
        let energy = |shares: &[Share]| {
            if ids.is_empty() { None } else { self.shared(timeline, ids, shares).ok() }
        };
        let own = energy(&parts.own);
        let whole = if parts.is_alone() { own } else { energy(&parts.whole) };
        Group { own, whole }
    }

    /// The sensors of the whole chip: one, or an Apple chip's rails.
    fn soc(&self) -> Vec<u32> {
        match &self.basis {
            Ok(basis) if basis.kind == BasisKind::Soc => basis.members.clone(),
            _ => self.ids(SensorKind::Soc),
        }
    }

    fn energy_metrics(&self, timeline: &Timeline, window: Window, parts: &Parts) -> EnergyMetrics {
        let group = |kind| self.group(timeline, &self.ids(kind), parts);
        let joules = |estimate: Option<EnergyEstimate>| estimate.map(|estimate| estimate.energy.0);
        let gpu = group(SensorKind::Gpu);
        let (cpu, dram) = (group(SensorKind::CpuPackage), group(SensorKind::Dram));
        let ane = group(SensorKind::Ane);
        let soc = self.group(timeline, &self.soc(), parts);
        let mut metrics = EnergyMetrics {
            per_query_joules: joules(gpu.own),
            total_joules: joules(gpu.whole),
            per_query_joules_lower: gpu.own.map(|estimate| estimate.lower.0),
            per_query_joules_upper: gpu.own.map(|estimate| estimate.upper.0),
            per_query_joules_ci95: gpu.own.and_then(|estimate| Some(estimate.ci95()?.0)),
            cpu_per_query_joules: joules(cpu.own),
            cpu_total_joules: joules(cpu.whole),
            ane_per_query_joules: joules(ane.own),
            ane_total_joules: joules(ane.whole),
            soc_per_query_joules: joules(soc.own),
            soc_total_joules: joules(soc.whole),
            dram_per_query_joules: joules(dram.own),
            system_per_query_joules: joules(gpu.own)
                .zip(joules(cpu.own))
                .zip(joules(dram.own))
                .map(|((gpu, cpu), dram)| gpu + cpu + dram),
            devices: self.devices(timeline, window),
            ..EnergyMetrics::default()
        };
        self.fill_basis(&mut metrics, timeline, window, parts);
        metrics
    }

    fn fill_basis(
        &self,
        metrics: &mut EnergyMetrics,
        timeline: &Timeline,
        window: Window,
        parts: &Parts,
    ) {
        let Ok(basis) = &self.basis else {
            metrics.status = Some(self.no_basis());
            return;
        };
        metrics.basis = Some(basis.kind.as_str().to_owned());
        let both = self.shared(timeline, &basis.members, &parts.whole).and_then(|whole| {
            let whole = self.plausible(basis, whole, window)?;
            if parts.is_alone() {
                return Ok((whole, whole));
            }
            Ok((whole, self.shared(timeline, &basis.members, &parts.own)?))
        });
        let (whole, own) = match both {
            Ok(both) => both,
            Err(reason) => {
                metrics.status = Some(reason);
                return;
            }
        };
        metrics.basis_joules = Some(own.energy.0);
        metrics.basis_joules_lower = Some(own.lower.0);
        metrics.basis_joules_upper = Some(own.upper.0);
        metrics.basis_joules_lower_limited = own.limited.map(|(lower, _)| lower.0);
        metrics.basis_joules_upper_limited = own.limited.map(|(_, upper)| upper.0);
        metrics.basis_joules_ci95 = own.ci95().map(|half| half.0);
        metrics.method = Some(own.method.as_str().to_owned());
        metrics.coverage = Some(own.coverage);
        let seconds: f64 = parts.own.iter().map(Share::seconds).sum();
        metrics.net_basis_joules = self.idle.map(|idle| own.energy.0 - idle.mean * seconds);
        metrics.sensor_gain_error_pct = self.gain_error(basis);
        let reacted = self.reacted(timeline, basis, whole, window);
        let idle = (!reacted).then(|| IDLE.to_owned());
        let flag = idle
            .or_else(|| self.throttled(timeline, window))
            .or_else(|| self.crowded(timeline, basis, window));
        metrics.status = Some(flag.unwrap_or_else(|| "ok".to_owned()));
    }

    /// Why the clocks of counted devices were held down, if it was for something else than their power
    /// limit, which is where a busy device is supposed to be.
    fn throttled(&self, timeline: &Timeline, window: Window) -> Option<String> {
        let seen = self
            .counted
            .iter()
            .flat_map(|id| timeline.inside(*id, window.start, window.end))
            .filter_map(|read| read.throttle)
            .fold(Throttle::default(), Throttle::and);
        let faults = FAULTS.into_iter().filter(|fault| seen.includes(*fault));
        let names: Vec<&str> = faults.flat_map(Throttle::names).collect();
        (!names.is_empty()).then(|| format!("{THROTTLED}: {}", names.join(", ")))
    }

    /// The most processes on a device of the basis, if the server's wasn't the only one.
    fn crowded(&self, timeline: &Timeline, basis: &Basis, window: Window) -> Option<String> {
        let reads = |id: &u32| timeline.inside(*id, window.start, window.end).iter();
        let most = basis.members.iter().flat_map(reads).filter_map(|read| read.process_count).max();
        most.filter(|most| *most > 1)
            .map(|most| format!("{CROWDED}: {} beside the server's", most - 1))
    }

    /// A device that takes much less than it does at idle isn't being measured.
    fn plausible(
        &self,
        basis: &Basis,
        estimate: EnergyEstimate,
        window: Window,
    ) -> Result<EnergyEstimate, String> {
        let floor = self.idle.map_or(0.0, |idle| 0.8 * idle.floor * window.seconds());
        // An estimate has no idle power of its own: it follows whatever else runs.
        if estimate.upper.0 < floor && !basis.kind.is_estimate() {
            return Err("below_idle_power".to_owned());
        }
        Ok(estimate)
    }

    /// Whether a GPU did anything: more than idle power, or any utilisation.
    fn reacted(
        &self,
        timeline: &Timeline,
        basis: &Basis,
        estimate: EnergyEstimate,
        window: Window,
    ) -> bool {
        let at_idle =
            self.idle.is_some_and(|idle| estimate.energy.0 <= 1.05 * idle.mean * window.seconds());
        if basis.kind != BasisKind::Gpu || !at_idle {
            return true;
        }
        let utilization: Vec<f64> = basis
            .members
            .iter()
            .flat_map(|id| timeline.inside(*id, window.start, window.end))
            .filter_map(|read| read.compute_utilization_pct)
            .collect();
        utilization.is_empty() || utilization.iter().any(|percent| *percent > 0.0)
    }

    fn gain_error(&self, basis: &Basis) -> Option<f64> {
        let members = self.sensors.iter().filter(|sensor| basis.members.contains(&sensor.id));
        members
            .map(|sensor| sensor.gain_error_pct)
            .collect::<Option<Vec<f64>>>()?
            .into_iter()
            .reduce(f64::max)
    }

    /// Every sensor that measures energy, counted or not.
    fn devices(&self, timeline: &Timeline, window: Window) -> Vec<DeviceEnergy> {
        let measuring = self.sensors.iter().filter(|sensor| sensor.measures_energy());
        measuring
            .map(|sensor| {
                let whole = [Share::whole(window.start, window.end)];
                let energy = self.sensor_energy(timeline, sensor.id, &whole).ok();
                DeviceEnergy {
                    sensor: format!("{}:{}:{}", sensor.kind, sensor.source, sensor.uuid),
                    host: sensor.host.clone(),
                    joules: energy.map(|energy| energy.energy.0),
                    lower: energy.map(|energy| energy.lower.0),
                    upper: energy.map(|energy| energy.upper.0),
                }
            })
            .collect()
    }

    fn phases(&self, timeline: &Timeline, window: Window, energy: &EnergyMetrics) -> PhaseMetrics {
        let Some(first_token) = window.first_token else {
            return PhaseMetrics {
                basis: Some("no_first_token".to_owned()),
                ..PhaseMetrics::default()
            };
        };
        let millis = |from: Nanos, to: Nanos| to.since(from).as_secs_f64() * 1e3;
        let mut phases = PhaseMetrics {
            prefill_duration_ms: Some(millis(window.start, first_token)),
            decode_duration_ms: Some(millis(first_token, window.end)),
            basis: energy.basis.clone().or_else(|| energy.status.clone()),
            ..PhaseMetrics::default()
        };
        let Some(whole) = energy.basis_joules else {
            phases.basis.clone_from(&energy.status);
            return phases;
        };
        let energy = |from: Nanos, to: Nanos| {
            self.shared(timeline, self.members(), &self.load.shares(from, to))
        };
        let parts = energy(window.start, first_token).and_then(|prefill| {
            energy(first_token, window.end)?;
            Ok(prefill.energy.0)
        });
        match parts {
            Ok(prefill) => {
                // Energies lie on a grid, so this difference is exact.
                phases.prefill_energy_j = Some(prefill);
                phases.decode_energy_j = Some(whole - prefill);
                phases.prefill_power_avg_w = per_second(prefill, phases.prefill_duration_ms);
                phases.decode_power_avg_w = per_second(whole - prefill, phases.decode_duration_ms);
            }
            Err(reason) => phases.basis = Some(reason),
        }
        phases
    }

    fn power(&self, timeline: &Timeline, window: Window, parts: &Parts) -> PowerMetrics {
        let pair = |ids: &[u32]| {
            let steps = self.steps(timeline, ids, window);
            PowerPair {
                per_query_watts: power::stats(&power::shared(&steps, &parts.own)),
                total_watts: power::stats(&steps),
            }
        };
        let group = |kind| pair(&self.ids(kind));
        PowerMetrics {
            gpu: group(SensorKind::Gpu),
            cpu: group(SensorKind::CpuPackage),
            ane: group(SensorKind::Ane),
            soc: pair(&self.soc()),
        }
    }

    /// Power of a set of sensors together.
    fn steps(&self, timeline: &Timeline, ids: &[u32], window: Window) -> Vec<power::Step> {
        let devices: Vec<_> = self
            .sensors
            .iter()
            .filter(|sensor| ids.contains(&sensor.id))
            .map(|sensor| {
                let reads = timeline.sensor(sensor.id);
                let solved = self.solved.get(&sensor.id);
                power::steps(sensor, reads, window.start, window.end, self.sampling, solved)
            })
            .collect();
        power::sum(&devices)
    }

    fn gpu_utilization(&self, timeline: &Timeline, gpus: &[u32], window: Window) -> GpuUtilization {
        let average = |value: fn(&SensorReading) -> Option<f64>, fold: fn(&[f64]) -> f64| {
            self.sampled(timeline, gpus, window, value, fold).avg
        };
        GpuUtilization {
            compute_utilization_pct: average(|read| read.compute_utilization_pct, mean),
            memory_bandwidth_utilization_pct: average(|read| read.memory_utilization_pct, mean),
            tensor_core_utilization_pct: average(|read| read.tensor_utilization_pct, mean),
            memory_used_gb: average(|read| gib(read.memory_used_bytes), sum),
            memory_total_gb: average(|read| gib(read.memory_total_bytes), sum),
        }
    }

    /// A figure over the reads inside the window, folded over the sensors at each of the first one's
    /// reads. Unknown if one sensor doesn't have it.
    fn sampled(
        &self,
        timeline: &Timeline,
        sensors: &[u32],
        window: Window,
        value: impl Fn(&SensorReading) -> Option<f64>,
        fold: impl Fn(&[f64]) -> f64,
    ) -> Stats {
        let Some((first, others)) = sensors.split_first() else { return Stats::default() };
        let values: Vec<f64> = timeline
            .inside(*first, window.start, window.end)
            .iter()
            .filter_map(|read| {
                let rest = others
                    .iter()
                    .map(|id| nearest(timeline.sensor(*id), read.read_end).and_then(&value));
                let all: Option<Vec<f64>> = std::iter::once(value(read)).chain(rest).collect();
                Some(fold(&all?))
            })
            .collect();
        summarize(&values)
    }
}

fn per_second(joules: f64, millis: Option<f64>) -> Option<f64> {
    millis.filter(|millis| *millis > 0.0).map(|millis| joules / (millis / 1e3))
}

/// A query's window as it has it, share by share, and as its devices do.
struct Parts {
    own: Vec<Share>,
    whole: [Share; 1],
}

impl Parts {
    fn of(load: &Load, window: Window) -> Self {
        let whole = [Share::whole(window.start, window.end)];
        Self { own: load.shares(window.start, window.end), whole }
    }

    /// Whether no other query was under way.
    fn is_alone(&self) -> bool {
        self.own == self.whole
    }
}

/// A group of devices' energy in a window: the query's share, and all of it.
struct Group {
    own: Option<EnergyEstimate>,
    whole: Option<EnergyEstimate>,
}

/// Sums of estimates, and of their bounds; the weakest method and coverage hold for the sum. Counters
/// move at times of their own, so that their errors have nothing to do with each other.
fn add(a: EnergyEstimate, b: EnergyEstimate) -> EnergyEstimate {
    let weight = |method| match method {
        Method::Counter => 0,
        Method::Integrated => 1,
        Method::Estimated => 2,
    };
    EnergyEstimate {
        energy: a.energy + b.energy,
        lower: a.lower + b.lower,
        upper: a.upper + b.upper,
        limited: a.limited.zip(b.limited).map(|(a, b)| (a.0 + b.0, a.1 + b.1)),
        sd: a.sd.zip(b.sd).map(|(a, b)| Joules(a.0.hypot(b.0))),
        method: if weight(a.method) >= weight(b.method) { a.method } else { b.method },
        coverage: a.coverage.min(b.coverage),
    }
}

/// The read closest to an instant, if one is within a second of it.
fn nearest(reads: &[SensorReading], at: Nanos) -> Option<&SensorReading> {
    let next = reads.partition_point(|read| read.read_end < at);
    let around = reads[next.saturating_sub(1)..(next + 1).min(reads.len())].iter();
    around
        .filter(|read| read.read_end.0.abs_diff(at.0) <= 1_000_000_000)
        .min_by_key(|read| read.read_end.0.abs_diff(at.0))
}

fn used_mb(read: &SensorReading) -> Option<f64> {
    read.memory_used_bytes.map(|bytes| bytes as f64 / MIB)
}

fn gib(bytes: Option<u64>) -> Option<f64> {
    bytes.map(|bytes| bytes as f64 / GIB)
}

fn sum(values: &[f64]) -> f64 {
    values.iter().sum()
}

fn mean(values: &[f64]) -> f64 {
    sum(values) / values.len() as f64
}

fn max(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

impl Measured {
    /// The same without what only the final pass can say of a query that shared its devices with others:
    /// its part of their energy and power. What holds for the devices as a whole stays.
    #[must_use]
    pub fn unshared(self) -> Self {
        let Self { energy, power, phases, .. } = self;
        // Without a basis there is nothing to share, for the reason that is known.
        let status = energy.basis.as_ref().map(|_| SHARED.to_owned()).or(energy.status);
        let has_phases = phases.prefill_duration_ms.is_some();
        let whole = |pair: PowerPair| PowerPair { per_query_watts: Stats::default(), ..pair };
        Self {
            phases: PhaseMetrics {
                prefill_duration_ms: phases.prefill_duration_ms,
                decode_duration_ms: phases.decode_duration_ms,
                basis: if has_phases { status.clone() } else { phases.basis },
                ..PhaseMetrics::default()
            },
            energy: EnergyMetrics { basis: energy.basis, status, ..EnergyMetrics::default() },
            power: PowerMetrics {
                gpu: whole(power.gpu),
                cpu: whole(power.cpu),
                ane: whole(power.ane),
                soc: whole(power.soc),
            },
            ..self
        }
    }
}

#[cfg(test)]
#[path = "measure/tests.rs"]
mod tests;
