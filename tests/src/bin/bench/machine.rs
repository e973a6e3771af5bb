//! The machine that figures are taken on, and what a process on it takes.
//!
//! CPU time in seconds or percent of one core, memory in bytes. Linux only.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use serde_json::Value;

/// A program of ours, or the fake library, built beside this one.
pub(crate) fn built(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    ensure!(path.is_file(), "{} is missing: run this by `cargo xtask bench`", path.display());
    Ok(path)
}

/// Processor, cores, kernel, date and load, in one line.
pub(crate) fn description() -> Result<String> {
    let output = Command::new(built("energy-monitor")?).args(["--describe", "--json"]).output()?;
    let said: Value = serde_json::from_slice(&output.stdout)
        .context("energy-monitor --describe --json gave no JSON")?;
    let system = &said["system_info"];
    let text = |name: &str| system[name].as_str().unwrap_or("unknown").to_owned();
    let load = fs::read_to_string("/proc/loadavg")?;
    Ok(format!(
        "{}, {} cores, {}, Linux {}, {}, load average {}",
        text("cpu_brand"),
        system["cpu_count"],
        text("os_name"),
        text("kernel_version"),
        jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC"),
        load.split(' ').take(3).collect::<Vec<_>>().join(" ")
    ))
}

/// Watches what others do on this machine.
pub(crate) struct Watch {
    since: Instant,
    ticks: Ticks,
    own_seconds: f64,
}

impl Watch {
    pub(crate) fn start() -> Result<Self> {
        Ok(Self { since: Instant::now(), ticks: Ticks::now()?, own_seconds: own_seconds()? })
    }

    /// The share of all cores that others have taken since the start, in percent. Others are all but
    /// this program and those of its descendants that have ended.
    pub(crate) fn others_pct(&self) -> Result<f64> {
        let now = Ticks::now()?;
        let all = now.all.saturating_sub(self.ticks.all);
        ensure!(all > 0, "/proc/stat stands still");
        let busy = now.busy.saturating_sub(self.ticks.busy) as f64 / all as f64;
        let cores = thread::available_parallelism()?.get() as f64;
        let own = (own_seconds()? - self.own_seconds) / self.since.elapsed().as_secs_f64() / cores;
        // Both are rounded to the kernel's ticks.
        Ok((busy - own).max(0.0) * 100.0)
    }
}

/// CPU time of this program and its ended descendants, in seconds.
fn own_seconds() -> Result<f64> {
    let of = |who| -> Result<f64> {
        let usage = getrusage(who)?;
        Ok((usage.user_time() + usage.system_time()).num_microseconds() as f64 * 1e-6)
    };
    Ok(of(UsageWho::RUSAGE_SELF)? + of(UsageWho::RUSAGE_CHILDREN)?)
}

/// What all cores did since the start, in the kernel's ticks.
#[derive(Debug, PartialEq, Eq)]
struct Ticks {
    busy: u64,
    all: u64,
}

impl Ticks {
    fn now() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat")?;
        Self::parse(&text).context("/proc/stat has no line `cpu`")
    }

    /// The line is: user nice system idle iowait irq softirq steal, and two that are counted before.
    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks = line.split_whitespace().take(8).map(str::parse);
        let ticks = ticks.collect::<Result<Vec<u64>, _>>().ok()?;
        let all = ticks.iter().sum();
        Some(Self { busy: all - ticks.get(3)? - ticks.get(4)?, all })
    }
}

/// CPU time that a process has taken, in user and kernel mode, all its threads, in seconds.
pub(crate) fn cpu_seconds(process: Pid) -> Result<f64> {
    let clock = nix::time::clock_getcpuclockid(process).context("the process is gone")?;
    seconds(clock)
}

fn seconds(clock: ClockId) -> Result<f64> {
    Ok(Duration::from(clock_gettime(clock)?).as_secs_f64())
}

/// The most of a process that ever was resident, in bytes.
pub(crate) fn peak_resident(process: Pid) -> Result<u64> {
    memory(process, "status", "VmHWM:")
}

/// What of a process is resident, counted page by page, in bytes: the kernel's running counts may be
/// off by dozens of pages for each CPU.
pub(crate) fn exactly_resident(process: Pid) -> Result<u64> {
    memory(process, "smaps_rollup", "Rss:")
}

fn memory(process: Pid, file: &str, name: &str) -> Result<u64> {
    let path = format!("/proc/{process}/{file}");
    let text = fs::read_to_string(&path).with_context(|| format!("can't read {path}"))?;
    bytes_after(name, &text).with_context(|| format!("{path} doesn't tell the memory"))
}

/// The figure in the line of a `/proc` file that begins so.
fn bytes_after(name: &str, text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_all_but_idle_and_waiting_for_a_disk() {
        let text = "cpu  10 20 30 400 50 6 7 8 9 10\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(Ticks::parse(text), Some(Ticks { busy: 81, all: 531 }));
        assert_eq!(Ticks::parse("cpu0 1 2 3 4 5\n"), None);
        assert_eq!(Ticks::parse("cpu  1 2 3\n"), None);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let text = "VmPeak:\t  9 kB\nVmHWM:\t    8200 kB\nVmRSS:\t    many kB\n";
        assert_eq!(bytes_after("VmHWM:", text), Some(8_396_800));
        assert_eq!(bytes_after("VmRSS:", text), None);
        assert_eq!(bytes_after("Rss:", text), None);
        let (exactly, peak) = (exactly_resident(Pid::this()), peak_resident(Pid::this()));
        assert!(exactly.unwrap() > 100_000 && peak.unwrap() > 100_000);
    }

    #[test]
    fn work_shows_in_the_cpu_time_of_a_process() {
        let before = cpu_seconds(Pid::this()).unwrap();
        while cpu_seconds(Pid::this()).unwrap() - before < 0.05 {}
        assert!(cpu_seconds(Pid::this()).unwrap() >= 0.05);
    }
}
