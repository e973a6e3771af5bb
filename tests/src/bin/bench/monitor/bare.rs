//! For scale: loops in processes of their own that only sleep, or only read the counters that the
//! monitor reads.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nvml_wrapper::{Device, Nvml};
use serde::{Deserialize, Serialize};

use nix::unistd::Pid;

use super::Host;
use super::watch::CpuShare;

/// Until it has opened what it reads.
const SETTLING: Duration = Duration::from_secs(1);

/// A loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bare {
    interval: Duration,
    reads: bool,
}

impl Bare {
    pub(super) const ALL: [Self; 4] = [
        Self { interval: Duration::from_millis(50), reads: false },
        Self { interval: Duration::from_millis(50), reads: true },
        Self { interval: Duration::from_millis(1), reads: false },
        Self { interval: Duration::from_millis(1), reads: true },
    ];
}

impl fmt::Display for Bare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let does = if self.reads { "reads all counters" } else { "sleeps" };
        write!(f, "a loop that only {does}, {} ms", self.interval.as_millis())
    }
}

/// What the process of a loop is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    interval: Duration,
    /// Nothing: it only sleeps.
    counters: Option<Counters>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Counters {
    nvml_library: PathBuf,
    files: Vec<PathBuf>,
}

/// Runs a loop for `length`, and what it takes of a core.
pub(super) fn watch(bare: Bare, length: Duration) -> Result<f64> {
    let host = Host::new(bare.interval)?;
    let mut command = Command::new(std::env::current_exe()?);
    let nvml_library = Host::load_gpus_into(&mut command)?;
    let counters = bare.reads.then(|| Counters { nvml_library, files: host.counters() });
    let order = Order { interval: bare.interval, counters };
    command.arg("--bare-loop").arg(serde_json::to_string(&order)?).stdin(Stdio::null());
    let mut running = Running(command.spawn().context("can't start the loop")?);
    thread::sleep(SETTLING);
    let cpu = CpuShare::start(Pid::from_raw(i32::try_from(running.0.id())?))?;
    thread::sleep(length);
    let pct = cpu.pct()?;
    ensure!(running.0.try_wait()?.is_none(), "{bare} has ended by itself");
    Ok(pct)
}

/// Killed when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The loop itself, in its own process: to the end of its parent.
pub(crate) fn run(order: &str) -> Result<()> {
    let Order { interval, counters } = serde_json::from_str(order)?;
    // As the monitor does: else the kernel may fire timers late and together.
    nix::sys::prctl::set_timerslack(1)?;
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    let nvml = counters
        .as_ref()
        .map(|counters| Nvml::builder().lib_path(counters.nvml_library.as_os_str()).init());
    let nvml = nvml.transpose()?;
    let mut opened = Opened::default();
    if let Some((counters, nvml)) = counters.as_ref().zip(nvml.as_ref()) {
        opened.files = counters.files.iter().map(File::open).collect::<Result<_, _>>()?;
        opened.gpus = (0..nvml.device_count()?)
            .map(|gpu| nvml.device_by_index(gpu))
            .collect::<Result<_, _>>()?;
    }
    let mut due = Instant::now();
    loop {
        opened.read()?;
        due += interval;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

#[derive(Default)]
struct Opened<'nvml> {
    files: Vec<File>,
    gpus: Vec<Device<'nvml>>,
}

impl Opened<'_> {
    fn read(&self) -> Result<()> {
        for file in &self.files {
            let mut text = [0; 32];
            std::hint::black_box(file.read_at(&mut text, 0)?);
        }
        for gpu in &self.gpus {
            std::hint::black_box((gpu.total_energy_consumption()?, gpu.power_usage()?));
        }
        Ok(())
    }
}
