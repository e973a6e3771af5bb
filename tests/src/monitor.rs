//! The real `energy-monitor` program under test: started, read as its clients read it, and never
//! left behind.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use energy_proto::pb;
use energy_proto::pb::energy_monitor_client::EnergyMonitorClient;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

/// Longer than anything here takes, on a machine that does other things too.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One of our programs, where cargo has put it: `target/<profile>/<name>`.
///
/// # Panics
/// If it isn't there.
#[must_use]
pub fn bin(name: &str) -> PathBuf {
    let executable = std::env::current_exe().expect("a test knows its own path");
    let profile = executable.ancestors().nth(2).expect("a test lies in target/<profile>/deps");
    let program = profile.join(name);
    assert!(program.is_file(), "{} is missing: cargo build -p {name}", program.display());
    program
}

/// The monitor with these arguments, on a sysfs without any counter unless they name another.
#[must_use]
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(bin("energy-monitor"));
    // Of two the last holds.
    command.args(["--sysfs-root", "/nonexistent/sysfs"]).args(arguments);
    command.env("RUST_LOG", "warn").env_remove("FAKE_NVML");
    command
}

/// Runs a monitor that is expected to end by itself.
///
/// # Panics
/// If it can't be started.
#[must_use]
pub fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("the monitor starts")
}

/// The one line on its standard output.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Listening {
    pub event: String,
    pub address: String,
    pub api: String,
    pub pid: u32,
    pub sensors: usize,
    #[serde(default)]
    pub metrics: Option<String>,
}

/// A monitor that serves; killed when it is dropped.
#[derive(Debug)]
pub struct Monitor {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// What it said when it began to serve.
    pub listening: Listening,
}

impl Monitor {
    /// Starts one and waits until it serves. Its standard input stays open.
    ///
    /// # Panics
    /// If it doesn't say that it listens.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the monitor starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("it was piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("its output can be read");
        let listening = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("no listening line but {line:?}: {error}"));
        Self { child, stdout, listening }
    }

    /// A client of it.
    ///
    /// # Panics
    /// If it can't be connected to.
    pub async fn client(&self) -> EnergyMonitorClient<Channel> {
        EnergyMonitorClient::new(self.channel().await)
    }

    /// A connection to it.
    ///
    /// # Panics
    /// If it can't be connected to.
    pub async fn channel(&self) -> Channel {
        self.endpoint().connect().await.expect("it accepts connections")
    }

    /// How it is connected to.
    ///
    /// # Panics
    /// If it listens on something that is no address.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        let address = &self.listening.address;
        let uri = if address.starts_with("unix:") {
            address.clone()
        } else {
            format!("http://{address}")
        };
        Endpoint::from_shared(uri).expect("it listens on an address")
    }

    /// Its readings, as a client of this workspace gets them, from the first on that has every sensor:
    /// on a busy machine a source's first answer may come after the first tick.
    ///
    /// # Panics
    /// If there is none.
    pub async fn readings(&self) -> Readings {
        let request =
            pb::StreamRequest { client_api: energy_proto::CLIENT_API, ..Default::default() };
        let stream = self.client().await.stream_telemetry(request).await;
        let mut readings =
            Readings { stream: stream.expect("it streams").into_inner(), first: None };
        let complete = readings.until(|reading| reading.sensors.len() == self.listening.sensors);
        readings.first = complete.await.pop();
        readings
    }

    /// Its description.
    ///
    /// # Panics
    /// If it doesn't describe itself.
    pub async fn describe(&self) -> energy_proto::Description {
        let response = self.client().await.describe(pb::DescribeRequest {}).await;
        response.expect("it describes itself").into_inner().into()
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("Linux has no greater ones"))
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it is gone already.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("it runs");
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for its end, and gives what else it wrote on standard output too.
    ///
    /// # Panics
    /// If it goes on for longer than `limit`.
    pub fn ends_within(mut self, limit: Duration) -> (ExitStatus, String) {
        let asked = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                break status;
            }
            assert!(asked.elapsed() < limit, "it still runs after {limit:?}");
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("its output can be read");
        (status, rest)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A stream of readings.
#[derive(Debug)]
pub struct Readings {
    stream: Streaming<pb::TelemetryReading>,
    /// Read already, and not yet given.
    first: Option<pb::TelemetryReading>,
}

impl Readings {
    /// The next one; nothing when the stream has ended.
    ///
    /// # Panics
    /// If none comes for too long, or the stream fails.
    pub async fn next(&mut self) -> Option<pb::TelemetryReading> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let next = tokio::time::timeout(PATIENCE, self.stream.message()).await;
        next.expect("readings come").expect("the stream does not fail")
    }

    /// Readings up to and with the first that satisfies a condition.
    ///
    /// # Panics
    /// If none does for too long.
    pub async fn until(
        &mut self,
        condition: impl Fn(&pb::TelemetryReading) -> bool,
    ) -> Vec<pb::TelemetryReading> {
        let mut readings = Vec::new();
        let search = async {
            loop {
                let reading = self.next().await.expect("the stream goes on");
                let found = condition(&reading);
                readings.push(reading);
                if found {
                    break;
                }
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, search).await.is_ok();
        assert!(in_time, "none of {} readings, the last {:#?}", readings.len(), readings.last());
        readings
    }

    /// So many readings.
    ///
    /// # Panics
    /// If the stream ends before.
    pub async fn take(&mut self, count: usize) -> Vec<pb::TelemetryReading> {
        let mut readings = Vec::with_capacity(count);
        while readings.len() < count {
            readings.push(self.next().await.expect("the stream goes on"));
        }
        readings
    }
}

/// A sensor's part of a reading.
#[must_use]
pub fn sensor(reading: &pb::TelemetryReading, id: u32) -> Option<&pb::SensorReading> {
    reading.sensors.iter().find(|sensor| sensor.sensor == id)
}
