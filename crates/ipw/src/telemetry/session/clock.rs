//! The clock of a monitor that speaks our contract, against ours: the same one if boot and time
//! namespace agree, else the offset of the fastest of several round trips.

use std::time::Duration;

use energy_proto::{Description, Nanos, SensorReading};

use super::SessionError;
use super::link::{Client, describe};

/// Round trips for one look at a foreign clock; the fastest counts.
const ROUND_TRIPS: usize = 16;
/// How often a foreign clock is looked at again.
pub(super) const RENEWAL: Duration = Duration::from_secs(60);
/// How far two clocks may drift apart between two looks: 50 ppm, twice a usual crystal's tolerance.
const DRIFT: Duration = Duration::from_millis(3);

/// What is known of the monitor's clock against ours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// Monitor's minus ours, in nanoseconds.
    offset: i128,
    pub(super) uncertainty: Duration,
    pub(super) foreign: bool,
}

impl Clock {
    pub(super) async fn align(
        client: &mut Client,
        description: &Description,
    ) -> Result<Self, SessionError> {
        let same_boot = description.boot_id.is_some()
            && description.boot_id == energy_proto::boot_id()
            && description.time_namespace == energy_proto::time_namespace();
        if same_boot {
            return Ok(Self { offset: 0, uncertainty: Duration::ZERO, foreign: false });
        }
        let mut best: Option<(Duration, i128)> = None;
        for _ in 0..ROUND_TRIPS {
            let sent = energy_proto::monotonic_now();
            let Some(told) = describe(client).await? else {
                return Err(SessionError::Refused("it describes itself no more".to_owned()));
            };
            let received = energy_proto::monotonic_now();
            let round_trip = received.since(sent);
            if best.is_none_or(|(fastest, _)| round_trip < fastest) {
                let ours = sent.midpoint(received);
                best = Some((round_trip, i128::from(told.anchor.monotonic.0) - i128::from(ours.0)));
            }
        }
        let (round_trip, offset) = best.unwrap_or_default();
        Ok(Self { offset, uncertainty: round_trip / 2 + DRIFT, foreign: true })
    }

    /// A time of the monitor's clock on ours.
    pub(super) fn ours(&self, theirs: Nanos) -> Nanos {
        let ours = i128::from(theirs.0) - self.offset;
        Nanos(u64::try_from(ours.max(0)).unwrap_or(u64::MAX))
    }

    /// Puts all times of a read on our clock.
    pub(super) fn place(&self, read: &mut SensorReading) {
        let ours = |at: Nanos| self.ours(at);
        read.read_start = ours(read.read_start);
        read.read_end = ours(read.read_end);
        read.changed_after = read.changed_after.map(ours);
        read.changed_before = read.changed_before.map(ours);
        read.power_at = read.power_at.map(ours);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use energy_proto::Status;

    #[test]
    fn a_foreign_time_is_moved_by_the_offset() {
        let clock = Clock { offset: 500, uncertainty: Duration::ZERO, foreign: true };
        assert_eq!(clock.ours(Nanos(800)), Nanos(300));
        assert_eq!(clock.ours(Nanos(100)), Nanos(0), "before our boot: clamped");
        let mut read = SensorReading::empty(0, Nanos(600), Nanos(700), Status::Ok);
        read.power_at = Some(Nanos(650));
        clock.place(&mut read);
        assert_eq!((read.read_start, read.read_end), (Nanos(100), Nanos(200)));
        assert_eq!(read.power_at, Some(Nanos(150)));
    }
}
