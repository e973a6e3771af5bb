//! The model: what each fake GPU does as a function of time.
//!
//! Pure: it reads no clock and no environment. Power in watts, energy in millijoules (as NVML counts)
//! or [`Joules`], times in nanoseconds of the monotonic clock.

use std::f64::consts::TAU;
use std::time::Duration;

use energy_proto::{Joules, Nanos};
use serde::{Deserialize, Serialize};

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

/// One fake GPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gpu {
    /// Its product name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// Time between two refreshes of counter and power.
    pub refresh_ms: u64,
    /// By how much its refreshes are later than the whole multiples of `refresh_ms`.
    pub phase_ms: u64,
    /// Reported power is the mean over this time; zero is instantaneous.
    pub averaging_ms: u64,
    /// True power.
    pub power: PowerShape,
    /// What the counter had counted when the monotonic clock was zero.
    pub base_millijoules: u64,
    /// Die temperature.
    pub temperature_celsius: u32,
    /// Its memory.
    pub memory: Memory,
    /// How busy it says it is.
    pub utilization: Utilization,
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
            refresh_ms: 100,
            phase_ms: 0,
            averaging_ms: 0,
            power: PowerShape::Constant { watts: 300.0 },
            base_millijoules: 1_000_000_000,
            temperature_celsius: 45,
            memory: Memory { used_bytes: 8 << 30, total_bytes: 80 << 30 },
            utilization: Utilization { compute_pct: 50, memory_pct: 25 },
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

/// True power as a function of the monotonic time `t`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "shape")]
pub enum PowerShape {
    /// Always the same.
    Constant {
        /// Power.
        watts: f64,
    },
    /// `high` for the first `duty` of each period, `low` for the rest.
    Square {
        /// Power between the pulses.
        low: f64,
        /// Power within a pulse.
        high: f64,
        /// Length of a period; periods start at whole multiples of it.
        period_ms: u64,
        /// Share of a period, 0 to 1, that is a pulse.
        duty: f64,
    },
    /// `mean + amplitude sin(2 pi t / period)`.
    Sine {
        /// Mean power.
        mean: f64,
        /// Half the distance from the lowest to the highest power.
        amplitude: f64,
        /// Length of a period.
        period_ms: u64,
    },
}

impl PowerShape {
    /// True power at an instant, in watts.
    #[must_use]
    pub fn watts_at(&self, at: Nanos) -> f64 {
        match *self {
            Self::Constant { watts } => watts,
            Self::Square { low, high, period_ms, duty } => {
                if phase_of(at, period_ms) < duty {
                    high
                } else {
                    low
                }
            }
            Self::Sine { mean, amplitude, period_ms } => {
                mean + amplitude * (TAU * phase_of(at, period_ms)).sin()
            }
        }
    }

    /// The exact integral of power from one instant to another.
    #[must_use]
    pub fn energy(&self, from: Nanos, to: Nanos) -> Joules {
        Joules(self.joules_until(to) - self.joules_until(from))
    }

    /// The integral from the zero of the monotonic clock.
    fn joules_until(&self, at: Nanos) -> f64 {
        match *self {
            Self::Constant { watts } => watts * seconds(at.0),
            Self::Square { low, high, period_ms, duty } => {
                let period = seconds(period_ms * 1_000_000);
                let whole = (at.0 / (period_ms * 1_000_000)) as f64;
                let phase = phase_of(at, period_ms);
                let pulse = phase.min(duty);
                period
                    * (whole * (duty * high + (1.0 - duty) * low)
                        + pulse * high
                        + (phase - pulse) * low)
            }
            Self::Sine { mean, amplitude, period_ms } => {
                let period = seconds(period_ms * 1_000_000);
                mean * seconds(at.0)
                    + amplitude * period / TAU * (1.0 - (TAU * phase_of(at, period_ms)).cos())
            }
        }
    }
}

/// How far `at` is within its period, 0 to 1.
fn phase_of(at: Nanos, period_ms: u64) -> f64 {
    let period = period_ms * 1_000_000;
    (at.0 % period) as f64 / period as f64
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 * 1e-9
}

/// A figure that NVML gives of a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Metric {
    Energy,
    Power,
    Temperature,
    Memory,
    Utilization,
    PowerLimit,
    Processes,
}

/// A way for a call to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are NVML's")]
pub enum Failure {
    NotSupported,
    NoPermission,
    DriverNotLoaded,
    Timeout,
    GpuIsLost,
    Unknown,
}

/// Something that goes wrong with a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fault")]
pub enum Fault {
    /// One metric fails; the others don't.
    MetricFails {
        /// Which.
        metric: Metric,
        /// How.
        failure: Failure,
        /// From when on.
        from: Nanos,
    },
    /// The counter restarts at zero, as when a driver is loaded again.
    EnergyRestarts {
        /// When.
        at: Nanos,
    },
    /// The counter stands still.
    EnergyFreezes {
        /// From when on.
        from: Nanos,
    },
    /// The counter shows so many times the energy.
    EnergyMultiplied {
        /// How many.
        factor: u64,
        /// From when on.
        from: Nanos,
    },
    /// The GPU falls off the bus.
    Lost {
        /// From when on.
        from: Nanos,
    },
    /// Every call for a metric that begins in this time returns only at its end.
    Hangs {
        /// Its start.
        from: Nanos,
        /// Its end.
        until: Nanos,
    },
}

impl Gpu {
    /// The energy that this GPU truly took from one instant to another.
    #[must_use]
    pub fn true_energy(&self, from: Nanos, to: Nanos) -> Joules {
        self.power.energy(from, to)
    }

    /// The last refresh at or before an instant.
    #[must_use]
    pub fn last_refresh(&self, at: Nanos) -> Nanos {
        let (refresh, phase) = (self.refresh_ms * 1_000_000, self.phase_ms * 1_000_000);
        match at.0.checked_sub(phase) {
            Some(since_phase) => Nanos(phase + since_phase / refresh * refresh),
            None => Nanos(0),
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
                Fault::EnergyRestarts { at: instant } if at >= instant => restarted = Some(instant),
                _ => {}
            }
        }
        let base = if restarted.is_some() { 0 } else { self.base_millijoules };
        let since = restarted.unwrap_or(Nanos(0));
        let refreshed = self.last_refresh(at).max(since);
        factor * (base + (self.true_energy(since, refreshed).0 * 1e3) as u64)
    }

    /// What the power sensor shows at an instant, in milliwatts.
    #[must_use]
    pub fn shown_milliwatts(&self, at: Nanos) -> u32 {
        let refreshed = self.last_refresh(at);
        let window = Duration::from_millis(self.averaging_ms);
        let watts = if window.is_zero() {
            self.power.watts_at(refreshed)
        } else {
            (self.true_energy(refreshed.before(window), refreshed) / window).0
        };
        (watts * 1e3) as u32
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

    /// How long a call that begins at an instant hangs.
    #[must_use]
    pub fn hangs_for(&self, at: Nanos) -> Duration {
        self.faults
            .iter()
            .map(|fault| match *fault {
                Fault::Hangs { from, until } if at >= from => until.since(at),
                _ => Duration::ZERO,
            })
            .max()
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: [PowerShape; 3] = [
        PowerShape::Constant { watts: 300.0 },
        PowerShape::Square { low: 90.0, high: 500.0, period_ms: 700, duty: 0.3 },
        PowerShape::Sine { mean: 250.0, amplitude: 150.0, period_ms: 900 },
    ];

    fn ms(millis: u64) -> Nanos {
        Nanos(millis * 1_000_000)
    }

    #[test]
    fn the_integral_is_the_sum_of_small_steps() {
        for shape in SHAPES {
            let (from, to) = (ms(123), ms(5_678));
            let step = 100_000;
            let summed: f64 = (from.0..to.0)
                .step_by(step)
                .map(|at| shape.watts_at(Nanos(at + step as u64 / 2)) * step as f64 * 1e-9)
                .sum();
            let exact = shape.energy(from, to).0;
            assert!((summed - exact).abs() < 1e-4 * exact, "{shape:?}: {summed} against {exact}");
        }
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
        model.gpus[0].power = SHAPES[1];
        model.gpus[0].faults.push(Fault::Lost { from: ms(5) });
        assert_eq!(Model::parse(&model.to_json()).unwrap(), model);
        assert!(matches!(Model::parse(r#"{"gpu":[]}"#), Err(ModelError::Malformed(_))));
        assert!(matches!(Model::parse("@/no/such/file"), Err(ModelError::Unreadable(_))));
    }
}
