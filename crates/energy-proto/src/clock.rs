//! The monotonic clock, its relation to wall time, and which clock it is.
//!
//! All arithmetic on measurements is monotonic; wall time is anchor + monotonic, so a step of the
//! wall clock changes nothing.

use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::Nanos;

/// The present time of `CLOCK_MONOTONIC`.
#[must_use]
pub fn monotonic_now() -> Nanos {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC is always there");
    Nanos(now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64)
}

/// The same instant on the monotonic and on the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockAnchor {
    /// Monotonic time.
    pub monotonic: Nanos,
    /// Nanoseconds since the Unix epoch.
    pub unix_nanos: i64,
}

impl ClockAnchor {
    /// Reads both clocks now.
    #[must_use]
    pub fn now() -> Self {
        let before = monotonic_now();
        let wall = SystemTime::now();
        let after = monotonic_now();
        let unix_nanos = match wall.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
            Err(before_epoch) => {
                -i64::try_from(before_epoch.duration().as_nanos()).unwrap_or(i64::MAX)
            }
        };
        Self { monotonic: before.midpoint(after), unix_nanos }
    }

    /// Wall time, in nanoseconds since the Unix epoch, of a monotonic instant of the same host.
    #[must_use]
    pub fn unix_nanos_at(self, instant: Nanos) -> i64 {
        let offset = i128::from(instant.0) - i128::from(self.monotonic.0);
        let unix = i128::from(self.unix_nanos) + offset;
        i64::try_from(unix).unwrap_or(if unix < 0 { i64::MIN } else { i64::MAX })
    }
}

/// The identifier of this boot of the host, where the system has one. Monotonic times of one boot
/// and one time namespace compare directly.
#[must_use]
pub fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// The inode of this process's time namespace, where the system has them.
#[must_use]
pub fn time_namespace() -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    Some(std::fs::metadata("/proc/self/ns/time").ok()?.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_is_anchor_plus_monotonic() {
        let anchor = ClockAnchor { monotonic: Nanos(1_000), unix_nanos: 50_000 };
        assert_eq!(anchor.unix_nanos_at(Nanos(1_500)), 50_500);
        assert_eq!(anchor.unix_nanos_at(Nanos(400)), 49_400);
    }

    #[test]
    fn the_monotonic_clock_does_not_go_back() {
        let first = monotonic_now();
        assert!(monotonic_now() >= first);
    }
}
