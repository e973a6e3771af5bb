//! Whether an energy counter runs at the rate that the same device's power says.
//!
//! Pure. It doesn't know which of the two is right, so a counter that power contradicts is withheld and
//! power is not. Energy in microjoules, times on the monotonic clock.
//!
//! AMD's accumulators have had wrong rates, by 10 % and by the scale of a whole unit, and no figure of
//! the counter's own shows it.

use std::time::Duration;

use energy_proto::{Nanos, Watts};

/// Both sensors may be a few percent off; a wrong rate is more.
const MOST_APART: f64 = 0.05;
/// As long as a comparison lasts at least.
const SHORTEST: Duration = Duration::from_secs(2);
/// How long it may last before a counter that had agreed is condemned. Power may be a mean over a
/// second and the counter not, so that they seem apart where the load changes.
const LONGEST: Duration = Duration::from_secs(10);
/// In less than this a step of either sensor is more than [`MOST_APART`].
const LEAST_JOULES: f64 = 50.0;
/// Between reads further apart than this nobody knows the power.
const LONGEST_UNSEEN: Duration = Duration::from_secs(1);

/// Compares a counter with power for as long as both are read.
#[derive(Debug, Clone, Default)]
pub(super) struct Agreement {
    window: Option<Window>,
    agreed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    since: Nanos,
    first_microjoules: u64,
    last: Nanos,
    last_power: Watts,
    integrated_joules: f64,
}

impl Agreement {
    /// Whether the counter can be believed: never before it has been compared.
    pub(super) fn holds(&self) -> bool {
        self.agreed
    }

    /// Takes a read of both. A comparison never goes over a gap or a reset.
    pub(super) fn observe(&mut self, at: Nanos, microjoules: u64, power: Watts) {
        let Some(window) = self.window.and_then(|window| window.continued(at, microjoules, power))
        else {
            self.window = Some(Window::begun(at, microjoules, power));
            return;
        };
        self.window = Some(window);
        let lasted = at.since(window.since);
        if lasted < SHORTEST || window.integrated_joules < LEAST_JOULES {
            return;
        }
        let agrees = window
            .counted_joules(microjoules)
            .is_some_and(|counted| (counted / window.integrated_joules - 1.0).abs() <= MOST_APART);
        if agrees || !self.agreed || lasted >= LONGEST {
            self.agreed = agrees;
            self.window = Some(Window::begun(at, microjoules, power));
        }
    }

    /// Begins anew, as after a reset: what was found before says nothing of what comes.
    pub(super) fn start_over(&mut self) {
        *self = Self::default();
    }
}

impl Window {
    fn begun(at: Nanos, microjoules: u64, power: Watts) -> Self {
        Self {
            since: at,
            first_microjoules: microjoules,
            last: at,
            last_power: power,
            integrated_joules: 0.0,
        }
    }

    fn continued(self, at: Nanos, microjoules: u64, power: Watts) -> Option<Self> {
        let time = at.since(self.last);
        if time > LONGEST_UNSEEN || microjoules < self.first_microjoules {
            return None;
        }
        let mean = (self.last_power.0 + power.0) / 2.0;
        Some(Self {
            last: at,
            last_power: power,
            integrated_joules: self.integrated_joules + mean * time.as_secs_f64(),
            ..self
        })
    }

    fn counted_joules(&self, microjoules: u64) -> Option<f64> {
        Some(microjoules.checked_sub(self.first_microjoules)? as f64 * 1e-6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP_MILLIS: u64 = 20;

    /// Runs a device of so many watts whose counter has this rate, and says from when on it was
    /// believed.
    fn run(agreement: &mut Agreement, from: u64, steps: u64, watts: f64, rate: f64) -> Vec<bool> {
        (from..from + steps)
            .map(|step| {
                let at = Nanos(1 + step * STEP_MILLIS * 1_000_000);
                let joules = step as f64 * STEP_MILLIS as f64 * 1e-3 * watts * rate;
                agreement.observe(at, (joules * 1e6) as u64, Watts(watts));
                agreement.holds()
            })
            .collect()
    }

    #[test]
    fn a_counter_that_agrees_is_believed_after_two_seconds_and_not_before() {
        let mut agreement = Agreement::default();
        let held = run(&mut agreement, 0, 200, 200.0, 1.03);
        assert_eq!(held.iter().position(|held| *held), Some(100));
        assert!(held[100..].iter().all(|held| *held));
    }

    #[test]
    fn a_rate_that_is_ten_percent_off_is_never_believed() {
        for rate in [0.9, 1.1, 0.065_5, 0.0] {
            let mut agreement = Agreement::default();
            assert!(run(&mut agreement, 0, 2_000, 200.0, rate).iter().all(|held| !held), "{rate}");
        }
    }

    #[test]
    fn a_counter_that_stops_is_believed_for_ten_seconds_at_most() {
        let mut agreement = Agreement::default();
        run(&mut agreement, 0, 200, 200.0, 1.0);
        assert!(agreement.holds());
        let stopped = 200 * STEP_MILLIS * 200 * 1_000;
        for step in 200..=800 {
            agreement.observe(Nanos(1 + step * STEP_MILLIS * 1_000_000), stopped, Watts(200.0));
        }
        assert!(!agreement.holds());
    }

    #[test]
    fn a_device_that_takes_little_is_compared_over_a_longer_time() {
        let mut agreement = Agreement::default();
        let held = run(&mut agreement, 0, 500, 10.0, 1.0);
        assert_eq!(held.iter().position(|held| *held), Some(250));
    }

    #[test]
    fn a_gap_is_not_compared_over() {
        let mut agreement = Agreement::default();
        agreement.observe(Nanos(1), 0, Watts(200.0));
        agreement.observe(Nanos(5_000_000_001), 1_000_000_000, Watts(200.0));
        assert!(!agreement.holds());
    }

    #[test]
    fn after_a_reset_it_has_to_agree_again() {
        let mut agreement = Agreement::default();
        run(&mut agreement, 0, 200, 200.0, 1.0);
        agreement.start_over();
        assert!(!agreement.holds());
    }
}
