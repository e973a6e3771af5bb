//! The hardware seam: a [`Source`] reads some sensors. What a vendor's interface can do is known only
//! behind it.

pub mod apple;
pub mod estimate;
pub mod hwmon;
pub mod memory;
pub mod nvml;
#[cfg(target_os = "linux")]
pub mod rapl_perf;
pub mod rapl_powercap;
pub mod scripted;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use energy_proto::{Nanos, SensorInfo, SensorReading, monotonic_now};

/// When a source is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// With each tick, by the tick's own thread: its reads never block.
    Tick,
    /// On a thread of its own, on the schedule that its sensors' update periods set, but never two
    /// reads closer together than this.
    Own {
        /// The least time between two reads.
        closest: Duration,
    },
    /// On a thread of its own, one read after the other: a read waits for the next figures.
    Stream,
}

/// Something that reads sensors. It is read from one thread; whether it may block it is said by its
/// [`Pace`].
pub trait Source: Send {
    /// Its sensors, numbered from 0. It doesn't know the host's name.
    fn describe(&self) -> Vec<SensorInfo>;

    /// Reads each sensor now and appends a reading of it, by the number that `describe` gives.
    ///
    /// A figure that can't be read is `None`, and the reading's status says why if it is the energy.
    /// The interval of change is left to the sampler.
    fn read(&mut self, readings: &mut Vec<SensorReading>);
}

/// Programs that sources have started. They end when this is dropped, whatever their threads wait for.
#[derive(Debug)]
pub struct Children;

impl Drop for Children {
    fn drop(&mut self) {
        apple::end_children();
    }
}

/// Why a source can't be used here, and what would make it usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}{}{remedy}", if remedy.is_empty() { "" } else { ": " })]
pub struct Unavailable {
    /// Why.
    pub reason: String,
    /// What to do; empty if nothing helps.
    pub remedy: String,
    /// Whether it is there, and this process may not read it.
    pub denied: bool,
}

impl Unavailable {
    /// It is there, but a right is missing.
    fn denied(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { denied: true, ..Self::new(reason, remedy) }
    }

    pub(crate) fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: remedy.into(), denied: false }
    }
}

/// What gives this program the right to use perf counters of the whole host: to it alone, for good.
/// Before Linux 5.8 the capability was a part of CAP_SYS_ADMIN.
fn perfmon_remedy() -> String {
    let program = std::env::current_exe().ok();
    let program = program.map_or_else(|| "$(command -v energy-monitor)".to_owned(), shell_word);
    format!("run `sudo setcap cap_perfmon=ep {program}`")
}

/// A path as a shell takes it.
fn shell_word(path: impl AsRef<Path>) -> String {
    let text = path.as_ref().display().to_string();
    let plain = |character: char| character.is_ascii_alphanumeric() || "/._-+:".contains(character);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// The first epoch of energy that is counted from this program's start. A client that sees two of its
/// starts can so tell them apart; energy that the hardware goes on counting meanwhile has epoch 0.
fn epoch_of_this_start() -> u32 {
    fastrand::u32(1..u32::MAX / 2)
}

/// Calls a driver and says when it was asked and when it had answered.
fn timed<T>(read: impl FnOnce() -> T) -> (T, Nanos, Nanos) {
    let start = monotonic_now();
    let answer = read();
    (answer, start, monotonic_now())
}

/// A file of procfs that stays open and is read anew each time, into the same room.
struct ProcFile {
    file: File,
    text: Vec<u8>,
}

impl ProcFile {
    /// No file that is read here tells what it is read for later than this.
    const LONGEST: usize = 16 << 10;

    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, text: vec![0; Self::LONGEST] })
    }

    /// Its text now; nothing if it can't be read.
    fn read(&mut self) -> Option<&str> {
        let mut length = 0;
        while length < self.text.len() {
            match self.file.read_at(&mut self.text[length..], length as u64).ok()? {
                0 => break,
                more => length += more,
            }
        }
        std::str::from_utf8(&self.text[..length]).ok()
    }
}

/// Temperature, memory and utilisation: each costs a call, and NVIDIA's utilisation is itself a mean over
/// a sixth of a second or more (`nvmlUtilization_t` in nvml.h).
const SLOW_FIGURES_PERIOD: Duration = Duration::from_millis(200);

/// A figure that is read at most once in a period.
#[derive(Debug)]
struct Paced<T> {
    period: Duration,
    /// The last read and when the next is due.
    last: Option<(T, Nanos)>,
}

impl<T: Clone> Paced<T> {
    fn every(period: Duration) -> Self {
        Self { period, last: None }
    }

    fn get(&mut self, now: Nanos, read: impl FnOnce() -> T) -> T {
        let due = self.last.as_ref().map(|(_, due)| *due);
        if let Some((value, due)) = &self.last
            && now < *due
        {
            return value.clone();
        }
        let value = read();
        self.last = Some((value.clone(), self.due_after(due, now)));
        value
    }

    /// From one due time to the next, and a quarter early at first, so that the ticks' jitter doesn't
    /// make a period of two ticks into three.
    fn due_after(&self, due: Option<Nanos>, now: Nanos) -> Nanos {
        match due {
            Some(due) if now.since(due) < self.period => due + self.period,
            _ => now + self.period * 3 / 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_names_files_as_a_shell_takes_them() {
        assert_eq!(
            shell_word("/sys/class/powercap/intel-rapl:0"),
            "/sys/class/powercap/intel-rapl:0"
        );
        assert_eq!(shell_word("/a b/it's"), r"'/a b/it'\''s'");
        let program = std::env::current_exe().unwrap();
        assert!(perfmon_remedy().ends_with(&format!("{}`", shell_word(program))));
    }

    #[test]
    fn a_paced_figure_is_read_once_in_its_period_at_the_ticks_pace() {
        let mut paced = Paced::every(Duration::from_millis(100));
        let tick = |number: u64| Nanos(1_000_000_000 + number * 50_000_000 - number % 3 * 10_000);
        let read_at: Vec<u64> = (0..6).map(|n| paced.get(tick(n), || n)).collect();
        assert_eq!(read_at, [0, 0, 2, 2, 4, 4]);
    }

    #[test]
    fn a_figure_that_fails_is_missing_until_it_is_read_again() {
        let mut paced = Paced::every(Duration::from_millis(100));
        assert_eq!(paced.get(Nanos(1_000_000_000), || Some(3)), Some(3));
        assert_eq!(paced.get(Nanos(1_200_000_000), || None::<u32>), None);
        assert_eq!(paced.get(Nanos(1_210_000_000), || Some(4)), None);
    }
}
