//! When sensors are read: a named thread for each [`Lane`] of sources, which may block, and the tick
//! thread, which asks the lanes, composes what they last answered and never blocks.
//!
//! A tick asks every idle lane for a read and waits for those that use to answer at once, so that a
//! message carries reads of its own tick. A lane that is still in its driver isn't asked again and
//! isn't waited for; once its last read is too old, its sensors are stale and their figures withheld.
//!
//! Lanes answer through a bounded channel with room for one answer each; since each has at most one
//! question open, nothing is ever dropped there.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use energy_proto::{Nanos, SensorInfo, SensorReading, Status, monotonic_now};
use tracing::{debug, error, info, warn};

use crate::clock::Schedule;
use crate::compose::Composer;
use crate::counter::ChangeTracker;
use crate::discover::Lane;
use crate::hub::Publisher;
use crate::source::Source;

/// How long a tick waits for its reads, unless the interval is shorter still. A driver answers in
/// well under a millisecond; one that doesn't is read for the next tick.
const PATIENCE: Duration = Duration::from_millis(5);

/// The sampler's threads.
#[derive(Debug)]
pub struct Sampler {
    tick: JoinHandle<()>,
    events: SyncSender<Event>,
}

enum Event {
    Answer { lane: usize, readings: Vec<SensorReading> },
    Stop,
}

/// How old a sensor's last read may be before its figures are withheld.
#[must_use]
pub fn stale_after(interval: Duration) -> Duration {
    (interval * 5).max(Duration::from_secs(1))
}

impl Sampler {
    /// Starts the threads; from now on a message is published each interval.
    ///
    /// # Errors
    /// If a thread can't be started.
    pub fn start(
        lanes: Vec<Lane>,
        sensors: &[SensorInfo],
        interval: Duration,
        composer: Composer,
        publisher: Publisher,
    ) -> io::Result<Self> {
        let patience = PATIENCE.min(interval / 2);
        Self::start_with(patience, lanes, sensors, interval, composer, publisher)
    }

    fn start_with(
        patience: Duration,
        lanes: Vec<Lane>,
        sensors: &[SensorInfo],
        interval: Duration,
        composer: Composer,
        publisher: Publisher,
    ) -> io::Result<Self> {
        // One answer of each lane, and the order to stop.
        let (events, inbox) = sync_channel(lanes.len() + 1);
        let lanes = lanes
            .into_iter()
            .enumerate()
            .map(|(index, lane)| LaneState::start(index, lane, events.clone()))
            .collect::<io::Result<Vec<_>>>()?;
        let tick = Tick {
            lanes,
            board: Board::new(sensors, stale_after(interval), monotonic_now()),
            inbox,
            patience,
            schedule: Schedule::new(monotonic_now(), interval),
            composer,
            publisher,
        };
        let tick = thread::Builder::new().name("tick".to_owned()).spawn(move || tick.run())?;
        Ok(Self { tick, events })
    }

    /// Stops the tick, which ends the streams of all subscribers. Lanes end by themselves, those in
    /// a driver's call when it returns: nobody waits for them.
    pub fn stop(self) {
        // An error means that the tick has ended already.
        let _ = self.events.send(Event::Stop);
        if self.tick.join().is_err() {
            error!("the tick thread panicked");
        }
    }
}

/// The thread that composes.
struct Tick {
    lanes: Vec<LaneState>,
    board: Board,
    inbox: Receiver<Event>,
    patience: Duration,
    schedule: Schedule,
    composer: Composer,
    publisher: Publisher,
}

/// The order to end.
struct Stopped;

impl Tick {
    fn run(mut self) {
        // Either everything is said, or the order to stop has come.
        while self.tick().is_ok() {}
    }

    fn tick(&mut self) -> Result<(), Stopped> {
        let deadline = self.schedule.deadline();
        self.take_answers_until(deadline, |_| false)?;
        let asked = monotonic_now();
        for lane in &mut self.lanes {
            lane.ask(asked);
        }
        self.take_answers_until(asked + self.patience, |lanes| {
            !lanes.iter().any(LaneState::is_awaited)
        })?;
        let now = monotonic_now();
        for lane in &mut self.lanes {
            lane.give_up(now, self.board.stale_after);
        }
        let message = self.composer.compose(self.schedule.index(), now, &self.board.tell(now));
        self.publisher.publish(message);
        let missed = self.schedule.advance(now);
        if missed > 0 {
            debug!(missed, "ticks missed: this process was not scheduled in time");
        }
        Ok(())
    }

    /// Takes answers until a time has come or enough is known.
    fn take_answers_until(
        &mut self,
        until: Nanos,
        enough: impl Fn(&[LaneState]) -> bool,
    ) -> Result<(), Stopped> {
        while !enough(&self.lanes) {
            match self.inbox.recv_timeout(until.since(monotonic_now())) {
                Ok(Event::Answer { lane, readings }) => {
                    self.lanes[lane].answered(monotonic_now(), self.patience);
                    self.board.put(readings);
                }
                Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => return Err(Stopped),
                Err(RecvTimeoutError::Timeout) => return Ok(()),
            }
        }
        Ok(())
    }
}

/// A lane as the tick sees it.
struct LaneState {
    name: &'static str,
    questions: SyncSender<()>,
    asked: Option<Nanos>,
    /// Whether its last answer came within a tick's patience.
    prompt: bool,
    /// Whether it was said that it doesn't answer.
    reported: bool,
}

impl LaneState {
    fn start(index: usize, lane: Lane, events: SyncSender<Event>) -> io::Result<Self> {
        let (questions, inbox) = sync_channel(1);
        let name = lane.name;
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || Reader::of(lane).run(index, &inbox, &events))?;
        Ok(Self { name, questions, asked: None, prompt: true, reported: false })
    }

    /// Asks for a read, unless the last question is still open.
    fn ask(&mut self, now: Nanos) {
        if self.asked.is_some() {
            return;
        }
        self.asked = Some(now);
        if self.questions.try_send(()).is_err() {
            error!(lane = self.name, "the reading thread has died: its sensors become stale");
        }
    }

    /// Waits no longer for an answer, neither now nor at the next ticks; says so once if it has been
    /// open for too long.
    fn give_up(&mut self, now: Nanos, stale_after: Duration) {
        let Some(asked) = self.asked else { return };
        self.prompt = false;
        if now.since(asked) > stale_after && !self.reported {
            self.reported = true;
            warn!(lane = self.name, "the driver does not answer: its sensors are stale");
        }
    }

    fn is_awaited(&self) -> bool {
        self.prompt && self.asked.is_some()
    }

    fn answered(&mut self, now: Nanos, patience: Duration) {
        let took = self.asked.take().map_or(Duration::ZERO, |asked| now.since(asked));
        self.prompt = took <= patience;
        if std::mem::take(&mut self.reported) {
            info!(lane = self.name, took_ms = took.as_millis(), "the driver answers again");
        }
    }
}

/// A lane as its own thread sees it.
struct Reader {
    sources: Vec<(u32, Box<dyn Source>)>,
    read_at_least_every: Option<Duration>,
    changes: Vec<(u32, ChangeTracker)>,
}

impl Reader {
    fn of(lane: Lane) -> Self {
        Self {
            changes: lane
                .sources
                .iter()
                .flat_map(|(first, source)| {
                    source.describe().into_iter().map(move |info| first + info.id)
                })
                .map(|sensor| (sensor, ChangeTracker::default()))
                .collect(),
            sources: lane.sources,
            read_at_least_every: lane.read_at_least_every,
        }
    }

    /// Reads whenever it is asked, and for itself when a counter could wrap unseen.
    fn run(mut self, index: usize, questions: &Receiver<()>, events: &SyncSender<Event>) {
        loop {
            let question = match self.read_at_least_every {
                Some(gap) => questions.recv_timeout(gap),
                None => questions.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let readings = match question {
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(()) | Err(RecvTimeoutError::Timeout) => self.read(),
            };
            let asked = question.is_ok();
            if asked && events.send(Event::Answer { lane: index, readings }).is_err() {
                return;
            }
        }
    }

    fn read(&mut self) -> Vec<SensorReading> {
        let mut readings = Vec::with_capacity(self.changes.len());
        for (first, source) in &mut self.sources {
            let from = readings.len();
            source.read(&mut readings);
            for reading in &mut readings[from..] {
                reading.sensor += *first;
            }
        }
        for reading in &mut readings {
            self.note_change(reading);
        }
        readings
    }

    fn note_change(&mut self, reading: &mut SensorReading) {
        let tracker = self.changes.iter_mut().find(|(sensor, _)| *sensor == reading.sensor);
        let (Some((_, tracker)), Some(energy)) = (tracker, reading.energy_microjoules) else {
            return;
        };
        let change = tracker.observe(reading.epoch, energy, reading.read_start, reading.read_end);
        reading.changed_after = change.after;
        reading.changed_before = Some(change.before);
    }
}

/// The latest read of each sensor.
struct Board {
    latest: Vec<Option<SensorReading>>,
    /// The epoch that subscribers know of each sensor.
    told_epochs: Vec<Option<u32>>,
    stale_after: Duration,
    since: Nanos,
}

impl Board {
    fn new(sensors: &[SensorInfo], stale_after: Duration, now: Nanos) -> Self {
        Self {
            latest: vec![None; sensors.len()],
            told_epochs: vec![None; sensors.len()],
            stale_after,
            since: now,
        }
    }

    fn put(&mut self, readings: Vec<SensorReading>) {
        for reading in readings {
            if let Some(slot) = self.latest.get_mut(reading.sensor as usize) {
                *slot = Some(reading);
            }
        }
    }

    /// What to tell of each sensor now.
    fn tell(&mut self, now: Nanos) -> Vec<SensorReading> {
        let mut readings = self.readings_at(now);
        for reading in readings.iter_mut().filter(|read| read.energy_microjoules.is_some()) {
            let told = &mut self.told_epochs[reading.sensor as usize];
            let resumed = told.is_some_and(|epoch| epoch != reading.epoch);
            // The read that found the reset may have been replaced before any tick told of it.
            if resumed && reading.status == Status::Ok {
                reading.status = Status::Reset;
            }
            *told = Some(reading.epoch);
        }
        readings
    }

    /// What each sensor last showed, as far as that is young enough. A sensor that never answered is
    /// absent at first, and stale when it should have.
    fn readings_at(&self, now: Nanos) -> Vec<SensorReading> {
        (0..)
            .zip(&self.latest)
            .filter_map(|(sensor, latest)| match latest {
                Some(latest) if now.since(latest.read_end) <= self.stale_after => Some(*latest),
                Some(latest) => Some(withheld(sensor, latest)),
                None if now.since(self.since) <= self.stale_after => None,
                None => Some(SensorReading::empty(sensor, self.since, self.since, Status::Stale)),
            })
            .collect()
    }
}

/// An old read without its figures.
fn withheld(sensor: u32, latest: &SensorReading) -> SensorReading {
    SensorReading {
        epoch: latest.epoch,
        ..SensorReading::empty(sensor, latest.read_start, latest.read_end, Status::Stale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub;
    use energy_proto::{ClockAnchor, SensorKind, pb};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use tokio::sync::broadcast;

    fn info(id: u32) -> SensorInfo {
        SensorInfo {
            measures: vec!["energy".to_owned()],
            ..SensorInfo::new(id, SensorKind::Gpu, "scripted")
        }
    }

    /// Counts its reads as microjoules, and hangs while it is told to.
    struct CountsReads {
        reads: Arc<AtomicU64>,
        hanging: Arc<AtomicBool>,
    }

    impl Source for CountsReads {
        fn describe(&self) -> Vec<SensorInfo> {
            vec![info(0)]
        }

        fn read(&mut self, readings: &mut Vec<SensorReading>) {
            let start = monotonic_now();
            while self.hanging.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(1));
            }
            let mut reading = SensorReading::empty(0, start, monotonic_now(), Status::Ok);
            reading.energy_microjoules = Some(self.reads.fetch_add(1, Ordering::Relaxed) + 1);
            readings.push(reading);
        }
    }

    struct Bench {
        sampler: Sampler,
        messages: broadcast::Receiver<hub::Message>,
        reads: Vec<Arc<AtomicU64>>,
        hanging: Vec<Arc<AtomicBool>>,
    }

    impl Bench {
        fn start(lanes: u32, interval: Duration, gap: Option<Duration>) -> Self {
            Self::start_with(PATIENCE, lanes, interval, gap)
        }

        fn start_with(
            patience: Duration,
            lanes: u32,
            interval: Duration,
            gap: Option<Duration>,
        ) -> Self {
            let reads: Vec<_> = (0..lanes).map(|_| Arc::<AtomicU64>::default()).collect();
            let hanging: Vec<_> = (0..lanes).map(|_| Arc::<AtomicBool>::default()).collect();
            let sensors: Vec<_> = (0..lanes).map(info).collect();
            let lanes = (0..)
                .zip(reads.iter().zip(&hanging))
                .map(|(id, (reads, hanging))| Lane {
                    name: "scripted",
                    sources: vec![(
                        id,
                        Box::new(CountsReads {
                            reads: Arc::clone(reads),
                            hanging: Arc::clone(hanging),
                        }) as Box<dyn Source>,
                    )],
                    read_at_least_every: gap,
                })
                .collect();
            let (publisher, hub) = hub::channel();
            let messages = hub.subscribe().unwrap();
            let composer = Composer::new(1, "scripted", ClockAnchor::now(), &sensors);
            let sampler =
                Sampler::start_with(patience, lanes, &sensors, interval, composer, publisher)
                    .unwrap();
            Self { sampler, messages, reads, hanging }
        }

        fn next(&mut self) -> hub::Message {
            self.messages.blocking_recv().unwrap()
        }
    }

    fn status(message: &pb::TelemetryReading, sensor: u32) -> Option<pb::Status> {
        let reading = message.sensors.iter().find(|reading| reading.sensor == sensor)?;
        Some(reading.status())
    }

    #[test]
    fn each_message_carries_a_read_of_its_own_tick() {
        // A patience that no busy machine exhausts.
        let patience = Duration::from_secs(10);
        let mut bench = Bench::start_with(patience, 1, Duration::from_millis(20), None);
        let messages: Vec<_> = (0..5).map(|_| bench.next()).collect();
        for pair in messages.windows(2) {
            let (before, after) = (&pair[0].sensors[0], &pair[1].sensors[0]);
            assert!(after.read_start_nanos > pair[0].monotonic_nanos);
            assert_eq!(after.changed_after_nanos, Some(before.read_start_nanos));
            assert_eq!(after.changed_before_nanos, Some(after.read_end_nanos));
        }
        bench.sampler.stop();
    }

    #[test]
    fn a_source_that_hangs_becomes_stale_and_delays_nothing() {
        let interval = Duration::from_millis(10);
        let mut bench = Bench::start(2, interval, None);
        bench.next();
        bench.hanging[0].store(true, Ordering::Relaxed);
        let mut last_at = None::<u64>;
        let stale = loop {
            let message = bench.next();
            assert_eq!(status(&message, 1), Some(pb::Status::Ok));
            if let Some(last_at) = last_at {
                // Twenty ticks, on a machine that does other things too.
                assert!(message.monotonic_nanos - last_at < 200_000_000, "a tick was late");
            }
            last_at = Some(message.monotonic_nanos);
            if status(&message, 0) == Some(pb::Status::Stale) {
                break message;
            }
        };
        assert_eq!(stale.sensors[0].energy_microjoules, None);
        bench.hanging[0].store(false, Ordering::Relaxed);
        while status(&bench.next(), 0) != Some(pb::Status::Ok) {}
        bench.sampler.stop();
    }

    #[test]
    fn a_counter_that_could_wrap_is_read_between_ticks_that_are_far_apart() {
        let gap = Duration::from_millis(5);
        let mut bench = Bench::start(1, Duration::from_secs(60), Some(gap));
        bench.next();
        let reads = Arc::clone(&bench.reads[0]);
        let waited = monotonic_now();
        while reads.load(Ordering::Relaxed) < 4 {
            assert!(monotonic_now().since(waited) < Duration::from_secs(10), "not read");
            thread::sleep(gap);
        }
        bench.sampler.stop();
    }

    #[test]
    fn it_stops_at_once_even_between_ticks_and_in_a_hung_driver() {
        let mut bench = Bench::start(1, Duration::from_secs(60), None);
        bench.next();
        bench.hanging[0].store(true, Ordering::Relaxed);
        let asked = monotonic_now();
        bench.sampler.stop();
        assert!(monotonic_now().since(asked) < Duration::from_millis(500));
        assert!(bench.messages.blocking_recv().is_err(), "the stream has ended");
        bench.hanging[0].store(false, Ordering::Relaxed);
    }

    #[test]
    fn a_lane_that_was_late_is_waited_for_again_once_it_answers_in_time() {
        let (questions, _inbox) = sync_channel(1);
        let patience = Duration::from_millis(5);
        let mut lane =
            LaneState { name: "scripted", questions, asked: None, prompt: true, reported: false };
        lane.ask(Nanos(0));
        assert!(lane.is_awaited());
        lane.give_up(Nanos(0) + patience, Duration::from_secs(1));
        assert!(!lane.is_awaited() && !lane.reported);
        lane.give_up(Nanos(0) + Duration::from_secs(2), Duration::from_secs(1));
        assert!(lane.reported);
        lane.answered(Nanos(0) + patience * 2, patience);
        lane.asked = Some(Nanos(0));
        assert!(!lane.is_awaited(), "its last answer was late");
        lane.answered(Nanos(0) + patience, patience);
        lane.asked = Some(Nanos(0));
        assert!(lane.is_awaited());
    }

    #[test]
    fn a_sensor_that_never_answers_is_absent_and_then_stale() {
        let limit = Duration::from_secs(1);
        let mut board = Board::new(&[info(0)], limit, Nanos(1_000));
        assert_eq!(board.tell(Nanos(1_000) + limit), []);
        let late = board.tell(Nanos(1_001) + limit);
        assert_eq!(late[0].status, Status::Stale);
    }

    #[test]
    fn a_reset_is_told_though_the_read_that_found_it_was_replaced() {
        let read = |epoch, status| {
            let mut reading = SensorReading::empty(0, Nanos(1_000), Nanos(1_000), status);
            reading.epoch = epoch;
            reading.energy_microjoules = Some(7);
            vec![reading]
        };
        let mut board = Board::new(&[info(0)], Duration::from_secs(1), Nanos(1_000));
        let told = |board: &mut Board| board.tell(Nanos(1_000))[0].status;
        board.put(read(0, Status::Ok));
        assert_eq!(told(&mut board), Status::Ok);
        board.put(read(1, Status::Reset));
        board.put(read(1, Status::Ok));
        assert_eq!(told(&mut board), Status::Reset);
        assert_eq!(told(&mut board), Status::Ok);
    }
}
