//! What the monitor costs and how punctual it is: on a host with eight GPUs and two CPU packages, at
//! 50 ms and at 1 ms, without a subscriber and with 1, 8 and 200.
//!
//! A round starts a monitor for each [`Case`] and watches it for one window, which begins when start-up
//! is long over. Subscribers are gRPC clients in this program. CPU in percent of one core, memory in
//! bytes, times in milliseconds of the monotonic clock, which both processes share. It doesn't know
//! what a real driver's calls cost: the GPUs are a fake library's and the packages' counters files in
//! memory, and what reading those costs alone stands beside the monitor's figures.

pub(crate) mod bare;
mod endurance;
mod figures;
mod host;
mod start;
mod stream;
mod watch;

use std::time::Duration;

use anyhow::Result;

use crate::finding::Finding;
use crate::{Effort, report};
use bare::Bare;
use figures::{Figure, findings};
use host::{Host, Transport};
use watch::{Case, Watched};

/// What is watched, and what of it is shown.
const CASES: [(Case, &[Figure]); 8] = [
    (
        Case { subscribers: 1, over: Transport::Unix, ..Case::AT_50_MS },
        &[Figure::Cpu(Some(0.5)), Figure::Memory(12.0), Figure::FromRead(None)],
    ),
    (
        Case { subscribers: 1, ..Case::AT_50_MS },
        &[Figure::Cpu(Some(0.5)), Figure::Memory(12.0), Figure::FromRead(None)],
    ),
    (
        Case { subscribers: 8, ..Case::AT_50_MS },
        &[
            Figure::Cpu(Some(0.8)),
            Figure::Memory(12.0),
            Figure::FromRead(Some(1.5)),
            Figure::FromComposed,
        ],
    ),
    (Case::AT_1_MS, &[Figure::Cpu(Some(3.5)), Figure::Memory(12.0)]),
    (
        Case { subscribers: 1, ..Case::AT_1_MS },
        &[
            Figure::Cpu(Some(8.0)),
            Figure::Memory(12.0),
            Figure::Rate(995.0),
            Figure::Deadline(0.3),
            Figure::FromRead(None),
        ],
    ),
    (
        Case { subscribers: 1, max_delay: Duration::from_millis(10), ..Case::AT_1_MS },
        &[Figure::Cpu(Some(5.0)), Figure::Memory(12.0)],
    ),
    (
        Case { subscribers: 1, busy: true, ..Case::AT_1_MS },
        &[Figure::Cpu(None), Figure::Rate(990.0), Figure::Deadline(1.0)],
    ),
    (
        Case { subscribers: 200, ..Case::AT_50_MS },
        &[
            Figure::Cpu(Some(10.0)),
            Figure::Memory(16.0),
            Figure::FromRead(Some(15.0)),
            Figure::FromComposed,
            Figure::Lost,
            Figure::Rate(19.9),
        ],
    ),
];

/// Measures everything that is promised of the monitor.
pub(crate) fn measure(effort: Effort) -> Result<Vec<Finding>> {
    let mut cases: Vec<Vec<Watched>> = CASES.iter().map(|_| Vec::new()).collect();
    let mut loops: Vec<Vec<f64>> = Bare::ALL.iter().map(|_| Vec::new()).collect();
    let mut starts = Vec::new();
    for number in 1..=effort.rounds() {
        for ((case, _), rounds) in CASES.iter().zip(&mut cases) {
            let window = case.window(effort);
            report::progress(&format!("  round {number}: {case}, {} s", window.as_secs()));
            let watched = watch::watch(case, window)?;
            report::progress(&format!("    {:.2} % of a core", watched.cpu_pct));
            rounds.push(watched);
        }
        for (bare, rounds) in Bare::ALL.iter().zip(&mut loops) {
            let window = Case::AT_1_MS.window(effort);
            report::progress(&format!("  round {number}: {bare}, {} s", window.as_secs()));
            let cpu_pct = bare::watch(*bare, window)?;
            report::progress(&format!("    {cpu_pct:.2} % of a core"));
            rounds.push(cpu_pct);
        }
        report::progress(&format!("  round {number}: a start"));
        starts.push(start::watch()?);
    }
    let mut all: Vec<Finding> = CASES
        .iter()
        .zip(&cases)
        .flat_map(|((case, figures), rounds)| findings(case, figures, rounds))
        .collect();
    all.extend(Bare::ALL.iter().zip(&loops).map(|(bare, rounds)| {
        Finding::median(&format!("  for scale: {bare}"), "% of a core", None, rounds)
    }));
    all.extend(start::findings(&starts));
    all.extend(endurance::measure(effort)?);
    Ok(all)
}
