//! When sensors are read.
//!
//! The tick thread composes a reading at absolute deadlines and never waits for a device. It reads
//! itself what cannot block (RAPL registers, procfs): a thread of their own would cost a wake-up a
//! tick. Every source that may block (a GPU's driver, the sysfs files of a card, powermetrics) has a
//! named thread, which leaves its latest reads where the tick finds them. One that hangs becomes
//! stale and delays nothing.
//!
//! A counter behind a driver is read on a schedule of its own, set by the rhythm in which it is found
//! to move: around each update where there is one counter (`tracker`), else incommensurate with it
//! (`rhythm`).

mod board;
mod lane;
mod reader;
mod rhythm;
mod tick;
mod tracker;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use energy_proto::SensorInfo;
use tracing::error;

use crate::clock::Clocks;
use crate::discover::Lane;
use crate::source::Pace;

use lane::LaneThread;
pub use tick::Outlets;
use tick::Tick;

/// How long a thread has to end by itself: those that hang in a driver are left behind.
const GRACE: Duration = Duration::from_millis(200);

/// The sampler's threads.
#[derive(Debug)]
pub struct Sampler {
    tick: JoinHandle<()>,
    lanes: Vec<LaneThread>,
    stopping: Arc<AtomicBool>,
}

/// The sensors as they are described, which changes as they are found out about, and how the sampling
/// goes.
#[derive(Debug, Clone)]
pub struct Sensors {
    infos: Arc<RwLock<Vec<SensorInfo>>>,
    /// Sensors of which more is to be found out.
    unsettled: Arc<AtomicU64>,
    missed_ticks: Arc<AtomicU64>,
}

impl Sensors {
    /// Sensors as their sources describe them.
    #[must_use]
    pub fn new(infos: Vec<SensorInfo>) -> Self {
        Self {
            infos: Arc::new(RwLock::new(infos)),
            unsettled: Arc::default(),
            missed_ticks: Arc::default(),
        }
    }

    /// All sensors as they are known now.
    #[must_use]
    pub fn now(&self) -> Vec<SensorInfo> {
        self.infos.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether everything was found out that can be.
    #[must_use]
    pub fn are_settled(&self) -> bool {
        self.unsettled.load(Ordering::Acquire) == 0
    }

    /// Ticks so far that came too late to be made.
    #[must_use]
    pub fn missed_ticks(&self) -> u64 {
        self.missed_ticks.load(Ordering::Relaxed)
    }

    fn change(&self, sensor: u32, change: impl FnOnce(&mut SensorInfo)) {
        let mut infos = self.infos.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(info) = infos.get_mut(sensor as usize) {
            change(info);
        }
    }
}

/// How old a sensor's last read may be before its figures are withheld.
#[must_use]
pub fn stale_after(interval: Duration) -> Duration {
    (interval * 5).max(Duration::from_secs(1))
}

impl Sampler {
    /// Starts the threads; from now on a reading is made each interval.
    ///
    /// # Errors
    /// If a thread can't be started.
    pub fn start(
        lanes: Vec<Lane>,
        sensors: &Sensors,
        interval: Duration,
        outlets: Outlets,
    ) -> io::Result<Self> {
        Self::start_with(lanes, sensors, interval, outlets, Clocks::of_this_host())
    }

    fn start_with(
        lanes: Vec<Lane>,
        sensors: &Sensors,
        interval: Duration,
        outlets: Outlets,
        clocks: Clocks,
    ) -> io::Result<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        let (inline, blocking): (Vec<Lane>, Vec<Lane>) =
            lanes.into_iter().partition(|lane| lane.pace == Pace::Tick);
        let lanes = blocking
            .into_iter()
            .map(|lane| LaneThread::start(lane, sensors, interval, Arc::clone(&stopping)))
            .collect::<io::Result<Vec<_>>>()?;
        let latest = lanes.iter().map(LaneThread::latest).collect();
        let tick =
            Tick::new(inline, latest, sensors, interval, outlets, clocks, Arc::clone(&stopping));
        let tick = thread::Builder::new().name("tick".to_owned()).spawn(move || tick.run())?;
        Ok(Self { tick, lanes, stopping })
    }

    /// Stops the tick, which ends the streams of all subscribers, and the other threads as far as they
    /// end: one that hangs in a driver's call ends when that returns.
    pub fn stop(self) {
        self.stopping.store(true, Ordering::Release);
        self.tick.thread().unpark();
        for lane in &self.lanes {
            lane.wake();
        }
        if self.tick.join().is_err() {
            error!("the tick thread panicked");
        }
        let until = Instant::now() + GRACE;
        for lane in self.lanes {
            lane.join_until(until);
        }
    }
}

#[cfg(test)]
mod tests;
