//! Going on with an earlier run: is it the same one, and what is left to do?

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use super::{RunConfig, RunError};
use crate::dataset::Dataset;
use crate::record::QueryStatus;
use crate::results::{AttributionState, RunStatus, Summary, read_rows};

/// What there is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// Queries of the whole run.
    pub(super) total: usize,
    /// Positions in [`Dataset::samples`] of those still to be sent.
    pub(super) todo: Vec<usize>,
}

impl Plan {
    /// Everything.
    pub(super) fn all(dataset: &Dataset) -> Self {
        Self { total: dataset.samples.len(), todo: (0..dataset.samples.len()).collect() }
    }
}

/// Settings that change answers or times: a run has one value of each.
const SAME: [&str; 7] =
    ["temperature", "max_tokens", "seed", "client_params", "dataset_params", "gpus", "tdp_watts"];

/// What is left of an earlier run.
///
/// # Errors
/// When the earlier run is of another kind, or its prompts are not the dataset's any more.
pub(super) fn plan(
    config: &RunConfig,
    fresh: &Summary,
    earlier: &Summary,
    path: &Path,
    retry_failed: bool,
) -> Result<Plan, RunError> {
    same_run(fresh, earlier, path)?;
    let mut done: HashMap<i64, (QueryStatus, String)> = HashMap::new();
    for record in read_rows(path)? {
        let record = record?;
        done.insert(record.query_index, (record.status, record.problem));
    }
    let mut todo = Vec::new();
    for (position, sample) in config.dataset.samples.iter().enumerate() {
        match done.get(&(sample.index as i64)) {
            None => todo.push(position),
            Some((_, problem)) if *problem != sample.problem => {
                return Err(RunError::Usage(format!(
                    "can't resume {}: query {} has another prompt now; start anew with --tag or \
                     --overwrite",
                    path.display(),
                    sample.index
                )));
            }
            Some((QueryStatus::Ok, _)) => {}
            Some(_) if retry_failed => todo.push(position),
            Some(_) => {}
        }
    }
    Ok(Plan { total: config.dataset.samples.len(), todo })
}

fn same_run(fresh: &Summary, earlier: &Summary, path: &Path) -> Result<(), RunError> {
    let differs = |what: &str, then: &str, now: &str| {
        Err(RunError::Usage(format!(
            "can't resume {}: it was made with {what} {then}, now it is {now}; give the same, or \
             start another run with --tag",
            path.display()
        )))
    };
    let pairs = [
        ("model", &earlier.model, &fresh.model),
        ("client", &earlier.client, &fresh.client),
        ("dataset", &earlier.dataset, &fresh.dataset),
        ("dataset revision", &earlier.dataset_revision, &fresh.dataset_revision),
    ];
    for (what, then, now) in pairs {
        if then != now {
            return differs(what, then, now);
        }
    }
    let basis = |summary: &Summary| summary.energy.basis.clone().unwrap_or("none".to_owned());
    if basis(earlier) != basis(fresh) {
        return differs("energy basis", &basis(earlier), &basis(fresh));
    }
    for what in SAME {
        let value =
            |summary: &Summary| summary.profiler_config.get(what).cloned().unwrap_or(Value::Null);
        let (then, now) = (value(earlier), value(fresh));
        if then != now {
            return differs(what, &then.to_string(), &now.to_string());
        }
    }
    Ok(())
}

/// What the user should know if the run goes on with more or fewer queries in flight. That is no reason
/// to refuse: each energy is the query's share, made from all requests of the run.
pub(super) fn another_concurrency(fresh: &Summary, earlier: &Summary) -> Option<String> {
    // A run of before there was a choice had one.
    let in_flight = |summary: &Summary| {
        summary.profiler_config.get("concurrency").and_then(Value::as_u64).unwrap_or(1)
    };
    let (then, now) = (in_flight(earlier), in_flight(fresh));
    (then != now).then(|| {
        format!(
            "the run was made with --concurrency {then}, now it is {now}: its queries differ in time \
             and energy by how many were in flight"
        )
    })
}

/// The earlier summary, brought up to what is known now.
pub(super) fn go_on(earlier: Summary, fresh: Summary) -> Summary {
    let mut warnings = earlier.warnings;
    for warning in fresh.warnings {
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    Summary {
        start_time: earlier.start_time,
        duration_seconds: earlier.duration_seconds,
        queries: crate::results::QueryCounts { skipped: fresh.queries.skipped, ..earlier.queries },
        totals: earlier.totals,
        telemetry: earlier.telemetry,
        own: earlier.own,
        segments: earlier.segments,
        status: RunStatus::Running,
        attribution: AttributionState::Provisional,
        warnings,
        ..fresh
    }
}
