//! Apple's processors through `powermetrics`, which comes with macOS and answers root alone: what the
//! CPU, the GPU and the neural engine took in each sample.
//!
//! These are macOS's own estimates (powermetrics(1) says so), not meters, in steps of 1 mJ. Asked for 100 ms, it delivers
//! samples of 107.9 ms or so and says how long they were; only its own elapsed time counts here. How
//! far a sample lags behind its own end isn't known.
//!
//! The program is an ordinary child process, so all of this is built and tested everywhere.

mod child;
mod rails;
mod sample;
mod samples;
#[cfg(test)]
mod stand_in;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use energy_proto::{GpuInfo, Nanos, SensorInfo, SensorKind, SensorReading, Status, monotonic_now};
use tracing::{info, warn};

use self::child::{Child, Heard};
use self::rails::Rails;
use self::sample::{Sample, Taken};
use self::samples::{Found, Samples};
use super::{Source, Unavailable, epoch_of_this_start};

/// The longest that a read waits for a sample.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the first sample is waited for at the start: it tells which rails there are. The monitor
/// has to serve soon, so one that comes later is met with the assumption that all are there.
const FIRST_SAMPLE: Duration = Duration::from_millis(200);
/// A child that says nothing for so long is given up and started anew.
const HUNG: Duration = Duration::from_secs(10);
/// How long a dead child stays dead, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// What is read from the child at once.
const CHUNK_BYTES: usize = 1 << 16;

/// What it says to anybody but root.
const REFUSAL: &str = "superuser";
const REMEDY: &str =
    "powermetrics answers root alone: run `sudo energy-monitor`, or the monitor as a root service";

const RAILS: [(SensorKind, &str, &str); rails::RAILS] = [
    (SensorKind::CpuPackage, "CPU", "powermetrics/cpu"),
    (SensorKind::Gpu, "GPU", "powermetrics/gpu"),
    (SensorKind::Ane, "Neural Engine", "powermetrics/ane"),
];

/// The three rails of an Apple processor.
pub struct AppleSource {
    program: PathBuf,
    state: State,
    samples: Samples,
    chunk: Box<[u8]>,
    rails: Rails,
    infos: Vec<SensorInfo>,
    model: Option<String>,
    /// The sample of the start, not yet told.
    first: Option<(Sample, Nanos)>,
    failures: u32,
    reported_power: bool,
    /// Whether the samples since the last good one are known to be spoilt.
    reported_spoilt: bool,
}

/// Kills every powermetrics of this process: to be called when it leaves, since a thread that waits
/// for a sample isn't waited for.
pub fn end_children() {
    child::end_all();
}

enum State {
    /// When it was last heard.
    Running(Child, Nanos),
    /// Until when.
    Pausing(Nanos),
    /// It will not answer this process.
    Refused,
}

/// What came of waiting.
enum Event {
    Sample(Sample, Nanos),
    /// A sample that can't be read: its energy is lost.
    Spoilt,
    Died,
    Nothing,
}

impl AppleSource {
    /// Starts the powermetrics of a search path, written as in `PATH`.
    ///
    /// # Errors
    /// If it isn't there or can't be started.
    pub fn open(search_path: &OsStr) -> Result<Self, Unavailable> {
        let program = child::find(search_path).ok_or_else(|| {
            let remedy = "add /usr/bin, where macOS has it, to PATH";
            let remedy = if cfg!(target_os = "macos") { remedy } else { "" };
            Unavailable::new("no program powermetrics in PATH: it comes with macOS", remedy)
        })?;
        let child = Child::start(&program).map_err(|error| {
            Unavailable::new(format!("{} can't be started: {error}", program.display()), "")
        })?;
        let mut source = Self {
            program,
            state: State::Running(child, monotonic_now()),
            samples: Samples::default(),
            chunk: vec![0; CHUNK_BYTES].into_boxed_slice(),
            rails: Rails::from_epoch(epoch_of_this_start()),
            infos: Vec::new(),
            model: None,
            first: None,
            failures: 0,
            reported_power: false,
            reported_spoilt: false,
        };
        source.meet();
        Ok(source)
    }

    /// The GPU in the original's words, if it gives figures.
    #[must_use]
    pub fn gpu(&self) -> Option<GpuInfo> {
        let gpu = self.infos.iter().find(|info| info.kind == SensorKind::Gpu)?;
        (gpu.status == Status::Ok).then(|| GpuInfo {
            name: gpu.name.clone(),
            vendor: "Apple".to_owned(),
            device_id: 0,
            device_type: "GPU".to_owned(),
            backend: "powermetrics".to_owned(),
        })
    }

    /// Finds out which rails there are.
    fn meet(&mut self) {
        let until = monotonic_now() + FIRST_SAMPLE;
        if let Event::Sample(sample, came) = self.wait(until) {
            self.model.clone_from(&sample.model);
            self.first = Some((sample, came));
        }
        let refused = matches!(self.state, State::Refused);
        self.infos = (0..)
            .zip(RAILS)
            .map(|(id, rail)| {
                let taken = self.first.as_ref().map(|(sample, _)| taken_of(sample, id));
                info(id, rail, self.model.as_deref(), taken, refused)
            })
            .collect();
    }

    /// Waits for the next sample.
    fn wait(&mut self, until: Nanos) -> Event {
        loop {
            if let Some(event) = self.next_sample() {
                return event;
            }
            let State::Running(child, heard) = &mut self.state else { return Event::Nothing };
            match child.hear(&mut self.chunk, until) {
                Heard::Bytes(count) => {
                    *heard = monotonic_now();
                    self.samples.push(&self.chunk[..count]);
                }
                Heard::Nothing if monotonic_now().since(*heard) < HUNG => return Event::Nothing,
                Heard::Nothing | Heard::End => {
                    self.bury();
                    return Event::Died;
                }
            }
        }
    }

    /// A sample that has come as a whole.
    fn next_sample(&mut self) -> Option<Event> {
        let State::Running(_, came) = self.state else { return None };
        let parsed = match self.samples.next()? {
            Found::Sample(bytes) => sample::parse(bytes).map_err(|error| error.to_string()),
            Found::TooLong => Err("longer than any sample".to_owned()),
        };
        Some(match parsed {
            Ok(sample) => Event::Sample(sample, came),
            Err(error) => {
                if !std::mem::replace(&mut self.reported_spoilt, true) {
                    warn!(
                        error,
                        "a sample of powermetrics can't be read: its energy, and that of all until a \
                         good one, is lost"
                    );
                }
                Event::Spoilt
            }
        })
    }

    /// Takes leave of a child that has died or says nothing any more.
    fn bury(&mut self) {
        let pause = pause_after(self.failures);
        self.failures = self.failures.saturating_add(1);
        let next = State::Pausing(monotonic_now() + pause);
        let State::Running(mut child, _) = std::mem::replace(&mut self.state, next) else { return };
        let (said, ended) = child.last_words();
        let rest = String::from_utf8_lossy(self.samples.rest());
        if said.contains(REFUSAL) || rest.contains(REFUSAL) {
            warn!(said, "powermetrics refuses: {REMEDY}");
            self.state = State::Refused;
        } else {
            warn!(
                said,
                ended,
                pause_ms = pause.as_millis(),
                "powermetrics is gone: starting it again"
            );
        }
        self.samples.clear();
        self.rails.break_off();
    }

    /// Starts the child again if its pause is over; says whether it runs.
    fn revive(&mut self, until: Nanos) -> bool {
        let due = match self.state {
            State::Running(..) => return true,
            State::Refused => None,
            State::Pausing(due) => Some(due),
        };
        let now = monotonic_now();
        let wait = due.unwrap_or(until).min(until).since(now);
        std::thread::sleep(wait);
        if due.is_none_or(|due| due > until) {
            return false;
        }
        match Child::start(&self.program) {
            Ok(child) => self.state = State::Running(child, monotonic_now()),
            Err(error) => {
                let pause = pause_after(self.failures);
                self.failures = self.failures.saturating_add(1);
                warn!(%error, pause_ms = pause.as_millis(), "powermetrics can't be started again");
                self.state = State::Pausing(monotonic_now() + pause);
            }
        }
        matches!(self.state, State::Running(..))
    }

    fn tell(&mut self, sample: &Sample, came: Nanos, readings: &mut Vec<SensorReading>) {
        self.failures = 0;
        self.reported_spoilt = false;
        let is_from_power =
            |id| matches!(taken_of(sample, id), Taken::Known { from_power: true, .. });
        if !self.reported_power && (0..).zip(RAILS).any(|(id, _)| is_from_power(id)) {
            self.reported_power = true;
            info!("this powermetrics tells no energy: it is made from its power and elapsed time");
        }
        self.rails.observe(sample, came, readings);
    }
}

impl Source for AppleSource {
    fn describe(&self) -> Vec<SensorInfo> {
        self.infos.clone()
    }

    fn read(&mut self, readings: &mut Vec<SensorReading>) {
        let asked = monotonic_now();
        let until = asked + PATIENCE;
        if let Some((sample, came)) = self.first.take() {
            return self.tell(&sample, came, readings);
        }
        let status = if !self.revive(until) {
            match self.state {
                State::Refused => Status::PermissionDenied,
                _ => Status::Lost,
            }
        } else {
            match self.wait(until) {
                Event::Sample(sample, came) => return self.tell(&sample, came, readings),
                Event::Spoilt => {
                    self.rails.break_off();
                    Status::Implausible
                }
                Event::Nothing => Status::Stale,
                Event::Died if matches!(self.state, State::Refused) => Status::PermissionDenied,
                Event::Died => Status::Lost,
            }
        };
        self.rails.withhold(status, asked, monotonic_now(), readings);
    }
}

fn taken_of(sample: &Sample, rail: u32) -> Taken {
    match rail {
        0 => sample.cpu,
        1 => sample.gpu,
        _ => sample.ane,
    }
}

/// A rail's description. Until a sample has come, it is taken to be there.
fn info(
    id: u32,
    (kind, name, path): (SensorKind, &str, &str),
    model: Option<&str>,
    taken: Option<Taken>,
    refused: bool,
) -> SensorInfo {
    let absent = taken == Some(Taken::Absent);
    let mut measures = vec!["energy".to_owned(), "power".to_owned()];
    if kind == SensorKind::Gpu {
        measures.extend(["utilization".to_owned(), "clocks".to_owned()]);
    }
    let mut note =
        "estimated by macOS, not metered: compare figures of one machine only".to_owned();
    if matches!(taken, Some(Taken::Known { from_power: true, .. })) {
        note += "; energy made from mean power and elapsed time";
    }
    SensorInfo {
        name: format!("{} {name}", model.unwrap_or("Apple")),
        uuid: path.to_owned(),
        measures: if absent { Vec::new() } else { measures },
        // What its whole numbers of millijoules can tell apart.
        quantum_microjoules: Some(1_000),
        status: match (refused, absent) {
            (true, _) => Status::PermissionDenied,
            (_, true) => Status::Unsupported,
            _ => Status::Ok,
        },
        remedy: if refused { REMEDY.to_owned() } else { String::new() },
        note,
        ..SensorInfo::new(id, kind, "apple")
    }
}

/// Twice as long after each failure in a row.
fn pause_after(failures: u32) -> Duration {
    let (first, most) = PAUSE;
    first.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(most)
}

#[cfg(test)]
mod tests;
