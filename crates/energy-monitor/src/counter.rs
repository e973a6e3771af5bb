//! From what a counter shows to energy that never falls: unwraps what wrapped, and says when its
//! continuity isn't certain. Also: in which interval of time the present value appeared.
//!
//! Pure: times are passed in. It cannot tell a counter that runs at the wrong rate from a right one.
//! Energy in microjoules, times on the monotonic clock.

use std::time::Duration;

use energy_proto::{Joules, Nanos, Watts};

/// No CPU package and no package's memory takes more. Together with the next it decides how often a
/// counter that wraps has to be read, and which rise is too much to be true: twice the largest
/// processors of 2025 and room above.
pub const PACKAGE_FULL_POWER: Watts = Watts(2_000.0);
/// No platform that has a counter of its own takes more.
pub const PLATFORM_FULL_POWER: Watts = Watts(20_000.0);
/// RAPL moves about every millisecond.
const RAPL_STEP: Duration = Duration::from_millis(20);
/// No GPU takes more.
pub const GPU_FULL_POWER: Watts = Watts(5_000.0);
/// A GPU's counter is a staircase: a step is the energy of a time before the read. The longest steps
/// known are of 106 ms.
const GPU_STEP: Duration = Duration::from_secs(1);

/// What a counter says of the energy so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Unwrapped, not rebased.
    pub microjoules: u64,
    /// Values of different epochs don't compare.
    pub epoch: u32,
    /// Whether this read began the epoch, the first read apart.
    pub reset: bool,
}

/// One hardware counter.
#[derive(Debug, Clone)]
pub struct Counter {
    modulus: Option<u64>,
    /// What the register holds that the driver adds up at each read, and at none in between.
    register: Option<u64>,
    full_power: Watts,
    longest_step: Duration,
    last: Option<Last>,
    epoch: u32,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    raw: u64,
    unwrapped: u64,
    at: Nanos,
}

impl Counter {
    /// A RAPL counter that goes on at zero after `modulus - 1`.
    #[must_use]
    pub fn wrapping(modulus: u64, full_power: Watts) -> Self {
        Self::new(Some(modulus), full_power, RAPL_STEP)
    }

    /// A RAPL counter of 64 bits, which the kernel has unwrapped.
    #[must_use]
    pub fn unwrapped(full_power: Watts) -> Self {
        Self::new(None, full_power, RAPL_STEP)
    }

    /// A GPU's counter, which never wraps and starts again when the driver does.
    #[must_use]
    pub fn of_gpu() -> Self {
        Self::new(None, GPU_FULL_POWER, GPU_STEP)
    }

    /// A GPU's counter that its driver adds up, whenever it is read, from a register that goes on at zero
    /// after `register - 1`: what wraps between two reads is missing.
    #[must_use]
    pub fn of_gpu_register(register: u64) -> Self {
        Self { register: Some(register), ..Self::of_gpu() }
    }

    /// The same counter, with its epochs counted from this one.
    #[must_use]
    pub fn from_epoch(self, epoch: u32) -> Self {
        Self { epoch, ..self }
    }

    fn new(modulus: Option<u64>, full_power: Watts, longest_step: Duration) -> Self {
        Self { modulus, register: None, full_power, longest_step, last: None, epoch: 0 }
    }

    /// Begins an epoch: the next value doesn't compare with the last.
    pub fn break_off(&mut self) {
        self.last = None;
        self.epoch += 1;
    }

    /// Takes what the counter showed at `at`, in microjoules.
    pub fn observe(&mut self, raw: u64, at: Nanos) -> Counted {
        let unwrapped = match self.last {
            None => Some(raw),
            Some(last) => {
                self.rise(last, raw, at).and_then(|rise| last.unwrapped.checked_add(rise))
            }
        };
        let reset = unwrapped.is_none();
        if reset {
            self.epoch += 1;
        }
        let microjoules = unwrapped.unwrap_or(raw);
        self.last = Some(Last { raw, unwrapped: microjoules, at });
        Counted { microjoules, epoch: self.epoch, reset }
    }

    /// The epoch of the last read.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// By how much the energy rose since the last read; nothing if that isn't certain.
    fn rise(&self, last: Last, raw: u64, at: Nanos) -> Option<u64> {
        let elapsed = at.since(last.at);
        if self.register.is_some_and(|register| self.most(elapsed) >= register) {
            return None;
        }
        let rise = match (raw.checked_sub(last.raw), self.modulus) {
            (Some(rise), None) => rise,
            (None, None) => return None,
            // It may have wrapped more than once.
            (_, Some(modulus)) if self.most(elapsed) >= modulus => return None,
            (Some(rise), Some(_)) => rise,
            (None, Some(modulus)) => modulus.checked_sub(last.raw)?.checked_add(raw)?,
        };
        (rise <= self.most(elapsed + self.longest_step)).then_some(rise)
    }

    /// The most energy that the device can take in a time.
    fn most(&self, time: Duration) -> u64 {
        let Joules(joules) = self.full_power * time;
        (joules * 1e6) as u64
    }
}

/// How long a counter that wraps may go unread: a quarter of its wrap at full power.
#[must_use]
pub fn longest_unread(modulus: u64, full_power: Watts) -> Duration {
    Duration::from_secs_f64(Joules::from_microjoules(modulus).0 / full_power.0 / 4.0)
}

/// Finds the narrowest interval in which the present value of a counter appeared.
#[derive(Debug, Clone, Default)]
pub struct ChangeTracker {
    seen: Option<Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    value: (u32, u64),
    last_read_start: Nanos,
    interval: ChangeInterval,
}

/// The present value appeared after the one and not after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeInterval {
    /// The start of the last read that showed the value before, if there was one.
    pub after: Option<Nanos>,
    /// The end of the first read that showed this one.
    pub before: Nanos,
}

impl ChangeTracker {
    /// Takes a read that showed `value`, of whatever epoch.
    pub fn observe(&mut self, epoch: u32, value: u64, start: Nanos, end: Nanos) -> ChangeInterval {
        let value = (epoch, value);
        let interval = match self.seen {
            Some(seen) if seen.value == value => seen.interval,
            seen => ChangeInterval { after: seen.map(|seen| seen.last_read_start), before: end },
        };
        self.seen = Some(Seen { value, last_read_start: start, interval });
        interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2^32 steps of 2^-14 J, as on most servers.
    const MODULUS: u64 = 262_143_328_851;
    const TICK: u64 = 50_000_000;

    fn counted(microjoules: u64, epoch: u32, reset: bool) -> Counted {
        Counted { microjoules, epoch, reset }
    }

    #[test]
    fn a_decrease_that_a_wrap_explains_is_unwrapped() {
        let mut counter = Counter::wrapping(MODULUS, PACKAGE_FULL_POWER);
        counter.observe(MODULUS - 4_000_000, Nanos(0));
        assert_eq!(counter.observe(6_000_000, Nanos(TICK)), counted(MODULUS + 6_000_000, 0, false));
    }

    #[test]
    fn a_decrease_that_no_wrap_explains_is_a_reset() {
        let mut counter = Counter::wrapping(MODULUS, PACKAGE_FULL_POWER);
        counter.observe(100_000_000_000, Nanos(0));
        assert_eq!(counter.observe(5_000, Nanos(TICK)), counted(5_000, 1, true));
        assert_eq!(counter.observe(6_000, Nanos(2 * TICK)), counted(6_000, 1, false));
    }

    #[test]
    fn a_counter_unread_for_a_whole_wrap_at_full_power_has_lost_its_continuity() {
        let mut counter = Counter::wrapping(MODULUS, PACKAGE_FULL_POWER);
        counter.observe(1_000, Nanos(0));
        let whole_wrap = Nanos(132_000_000_000);
        assert_eq!(counter.observe(2_000, whole_wrap), counted(2_000, 1, true));
    }

    #[test]
    fn a_register_that_may_have_wrapped_between_two_reads_has_lost_its_continuity() {
        let register = 262_144_000_000;
        let mut counter = Counter::of_gpu_register(register);
        counter.observe(1_000_000, Nanos(0));
        let almost = Nanos(52_000_000_000);
        assert_eq!(counter.observe(2_000_000, almost), counted(2_000_000, 0, false));
        // 262,144 J are 52.4 s of 5,000 W.
        let whole_wrap = almost + Duration::from_millis(52_430);
        assert_eq!(counter.observe(3_000_000, whole_wrap), counted(3_000_000, 1, true));
        assert_eq!(counter.observe(4_000_000, whole_wrap + Duration::from_secs(1)).epoch, 1);
        let mut kept_by_the_device = Counter::of_gpu();
        kept_by_the_device.observe(1_000_000, Nanos(0));
        assert!(!kept_by_the_device.observe(2_000_000, whole_wrap).reset);
    }

    #[test]
    fn what_is_counted_after_a_break_is_a_new_epoch_whatever_it_shows() {
        let mut counter = Counter::of_gpu();
        counter.observe(9_000_000, Nanos(0));
        counter.break_off();
        assert_eq!(counter.observe(9_000_000, Nanos(TICK)), counted(9_000_000, 1, false));
    }

    #[test]
    fn any_decrease_of_a_gpu_counter_is_a_reset() {
        let mut counter = Counter::of_gpu();
        counter.observe(9_000_000, Nanos(0));
        assert_eq!(counter.observe(8_999_000, Nanos(TICK)), counted(8_999_000, 1, true));
    }

    #[test]
    fn a_jump_that_no_device_could_have_taken_is_a_reset() {
        let mut counter = Counter::of_gpu();
        counter.observe(1_000_000_000, Nanos(0));
        assert!(counter.observe(10_000_000_000, Nanos(TICK)).reset);
    }

    #[test]
    fn a_value_beyond_its_own_range_is_a_reset_and_no_panic() {
        let mut counter = Counter::wrapping(1_000, PACKAGE_FULL_POWER);
        counter.observe(u64::MAX, Nanos(0));
        assert!(counter.observe(0, Nanos(0)).reset);
        assert!(counter.observe(u64::MAX, Nanos(1)).reset);
    }

    #[test]
    fn a_wrap_is_read_at_least_four_times_at_full_power() {
        assert_eq!(longest_unread(65_536_000_000, Watts(1_000.0)), Duration::from_millis(16_384));
    }

    #[test]
    fn a_value_appeared_between_the_last_read_without_it_and_the_first_with_it() {
        let mut tracker = ChangeTracker::default();
        let first = tracker.observe(0, 7, Nanos(10), Nanos(12));
        assert_eq!(first, ChangeInterval { after: None, before: Nanos(12) });
        assert_eq!(tracker.observe(0, 7, Nanos(20), Nanos(22)), first);
        let second = tracker.observe(0, 8, Nanos(30), Nanos(32));
        assert_eq!(second, ChangeInterval { after: Some(Nanos(20)), before: Nanos(32) });
        assert_eq!(tracker.observe(0, 8, Nanos(40), Nanos(42)), second);
    }

    #[test]
    fn the_same_number_in_a_new_epoch_is_a_new_value() {
        let mut tracker = ChangeTracker::default();
        tracker.observe(0, 7, Nanos(10), Nanos(12));
        let interval = tracker.observe(1, 7, Nanos(20), Nanos(22));
        assert_eq!(interval, ChangeInterval { after: Some(Nanos(10)), before: Nanos(22) });
    }

    proptest! {
        #[test]
        fn within_its_rights_a_wrapping_counter_gives_back_the_true_energy(
            start in 0..MODULUS,
            steps in proptest::collection::vec((1_u64..60_000_000_000, 0_u64..1_000), 1..200),
        ) {
            let mut counter = Counter::wrapping(MODULUS, PACKAGE_FULL_POWER);
            let (mut truth, mut now) = (start, Nanos(0));
            prop_assert_eq!(counter.observe(start, now), counted(start, 0, false));
            for (nanos, watts) in steps {
                now = now + Duration::from_nanos(nanos);
                truth += nanos / 1_000 * watts;
                prop_assert_eq!(counter.observe(truth % MODULUS, now), counted(truth, 0, false));
            }
        }

        #[test]
        fn within_an_epoch_energy_never_falls_and_an_epoch_never_comes_back(
            modulus in proptest::option::of(1_u64..),
            reads in proptest::collection::vec((0_u64.., 0_u64..1 << 40), 1..50),
        ) {
            let mut counter = modulus.map_or_else(Counter::of_gpu, |modulus| {
                Counter::wrapping(modulus, PACKAGE_FULL_POWER)
            });
            let (mut now, mut before) = (Nanos(0), None::<Counted>);
            for (raw, nanos) in reads {
                now = now + Duration::from_nanos(nanos);
                let counted = counter.observe(raw, now);
                if let Some(before) = before {
                    prop_assert_eq!(counted.reset, counted.epoch == before.epoch + 1);
                    prop_assert!(counted.epoch >= before.epoch);
                    if !counted.reset {
                        prop_assert!(counted.microjoules >= before.microjoules);
                    }
                }
                before = Some(counted);
            }
        }

        #[test]
        fn every_interval_of_change_holds_the_true_time_of_the_change(
            period in 1_u64..200,
            reads in proptest::collection::vec(1_u64..150, 2..100),
        ) {
            let mut tracker = ChangeTracker::default();
            let mut now = 0;
            for step in reads {
                now += step;
                let value = now / period;
                let interval = tracker.observe(0, value, Nanos(now), Nanos(now));
                let appeared = Nanos(value * period);
                prop_assert!(interval.before >= appeared);
                prop_assert!(interval.after.is_none_or(|after| after < appeared));
            }
        }
    }
}
