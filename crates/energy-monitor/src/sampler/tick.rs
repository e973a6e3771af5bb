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
use crate::metrics::{CpuDetail, SharedAccounts};
use crate::platypus;
use crate::scheduling::be_punctual;
use crate::totals::reading_of;

/// How long, and how closely, registers are read at the start to find out how often they move: RAPL
/// moves every millisecond.
const FINDING_OUT: Duration = Duration::from_millis(40);
const FINDING_OUT_STEP: Duration = Duration::from_micros(100);

/// Everything that a tick's readings go to.
#[derive(Debug)]
pub struct Outlets {
    composer: Composer,
    publisher: Publisher,
    stream_detail: CpuDetail,
    accounts: Option<(Arc<SharedAccounts>, CpuDetail)>,
    curtain: Curtain,
}

impl Outlets {
    /// Subscribers see CPUs in this detail.
    #[must_use]
    pub fn new(
        composer: Composer,
        publisher: Publisher,
        stream_detail: CpuDetail,
        sensors: &[SensorInfo],
    ) -> Self {
        let curtain = Curtain::before(sensors);
        Self { composer, publisher, stream_detail, accounts: None, curtain }
    }

    /// The same, keeping book of every tick for the metrics, whose readers see CPUs in this detail.
    #[must_use]
    pub fn with_accounts(self, accounts: Arc<SharedAccounts>, detail: CpuDetail) -> Self {
        Self { accounts: Some((accounts, detail)), ..self }
    }

    pub(super) fn tell(&mut self, tick: u64, now: Nanos, readings: &[SensorReading]) {
        let Self { composer, publisher, stream_detail, accounts, curtain } = self;
        let details = [Some(*stream_detail), accounts.as_ref().map(|(_, detail)| *detail)];
        let is_needed = details.contains(&Some(CpuDetail::Coarse));
        let coarse = if is_needed { curtain.shown(readings) } else { readings };
        let seen_by = |detail| if detail == CpuDetail::Coarse { coarse } else { readings };
        let streamed = seen_by(*stream_detail);
        publisher.ticked(now);
        if publisher.has_subscribers() {
            let message = composer.compose(tick, now, streamed);
            publisher.publish(tick, |buffer| message.encode_into(buffer));
        } else {
            composer.follow(streamed);
        }
        if let Some((accounts, detail)) = accounts {
            accounts.observe(seen_by(*detail));
        }
    }
}

/// What those see who may not see the CPU's energy at full resolution: see [`platypus`]. All of them
/// see the same reads, so that two of them together see no more.
#[derive(Debug)]
struct Curtain {
    /// By the sensor's number: whether it is one to be hidden, and when its last shown figure was read.
    sensors: Vec<(bool, Option<Nanos>)>,
    readings: Vec<SensorReading>,
}

impl Curtain {
    fn before(sensors: &[SensorInfo]) -> Self {
        Self {
            sensors: sensors.iter().map(|info| (platypus::concerns(info.kind), None)).collect(),
            readings: Vec::with_capacity(sensors.len()),
        }
    }

    fn shown(&mut self, readings: &[SensorReading]) -> &[SensorReading] {
        let Self { sensors, readings: shown } = self;
        // Kept are those of which a newer read would be too fine.
        shown.retain(|kept| {
            reading_of(readings, kept.sensor).is_some_and(|newer| is_too_fine(sensors, newer))
        });
        for reading in readings {
            if is_too_fine(sensors, reading) {
                continue;
            }
            if let Some((_, last)) = sensors.get_mut(reading.sensor as usize)
                && has_figures(reading)
            {
                *last = Some(reading.read_end);
            }
            shown.push(*reading);
        }
        shown.sort_unstable_by_key(|reading| reading.sensor);
        shown
    }
}

/// Whether a figure of a CPU was read too soon after the last one that was shown. One without figures
/// shows nothing that is too fine.
fn is_too_fine(sensors: &[(bool, Option<Nanos>)], reading: &SensorReading) -> bool {
    let Some((true, Some(last))) = sensors.get(reading.sensor as usize) else { return false };
    has_figures(reading) && reading.read_end.since(*last) < platypus::CLOSEST
}

fn has_figures(reading: &SensorReading) -> bool {
    reading.energy_microjoules.is_some() || reading.power.is_some()
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
    interval: Duration,
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
            interval,
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
        // The first tick is now, and none was missed before.
        self.schedule = Schedule::new(monotonic_now(), self.interval);
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
        self.board.put(&self.buffer, stale_after(self.interval));
    }

    pub(super) fn tick(&mut self) {
        self.read_inline();
        let now = monotonic_now();
        for lane in &mut self.lanes {
            lane.copy_into(&mut self.buffer, now);
            self.board.put(&self.buffer, lane.allowed_age());
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
            self.outlets.composer.anchor(ClockAnchor::now());
        }
    }
}
