//! What a program costs that is started and ends by itself. This program starts itself to start it, so
//! that the peak is of that program alone: of its own children, the system tells the most of all.

use std::ffi::{OsStr, OsString};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};

/// What one start came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) seconds: f64,
    /// The most that ever was resident.
    pub(crate) megabytes: f64,
}

/// Runs a program to its end.
///
/// # Errors
/// It failed.
pub(crate) fn run(program: &OsStr, arguments: &[&OsStr]) -> Result<Cost> {
    let mut itself = Command::new(std::env::current_exe()?);
    let output = itself.arg("--start").arg(program).args(arguments).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let (seconds, kibibytes) = text.trim().split_once(' ').context("two figures")?;
    Ok(Cost { seconds: seconds.parse()?, megabytes: kibibytes.parse::<f64>()? * 1024.0 / 1e6 })
}

/// What the program does that is started in between: starts `order`, and says the seconds and the KiB.
///
/// # Errors
/// It can't be started, or failed; what it said of that is on standard error.
pub(crate) fn start(order: &[OsString]) -> Result<String> {
    let (program, arguments) = order.split_first().context("no program is named")?;
    let begun = Instant::now();
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).status()?;
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(status.success(), "{} failed: {status}", program.display());
    Ok(format!("{seconds} {}", getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss()))
}
