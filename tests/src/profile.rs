//! The real `ipw` program under test: run in a directory of its own, with a monitor whose hardware the
//! test chooses, and its run read back with the library that wrote it.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use ipw::record::ProfilingRecord;
use ipw::results::{RequestEntry, RequestKind, Summary, read_requests, read_rows, read_summary};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::fake_nvml;
use crate::monitor::{PATIENCE, bin};
use crate::sysfs::Sysfs;

/// What the monitor of a test finds.
#[derive(Debug)]
pub enum Hardware<'a> {
    /// No counter at all.
    None,
    /// These fake GPUs.
    Gpus(&'a ::fake_nvml::Model),
    /// This sysfs.
    Sysfs(&'a Sysfs),
}

/// A place for runs.
#[derive(Debug)]
pub struct Place {
    directory: TempDir,
    monitor: PathBuf,
    nvml: Option<String>,
}

impl Place {
    /// An empty one, with this hardware.
    ///
    /// # Panics
    /// If temporary files can't be written.
    #[must_use]
    pub fn new(hardware: &Hardware<'_>) -> Self {
        let directory = tempfile::tempdir().expect("temporary files can be written");
        let empty = directory.path().join("empty-sysfs");
        fs::create_dir(&empty).expect("temporary files can be written");
        let (sysfs, library, nvml) = match hardware {
            Hardware::None => (empty.as_path(), "/nonexistent/libnvidia-ml.so".into(), None),
            Hardware::Gpus(model) => (empty.as_path(), fake_nvml::library(), Some(model.to_json())),
            Hardware::Sysfs(sysfs) => (sysfs.root(), "/nonexistent/libnvidia-ml.so".into(), None),
        };
        // ipw passes no flag for injected hardware on; a monitor that is a script adds it.
        let script = format!(
            "#!/bin/sh\nexec '{}' \"$@\" --sysfs-root '{}' --nvml-library '{}'\n",
            bin("energy-monitor").display(),
            sysfs.display(),
            library.display()
        );
        let monitor = directory.path().join("monitor.sh");
        fs::write(&monitor, script).expect("temporary files can be written");
        fs::set_permissions(&monitor, fs::Permissions::from_mode(0o755)).expect("we own it");
        Self { directory, monitor, nvml }
    }

    /// Where runs go.
    #[must_use]
    pub fn runs(&self) -> PathBuf {
        self.directory.path().join("runs")
    }

    /// Writes a dataset of so many prompts, `What is 0?`, `What is 1?` ..., whose answer is `B`.
    ///
    /// # Panics
    /// If it can't be written.
    #[must_use]
    pub fn dataset(&self, prompts: usize) -> PathBuf {
        let rows: String = (0..prompts)
            .map(|index| {
                let problem = format!("What is {index}?\nA. one\nB. two");
                format!(
                    "{}\n",
                    serde_json::json!({"problem": problem, "answer": "B", "subject": "numbers"})
                )
            })
            .collect();
        let path = self.directory.path().join("prompts.jsonl");
        fs::write(&path, rows).expect("temporary files can be written");
        path
    }

    /// `ipw` with these arguments, in this place, free of what this machine's environment sets.
    #[must_use]
    pub fn ipw(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(bin("ipw"));
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env("IPW_ENERGY_MONITOR", &self.monitor)
            .env_remove("FAKE_NVML")
            .stdin(Stdio::null());
        for name in [
            "IPW_CLIENT_API_KEY",
            "IPW_EVAL_API_KEY",
            "OPENAI_API_KEY",
            "IPW_LOG",
            "HTTP_PROXY",
            "http_proxy",
            "ALL_PROXY",
        ] {
            command.env_remove(name);
        }
        if let Some(nvml) = &self.nvml {
            command.env(::fake_nvml::ENVIRONMENT_VARIABLE, nvml);
        }
        command
    }

    /// `ipw profile` of the model `fake:1b` with this client, server and number of prompts.
    #[must_use]
    pub fn profile(&self, client: &str, url: &str, prompts: usize, more: &[&str]) -> Command {
        let path = format!("path={}", self.dataset(prompts).display());
        let mut command = self.ipw(&["profile", "--client", client, "--model", "fake:1b"]);
        command
            .args(["--client-base-url", url, "--dataset", "file", "--dataset-param", &path])
            .args(["--output-dir", "runs"])
            .args(more);
        command
    }

    /// The one run in this place.
    ///
    /// # Panics
    /// If there is none, or more than one.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        let mut runs: Vec<PathBuf> = fs::read_dir(self.runs())
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        assert_eq!(runs.len(), 1, "one run: {runs:?}");
        runs.remove(0)
    }

    /// Whether there is no run.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        fs::read_dir(self.runs()).map_or(true, |mut entries| entries.next().is_none())
    }

    /// Processes of monitors that this place started.
    #[must_use]
    pub fn monitors(&self) -> Vec<Pid> {
        let mark = self.directory.path().to_string_lossy().into_owned();
        processes()
            .filter(|(_, line)| line.contains("energy-monitor") && line.contains(&mark))
            .map(|(pid, _)| pid)
            .collect()
    }
}

/// Every process that shows its command line.
fn processes() -> impl Iterator<Item = (Pid, String)> {
    let entries = fs::read_dir("/proc").expect("Linux has it").flatten();
    entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        Some((Pid::from_raw(pid), String::from_utf8_lossy(&line).replace('\0', " ")))
    })
}

/// How a program ended, and what it said.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its exit code; `None`: a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs a program to its end.
///
/// # Panics
/// If it can't be started.
pub fn run(command: &mut Command) -> Ended {
    command.output().expect("the program starts").into()
}

/// A program on its way; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts it.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn start(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Self { child: child.expect("the program starts") }
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it is gone already.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("Linux has no greater ones");
        kill(Pid::from_raw(pid), signal).expect("it runs");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it goes on for too long.
    pub fn end(mut self) -> Ended {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE * 2, "it still runs");
            std::thread::sleep(Duration::from_millis(10));
        };
        let mut ended = Ended { code: status.code(), stdout: String::new(), stderr: String::new() };
        let stdout = self.child.stdout.take().expect("it was piped");
        let stderr = self.child.stderr.take().expect("it was piped");
        read_to_end(stdout, &mut ended.stdout);
        read_to_end(stderr, &mut ended.stderr);
        ended
    }
}

fn read_to_end(mut from: impl Read, into: &mut String) {
    from.read_to_string(into).expect("it says UTF-8");
}

impl Drop for Running {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is so.
///
/// # Panics
/// If it isn't for too long.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A run as it lies on disk.
#[derive(Debug)]
pub struct Recorded {
    /// summary.json
    pub summary: Summary,
    /// The rows.
    pub records: Vec<ProfilingRecord>,
    /// requests.jsonl
    pub requests: Vec<RequestEntry>,
}

impl Recorded {
    /// Reads it.
    ///
    /// # Panics
    /// If a file of it can't be read.
    #[must_use]
    pub fn read(run: &Path) -> Self {
        let rows = read_rows(run).expect("rows can be read");
        Self {
            summary: read_summary(run).expect("the summary can be read"),
            records: rows.collect::<Result<_, _>>().expect("each row can be read"),
            requests: read_requests(run).expect("requests can be read"),
        }
    }

    /// Whether the one run in a place is complete, and so what it recorded.
    #[must_use]
    pub fn try_complete(place: &Place) -> Option<Self> {
        let complete = !place.is_empty()
            && read_summary(&place.run())
                .is_ok_and(|summary| summary.status == ipw::results::RunStatus::Complete);
        complete.then(|| Self::read(&place.run()))
    }

    /// The last request of a query.
    ///
    /// # Panics
    /// If it has none.
    #[must_use]
    pub fn request(&self, query_index: i64) -> &RequestEntry {
        let own = |entry: &&RequestEntry| {
            entry.query_index == Some(query_index) && entry.kind != RequestKind::Warmup
        };
        self.requests.iter().rfind(own).expect("every row has a request")
    }
}

/// A file of JSON.
///
/// # Panics
/// If it can't be read or isn't JSON.
#[must_use]
pub fn json(path: &Path) -> Value {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("it is JSON")
}

/// Says that a test could not do its work here, and why.
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
pub fn skipped(reason: &str) {
    eprintln!("SKIPPED: {reason}");
}
