//! A run of the real `ipw profile`, with its own monitor, and what it left behind.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use e2e::fake_server::RequestLog;
use energy_proto::Nanos;
use fake_nvml::{ENVIRONMENT_VARIABLE, Model};
use ipw::record::ProfilingRecord;
use ipw::results::{RequestEntry, RequestKind, RequestOutcome, read_requests, read_rows};
use serde_json::{Value, json};

use crate::machine;

/// What `ipw profile` is to do.
pub(crate) struct Profile<'a> {
    /// As for `--client`.
    pub(crate) client: &'a str,
    /// The server's root.
    pub(crate) server: &'a str,
    /// The model's name.
    pub(crate) model: &'a str,
    /// What is asked, in this order.
    pub(crate) prompts: &'a [String],
    /// GPUs that its monitor finds; `None`: those of this machine.
    pub(crate) gpus: Option<&'a Model>,
    /// Further flags.
    pub(crate) flags: &'a [&'a str],
}

/// A query that was answered to its end.
#[derive(Debug)]
pub(crate) struct Query {
    /// Its times.
    pub(crate) request: RequestEntry,
    /// What was measured.
    pub(crate) row: ProfilingRecord,
}

impl Query {
    /// What the server noted of it, and of its first token.
    pub(crate) fn served<'a>(&self, chats: &'a [RequestLog]) -> Result<(&'a RequestLog, Nanos)> {
        let own = self.request.start..=self.request.end;
        let mut served = chats.iter().filter(|chat| own.contains(&chat.received));
        let served = served.next().with_context(|| {
            format!("the server knows nothing of query {}", self.row.query_index)
        })?;
        let written = served.token_writes.first().context("the server wrote no token")?;
        Ok((served, *written))
    }

    /// When its first token arrived.
    pub(crate) fn first_token(&self) -> Result<Nanos> {
        let index = self.row.query_index;
        self.request.first_token.with_context(|| format!("query {index} has no token"))
    }
}

impl Profile<'_> {
    /// Runs it. The queries in their order.
    pub(crate) fn run(&self) -> Result<Vec<Query>> {
        let scratch = tempfile::tempdir()?;
        let dataset = scratch.path().join("bench.jsonl");
        fs::write(&dataset, lines(self.prompts))?;
        let mut command = Command::new(machine::built("ipw")?);
        command
            .args(["profile", "--client", self.client, "--client-base-url", self.server])
            .args(["--model", self.model, "--dataset", "file", "--dataset-param"])
            .arg(format!("path={}", dataset.display()))
            .arg("--output-dir")
            .arg(scratch.path().join("runs"))
            .args(["--no-analysis", "--json"])
            .args(self.flags);
        if let Some(gpus) = self.gpus {
            install(gpus, scratch.path(), &mut command)?;
        }
        let directory = directory(&mut command)?;
        queries(&directory, self.prompts.len())
    }
}

fn lines(prompts: &[String]) -> String {
    let row = |prompt| json!({ "problem": prompt, "answer": "-", "subject": "bench" });
    prompts.iter().map(|prompt| row(prompt).to_string() + "\n").collect()
}

/// Puts the fake where a driver's library is looked for by `command` and its children.
fn install(gpus: &Model, scratch: &Path, command: &mut Command) -> Result<()> {
    let libraries = scratch.join("lib");
    fs::create_dir(&libraries)?;
    symlink(machine::built("libfake_nvml.so")?, libraries.join("libnvidia-ml.so.1"))?;
    command.env("LD_LIBRARY_PATH", libraries).env(ENVIRONMENT_VARIABLE, gpus.to_json()).args([
        "--sources",
        "nvml",
        "--gpus",
        "all",
    ]);
    Ok(())
}

/// Runs `ipw profile` to its end; where the run lies.
fn directory(command: &mut Command) -> Result<PathBuf> {
    let output = command.stdin(Stdio::null()).output().context("can't start ipw")?;
    if !output.status.success() {
        bail!("ipw profile: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let report: Value = serde_json::from_slice(&output.stdout).context("ipw gave no JSON")?;
    Ok(PathBuf::from(report["directory"].as_str().context("ipw named no directory")?))
}

fn queries(directory: &Path, expected: usize) -> Result<Vec<Query>> {
    let mut requests = read_requests(directory)?;
    requests.retain(|request| matches!(request.kind, RequestKind::Query | RequestKind::Retry));
    // The last attempt of each is the one that its row is of.
    let last = requests.into_iter().map(|request| (request.query_index, request));
    let requests: BTreeMap<_, _> = last.collect();
    let rows = read_rows(directory)?.collect::<Result<Vec<_>, _>>()?;
    ensure!(
        requests.len() == expected && rows.len() == expected,
        "{expected} queries gave {} requests and {} rows",
        requests.len(),
        rows.len()
    );
    requests.into_values().zip(rows).map(|(request, row)| Query::of(request, row)).collect()
}

impl Query {
    fn of(request: RequestEntry, row: ProfilingRecord) -> Result<Self> {
        let index = row.query_index;
        ensure!(request.query_index == Some(index), "row {index} has no request of its own");
        ensure!(
            request.outcome == RequestOutcome::Ok,
            "query {index} ended as {:?}: {:?}",
            request.outcome,
            request.error
        );
        Ok(Self { request, row })
    }
}
