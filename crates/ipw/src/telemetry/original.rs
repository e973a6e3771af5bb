//! An original Intelligence-per-Watt monitor: no `Describe`, sums over the host instead of sensors,
//! plain doubles with -1 for unknown, and wall time only. From its messages to readings on our clock.
//!
//! A plain double that is exactly zero isn't on the wire, so a zero and a field that this monitor never
//! had look the same. A figure is taken only where its message shows which it is.
//!
//! A reading stands at its wall time, moved by the least delay between that time and its arrival. What
//! isn't known of that: the spread of the delays, and how long the fastest message took.

use std::collections::VecDeque;
use std::time::Duration;

use energy_proto::{
    ClockAnchor, Description, Nanos, Reading, SensorInfo, SensorKind, SensorReading, SkippedSource,
    Status, Watts, pb,
};

/// The `source` of its sensors.
pub const SOURCE: &str = "original";

/// Delays of which the spread is taken.
const DELAYS: usize = 512;
/// A wall clock that moves by more than this against ours was set.
const CLOCK_STEP: i128 = 1_000_000_000;
/// Energies above this don't keep their microjoules in a double, and are no host's.
const MOST_JOULES: f64 = 9e9;

/// Its platforms on which fields 1 to 4 are those of GPUs.
const GPU_PLATFORMS: [&str; 4] = ["nvidia", "amd", "intel", "macos"];

/// Sensor ids, which are the same with every original monitor.
const GPU: u32 = 0;
const CPU: u32 = 1;
const ANE: u32 = 2;
const MEMORY: u32 = 3;

/// What a plain double says.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Told {
    /// Negative or no number: not known.
    Unknown,
    /// Zero, or a field that this monitor doesn't have.
    Nothing,
    /// A figure.
    Figure(f64),
}

impl Told {
    fn of(field: Option<f64>) -> Self {
        match field {
            None | Some(0.0) => Self::Nothing,
            Some(value) if value.is_finite() && value > 0.0 => Self::Figure(value),
            Some(_) => Self::Unknown,
        }
    }

    fn figure(self) -> Option<f64> {
        match self {
            Self::Figure(value) => Some(value),
            Self::Unknown | Self::Nothing => None,
        }
    }

    /// The figure, where nothing is known to mean zero if `zero` holds.
    fn or_zero(self, zero: bool) -> Option<f64> {
        if self == Self::Nothing && zero { Some(0.0) } else { self.figure() }
    }
}

/// Energy and power of one of the sums.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Rail {
    microjoules: Option<u64>,
    watts: Option<f64>,
}

impl Rail {
    /// `off`: the message shows that both are measured, so that nothing is zero.
    fn of(joules: Option<f64>, watts: Option<f64>, off: bool) -> Self {
        let (joules, watts) = (Told::of(joules), Told::of(watts));
        // With power, an energy of nothing is one that has just begun to be counted.
        let begun = off || watts.figure().is_some();
        let joules = joules.or_zero(begun).filter(|joules| *joules <= MOST_JOULES);
        Self {
            microjoules: joules.map(|joules| (joules * 1e6).round() as u64),
            watts: watts.or_zero(off),
        }
    }
}

fn is_platform(message: &pb::TelemetryReading, platform: &str) -> bool {
    message.platform.eq_ignore_ascii_case(platform)
}

fn is_apple(message: &pb::TelemetryReading) -> bool {
    is_platform(message, "macos")
}

fn has_gpu(message: &pb::TelemetryReading) -> bool {
    GPU_PLATFORMS.iter().any(|platform| is_platform(message, platform))
}

fn rail(message: &pb::TelemetryReading, sensor: u32) -> Rail {
    match sensor {
        GPU if has_gpu(message) => Rail::of(message.energy_joules, message.power_watts, false),
        CPU => Rail::of(message.cpu_energy_joules, message.cpu_power_watts, false),
        ANE if is_apple(message) => {
            // `powermetrics` tells its three rails together, and the neural engine rests mostly.
            let told = Told::of(message.cpu_power_watts).figure().is_some();
            Rail::of(message.ane_energy_joules, message.ane_power_watts, told)
        }
        _ => Rail::default(),
    }
}

const MIB: f64 = 1024.0 * 1024.0;

fn bytes(mebibytes: Option<f64>) -> Option<u64> {
    // Beyond 2^53 bytes a double is no count of bytes any more.
    let known = Told::of(mebibytes).figure().filter(|mebibytes| *mebibytes < 8.6e9);
    known.map(|mebibytes| (mebibytes * MIB).round() as u64)
}

fn percent(field: Option<f64>, message: &pb::TelemetryReading) -> Option<f64> {
    // An earlier one has none of these fields. One that has them says -1 for what it doesn't know.
    let fields = [
        message.gpu_compute_utilization_pct,
        message.gpu_memory_bandwidth_utilization_pct,
        message.gpu_tensor_core_utilization_pct,
        message.gpu_memory_total_mb,
    ];
    let has_them = fields.into_iter().any(|field| Told::of(field) != Told::Nothing);
    Told::of(field).or_zero(has_them).filter(|percent| *percent <= 100.0)
}

fn figures(message: &pb::TelemetryReading, read: &mut SensorReading) {
    match read.sensor {
        GPU if has_gpu(message) => {
            read.temperature_celsius = Told::of(message.temperature_celsius).figure();
            read.memory_used_bytes = bytes(message.gpu_memory_usage_mb);
            read.memory_total_bytes = bytes(message.gpu_memory_total_mb);
            read.compute_utilization_pct = percent(message.gpu_compute_utilization_pct, message);
            read.memory_utilization_pct =
                percent(message.gpu_memory_bandwidth_utilization_pct, message);
        }
        MEMORY => read.memory_used_bytes = bytes(message.cpu_memory_usage_mb),
        _ => {}
    }
}

/// What an original monitor measures, by its first messages. `None` without one.
pub(super) fn description(first: &[pb::TelemetryReading]) -> Option<Description> {
    let newest = first.last()?;
    let system_info =
        first.iter().find_map(|message| message.system_info.clone()).unwrap_or_default();
    let gpu_info = first.iter().find_map(|message| message.gpu_info.clone());
    let gpu_name = gpu_info.as_ref().map(|gpu| gpu.name.clone()).unwrap_or_default();
    let mut sensors = Vec::new();
    for (id, kind, name) in [
        (GPU, SensorKind::Gpu, gpu_name.as_str()),
        (CPU, SensorKind::CpuPackage, system_info.cpu_brand.as_str()),
        (ANE, SensorKind::Ane, "ANE"),
        (MEMORY, SensorKind::Memory, "memory"),
    ] {
        let measures = measures(id, first);
        // All rails of an Apple chip are members of its basis, those without a figure too.
        let belongs = is_apple(newest) && id != MEMORY;
        if measures.is_empty() && !belongs {
            continue;
        }
        sensors.push(SensorInfo {
            name: if name.is_empty() { kind.as_str().to_owned() } else { name.to_owned() },
            host: system_info.host_name.clone(),
            uuid: format!("{SOURCE}:{kind}"),
            status: if measures.is_empty() { Status::Unsupported } else { Status::Ok },
            measures,
            // It reads, then stamps, and how long it read isn't told: but not since before its last
            // stamp.
            publication_lag: Some(interval(first)),
            note: note(kind),
            ..SensorInfo::new(id, kind, SOURCE)
        });
    }
    Some(Description {
        api: SOURCE.to_owned(),
        version: SOURCE.to_owned(),
        instance: 0,
        boot_id: None,
        time_namespace: None,
        anchor: ClockAnchor { monotonic: Nanos(0), unix_nanos: 0 },
        platform: newest.platform.clone(),
        interval: interval(first),
        system_info: system_info.into(),
        gpu_info: gpu_info.map(Into::into),
        skipped: skipped(newest),
        sensors,
        missed_ticks: 0,
    })
}

fn note(kind: SensorKind) -> String {
    match kind {
        SensorKind::Gpu => "of an original monitor: all GPUs of its host as one".to_owned(),
        _ => "of an original monitor".to_owned(),
    }
}

fn measures(sensor: u32, messages: &[pb::TelemetryReading]) -> Vec<String> {
    let reads: Vec<SensorReading> = messages
        .iter()
        .map(|message| {
            let mut read = SensorReading::empty(sensor, Nanos(0), Nanos(0), Status::Ok);
            let Rail { microjoules, watts } = rail(message, sensor);
            (read.energy_microjoules, read.power) = (microjoules, watts.map(Watts));
            figures(message, &mut read);
            read
        })
        .collect();
    type Shows = fn(&SensorReading) -> bool;
    let shown: [(&str, Shows); 5] = [
        ("energy", |read| read.energy_microjoules.is_some()),
        ("power", |read| read.power.is_some()),
        ("temperature", |read| read.temperature_celsius.is_some()),
        ("memory", |read| read.memory_used_bytes.is_some()),
        ("utilization", |read| read.compute_utilization_pct.is_some()),
    ];
    let shown = shown.into_iter().filter(|(_, shows)| reads.iter().any(shows));
    shown.map(|(figure, _)| figure.to_owned()).collect()
}

fn skipped(message: &pb::TelemetryReading) -> Vec<SkippedSource> {
    let unclear = !has_gpu(message) && Told::of(message.power_watts).figure().is_some();
    let skipped = unclear.then(|| SkippedSource {
        source: SOURCE.to_owned(),
        reason: format!(
            "its platform `{}` doesn't say whose power its power_watts is",
            message.platform
        ),
        remedy: "run the energy-monitor of this version there".to_owned(),
    });
    skipped.into_iter().collect()
}

/// The usual time between two messages; zero if there is but one.
fn interval(messages: &[pb::TelemetryReading]) -> Duration {
    let mut steps: Vec<i64> = messages
        .windows(2)
        .map(|pair| pair[1].timestamp_nanos.saturating_sub(pair[0].timestamp_nanos))
        .filter(|step| *step > 0)
        .collect();
    steps.sort_unstable();
    let middle = steps.get(steps.len() / 2).copied().unwrap_or(0);
    // Nobody asks for a part of a millisecond.
    Duration::from_millis(u64::try_from(middle).unwrap_or(0).saturating_add(500_000) / 1_000_000)
}

/// One sum's counter so far.
#[derive(Debug, Clone, Copy, Default)]
struct Counter {
    epoch: u32,
    value: Option<u64>,
    /// When a message last had a value.
    seen: Option<Nanos>,
    changed_after: Option<Nanos>,
    changed_before: Option<Nanos>,
}

impl Counter {
    fn begin_again(&mut self) {
        *self = Self { epoch: self.epoch.wrapping_add(1), ..Self::default() };
    }

    /// Takes a value that was there at `at` and may not have been at the last read that had one: what
    /// it was at a read without one isn't known. False if it started again.
    fn take(&mut self, value: Option<u64>, at: Nanos) -> bool {
        let Some(value) = value else { return true };
        let decreased = self.value.is_some_and(|before| value < before);
        if decreased {
            self.begin_again();
        }
        if self.value != Some(value) {
            self.changed_after = self.seen;
            self.changed_before = Some(at);
            self.value = Some(value);
        }
        self.seen = Some(at);
        !decreased
    }
}

/// Turns the messages of one original monitor into readings.
#[derive(Debug)]
pub(super) struct Original {
    sensors: Vec<u32>,
    counters: [Counter; 3],
    /// The fastest round trip to it: no message took longer one way.
    round_trip: Duration,
    /// Arrival on our clock minus wall time: the least since it was last set, and the last ones.
    least_delay: Option<i128>,
    delays: VecDeque<i128>,
    stamp: i64,
    placed: Option<Nanos>,
    sequence: u64,
    instance: u64,
}

impl Original {
    pub(super) fn new(description: &Description, round_trip: Duration) -> Self {
        Self {
            sensors: description.sensors.iter().map(|sensor| sensor.id).collect(),
            counters: Default::default(),
            round_trip,
            least_delay: None,
            delays: VecDeque::new(),
            stamp: i64::MIN,
            placed: None,
            sequence: 0,
            instance: fastrand::u64(..),
        }
    }

    /// After a lost connection: whether it is the same monitor, with the same zero of energy, isn't
    /// known.
    pub(super) fn reconnected(&mut self, round_trip: Duration) {
        self.round_trip = self.round_trip.max(round_trip);
        self.instance = fastrand::u64(..);
        self.begin_again();
    }

    fn begin_again(&mut self) {
        self.counters.iter_mut().for_each(Counter::begin_again);
        self.least_delay = None;
        self.delays.clear();
        self.stamp = i64::MIN;
    }

    /// The reading in a message that arrived at `arrival`; `None` if it says nothing new.
    pub(super) fn read(
        &mut self,
        message: &pb::TelemetryReading,
        arrival: Nanos,
    ) -> Option<Reading> {
        let at = self.place(message.timestamp_nanos, arrival)?;
        self.placed = Some(at);
        self.sequence += 1;
        let counters = &mut self.counters;
        let sensors = self.sensors.iter().map(|id| {
            let mut read = SensorReading::empty(*id, at, at, Status::Ok);
            let Rail { microjoules, watts } = rail(message, *id);
            (read.energy_microjoules, read.power) = (microjoules, watts.map(Watts));
            if let Some(counter) = counters.get_mut(*id as usize) {
                if !counter.take(microjoules, at) {
                    read.status = Status::Reset;
                }
                read.epoch = counter.epoch;
                if microjoules.is_some() {
                    read.changed_after = counter.changed_after;
                    read.changed_before = counter.changed_before;
                }
            }
            figures(message, &mut read);
            read
        });
        let sensors = sensors.collect();
        Some(Reading { sequence: self.sequence, instance: self.instance, dropped: 0, at, sensors })
    }

    /// A wall time on our clock; `None` for one that is there already.
    fn place(&mut self, stamp: i64, arrival: Nanos) -> Option<Nanos> {
        // It sends its last reading again until it has another.
        if stamp == self.stamp || stamp <= 0 {
            return None;
        }
        let delay = i128::from(arrival.0) - i128::from(stamp);
        let set_back = stamp < self.stamp;
        let set_forward = self.least_delay.is_some_and(|least| delay < least - CLOCK_STEP);
        if set_back || set_forward {
            self.begin_again();
        }
        self.stamp = stamp;
        if self.delays.len() == DELAYS {
            self.delays.pop_front();
        }
        self.delays.push_back(delay);
        let least = self.least_delay.map_or(delay, |least| least.min(delay));
        self.least_delay = Some(least);
        let at = Nanos(u64::try_from(i128::from(stamp) + least).ok()?);
        // A least delay that has just become less may put it before its predecessor.
        self.placed.is_none_or(|placed| placed < at).then_some(at)
    }

    /// How far a reading may be from where it stands: all but one in twenty delays are within it, and
    /// the fastest of them took at most a round trip.
    pub(super) fn uncertainty(&self) -> Duration {
        let mut delays: Vec<i128> = self.delays.iter().copied().collect();
        delays.sort_unstable();
        let usual = delays.get((delays.len() * 19 / 20).min(delays.len().saturating_sub(1)));
        let spread = usual.zip(self.least_delay).map_or(0, |(usual, least)| usual - least);
        self.round_trip + Duration::from_nanos(u64::try_from(spread).unwrap_or(0))
    }
}

#[cfg(test)]
#[path = "original/tests.rs"]
mod tests;
