//! What the monitor costs at its default interval, and how old a reading is when a subscriber has it.
//!
//! One fake GPU, and the host's memory. Start-up is left out: CPU time and delays are those of a
//! window that begins once every subscriber has had its first readings. A subscriber is a gRPC client
//! in this program, on one thread with the others, so that what the last of them waits for the others
//! is in its delay. Delays in milliseconds of the monotonic clock, which both processes share.

use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use e2e::monitor::{Monitor, Readings};
use energy_proto::{Nanos, monotonic_now, pb};
use fake_nvml::Model;
use ipw::analysis::stats::quantile;
use tokio::task::JoinSet;

use crate::finding::Finding;
use crate::machine::{self, Memory};
use crate::{Effort, report};

const INTERVAL: Duration = Duration::from_millis(50);
/// Until streams are open and buffers have their size.
const SETTLING: Duration = Duration::from_secs(2);
const SUBSCRIBERS: [usize; 2] = [1, 8];

/// One watched window.
struct Round {
    cpu_pct: f64,
    /// Of a loop that only sleeps, in the same window.
    bare_loop_pct: f64,
    memory: Memory,
    /// p99 of the delay from the end of the freshest sensor's read, in ms.
    from_read_ms: f64,
    /// p99 of the delay from when the monitor composed the reading, in ms.
    from_composed_ms: f64,
}

/// What came with one reading, in ms.
struct Delay {
    from_read: f64,
    from_composed: f64,
}

/// Measures CPU time, memory and delay with one subscriber and with eight.
pub(crate) fn measure(effort: Effort) -> Result<Vec<Finding>> {
    let window = Duration::from_secs(effort.pick(20, 5));
    let mut rounds = SUBSCRIBERS.map(|_| Vec::new());
    for number in 1..=effort.rounds() {
        for (subscribers, rounds) in SUBSCRIBERS.iter().zip(&mut rounds) {
            report::progress(&format!(
                "  round {number}: {} s with {subscribers} subscriber(s)",
                window.as_secs()
            ));
            rounds.push(watch(*subscribers, window)?);
        }
    }
    Ok(SUBSCRIBERS
        .iter()
        .zip(&rounds)
        .flat_map(|(count, rounds)| findings(*count, rounds))
        .collect())
}

fn findings(subscribers: usize, rounds: &[Round]) -> Vec<Finding> {
    let finding = |figure: &str, unit, target, value: fn(&Round) -> f64| {
        let rounds: Vec<f64> = rounds.iter().map(value).collect();
        Finding::median(&format!("{figure}, {subscribers} subscribed"), unit, target, &rounds)
    };
    vec![
        finding("monitor: CPU", "% of a core", Some(1.0), |round| round.cpu_pct),
        finding("  a bare 50 ms loop beside it", "% of a core", None, |round| round.bare_loop_pct),
        finding("monitor: peak resident memory", "MB", Some(15.0), |round| {
            megabytes(round.memory.peak)
        }),
        finding("  resident at the end", "MB", None, |round| megabytes(round.memory.now)),
        finding("monitor: p99 from read to receipt", "ms", Some(2.0), |round| round.from_read_ms),
        finding("  p99 from composed to receipt", "ms", None, |round| round.from_composed_ms),
    ]
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn watch(subscribers: usize, window: Duration) -> Result<Round> {
    let mut command = Command::new(machine::built("energy-monitor")?);
    command.args([
        "--port",
        "0",
        "--sources",
        "nvml",
        "--exit-with-parent",
        "--collection-interval-ms",
    ]);
    command.arg(INTERVAL.as_millis().to_string());
    e2e::fake_nvml::load_into(&mut command, &Model::default());
    let monitor = Monitor::start(&mut command);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(watch_running(&monitor, subscribers, window))
}

async fn watch_running(monitor: &Monitor, subscribers: usize, window: Duration) -> Result<Round> {
    let from = monotonic_now() + SETTLING;
    let until = from + window;
    let mut receiving = JoinSet::new();
    for _ in 0..subscribers {
        receiving.spawn(receive(monitor.readings().await, from, until));
    }
    tokio::time::sleep(from.since(monotonic_now())).await;
    let bare_loop = thread::spawn(move || sleep_until(until));
    let (began, before) = (monotonic_now(), machine::cpu_seconds(monitor.pid())?);
    tokio::time::sleep(until.since(monotonic_now())).await;
    let after = machine::cpu_seconds(monitor.pid())?;
    let lasted = monotonic_now().since(began).as_secs_f64();
    let delays: Vec<Delay> = receiving.join_all().await.into_iter().flatten().collect();
    let bare_loop = bare_loop.join().map_err(|_| anyhow!("the bare loop panicked"))??;
    Ok(Round {
        cpu_pct: (after - before) / lasted * 100.0,
        bare_loop_pct: bare_loop / lasted * 100.0,
        memory: Memory::of(monitor.pid())?,
        from_read_ms: p99(delays.iter().map(|delay| delay.from_read))?,
        from_composed_ms: p99(delays.iter().map(|delay| delay.from_composed))?,
    })
}

/// Takes readings until the window is over; the delays of those that came within it.
async fn receive(mut readings: Readings, from: Nanos, until: Nanos) -> Vec<Delay> {
    let mut delays = Vec::new();
    while let Some(reading) = readings.next().await {
        let now = monotonic_now();
        if now >= until {
            break;
        }
        if now >= from {
            delays.extend(delay(&reading, now));
        }
    }
    delays
}

/// `None` before any sensor has answered.
fn delay(reading: &pb::TelemetryReading, now: Nanos) -> Option<Delay> {
    let freshest = reading.sensors.iter().map(|sensor| sensor.read_end_nanos).max()?;
    let since = |nanos| now.since(Nanos(nanos)).as_secs_f64() * 1e3;
    Some(Delay { from_read: since(freshest), from_composed: since(reading.monotonic_nanos) })
}

/// What a program costs that does nothing but wake up: its thread's CPU seconds.
fn sleep_until(until: Nanos) -> Result<f64> {
    let before = machine::own_thread_cpu_seconds()?;
    while monotonic_now() < until {
        thread::sleep(INTERVAL);
    }
    Ok(machine::own_thread_cpu_seconds()? - before)
}

fn p99(delays: impl Iterator<Item = f64>) -> Result<f64> {
    let mut delays: Vec<f64> = delays.collect();
    delays.sort_by(f64::total_cmp);
    quantile(&delays, 0.99).context("no reading came")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_as_old_as_its_freshest_read() {
        let sensor = |read_end_nanos| pb::SensorReading { read_end_nanos, ..Default::default() };
        let reading = pb::TelemetryReading {
            sensors: vec![sensor(1_000_000), sensor(3_000_000)],
            monotonic_nanos: 3_500_000,
            ..Default::default()
        };
        let found = delay(&reading, Nanos(4_000_000)).unwrap();
        assert_eq!((found.from_read, found.from_composed), (1.0, 0.5));
        assert!(delay(&pb::TelemetryReading::default(), Nanos(1)).is_none());
    }
}
