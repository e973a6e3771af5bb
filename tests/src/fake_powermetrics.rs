//! A `powermetrics` whose truth is known: what each sample says, the faults it can have, and how a
//! program is made to find it.

use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::monitor::bin;

/// Where the program finds its model.
pub const MODEL_VARIABLE: &str = "FAKE_POWERMETRICS";

/// Asked for 100 ms, the real one takes so much longer.
const STRETCH: f64 = 1.079;

/// What it says to anybody but root.
const REFUSAL: &str = "powermetrics must be invoked as the superuser";

/// What goes wrong, each at the sample of that number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// It isn't root.
    NeedsRoot,
    /// All energies are zero while the cores run, in the samples of this range.
    ZeroRails {
        /// The first such sample.
        from: u64,
        /// The first after them.
        to: u64,
    },
    /// It says nothing more.
    Hang {
        /// From this sample on.
        at: u64,
    },
    /// It ends.
    Die {
        /// Before this sample.
        at: u64,
    },
    /// Something else stands in the place of a sample.
    Garbage {
        /// This sample.
        at: u64,
    },
    /// Three megabytes stand in the place of a sample.
    Endless {
        /// This sample.
        at: u64,
    },
}

/// A powermetrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// What goes wrong.
    pub fault: Option<Fault>,
}

/// What CPU, GPU and neural engine take in a sample, in millijoules. No two samples in a row are
/// alike.
#[must_use]
pub fn millijoules(sample: u64) -> [u64; 3] {
    [500 + sample % 7 * 100, 1_000 + sample % 5 * 200, sample % 3 * 10]
}

/// What they took in all samples up to this one, in microjoules.
#[must_use]
pub fn total_microjoules(sample: u64) -> [u64; 3] {
    (0..=sample)
        .map(millijoules)
        .fold([0; 3], |sum, taken| std::array::from_fn(|rail| sum[rail] + taken[rail] * 1_000))
}

/// How long a sample lasts by its own word.
#[must_use]
pub fn elapsed() -> Duration {
    Duration::from_millis(100).mul_f64(STRETCH)
}

/// Makes a program find this powermetrics, and nothing else, in its `PATH`. It is gone with the
/// directory that is returned, in which it also leaves its process id.
///
/// # Panics
/// If the directory for temporary files can't be written.
#[must_use]
pub fn load_into(command: &mut Command, model: Model) -> TempDir {
    let dir = tempfile::tempdir().expect("temporary files can be written");
    std::os::unix::fs::symlink(bin("fake_powermetrics"), dir.path().join("powermetrics"))
        .expect("the directory is new");
    let model = serde_json::to_string(&model).expect("a model is JSON");
    command.env("PATH", dir.path()).env(MODEL_VARIABLE, model);
    dir
}

/// The process id that a powermetrics left in its directory, once it has started.
#[must_use]
pub fn pid(dir: &Path) -> Option<i32> {
    std::fs::read_to_string(dir.join("pid")).ok()?.parse().ok()
}

/// Writes samples until nobody reads them.
///
/// # Errors
/// If it is called wrongly, refuses, or nobody reads what it writes.
pub fn run(model: Model, arguments: &[String], out: &mut dyn Write) -> io::Result<()> {
    let expected = ["-f", "plist", "-i", "100", "--samplers", "cpu_power,gpu_power,ane_power"];
    if arguments != expected {
        return Err(io::Error::other(format!("not called as is documented: {arguments:?}")));
    }
    if model.fault == Some(Fault::NeedsRoot) {
        return Err(io::Error::other(REFUSAL));
    }
    let started = Instant::now();
    for sample in 0_u64.. {
        let due = elapsed().mul_f64(sample as f64 + 1.0);
        thread::sleep(due.saturating_sub(started.elapsed()));
        match model.fault {
            Some(Fault::Hang { at }) if at == sample => return hang_while_it_has_a_parent(),
            Some(Fault::Die { at }) if at == sample => {
                return Err(io::Error::other("a fault of its own"));
            }
            Some(Fault::Garbage { at }) if at == sample => out.write_all(b"\0<plist><dict>")?,
            Some(Fault::Endless { at }) if at == sample => {
                out.write_all(&vec![b'x'; 3_000_000])?;
            }
            Some(Fault::ZeroRails { from, to }) if (from..to).contains(&sample) => {
                write_sample(out, sample, [0; 3])?;
            }
            _ => write_sample(out, sample, millijoules(sample))?,
        }
        out.flush()?;
    }
    Ok(())
}

/// The real one would hang on, were its monitor killed; what a test leaves behind must not.
fn hang_while_it_has_a_parent() -> io::Result<()> {
    let parent = nix::unistd::getppid();
    while nix::unistd::getppid() == parent {
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A NUL stands before each sample but the first.
fn write_sample(out: &mut dyn Write, sample: u64, [cpu, gpu, ane]: [u64; 3]) -> io::Result<()> {
    if sample > 0 {
        out.write_all(b"\0")?;
    }
    let seconds = elapsed().as_secs_f64();
    let power = |millijoules: u64| millijoules as f64 / seconds;
    write!(
        out,
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
<key>is_delta</key><true/>
<key>elapsed_ns</key><integer>{elapsed}</integer>
<key>hw_model</key><string>FakeMac1,1</string>
<key>timestamp</key><date>2026-01-10T09:00:00Z</date>
<key>processor</key>
<dict>
<key>clusters</key>
<array>
<dict>
<key>name</key><string>P0-Cluster</string>
<key>idle_ratio</key><real>0.1</real>
<key>cpus</key>
<array>
<dict>
<key>cpu</key><integer>0</integer>
<key>freq_hz</key><real>2.5e+09</real>
<key>idle_ratio</key><real>0.125</real>
</dict>
</array>
</dict>
</array>
<key>ane_energy</key><integer>{ane}</integer>
<key>ane_power</key><real>{ane_power}</real>
<key>cpu_energy</key><integer>{cpu}</integer>
<key>cpu_power</key><real>{cpu_power}</real>
<key>gpu_energy</key><integer>{gpu}</integer>
<key>gpu_power</key><real>{gpu_power}</real>
</dict>
<key>gpu</key>
<dict>
<key>freq_hz</key><real>712.5</real>
<key>idle_ratio</key><real>0.25</real>
</dict>
</dict>
</plist>
"#,
        elapsed = elapsed().as_nanos(),
        ane_power = power(ane),
        cpu_power = power(cpu),
        gpu_power = power(gpu),
    )
}
