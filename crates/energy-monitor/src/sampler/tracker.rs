//! Reads a counter just before and just after each of its updates, so that it is known to a few
//! milliseconds when each value appeared. That takes no more reads than a steady rhythm does; it needs
//! a counter that moves regularly, and a thread that doesn't have to follow many of them.
//!
//! It keeps the interval in which the last update surely was, moves it on by a period, gives it some
//! slack, and reads at both its ends (and in its middle while it is wide); what they show cuts the next
//! interval down. Pure: times are passed in, in nanoseconds.

use std::time::Duration;

use energy_proto::{Nanos, SensorReading};

/// Slack at the start, and the least.
const FIRST_SLACK: f64 = 2e6;
const LEAST_SLACK: f64 = 0.3e6;
/// The most slack, as a share of the period.
const MOST_SLACK: f64 = 0.125;
/// How much of an error in an expected time is taken for one of the period.
const LEARNED: f64 = 0.02;

/// Follows the updates of one counter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tracker {
    period: f64,
    closest: f64,
    /// How far an update may be off, either way.
    slack: f64,
    /// When the next update is expected; nothing before the first was seen.
    expected: Option<Span>,
    /// The end of the first read that showed the present value.
    seen: Option<Nanos>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    from: f64,
    to: f64,
}

impl Span {
    fn middle(self) -> f64 {
        f64::midpoint(self.from, self.to)
    }

    fn length(self) -> f64 {
        self.to - self.from
    }

    fn moved(self, by: f64, slack: f64) -> Self {
        Self { from: self.from + by - slack, to: self.to + by + slack }
    }
}

impl Tracker {
    /// Follows a counter that was found to move every `period`.
    pub(super) fn new(period: Duration, closest: Duration) -> Self {
        let nanos = |time: Duration| time.as_secs_f64() * 1e9;
        let (period, closest) = (nanos(period), nanos(closest));
        Self { period, closest, slack: FIRST_SLACK, expected: None, seen: None }
    }

    /// Mean time between two reads.
    pub(super) fn mean_read_period(&self) -> Duration {
        Duration::from_secs_f64(self.period * 0.5e-9)
    }

    /// When to read next, after a read that showed this.
    pub(super) fn next(&mut self, read: &SensorReading) -> Nanos {
        let now = read.read_end.0 as f64;
        let due = match (read.changed_after, read.changed_before) {
            (Some(after), Some(before)) if self.seen != Some(before) => {
                self.seen = Some(before);
                self.found(Span { from: after.0 as f64, to: before.0 as f64 })
            }
            _ => self.not_yet(now),
        };
        Nanos(due.max(now + self.closest) as u64)
    }

    /// An update happened in this span.
    fn found(&mut self, seen: Span) -> f64 {
        let at = match self.expected {
            None => seen,
            Some(expected) => self.narrowed(expected, seen),
        };
        let next = at.moved(self.period, self.slack);
        self.expected = Some(next);
        next.from
    }

    /// Where an update was that was expected in one span and seen in another.
    fn narrowed(&mut self, expected: Span, seen: Span) -> Span {
        let both = Span { from: seen.from.max(expected.from), to: seen.to.min(expected.to) };
        let is_caught = seen.length() <= expected.length() + 3.0 * self.closest;
        if is_caught && both.length() > 0.0 {
            self.slack = (self.slack * 0.97).max(LEAST_SLACK);
            let period = self.period + LEARNED * (both.middle() - expected.middle());
            self.period = period.max(self.closest);
            return both;
        }
        self.give_slack(2.0);
        if seen.from < expected.from && seen.to <= expected.middle() {
            // It came before the first read: not long before, if the counter is regular.
            return Span { from: seen.from.max(seen.to - 4.0 * self.slack), to: seen.to };
        }
        seen
    }

    fn not_yet(&mut self, now: f64) -> f64 {
        let Some(expected) = self.expected else { return now + self.closest };
        if now < expected.from {
            return expected.from;
        }
        if now < expected.to {
            let left = expected.to - now;
            return if left > 2.0 * self.closest { now + left / 2.0 } else { expected.to };
        }
        if now < expected.to + 0.3 * self.period {
            self.give_slack(1.2);
            return now + self.closest.max(self.slack);
        }
        // An update that brought no new value, as of a device that takes nothing.
        let next = expected.moved(self.period, self.slack);
        self.expected = Some(next);
        next.from
    }

    fn give_slack(&mut self, times: f64) {
        self.slack = (self.slack * times).min(self.period * MOST_SLACK).max(LEAST_SLACK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::ChangeTracker;
    use energy_proto::Status;

    const CLOSEST: Duration = Duration::from_millis(4);

    /// What following a counter came to.
    struct Followed {
        /// Widths of the intervals in which its updates were found.
        widths: Vec<Duration>,
        reads_a_period: f64,
    }

    /// Follows updates at `update(n)`, of which `shows(n)` tells whether they bring a new value, with
    /// reads that come up to 0.3 ms late.
    fn follow(
        believed: Duration,
        update: impl Fn(u64) -> u64,
        shows: impl Fn(u64) -> bool,
    ) -> Followed {
        let (mut changes, mut tracker) =
            (ChangeTracker::default(), Tracker::new(believed, CLOSEST));
        let (mut due, mut n, mut value, mut reads) = (Nanos(1_000_000_000), 0, 1, 0_u64);
        let (mut widths, mut seen) = (Vec::new(), None);
        let first = (0..).find(|n| update(*n) >= due.0).unwrap();
        while n < first + 300 {
            let now = due + Duration::from_micros(reads * 37 % 300);
            while update(n) <= now.0 {
                value += u64::from(shows(n));
                n += 1;
            }
            let change = changes.observe(0, value, now, now);
            let mut read = SensorReading::empty(0, now, now, Status::Ok);
            read.energy_microjoules = Some(value);
            (read.changed_after, read.changed_before) = (change.after, Some(change.before));
            if seen != Some(change.before) && n > first + 30 {
                widths.extend(change.after.map(|after| change.before.since(after)));
            }
            seen = Some(change.before);
            due = tracker.next(&read);
            reads += 1;
        }
        widths.sort_unstable();
        Followed { widths, reads_a_period: reads as f64 / 300.0 }
    }

    fn at_share(widths: &[Duration], share: f64) -> Duration {
        widths[(widths.len() as f64 * share) as usize]
    }

    #[test]
    fn a_regular_counter_is_caught_within_milliseconds_by_two_reads_an_update() {
        for (period, believed) in [(100, 100.2), (100, 98.5), (20, 20.1), (106, 106.0)] {
            let update = |n| n * period * 1_000_000 + 3_777_777;
            let followed = follow(Duration::from_secs_f64(believed * 1e-3), update, |_| true);
            let worst = at_share(&followed.widths, 0.95);
            assert!(worst <= Duration::from_millis(9), "{worst:?} of {period} ms");
            assert!(followed.reads_a_period < 2.4, "{}", followed.reads_a_period);
            assert!(followed.widths.len() > 260, "no update is missed");
        }
    }

    #[test]
    fn a_counter_that_jitters_is_followed_with_a_wider_search() {
        let jitter = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 41;
        // Up to 8.4 ms late.
        let update = |n| n * 100_000_000 + jitter(n);
        let followed = follow(Duration::from_millis(100), update, |_| true);
        let usual = at_share(&followed.widths, 0.5);
        assert!(usual <= Duration::from_millis(12), "{usual:?}");
        let wide = at_share(&followed.widths, 0.9);
        assert!(wide <= Duration::from_millis(60), "{wide:?}");
        assert!(followed.reads_a_period < 3.5, "{}", followed.reads_a_period);
    }

    #[test]
    fn updates_without_a_new_value_are_passed_over() {
        let update = |n| n * 100_000_000 + 50_000_000;
        let followed = follow(Duration::from_millis(100), update, |n| n % 4 != 0);
        let usual = at_share(&followed.widths, 0.5);
        assert!(usual <= Duration::from_millis(20), "{usual:?}");
        assert!(followed.reads_a_period < 5.0, "{}", followed.reads_a_period);
    }

    #[test]
    fn two_reads_are_never_closer_than_is_safe() {
        let mut tracker = Tracker::new(Duration::from_millis(20), CLOSEST);
        let mut now = Nanos(1_000_000_000);
        for _ in 0..100 {
            let due = tracker.next(&SensorReading::empty(0, now, now, Status::Ok));
            assert!(due.since(now) >= CLOSEST);
            now = due;
        }
    }
}
