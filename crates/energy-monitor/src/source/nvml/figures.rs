//! The figures of a GPU beside energy and power: each is asked for on its own, and one that the board
//! hasn't got costs only itself.
//!
//! They change no faster than a few times a second, and each costs a call of the driver.

use std::collections::HashSet;
use std::time::Duration;

use energy_proto::{Nanos, SensorReading, Throttle};
use nvml_wrapper::Device;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::error::NvmlError;

use super::is_never;
use super::tensor::Tensor;
use crate::source::{Paced, SLOW_FIGURES_PERIOD};

/// Listing processes is the slowest call of all.
const PROCESSES_PERIOD: Duration = Duration::from_secs(1);

/// A figure and whether it is worth asking for.
struct Figure<T> {
    call: fn(&Device<'_>) -> Result<T, NvmlError>,
    /// Whether the driver hasn't said that it never will answer.
    asked: bool,
}

impl<T> Figure<T> {
    /// Asks for it once, and says whether there was an answer.
    fn probe(call: fn(&Device<'_>) -> Result<T, NvmlError>, device: &Device<'_>) -> (Self, bool) {
        let answer = call(device);
        let asked = !answer.as_ref().is_err_and(is_never);
        (Self { call, asked }, answer.is_ok())
    }

    fn read(&self, device: &Device<'_>) -> Option<T> {
        self.asked.then(|| (self.call)(device).ok()).flatten()
    }
}

/// What was read last.
#[derive(Clone, Copy)]
struct Values {
    temperature_celsius: Option<f64>,
    memory: Option<Memory>,
    utilization: Option<Utilization>,
    compute_clock_mhz: Option<u32>,
    memory_clock_mhz: Option<u32>,
    throttle: Option<Throttle>,
    tensor_utilization_pct: Option<f64>,
}

#[derive(Clone, Copy)]
struct Memory {
    used_bytes: u64,
    total_bytes: u64,
}

#[derive(Clone, Copy)]
struct Utilization {
    compute_pct: f64,
    memory_pct: f64,
}

impl Memory {
    fn is_plausible(&self) -> bool {
        self.used_bytes <= self.total_bytes
    }
}

impl Utilization {
    fn is_plausible(&self) -> bool {
        self.compute_pct <= 100.0 && self.memory_pct <= 100.0
    }
}

/// Ten times above any GPU or memory: what is beyond is an error code taken for a clock.
fn is_clock(mhz: &u32) -> bool {
    *mhz < 100_000
}

/// A GPU's figures.
pub(super) struct Figures {
    temperature: Figure<f64>,
    memory: Figure<Memory>,
    utilization: Figure<Utilization>,
    compute_clock: Figure<u32>,
    memory_clock: Figure<u32>,
    throttle: Figure<Throttle>,
    processes: Figure<u32>,
    tensor: Option<Tensor>,
    values: Paced<Values>,
    process_count: Paced<Option<u32>>,
}

impl Figures {
    /// Asks for each once, and names those that were there.
    pub(super) fn probe(device: &Device<'static>) -> (Self, Vec<&'static str>) {
        let (temperature, has_temperature) = Figure::probe(temperature, device);
        let (memory, has_memory) = Figure::probe(memory, device);
        let (utilization, has_utilization) = Figure::probe(utilization, device);
        let (processes, has_processes) = Figure::probe(process_count, device);
        let (compute_clock, has_compute_clock) =
            Figure::probe(|device| device.clock_info(Clock::SM), device);
        let (memory_clock, has_memory_clock) =
            Figure::probe(|device| device.clock_info(Clock::Memory), device);
        let (throttle, has_throttle) =
            Figure::probe(|device| device.current_throttle_reasons().map(throttle_of), device);
        let tensor = Tensor::probe(device);
        let names = [
            ("temperature", has_temperature),
            ("memory", has_memory),
            ("utilization", has_utilization),
            ("processes", has_processes),
            ("tensor_utilization", tensor.is_some()),
            ("clocks", has_compute_clock || has_memory_clock),
            ("throttle", has_throttle),
        ];
        let figures = Self {
            temperature,
            memory,
            utilization,
            compute_clock,
            memory_clock,
            throttle,
            processes,
            tensor,
            values: Paced::every(SLOW_FIGURES_PERIOD),
            process_count: Paced::every(PROCESSES_PERIOD),
        };
        (figures, names.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect())
    }

    /// Fills a reading with those of now, or of a short while ago.
    pub(super) fn fill(
        &mut self,
        device: &Device<'static>,
        now: Nanos,
        reading: &mut SensorReading,
    ) {
        let tensor = &mut self.tensor;
        let values = self.values.get(now, || Values {
            temperature_celsius: self.temperature.read(device).filter(|celsius| *celsius < 250.0),
            memory: self.memory.read(device).filter(Memory::is_plausible),
            utilization: self.utilization.read(device).filter(Utilization::is_plausible),
            compute_clock_mhz: self.compute_clock.read(device).filter(is_clock),
            memory_clock_mhz: self.memory_clock.read(device).filter(is_clock),
            throttle: self.throttle.read(device),
            tensor_utilization_pct: tensor.as_mut().and_then(|tensor| tensor.read(device)),
        });
        reading.temperature_celsius = values.temperature_celsius;
        reading.memory_used_bytes = values.memory.map(|memory| memory.used_bytes);
        reading.memory_total_bytes = values.memory.map(|memory| memory.total_bytes);
        reading.compute_utilization_pct = values.utilization.map(|share| share.compute_pct);
        reading.memory_utilization_pct = values.utilization.map(|share| share.memory_pct);
        reading.compute_clock_mhz = values.compute_clock_mhz;
        reading.memory_clock_mhz = values.memory_clock_mhz;
        reading.throttle = values.throttle;
        reading.tensor_utilization_pct = values.tensor_utilization_pct;
        let processes = &self.processes;
        reading.process_count = self.process_count.get(now, || processes.read(device));
    }

    /// Forgets what was read, and what would have to be compared with what comes: another driver
    /// answers now.
    pub(super) fn restart(&mut self) {
        self.values = Paced::every(SLOW_FIGURES_PERIOD);
        self.process_count = Paced::every(PROCESSES_PERIOD);
        if let Some(tensor) = &mut self.tensor {
            tensor.restart();
        }
    }
}

fn temperature(device: &Device<'_>) -> Result<f64, NvmlError> {
    device.temperature(TemperatureSensor::Gpu).map(f64::from)
}

fn memory(device: &Device<'_>) -> Result<Memory, NvmlError> {
    let memory = device.memory_info()?;
    Ok(Memory { used_bytes: memory.used, total_bytes: memory.total })
}

fn utilization(device: &Device<'_>) -> Result<Utilization, NvmlError> {
    let rates = device.utilization_rates()?;
    Ok(Utilization { compute_pct: rates.gpu.into(), memory_pct: rates.memory.into() })
}

/// How many processes hold memory on a GPU: those that compute and those that draw, each once.
fn process_count(device: &Device<'_>) -> Result<u32, NvmlError> {
    let computing = device.running_compute_processes()?;
    let drawing = match device.running_graphics_processes() {
        Ok(drawing) => drawing,
        // A GPU that can't draw has nobody drawing.
        Err(NvmlError::NotSupported) => Vec::new(),
        Err(error) => return Err(error),
    };
    let pids: HashSet<u32> = computing.iter().chain(&drawing).map(|process| process.pid).collect();
    Ok(u32::try_from(pids.len()).unwrap_or(u32::MAX))
}

/// NVML's reasons in our words. An idle GPU's low clocks are no throttling.
fn throttle_of(reasons: ThrottleReasons) -> Throttle {
    let ours = [
        (ThrottleReasons::SW_POWER_CAP, Throttle::POWER_CAP),
        (ThrottleReasons::SW_THERMAL_SLOWDOWN, Throttle::THERMAL),
        (ThrottleReasons::HW_THERMAL_SLOWDOWN, Throttle::THERMAL),
        (ThrottleReasons::HW_SLOWDOWN, Throttle::HARDWARE_SLOWDOWN),
        (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, Throttle::POWER_BRAKE),
        (ThrottleReasons::SYNC_BOOST, Throttle::SYNC_BOOST),
        (ThrottleReasons::APPLICATIONS_CLOCKS_SETTING, Throttle::CLOCK_SETTING),
        (ThrottleReasons::DISPLAY_CLOCK_SETTING, Throttle::CLOCK_SETTING),
    ];
    ours.into_iter()
        .filter(|(theirs, _)| reasons.contains(*theirs))
        .fold(Throttle::default(), |all, (_, reason)| all.and(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_nvml_but_idleness_is_one_of_ours() {
        assert_eq!(throttle_of(ThrottleReasons::empty()), Throttle::default());
        assert_eq!(throttle_of(ThrottleReasons::GPU_IDLE), Throttle::default());
        for reason in ThrottleReasons::all().iter().filter(|one| *one != ThrottleReasons::GPU_IDLE)
        {
            assert_ne!(throttle_of(reason), Throttle::default(), "{reason:?}");
        }
        assert_eq!(
            throttle_of(ThrottleReasons::SW_POWER_CAP | ThrottleReasons::HW_THERMAL_SLOWDOWN),
            Throttle::POWER_CAP.and(Throttle::THERMAL)
        );
    }
}
