//! `powermetrics` as a child process: found, started, heard and seen off. What it says isn't known
//! here.
//!
//! It is killed when it is dropped, and by [`end_all`] when this program leaves while another thread
//! still listens to it. If this program is killed first, the child's next write finds no reader, and
//! `SIGPIPE` ends it; one that hangs then hangs on.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{self, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use energy_proto::{Nanos, monotonic_now};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Milliseconds that a sample is asked to last. It lasts longer: it says how long.
const SAMPLE_MS: &str = "100";

/// What is kept of what it says on standard error.
const SAID_BYTES: usize = 1024;

/// How long a killed child is waited for: only one in the midst of a driver's call takes longer.
const BURIAL: Duration = Duration::from_millis(200);

/// The children that run. Each is taken off before its process id can be given to another process.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Kills every child: to be called when this program leaves, which doesn't wait for who listens.
pub(super) fn end_all() {
    for id in running().drain(..) {
        if let Ok(id) = i32::try_from(id) {
            // An error means that it has ended already.
            let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

fn running() -> MutexGuard<'static, Vec<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The program's place: the first of that name in these directories.
///
/// A relative directory is passed over: this program may be root, and would run what lies about.
pub(super) fn find(search_path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(search_path)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join("powermetrics"))
        .find(|program| program.is_file())
}

/// What was heard of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// So many bytes.
    Bytes(usize),
    /// Nothing in that time.
    Nothing,
    /// It will say nothing more.
    End,
}

/// A running powermetrics.
#[derive(Debug)]
pub(super) struct Child {
    process: process::Child,
    stdout: ChildStdout,
    /// Until it is closed.
    stderr: Option<ChildStderr>,
    said: Vec<u8>,
}

impl Child {
    /// Starts it.
    pub(super) fn start(program: &Path) -> io::Result<Self> {
        let mut process = Command::new(program)
            .args(["-f", "plist", "-i", SAMPLE_MS])
            .args(["--samplers", "cpu_power,gpu_power,ane_power"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        running().push(process.id());
        let stdout = process.stdout.take().expect("it was piped");
        let stderr = process.stderr.take();
        Ok(Self { process, stdout, stderr, said: Vec::with_capacity(SAID_BYTES) })
    }

    /// Waits for bytes on its standard output, at most until a time.
    pub(super) fn hear(&mut self, buffer: &mut [u8], until: Nanos) -> Heard {
        loop {
            let wait = until.since(monotonic_now());
            // Up to the next millisecond, so that the last one isn't spent in a busy loop.
            let millis = u16::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u16::MAX);
            let (output, errors) = match self.poll(PollTimeout::from(millis)) {
                Ok(ready) => ready,
                Err(nix::Error::EINTR) => continue,
                Err(_) => return Heard::End,
            };
            if errors {
                self.keep_what_is_said();
            }
            if output {
                match self.stdout.read(buffer) {
                    Ok(0) => return Heard::End,
                    Ok(count) => return Heard::Bytes(count),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return Heard::End,
                }
            } else if monotonic_now() >= until {
                return Heard::Nothing;
            }
        }
    }

    /// What it said last on standard error, and how it ended.
    pub(super) fn last_words(&mut self) -> (String, String) {
        while self.stderr.is_some() && self.poll(PollTimeout::ZERO).is_ok_and(|ready| ready.1) {
            self.keep_what_is_said();
        }
        let ended = match self.bury() {
            Some(status) => status.to_string(),
            None => "it does not end".to_owned(),
        };
        (String::from_utf8_lossy(&self.said).trim().to_owned(), ended)
    }

    /// Whether there is something to read on standard output and on standard error.
    fn poll(&self, timeout: PollTimeout) -> nix::Result<(bool, bool)> {
        let of_interest = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let stdout = of_interest(self.stdout.as_fd());
        let is_ready = |fd: &PollFd<'_>| fd.revents().is_none_or(|events| !events.is_empty());
        match &self.stderr {
            Some(stderr) => {
                let mut both = [stdout, of_interest(stderr.as_fd())];
                poll(&mut both, timeout)?;
                Ok((is_ready(&both[0]), is_ready(&both[1])))
            }
            None => {
                let mut one = [stdout];
                poll(&mut one, timeout)?;
                Ok((is_ready(&one[0]), false))
            }
        }
    }

    fn keep_what_is_said(&mut self) {
        let mut bytes = [0; SAID_BYTES];
        let read = self.stderr.as_mut().map_or(Ok(0), |stderr| stderr.read(&mut bytes));
        match read {
            Ok(0) => self.stderr = None,
            Ok(count) => {
                self.said.extend_from_slice(&bytes[..count]);
                let surplus = self.said.len().saturating_sub(SAID_BYTES);
                self.said.drain(..surplus);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.stderr = None,
        }
    }

    /// Ends it.
    fn bury(&mut self) -> Option<process::ExitStatus> {
        let since = monotonic_now();
        let mut killed = false;
        loop {
            match self.reap() {
                Ok(Some(status)) => return Some(status),
                Err(_) => return None,
                Ok(None) => {}
            }
            // One that has closed its output ends by itself, and then its status tells why.
            if !killed && monotonic_now().since(since) > BURIAL / 4 {
                // An error means that it has ended already.
                let _ = self.process.kill();
                killed = true;
            }
            if monotonic_now().since(since) > BURIAL {
                return None;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Child {
    /// Takes notice of its end, and takes it off the list in the same breath.
    fn reap(&mut self) -> io::Result<Option<process::ExitStatus>> {
        let mut running = running();
        let ended = self.process.try_wait();
        if matches!(ended, Ok(Some(_))) {
            running.retain(|id| *id != self.process.id());
        }
        ended
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.process.kill();
        self.bury();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::apple::stand_in::program;

    fn in_ms(millis: u64) -> Nanos {
        monotonic_now() + Duration::from_millis(millis)
    }

    #[test]
    fn the_program_is_found_in_absolute_directories_only() {
        let (dir, path) = program("");
        let elsewhere = tempfile::tempdir().unwrap();
        let search = std::env::join_paths([Path::new("."), elsewhere.path(), dir.path()]).unwrap();
        assert_eq!(find(&search), Some(path));
        assert_eq!(find(OsStr::new("")), None);
        assert_eq!(find(elsewhere.path().as_os_str()), None);
    }

    #[test]
    fn it_is_asked_for_samples_of_the_three_rails_as_property_lists() {
        let (_dir, path) = program(r#"echo "$@""#);
        let mut child = Child::start(&path).unwrap();
        let mut buffer = [0; 256];
        let Heard::Bytes(count) = child.hear(&mut buffer, in_ms(20_000)) else { panic!() };
        let arguments = "-f plist -i 100 --samplers cpu_power,gpu_power,ane_power\n";
        assert_eq!(str::from_utf8(&buffer[..count]), Ok(arguments));
        assert_eq!(child.hear(&mut buffer, in_ms(20_000)), Heard::End);
    }

    #[test]
    fn its_last_words_are_kept_within_bounds_with_how_it_ended() {
        let script = "i=0; while [ $i -lt 500 ]; do echo line $i >&2; i=$((i+1)); done; exit 7";
        let (_dir, path) = program(script);
        let mut child = Child::start(&path).unwrap();
        assert_eq!(child.hear(&mut [0; 16], in_ms(20_000)), Heard::End);
        let (said, ended) = child.last_words();
        assert!(said.ends_with("line 499") && said.len() <= SAID_BYTES, "{said}");
        assert_eq!(ended, "exit status: 7");
    }

    #[test]
    fn one_that_says_nothing_is_waited_for_no_longer_than_asked_and_killed_when_dropped() {
        let (_dir, path) = program("exec sleep 60");
        let mut child = Child::start(&path).unwrap();
        let asked = monotonic_now();
        assert_eq!(child.hear(&mut [0; 16], in_ms(30)), Heard::Nothing);
        let waited = monotonic_now().since(asked);
        assert!(waited >= Duration::from_millis(30) && waited < Duration::from_secs(5));
        let pid = Pid::from_raw(child.process.id() as i32);
        drop(child);
        assert_eq!(kill(pid, None), Err(nix::Error::ESRCH));
    }
}
