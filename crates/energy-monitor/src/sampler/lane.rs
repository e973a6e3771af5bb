//! A thread for sources that may block. It leaves its latest reads where the tick finds them.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use energy_proto::{Nanos, SensorReading, monotonic_now};
use tracing::{info, warn};

use super::reader::Reader;
use super::rhythm::Rhythm;
use super::{Sensors, stale_after};
use crate::discover::Lane;
use crate::scheduling::be_punctual;
use crate::source::Pace;

/// How long at most is spent on finding out how often sensors move.
const FINDING_OUT: Duration = Duration::from_secs(2);

/// What a lane read last.
#[derive(Debug, Clone)]
pub(super) struct Latest {
    name: &'static str,
    readings: Arc<Mutex<Vec<SensorReading>>>,
    stale_after: Duration,
    /// When the tick last found a new read, and whether it was said that none comes.
    seen: Option<Nanos>,
    reported: bool,
}

impl Latest {
    /// Copies the latest reads into `readings`, which keeps those of before if the lane is just
    /// writing: the tick never waits.
    pub(super) fn copy_into(&mut self, readings: &mut Vec<SensorReading>, now: Nanos) {
        readings.clear();
        match self.readings.try_lock() {
            Ok(latest) => readings.extend_from_slice(&latest),
            Err(TryLockError::Poisoned(poisoned)) => {
                readings.extend_from_slice(&poisoned.into_inner());
            }
            Err(TryLockError::WouldBlock) => return,
        }
        self.report(readings.iter().map(|reading| reading.read_end).max(), now);
    }

    /// Says once that a lane doesn't answer any more, and once that it does again.
    fn report(&mut self, newest: Option<Nanos>, now: Nanos) {
        self.seen = newest.or(self.seen).or(Some(now));
        let silent = self.seen.is_some_and(|seen| now.since(seen) > self.stale_after);
        if silent && !self.reported {
            warn!(source = self.name, "no answer from the driver: its sensors are stale");
        } else if !silent && self.reported {
            info!(source = self.name, "the driver answers again");
        }
        self.reported = silent;
    }
}

/// A running lane.
#[derive(Debug)]
pub(super) struct LaneThread {
    latest: Latest,
    thread: JoinHandle<()>,
}

impl LaneThread {
    pub(super) fn start(
        lane: Lane,
        sensors: &Sensors,
        interval: Duration,
        stopping: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let reader = Reader::new(lane.sources, sensors);
        let latest = Latest {
            name: lane.name,
            readings: Arc::default(),
            stale_after: stale_after(interval),
            seen: None,
            reported: false,
        };
        let run = Run {
            reader,
            pace: lane.pace,
            interval,
            readings: Vec::new(),
            published: Arc::clone(&latest.readings),
            stopping,
        };
        let thread =
            thread::Builder::new().name(lane.name.to_owned()).spawn(move || run.until_stopped())?;
        Ok(Self { latest, thread })
    }

    pub(super) fn latest(&self) -> Latest {
        self.latest.clone()
    }

    pub(super) fn wake(&self) {
        self.thread.thread().unpark();
    }

    /// Waits for its end until a time; leaves it behind then.
    pub(super) fn join_until(self, until: Instant) {
        while !self.thread.is_finished() {
            if Instant::now() >= until {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        if self.thread.join().is_err() {
            warn!(source = self.latest.name, "its reading thread panicked");
        }
    }
}

/// The lane as its own thread sees it.
struct Run {
    reader: Reader,
    pace: Pace,
    interval: Duration,
    readings: Vec<SensorReading>,
    published: Arc<Mutex<Vec<SensorReading>>>,
    stopping: Arc<AtomicBool>,
}

impl Run {
    fn until_stopped(mut self) {
        be_punctual();
        match self.pace {
            Pace::Own { closest } => {
                self.find_out(closest);
                self.read_in_rhythm(closest);
            }
            Pace::Stream => {
                self.reader.settle();
                while !self.is_stopping() {
                    self.read();
                }
            }
            Pace::Tick => unreachable!("such sources are read by the tick"),
        }
    }

    /// Reads fast until it is clear how often the sensors move.
    fn find_out(&mut self, closest: Duration) {
        let began = monotonic_now();
        let rhythm = Rhythm::to_find_out(closest);
        let mut due = began;
        while self.reader.is_finding_out() && monotonic_now().since(began) < FINDING_OUT {
            if !self.wait_until(due) {
                return;
            }
            self.read();
            due = rhythm.next(due, monotonic_now(), fastrand::f64());
        }
    }

    fn read_in_rhythm(&mut self, closest: Duration) {
        let rhythm = Rhythm::of(self.reader.settle(), self.interval, closest);
        self.reader.describe_period(rhythm.period());
        let mut due = monotonic_now();
        while self.wait_until(due) {
            self.read();
            due = rhythm.next(due, monotonic_now(), fastrand::f64());
        }
    }

    fn read(&mut self) {
        self.reader.read(&mut self.readings);
        // A source that waits for news may have none.
        if self.readings.is_empty() {
            return;
        }
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        published.clear();
        published.extend_from_slice(&self.readings);
    }

    /// False if it is to stop.
    fn wait_until(&self, due: Nanos) -> bool {
        loop {
            if self.is_stopping() {
                return false;
            }
            let left = due.since(monotonic_now());
            if left.is_zero() {
                return true;
            }
            thread::park_timeout(left);
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}
