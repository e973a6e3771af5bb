//! Made-up CPU energy for hosts without any counter: the CPU's busy share times a stated power,
//! summed up. It says nothing of idle power, of clocks or of what the work was; how far it is off is
//! not known.
//!
//! Opt-in only. The busy share is that of all CPUs together from `/proc/stat`, which moves in steps
//! of 10 ms of CPU time.

use std::path::{Path, PathBuf};

use energy_proto::{
    Joules, Nanos, SensorInfo, SensorKind, SensorReading, Status, Watts, monotonic_now,
};

use super::{ProcFile, Source, Unavailable, epoch_of_this_start, timed};

/// The CPU's estimated energy since this source was opened.
pub struct EstimateSource {
    path: PathBuf,
    stat: ProcFile,
    tdp: Watts,
    energy: Joules,
    epoch: u32,
    power: Option<Watts>,
    last: CpuTime,
    last_at: Nanos,
}

/// Time of all CPUs since boot, in ticks of the kernel's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CpuTime {
    busy: u64,
    total: u64,
}

impl EstimateSource {
    /// Estimates from the `stat` of a procfs and the CPU's power at full load.
    ///
    /// # Errors
    /// If it can't be read or lacks the CPU's times.
    pub fn open(proc_root: &Path, tdp: Watts) -> Result<Self, Unavailable> {
        let path = proc_root.join("stat");
        let unavailable =
            || Unavailable::new(format!("{} has no times of the CPU", path.display()), "");
        let mut stat = ProcFile::open(&path).map_err(|_| unavailable())?;
        let last = stat.read().and_then(cpu_time).ok_or_else(unavailable)?;
        Ok(Self {
            path,
            stat,
            tdp,
            energy: Joules(0.0),
            epoch: epoch_of_this_start(),
            power: None,
            last,
            last_at: monotonic_now(),
        })
    }

    /// Adds the energy of the time since the last step; a time too short to have moved the kernel's
    /// ticks waits for the next.
    fn advance(&mut self, now: CpuTime, at: Nanos) {
        let Some(share) = busy_share(self.last, now) else { return };
        let power = self.tdp * share;
        self.energy += power * at.since(self.last_at);
        self.power = Some(power);
        (self.last, self.last_at) = (now, at);
    }
}

impl Source for EstimateSource {
    fn describe(&self) -> Vec<SensorInfo> {
        vec![SensorInfo {
            name: format!("CPU estimate (busy share x {} W)", self.tdp.0),
            uuid: self.path.display().to_string(),
            measures: vec!["energy".to_owned(), "power".to_owned()],
            power_limit: Some(self.tdp),
            ..SensorInfo::new(0, SensorKind::CpuPackage, "estimate")
        }]
    }

    fn read(&mut self, readings: &mut Vec<SensorReading>) {
        let (now, start, end) = timed(|| self.stat.read().and_then(cpu_time));
        let Some(now) = now else {
            readings.push(SensorReading::empty(0, start, end, Status::Lost));
            return;
        };
        self.advance(now, end);
        readings.push(SensorReading {
            energy_microjoules: Some((self.energy.0 * 1e6) as u64),
            epoch: self.epoch,
            power: self.power,
            ..SensorReading::empty(0, start, end, Status::Ok)
        });
    }
}

/// The share of time in which the CPUs were busy between two readings; nothing if no time passed.
fn busy_share(before: CpuTime, now: CpuTime) -> Option<f64> {
    let total = now.total.checked_sub(before.total).filter(|ticks| *ticks > 0)?;
    // The kernel's iowait may go back a little, and busy time with it.
    let busy = now.busy.saturating_sub(before.busy).min(total);
    Some(busy as f64 / total as f64)
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal, and the
/// guests' times, which are within user and nice. Stolen time is another machine's work.
fn cpu_time(stat: &str) -> Option<CpuTime> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?;
    let mut ticks = fields.split_whitespace().map(|tick| tick.parse::<u64>().ok());
    let mut next = || ticks.next()?;
    let [user, nice, system, idle] = [next()?, next()?, next()?, next()?];
    let [iowait, irq, softirq, steal] = [next()?, next()?, next()?, next()?];
    let busy = [user, nice, system, irq, softirq].into_iter().try_fold(0, u64::checked_add)?;
    let total = [idle, iowait, steal].into_iter().try_fold(busy, u64::checked_add)?;
    Some(CpuTime { busy, total })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn source(last: CpuTime) -> EstimateSource {
        EstimateSource {
            path: PathBuf::new(),
            stat: ProcFile::open(Path::new("/dev/null")).unwrap(),
            tdp: Watts(60.0),
            energy: Joules(0.0),
            epoch: 1,
            power: None,
            last,
            last_at: Nanos(0),
        }
    }

    fn after(millis: u64) -> Nanos {
        Nanos(0) + Duration::from_millis(millis)
    }

    #[test]
    fn the_energy_is_the_busy_share_of_the_stated_power() {
        let mut source = source(CpuTime { busy: 10, total: 100 });
        source.advance(CpuTime { busy: 35, total: 200 }, after(500));
        assert!((source.energy.0 - 60.0 * 0.25 * 0.5).abs() < 1e-12);
        assert_eq!(source.power, Some(Watts(15.0)));
    }

    #[test]
    fn a_time_without_a_tick_is_not_lost() {
        let mut source = source(CpuTime { busy: 0, total: 100 });
        source.advance(CpuTime { busy: 0, total: 100 }, after(4));
        assert_eq!(source.energy, Joules(0.0));
        source.advance(CpuTime { busy: 2, total: 102 }, after(10));
        assert!((source.energy.0 - 0.6).abs() < 1e-12);
    }

    #[test]
    fn busy_is_neither_idle_nor_waiting_nor_stolen_and_guests_count_once() {
        let stat = "cpu  10 1 5 100 20 2 3 9 4 1\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(cpu_time(stat), Some(CpuTime { busy: 21, total: 150 }));
    }

    #[test]
    fn a_strange_stat_is_no_time() {
        for bad in ["", "cpu\n", "cpu 1 2 3\n", "cpu a b c d e f g h\n", "intr 1 2 3 4 5 6 7 8\n"] {
            assert_eq!(cpu_time(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn busy_time_that_goes_back_is_no_negative_share() {
        let share = busy_share(CpuTime { busy: 50, total: 100 }, CpuTime { busy: 49, total: 110 });
        assert_eq!(share, Some(0.0));
    }
}
