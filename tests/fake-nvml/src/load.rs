//! A load that is written down as it happens: steps of power in a file, for the library in another
//! process to follow.
//!
//! The file holds records of 24 bytes, little endian: when a step begins (`u64`, nanoseconds of the
//! monotonic clock), its power (`f64`, watts) and the energy of all steps before it (`f64`, joules). So
//! a single record tells the energy up to any instant of its step, and a reader looks at few of them,
//! however long the file is. A record that isn't whole is none.
//!
//! A step is stamped and written under an exclusive lock of the file, and read under a shared one. Every
//! step that begins before a reader asks is therefore there when it looks, however late the writer's
//! thread goes on: what is told of a past instant is exact, and never told differently later.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use energy_proto::Nanos;

/// Power from an instant on, until the next step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    at: Nanos,
    pub(crate) watts: f64,
    joules_before: f64,
}

impl Step {
    const BYTES: usize = 24;

    /// The energy of all steps until an instant in this one.
    pub(crate) fn joules_until(&self, at: Nanos) -> f64 {
        self.joules_before + self.watts * at.since(self.at).as_secs_f64()
    }

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.at.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.watts.to_le_bytes());
        bytes[16..].copy_from_slice(&self.joules_before.to_le_bytes());
        bytes
    }

    /// The record of this number, which is there.
    fn read(file: &File, number: u64) -> io::Result<Self> {
        let mut words = [[0; 8]; 3];
        file.read_exact_at(words.as_flattened_mut(), number * Self::BYTES as u64)?;
        let [at, watts, joules_before] = words;
        Ok(Self {
            at: Nanos(u64::from_le_bytes(at)),
            watts: f64::from_le_bytes(watts),
            joules_before: f64::from_le_bytes(joules_before),
        })
    }
}

/// The step that an instant of the past lies in; `None` before the first.
///
/// # Errors
/// The file can't be read.
pub(crate) fn step_at(path: &Path, at: Nanos) -> io::Result<Option<Step>> {
    let file = File::open(path)?;
    // Closing the file unlocks it.
    file.lock_shared()?;
    let (mut begun, mut all) = (0, file.metadata()?.len() / Step::BYTES as u64);
    while begun < all {
        let middle = begun.midpoint(all);
        if Step::read(&file, middle)?.at <= at {
            begun = middle + 1;
        } else {
            all = middle;
        }
    }
    begun.checked_sub(1).map(|last| Step::read(&file, last)).transpose()
}

/// Writes a load down.
#[derive(Debug)]
pub struct LoadWriter {
    file: File,
    written: u64,
    last: Option<Step>,
}

impl LoadWriter {
    /// Begins an empty file. Until its first step the power is zero.
    ///
    /// # Errors
    /// It can't be written.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::create(path)?, written: 0, last: None })
    }

    /// Power is so many watts from `now` on, which is asked once no reader can miss the step.
    ///
    /// # Errors
    /// The file can't be written; then there was no step.
    pub fn step(&mut self, watts: f64, now: impl FnOnce() -> Nanos) -> io::Result<()> {
        self.file.lock()?;
        let at = now();
        let joules_before = self.last.map_or(0.0, |last| last.joules_until(at));
        let step = Step { at, watts, joules_before };
        // At its place and not at the end, where a failed one may have left a part.
        let written = self.file.write_all_at(&step.to_bytes(), self.written * Step::BYTES as u64);
        self.file.unlock()?;
        written?;
        self.written += 1;
        self.last = Some(step);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;

    use energy_proto::{Joules, monotonic_now};
    use tempfile::TempDir;

    use super::*;
    use crate::PowerShape;

    fn file() -> (TempDir, PowerShape, LoadWriter) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("load");
        let writer = LoadWriter::create(&path).unwrap();
        (directory, PowerShape::Load { path }, writer)
    }

    fn ms(millis: u64) -> Nanos {
        Nanos(millis * 1_000_000)
    }

    #[test]
    fn power_is_that_of_the_last_step_and_zero_before_the_first() {
        let (_directory, load, mut writer) = file();
        assert_eq!((load.watts_at(ms(5)), load.energy(ms(0), ms(5))), (0.0, Joules(0.0)));
        writer.step(90.0, || ms(10)).unwrap();
        writer.step(400.0, || ms(20)).unwrap();
        let watts = [9, 10, 19, 20, 1_000].map(|at| load.watts_at(ms(at)));
        assert_eq!(watts, [0.0, 90.0, 90.0, 400.0, 400.0]);
        assert_eq!(load.energy(ms(9), ms(11)), Joules(0.09));
        assert_eq!(load.energy(ms(0), ms(30)), Joules(4.9));
    }

    #[test]
    fn the_integral_over_thousands_of_steps_is_the_sum_of_the_steps() {
        let (_directory, load, mut writer) = file();
        let watts = |step: u64| 90.0 + (step * 7_919 % 410) as f64;
        for step in 0..5_000 {
            writer.step(watts(step), || ms(1_000 + 3 * step)).unwrap();
        }
        for (from, to) in [(0, 5_000), (0, 1), (17, 18), (1_234, 4_321), (4_999, 5_000)] {
            let summed: f64 = (from..to).map(|step| watts(step) * 3e-3).sum();
            let Joules(told) = load.energy(ms(1_000 + 3 * from), ms(1_000 + 3 * to));
            assert!((told - summed).abs() < 1e-9 * summed.max(1.0), "{told} against {summed}");
        }
        let within = load.energy(ms(1_001), ms(1_004)).0;
        assert!((within - (watts(0) * 2e-3 + watts(1) * 1e-3)).abs() < 1e-12);
    }

    #[test]
    fn a_torn_record_is_none_and_the_next_one_takes_its_place() {
        let (directory, load, mut writer) = file();
        writer.step(100.0, || ms(10)).unwrap();
        let path = directory.path().join("load");
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(&[0xff; Step::BYTES - 1]);
        fs::write(&path, bytes).unwrap();
        assert_eq!(load.energy(ms(0), ms(20)), Joules(1.0));
        writer.step(300.0, || ms(20)).unwrap();
        assert_eq!(load.energy(ms(0), ms(30)), Joules(4.0));
    }

    #[test]
    fn what_is_told_of_an_instant_while_steps_are_written_stays_true() {
        let (_directory, load, mut writer) = file();
        let told = thread::scope(|scope| {
            let told = scope.spawn(|| {
                let tell = |_| {
                    let now = monotonic_now();
                    (now, load.energy(Nanos(0), now))
                };
                (0..2_000).map(tell).collect::<Vec<_>>()
            });
            for step in (0..400).cycle() {
                if told.is_finished() {
                    break;
                }
                writer.step(f64::from(90 + step), monotonic_now).unwrap();
            }
            told.join().unwrap()
        });
        for (at, joules) in told {
            assert_eq!(load.energy(Nanos(0), at), joules);
        }
    }
}
