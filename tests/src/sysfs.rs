//! Trees of files that look like the kernel's: `class/powercap` and the perf `power` PMU, under a
//! root of their own for `--sysfs-root`.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// What most processors' counters reach before they go on at zero.
pub const RANGE_MICROJOULES: u64 = 262_143_328_850;

/// A sysfs that a test writes.
#[derive(Debug)]
pub struct Sysfs {
    root: TempDir,
}

impl Default for Sysfs {
    fn default() -> Self {
        Self::new()
    }
}

impl Sysfs {
    /// An empty one, which any user may read.
    ///
    /// # Panics
    /// If the directory for temporary files can't be written.
    #[must_use]
    pub fn new() -> Self {
        let root = tempfile::tempdir().expect("temporary files can be written");
        set_mode(root.path(), 0o755);
        Self { root }
    }

    /// Its root, for `--sysfs-root`.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Adds a RAPL zone such as `intel-rapl:0:1`.
    pub fn zone(&self, directory: &str, name: &str, microjoules: u64) {
        let zone = self.zone_path(directory);
        write(&zone.join("name"), name);
        write(&zone.join("max_energy_range_uj"), &RANGE_MICROJOULES.to_string());
        // Of one length, so that no reader ever sees half of a number.
        write(&zone.join("energy_uj"), &format!("{microjoules:020}"));
    }

    /// Sets a zone's counter, in one write and in place.
    ///
    /// # Panics
    /// If there is no such zone.
    pub fn set_energy(&self, directory: &str, microjoules: u64) {
        let path = self.zone_path(directory).join("energy_uj");
        let file = fs::OpenOptions::new().write(true).open(path).expect("the zone is there");
        file.write_all_at(format!("{microjoules:020}").as_bytes(), 0).expect("it can be written");
    }

    /// Lets only root read a zone's counter, as Linux does since 5.10.
    pub fn restrict_to_root(&self, directory: &str) {
        set_mode(&self.zone_path(directory).join("energy_uj"), 0o400);
    }

    /// Adds a `power` PMU that is really the kernel's CPU clock (software PMU, event 0), which counts
    /// nanoseconds: with this scale it takes `watts` on each CPU of the mask.
    pub fn cpu_clock_as_power_pmu(&self, cpumask: &str, watts: f64) {
        let pmu = self.root().join("bus/event_source/devices/power");
        write(&pmu.join("type"), "1");
        write(&pmu.join("cpumask"), cpumask);
        let events = pmu.join("events");
        write(&events.join("energy-pkg"), "event=0x00");
        write(&events.join("energy-pkg.unit"), "Joules");
        write(&events.join("energy-pkg.scale"), &format!("{:e}", watts * 1e-9));
    }

    /// Gives the `power` PMU a counter that never moves, as virtual machines have them: it is really the
    /// kernel's dummy event (software PMU, event 9).
    pub fn dead_psys_in_power_pmu(&self) {
        let pmu = self.root().join("bus/event_source/devices/power");
        write(&pmu.join("type"), "1");
        write(&pmu.join("cpumask"), "0");
        let events = pmu.join("events");
        write(&events.join("energy-psys"), "event=0x09");
        write(&events.join("energy-psys.unit"), "Joules");
        write(&events.join("energy-psys.scale"), "1e-9");
    }

    fn zone_path(&self, directory: &str) -> PathBuf {
        self.root().join("class/powercap").join(directory)
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("writable");
    fs::write(path, format!("{text}\n")).expect("temporary files can be written");
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("we own it");
}
