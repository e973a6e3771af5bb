//! A thread for sources that may block. It leaves its latest reads where the tick finds them.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use energy_proto::{Nanos, SensorReading, Status, monotonic_now};
use tracing::{info, warn};

use super::reader::Reader;
use super::rhythm::{Rhythm, Search, groups};
use super::tracker::Tracker;
use super::{Sensors, stale_after};
use crate::discover::Lane;
use crate::scheduling::be_punctual;
use crate::source::Pace;

/// How long at most is spent on finding out how often sensors move.
const FINDING_OUT: Duration = Duration::from_secs(2);

/// Reads that a driver may miss before its figures are withheld, and the least time for it.
const MISSED_READS: u32 = 3;
const LEAST_AGE: Duration = Duration::from_secs(1);
/// Counters that are tracked one by one. Each takes two wake-ups in its period, 0.05 % of a core at
/// 100 ms; more are read together in one rhythm.
const MOST_TRACKED: usize = 4;

/// What a lane read last.
#[derive(Debug, Clone)]
pub(super) struct Latest {
    name: &'static str,
    readings: Arc<Mutex<Vec<SensorReading>>>,
    /// How old its reads may be, in nanoseconds.
    allowed_age: Arc<AtomicU64>,
    /// When the tick last found a new read, and whether it was said that none comes.
    seen: Option<Nanos>,
    reported: bool,
}

impl Latest {
    /// Puts the latest reads into `readings`; none if the lane is just writing: the tick never
    /// waits.
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

    /// How old its reads may be before their figures are withheld.
    pub(super) fn allowed_age(&self) -> Duration {
        Duration::from_nanos(self.allowed_age.load(Ordering::Relaxed))
    }

    /// Says once that a lane doesn't answer any more, and once that it does again.
    fn report(&mut self, newest: Option<Nanos>, now: Nanos) {
        self.seen = newest.or(self.seen).or(Some(now));
        let silent = self.seen.is_some_and(|seen| now.since(seen) > self.allowed_age());
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
        // Of a source that waits for news nobody knows how often they come.
        let first_allowed = match lane.pace {
            Pace::Stream => stale_after(interval),
            Pace::Own { .. } | Pace::Tick => LEAST_AGE,
        };
        let first_allowed = u64::try_from(first_allowed.as_nanos()).unwrap_or(u64::MAX);
        let latest = Latest {
            name: lane.name,
            readings: Arc::default(),
            allowed_age: Arc::new(AtomicU64::new(first_allowed)),
            seen: None,
            reported: false,
        };
        let run = Run {
            reader,
            pace: lane.pace,
            longest_unread: lane.read_at_least_every,
            outlet: Outlet {
                readings: Vec::new(),
                published: Arc::clone(&latest.readings),
                allowed_age: Arc::clone(&latest.allowed_age),
            },
            interval,
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
    /// How often it has to be read, whatever the interval is.
    longest_unread: Option<Duration>,
    outlet: Outlet,
    interval: Duration,
    stopping: Arc<AtomicBool>,
}

/// Where reads are left for the tick.
struct Outlet {
    /// Room for reads, used again.
    readings: Vec<SensorReading>,
    published: Arc<Mutex<Vec<SensorReading>>>,
    allowed_age: Arc<AtomicU64>,
}

impl Outlet {
    /// Reads may be so old, a second at least.
    fn allow(&self, age: Duration) {
        let nanos = age.max(LEAST_AGE).as_nanos();
        self.allowed_age.store(u64::try_from(nanos).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn read(&mut self, reader: &mut Reader) {
        reader.read(&mut self.readings);
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        for reading in &self.readings {
            match published.iter_mut().find(|old| old.sensor == reading.sensor) {
                Some(old) => *old = *reading,
                None => published.push(*reading),
            }
        }
    }
}

/// Sources that are read together.
struct Group {
    reader: Reader,
    plan: Plan,
    /// The plan as long as the driver bears it.
    usual: Plan,
    patience: Patience,
    due: Nanos,
}

impl Group {
    fn new(reader: Reader, plan: Plan) -> Self {
        reader.describe_period(plan.mean_period());
        Self { reader, plan, usual: plan, patience: Patience::default(), due: monotonic_now() }
    }

    fn read(&mut self, outlet: &mut Outlet) {
        outlet.read(&mut self.reader);
        if self.patience.is_at_its_end(&outlet.readings) {
            self.change_to(Plan::Steady(Rhythm::slower_than(self.plan.mean_period())));
        } else if self.plan.mean_period() > self.usual.mean_period()
            && self.patience.has_come_back()
        {
            self.change_to(self.usual);
        }
        self.due = self.plan.next(self.due, &outlet.readings);
    }

    fn change_to(&mut self, plan: Plan) {
        self.plan = plan;
        self.patience = Patience::default();
        self.reader.describe_period(plan.mean_period());
    }
}

/// When a group is read.
#[derive(Debug, Clone, Copy)]
enum Plan {
    /// In a steady rhythm, dithered.
    Steady(Rhythm),
    /// Around each update of its one counter.
    Tracking(Tracker),
}

impl Plan {
    fn mean_period(&self) -> Duration {
        match self {
            Self::Steady(rhythm) => rhythm.period(),
            Self::Tracking(tracker) => tracker.mean_read_period(),
        }
    }

    /// When to read next, after a read that was due at `due` and showed `readings`.
    fn next(&mut self, due: Nanos, readings: &[SensorReading]) -> Nanos {
        let now = monotonic_now();
        match self {
            Self::Steady(rhythm) => rhythm.next(due, now, fastrand::f64()),
            Self::Tracking(tracker) => {
                let counter = readings.iter().find(|read| read.energy_microjoules.is_some());
                // Without a value there is nothing to track: it is tried again as often.
                counter.map_or(now + tracker.mean_read_period(), |read| tracker.next(read))
            }
        }
    }
}

/// Whether a driver that did answer is asked too often for it to answer always. NVIDIA's says that the
/// figure isn't supported then, or zero. A device that is gone or asleep is another matter.
#[derive(Debug, Default)]
struct Patience {
    sensors: Vec<Answers>,
    /// Reads in a row in which nothing was missing.
    good: u32,
}

/// How one sensor answers.
#[derive(Debug, Clone, Copy, Default)]
struct Answers {
    has_answered: bool,
    /// Two for each answer without a figure, one off for each with one.
    misses: u32,
}

/// Misses that aren't outweighed by answers, at which a driver is asked more rarely.
const MOST_MISSES: u32 = 6;
/// Good answers in a row after which it is asked as usual again.
const GOOD_AGAIN: u32 = 200;

impl Patience {
    /// Notes a read; whether it was one miss too many.
    fn is_at_its_end(&mut self, readings: &[SensorReading]) -> bool {
        self.sensors.resize(readings.len(), Answers::default());
        self.good += 1;
        for (sensor, reading) in self.sensors.iter_mut().zip(readings) {
            if reading.energy_microjoules.is_some() {
                sensor.has_answered = true;
                sensor.misses = sensor.misses.saturating_sub(1);
            } else if sensor.has_answered
                && matches!(reading.status, Status::Stale | Status::Implausible)
            {
                sensor.misses += 2;
                self.good = 0;
            }
        }
        let is_at_its_end = self.sensors.iter().any(|sensor| sensor.misses >= MOST_MISSES);
        if is_at_its_end {
            self.sensors.iter_mut().for_each(|sensor| sensor.misses = 0);
        }
        is_at_its_end
    }

    fn has_come_back(&self) -> bool {
        self.good >= GOOD_AGAIN
    }
}

impl Run {
    fn until_stopped(mut self) {
        be_punctual();
        match self.pace {
            Pace::Own { closest } => {
                self.find_out(closest);
                self.read_in_rhythm(closest);
            }
            Pace::Stream => self.read_as_it_comes(),
            Pace::Tick => unreachable!("such sources are read by the tick"),
        }
    }

    /// Reads until it is clear how often the sensors move, no faster than that takes.
    fn find_out(&mut self, closest: Duration) {
        let began = monotonic_now();
        let mut search = Search::new(closest);
        let mut patience = Patience::default();
        let mut due = began;
        while self.reader.is_finding_out() && monotonic_now().since(began) < FINDING_OUT {
            if !wait_until(due, &self.stopping) {
                return;
            }
            self.outlet.read(&mut self.reader);
            if patience.is_at_its_end(&self.outlet.readings) {
                return;
            }
            search.note(&self.outlet.readings);
            due = search.rhythm().next(due, monotonic_now(), fastrand::f64());
        }
    }

    /// Reads whenever the source has something; it is found out about on the way.
    fn read_as_it_comes(&mut self) {
        let began = monotonic_now();
        let mut is_settled = false;
        while !is_set(&self.stopping) {
            self.outlet.read(&mut self.reader);
            let is_known = !self.reader.is_finding_out();
            if !is_settled && (is_known || monotonic_now().since(began) >= FINDING_OUT) {
                self.reader.settle();
                is_settled = true;
            }
        }
    }

    /// Reads each source as its own update period asks for.
    fn read_in_rhythm(self, closest: Duration) {
        let Self { mut reader, mut outlet, interval, longest_unread, stopping, .. } = self;
        let periods = reader.settle();
        let places = if periods.len() <= MOST_TRACKED {
            (0..periods.len()).map(|place| vec![place]).collect()
        } else {
            groups(&periods)
        };
        let mut groups: Vec<Group> = reader
            .split(&places)
            .into_iter()
            .zip(&places)
            .map(|(reader, places)| {
                let update = periods[places[0]];
                let steady = Rhythm::of(update, interval, closest).at_most(longest_unread);
                let plan = tracker(&reader, update, interval, closest)
                    .map_or(Plan::Steady(steady), Plan::Tracking);
                Group::new(reader, plan)
            })
            .collect();
        let slowest = groups.iter().map(|group| group.usual.mean_period()).max();
        outlet.allow(slowest.unwrap_or_default() * MISSED_READS);
        while let Some(group) = groups.iter_mut().min_by_key(|group| group.due) {
            if !wait_until(group.due, &stopping) {
                return;
            }
            group.read(&mut outlet);
        }
    }
}

/// A single counter is tracked, unless only few of its updates are told anyway.
fn tracker(
    reader: &Reader,
    update: Option<Duration>,
    interval: Duration,
    closest: Duration,
) -> Option<Tracker> {
    let update = update.filter(|update| *update >= interval.max(closest * 4))?;
    reader.is_one_seen_counter().then(|| Tracker::new(update, closest))
}

/// False if the thread is to stop before.
fn wait_until(due: Nanos, stopping: &AtomicBool) -> bool {
    loop {
        if is_set(stopping) {
            return false;
        }
        let left = due.since(monotonic_now());
        if left.is_zero() {
            return true;
        }
        thread::park_timeout(left);
    }
}

fn is_set(stopping: &AtomicBool) -> bool {
    stopping.load(Ordering::Acquire)
}
