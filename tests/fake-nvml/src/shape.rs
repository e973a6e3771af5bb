//! Power as a function of time, with its exact integral.

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};

use energy_proto::{Joules, Nanos};
use serde::{Deserialize, Serialize};

use crate::load::{Step, step_at};

/// True power as a function of the monotonic time `t`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// What a [`LoadWriter`](crate::LoadWriter) writes meanwhile: known up to the present only.
    Load {
        /// Its file.
        path: PathBuf,
    },
}

impl PowerShape {
    /// True power at an instant, in watts.
    ///
    /// # Panics
    /// If the file of a load can't be read.
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
            Self::Load { ref path } => step(path, at).map_or(0.0, |step| step.watts),
        }
    }

    /// The exact integral of power from one instant to another.
    ///
    /// # Panics
    /// If the file of a load can't be read.
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
            Self::Load { ref path } => step(path, at).map_or(0.0, |step| step.joules_until(at)),
        }
    }
}

fn step(path: &Path, at: Nanos) -> Option<Step> {
    step_at(path, at).unwrap_or_else(|error| panic!("the load {}: {error}", path.display()))
}

/// How far `at` is within its period, 0 to 1.
fn phase_of(at: Nanos, period_ms: u64) -> f64 {
    let period = period_ms * 1_000_000;
    (at.0 % period) as f64 / period as f64
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 * 1e-9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_integral_is_the_sum_of_small_steps() {
        for shape in [
            PowerShape::Constant { watts: 300.0 },
            PowerShape::Square { low: 90.0, high: 500.0, period_ms: 700, duty: 0.3 },
            PowerShape::Sine { mean: 250.0, amplitude: 150.0, period_ms: 900 },
        ] {
            let (from, to) = (Nanos(123_000_000), Nanos(5_678_000_000));
            let step = 100_000;
            let summed: f64 = (from.0..to.0)
                .step_by(step)
                .map(|at| shape.watts_at(Nanos(at + step as u64 / 2)) * step as f64 * 1e-9)
                .sum();
            let exact = shape.energy(from, to).0;
            assert!((summed - exact).abs() < 1e-4 * exact, "{shape:?}: {summed} against {exact}");
        }
    }
}
