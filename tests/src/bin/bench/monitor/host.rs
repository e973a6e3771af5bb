//! The host that is measured on: eight GPUs of a fake NVML library, which refresh every 100 ms, each
//! at a time of its own, and two CPU packages with their memory as powercap shows them.
//!
//! The packages' counters are files in memory that this program moves once a sampling interval, so
//! that each read finds a new value. The kernel's CPU clock, as a perf PMU, would move by itself, but
//! stands for RAPL badly: a read of another CPU's counter interrupts that CPU, for 20 us in a virtual
//! machine, while RAPL is read on any CPU of its package (PERF_EV_CAP_READ_ACTIVE_PKG in the kernel's
//! arch/x86/events/rapl.c).

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use e2e::monitor::Monitor;
use e2e::sysfs::{RANGE_MICROJOULES, Sysfs};
use energy_proto::{Nanos, monotonic_now};
use fake_nvml::{ENVIRONMENT_VARIABLE, Gpu, Model, PowerShape};
use tempfile::TempDir;

use crate::machine;

const GPUS: u64 = 8;
const REFRESH_MS: u64 = 100;
/// Directory and name of each powercap zone.
const ZONES: [(&str, &str); 4] = [
    ("intel-rapl:0", "package-0"),
    ("intel-rapl:0:0", "dram"),
    ("intel-rapl:1", "package-1"),
    ("intel-rapl:1:0", "dram"),
];
/// A counter that took 100 W since the clock's zero.
const NANOS_A_MICROJOULE: u64 = 10;

/// How subscribers are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// A port of the loopback.
    Tcp,
    /// A socket of the user's own, over which alone the CPU's energy comes every millisecond.
    Unix,
}

/// The host; its counters stand still once it is dropped.
pub(super) struct Host {
    sysfs: Sysfs,
    /// Where all zones' counters are, in memory.
    _counters: TempDir,
    sockets: TempDir,
    stopping: Arc<AtomicBool>,
    moving: Option<JoinHandle<Result<()>>>,
}

impl Host {
    /// A host whose packages' counters move each `step`.
    pub(super) fn new(step: Duration) -> Result<Self> {
        let sysfs = Sysfs::new();
        let memory = Path::new("/dev/shm");
        let counters = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }?;
        let counter = counters.path().join("energy_uj");
        let file = File::create(&counter)?;
        write(&file, monotonic_now())?;
        for (directory, name) in ZONES {
            sysfs.zone(directory, name, 0);
        }
        for zone in zone_counters(&sysfs) {
            fs::remove_file(&zone)?;
            symlink(&counter, &zone)?;
        }
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let moving = thread::spawn(move || move_until(&stop, &file, step));
        let sockets = TempDir::new()?;
        Ok(Self { sysfs, _counters: counters, sockets, stopping, moving: Some(moving) })
    }

    /// Makes a program load the fake NVML library with this host's GPUs.
    pub(super) fn load_gpus_into(command: &mut Command) -> Result<PathBuf> {
        command.env(ENVIRONMENT_VARIABLE, model().to_json());
        machine::built("libfake_nvml.so")
    }

    /// The packages' counters.
    pub(super) fn counters(&self) -> Vec<PathBuf> {
        zone_counters(&self.sysfs)
    }

    /// A monitor that samples this host at `interval`.
    pub(super) fn monitor(&self, interval: Duration, over: Transport) -> Result<Monitor> {
        let mut command = Command::new(machine::built("energy-monitor")?);
        let library = Self::load_gpus_into(&mut command)?;
        command
            .args(["--sources", "nvml,rapl", "--exit-with-parent", "--collection-interval-ms"])
            .arg(interval.as_millis().to_string())
            .arg("--nvml-library")
            .arg(library)
            .arg("--sysfs-root")
            .arg(self.sysfs.root())
            .env("RUST_LOG", "warn");
        match over {
            Transport::Tcp => command.args(["--port", "0"]),
            Transport::Unix => command.arg("--uds").arg(self.sockets.path().join("monitor")),
        };
        Ok(Monitor::start(&mut command))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(moving) = self.moving.take() {
            // Whatever it ran into, the host is at its end.
            let _ = moving.join();
        }
    }
}

fn zone_counters(sysfs: &Sysfs) -> Vec<PathBuf> {
    let class = sysfs.root().join("class/powercap");
    ZONES.iter().map(|(directory, _)| class.join(directory).join("energy_uj")).collect()
}

fn move_until(stop: &AtomicBool, file: &File, step: Duration) -> Result<()> {
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        write(file, monotonic_now())?;
        due += step;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

/// Always of one length, and so in one piece.
fn write(file: &File, now: Nanos) -> Result<()> {
    let microjoules = now.0 / NANOS_A_MICROJOULE % (RANGE_MICROJOULES + 1);
    file.write_all_at(format!("{microjoules:020}\n").as_bytes(), 0)
        .context("can't move the counters of the packages")
}

fn model() -> Model {
    let gpu = |index| Gpu {
        uuid: format!("GPU-fake0000-0000-0000-0000-00000000000{index}"),
        refresh_ms: REFRESH_MS,
        phase_ms: index * REFRESH_MS / GPUS,
        power: PowerShape::Square { low: 120.0, high: 650.0, period_ms: 370 + index, duty: 0.6 },
        ..Gpu::default()
    };
    Model { gpus: (0..GPUS).map(gpu).collect(), ..Model::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gpu_refreshes_at_a_time_of_its_own() {
        let phases: Vec<u64> = model().gpus.iter().map(|gpu| gpu.phase_ms).collect();
        assert_eq!(phases, [0, 12, 25, 37, 50, 62, 75, 87]);
    }

    #[test]
    fn the_counters_of_all_zones_move_and_stay_within_their_range() {
        let host = Host::new(Duration::from_millis(1)).unwrap();
        let read = || -> Vec<u64> {
            let text = |path: &PathBuf| fs::read_to_string(path).unwrap();
            host.counters().iter().map(|path| text(path).trim().parse().unwrap()).collect()
        };
        let before = read();
        assert_eq!(before.len(), ZONES.len());
        while read() == before {}
        assert!(read().iter().all(|microjoules| *microjoules <= RANGE_MICROJOULES));
    }
}
