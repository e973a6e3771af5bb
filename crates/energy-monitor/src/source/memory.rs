//! The host's main memory from `/proc/meminfo`: occupied is what isn't available for new programs.
//! No energy. Bytes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use energy_proto::{SensorInfo, SensorKind, SensorReading, Status, monotonic_now};

use super::{Paced, ProcFile, Source, Unavailable, timed};

/// The kernel adds up all of its memory for each read.
const PERIOD: Duration = Duration::from_millis(500);

/// The host's main memory.
pub struct MemorySource {
    path: PathBuf,
    meminfo: ProcFile,
    latest: Paced<SensorReading>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Occupancy {
    used_bytes: u64,
    total_bytes: u64,
}

impl MemorySource {
    /// Reads memory from the `meminfo` of a procfs.
    ///
    /// # Errors
    /// If it isn't there or lacks the two figures.
    pub fn open(proc_root: &Path) -> Result<Self, Unavailable> {
        let path = proc_root.join("meminfo");
        let unreadable =
            |error| Unavailable::new(format!("{}: {error}", path.display()), String::new());
        let mut meminfo = ProcFile::open(&path).map_err(unreadable)?;
        if meminfo.read().and_then(occupancy).is_none() {
            let reason = format!("{} has no MemTotal and MemAvailable", path.display());
            return Err(Unavailable::new(reason, ""));
        }
        Ok(Self { path, meminfo, latest: Paced::every(PERIOD) })
    }
}

impl Source for MemorySource {
    fn describe(&self) -> Vec<SensorInfo> {
        vec![SensorInfo {
            name: "main memory".to_owned(),
            uuid: self.path.display().to_string(),
            measures: vec!["memory".to_owned()],
            ..SensorInfo::new(0, SensorKind::Memory, "procfs")
        }]
    }

    fn read(&mut self, readings: &mut Vec<SensorReading>) {
        let Self { meminfo, latest, .. } = self;
        readings.push(latest.get(monotonic_now(), || read_from(meminfo)));
    }
}

fn read_from(meminfo: &mut ProcFile) -> SensorReading {
    let (occupancy, start, end) = timed(|| meminfo.read().and_then(occupancy));
    let status = if occupancy.is_some() { Status::Ok } else { Status::Lost };
    SensorReading {
        memory_used_bytes: occupancy.map(|memory| memory.used_bytes),
        memory_total_bytes: occupancy.map(|memory| memory.total_bytes),
        ..SensorReading::empty(0, start, end, status)
    }
}

fn occupancy(meminfo: &str) -> Option<Occupancy> {
    let total_bytes = field_bytes(meminfo, "MemTotal:")?;
    let available = field_bytes(meminfo, "MemAvailable:")?;
    Some(Occupancy { used_bytes: total_bytes.checked_sub(available)?, total_bytes })
}

/// A field of `meminfo`, which counts in units of 1,024 bytes that it calls kB.
fn field_bytes(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const MEMINFO: &str = "MemTotal:       24000 kB\nMemFree: 10 kB\nMemAvailable:   20000 kB\n";

    #[test]
    fn occupied_is_what_is_not_available() {
        let memory = Occupancy { used_bytes: 4_000 * 1_024, total_bytes: 24_000 * 1_024 };
        assert_eq!(occupancy(MEMINFO), Some(memory));
    }

    #[test]
    fn a_strange_meminfo_is_no_figure() {
        for bad in [
            "",
            "MemTotal: 24000 kB\n",
            "MemTotal: 10 kB\nMemAvailable: 20 kB\n",
            "MemTotal: x kB\nMemAvailable: 1 kB\n",
            "MemTotal: 18446744073709551615 kB\nMemAvailable: 1 kB\n",
        ] {
            assert_eq!(occupancy(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_meminfo_that_becomes_strange_is_lost_and_not_the_last_value() {
        let proc_root = tempfile::tempdir().unwrap();
        let path = proc_root.path().join("meminfo");
        fs::write(&path, MEMINFO).unwrap();
        let mut meminfo = ProcFile::open(&path).unwrap();
        let before = read_from(&mut meminfo);
        fs::write(&path, "?").unwrap();
        let after = read_from(&mut meminfo);
        assert_eq!(before.memory_used_bytes, Some(4_000 * 1_024));
        assert_eq!((after.memory_used_bytes, after.status), (None, Status::Lost));
        assert!(MemorySource::open(proc_root.path()).is_err());
        fs::remove_file(&path).unwrap();
        assert!(MemorySource::open(proc_root.path()).is_err());
    }
}
