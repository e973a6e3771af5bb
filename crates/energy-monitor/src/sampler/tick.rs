//! The thread that composes: at absolute deadlines, from what sources and lanes last showed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use energy_proto::{ClockAnchor, Nanos, SensorInfo, SensorReading, monotonic_now};
use tracing::{debug, warn};

use super::board::Board;
use super::lane::Latest;
use super::reader::Reader;
use super::{Sensors, stale_after};
use crate::clock::{Clocks, Schedule};
use crate::compose::Composer;
use crate::discover::Lane;
use crate::hub::Publisher;
use crate::metrics::SharedAccounts;
use crate::platypus;
use crate::scheduling::be_punctual;

/// How long, and how closely, registers are read at the start to find out how often they move: RAPL
/// moves every millisecond.
const FINDING_OUT: Duration = Duration::from_millis(40);
const FINDING_OUT_STEP: Duration = Duration::from_micros(100);

/// A composer and where its messages go.
#[derive(Debug)]
pub struct Variant {
    /// Makes the messages.
    pub composer: Composer,
    /// Takes them.
    pub publisher: Publisher,
}

impl Variant {
    fn tell(&mut self, tick: u64, now: Nanos, readings: &[SensorReading]) {
        let Self { composer, publisher } = self;
        let message = composer.compose(tick, now, readings);
        publisher.ticked(now);
        if publisher.has_subscribers() {
            publisher.publish(tick, |buffer| message.encode_into(buffer));
        }
    }
}

/// Everything that a tick's readings go to.
#[derive(Debug)]
pub struct Outlets {
    fine: Variant,
    coarse: Option<Coarse>,
    accounts: Option<Arc<SharedAccounts>>,
}

/// The variant for those who may not see the CPU's energy at full resolution: see [`platypus`].
#[derive(Debug)]
struct Coarse {
    variant: Variant,
    /// By the sensor's number.
    is_cpu: Vec<bool>,
    taken: Option<Nanos>,
    readings: Vec<SensorReading>,
}

impl Outlets {
    /// `coarse` is needed where the interval is below [`platypus::CLOSEST`].
    #[must_use]
    pub fn new(fine: Variant, coarse: Option<Variant>, sensors: &[SensorInfo]) -> Self {
        let is_cpu = |info: &SensorInfo| platypus::concerns(info.kind);
        let coarse = coarse.map(|variant| Coarse {
            variant,
            is_cpu: sensors.iter().map(is_cpu).collect(),
            taken: None,
            readings: Vec::with_capacity(sensors.len()),
        });
        Self { fine, coarse, accounts: None }
    }

    /// The same, keeping book of every tick for the metrics.
    #[must_use]
    pub fn with_accounts(self, accounts: Option<Arc<SharedAccounts>>) -> Self {
        Self { accounts, ..self }
    }

    pub(super) fn tell(&mut self, tick: u64, now: Nanos, readings: &[SensorReading]) {
        self.fine.tell(tick, now, readings);
        if let Some(accounts) = &self.accounts {
            accounts.observe(readings);
        }
        if let Some(coarse) = &mut self.coarse {
            coarse.tell(tick, now, readings);
        }
    }

    fn anchor(&mut self, anchor: ClockAnchor) {
        self.fine.composer.anchor(anchor);
        if let Some(coarse) = &mut self.coarse {
            coarse.variant.composer.anchor(anchor);
        }
    }
}

impl Coarse {
    fn tell(&mut self, tick: u64, now: Nanos, readings: &[SensorReading]) {
        let is_due = self.taken.is_none_or(|taken| now.since(taken) >= platypus::CLOSEST);
        if is_due {
            self.taken = Some(now);
            self.readings.clear();
            self.readings.extend_from_slice(readings);
        } else {
            self.replace_all_but_cpu(readings);
        }
        self.variant.tell(tick, now, &self.readings);
    }

    /// Keeps the CPU's readings of the last time that they were due.
    fn replace_all_but_cpu(&mut self, readings: &[SensorReading]) {
        let is_cpu = &self.is_cpu;
        let is_kept =
            |reading: &SensorReading| is_cpu.get(reading.sensor as usize).copied().unwrap_or(true);
        self.readings.retain(is_kept);
        self.readings.extend(readings.iter().filter(|reading| !is_kept(reading)));
        self.readings.sort_unstable_by_key(|reading| reading.sensor);
    }
}

/// The thread's state.
pub(super) struct Tick {
    inline: Reader,
    /// How often the sources that it reads itself have to be read, whatever the interval is.
    longest_unread: Option<Duration>,
    read_inline_at: Nanos,
    lanes: Vec<Latest>,
    board: Board,
    /// Room for reads on their way to the board, and for what the board tells.
    buffer: Vec<SensorReading>,
    told: Vec<SensorReading>,
    schedule: Schedule,
    outlets: Outlets,
    clocks: Clocks,
    /// For how long the host had been suspended at the last look.
    suspended: Option<Duration>,
    sensors: Sensors,
    stopping: Arc<AtomicBool>,
}

/// What came first.
enum Due {
    Tick,
    /// Counters that would wrap before the next tick.
    Counters,
    Stop,
}

impl Tick {
    pub(super) fn new(
        inline: Vec<Lane>,
        lanes: Vec<Latest>,
        sensors: &Sensors,
        interval: Duration,
        outlets: Outlets,
        clocks: Clocks,
        stopping: Arc<AtomicBool>,
    ) -> Self {
        let count = sensors.now().len();
        let now = monotonic_now();
        Self {
            longest_unread: inline.iter().filter_map(|lane| lane.read_at_least_every).min(),
            inline: Reader::new(
                inline.into_iter().flat_map(|lane| lane.sources).collect(),
                sensors,
            ),
            read_inline_at: now,
            lanes,
            board: Board::new(count, stale_after(interval), now),
            buffer: Vec::with_capacity(count),
            told: Vec::with_capacity(count),
            schedule: Schedule::new(now, interval),
            outlets,
            clocks,
            suspended: None,
            sensors: sensors.clone(),
            stopping,
        }
    }

    pub(super) fn run(mut self) {
        be_punctual();
        self.find_out();
        loop {
            match self.wait() {
                Due::Stop => return,
                Due::Counters => self.read_inline(),
                Due::Tick => self.tick(),
            }
        }
    }

    /// Reads registers closely for a moment, before the first tick.
    pub(super) fn find_out(&mut self) {
        let began = monotonic_now();
        while self.inline.is_finding_out() && monotonic_now().since(began) < FINDING_OUT {
            self.inline.read(&mut self.buffer);
            thread::sleep(FINDING_OUT_STEP);
        }
        self.inline.settle();
    }

    fn wait(&self) -> Due {
        let unread = self.longest_unread.map(|longest| self.read_inline_at + longest);
        let tick = self.schedule.deadline();
        let (until, due) = match unread {
            Some(unread) if unread < tick => (unread, Due::Counters),
            _ => (tick, Due::Tick),
        };
        loop {
            if self.stopping.load(Ordering::Acquire) {
                return Due::Stop;
            }
            let left = until.since(monotonic_now());
            if left.is_zero() {
                return due;
            }
            thread::park_timeout(left);
        }
    }

    fn read_inline(&mut self) {
        self.note_suspension();
        self.read_inline_at = monotonic_now();
        self.inline.read(&mut self.buffer);
        self.board.put(&self.buffer);
    }

    pub(super) fn tick(&mut self) {
        self.read_inline();
        let now = monotonic_now();
        for lane in &mut self.lanes {
            lane.copy_into(&mut self.buffer, now);
            self.board.put(&self.buffer);
        }
        self.board.tell(now, &mut self.told);
        self.outlets.tell(self.schedule.index(), now, &self.told);
        let missed = self.schedule.advance(now);
        if missed > 0 {
            self.sensors.missed_ticks.fetch_add(missed, Ordering::Relaxed);
            debug!(missed, "ticks missed: this process was not scheduled in time");
        }
    }

    /// While a host is suspended its monotonic clock stands still and its counters do what they like.
    fn note_suspension(&mut self) {
        let suspended = self.clocks.time_suspended();
        let before = self.suspended.replace(suspended);
        if before.is_some_and(|before| suspended.abs_diff(before) > Clocks::TOLERANCE) {
            warn!("this host was suspended: all counters begin a new epoch");
            self.board.suspended(monotonic_now());
            self.outlets.anchor(ClockAnchor::now());
        }
    }
}
