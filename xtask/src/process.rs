//! Child processes that never outlive their task.
//!
//! Each child leads a process group of its own. A SIGINT, SIGTERM or SIGHUP to this program is
//! passed on to the group that is being waited for, which gets time to save and leave; a child
//! that is dropped gets SIGTERM first, and what is left of its group is killed.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// How often a child is looked at: often enough for a person, too rarely to disturb a measurement.
const POLL: Duration = Duration::from_millis(50);
/// What an interrupted child has to save its results before it is killed.
const GRACE_WHEN_INTERRUPTED: Duration = Duration::from_secs(30);
/// What a child that is no longer needed has to leave before it is killed.
const GRACE_WHEN_DROPPED: Duration = Duration::from_secs(5);
/// Lines of a failed child's output that are shown; the whole is in its log.
const LINES_SHOWN: usize = 200;

/// A signal has asked this program to stop.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted;

/// Starts children and passes signals on to them.
pub(crate) struct Processes {
    pending: Arc<AtomicUsize>,
    logs: PathBuf,
}

impl Processes {
    /// Listens for signals from here on; the children's output goes to files in `logs`.
    ///
    /// # Errors
    /// If a signal handler can't be installed.
    pub(crate) fn listen(logs: PathBuf) -> io::Result<Self> {
        let pending = Arc::new(AtomicUsize::new(0));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            signal_hook::flag::register_usize(signal, Arc::clone(&pending), signal as usize)?;
        }
        Ok(Self { pending, logs })
    }

    /// Runs a command to its end with its output in a log, and returns its standard output.
    ///
    /// # Errors
    /// If it can't be started or fails (its output is in the error), or [`Interrupted`].
    pub(crate) fn quiet(&self, name: &str, command: &mut Command) -> Result<String> {
        let mut running = self.background(name, command)?;
        let status = self.wait(&mut running.group)?;
        if status.success() { running.output() } else { Err(running.failure(status)) }
    }

    /// Runs a command to its end, its output going where ours goes.
    ///
    /// # Errors
    /// If it can't be started, or [`Interrupted`].
    pub(crate) fn shown(&self, command: &mut Command) -> Result<ExitStatus> {
        self.wait(&mut Group::spawn(command.stdin(Stdio::null()))?)
    }

    /// Starts a command that runs until the returned value is dropped. Its standard input is a pipe
    /// that closes with us, however we end.
    ///
    /// # Errors
    /// If it can't be started or its logs can't be written.
    pub(crate) fn background(&self, name: &str, command: &mut Command) -> Result<Background> {
        let output = self.logs.join(format!("{name}.out"));
        let log = self.logs.join(format!("{name}.log"));
        command.stdin(Stdio::piped()).stdout(create(&output)?).stderr(create(&log)?);
        Ok(Background { name: name.to_owned(), group: Group::spawn(command)?, output, log })
    }

    /// Waits until `ready` gives a value.
    ///
    /// # Errors
    /// If the process ends first, `ready` fails, the time is up, or [`Interrupted`].
    pub(crate) fn wait_for<T>(
        &self,
        running: &mut Background,
        limit: Duration,
        mut ready: impl FnMut(&Background) -> Result<Option<T>>,
    ) -> Result<T> {
        let deadline = Instant::now() + limit;
        loop {
            if self.take_signal().is_some() {
                return Err(Interrupted.into());
            }
            if let Some(status) = running.group.child.try_wait()? {
                return Err(running.failure(status));
            }
            if let Some(value) = ready(running)? {
                return Ok(value);
            }
            if Instant::now() > deadline {
                bail!(
                    "{} isn't ready after {} s\n{}",
                    running.name,
                    limit.as_secs(),
                    running.tail()
                );
            }
            thread::sleep(POLL);
        }
    }

    fn wait(&self, group: &mut Group) -> Result<ExitStatus> {
        let mut kill_at = None;
        loop {
            if let Some(signal) = self.take_signal() {
                group.send(signal);
                kill_at.get_or_insert(Instant::now() + GRACE_WHEN_INTERRUPTED);
            }
            if let Some(status) = group.child.try_wait()? {
                return if kill_at.is_some() { Err(Interrupted.into()) } else { Ok(status) };
            }
            if kill_at.is_some_and(|at| Instant::now() > at) {
                group.send(Signal::SIGKILL);
            }
            thread::sleep(POLL);
        }
    }

    fn take_signal(&self) -> Option<Signal> {
        let number = i32::try_from(self.pending.swap(0, Ordering::SeqCst)).ok()?;
        Signal::try_from(number).ok()
    }
}

/// A child that runs beside us, its output in files.
pub(crate) struct Background {
    name: String,
    group: Group,
    output: PathBuf,
    log: PathBuf,
}

impl Background {
    /// What it has written to standard output so far.
    ///
    /// # Errors
    /// If the file can't be read.
    pub(crate) fn output(&self) -> Result<String> {
        read(&self.output)
    }

    fn failure(&self, status: ExitStatus) -> anyhow::Error {
        anyhow::anyhow!("{} failed ({})\n{}", self.name, describe(status), self.tail())
    }

    /// The last lines that it wrote, and where the rest is.
    fn tail(&self) -> String {
        let text = [&self.output, &self.log].map(|path| read(path).unwrap_or_default()).concat();
        let lines: Vec<&str> = text.lines().collect();
        let shown = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
        format!("{shown}\n(its whole output: {})", self.log.with_extension("{out,log}").display())
    }
}

/// How a process ended, in words.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// A child and its descendants.
struct Group {
    child: Child,
}

impl Group {
    fn spawn(command: &mut Command) -> Result<Self> {
        let child = command.process_group(0).spawn().with_context(|| {
            format!("can't start {}", Path::new(command.get_program()).display())
        })?;
        Ok(Self { child })
    }

    /// A group that has left meanwhile needs no signal, so that failure is none.
    fn send(&self, signal: Signal) {
        if let Ok(leader) = i32::try_from(self.child.id()) {
            let _ = killpg(Pid::from_raw(leader), signal);
        }
    }

    fn has_left(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.has_left() {
            return;
        }
        drop(self.child.stdin.take());
        self.send(Signal::SIGTERM);
        let deadline = Instant::now() + GRACE_WHEN_DROPPED;
        while Instant::now() < deadline {
            if self.has_left() {
                return;
            }
            thread::sleep(POLL);
        }
        self.send(Signal::SIGKILL);
        // Killed: this can only fail if there is nothing to wait for.
        let _ = self.child.wait();
    }
}

fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("can't write {}", path.display()))
}

fn read(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processes(logs: &tempfile::TempDir) -> Processes {
        Processes { pending: Arc::default(), logs: logs.path().to_owned() }
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn is_running(process: &str) -> bool {
        nix::sys::signal::kill(Pid::from_raw(process.trim().parse().unwrap()), None).is_ok()
    }

    #[test]
    fn a_quiet_command_gives_its_standard_output() {
        let logs = tempfile::tempdir().unwrap();
        let output = processes(&logs).quiet("say", &mut shell("echo loud >&2; echo result"));
        assert_eq!(output.unwrap(), "result\n");
    }

    #[test]
    fn a_failed_command_shows_its_exit_code_and_its_output() {
        let logs = tempfile::tempdir().unwrap();
        let error = processes(&logs)
            .quiet("build", &mut shell("echo to stdout; echo to stderr >&2; exit 3"))
            .unwrap_err()
            .to_string();
        for part in ["build failed (exit code 3)", "to stdout", "to stderr", "build."] {
            assert!(error.contains(part), "{part} is missing in: {error}");
        }
    }

    #[test]
    fn a_command_that_does_not_exist_is_named() {
        let logs = tempfile::tempdir().unwrap();
        let error = processes(&logs).quiet("x", &mut Command::new("no-such-program")).unwrap_err();
        assert!(error.to_string().contains("no-such-program"));
    }

    #[test]
    fn a_signal_reaches_the_child_and_ends_the_task_as_interrupted() {
        let logs = tempfile::tempdir().unwrap();
        let processes = processes(&logs);
        processes.pending.store(SIGINT as usize, Ordering::SeqCst);
        // Without the signal this would end well, after a minute.
        let error = processes.quiet("sleep", &mut shell("exec sleep 60")).unwrap_err();
        assert!(error.is::<Interrupted>());
    }

    #[test]
    fn an_interrupted_child_may_finish_its_work() {
        let logs = tempfile::tempdir().unwrap();
        let processes = processes(&logs);
        let script =
            "trap 'sleep 0.3; echo saved; exit 0' INT; echo set; while :; do sleep 0.05; done";
        let mut running = processes.background("save", &mut shell(script)).unwrap();
        let trapped = |running: &Background| Ok(running.output()?.contains("set").then_some(()));
        processes.wait_for(&mut running, Duration::from_secs(10), trapped).unwrap();
        processes.pending.store(SIGINT as usize, Ordering::SeqCst);
        assert!(processes.wait(&mut running.group).unwrap_err().is::<Interrupted>());
        assert!(running.output().unwrap().contains("saved"));
    }

    #[test]
    fn dropping_a_background_process_ends_its_descendants_too() {
        let logs = tempfile::tempdir().unwrap();
        let processes = processes(&logs);
        let mut running =
            processes.background("tree", &mut shell("sleep 60 & echo $!; wait")).unwrap();
        let line = |running: &Background| {
            Ok(Some(running.output()?).filter(|output| output.ends_with('\n')))
        };
        let grandchild = processes.wait_for(&mut running, Duration::from_secs(10), line).unwrap();
        assert!(is_running(&grandchild));
        drop(running);
        let deadline = Instant::now() + Duration::from_secs(5);
        while is_running(&grandchild) && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        assert!(!is_running(&grandchild), "the grandchild outlived its group");
    }

    #[test]
    fn waiting_for_a_process_that_ends_early_shows_what_it_said() {
        let logs = tempfile::tempdir().unwrap();
        let processes = processes(&logs);
        let mut running =
            processes.background("server", &mut shell("echo no model >&2; exit 1")).unwrap();
        let never = |_: &Background| Ok(None::<()>);
        let error = processes.wait_for(&mut running, Duration::from_secs(10), never).unwrap_err();
        assert!(error.to_string().contains("no model"), "{error}");
    }
}
