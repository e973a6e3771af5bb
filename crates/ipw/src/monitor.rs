//! The energy-monitor process: finding it, starting it on a private socket, starting it again when it
//! dies, and seeing it off. The only place that knows it is a process.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::telemetry::{MonitorLink, Place, SessionError};

/// How long a monitor may take to say that it listens. NVML alone can take seconds to load.
const START: Duration = Duration::from_secs(20);
/// How long it may take to leave before it is killed.
const LEAVE: Duration = Duration::from_secs(2);
/// How often a monitor that dies is started again in one run.
const RESTARTS: u32 = 5;
/// The exit code of a monitor that was called wrongly.
const USAGE: i32 = 2;
/// Lines of its log that are kept for an error message.
const LOG_LINES: usize = 20;
/// A longer line is kept in parts.
const LOG_LINE_BYTES: u64 = 4096;

/// How to start a monitor.
#[derive(Debug, Clone, PartialEq)]
pub struct MonitorCommand {
    /// The program.
    pub program: PathBuf,
    /// Sampling interval in milliseconds.
    pub interval_ms: u32,
    /// `--sources`, if the user gave it.
    pub sources: Option<String>,
    /// `--tdp-watts`, if the user gave it.
    pub tdp_watts: Option<f64>,
}

/// Why no monitor could be started.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// It is nowhere.
    #[error(
        "no energy-monitor program found beside ipw or in PATH: build it (`cargo build --release`), \
         name it with --monitor PATH or IPW_ENERGY_MONITOR, or measure no energy with --monitor none"
    )]
    NotFound,
    /// It couldn't be run.
    #[error("can't run {program}: {source}")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A private directory for the socket couldn't be made.
    #[error("can't make a directory for the monitor's socket: {0}")]
    Directory(io::Error),
    /// It doesn't take what the user asked of it.
    #[error("{program} refuses what was asked of it{detail}")]
    Usage {
        /// The program.
        program: PathBuf,
        /// What it said.
        detail: String,
    },
    /// It left, or said something else than that it listens.
    #[error("{program} didn't start{detail}")]
    Start {
        /// The program.
        program: PathBuf,
        /// What it said.
        detail: String,
    },
}

/// Finds the program: the one named, `$IPW_ENERGY_MONITOR`, beside this program, in PATH.
///
/// # Errors
/// [`MonitorError::NotFound`] when it is nowhere.
pub fn find(named: Option<&Path>) -> Result<PathBuf, MonitorError> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    if let Some(named) = std::env::var_os("IPW_ENERGY_MONITOR").filter(|path| !path.is_empty()) {
        return Ok(PathBuf::from(named));
    }
    let name = format!("energy-monitor{}", std::env::consts::EXE_SUFFIX);
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_owned()));
    let path = std::env::var_os("PATH").unwrap_or_default();
    beside
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|directory| directory.join(&name))
        .find(|candidate| candidate.is_file())
        .ok_or(MonitorError::NotFound)
}

/// The one line that a monitor prints on stdout.
#[derive(Debug, Deserialize)]
struct Listening {
    event: String,
}

/// A monitor process of our own. Dropping it kills the process.
#[derive(Debug)]
pub struct MonitorProcess {
    command: MonitorCommand,
    child: Child,
    log: Arc<Mutex<VecDeque<String>>>,
    socket: PathBuf,
    restarts: u32,
    /// Held so that the directory lives as long as the process.
    _directory: tempfile::TempDir,
}

impl MonitorProcess {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// See [`MonitorError`].
    pub async fn start(command: MonitorCommand) -> Result<Self, MonitorError> {
        let directory =
            tempfile::Builder::new().prefix("ipw-").tempdir().map_err(MonitorError::Directory)?;
        let socket = directory.path().join("monitor.sock");
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let child = spawn(&command, &socket, &log).await?;
        Ok(Self { command, child, log, socket, restarts: 0, _directory: directory })
    }

    /// Ends it: asks, waits, then kills. False if it is still there, which takes a bounded time to
    /// find out.
    pub async fn stop(mut self) -> bool {
        terminate(&mut self.child).await
    }

    async fn ensure_running(&mut self) -> Result<(), SessionError> {
        let status = match self.child.try_wait() {
            Ok(None) => return Ok(()),
            Ok(Some(status)) => status.to_string(),
            Err(error) => error.to_string(),
        };
        if self.restarts >= RESTARTS {
            let last = last_lines(&self.log);
            return Err(SessionError::KeepsFailing(format!("{status}{last}")));
        }
        self.restarts += 1;
        tracing::warn!("the energy monitor ended ({status}); starting it again");
        // The dead one's socket would refuse the new one.
        let _ = std::fs::remove_file(&self.socket);
        self.child = spawn(&self.command, &self.socket, &self.log).await.map_err(|error| {
            SessionError::Unreachable {
                place: self.socket.display().to_string(),
                reason: error.to_string(),
            }
        })?;
        Ok(())
    }
}

async fn spawn(
    command: &MonitorCommand,
    socket: &Path,
    log: &Arc<Mutex<VecDeque<String>>>,
) -> Result<Child, MonitorError> {
    let mut process = Command::new(&command.program);
    process
        .arg("--uds")
        .arg(socket)
        .args(["--collection-interval-ms", &command.interval_ms.to_string()])
        .arg("--exit-with-parent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C goes to the terminal's whole group; the monitor must outlast the query in flight.
        .process_group(0)
        .kill_on_drop(true);
    if let Some(sources) = &command.sources {
        process.args(["--sources", sources]);
    }
    if let Some(tdp) = command.tdp_watts {
        process.args(["--tdp-watts", &tdp.to_string()]);
    }
    let program = || command.program.clone();
    let mut child =
        process.spawn().map_err(|source| MonitorError::Spawn { program: program(), source })?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(MonitorError::Start { program: program(), detail: String::new() });
    };
    let reader = tokio::spawn(keep_log(stderr, Arc::clone(log)));
    let failure = match tokio::time::timeout(START, first_line(stdout)).await {
        Ok(line) if is_listening(&line) => return Ok(child),
        Ok(line) if line.is_empty() => String::new(),
        Ok(line) => format!("; it said {line:?}"),
        Err(_) => format!(" within {} s", START.as_secs()),
    };
    // One that has closed its output is about to leave, and its own exit code says more than ours.
    let left = tokio::time::timeout(LEAVE, child.wait()).await;
    terminate(&mut child).await;
    let code = left.ok().and_then(Result::ok).and_then(|status| status.code());
    // Its last words may still be on their way.
    let _ = tokio::time::timeout(Duration::from_secs(1), reader).await;
    if code == Some(USAGE) {
        return Err(MonitorError::Usage { program: program(), detail: last_lines(log) });
    }
    Err(MonitorError::Start { program: program(), detail: failure + &last_lines(log) })
}

async fn first_line(stdout: impl AsyncRead + Unpin) -> String {
    let mut line = String::new();
    // A program that isn't a monitor may never end its line.
    let mut limited = BufReader::new(stdout).take(4096);
    match limited.read_line(&mut line).await {
        Ok(_) => line.trim_end().to_owned(),
        Err(error) => error.to_string(),
    }
}

fn is_listening(line: &str) -> bool {
    serde_json::from_str::<Listening>(line).is_ok_and(|line| line.event == "listening")
}

async fn keep_log(stderr: impl AsyncRead + Unpin, log: Arc<Mutex<VecDeque<String>>>) {
    let mut stderr = BufReader::new(stderr);
    loop {
        let mut bytes = Vec::new();
        // A program that isn't a monitor may never end its line.
        let mut limited = (&mut stderr).take(LOG_LINE_BYTES);
        match limited.read_until(b'\n', &mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        tracing::debug!(target: "energy_monitor", "{line}");
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == LOG_LINES {
            log.pop_front();
        }
        log.push_back(line);
    }
}

fn last_lines(log: &Mutex<VecDeque<String>>) -> String {
    let log = log.lock().unwrap_or_else(PoisonError::into_inner);
    log.iter().map(|line| format!("\n  {line}")).collect()
}

/// Sees a process off: asks, waits, then kills. False if it is still there.
async fn terminate(child: &mut Child) -> bool {
    drop(child.stdin.take());
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // It may have left by itself.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    tokio::time::timeout(LEAVE, child.wait()).await.is_ok() || end(child).await
}

/// Kills a process. False if it is still there.
async fn end(child: &mut Child) -> bool {
    let pid = child.id();
    // One that has just left by itself can't be killed.
    let _ = child.start_kill();
    is_gone(pid, child.wait(), LEAVE).await
}

/// Whether a killed process ends in time. One that sleeps in a driver dies when the driver lets it,
/// which may be never.
async fn is_gone<T>(pid: Option<u32>, ended: impl Future<Output = T>, patience: Duration) -> bool {
    let gone = tokio::time::timeout(patience, ended).await.is_ok();
    if !gone {
        tracing::warn!(pid, "the energy monitor doesn't die of SIGKILL; it is left behind");
    }
    gone
}

/// The way to a monitor of our own.
pub struct OwnMonitor(pub Arc<tokio::sync::Mutex<Option<MonitorProcess>>>);

#[async_trait]
impl MonitorLink for OwnMonitor {
    async fn place(&mut self) -> Result<Place, SessionError> {
        let mut held = self.0.lock().await;
        let Some(process) = held.as_mut() else {
            return Err(SessionError::KeepsFailing("it was stopped".to_owned()));
        };
        process.ensure_running().await?;
        Ok(Place::Socket(process.socket.clone()))
    }

    async fn end_hung(&mut self) {
        if let Some(process) = self.0.lock().await.as_mut() {
            tracing::warn!("the energy monitor hangs; ending it");
            // One that is stopped doesn't hear a request to leave. If even this fails, the next look
            // at it finds it running and comes here again.
            let _ = end(&mut process.child).await;
        }
    }
}

/// The way to a monitor that runs already.
pub struct RunningMonitor {
    /// `http://host:port` or `https://host:port`
    pub url: String,
    /// What it asks its clients for.
    pub token: Option<SecretString>,
}

#[async_trait]
impl MonitorLink for RunningMonitor {
    async fn place(&mut self) -> Result<Place, SessionError> {
        Ok(Place::Url { url: self.url.clone(), token: self.token.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listening_line_is_a_start() {
        assert!(is_listening(r#"{"event":"listening","address":"unix:/x","pid":1}"#));
        assert!(!is_listening(r#"{"event":"bye"}"#));
        assert!(!is_listening("hello"));
    }

    #[tokio::test]
    async fn a_process_that_can_not_die_is_left_behind() {
        let never = std::future::pending::<()>();
        assert!(!is_gone(Some(1), never, Duration::from_millis(10)).await);
        // It hears no request to leave.
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' TERM; echo; while :; do sleep 0.1; done"]).kill_on_drop(true);
        let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        first_line(child.stdout.take().unwrap()).await;
        assert!(terminate(&mut child).await);
    }

    #[tokio::test]
    async fn a_program_that_is_no_monitor_is_reported_with_what_it_said() {
        let command = MonitorCommand {
            program: "/bin/echo".into(),
            interval_ms: 50,
            sources: None,
            tdp_watts: None,
        };
        let error = MonitorProcess::start(command).await.unwrap_err().to_string();
        assert!(error.contains("/bin/echo didn't start; it said \"--uds"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_reported_by_name() {
        let command = MonitorCommand {
            program: "/nonexistent/monitor".into(),
            interval_ms: 50,
            sources: None,
            tdp_watts: None,
        };
        let error = MonitorProcess::start(command).await.unwrap_err().to_string();
        assert!(error.starts_with("can't run /nonexistent/monitor: No such file"), "{error}");
    }
}
