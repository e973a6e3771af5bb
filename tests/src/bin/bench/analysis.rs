//! How long `ipw` takes to say and show what is in a large run, and how much memory: the run is final and
//! scored, its texts have a usual length, and it is in the system's cache.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use e2e::sample_run::SampleRun;
use energy_proto::{GpuInfo, SystemInfo};
use ipw::record::{DeviceEnergy, ProfilingRecord};
use serde_json::json;

use crate::child::{self, Cost};
use crate::finding::Finding;
use crate::{Effort, machine, report};

const SENTENCE: &str = "The pressure in the closed cell rises with the temperature of the gas. ";
const PROMPT_BYTES: usize = 400;
const RESPONSE_BYTES: usize = 600;
/// The most that one SVG may have, in MB.
const SVG_MEGABYTES: f64 = 3.0;

/// The most that a page may have, in MB.
const PAGE_MEGABYTES: f64 = 20.0;

/// What `ipw` is asked for, and what it may take.
struct Task {
    name: &'static str,
    arguments: &'static [&'static str],
    seconds: f64,
    megabytes: Option<f64>,
}

const ANALYZE: Task = Task {
    name: "accuracy and regression",
    arguments: &["analyze", "--analysis", "all", "--json"],
    seconds: 1.0,
    megabytes: Some(400.0),
};
const PLOT: Task =
    Task { name: "all plots, PNG and SVG", arguments: &["plot"], seconds: 5.0, megabytes: None };
const REPORT: Task =
    Task { name: "the report", arguments: &["report"], seconds: 5.0, megabytes: None };

/// Measures all that is made of one run.
pub(crate) fn measure(effort: Effort) -> Result<Vec<Finding>> {
    let rows = effort.pick(100_000, 10_000);
    let ipw = machine::built("ipw")?;
    // Not the system's folder for temporary files: that may be memory.
    let place = tempfile::tempdir_in(ipw.with_file_name(""))?;
    let run = place.path();
    report::progress(&format!("  making a run of {rows} rows"));
    sample(rows).write(run, lengthen);
    // Scores the answers, which stays as it is from then on.
    ANALYZE.once(ipw.as_os_str(), run)?;
    let mut findings = ANALYZE.measure(ipw.as_os_str(), run, rows, effort)?;
    findings.extend(PLOT.measure(ipw.as_os_str(), run, rows, effort)?);
    let largest = largest_svg(&run.join("plots"))?;
    findings.push(Finding::median("  largest SVG", "MB", Some(SVG_MEGABYTES), &[largest]));
    findings.extend(REPORT.measure(ipw.as_os_str(), run, rows, effort)?);
    let page = fs::metadata(run.join("report.html"))?.len() as f64 / 1e6;
    findings.push(Finding::median("  the page", "MB", Some(PAGE_MEGABYTES), &[page]));
    Ok(findings)
}

impl Task {
    /// As often as the effort says.
    fn measure(
        &self,
        ipw: &OsStr,
        run: &Path,
        rows: usize,
        effort: Effort,
    ) -> Result<Vec<Finding>> {
        report::progress(&format!("  {}", self.name));
        let costs: Result<Vec<Cost>> = (0..effort.rounds()).map(|_| self.once(ipw, run)).collect();
        let costs = costs?;
        let all = |cost: fn(&Cost) -> f64| costs.iter().map(cost).collect::<Vec<f64>>();
        let name = format!("{rows} rows: {}", self.name);
        Ok(vec![
            Finding::median(&name, "s", Some(self.seconds), &all(|cost| cost.seconds)),
            Finding::median(
                "  peak resident memory",
                "MB",
                self.megabytes,
                &all(|cost| cost.megabytes),
            ),
        ])
    }

    fn once(&self, ipw: &OsStr, run: &Path) -> Result<Cost> {
        let (command, flags) = self.arguments.split_first().context("no command")?;
        let mut arguments: Vec<&OsStr> = vec![command.as_ref(), run.as_os_str()];
        arguments.extend(flags.iter().map(OsStr::new));
        child::run(ipw, &arguments)
    }
}

fn sample(queries: usize) -> SampleRun {
    SampleRun { queries, concurrency: 64, subjects: 70, ..SampleRun::default() }
}

/// Gives a row the texts and the descriptions that rows usually have.
fn lengthen(record: &mut ProfilingRecord) {
    let is_right = record.metrics.lm_correctness == Some(true);
    record.problem = text(PROMPT_BYTES, "");
    record.response = text(RESPONSE_BYTES, if is_right { "The answer is (C)." } else { "**B**" });
    record.answer = "C".to_owned();
    let id = record.query_index.to_string();
    record.dataset_metadata =
        json!({ "scoring": "letter", "id": id, "category": record.subject, "src": "made up" })
            .to_string();
    let metrics = &mut record.metrics;
    let energy = &mut metrics.energy_metrics;
    energy.devices = vec![DeviceEnergy {
        sensor: "GPU-fake0000-0000-0000-0000-000000000000".to_owned(),
        host: "host".to_owned(),
        joules: energy.basis_joules,
        lower: energy.basis_joules_lower,
        upper: energy.basis_joules_upper,
    }];
    metrics.gpu_info = Some(GpuInfo {
        name: "Sample H100 80GB".to_owned(),
        vendor: "NVIDIA".to_owned(),
        ..GpuInfo::default()
    });
    metrics.system_info = Some(SystemInfo {
        os_name: "Linux".to_owned(),
        host_name: "host".to_owned(),
        cpu_brand: "Sample CPU".to_owned(),
        ..SystemInfo::default()
    });
}

/// Prose of so many bytes, the ending among them.
fn text(bytes: usize, ending: &str) -> String {
    let prose = SENTENCE.chars().cycle().take(bytes - ending.len());
    prose.chain(ending.chars()).collect()
}

/// The size of the largest SVG of a folder in MB.
fn largest_svg(folder: &Path) -> Result<f64> {
    let mut largest = None;
    for file in fs::read_dir(folder)? {
        let file = file?;
        if Path::new(&file.file_name()).extension() == Some(OsStr::new("svg")) {
            largest = largest.max(Some(file.metadata()?.len()));
        }
    }
    Ok(largest.context("no SVG was drawn")? as f64 / 1e6)
}
