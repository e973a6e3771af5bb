//! What Prometheus is told: each sensor's energy so far and its present figures.
//!
//! [`Accounts`] keep book of what the ticks saw, [`exposition`] writes it as OpenMetrics text, and
//! [`http`] answers `GET /metrics` with it. Energy is counted from the monitor's start, in
//! microjoules; it never falls, whatever the hardware's counter does, and what was used while nobody
//! counted is not made up. A sensor that gives only power has no energy here: who reads it may
//! integrate, and knows best how.

pub mod exposition;
pub mod http;

use std::sync::{Mutex, PoisonError, TryLockError};

use energy_proto::{Nanos, SensorInfo, SensorReading};

use crate::platypus;

/// How finely the counters of CPUs are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CpuDetail {
    /// As they are read.
    Fine,
    /// Two reads that are shown lie at least [`platypus::CLOSEST`] apart.
    Coarse,
}

/// What is remembered of a sensor.
#[derive(Debug, Clone, Copy, Default)]
pub struct Account {
    /// Two reads that are taken notice of lie at least 10 ms apart.
    coarse: bool,
    /// Epoch and value of the last read of the counter.
    last: Option<(u32, u64)>,
    /// When that was.
    last_read: Option<Nanos>,
    counted_microjoules: u64,
    resets: u64,
    latest: Option<SensorReading>,
}

impl Account {
    fn observe(&mut self, reading: &SensorReading) {
        // One without figures shows nothing that is too fine, and says that the last ones are past.
        let has_figures = reading.energy_microjoules.is_some() || reading.power.is_some();
        if has_figures && self.is_too_fine(reading.read_end) {
            return;
        }
        self.latest = Some(*reading);
        if has_figures {
            self.last_read = Some(reading.read_end);
        }
        if let Some(energy) = reading.energy_microjoules {
            self.count(reading.epoch, energy);
        }
    }

    fn is_too_fine(&self, read: Nanos) -> bool {
        self.coarse && self.last_read.is_some_and(|last| read.since(last) < platypus::CLOSEST)
    }

    fn count(&mut self, epoch: u32, energy: u64) {
        let rise = match self.last {
            None => Some(0),
            Some((last_epoch, last)) if last_epoch == epoch => energy.checked_sub(last),
            Some(_) => None,
        };
        match rise {
            Some(rise) => {
                self.counted_microjoules = self.counted_microjoules.saturating_add(rise);
            }
            None => self.resets += 1,
        }
        self.last = Some((epoch, energy));
    }
}

/// The book of all sensors.
#[derive(Debug, Clone)]
pub struct Accounts {
    sensors: Vec<Account>,
}

impl Accounts {
    /// A book of these sensors in which nothing stands yet.
    #[must_use]
    pub fn of(sensors: &[SensorInfo], detail: CpuDetail) -> Self {
        let coarse =
            |info: &SensorInfo| detail == CpuDetail::Coarse && platypus::concerns(info.kind);
        let account = |info| Account { coarse: coarse(info), ..Account::default() };
        Self { sensors: sensors.iter().map(account).collect() }
    }

    /// Takes the readings of a tick. The same read may come several times.
    pub fn observe(&mut self, readings: &[SensorReading]) {
        for reading in readings {
            if let Some(account) = self.sensors.get_mut(reading.sensor as usize) {
                account.observe(reading);
            }
        }
    }
}

/// The book between the tick thread, which writes it, and those who look into it.
#[derive(Debug)]
pub struct SharedAccounts(Mutex<Accounts>);

impl SharedAccounts {
    /// Shares a book.
    #[must_use]
    pub fn new(accounts: Accounts) -> Self {
        Self(Mutex::new(accounts))
    }

    /// Takes the readings of a tick, and never waits: while somebody looks, a tick goes by unnoticed.
    /// Its energy is in the next one's.
    pub fn observe(&self, readings: &[SensorReading]) {
        match self.0.try_lock() {
            Ok(mut accounts) => accounts.observe(readings),
            // Nobody panics half way through a book entry that would matter: they are numbers.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().observe(readings),
            Err(TryLockError::WouldBlock) => {}
        }
    }

    /// The book as it stands.
    #[must_use]
    pub fn snapshot(&self) -> Accounts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use energy_proto::{SensorKind, Status};
    use proptest::prelude::*;
    use std::time::Duration;

    fn read(at_ms: u64, epoch: u32, energy: u64) -> SensorReading {
        let at = Nanos(at_ms * 1_000_000);
        let empty = SensorReading::empty(0, at, at, Status::Ok);
        SensorReading { energy_microjoules: Some(energy), epoch, ..empty }
    }

    fn book(kind: SensorKind, detail: CpuDetail) -> Accounts {
        Accounts::of(&[SensorInfo::new(0, kind, "test")], detail)
    }

    fn counted(accounts: &Accounts) -> (u64, u64) {
        (accounts.sensors[0].counted_microjoules, accounts.sensors[0].resets)
    }

    #[test]
    fn energy_counts_from_the_first_read_and_goes_on_over_resets_without_inventing_a_gap() {
        let mut accounts = book(SensorKind::Gpu, CpuDetail::Fine);
        for (at, epoch, energy, so_far) in [
            (0, 0, 1_000, (0, 0)),
            (1, 0, 1_500, (500, 0)),
            (1, 0, 1_500, (500, 0)),
            (2, 1, 40, (500, 1)),
            (3, 1, 50, (510, 1)),
            // A counter that falls within its epoch contradicts its source.
            (4, 1, 45, (510, 2)),
            (5, 1, 46, (511, 2)),
        ] {
            accounts.observe(&[read(at, epoch, energy)]);
            assert_eq!(counted(&accounts), so_far, "at {at}");
        }
    }

    #[test]
    fn what_was_used_while_the_counter_could_not_be_read_is_counted_when_it_can() {
        let mut accounts = book(SensorKind::Gpu, CpuDetail::Fine);
        accounts.observe(&[read(0, 0, 1_000)]);
        let gone =
            SensorReading { energy_microjoules: None, status: Status::Lost, ..read(1, 0, 0) };
        accounts.observe(&[gone]);
        assert_eq!(accounts.sensors[0].latest, Some(gone));
        accounts.observe(&[read(2, 0, 1_700)]);
        assert_eq!(counted(&accounts), (700, 0));
    }

    #[test]
    fn an_anonymous_reader_sees_a_cpu_at_most_every_ten_milliseconds() {
        for (kind, detail, seen) in [
            (SensorKind::CpuPackage, CpuDetail::Coarse, 11),
            (SensorKind::Dram, CpuDetail::Coarse, 11),
            (SensorKind::Psys, CpuDetail::Coarse, 11),
            (SensorKind::CpuPackage, CpuDetail::Fine, 101),
            (SensorKind::Gpu, CpuDetail::Coarse, 101),
        ] {
            let mut accounts = book(kind, detail);
            let mut shown = Vec::new();
            for at in 0..=100 {
                accounts.observe(&[read(at, 0, 1_000 + at)]);
                shown.push((counted(&accounts), accounts.sensors[0].latest));
            }
            shown.dedup();
            assert_eq!(shown.len(), seen, "{kind} {detail:?}");
            assert_eq!(counted(&accounts).0, 100);
        }
    }

    #[test]
    fn a_cpu_that_can_not_be_read_any_more_is_seen_at_once_even_coarsely() {
        let mut accounts = book(SensorKind::CpuPackage, CpuDetail::Coarse);
        accounts.observe(&[read(0, 0, 1_000)]);
        let gone =
            SensorReading { energy_microjoules: None, status: Status::Stale, ..read(0, 0, 0) };
        accounts.observe(&[gone]);
        assert_eq!(accounts.sensors[0].latest, Some(gone));
        accounts.observe(&[read(1, 0, 1_001)]);
        assert_eq!(accounts.sensors[0].latest, Some(gone), "nor is it finer when it comes back");
    }

    #[test]
    fn a_tick_takes_no_memory_and_little_time() {
        let sensors: Vec<_> =
            (0..16).map(|id| SensorInfo::new(id, SensorKind::Gpu, "test")).collect();
        let shared = SharedAccounts::new(Accounts::of(&sensors, CpuDetail::Coarse));
        let readings: Vec<_> =
            (0..16).map(|sensor| SensorReading { sensor, ..read(5, 0, 7) }).collect();
        let begun = std::time::Instant::now();
        let used = allocation_counter::measure(|| {
            for _ in 0..1_000 {
                shared.observe(&readings);
            }
        });
        assert_eq!(used.count_total, 0);
        // 16,000 of them; a debug build on a busy machine is given much more than they take.
        assert!(begun.elapsed() < Duration::from_millis(160), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_tick_does_not_wait_for_those_who_look() {
        let shared = SharedAccounts::new(book(SensorKind::Gpu, CpuDetail::Fine));
        let looking = shared.0.lock().unwrap();
        shared.observe(&[read(0, 0, 1)]);
        drop(looking);
        assert_eq!(shared.snapshot().sensors[0].latest, None);
        shared.observe(&[read(1, 0, 2)]);
        assert!(shared.snapshot().sensors[0].latest.is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn the_count_never_falls_whatever_is_read(
            reads in proptest::collection::vec((any::<u32>(), any::<Option<u64>>(), any::<u64>(), 0_u32..3), 0..60),
        ) {
            let mut accounts = book(SensorKind::CpuPackage, CpuDetail::Coarse);
            let mut before = 0;
            for (epoch, energy, at, sensor) in reads {
                let at = Nanos(at);
                accounts.observe(&[SensorReading {
                    energy_microjoules: energy,
                    epoch: epoch % 2,
                    ..SensorReading::empty(sensor, at, at, Status::Ok)
                }]);
                let (now, _) = counted(&accounts);
                prop_assert!(now >= before);
                before = now;
            }
        }
    }
}
