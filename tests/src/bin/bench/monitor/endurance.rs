//! Whether memory stays as it is: many readings at 1 ms, with one subscriber that takes each and one
//! that takes none and doesn't even empty its socket.
//!
//! Resident memory is what the kernel counts page by page in smaps_rollup: the faster counts of
//! `status` may be off by some hundred kilobytes, more than a small leak.

use std::time::Duration;

use anyhow::{Context, Result};
use energy_proto::pb;
use tokio::runtime::{Builder, Runtime};
use tonic::Streaming;

use super::stream;
use super::watch::Case;
use super::{Host, Transport};
use crate::finding::{Finding, Target, Verdict};
use crate::machine;
use crate::{Effort, report};

const READINGS: u64 = 144_000;
/// After so many the subscriber that doesn't read looks once, and never again: who gives no sign of life
/// for 40 s is cut off, and wouldn't be told its loss.
const LONGEST_SILENCE: u64 = 30_000;
/// Between two looks at the memory.
const READINGS_A_LOOK: u64 = 1_000;
/// Sixteen pages: what an allocator does within itself is less, what a queue leaks is more.
const FLAT_MB: f64 = 0.066;

/// Takes the readings and looks at the memory meanwhile.
pub(super) fn measure(effort: Effort) -> Result<Vec<Finding>> {
    let readings = effort.pick(READINGS, 15_000);
    report::progress(&format!(
        "  {readings} readings at 1 ms, beside a subscriber that never reads"
    ));
    let host = Host::new(Case::AT_1_MS.interval)?;
    let monitor = host.monitor(Case::AT_1_MS.interval, Transport::Unix)?;
    let (sleeping, mut unread) = subscribe_on_its_own(monitor.endpoint())?;
    let (taking, mut stream) = subscribe_on_its_own(monitor.endpoint())?;
    let mut resident = Vec::new();
    let mut last = pb::TelemetryReading::default();
    let silent = readings.min(LONGEST_SILENCE);
    let mut told = 0;
    for number in 1..=readings {
        last = taking.block_on(stream::next(&mut stream))?;
        if number == silent {
            told = sleeping.block_on(what_was_lost(&mut unread, last.sequence))?;
        }
        if number.is_multiple_of(READINGS_A_LOOK) {
            resident.push(machine::exactly_resident(monitor.pid())? as f64 / 1e6);
        }
    }
    let memory_bytes = machine::peak_resident(monitor.pid())?;
    let label = format!("{readings} readings at 1 ms");
    Ok(vec![
        Finding::of(
            &format!("{label}: growth of resident memory"),
            "MB",
            Target::AtMost(FLAT_MB),
            &[growth(&resident).context("too few readings to tell")?],
        ),
        Finding::of(
            &format!("{label}: peak resident memory"),
            "MB",
            Target::AtMost(12.0),
            &[memory_bytes as f64 / 1e6],
        ),
        Finding::of(
            &format!("{label}: lost by who reads"),
            "",
            Target::None,
            &[last.dropped as f64],
        ),
        Finding::stated(
            &format!("{label}: who read nothing before the last of {silent}"),
            "is told its loss".to_owned(),
            format!("{told} readings lost"),
            Verdict::of(told > 0),
        ),
    ])
}

/// A subscription with a runtime of its own: nothing of it moves unless that is run.
fn subscribe_on_its_own(
    endpoint: tonic::transport::Endpoint,
) -> Result<(Runtime, Streaming<pb::TelemetryReading>)> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let stream = runtime.block_on(stream::subscribe(endpoint, Duration::ZERO))?;
    Ok((runtime, stream))
}

/// Reads what is left of a stream up to now, and how many readings it is said to have lost.
async fn what_was_lost(stream: &mut Streaming<pb::TelemetryReading>, now: u64) -> Result<u64> {
    loop {
        let reading = stream::next(stream).await?;
        if reading.sequence >= now {
            return Ok(reading.dropped);
        }
    }
}

/// How much more is resident in the last tenth of the looks than in the second, in the units of
/// `resident`: in the first the buffers find their sizes.
fn growth(resident: &[f64]) -> Option<f64> {
    let tenth = (resident.len() / 10).max(1);
    let greatest = |looks: &[f64]| looks.iter().copied().reduce(f64::max);
    let early = greatest(resident.get(tenth..tenth * 2)?)?;
    let late = greatest(&resident[resident.len() - tenth..])?;
    Some((late - early).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_leaves_out_the_beginning() {
        let mut resident = vec![5.0, 7.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.5];
        assert_eq!(growth(&resident), Some(1.5));
        resident.push(6.0);
        assert_eq!(growth(&resident), Some(0.0), "less is no growth");
        assert_eq!(growth(&[1.0]), None);
        assert_eq!(growth(&[]), None);
    }
}
