//! What a monitor measures: sensors and their readings.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{ClockAnchor, Nanos, Watts};

/// What a sensor stands for. Domains nest: a `Psys` contains packages, a `Module` contains CPU and
/// GPU, so their energies must never be added to those of their parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SensorKind {
    /// One discrete or integrated GPU.
    Gpu,
    /// One CPU package (RAPL `package`).
    CpuPackage,
    /// The memory of one CPU package (RAPL `dram`), not contained in the package.
    Dram,
    /// The whole platform (RAPL `psys`), which contains packages.
    Psys,
    /// Apple's neural engine.
    Ane,
    /// A whole system on chip: one number for CPU and GPU.
    Soc,
    /// A CPU + GPU module (Grace Hopper).
    Module,
    /// A neural processing unit.
    Npu,
    /// The host's main memory: occupancy, no energy.
    Memory,
    /// Of a kind that this version doesn't know: a part of no sum, since what it contains isn't known.
    Unknown,
}

impl SensorKind {
    const ALL: [Self; 10] = [
        Self::Gpu,
        Self::CpuPackage,
        Self::Dram,
        Self::Psys,
        Self::Ane,
        Self::Soc,
        Self::Module,
        Self::Npu,
        Self::Memory,
        Self::Unknown,
    ];

    /// The name on the wire and in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gpu => "gpu",
            Self::CpuPackage => "cpu_package",
            Self::Dram => "dram",
            Self::Psys => "psys",
            Self::Ane => "ane",
            Self::Soc => "soc",
            Self::Module => "module",
            Self::Npu => "npu",
            Self::Memory => "memory",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for SensorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A sensor kind this program has never heard of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown sensor kind `{0}`")]
pub struct UnknownSensorKind(pub String);

impl FromStr for SensorKind {
    type Err = UnknownSensorKind;
    fn from_str(name: &str) -> Result<Self, UnknownSensorKind> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| UnknownSensorKind(name.to_owned()))
    }
}

/// How far a sensor's present reading can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Read just now.
    Ok,
    /// The hardware or driver has no such figure.
    Unsupported,
    /// It exists, but this process may not read it.
    PermissionDenied,
    /// The last read is older than it should be: the driver hangs or is slow.
    Stale,
    /// The counter started again: a new epoch.
    Reset,
    /// The device was there and is gone.
    Lost,
    /// The value can't be true and was withheld.
    Implausible,
}

impl Status {
    /// The name in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unsupported => "unsupported",
            Self::PermissionDenied => "permission_denied",
            Self::Stale => "stale",
            Self::Reset => "reset",
            Self::Lost => "lost",
            Self::Implausible => "implausible",
        }
    }
}

/// Why a device's clocks are lower than they could be: a set of reasons, empty if nothing holds them.
/// The bits are those of `ThrottleReason` on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Throttle(pub u32);

impl Throttle {
    /// Software keeps the device below its power limit.
    pub const POWER_CAP: Self = Self(1);
    /// It is too hot.
    pub const THERMAL: Self = Self(2);
    /// The hardware protects itself.
    pub const HARDWARE_SLOWDOWN: Self = Self(4);
    /// An external signal, as from the power supply.
    pub const POWER_BRAKE: Self = Self(8);
    /// It is kept in step with other devices.
    pub const SYNC_BOOST: Self = Self(16);
    /// The clocks were set by somebody.
    pub const CLOCK_SETTING: Self = Self(32);

    const NAMES: [(Self, &str); 6] = [
        (Self::POWER_CAP, "power_cap"),
        (Self::THERMAL, "thermal"),
        (Self::HARDWARE_SLOWDOWN, "hardware_slowdown"),
        (Self::POWER_BRAKE, "power_brake"),
        (Self::SYNC_BOOST, "sync_boost"),
        (Self::CLOCK_SETTING, "clock_setting"),
    ];

    /// Both sets of reasons together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all reasons of `other` are among these.
    #[must_use]
    pub fn includes(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the reasons in files.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .filter(move |(reason, _)| self.includes(*reason))
            .map(|(_, name)| name)
    }
}

/// One sensor's latest read. Every figure that isn't known is `None`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SensorReading {
    /// Index into [`Description::sensors`].
    pub sensor: u32,
    /// The hardware's absolute energy counter in microjoules, unwrapped, not rebased.
    pub energy_microjoules: Option<u64>,
    /// Counter values compare only within one epoch.
    pub epoch: u32,
    /// Just before the driver was asked.
    pub read_start: Nanos,
    /// Just after it answered.
    pub read_end: Nanos,
    /// The present energy value was not there yet at this time ...
    pub changed_after: Option<Nanos>,
    /// ... and was there at this time.
    pub changed_before: Option<Nanos>,
    /// Present power.
    pub power: Option<Watts>,
    /// Temperature in degrees Celsius.
    pub temperature_celsius: Option<f64>,
    /// Occupied memory in bytes.
    pub memory_used_bytes: Option<u64>,
    /// All memory in bytes.
    pub memory_total_bytes: Option<u64>,
    /// Share of time in which the device computed, in percent.
    pub compute_utilization_pct: Option<f64>,
    /// Share of time in which the device's memory was read or written, in percent.
    pub memory_utilization_pct: Option<f64>,
    /// Number of processes that hold memory on this GPU.
    pub process_count: Option<u32>,
    /// Share of time in which tensor cores were busy, in percent.
    pub tensor_utilization_pct: Option<f64>,
    /// Clock of the compute units in MHz.
    pub compute_clock_mhz: Option<u32>,
    /// Clock of the device's memory in MHz.
    pub memory_clock_mhz: Option<u32>,
    /// Why the clocks are lower than they could be.
    pub throttle: Option<Throttle>,
    /// The driver's own time of `power`, where it gives one.
    pub power_at: Option<Nanos>,
    /// Trust in this read.
    pub status: Status,
}

impl SensorReading {
    /// A read with no figure in it yet.
    #[must_use]
    pub fn empty(sensor: u32, read_start: Nanos, read_end: Nanos, status: Status) -> Self {
        Self {
            sensor,
            energy_microjoules: None,
            epoch: 0,
            read_start,
            read_end,
            changed_after: None,
            changed_before: None,
            power: None,
            temperature_celsius: None,
            memory_used_bytes: None,
            memory_total_bytes: None,
            compute_utilization_pct: None,
            memory_utilization_pct: None,
            process_count: None,
            tensor_utilization_pct: None,
            compute_clock_mhz: None,
            memory_clock_mhz: None,
            throttle: None,
            power_at: None,
            status,
        }
    }
}

/// What one sampling tick saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Counts the monitor's sampling ticks.
    pub sequence: u64,
    /// Which start of which monitor this is.
    pub instance: u64,
    /// Readings this subscriber has lost so far for being slow.
    pub dropped: u64,
    /// When the tick composed it.
    pub at: Nanos,
    /// Each sensor's latest read; a sensor that hasn't answered yet is absent.
    pub sensors: Vec<SensorReading>,
}

/// A sensor as `Describe` tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SensorInfo {
    /// Its index.
    pub id: u32,
    /// What it stands for.
    pub kind: SensorKind,
    /// The device's name as its driver gives it.
    pub name: String,
    /// Which source reads it: `nvml`, `rapl_perf`, `rapl_powercap`, `estimate`, ...
    pub source: String,
    /// The host it is on.
    pub host: String,
    /// A GPU's UUID, else the path of the counter.
    pub uuid: String,
    /// The figures it can give: `energy`, `power`, `temperature`, `memory`, `utilization`, `processes`,
    /// `tensor_utilization`, `clocks`, `throttle`.
    pub measures: Vec<String>,
    /// How often its energy counter moves, where that is known.
    #[serde(rename = "update_period_nanos", with = "crate::duration_nanos", default)]
    pub update_period: Option<Duration>,
    /// The step of its energy counter, where that is known.
    pub quantum_microjoules: Option<u64>,
    /// Gain error of the sensor in percent, either way, where it is known.
    pub gain_error_pct: Option<f64>,
    /// The most power the device is allowed to take.
    pub power_limit: Option<Watts>,
    /// Trust in the sensor as a whole.
    pub status: Status,
    /// What to do about a status that isn't ok; empty if there is nothing to do.
    pub remedy: String,
    /// Median time of a read of the driver.
    #[serde(rename = "read_latency_p50_nanos", with = "crate::duration_nanos", default)]
    pub read_latency_p50: Option<Duration>,
    /// All but one in a hundred reads take no longer.
    #[serde(rename = "read_latency_p99_nanos", with = "crate::duration_nanos", default)]
    pub read_latency_p99: Option<Duration>,
    /// How old a value is when it appears, where that is known.
    #[serde(rename = "publication_lag_nanos", with = "crate::duration_nanos", default)]
    pub publication_lag: Option<Duration>,
    /// The hardware's counter goes on at zero after so much.
    #[serde(default)]
    pub wrap_microjoules: Option<u64>,
    /// Power is a mean over this time; zero is instantaneous.
    #[serde(rename = "power_window_nanos", with = "crate::duration_nanos", default)]
    pub power_window: Option<Duration>,
    /// Mean time between two reads on a schedule of its own; `None` if it is read at each tick.
    #[serde(rename = "read_period_nanos", with = "crate::duration_nanos", default)]
    pub read_period: Option<Duration>,
    /// Whether period and quantum were found by watching this counter; if not, they are documented
    /// ones.
    #[serde(default)]
    pub characterized: bool,
    /// What a reader of its figures must know, as that MIG is on; empty if nothing.
    #[serde(default)]
    pub note: String,
}

impl SensorInfo {
    /// A sensor of which nothing more is known.
    #[must_use]
    pub fn new(id: u32, kind: SensorKind, source: &str) -> Self {
        Self {
            id,
            kind,
            name: String::new(),
            source: source.to_owned(),
            host: String::new(),
            uuid: String::new(),
            measures: Vec::new(),
            update_period: None,
            quantum_microjoules: None,
            gain_error_pct: None,
            power_limit: None,
            status: Status::Ok,
            remedy: String::new(),
            read_latency_p50: None,
            read_latency_p99: None,
            publication_lag: None,
            wrap_microjoules: None,
            power_window: None,
            read_period: None,
            characterized: false,
            note: String::new(),
        }
    }

    /// Whether this sensor has an energy counter or power that can be integrated.
    #[must_use]
    pub fn measures_energy(&self) -> bool {
        self.gives("energy") || self.gives("power")
    }

    /// Whether it has such and may be read.
    #[must_use]
    pub fn shows_energy(&self) -> bool {
        let withheld = matches!(self.status, Status::PermissionDenied | Status::Unsupported);
        self.measures_energy() && !withheld
    }

    /// Whether its figures are made up from a model rather than read from hardware.
    #[must_use]
    pub fn is_estimate(&self) -> bool {
        self.source == "estimate"
    }

    /// Whether it can give this figure.
    #[must_use]
    pub fn gives(&self, figure: &str) -> bool {
        self.measures.iter().any(|known| known == figure)
    }
}

/// A source this program knows that isn't used on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedSource {
    /// Its name, as for `--sources`.
    pub source: String,
    /// Why it isn't used.
    pub reason: String,
    /// What would make it usable; empty if nothing would.
    pub remedy: String,
}

/// The host's operating system and processor.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct SystemInfo {
    pub os_name: String,
    pub os_version: String,
    pub kernel_version: String,
    pub host_name: String,
    pub cpu_count: u32,
    pub cpu_brand: String,
}

/// The host's first GPU, in the original's words.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct GpuInfo {
    pub name: String,
    pub vendor: String,
    pub device_id: u64,
    pub device_type: String,
    pub backend: String,
}

/// All that a monitor says of itself and its sensors.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// The contract it speaks: [`crate::API`].
    pub api: String,
    /// Its program version.
    pub version: String,
    /// Random, new at each start.
    pub instance: u64,
    /// See [`crate::boot_id`].
    pub boot_id: Option<String>,
    /// See [`crate::time_namespace`].
    pub time_namespace: Option<u64>,
    /// Its clocks at the time of the call.
    pub anchor: ClockAnchor,
    /// The first of nvidia, amd, intel, macos, jetson, rapl, estimate, scripted, null that gives the
    /// GPU's energy, else the CPU's.
    pub platform: String,
    /// Time between two sampling ticks.
    pub interval: Duration,
    /// The host.
    pub system_info: SystemInfo,
    /// Its first GPU.
    pub gpu_info: Option<GpuInfo>,
    /// What is measured.
    pub sensors: Vec<SensorInfo>,
    /// What isn't, and why.
    pub skipped: Vec<SkippedSource>,
    /// Sampling ticks so far that came too late to be made.
    pub missed_ticks: u64,
}
