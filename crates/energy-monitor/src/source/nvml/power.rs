//! A GPU's power: from which of NVML's two calls, over which time it is a mean, and when the driver
//! says that it was so.
//!
//! It doesn't know whether that time is the sensor's or that of the driver's own read of it: no header
//! says. Times on the monotonic clock unless their names say otherwise.

use std::time::Duration;

use energy_proto::{ClockAnchor, Nanos, Watts, monotonic_now};
use nvml_wrapper::Device;
use nvml_wrapper::error::NvmlError;

use super::fields::{Scope, power_instant};

/// Over which time `nvmlDeviceGetPowerUsage` is a mean on newer boards.
const MEAN_TIME: Duration = Duration::from_secs(1);
/// Boards refresh power every 20 to 106 ms: a value whose time is older is no value of now, or its
/// time isn't right.
const OLDEST: Duration = Duration::from_secs(1);
/// Far above any board or module: a greater power is no power.
const MOST: Watts = Watts(20_000.0);

/// How a GPU's power is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meter {
    /// The field `POWER_INSTANT` of a scope.
    Field(Scope),
    /// `nvmlDeviceGetPowerUsage`, which names no scope.
    Usage,
}

/// A power, and when the driver says that it was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measured {
    pub(super) power: Watts,
    pub(super) at: Option<Nanos>,
}

/// Reads a GPU's power.
pub(super) struct PowerMeter {
    meter: Meter,
    clock: WallClock,
}

impl PowerMeter {
    pub(super) fn new(meter: Meter) -> Self {
        Self { meter, clock: WallClock::default() }
    }

    /// The power now; nothing if what the driver answers is no power.
    pub(super) fn read(&mut self, device: &Device<'_>) -> Result<Option<Measured>, NvmlError> {
        match self.meter {
            Meter::Usage => {
                let power = watts(f64::from(device.power_usage()?));
                Ok(power.map(|power| Measured { power, at: None }))
            }
            Meter::Field(scope) => {
                let asked = monotonic_now();
                let field = power_instant(device, scope)?;
                let at = self.clock.monotonic(field.unix_micros, asked, ClockAnchor::now());
                Ok(watts(field.milliwatts).map(|power| Measured { power, at }))
            }
        }
    }

    /// The time over which its power is a mean, zero if it is instantaneous.
    ///
    /// `nvml.h`: `POWER_INSTANT` is the current power; `nvmlDeviceGetPowerUsage` is a mean over a
    /// second on Ampere, GA100 apart, and newer, and the current power before. GA100 is the one chip
    /// of compute capability 8.0.
    pub(super) fn window(&self, device: &Device<'_>) -> Option<Duration> {
        match self.meter {
            Meter::Field(_) => Some(Duration::ZERO),
            Meter::Usage => {
                let capability = device.cuda_compute_capability().ok()?;
                Some(mean_time(capability.major, capability.minor))
            }
        }
    }
}

fn mean_time(major: i32, minor: i32) -> Duration {
    if (major, minor) > (8, 0) { MEAN_TIME } else { Duration::ZERO }
}

/// A power in milliwatts; neither zero nor what is below it or beyond all bounds is one.
pub(super) fn watts(milliwatts: f64) -> Option<Watts> {
    let power = Watts(milliwatts * 1e-3);
    (power.0 > 0.0 && power.0 <= MOST.0).then_some(power)
}

/// Carries the driver's times from the wall clock over to the monotonic one.
#[derive(Debug, Default)]
struct WallClock {
    /// Both clocks at the read before.
    last: Option<ClockAnchor>,
}

impl WallClock {
    /// The monotonic time of what the driver says happened at `unix_micros`, when it was asked at
    /// `asked` and both clocks showed `now` after its answer.
    ///
    /// Nothing if that was too long ago, or in the future by more than the call lasted, or if the wall
    /// clock was set since the read before: the driver's time may be of before that.
    fn monotonic(&mut self, unix_micros: i64, asked: Nanos, now: ClockAnchor) -> Option<Nanos> {
        let steady = self.last.replace(now).is_none_or(|last| runs_steadily(last, now));
        let age = i128::from(now.unix_nanos) - i128::from(unix_micros) * 1_000;
        let call = now.monotonic.since(asked);
        let plausible = (-nanos(call)..=nanos(OLDEST)).contains(&age);
        let age = Duration::from_nanos(u64::try_from(age).unwrap_or(0));
        (steady && plausible).then(|| now.monotonic.before(age))
    }
}

/// Whether the wall clock ran with the monotonic one from one instant to another. Both are slewed
/// alike (`adjtimex`), so they part only when the wall clock is set; a thread that is interrupted
/// between reading the two makes a small difference too.
fn runs_steadily(from: ClockAnchor, to: ClockAnchor) -> bool {
    let ahead =
        |anchor: ClockAnchor| i128::from(anchor.unix_nanos) - i128::from(anchor.monotonic.0);
    (ahead(to) - ahead(from)).abs() <= nanos(Duration::from_millis(1))
}

fn nanos(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: ClockAnchor =
        ClockAnchor { monotonic: Nanos(50_000_000_000), unix_nanos: 1_700_000_000_000_000_000 };

    fn micros_ago(micros: i64) -> i64 {
        NOW.unix_nanos / 1_000 - micros
    }

    fn at(unix_micros: i64) -> Option<Nanos> {
        let asked = NOW.monotonic.before(Duration::from_micros(200));
        WallClock::default().monotonic(unix_micros, asked, NOW)
    }

    #[test]
    fn a_time_of_the_last_second_is_carried_over_to_the_monotonic_clock() {
        assert_eq!(at(micros_ago(30_000)), Some(Nanos(49_970_000_000)));
        assert_eq!(at(micros_ago(1_000_000)), Some(Nanos(49_000_000_000)));
    }

    #[test]
    fn a_time_that_is_too_old_or_yet_to_come_is_refused() {
        for wrong in [0, -1, i64::MIN, i64::MAX, micros_ago(1_000_001), micros_ago(-201)] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_time_within_the_call_is_no_later_than_its_end() {
        assert_eq!(at(micros_ago(-150)), Some(NOW.monotonic));
    }

    #[test]
    fn after_the_wall_clock_was_set_one_time_is_refused() {
        let mut clock = WallClock::default();
        let read = |clock: &mut WallClock, after_ms: u64, set_by_ms: i64| {
            let monotonic = NOW.monotonic + Duration::from_millis(after_ms);
            let unix_nanos = NOW.unix_nanos_at(monotonic) + set_by_ms * 1_000_000;
            let now = ClockAnchor { monotonic, unix_nanos };
            clock.monotonic(unix_nanos / 1_000 - 500, monotonic, now)
        };
        assert!(read(&mut clock, 0, 0).is_some());
        assert!(read(&mut clock, 50, 0).is_some());
        assert_eq!(read(&mut clock, 100, 5_000), None);
        assert!(read(&mut clock, 150, 5_000).is_some());
        assert_eq!(read(&mut clock, 200, 0), None);
    }

    #[test]
    fn what_is_no_power_is_none() {
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, 4_294_967_295.0] {
            assert_eq!(watts(wrong), None, "{wrong}");
        }
        assert_eq!(watts(300_000.0), Some(Watts(300.0)));
    }

    #[test]
    fn power_usage_is_a_mean_on_ampere_and_newer_and_not_on_the_a100() {
        let second = Duration::from_secs(1);
        for (major, minor, window) in [
            (6, 1, Duration::ZERO),
            (7, 5, Duration::ZERO),
            (8, 0, Duration::ZERO),
            (8, 6, second),
            (8, 9, second),
            (9, 0, second),
            (12, 0, second),
        ] {
            assert_eq!(mean_time(major, minor), window, "{major}.{minor}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_driver_says_a_time_is_of_the_last_second_or_refused(
            unix_micros: i64,
            unix_nanos: i64,
            monotonic: u64,
            asked: u64,
        ) {
            let now = ClockAnchor { monotonic: Nanos(monotonic), unix_nanos };
            let at = WallClock::default().monotonic(unix_micros, Nanos(asked), now);
            if let Some(at) = at {
                prop_assert!(at <= now.monotonic);
                prop_assert!(now.monotonic.since(at) <= OLDEST);
            }
        }
    }
}
