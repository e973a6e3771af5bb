//! What is told of each sensor: its latest read, as far as it is young enough and nothing happened
//! since that its figures can't be trusted over.
//!
//! Pure: times are passed in.

use std::time::Duration;

use energy_proto::{Nanos, SensorReading, Status};

/// The latest read of each sensor.
#[derive(Debug)]
pub(super) struct Board {
    latest: Vec<Option<SensorReading>>,
    /// How old each read may be before its figures are withheld.
    allowed_ages: Vec<Duration>,
    /// The epoch that subscribers know of each sensor.
    told_epochs: Vec<Option<u32>>,
    stale_after: Duration,
    since: Nanos,
    /// How often the host was suspended: what its counters did meanwhile isn't known.
    suspensions: u32,
    /// Reads that began before this are of the time before the last suspension, or of an unknown one.
    trusted_from: Nanos,
}

impl Board {
    pub(super) fn new(sensors: usize, stale_after: Duration, now: Nanos) -> Self {
        Self {
            latest: vec![None; sensors],
            allowed_ages: vec![stale_after; sensors],
            told_epochs: vec![None; sensors],
            stale_after,
            since: now,
            suspensions: 0,
            trusted_from: Nanos(0),
        }
    }

    /// Takes reads, which may be of this age.
    pub(super) fn put(&mut self, readings: &[SensorReading], allowed_age: Duration) {
        for reading in readings {
            let index = reading.sensor as usize;
            if let (Some(slot), Some(age)) =
                (self.latest.get_mut(index), self.allowed_ages.get_mut(index))
            {
                *slot = Some(*reading);
                *age = allowed_age;
            }
        }
    }

    /// The host was suspended at some time before `now`: every counter's continuity is lost.
    pub(super) fn suspended(&mut self, now: Nanos) {
        self.suspensions += 1;
        self.trusted_from = now;
    }

    /// Puts what to tell of each sensor now into `told`, which is emptied first. A sensor that never
    /// answered is absent at first, and stale when it should have.
    pub(super) fn tell(&mut self, now: Nanos, told: &mut Vec<SensorReading>) {
        told.clear();
        for (index, sensor) in (0..self.latest.len()).zip(0..) {
            let reading = match self.latest[index] {
                Some(latest) => self.told_of(latest, self.allowed_ages[index], now),
                None if now.since(self.since) <= self.stale_after => continue,
                None => SensorReading::empty(sensor, self.since, self.since, Status::Stale),
            };
            told.push(self.in_its_epoch(index, reading));
        }
    }

    fn told_of(&self, latest: SensorReading, allowed_age: Duration, now: Nanos) -> SensorReading {
        let young = now.since(latest.read_end) <= allowed_age;
        if young && latest.read_start >= self.trusted_from {
            return latest;
        }
        SensorReading {
            epoch: latest.epoch,
            ..SensorReading::empty(latest.sensor, latest.read_start, latest.read_end, Status::Stale)
        }
    }

    /// Counts suspensions into the epoch, and calls the first reading of an epoch a reset: the read
    /// that found it may have been replaced before any tick told of it.
    fn in_its_epoch(&mut self, index: usize, mut reading: SensorReading) -> SensorReading {
        reading.epoch = reading.epoch.wrapping_add(self.suspensions);
        if reading.energy_microjoules.is_some() {
            let told = self.told_epochs[index].replace(reading.epoch);
            if told.is_some_and(|epoch| epoch != reading.epoch) && reading.status == Status::Ok {
                reading.status = Status::Reset;
            }
        }
        reading
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);

    fn read(at: u64, epoch: u32, status: Status) -> SensorReading {
        let mut reading = SensorReading::empty(0, Nanos(at), Nanos(at), status);
        reading.epoch = epoch;
        reading.energy_microjoules = Some(7);
        reading
    }

    fn told(board: &mut Board, at: u64) -> Vec<SensorReading> {
        let mut told = Vec::new();
        board.tell(Nanos(at), &mut told);
        told
    }

    #[test]
    fn a_sensor_that_never_answers_is_absent_and_then_stale() {
        let mut board = Board::new(1, LIMIT, Nanos(1_000));
        assert_eq!(told(&mut board, 1_000_001_000), []);
        assert_eq!(told(&mut board, 1_000_001_001)[0].status, Status::Stale);
    }

    #[test]
    fn an_old_read_loses_its_figures() {
        let mut board = Board::new(1, LIMIT, Nanos(1_000));
        board.put(&[read(1_000, 0, Status::Ok)], LIMIT);
        assert_eq!(told(&mut board, 1_000_001_000)[0].energy_microjoules, Some(7));
        let late = told(&mut board, 1_000_001_001)[0];
        assert_eq!((late.energy_microjoules, late.status), (None, Status::Stale));
    }

    #[test]
    fn a_reset_is_told_though_the_read_that_found_it_was_replaced() {
        let mut board = Board::new(1, LIMIT, Nanos(1_000));
        let mut status = |reading| {
            board.put(&[reading], LIMIT);
            let told = told(&mut board, 1_000);
            told[0].status
        };
        assert_eq!(status(read(1_000, 0, Status::Ok)), Status::Ok);
        let _replaced = read(1_000, 1, Status::Reset);
        assert_eq!(status(read(1_000, 1, Status::Ok)), Status::Reset);
        assert_eq!(status(read(1_000, 1, Status::Ok)), Status::Ok);
    }

    #[test]
    fn after_a_suspension_only_new_reads_count_and_they_are_of_another_epoch() {
        let mut board = Board::new(1, LIMIT, Nanos(1_000));
        board.put(&[read(1_000, 4, Status::Ok)], LIMIT);
        assert_eq!(told(&mut board, 1_000)[0].epoch, 4);
        board.suspended(Nanos(5_000));
        let before = told(&mut board, 5_000)[0];
        assert_eq!((before.energy_microjoules, before.status), (None, Status::Stale));
        board.put(&[read(6_000, 4, Status::Ok)], LIMIT);
        let after = told(&mut board, 6_000)[0];
        assert_eq!((after.energy_microjoules, after.status), (Some(7), Status::Reset));
        assert_eq!(after.epoch, 5);
    }
}
