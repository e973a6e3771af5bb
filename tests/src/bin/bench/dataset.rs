//! How long it takes to load MMLU-Pro from the hub's cache, and how much memory: this program starts
//! itself for each round, so that the peak is of that alone.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use e2e::hub_files::{LetteredRow, mmlu_pro};
use ipw::dataset::{DatasetParams, HubSettings, Request, load};
use nix::unistd::Pid;

use crate::Effort;
use crate::finding::Finding;
use crate::machine::peak_resident;

/// As many as MMLU-Pro has.
const ROWS: usize = 12_032;
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const DIRECTORY: &str = "datasets--TIGER-Lab--MMLU-Pro";

/// Measures loading from a cache with a file of its own.
pub(crate) fn measure(effort: Effort) -> Result<Vec<Finding>> {
    let cache = tempfile::tempdir()?;
    fill(cache.path())?;
    let (mut seconds, mut megabytes) = (Vec::new(), Vec::new());
    for _round in 0..effort.rounds() {
        let output = Command::new(std::env::current_exe()?)
            .arg("--load-dataset")
            .arg(cache.path())
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout)?;
        let (time, peak) = text.trim().split_once(' ').context("two figures")?;
        seconds.push(time.parse()?);
        megabytes.push(peak.parse::<f64>()? / 1e6);
    }
    Ok(vec![
        Finding::median(
            &format!("{ROWS} rows of MMLU-Pro from the cache"),
            "s",
            Some(0.5),
            &seconds,
        ),
        Finding::median("  peak resident memory", "MB", Some(150.0), &megabytes),
    ])
}

/// What the program does that is started: loads once, and says the seconds and the bytes.
pub(crate) fn load_once(cache: &Path) -> Result<String> {
    let begun = Instant::now();
    let request = Request {
        params: &DatasetParams::new(),
        hub: &HubSettings::offline_in(cache),
        events: &|_| {},
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let dataset = runtime.block_on(load("mmlu-pro", &request))?;
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(dataset.samples.len() == ROWS && dataset.skipped.is_empty(), "rows were lost");
    Ok(format!("{seconds} {}", peak_resident(Pid::this())?))
}

/// A cache as the hub's tools leave it, with rows of a usual length.
fn fill(cache: &Path) -> Result<()> {
    let rows: Vec<LetteredRow> = (0..ROWS).map(LetteredRow::number).collect();
    let directory = cache.join(DIRECTORY);
    let data = directory.join("snapshots").join(COMMIT).join("data");
    fs::create_dir_all(&data)?;
    fs::write(data.join("test-00000-of-00001.parquet"), mmlu_pro(&rows))?;
    fs::create_dir_all(directory.join("refs"))?;
    fs::write(directory.join("refs").join("main"), COMMIT)?;
    Ok(())
}
