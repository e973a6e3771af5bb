//! The directory of a run and its first summary: a new one, or an earlier one that goes on.

use std::collections::BTreeMap;
use std::path::Path;

use energy_proto::ClockAnchor;

use super::metering::Metering;
use super::resume::{self, Plan};
use super::{Event, Events, Existing, RunConfig, RunError, run_path};
use crate::client::ServerInfo;
use crate::dataset::Dataset;
use crate::hardware;
use crate::results::{
    AttributionState, Hardware, QueryCounts, ResultsError, RunDirectory, RunStatus, SCHEMA_VERSION,
    SUMMARY_FILE, Segment, Summary, read_summary,
};

/// A run that can start.
pub(super) struct Begun {
    pub(super) directory: RunDirectory,
    pub(super) summary: Summary,
    pub(super) queries: Plan,
    /// Its files are there already.
    pub(super) resumed: bool,
}

/// The present time, RFC 3339.
pub(super) fn now() -> String {
    jiff::Timestamp::now().to_string()
}

/// Makes the directory of runs and sees whether it takes a file, before anything costly is done.
pub(super) fn check_writable(output_dir: &Path) -> Result<(), ResultsError> {
    let refused = |source| ResultsError::NotWritable { path: output_dir.to_owned(), source };
    std::fs::create_dir_all(output_dir).map_err(refused)?;
    tempfile::tempfile_in(output_dir).map_err(refused)?;
    Ok(())
}

/// Names and holds the directory, and says what is left to do in it.
pub(super) fn begin(
    config: &RunConfig,
    server: ServerInfo,
    metering: &Metering,
    events: &Events,
) -> Result<Begun, RunError> {
    let meter = metering.meter();
    let cpu = metering.description().map_or("", |told| &told.system_info.cpu_brand);
    let label = hardware::label(&meter.sensors, &meter.counted, cpu);
    let path = run_path(config, &label);
    let (directory, resumed) = hold(config.existing, &path)?;
    events(Event::Directory(path.clone()));

    let mut fresh = first_summary(config, server, metering, &label, &path);
    let (mut summary, queries) = match config.existing {
        Existing::Resume { retry_failed } if resumed => {
            let earlier = read_summary(&path)?;
            let queries = resume::plan(config, &fresh, &earlier, &path, retry_failed)?;
            if let Some(warning) = resume::another_concurrency(&fresh, &earlier) {
                events(Event::Warning(warning.clone()));
                fresh.warnings.push(warning);
            }
            (resume::go_on(earlier, fresh), queries)
        }
        _ => (fresh, Plan::all(&config.dataset)),
    };
    summary.segments.push(segment(metering));
    Ok(Begun { directory, summary, queries, resumed })
}

/// The directory, and whether an earlier run in it goes on.
fn hold(existing: Existing, path: &Path) -> Result<(RunDirectory, bool), ResultsError> {
    match existing {
        Existing::Overwrite => Ok((RunDirectory::overwrite(path)?, false)),
        Existing::Keep => Ok((RunDirectory::create(path)?, false)),
        Existing::Resume { .. } => match RunDirectory::reopen(path) {
            // The summary is written last at a start and removed last: without it, nothing had begun.
            Ok(directory) if !path.join(SUMMARY_FILE).exists() => {
                drop(directory);
                Ok((RunDirectory::overwrite(path)?, false))
            }
            Ok(directory) => Ok((directory, true)),
            Err(ResultsError::NotARun { .. }) => Ok((RunDirectory::create(path)?, false)),
            Err(error) => Err(error),
        },
    }
}

fn segment(metering: &Metering) -> Segment {
    let meter = metering.meter();
    Segment {
        started_at: now(),
        boot_id: energy_proto::boot_id(),
        anchor: ClockAnchor::now(),
        idle: None,
        sensors: meter.sensors.clone(),
        counted: meter.counted.iter().copied().collect(),
        no_energy: meter.basis.as_ref().err().cloned(),
        clock_uncertainty_nanos: u64::try_from(meter.sampling.clock_uncertainty.as_nanos())
            .unwrap_or(u64::MAX),
    }
}

fn first_summary(
    config: &RunConfig,
    server: ServerInfo,
    metering: &Metering,
    label: &str,
    path: &Path,
) -> Summary {
    let told = metering.description();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let mut versions = BTreeMap::from([("ipw".to_owned(), version)]);
    if let Some(told) = told {
        versions.insert("energy-monitor".to_owned(), told.version.clone());
    }
    let mut warnings = server.warnings.clone();
    warnings.extend_from_slice(metering.warnings());
    warnings.extend(skipped_rows(&config.dataset));
    let mut summary = Summary {
        schema_version: SCHEMA_VERSION,
        model: config.model.clone(),
        dataset: config.dataset.id.clone(),
        dataset_name: config.dataset.name.clone(),
        dataset_revision: config.dataset.revision.clone(),
        client: config.client.id().to_owned(),
        profiler_config: config.asked.clone(),
        hardware: hardware_of(metering, label),
        hardware_label: label.to_owned(),
        system_info: told.map(|told| told.system_info.clone()),
        gpu_info: told.and_then(|told| told.gpu_info.clone()),
        client_info: server,
        start_time: now(),
        end_time: None,
        duration_seconds: 0.0,
        generated_at: now(),
        status: RunStatus::Running,
        attribution: AttributionState::Provisional,
        total_queries: config.dataset.samples.len() as u64,
        queries: QueryCounts {
            skipped: config.dataset.skipped.len() as u64,
            ..QueryCounts::default()
        },
        totals: Default::default(),
        energy: Default::default(),
        telemetry: Default::default(),
        own: Default::default(),
        warnings,
        segments: Vec::new(),
        versions,
        output_dir: path.display().to_string(),
    };
    summary.telemetry.interval_ms =
        told.map_or(0, |told| u64::try_from(told.interval.as_millis()).unwrap_or(u64::MAX));
    describe_energy(&mut summary, metering);
    summary
}

/// What the user should know of rows that can't be used.
pub(super) fn skipped_rows(dataset: &Dataset) -> Option<String> {
    let first = dataset.skipped.first()?;
    Some(format!(
        "{} rows of the dataset can't be used; the first: {}: {}",
        dataset.skipped.len(),
        first.place,
        first.reason
    ))
}

fn describe_energy(summary: &mut Summary, metering: &Metering) {
    match &metering.meter().basis {
        Ok(basis) => {
            summary.energy.basis = Some(basis.kind.as_str().to_owned());
            summary.energy.status = "ok".to_owned();
        }
        Err(reason) => {
            summary.energy.status = reason.clone();
            summary.energy.remedy = metering.remedy().map(str::to_owned);
        }
    }
}

fn hardware_of(metering: &Metering, label: &str) -> Hardware {
    let meter = metering.meter();
    let counted_gpus = || {
        meter.sensors.iter().filter(|sensor| {
            sensor.kind == energy_proto::SensorKind::Gpu && meter.counted.contains(&sensor.id)
        })
    };
    let told = metering.description();
    Hardware {
        gpu_name: counted_gpus().next().map(|sensor| sensor.name.clone()),
        gpu_count: counted_gpus().count() as u32,
        cpu_brand: told
            .map(|told| told.system_info.cpu_brand.clone())
            .filter(|brand| !brand.is_empty()),
        platform: if hardware::is_replayed(&meter.sensors) {
            Some(hardware::REPLAYED_PLATFORM.to_owned())
        } else {
            told.map(|told| told.platform.clone())
        },
        label: label.to_owned(),
        sensors: meter.sensors.clone(),
        skipped_sources: told.map(|told| told.skipped.clone()).unwrap_or_default(),
    }
}
