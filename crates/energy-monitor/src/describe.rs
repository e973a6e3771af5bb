//! What this monitor says of itself: over the wire, and for `--describe`.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::Context;
use comfy_table::{Table, presets};
use energy_proto::{
    API, ClockAnchor, Description, GpuInfo, SensorInfo, SkippedSource, Status, SystemInfo, boot_id,
    time_namespace,
};
use serde::Serialize;

use crate::config::{Config, DescribeFormat};
use crate::discover::{Discovery, discover};
use crate::host;

/// Describes what was found, as one start of the monitor.
#[must_use]
pub fn description(
    found: &Discovery,
    system_info: SystemInfo,
    instance: u64,
    interval: Duration,
) -> Description {
    Description {
        api: API.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instance,
        boot_id: boot_id(),
        time_namespace: time_namespace(),
        anchor: ClockAnchor::now(),
        platform: found.platform.to_owned(),
        interval,
        system_info,
        gpu_info: found.gpu_info.clone(),
        sensors: found.sensors.clone(),
        skipped: found.skipped.clone(),
        missed_ticks: 0,
    }
}

/// Prints the sensors of this host on standard output.
///
/// # Errors
/// If a source that was asked for can't be used, or standard output is closed.
pub fn print(config: &Config, format: DescribeFormat) -> anyhow::Result<()> {
    let system_info = host::system_info(&config.probe.proc_root);
    let found = discover(&config.probe, &system_info.host_name)?;
    let text = match format {
        DescribeFormat::Table => as_table(&found),
        DescribeFormat::Json => as_json(&found, &system_info)?,
    };
    io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
}

/// The description as `--describe --json` prints it.
#[derive(Serialize)]
struct Report<'a> {
    api: &'static str,
    version: &'static str,
    platform: &'a str,
    system_info: &'a SystemInfo,
    gpu_info: Option<&'a GpuInfo>,
    sensors: &'a [SensorInfo],
    skipped: &'a [SkippedSource],
}

fn as_json(found: &Discovery, system_info: &SystemInfo) -> serde_json::Result<String> {
    let report = Report {
        api: API,
        version: env!("CARGO_PKG_VERSION"),
        platform: found.platform,
        system_info,
        gpu_info: found.gpu_info.as_ref(),
        sensors: &found.sensors,
        skipped: &found.skipped,
    };
    Ok(serde_json::to_string_pretty(&report)? + "\n")
}

fn as_table(found: &Discovery) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["id", "kind", "name", "source", "measures", "limit", "status", "uuid"]);
    for info in &found.sensors {
        table.add_row([
            info.id.to_string(),
            info.kind.to_string(),
            info.name.clone(),
            info.source.clone(),
            info.measures.join(" "),
            info.power_limit.map_or_else(String::new, |limit| limit.to_string()),
            info.status.as_str().to_owned(),
            info.uuid.clone(),
        ]);
    }
    let mut text = format!("{}\n\nplatform: {}\n", table.trim_fmt(), found.platform);
    for info in found.sensors.iter().filter(|info| info.status != Status::Ok) {
        text += &line(&info.name, info.status.as_str(), &info.remedy);
    }
    for skipped in &found.skipped {
        text += &line(&format!("{} not used", skipped.source), &skipped.reason, &skipped.remedy);
    }
    text
}

fn line(what: &str, why: &str, remedy: &str) -> String {
    let arrow = if remedy.is_empty() { "" } else { "\n    -> " };
    format!("{what}: {why}{arrow}{remedy}\n")
}
