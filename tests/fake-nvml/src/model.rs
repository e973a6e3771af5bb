//! The model: what each fake GPU does as a function of time.
//!
//! It reads no clock, no environment and, but for a load's, no file. Power in watts, energy in millijoules (as NVML counts)
//! or [`Joules`], times in nanoseconds of the monotonic clock.

use std::time::Duration;

use energy_proto::{Joules, Nanos};
use serde::{Deserialize, Serialize};

use crate::fault::{Failure, Fault, Metric, OverPoll};
use crate::shape::PowerShape;

/// A model that can't be read.
#[derive(Debug)]
pub enum ModelError {
    /// The file behind `@path`.
    Unreadable(std::io::Error),
    /// Its JSON.
    Malformed(serde_json::Error),
}

impl std::fmt::Display for ModelError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "cannot read the fake's model: {error}"),
            Self::Malformed(error) => write!(f, "the fake's model is not valid: {error}"),
        }
    }
}

impl std::error::Error for ModelError {}

/// A whole fake driver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Model {
    /// What the driver calls its version.
    pub driver_version: String,
    /// `nvmlInit` fails with this.
    pub init_error: Option<Failure>,
    /// Every metric of every GPU answers `NotSupported`, as on a Jetson.
    pub supports_nothing: bool,
    /// The GPUs in their order.
    pub gpus: Vec<Gpu>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            driver_version: "0.0.fake".to_owned(),
            init_error: None,
            supports_nothing: false,
            gpus: vec![Gpu::default()],
        }
    }
}

impl Model {
    /// Reads a model from JSON, or from the file named by `@path`.
    ///
    /// # Errors
    /// If the file can't be read or the text isn't a model.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let json = match text.strip_prefix('@') {
            Some(path) => std::fs::read_to_string(path).map_err(ModelError::Unreadable)?,
            None => text.to_owned(),
        };
        serde_json::from_str(&json).map_err(ModelError::Malformed)
    }

    /// This model as the text that [`Model::parse`] reads.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a model has no map with keys that aren't text")
    }
}

/// One fake GPU. What it does by default is simpler than any real one: see [`Gpu::like_an_h100`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gpu {
    /// Its product name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// Its CUDA compute capability, major and minor.
    pub compute_capability: (i32, i32),
    /// Time between two refreshes of counter and power.
    pub refresh_ms: u64,
    /// By how much its refreshes are later than the whole multiples of `refresh_ms`.
    pub phase_ms: u64,
    /// Each refresh comes later than it should by up to so much, the same at each run; less than
    /// `refresh_ms`.
    pub jitter_us: u64,
    /// What a refresh shows was true so long before.
    pub publication_lag_ms: u64,
    /// So many times the true energy and power are shown.
    pub gain: f64,
    /// How long a call for a figure takes.
    pub call_latency_us: u64,
    /// Power by `nvmlDeviceGetPowerUsage` is the mean over this time; zero is instantaneous.
    pub averaging_ms: u64,
    /// Whether power is a field value too, at the instant of the last refresh.
    pub instant_power: bool,
    /// By how much the time of a field value is wrong.
    pub timestamp_error_ms: i64,
    /// True power.
    pub power: PowerShape,
    /// True power of the module that the GPU is a part of, on a superchip.
    pub module_power: Option<PowerShape>,
    /// What the counter had counted when the monotonic clock was zero.
    pub base_millijoules: u64,
    /// Whether a read that finds the counter unmoved drops what was taken since it last moved, as on
    /// consumer cards.
    pub loses_energy_when_read: bool,
    /// What happens when energy or power are asked for too often.
    pub over_poll: Option<OverPoll>,
    /// Die temperature.
    pub temperature_celsius: u32,
    /// Its memory.
    pub memory: Memory,
    /// How busy it says it is.
    pub utilization: Utilization,
    /// Its clocks.
    pub clocks: Clocks,
    /// Why they are low: the bits of `nvmlClocksEventReason*`.
    pub throttle_reasons: u64,
    /// How busy its tensor cores are, in percent for watts, where it has GPM.
    pub tensor_pct: Option<PowerShape>,
    /// Whether MIG is on, where it has MIG.
    pub mig: Option<bool>,
    /// Its enforced power limit.
    pub power_limit_watts: u32,
    /// Process ids that hold memory for computing.
    pub compute_processes: Vec<u32>,
    /// Process ids that hold memory for graphics.
    pub graphics_processes: Vec<u32>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

impl Default for Gpu {
    fn default() -> Self {
        Self {
            name: "FAKE GPU".to_owned(),
            uuid: "GPU-fake0000-0000-0000-0000-000000000000".to_owned(),
            compute_capability: (8, 0),
            refresh_ms: 100,
            phase_ms: 0,
            jitter_us: 0,
            publication_lag_ms: 0,
            gain: 1.0,
            call_latency_us: 0,
            averaging_ms: 0,
            instant_power: false,
            timestamp_error_ms: 0,
            power: PowerShape::Constant { watts: 300.0 },
            module_power: None,
            base_millijoules: 1_000_000_000,
            loses_energy_when_read: false,
            over_poll: None,
            temperature_celsius: 45,
            memory: Memory { used_bytes: 8 << 30, total_bytes: 80 << 30 },
            utilization: Utilization { compute_pct: 50, memory_pct: 25 },
            clocks: Clocks { compute_mhz: 1_980, memory_mhz: 2_619 },
            throttle_reasons: 0,
            tensor_pct: None,
            mig: None,
            power_limit_watts: 700,
            compute_processes: Vec::new(),
            graphics_processes: Vec::new(),
            faults: Vec::new(),
        }
    }
}

/// Occupied and whole memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Occupied bytes.
    pub used_bytes: u64,
    /// All bytes.
    pub total_bytes: u64,
}

/// Reported utilisation in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Utilization {
    /// Of the compute units.
    pub compute_pct: u32,
    /// Of the memory interface.
    pub memory_pct: u32,
}

/// Clocks in MHz.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clocks {
    /// Of the compute units.
    pub compute_mhz: u32,
    /// Of the memory.
    pub memory_mhz: u32,
}

impl Gpu {
    /// A board that has every figure, as a Hopper has: power as a field value and as a mean over a
    /// second, tensor activity, MIG (off).
    #[must_use]
    pub fn like_an_h100() -> Self {
        Self {
            name: "FAKE H100".to_owned(),
            compute_capability: (9, 0),
            averaging_ms: 1_000,
            instant_power: true,
            tensor_pct: Some(PowerShape::Constant { watts: 40.0 }),
            mig: Some(false),
            ..Self::default()
        }
    }

    /// The energy that this GPU truly took from one instant to another.
    #[must_use]
    pub fn true_energy(&self, from: Nanos, to: Nanos) -> Joules {
        self.power.energy(from, to)
    }

    /// The last refresh at or before an instant.
    #[must_use]
    pub fn last_refresh(&self, at: Nanos) -> Nanos {
        let (refresh, phase) = (self.refresh_ms * 1_000_000, self.phase_ms * 1_000_000);
        let Some(since_phase) = at.0.checked_sub(phase) else { return Nanos(0) };
        let number = since_phase / refresh;
        let instant = |number| phase + number * refresh + self.jitter(number);
        match (instant(number) <= at.0, number.checked_sub(1)) {
            (true, _) => Nanos(instant(number)),
            (false, Some(before)) => Nanos(instant(before)),
            (false, None) => Nanos(0),
        }
    }

    /// How late a refresh is, in nanoseconds.
    fn jitter(&self, number: u64) -> u64 {
        match self.jitter_us * 1_000 {
            0 => 0,
            most => scrambled(number) % most,
        }
    }

    /// What the energy counter shows at an instant, in whole millijoules.
    #[must_use]
    pub fn counter_millijoules(&self, at: Nanos) -> u64 {
        let (mut at, mut factor, mut restarted) = (at, 1, None);
        for fault in &self.faults {
            match *fault {
                Fault::EnergyFreezes { from } => at = at.min(from),
                Fault::EnergyMultiplied { factor: times, from } if at >= from => factor = times,
                Fault::EnergyRestarts { at: instant } | Fault::Reloads { until: instant, .. }
                    if at >= instant =>
                {
                    restarted = Some(instant);
                }
                _ => {}
            }
        }
        let base = if restarted.is_some() { 0 } else { self.base_millijoules };
        let since = restarted.unwrap_or(Nanos(0));
        let shown = self.last_refresh(at).before(self.publication_lag()).max(since);
        factor * (base + (self.gain * self.true_energy(since, shown).0 * 1e3) as u64)
    }

    /// The energy in millijoules that a counter which loses some drops, when it is read at an instant
    /// and was read last at another.
    #[must_use]
    pub fn lost_millijoules(&self, last_read: Nanos, at: Nanos) -> u64 {
        if !self.loses_energy_when_read || last_read < self.last_refresh(at) {
            return 0;
        }
        (self.true_energy(last_read, at).0 * 1e3) as u64
    }

    /// What `nvmlDeviceGetPowerUsage` shows at an instant, in milliwatts.
    #[must_use]
    pub fn shown_milliwatts(&self, at: Nanos) -> u32 {
        let measured = self.last_refresh(at).before(self.publication_lag());
        let window = Duration::from_millis(self.averaging_ms);
        let watts = if window.is_zero() {
            self.power.watts_at(measured)
        } else {
            (self.true_energy(measured.before(window), measured) / window).0
        };
        (self.gain * watts * 1e3) as u32
    }

    /// What the field value of a power shows at an instant, in milliwatts.
    #[must_use]
    pub fn instant_milliwatts(&self, power: &PowerShape, at: Nanos) -> u32 {
        let measured = self.last_refresh(at).before(self.publication_lag());
        (self.gain * power.watts_at(measured) * 1e3) as u32
    }

    fn publication_lag(&self) -> Duration {
        Duration::from_millis(self.publication_lag_ms)
    }

    /// How a call for a metric fails at an instant, if it does.
    #[must_use]
    pub fn failure(&self, metric: Metric, at: Nanos) -> Option<Failure> {
        self.faults.iter().find_map(|fault| match *fault {
            Fault::Lost { from } if at >= from => Some(Failure::GpuIsLost),
            Fault::MetricFails { metric: failing, failure, from }
                if failing == metric && at >= from =>
            {
                Some(failure)
            }
            _ => None,
        })
    }

    /// How often the driver has been loaded again until an instant; nothing while it is unloaded.
    #[must_use]
    pub fn reloads(&self, at: Nanos) -> Option<usize> {
        let reloads = || {
            self.faults.iter().filter_map(|fault| match *fault {
                Fault::Reloads { from, until } => Some((from, until)),
                _ => None,
            })
        };
        let away = reloads().any(|(from, until)| (from..until).contains(&at));
        (!away).then(|| reloads().filter(|(_, until)| *until <= at).count())
    }

    /// How long a call that begins at an instant takes, hangs included.
    #[must_use]
    pub fn hangs_for(&self, at: Nanos) -> Duration {
        let usual = Duration::from_micros(self.call_latency_us);
        let hangs = self.faults.iter().map(|fault| match *fault {
            Fault::Hangs { from, until } if at >= from => until.since(at),
            _ => Duration::ZERO,
        });
        hangs.fold(usual, Duration::max)
    }
}

/// A number that looks like chance and is the same each time: the finalizer of SplitMix64.
fn scrambled(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Nanos {
        Nanos(millis * 1_000_000)
    }

    #[test]
    fn the_counter_stands_between_refreshes_and_then_holds_the_exact_energy() {
        let gpu = Gpu {
            phase_ms: 30,
            base_millijoules: 0,
            power: PowerShape::Constant { watts: 200.0 },
            ..Gpu::default()
        };
        assert_eq!(gpu.counter_millijoules(ms(1_030)), gpu.counter_millijoules(ms(1_129)));
        assert_eq!(gpu.counter_millijoules(ms(1_130)) - gpu.counter_millijoules(ms(1_129)), 20_000);
        assert_eq!(gpu.counter_millijoules(ms(1_030)), 206_000);
    }

    #[test]
    fn a_restarted_counter_counts_from_its_restart() {
        let gpu = Gpu { faults: vec![Fault::EnergyRestarts { at: ms(1_050) }], ..Gpu::default() };
        assert!(gpu.counter_millijoules(ms(1_049)) > 1_000_000_000);
        assert_eq!(gpu.counter_millijoules(ms(1_060)), 0);
        assert_eq!(gpu.counter_millijoules(ms(1_100)), 15_000);
    }

    #[test]
    fn averaged_power_is_the_energy_of_its_window_over_its_length() {
        let gpu = Gpu {
            averaging_ms: 1_000,
            power: PowerShape::Square { low: 100.0, high: 300.0, period_ms: 2_000, duty: 0.5 },
            ..Gpu::default()
        };
        assert_eq!(gpu.shown_milliwatts(ms(4_500)), 200_000);
        assert_eq!(gpu.shown_milliwatts(ms(5_000)), 300_000);
    }

    #[test]
    fn a_fault_holds_from_its_time_on_and_for_its_metric_only() {
        let fault = Fault::MetricFails {
            metric: Metric::Temperature,
            failure: Failure::NotSupported,
            from: ms(10),
        };
        let gpu = Gpu { faults: vec![fault], ..Gpu::default() };
        assert_eq!(gpu.failure(Metric::Temperature, ms(9)), None);
        assert_eq!(gpu.failure(Metric::Temperature, ms(10)), Some(Failure::NotSupported));
        assert_eq!(gpu.failure(Metric::Energy, ms(10)), None);
    }

    #[test]
    fn a_call_within_a_hang_lasts_until_its_end() {
        let gpu =
            Gpu { faults: vec![Fault::Hangs { from: ms(10), until: ms(30) }], ..Gpu::default() };
        assert_eq!(gpu.hangs_for(ms(9)), Duration::ZERO);
        assert_eq!(gpu.hangs_for(ms(12)), Duration::from_millis(18));
        assert_eq!(gpu.hangs_for(ms(30)), Duration::ZERO);
    }

    #[test]
    fn a_model_survives_its_json_and_an_unknown_field_is_refused() {
        let mut model = Model::default();
        model.gpus.push(Gpu::like_an_h100());
        model.gpus[0].power =
            PowerShape::Square { low: 90.0, high: 500.0, period_ms: 700, duty: 0.3 };
        model.gpus[1].power = PowerShape::Load { path: "/tmp/load".into() };
        model.gpus[0].faults.push(Fault::Lost { from: ms(5) });
        assert_eq!(Model::parse(&model.to_json()).unwrap(), model);
        assert!(matches!(Model::parse(r#"{"gpu":[]}"#), Err(ModelError::Malformed(_))));
        assert!(matches!(Model::parse("@/no/such/file"), Err(ModelError::Unreadable(_))));
    }

    #[test]
    fn a_jittered_refresh_is_late_by_less_than_its_bound_and_never_goes_back() {
        let gpu = Gpu { jitter_us: 30_000, phase_ms: 7, ..Gpu::default() };
        let mut late = Vec::new();
        let mut before = Nanos(0);
        for at in (0..5_000).map(|tick| Nanos(tick * 2_000_000)) {
            let refresh = gpu.last_refresh(at);
            assert!(refresh <= at && refresh >= before);
            if refresh > before {
                late.push((refresh.0 - 7_000_000) % 100_000_000);
            }
            before = refresh;
        }
        assert!(late.iter().all(|late| *late < 30_000_000));
        late.dedup();
        assert!(late.len() > 50, "it differs from refresh to refresh");
    }

    #[test]
    fn what_is_published_late_or_with_a_gain_is_shown_so() {
        let lagging = Gpu { publication_lag_ms: 40, base_millijoules: 0, ..Gpu::default() };
        assert_eq!(lagging.counter_millijoules(ms(1_050)), 288_000);
        let wrong = Gpu { gain: 1.05, base_millijoules: 0, ..Gpu::default() };
        assert_eq!(wrong.counter_millijoules(ms(1_000)), 315_000);
        assert_eq!(wrong.shown_milliwatts(ms(1_000)), 315_000);
    }

    #[test]
    fn a_counter_that_loses_energy_loses_it_only_to_reads_that_find_it_unmoved() {
        let gpu = Gpu { loses_energy_when_read: true, ..Gpu::default() };
        assert_eq!(gpu.lost_millijoules(ms(1_090), ms(1_110)), 0);
        assert_eq!(gpu.lost_millijoules(ms(1_110), ms(1_120)), 3_000);
        assert_eq!(Gpu::default().lost_millijoules(ms(1_110), ms(1_120)), 0);
    }

    #[test]
    fn a_driver_that_is_loaded_again_is_away_in_between() {
        let reload = Fault::Reloads { from: ms(10), until: ms(30) };
        let gpu = Gpu { faults: vec![reload], ..Gpu::default() };
        let at = [9, 10, 29, 30].map(|at| gpu.reloads(ms(at)));
        assert_eq!(at, [Some(0), None, None, Some(1)]);
        assert_eq!(gpu.counter_millijoules(ms(130)), 21_000);
    }
}
