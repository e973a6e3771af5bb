//! What this monitor says of itself: over the wire, and for `--describe`.

mod table;

use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use energy_proto::{
    API, ClockAnchor, Description, GpuInfo, SensorInfo, SkippedSource, SystemInfo, boot_id,
    time_namespace,
};
use serde::Serialize;

use crate::compose::Composer;
use crate::config::{Config, DescribeFormat};
use crate::discover::{Discovery, discover};
use crate::metrics::CpuDetail;
use crate::sampler::{Outlets, Sampler, Sensors};
use crate::source::Children;
use crate::{host, hub};

/// A driver that doesn't answer at all is waited for no longer.
const LONGEST_WATCH: Duration = Duration::from_secs(3);

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

/// Prints the sensors of this host on standard output, after watching them for up to two seconds.
///
/// # Errors
/// If a source that was asked for can't be used, or standard output is closed.
pub fn print(config: &Config, format: DescribeFormat) -> anyhow::Result<()> {
    let _children = Children;
    let system_info = host::system_info(&config.probe.proc_root);
    let mut found = discover(&config.probe, &system_info.host_name)?;
    found.sensors = watched(&mut found, config.interval)?;
    let text = match format {
        DescribeFormat::Table => table::of(&found),
        DescribeFormat::Json => as_json(&found, &system_info)?,
    };
    io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
}

/// The sensors with what a sampler, to which nobody listens, finds out about them.
fn watched(found: &mut Discovery, interval: Duration) -> anyhow::Result<Vec<SensorInfo>> {
    let sensors = Sensors::new(found.sensors.clone());
    let composer = Composer::new(0, found.platform, ClockAnchor::now(), &found.sensors);
    let (publisher, _hub) = hub::channel();
    let outlets = Outlets::new(composer, publisher, CpuDetail::Coarse, &found.sensors);
    let lanes = std::mem::take(&mut found.lanes);
    let sampler = Sampler::start(lanes, &sensors, interval, outlets)
        .context("cannot start the sampling threads")?;
    let began = Instant::now();
    while !sensors.are_settled() && began.elapsed() < LONGEST_WATCH {
        thread::sleep(Duration::from_millis(5));
    }
    sampler.stop();
    Ok(sensors.now())
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
