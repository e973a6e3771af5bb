//! One watched window of one monitor.

use std::fmt;
use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use e2e::monitor::Monitor;
use energy_proto::monotonic_now;
use nix::unistd::Pid;
use tokio::task::JoinSet;

use super::stream::{self, Received, Window};
use super::{Host, Transport};
use crate::{Effort, machine};

/// The monitor spends its first two seconds on finding out how often its sensors move.
pub(super) const WARM_UP: Duration = Duration::from_secs(3);

/// The monitor keeps the last 1,024 readings for slow subscribers, in buffers that grow when first used:
/// only when all were used its memory is what it stays.
const READINGS_UNTIL_BUFFERS_ARE_FULL: u32 = 1_040;

/// What a monitor is put to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) interval: Duration,
    pub(super) over: Transport,
    pub(super) subscribers: usize,
    /// What each subscriber accepts.
    pub(super) max_delay: Duration,
    /// Whether a thread on each core does nothing but compute.
    pub(super) busy: bool,
}

impl Case {
    /// Nobody subscribes, over TCP.
    pub(super) const AT_50_MS: Self = Self {
        interval: Duration::from_millis(50),
        over: Transport::Tcp,
        subscribers: 0,
        max_delay: Duration::ZERO,
        busy: false,
    };
    /// Nobody subscribes, over the socket on which every sensor comes every millisecond.
    pub(super) const AT_1_MS: Self =
        Self { interval: Duration::from_millis(1), over: Transport::Unix, ..Self::AT_50_MS };

    /// How long it is watched.
    pub(super) fn window(&self, effort: Effort) -> Duration {
        let full = effort.pick(self.interval * READINGS_UNTIL_BUFFERS_ARE_FULL, Duration::ZERO);
        effort.pick(Duration::from_secs(20), Duration::from_secs(4)).max(full)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms, {} subscribed", self.interval.as_millis(), self.subscribers)?;
        if self.subscribers > 0 && self.over == Transport::Tcp {
            write!(f, " over TCP")?;
        }
        if !self.max_delay.is_zero() {
            write!(f, " with {} ms of delay", self.max_delay.as_millis())?;
        }
        if self.busy { write!(f, ", cores busy") } else { Ok(()) }
    }
}

/// What came of it.
pub(super) struct Watched {
    /// Of the monitor's process within the window.
    pub(super) cpu_pct: f64,
    /// The most that ever was resident, up to the end of the window.
    pub(super) memory_bytes: u64,
    /// By subscriber.
    pub(super) received: Vec<Received>,
    pub(super) window: Window,
}

/// Starts a monitor for this case and watches it for `length`.
pub(super) fn watch(case: &Case, length: Duration) -> Result<Watched> {
    let host = Host::new(case.interval)?;
    let monitor = host.monitor(case.interval, case.over)?;
    let from = monotonic_now() + WARM_UP;
    let window = Window { from, until: from + length };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let spinners = case.busy.then(Spinners::start).transpose()?;
    let watched = runtime.block_on(watch_running(&monitor, case, window));
    drop(spinners);
    watched
}

async fn watch_running(monitor: &Monitor, case: &Case, window: Window) -> Result<Watched> {
    let mut receiving = JoinSet::new();
    for _ in 0..case.subscribers {
        receiving.spawn(stream::receive(monitor.endpoint(), case.max_delay, window));
    }
    tokio::time::sleep(window.from.since(monotonic_now())).await;
    let cpu = CpuShare::start(monitor.pid())?;
    tokio::time::sleep(window.until.since(monotonic_now())).await;
    let cpu_pct = cpu.pct()?;
    let memory_bytes = machine::peak_resident(monitor.pid())?;
    let mut received = Vec::with_capacity(case.subscribers);
    while let Some(one) = receiving.join_next().await {
        received.push(one.context("a subscriber panicked")??);
    }
    Ok(Watched { cpu_pct, memory_bytes, received, window })
}

/// What a process takes of a core from a start on.
pub(super) struct CpuShare {
    process: Pid,
    since: energy_proto::Nanos,
    seconds: f64,
}

impl CpuShare {
    pub(super) fn start(process: Pid) -> Result<Self> {
        let seconds = machine::cpu_seconds(process)?;
        Ok(Self { process, since: monotonic_now(), seconds })
    }

    pub(super) fn pct(&self) -> Result<f64> {
        let taken = machine::cpu_seconds(self.process)? - self.seconds;
        Ok(taken / monotonic_now().since(self.since).as_secs_f64() * 100.0)
    }
}

/// Threads that keep every core busy, at the priority that everybody has, until they are dropped.
struct Spinners {
    stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Spinners {
    fn start() -> Result<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        let spin = |_| {
            let stopping = Arc::clone(&stopping);
            thread::spawn(move || {
                while !stopping.load(Ordering::Relaxed) {
                    hint::spin_loop();
                }
            })
        };
        let threads = (0..thread::available_parallelism()?.get()).map(spin).collect();
        Ok(Self { stopping, threads })
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It can't panic.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_long_enough_for_every_buffer_to_be_used() {
        assert_eq!(Case::AT_1_MS.window(Effort::Full), Duration::from_secs(20));
        assert_eq!(Case::AT_50_MS.window(Effort::Full), Duration::from_secs(52));
        assert_eq!(Case::AT_50_MS.window(Effort::Quick), Duration::from_secs(4));
    }

    #[test]
    fn a_case_says_what_sets_it_apart() {
        assert_eq!(Case::AT_50_MS.to_string(), "50 ms, 0 subscribed");
        let delayed =
            Case { subscribers: 1, max_delay: Duration::from_millis(10), ..Case::AT_1_MS };
        assert_eq!(delayed.to_string(), "1 ms, 1 subscribed with 10 ms of delay");
        let busy = Case { subscribers: 1, busy: true, ..Case::AT_1_MS };
        assert_eq!(busy.to_string(), "1 ms, 1 subscribed, cores busy");
        let one = Case { subscribers: 1, ..Case::AT_50_MS };
        assert_eq!(one.to_string(), "50 ms, 1 subscribed over TCP");
    }
}
