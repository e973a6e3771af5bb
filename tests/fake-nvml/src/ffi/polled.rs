//! Figures that depend on when they were asked for before: those of a driver that can't be asked too
//! often, and a counter that loses energy to its readers.

use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use energy_proto::{Nanos, monotonic_now};

use super::{Device, NOT_SUPPORTED, Return, answering, indexed, loaded};
use crate::fault::{Metric, OverPolled};
use crate::model::Gpu;

/// What a GPU remembers of its readers.
#[derive(Default)]
struct Memory {
    /// When each figure was answered last.
    answered: [Option<Nanos>; 4],
    /// When the counter was read last.
    energy_read: Option<Nanos>,
    /// What the counter has lost so far.
    lost_millijoules: u64,
}

static MEMORIES: OnceLock<Vec<Mutex<Memory>>> = OnceLock::new();

fn memory(device: Device) -> Result<&'static Mutex<Memory>, Return> {
    let (index, _) = indexed(device)?;
    let gpus = loaded()?.gpus.len();
    let memories = MEMORIES.get_or_init(|| (0..gpus).map(|_| Mutex::default()).collect());
    Ok(&memories[index])
}

/// The energy counter in millijoules.
pub(super) fn energy_millijoules(device: Device) -> Result<u64, Return> {
    let gpu = answering(device, Metric::Energy)?;
    let now = monotonic_now();
    let mut memory = memory(device)?.lock().expect("no reader panics");
    let last = memory.energy_read.replace(now);
    memory.lost_millijoules += last.map_or(0, |last| gpu.lost_millijoules(last, now));
    let shown = gpu.counter_millijoules(now).saturating_sub(memory.lost_millijoules);
    unless_over_polled(gpu, &mut memory, Metric::Energy, now, shown)
}

/// A power in milliwatts.
pub(super) fn power_milliwatts(
    device: Device,
    metric: Metric,
    shown: impl Fn(&Gpu, Nanos) -> u32,
) -> Result<u32, Return> {
    let gpu = answering(device, metric)?;
    let now = monotonic_now();
    let mut memory = memory(device)?.lock().expect("no reader panics");
    unless_over_polled(gpu, &mut memory, metric, now, shown(gpu, now))
}

fn unless_over_polled<T: Default>(
    gpu: &Gpu,
    memory: &mut Memory,
    metric: Metric,
    now: Nanos,
    shown: T,
) -> Result<T, Return> {
    let slot = match metric {
        Metric::Energy => 0,
        Metric::Power => 1,
        Metric::PowerInstant => 2,
        _ => 3,
    };
    if let (Some(limit), Some(last)) = (gpu.over_poll, memory.answered[slot])
        && now.since(last) < Duration::from_millis(limit.closer_than_ms)
    {
        return match limit.answers {
            OverPolled::NotSupported => Err(NOT_SUPPORTED),
            OverPolled::Zero => Ok(T::default()),
        };
    }
    memory.answered[slot] = Some(now);
    Ok(shown)
}
