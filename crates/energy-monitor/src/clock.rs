//! When the next reading is due: absolute deadlines on the monotonic clock, so that neither a slow
//! tick nor the time it takes makes the schedule drift.
//!
//! The schedule is pure: the present time is passed in. [`Clocks`] reads the host's.

use std::fmt;
use std::time::Duration;

use energy_proto::Nanos;
#[cfg(target_os = "linux")]
use energy_proto::monotonic_now;

/// The clocks that tell a suspension.
pub struct Clocks(Box<dyn Fn() -> Duration + Send>);

impl fmt::Debug for Clocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clocks")
    }
}

impl Clocks {
    /// A suspension lasts longer than a look at two clocks.
    pub const TOLERANCE: Duration = Duration::from_millis(50);

    /// The clocks of this host.
    #[must_use]
    pub fn of_this_host() -> Self {
        Self(Box::new(time_suspended))
    }

    /// Clocks that tell these times suspended.
    #[must_use]
    pub fn telling(time_suspended: impl Fn() -> Duration + Send + 'static) -> Self {
        Self(Box::new(time_suspended))
    }

    /// For how long this host has been suspended since its boot.
    #[must_use]
    pub fn time_suspended(&self) -> Duration {
        (self.0)()
    }
}

/// `CLOCK_BOOTTIME` runs on while a host is suspended, `CLOCK_MONOTONIC` doesn't.
#[cfg(target_os = "linux")]
fn time_suspended() -> Duration {
    use nix::time::{ClockId, clock_gettime};
    loop {
        let before = monotonic_now();
        let Ok(boot) = clock_gettime(ClockId::CLOCK_BOOTTIME) else { return Duration::ZERO };
        let after = monotonic_now();
        // If this thread had to wait for a processor in between, the look tells nothing.
        if after.since(before) < Clocks::TOLERANCE / 5 {
            let boot = Nanos(boot.tv_sec() as u64 * 1_000_000_000 + boot.tv_nsec() as u64);
            return boot.since(before);
        }
    }
}

/// Elsewhere the monotonic clock is all there is.
#[cfg(not(target_os = "linux"))]
fn time_suspended() -> Duration {
    Duration::ZERO
}

/// A schedule of ticks at whole multiples of an interval from an origin.
#[derive(Debug, Clone)]
pub struct Schedule {
    origin: Nanos,
    interval: Duration,
    index: u64,
}

impl Schedule {
    /// A schedule whose first tick, number 0, is at `origin`. The interval isn't zero.
    #[must_use]
    pub fn new(origin: Nanos, interval: Duration) -> Self {
        Self { origin, interval, index: 0 }
    }

    /// The number of the next tick, missed ones counted.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// When the next tick is due.
    #[must_use]
    pub fn deadline(&self) -> Nanos {
        let offset = u128::from(self.index) * self.interval.as_nanos();
        Nanos(self.origin.0.saturating_add(u64::try_from(offset).unwrap_or(u64::MAX)))
    }

    /// Goes on to the first tick that is due after `now` and returns how many were missed: they are
    /// counted and not made up for, since a burst of readings would tell nothing new.
    pub fn advance(&mut self, now: Nanos) -> u64 {
        let due = now.since(self.origin).as_nanos() / self.interval.as_nanos();
        let next = (self.index + 1).max(u64::try_from(due).unwrap_or(u64::MAX - 1) + 1);
        let missed = next - self.index - 1;
        self.index = next;
        missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INTERVAL: Duration = Duration::from_millis(50);

    fn ms(millis: u64) -> Nanos {
        Nanos(millis * 1_000_000)
    }

    #[test]
    fn a_late_tick_does_not_move_the_next_one() {
        let mut schedule = Schedule::new(ms(1_000), INTERVAL);
        assert_eq!(schedule.advance(ms(1_049)), 0);
        assert_eq!(schedule.deadline(), ms(1_050));
        assert_eq!(schedule.advance(ms(1_099)), 0);
        assert_eq!(schedule.deadline(), ms(1_100));
    }

    #[test]
    fn missed_ticks_are_counted_and_not_repeated() {
        let mut schedule = Schedule::new(ms(0), INTERVAL);
        assert_eq!(schedule.advance(ms(210)), 4);
        assert_eq!(schedule.index(), 5);
        assert_eq!(schedule.deadline(), ms(250));
    }

    proptest! {
        #[test]
        fn the_next_tick_is_always_later_and_at_most_one_interval_away(
            origin in 0_u64..1 << 60,
            interval in 1_u64..60_000,
            steps in proptest::collection::vec(0_u64..1 << 40, 1..20),
        ) {
            let interval = Duration::from_millis(interval);
            let mut schedule = Schedule::new(Nanos(origin), interval);
            let (mut now, mut ticks) = (Nanos(origin), 0);
            for step in steps {
                now = now + Duration::from_nanos(step);
                if now < schedule.deadline() {
                    continue;
                }
                ticks += 1 + schedule.advance(now);
                prop_assert!(schedule.deadline() > now);
                prop_assert!(schedule.deadline().since(now) <= interval);
                prop_assert_eq!(schedule.index(), ticks);
            }
        }
    }
}
