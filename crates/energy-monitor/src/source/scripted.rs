//! A recorded trace instead of hardware: a run's telemetry, or a JSON script, replayed at its own
//! speed or as fast as it can be taken. Its sensors say so: their source is `scripted`, their notes
//! name the file and what recorded it, their ids begin with `scripted:`.
//!
//! All times are the recorded ones moved by one amount, so that the first tick is now. At its own
//! speed they are therefore true of the replay; as fast as it can, they run ahead of this host's clock,
//! and intervals, energies and powers still belong together. When nothing more is recorded, the
//! sensors are lost, and the monitor goes on.

mod replay;
mod script_file;
mod trace;
mod trace_file;

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

use energy_proto::{Nanos, SensorInfo, SensorReading, Status, monotonic_now};
use tracing::{info, warn};

use self::replay::Replay;
use self::trace::{Tick, Trace};
use super::{Pace, Source, Unavailable, epoch_of_this_start};

/// The longest that a read waits for a tick.
const PATIENCE: Duration = Duration::from_secs(1);
/// Ticks that are read ahead.
const AHEAD: usize = 64;
/// The most ticks that one read takes together, when it comes late.
const MOST_AT_ONCE: usize = 1_000;

/// How fast a trace is replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speed {
    /// At that of its recording.
    Own,
    /// A recorded tick for each read, or more if its own speed is higher.
    Fast,
}

/// The sensors of a trace.
pub struct ScriptedSource {
    infos: Vec<SensorInfo>,
    speed: Speed,
    ticks: Receiver<Result<Tick, String>>,
    /// Taken, and not yet due.
    next: Option<Tick>,
    replay: Replay,
    ended: bool,
}

/// What the trace has at the moment.
enum Next {
    Tick(Tick),
    Nothing,
    End,
}

impl ScriptedSource {
    /// Opens a JSON script, a run's `telemetry.arrow`, or its directory.
    ///
    /// # Errors
    /// If it can't be read or is neither.
    pub fn open(path: &Path, speed: Speed) -> Result<Self, Unavailable> {
        let Trace { sensors, ticks } = trace::open(path)?;
        let (sender, receiver) = sync_channel(AHEAD);
        // Reading and decoding a file may take longer than a tick.
        let reader = move || {
            for tick in ticks {
                // An error means that the source is gone.
                if sender.send(tick).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("trace".to_owned())
            .spawn(reader)
            .map_err(|error| Unavailable::new(format!("no thread to read it: {error}"), ""))?;
        Ok(Self {
            replay: Replay::of(sensors.len(), epoch_of_this_start()),
            infos: (0..).zip(sensors).map(|(id, info)| replayed(id, info, path, speed)).collect(),
            speed,
            ticks: receiver,
            next: None,
            ended: false,
        })
    }

    /// When it is to be read: at its own speed it waits for its ticks, and else it has one for each of
    /// the monitor's.
    #[must_use]
    pub fn pace(&self) -> Pace {
        match self.speed {
            Speed::Own => Pace::Stream,
            Speed::Fast => Pace::Tick,
        }
    }

    /// The first tick and all others that are due; nothing if none is within a second.
    fn read_at_its_own_speed(&mut self, readings: &mut Vec<SensorReading>) {
        let until = monotonic_now() + PATIENCE;
        match self.take(until) {
            Next::Tick(tick) => {
                let now = monotonic_now();
                let due = self.replay.due(&tick, now);
                thread::sleep(due.min(until).since(now));
                if due > until {
                    self.next = Some(tick);
                    return;
                }
                self.replay.tell(&tick, due, readings);
                self.catch_up(readings);
            }
            Next::Nothing => {}
            Next::End => self.tell_the_end(until, readings),
        }
    }

    /// The next tick, whenever it is due, and all others that are due.
    fn read_at_once(&mut self, readings: &mut Vec<SensorReading>) {
        let now = monotonic_now();
        match self.take(now) {
            Next::Tick(tick) => {
                let due = self.replay.due(&tick, now);
                self.replay.tell(&tick, due, readings);
                self.catch_up(readings);
            }
            Next::Nothing => {}
            Next::End => self.tell_the_end(now, readings),
        }
    }

    /// Takes the ticks that are due already: later ones replace earlier ones.
    fn catch_up(&mut self, readings: &mut Vec<SensorReading>) {
        let now = monotonic_now();
        for _ in 0..MOST_AT_ONCE {
            let Next::Tick(tick) = self.take(now) else { return };
            let due = self.replay.due(&tick, now);
            if due > now {
                self.next = Some(tick);
                return;
            }
            self.replay.tell(&tick, due, readings);
        }
    }

    /// The next tick, for which the reader of the file is waited at most until a time.
    fn take(&mut self, until: Nanos) -> Next {
        if let Some(tick) = self.next.take() {
            return Next::Tick(tick);
        }
        if self.ended {
            return Next::End;
        }
        let wait = until.since(monotonic_now());
        let taken = if wait.is_zero() {
            self.ticks.try_recv().map_err(|error| error == TryRecvError::Empty)
        } else {
            self.ticks.recv_timeout(wait).map_err(|error| error == RecvTimeoutError::Timeout)
        };
        match taken {
            Ok(Ok(tick)) => Next::Tick(tick),
            Err(true) => Next::Nothing,
            Ok(Err(error)) => {
                warn!(error, "the trace is damaged: its sensors are lost from here on");
                self.ended = true;
                Next::End
            }
            Err(false) => {
                info!("nothing more is recorded: the sensors of the trace are lost");
                self.ended = true;
                Next::End
            }
        }
    }

    /// Says that nothing more is recorded when `until` has come: the last reading is there to be seen for
    /// as long as any other.
    fn tell_the_end(&mut self, until: Nanos, readings: &mut Vec<SensorReading>) {
        thread::sleep(until.since(monotonic_now()));
        let now = monotonic_now();
        readings.extend((0..).zip(&self.infos).map(|(id, _)| SensorReading {
            epoch: self.replay.epoch_of(id),
            ..SensorReading::empty(id, now, now, Status::Lost)
        }));
    }
}

impl Source for ScriptedSource {
    fn describe(&self) -> Vec<SensorInfo> {
        self.infos.clone()
    }

    fn read(&mut self, readings: &mut Vec<SensorReading>) {
        match self.speed {
            Speed::Own => self.read_at_its_own_speed(readings),
            Speed::Fast => self.read_at_once(readings),
        }
    }
}

/// A recorded sensor as one of the replay. What the recording monitor found out of its own reads isn't
/// true of these.
fn replayed(id: u32, recorded: SensorInfo, path: &Path, speed: Speed) -> SensorInfo {
    let mut note = format!("replayed from {}, recorded by {}", path.display(), recorded.source);
    if speed == Speed::Fast {
        note += ", on a time axis of its own";
    }
    if !recorded.note.is_empty() {
        note = format!("{note}; {}", recorded.note);
    }
    SensorInfo {
        id,
        source: "scripted".to_owned(),
        host: String::new(),
        uuid: format!("scripted:{}", recorded.uuid),
        read_latency_p50: None,
        read_latency_p99: None,
        read_period: None,
        note,
        ..recorded
    }
}

#[cfg(test)]
mod tests;
