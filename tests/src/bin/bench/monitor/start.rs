//! How long a monitor takes from its start to a subscriber's first reading.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Host, Transport, stream};
use crate::finding::{Finding, Target};

const INTERVAL: Duration = Duration::from_millis(50);
/// RAPL's own period: the monitor watches for it at its start.
const STEP: Duration = Duration::from_millis(1);

/// One start. In ms, from just before the process is made.
pub(super) struct Started {
    /// To the first reading.
    first: f64,
    /// To the first reading with every sensor in it.
    complete: f64,
}

/// Starts one.
pub(super) fn watch() -> Result<Started> {
    let host = Host::new(STEP)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let began = Instant::now();
    let since = || began.elapsed().as_secs_f64() * 1e3;
    let monitor = host.monitor(INTERVAL, Transport::Tcp)?;
    runtime.block_on(async {
        let mut stream = stream::subscribe(monitor.endpoint(), Duration::ZERO).await?;
        let mut reading = stream::next(&mut stream).await?;
        let first = since();
        while reading.sensors.len() < monitor.listening.sensors {
            reading = stream::next(&mut stream).await?;
        }
        Ok(Started { first, complete: since() })
    })
}

pub(super) fn findings(starts: &[Started]) -> [Finding; 2] {
    let values = |of: fn(&Started) -> f64| -> Vec<f64> { starts.iter().map(of).collect() };
    let (first, complete) = (values(|start| start.first), values(|start| start.complete));
    [
        Finding::of("start to the first reading", "ms", Target::AtMost(300.0), &first),
        Finding::of("start to the first with every sensor", "ms", Target::None, &complete),
    ]
}
