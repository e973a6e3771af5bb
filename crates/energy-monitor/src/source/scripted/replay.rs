//! From the recorded axis of time to this host's: every time of a trace is moved by the same amount,
//! so that whatever was true between times and figures stays true.
//!
//! What can't be true in a recording is withheld: a counter that falls within an epoch, a read that
//! ended before it began or after its tick. Pure: the present time is passed in.

use energy_proto::{Nanos, SensorReading, Status, Watts};

use super::trace::{Tick, put};

/// A trace on this host's axis of time.
#[derive(Debug)]
pub(super) struct Replay {
    /// What is added to every recorded time, once the first tick was due.
    shift: Option<i128>,
    /// Each start of this program replays in epochs of its own: energy begins anew.
    first_epoch: u32,
    /// The last energy of each sensor, with its epoch.
    last: Vec<Option<(u32, u64)>>,
}

impl Replay {
    /// A replay that has not begun.
    pub(super) fn of(sensors: usize, first_epoch: u32) -> Self {
        Self { shift: None, first_epoch, last: vec![None; sensors] }
    }

    /// The epoch of a sensor's last energy.
    pub(super) fn epoch_of(&self, sensor: u32) -> u32 {
        let last = self.last.get(sensor as usize).copied().flatten();
        self.first_epoch.wrapping_add(last.map_or(0, |(epoch, _)| epoch))
    }

    /// When a tick is due: the first one now.
    pub(super) fn due(&mut self, tick: &Tick, now: Nanos) -> Nanos {
        self.shift.get_or_insert(i128::from(now.0) - i128::from(tick.at.0));
        // A tick from before the first one is due at once, and one from beyond time never.
        let moved = i128::from(tick.at.0) + self.shift.unwrap_or(0);
        Nanos(u64::try_from(moved.max(0)).unwrap_or(u64::MAX))
    }

    /// Appends a tick's readings, each in the place of an earlier one of its sensor.
    pub(super) fn tell(&mut self, tick: &Tick, due: Nanos, readings: &mut Vec<SensorReading>) {
        for recorded in &tick.readings {
            let reading = self.replayed(recorded, tick.at).unwrap_or_else(|| {
                SensorReading::empty(recorded.sensor, due, due, Status::Implausible)
            });
            put(readings, reading);
        }
    }

    /// A reading on this host's axis; nothing if it can't be true.
    fn replayed(&mut self, recorded: &SensorReading, at: Nanos) -> Option<SensorReading> {
        let is_in_order = recorded.read_start <= recorded.read_end && recorded.read_end <= at;
        let read_start = self.moved(recorded.read_start).filter(|_| is_in_order)?;
        let read_end = self.moved(recorded.read_end)?;
        let last = self.last.get_mut(recorded.sensor as usize)?;
        if let Some(energy) = recorded.energy_microjoules {
            if last.is_some_and(|(epoch, before)| epoch == recorded.epoch && energy < before) {
                return None;
            }
            *last = Some((recorded.epoch, energy));
        }
        let (changed_after, changed_before) = self.change(recorded);
        Some(SensorReading {
            epoch: self.first_epoch.wrapping_add(recorded.epoch),
            read_start,
            read_end,
            changed_after,
            changed_before,
            power: recorded.power.filter(|power| *power >= Watts(0.0)),
            power_at: recorded.power_at.and_then(|at| self.moved(at)),
            ..*recorded
        })
    }

    /// In which interval the energy appeared, unless that contradicts itself.
    fn change(&self, recorded: &SensorReading) -> (Option<Nanos>, Option<Nanos>) {
        let Some(before) = recorded.changed_before.filter(|at| *at <= recorded.read_end) else {
            return (None, None);
        };
        let after = recorded.changed_after.filter(|after| *after <= before);
        (after.and_then(|at| self.moved(at)), self.moved(before))
    }

    fn moved(&self, recorded: Nanos) -> Option<Nanos> {
        u64::try_from(i128::from(recorded.0) + self.shift?).ok().map(Nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Nanos = Nanos(5_000_000_000);

    fn reading(at: u64, epoch: u32, energy: u64) -> SensorReading {
        SensorReading {
            energy_microjoules: Some(energy),
            epoch,
            changed_after: Some(Nanos(at - 20)),
            changed_before: Some(Nanos(at - 5)),
            power_at: Some(Nanos(at - 7)),
            ..SensorReading::empty(0, Nanos(at - 6), Nanos(at - 5), Status::Ok)
        }
    }

    fn tell(replay: &mut Replay, at: u64, reading: SensorReading) -> SensorReading {
        let tick = Tick { at: Nanos(at), readings: vec![reading] };
        let due = replay.due(&tick, NOW);
        let mut readings = Vec::new();
        replay.tell(&tick, due, &mut readings);
        readings[0]
    }

    #[test]
    fn every_time_is_moved_by_the_same_amount_and_figures_stay() {
        for first in [1_000_u64, u64::MAX - 10_000] {
            let mut replay = Replay::of(1, 40);
            tell(&mut replay, first, reading(first, 2, 7));
            let later = tell(&mut replay, first + 300, reading(first + 300, 2, 9));
            assert_eq!(later.read_start, Nanos(NOW.0 + 294));
            assert_eq!(later.read_end, Nanos(NOW.0 + 295));
            assert_eq!(later.changed_after, Some(Nanos(NOW.0 + 280)));
            assert_eq!(later.changed_before, Some(Nanos(NOW.0 + 295)));
            assert_eq!(later.power_at, Some(Nanos(NOW.0 + 293)));
            assert_eq!((later.energy_microjoules, later.epoch), (Some(9), 42));
        }
    }

    #[test]
    fn energy_that_falls_within_an_epoch_is_withheld() {
        let mut replay = Replay::of(1, 0);
        tell(&mut replay, 1_000, reading(1_000, 0, 7));
        let fallen = tell(&mut replay, 1_100, reading(1_100, 0, 6));
        assert_eq!((fallen.status, fallen.energy_microjoules), (Status::Implausible, None));
        assert_eq!(tell(&mut replay, 1_200, reading(1_200, 1, 6)).energy_microjoules, Some(6));
    }

    #[test]
    fn a_read_out_of_order_is_withheld_and_a_change_out_of_order_is_not_known() {
        let mut replay = Replay::of(1, 0);
        let late = SensorReading { read_end: Nanos(1_001), ..reading(1_000, 0, 7) };
        let backwards = SensorReading { read_start: Nanos(999), ..reading(1_000, 0, 7) };
        for bad in [late, backwards] {
            assert_eq!(tell(&mut replay, 1_000, bad).status, Status::Implausible);
        }
        let odd = SensorReading { changed_before: Some(Nanos(999)), ..reading(1_000, 0, 7) };
        let told = tell(&mut replay, 1_000, odd);
        assert_eq!((told.changed_after, told.changed_before), (None, None));
        assert_eq!(told.energy_microjoules, Some(7));
    }

    proptest! {
        #[test]
        fn whatever_was_recorded_energy_never_falls_within_an_epoch(
            ticks in proptest::collection::vec(
                (any::<u64>(), any::<u64>(), any::<u64>(), 0_u32..3, proptest::option::of(any::<u64>())),
                1..60,
            ),
        ) {
            let mut replay = Replay::of(1, u32::MAX - 1);
            let mut last = None::<(u32, u64)>;
            for (at, start, end, epoch, energy_microjoules) in ticks {
                let empty = SensorReading::empty(0, Nanos(start), Nanos(end), Status::Ok);
                let told = tell(&mut replay, at, SensorReading { epoch, energy_microjoules, ..empty });
                prop_assert!(told.read_start <= told.read_end);
                let Some(energy) = told.energy_microjoules else { continue };
                if let Some((epoch, before)) = last {
                    prop_assert!(epoch != told.epoch || before <= energy);
                }
                last = Some((told.epoch, energy));
            }
        }
    }
}
