//! The profiling run: server, hardware, directory, idle, warm-up, queries, tail, final pass. Unless it
//! is asked to be precise, no query waits for telemetry. Emits events, prints nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::client::{ClientError, InferenceClient, ServerInfo};
use crate::dataset::Dataset;
use crate::finalize::{self, Finished};
use crate::hardware::GpuChoice;
use crate::monitor::MonitorError;
use crate::results::{ResultsError, RunDirectory, RunStatus, Summary};
use crate::scoring::ScoreOptions;
use crate::telemetry::SessionError;

mod begin;
mod drive;
mod metering;
mod needed;
mod precise;
mod provenance;
mod recorder;
mod resume;
mod send;

pub use metering::{Energy, MonitorChoice};

use begin::Begun;
use metering::Metering;
use recorder::{Item, Recorder};
use send::Sender;

/// How long the hardware is watched at rest before the warm-up.
const IDLE: Duration = Duration::from_secs(3);

/// Items on their way to the recorder; it only falls behind while the disk stalls.
const RECORDER_QUEUE: usize = 64;

/// What to do about a run that is already in the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Refuse.
    Keep,
    /// Go on where it stopped, or start one.
    Resume {
        /// Whether queries that failed are sent again.
        retry_failed: bool,
    },
    /// Remove its files and start anew.
    Overwrite,
}

/// All that a run needs to know. Everything in it has been checked.
pub struct RunConfig {
    /// The server.
    pub client: Arc<dyn InferenceClient>,
    /// The model's name as the server knows it.
    pub model: String,
    /// The prompts, cut to the number asked for.
    pub dataset: Dataset,
    /// Sampling seed, part of a run's identity.
    pub seed: Option<u64>,
    /// Prompts to warm up with.
    pub warmup_queries: u32,
    /// Queries in flight at once, 1 or more.
    pub concurrency: usize,
    /// Queries are sent just after an update of the counter, with rest between them. For one in flight.
    pub precise: bool,
    /// Times a request is sent again when it failed before the first byte.
    pub retries: u32,
    /// Where runs go.
    pub output_dir: PathBuf,
    /// Appended to the directory's name.
    pub tag: Option<String>,
    /// What to do about an earlier run of that name.
    pub existing: Existing,
    /// Where telemetry comes from.
    pub energy: Energy,
    /// Which GPUs count.
    pub gpus: GpuChoice,
    /// Refuse to run without an energy basis.
    pub require_energy: bool,
    /// Whether answers are scored by their rules, and accuracy.json is written.
    pub analysis: bool,
    /// What was asked for, for the summary. No secrets.
    pub asked: Map<String, Value>,
}

/// What happens during a run, for whoever shows it.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A stage begins; the text is for people.
    Stage(String),
    /// The directory of the run.
    Directory(PathBuf),
    /// Something the user should know; also in the summary.
    Warning(String),
    /// The queries begin: so many are to do, so many are done from before.
    Queries {
        /// All of the run.
        total: usize,
        /// Those with a row already.
        done: usize,
    },
    /// A query ended.
    Query {
        /// Whether it was answered to the end.
        ok: bool,
        /// Generated tokens.
        output_tokens: Option<i64>,
        /// How long it took.
        seconds: f64,
    },
}

/// Where events go.
pub type Events = Arc<dyn Fn(Event) + Send + Sync>;

/// How a run ended.
#[derive(Debug)]
pub enum End {
    /// Every query has a row.
    Complete,
    /// The user stopped it.
    Interrupted,
    /// The server is gone, or fails every query.
    ServerLost(String),
}

/// A run that ended, with what it left behind.
#[derive(Debug)]
pub struct Run {
    /// How it ended.
    pub end: End,
    /// Where it lies.
    pub directory: PathBuf,
    /// Its records and figures.
    pub finished: Finished,
}

/// Why a run didn't happen, or broke off.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The server or the model.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The directory or a file in it.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// The monitor's process.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
    /// The monitor's connection.
    #[error(transparent)]
    Telemetry(#[from] SessionError),
    /// A flag's value doesn't fit what is here.
    #[error("{0}")]
    Usage(String),
    /// `--require-energy`, and there is none.
    #[error("no energy can be measured ({reason}), and --require-energy was given{remedy}")]
    NoEnergy {
        /// As in a row's `status`.
        reason: String,
        /// What would help.
        remedy: String,
    },
    /// The server was lost before there was anything to keep.
    #[error("{0}; nothing was recorded")]
    ServerLost(String),
    /// The user stopped it before there was anything to keep.
    #[error("interrupted before the first query; nothing was recorded")]
    Interrupted,
    /// A task of ours failed.
    #[error("internal error: {0}")]
    Internal(String),
}

/// Runs it. `stop` ends it early, keeping what is done.
///
/// # Errors
/// See [`RunError`]; what was committed before an error stays.
pub async fn run(
    config: RunConfig,
    events: Events,
    stop: CancellationToken,
) -> Result<Run, RunError> {
    tokio::select! {
        ready = check(&config, &events) => {
            let server = ready?;
            profile(config, server, events, stop).await
        }
        () = stop.cancelled() => Err(RunError::Interrupted),
    }
}

/// Everything that can be found wrong before any hardware is touched.
async fn check(config: &RunConfig, events: &Events) -> Result<ServerInfo, RunError> {
    events(Event::Stage(format!("checking the server at {}", config.client.base_url())));
    config.client.health().await?;
    begin::check_writable(&config.output_dir)?;
    events(Event::Stage(format!("loading {}", config.model)));
    let server = config.client.prepare().await?;
    for warning in server.warnings.iter().cloned().chain(begin::skipped_rows(&config.dataset)) {
        events(Event::Warning(warning));
    }
    Ok(server)
}

async fn profile(
    config: RunConfig,
    server: ServerInfo,
    events: Events,
    stop: CancellationToken,
) -> Result<Run, RunError> {
    let mut metering = tokio::select! {
        started = Metering::start(&config, &events) => started?,
        () = stop.cancelled() => return Err(RunError::Interrupted),
    };
    let recorded = record(&config, server, &mut metering, &events, &stop).await;
    events(Event::Stage("stopping the energy monitor".to_owned()));
    let monitor_cpu = metering.stop().await;
    let Recorded { directory, mut summary, end } = recorded?;
    summary.own.ipw_cpu_seconds += metering::own_cpu_seconds();
    summary.own.monitor_cpu_seconds = match (summary.own.monitor_cpu_seconds, monitor_cpu) {
        (Some(before), Some(now)) => Some(before + now),
        (before, now) => before.or(now),
    };
    close(&config, &directory, summary, end, &events)
}

/// A run whose last row is on disk.
struct Recorded {
    directory: RunDirectory,
    summary: Summary,
    end: End,
}

/// From the directory to the last row.
async fn record(
    config: &RunConfig,
    server: ServerInfo,
    metering: &mut Metering,
    events: &Events,
    stop: &CancellationToken,
) -> Result<Recorded, RunError> {
    let begun = begin::begin(config, server, metering, events)?;
    let mut recorder = Recorder::open(&begun, config, metering)?;
    let Begun { directory, queries, resumed, .. } = begun;
    if !queries.todo.is_empty() {
        rest(metering, &mut recorder, events, stop).await?;
    }
    let (items, inbox) = tokio::sync::mpsc::channel(RECORDER_QUEUE);
    let sender = Arc::new(Sender {
        client: Arc::clone(&config.client),
        retries: config.retries,
        segment: recorder.segment(),
        items,
        needed: recorder.needed(),
        stop: stop.child_token(),
        looked: Default::default(),
    });
    let recording = tokio::spawn(recorder.run(inbox));
    let driven = drive::drive(config, &queries, &sender, metering, events).await;
    if let Some(session) = metering.session() {
        // A recorder that is gone has failed, which its own error says.
        let _ = sender.record(Item::Sensors(session.sensors().await)).await;
    }
    drop(sender);
    let summary = recording.await.map_err(|error| RunError::Internal(error.to_string())).flatten();
    // The recorder's own error says why there was no one to send to.
    let summary = summary?;
    let empty = summary.queries.rows() == 0;
    match driven {
        Err(error) if empty && !resumed => {
            directory.discard()?;
            Err(error)
        }
        Ok(End::Interrupted) if empty && !resumed => {
            directory.discard()?;
            Err(RunError::Interrupted)
        }
        Ok(End::ServerLost(reason)) if empty && !resumed => {
            directory.discard()?;
            Err(RunError::ServerLost(reason))
        }
        // What an earlier part of the run has done is made final all the same.
        Err(RunError::Client(error)) => {
            Ok(Recorded { directory, summary, end: End::ServerLost(error.to_string()) })
        }
        driven => Ok(Recorded { directory, summary, end: driven? }),
    }
}

/// Watches the hardware at rest, so that idle power is known.
async fn rest(
    metering: &Metering,
    recorder: &mut Recorder,
    events: &Events,
    stop: &CancellationToken,
) -> Result<(), RunError> {
    if metering.meter().basis.is_err() {
        return Ok(());
    }
    events(Event::Stage(format!("measuring idle power for {} s", IDLE.as_secs())));
    let start = energy_proto::monotonic_now();
    tokio::select! {
        () = tokio::time::sleep(IDLE) => {}
        // A shorter window would be no baseline.
        () = stop.cancelled() => return Ok(()),
    }
    let end = energy_proto::monotonic_now();
    if let Some(session) = metering.session() {
        // By now it has watched its sensors for long enough.
        recorder.learn(session.sensors().await);
    }
    recorder.set_idle(start, end)?;
    Ok(())
}

/// The final pass over the run: from what is on disk to the records and figures that stay.
fn close(
    config: &RunConfig,
    directory: &RunDirectory,
    mut summary: Summary,
    end: End,
    events: &Events,
) -> Result<Run, RunError> {
    summary.status = match &end {
        End::Complete => RunStatus::Complete,
        End::Interrupted => RunStatus::Interrupted,
        End::ServerLost(_) => RunStatus::Failed,
    };
    summary.end_time = Some(begin::now());
    events(Event::Stage("making the final figures".to_owned()));
    let finished = tokio::task::block_in_place(|| {
        let options = config.analysis.then(ScoreOptions::default);
        finalize::finalize(directory, summary, options.as_ref())
    })?;
    let complete = matches!(end, End::Complete);
    if complete && config.require_energy && finished.summary.totals.energy_queries == 0 {
        return Err(RunError::NoEnergy {
            reason: finished.summary.energy.status,
            remedy: format!(": see the warnings in {}", directory.path().display()),
        });
    }
    Ok(Run { end, directory: directory.path().to_owned(), finished })
}

/// The directory's name: hardware, model, dataset, and the tag if there is one.
fn directory_name(hardware: &str, model: &str, dataset: &str, tag: Option<&str>) -> String {
    let mut parts = vec!["profile".to_owned()];
    parts.extend([hardware, model, dataset].into_iter().chain(tag).map(crate::results::slug));
    parts.join("_")
}

fn run_path(config: &RunConfig, hardware: &str) -> PathBuf {
    let name = directory_name(hardware, &config.model, &config.dataset.id, config.tag.as_deref());
    Path::new(&config.output_dir).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_glob_finds_the_directory() {
        assert_eq!(
            directory_name("H100", "llama3.2:1b", "ipw", None),
            "profile_H100_llama3.2_1b_ipw"
        );
        assert_eq!(
            directory_name("M4", "meta/llama", "file-my set", Some("try 2")),
            "profile_M4_meta_llama_file-my_set_try_2"
        );
    }
}
