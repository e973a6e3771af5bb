//! What answers make a fake GPU take: power that rises when work on a prompt begins, changes with each
//! token and falls back when the answer has been written.
//!
//! Of several answers at once the last change holds.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use energy_proto::monotonic_now;
use fake_nvml::{LoadWriter, PowerShape};

/// A fake GPU's load.
#[derive(Debug)]
pub struct Load {
    path: PathBuf,
    idle_watts: f64,
    writer: Mutex<LoadWriter>,
}

impl Load {
    /// One that is idle from now on, written down in this file.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn create(path: PathBuf, idle_watts: f64) -> io::Result<Self> {
        let mut writer = LoadWriter::create(&path)?;
        writer.step(idle_watts, monotonic_now)?;
        Ok(Self { path, idle_watts, writer: Mutex::new(writer) })
    }

    /// What a fake GPU that follows it takes.
    #[must_use]
    pub fn power(&self) -> PowerShape {
        PowerShape::Load { path: self.path.clone() }
    }

    fn set(&self, watts: f64) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.step(watts, monotonic_now).expect("the load can be written");
    }
}

/// What an answer takes.
#[derive(Debug, Clone)]
pub struct Power {
    /// Of which GPU.
    pub load: Arc<Load>,
    /// Until the first token.
    pub prefill_watts: f64,
    /// From the first token on, and towards the last one.
    pub decode_watts: (f64, f64),
}

/// An answer on its way; the GPU is idle again when dropped.
#[derive(Debug)]
pub(super) struct Working(Power);

impl Working {
    pub(super) fn begin(power: Power) -> Self {
        power.load.set(power.prefill_watts);
        Self(power)
    }

    /// This token of so many is there, and the next is worked on.
    pub(super) fn token(&self, number: usize, of: usize) {
        let (first, last) = self.0.decode_watts;
        self.0.load.set(first + (last - first) * number as f64 / of as f64);
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.load.set(self.0.load.idle_watts);
    }
}
