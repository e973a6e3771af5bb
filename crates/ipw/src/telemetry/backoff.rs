//! How long to wait before the next try: doubling from a first delay up to a cap, each delay drawn
//! between half and all of it so that many clients don't return at once.

use std::time::Duration;

/// An endless sequence of delays.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
    cap: Duration,
}

impl Backoff {
    /// Starts at `first` and never exceeds `cap`.
    #[must_use]
    pub fn new(first: Duration, cap: Duration) -> Self {
        Self { next: first.min(cap), cap }
    }
}

impl Iterator for Backoff {
    type Item = Duration;
    fn next(&mut self) -> Option<Duration> {
        let full = self.next;
        self.next = (full * 2).min(self.cap);
        Some(full.mul_f64(0.5 + fastrand::f64() / 2.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap_and_stay_between_half_and_whole() {
        let full = [100, 200, 400, 500, 500];
        let delays = Backoff::new(Duration::from_millis(100), Duration::from_millis(500));
        for (delay, full) in delays.zip(full) {
            assert!(delay >= Duration::from_millis(full / 2), "{delay:?} of {full}");
            assert!(delay <= Duration::from_millis(full), "{delay:?} of {full}");
        }
    }

    #[test]
    fn a_first_delay_above_the_cap_is_the_cap() {
        let mut delays = Backoff::new(Duration::from_secs(9), Duration::from_secs(1));
        assert!(delays.next().unwrap() <= Duration::from_secs(1));
    }
}
