//! `cargo xtask demo`: the main job on real parts, from a fresh clone.
//!
//! Builds both programs, starts llama.cpp's server with a model of 135 million parameters, has
//! `ipw profile` send it 20 queries, and says where the results lie. Where no energy can be
//! measured, it is estimated from CPU time, and called so.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::process::{Background, describe};
use crate::python;
use crate::steps::{self, Steps};
use crate::workspace::Workspace;

/// Watts of a usual desktop processor, for the estimate: a machine that shows its counters needs no
/// such figure, and one that hides them doesn't tell its own.
const DEFAULT_TDP_WATTS: f64 = 65.0;
/// It loads in under a second; a first read of the model from a slow disk takes longer.
const SERVER_START_LIMIT: Duration = Duration::from_secs(120);
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
/// More threads than that don't make so small a model faster.
const MOST_SERVER_THREADS: usize = 4;
/// What `ipw profile` is asked for, beside the server's address and the energy source.
const PROFILE: [&str; 9] = [
    "profile",
    "--client=openai",
    "--model=smollm2:135m",
    "--dataset=ipw",
    "--max-queries=20",
    "--max-tokens=128",
    "--temperature=0",
    // Each query pays for its own prompt, as in a first meeting.
    "--client-param=cache_prompt=false",
    // The second demo replaces the first.
    "--overwrite",
];
/// What lies in a run's folder afterwards.
const FILES: [(&str, &str); 6] = [
    ("report.html", "all of it on one page, for a browser"),
    ("data-00000-of-00001.arrow", "one row a query: prompt, answer, energy, latency, verdict"),
    ("summary.json", "the run: hardware, totals, energy, warnings"),
    ("analysis/accuracy.json", "accuracy, and accuracy per joule and per watt"),
    ("telemetry.arrow", "each reading of each sensor"),
    ("requests.jsonl", "each request with its times"),
];

/// What the command line of the demo can say.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    tdp_watts: f64,
}

impl Options {
    /// Reads the arguments after `demo`.
    ///
    /// # Errors
    /// In words, if one isn't known or isn't a power in watts.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        match arguments {
            [] => Ok(Self { tdp_watts: DEFAULT_TDP_WATTS }),
            [flag, watts] if flag == "--tdp-watts" => Ok(Self { tdp_watts: parse_watts(watts)? }),
            other => Err(format!("error: `{}` is not an option of demo", other.join(" "))),
        }
    }
}

fn parse_watts(text: &str) -> Result<f64, String> {
    let watts = text.parse().ok().filter(|watts: &f64| watts.is_finite() && *watts > 0.0);
    watts
        .ok_or_else(|| format!("error: --tdp-watts takes a positive number of watts, not `{text}`"))
}

/// Runs the demo.
///
/// # Errors
/// At the first step that fails; the server is stopped all the same.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let steps = Steps::start();
    // First what may be missing on this machine, then what takes long.
    let python = python::DEMO.ready(workspace, &steps)?;
    build(workspace, &steps)?;
    let server = Server::start(workspace, &steps, &python, server_threads())?;
    let energy = energy_flags(workspace, &steps, options)?;
    let runs = workspace.target.join("demo-runs");
    profile(workspace, &steps, &server.url, &energy, &runs)?;
    drop(server);
    let run = newest_run(&runs)?;
    let mut page = Command::new(workspace.release_binary("ipw"));
    workspace.processes.quiet("report", page.arg("report").arg(&run))?;
    steps.announce("done, the server is stopped");
    steps::result(&where_it_lies(workspace, &run)?);
    Ok(())
}

fn build(workspace: &Workspace, steps: &Steps) -> Result<()> {
    steps.announce("building ipw and energy-monitor in release (minutes from cold)");
    let mut build =
        workspace.cargo(&["build", "--quiet", "--release", "-p", "ipw", "-p", "energy-monitor"]);
    workspace.processes.quiet("build-release", &mut build).map(drop)
}

/// llama.cpp's server, stopped when this is dropped.
pub(crate) struct Server {
    /// Its root.
    pub(crate) url: String,
    _process: Background,
}

impl Server {
    /// Starts it with so many threads that generate, and waits until it is ready.
    ///
    /// # Errors
    /// If it ends, or isn't ready in time.
    pub(crate) fn start(
        workspace: &Workspace,
        steps: &Steps,
        python: &Path,
        threads: usize,
    ) -> Result<Self> {
        steps.announce(&format!(
            "starting llama.cpp's server with SmolLM2-135M, {threads} thread(s)"
        ));
        let mut command = Command::new(python);
        command.arg(workspace.root.join("xtask/demo/server.py")).args([
            "--exit-with-parent",
            "--threads",
            &threads.to_string(),
        ]);
        let mut process = workspace.processes.background("demo-server", &mut command)?;
        let url = workspace.processes.wait_for(&mut process, SERVER_START_LIMIT, listening_url)?;
        let healthy = |_: &Background| Ok(is_healthy(&url).then_some(()));
        workspace.processes.wait_for(&mut process, SERVER_START_LIMIT, healthy)?;
        Ok(Self { url, _process: process })
    }
}

/// One core stays free for those who measure.
fn server_threads() -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    (cores - 1).clamp(1, MOST_SERVER_THREADS)
}

fn listening_url(server: &Background) -> Result<Option<String>> {
    parse_listening(&server.output()?)
}

/// The address in the server's one line, once the line is complete.
fn parse_listening(output: &str) -> Result<Option<String>> {
    let Some((line, _)) = output.split_once('\n') else { return Ok(None) };
    let event: Value = serde_json::from_str(line)
        .with_context(|| format!("the server's first line is not JSON: {line}"))?;
    let url = event["url"].as_str().with_context(|| format!("no url in {line}"))?;
    Ok(Some(url.to_owned()))
}

/// Whether `GET /health` answers 200.
fn is_healthy(url: &str) -> bool {
    health_status(url).is_ok_and(|status| status == "200")
}

fn health_status(url: &str) -> Result<String> {
    let address = url.strip_prefix("http://").context("the server speaks plain http")?;
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(HEALTH_TIMEOUT))?;
    write!(stream, "GET /health HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    // "HTTP/1.1 200": the twelve bytes that are the same for every reason phrase.
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    Ok(String::from_utf8_lossy(&start[9..]).into_owned())
}

/// The flags that choose the estimate where nothing can be measured; none otherwise.
fn energy_flags(workspace: &Workspace, steps: &Steps, options: &Options) -> Result<Vec<String>> {
    let mut command = Command::new(workspace.release_binary("energy-monitor"));
    command.args(["--describe", "--json"]);
    let output = workspace.processes.quiet("describe", &mut command)?;
    let description = serde_json::from_str(&output)
        .with_context(|| format!("energy-monitor --describe --json gave no JSON: {output}"))?;
    let measuring = measuring_sensors(&description)?;
    if !measuring.is_empty() {
        steps.announce(&format!("energy is measured by: {}", measuring.join(", ")));
        return Ok(vec!["--sources=rapl".to_owned()]);
    }
    let watts = options.tdp_watts;
    steps.announce(&format!(
        "no energy counter can be read here: energy is ESTIMATED, CPU busy share x {watts} W \
         (--tdp-watts)"
    ));
    Ok(vec!["--sources=estimate".to_owned(), format!("--tdp-watts={watts}")])
}

/// Names of the CPU's sensors that give energy or power at the moment. The demo's server runs on the
/// CPU: a GPU that some desktop uses would measure something else.
fn measuring_sensors(description: &Value) -> Result<Vec<String>> {
    let sensors = description["sensors"].as_array().context("the description has no sensors")?;
    let measuring = sensors.iter().filter(|sensor| measures_energy(sensor));
    Ok(measuring.filter_map(|sensor| sensor["name"].as_str().map(str::to_owned)).collect())
}

fn measures_energy(sensor: &Value) -> bool {
    let figures = sensor["measures"].as_array().into_iter().flatten();
    sensor["kind"] == "cpu_package"
        && sensor["status"] == "ok"
        && figures.into_iter().any(|figure| figure == "energy" || figure == "power")
}

fn profile(
    workspace: &Workspace,
    steps: &Steps,
    url: &str,
    energy: &[String],
    runs: &Path,
) -> Result<()> {
    let mut command = Command::new(workspace.release_binary("ipw"));
    command
        .args(PROFILE)
        .args(energy)
        .arg("--client-base-url")
        .arg(url)
        .arg("--output-dir")
        .arg(runs);
    steps.announce(&format!("profiling 20 queries: {}", typed(workspace, &command)));
    let status = workspace.processes.shown(&mut command)?;
    ensure!(status.success(), "ipw profile: {}; what it says is above", describe(status));
    Ok(())
}

/// A command as one would type it.
fn typed(workspace: &Workspace, command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| workspace.shown(Path::new(word))).collect::<Vec<_>>().join(" ")
}

/// The run that was written last: its name holds what only `ipw` knows, the hardware's label.
fn newest_run(runs: &Path) -> Result<PathBuf> {
    let folders = fs::read_dir(runs).with_context(|| format!("can't read {}", runs.display()))?;
    folders
        .filter_map(|entry| dated_run(&entry.ok()?.path()))
        .max()
        .map(|(_, run)| run)
        .with_context(|| format!("no run in {}", runs.display()))
}

fn dated_run(folder: &Path) -> Option<(SystemTime, PathBuf)> {
    let written = fs::metadata(folder.join("summary.json")).ok()?.modified().ok()?;
    Some((written, folder.to_owned()))
}

/// Where everything lies.
///
/// # Errors
/// If a file that a run must have is missing.
fn where_it_lies(workspace: &Workspace, run: &Path) -> Result<String> {
    let mut text = format!("\nEverything is in {}\n", workspace.shown(run));
    for (file, meaning) in FILES {
        if !run.join(file).is_file() {
            bail!("the run has no {file}: {}", run.display());
        }
        text += &format!("  {file:<26} {meaning}\n");
    }
    let ipw = workspace.release_binary("ipw");
    text += &format!(
        "Print the result again: {} analyze {}",
        workspace.shown(&ipw),
        workspace.shown(run)
    );
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;
    use std::net::TcpListener;

    use serde_json::json;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, String> {
        Options::parse(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn the_tdp_has_a_default_and_can_be_told() {
        assert_eq!(parse(&[]), Ok(Options { tdp_watts: DEFAULT_TDP_WATTS }));
        assert_eq!(parse(&["--tdp-watts", "15"]), Ok(Options { tdp_watts: 15.0 }));
    }

    #[test]
    fn a_tdp_that_is_no_positive_number_is_refused() {
        for watts in ["0", "-5", "NaN", "inf", "many", ""] {
            assert!(parse(&["--tdp-watts", watts]).is_err(), "{watts}");
        }
    }

    #[test]
    fn an_unknown_option_is_named() {
        assert!(parse(&["--fast"]).unwrap_err().contains("--fast"));
        assert!(parse(&["--tdp-watts"]).unwrap_err().contains("--tdp-watts"));
    }

    #[test]
    fn the_servers_line_counts_only_once_it_is_complete() {
        assert_eq!(parse_listening("").unwrap(), None);
        assert_eq!(parse_listening(r#"{"url":"http://127.0"#).unwrap(), None);
        let line = "{\"event\":\"listening\",\"url\":\"http://127.0.0.1:9\"}\n";
        assert_eq!(parse_listening(line).unwrap().unwrap(), "http://127.0.0.1:9");
        assert!(parse_listening("Traceback\n").is_err());
    }

    #[test]
    fn a_sensor_counts_only_if_it_measures_the_cpus_energy_and_works() {
        let sensor = |kind: &str, name: &str, measures: &[&str], status: &str| json!({"kind": kind, "name": name, "measures": measures, "status": status});
        let description = json!({"sensors": [
            sensor("cpu_package", "package-0", &["energy"], "permission_denied"),
            sensor("memory", "memory", &["memory"], "ok"),
            sensor("gpu", "a desktop's GPU", &["energy", "power"], "ok"),
            sensor("cpu_package", "package-1", &["energy"], "ok"),
        ]});
        assert_eq!(measuring_sensors(&description).unwrap(), ["package-1"]);
        assert!(measuring_sensors(&json!({"sensors": []})).unwrap().is_empty());
        assert!(measuring_sensors(&json!({})).is_err());
    }

    fn serve_once(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let request = std::io::BufReader::new(stream.try_clone().unwrap());
            let _ = request
                .lines()
                .take_while(|line| line.as_ref().is_ok_and(|l| !l.is_empty()))
                .count();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        url
    }

    #[test]
    fn a_server_is_healthy_when_it_answers_200_and_not_while_it_loads() {
        assert!(is_healthy(&serve_once("HTTP/1.1 200 OK\r\n\r\n")));
        assert!(!is_healthy(&serve_once("HTTP/1.1 503 Service Unavailable\r\n\r\n")));
        assert!(!is_healthy(&serve_once("HTTP")));
    }

    #[test]
    fn the_newest_run_is_the_one_whose_summary_was_written_last() {
        let runs = tempfile::tempdir().unwrap();
        for (name, age_seconds) in [("older", 100), ("newest", 1), ("old", 50)] {
            let run = runs.path().join(name);
            fs::create_dir(&run).unwrap();
            let summary = fs::File::create(run.join("summary.json")).unwrap();
            summary.set_modified(SystemTime::now() - Duration::from_secs(age_seconds)).unwrap();
        }
        fs::create_dir(runs.path().join("not-a-run")).unwrap();
        assert_eq!(newest_run(runs.path()).unwrap(), runs.path().join("newest"));
    }
}
