//! NVIDIA GPUs through NVML: energy counter, power, temperature, memory, utilisation, and the number
//! of processes that hold memory on each.
//!
//! The counter is in millijoules since the driver was loaded and is a staircase of 10 to 106 ms a
//! step; power is a mean over up to a second. It doesn't know MIG instances: energy is that of the
//! whole GPU.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use energy_proto::{GpuInfo, Nanos, SensorInfo, SensorKind, SensorReading, Status, Watts};
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

use super::{Paced, SLOW_FIGURES_PERIOD, Source, Unavailable, timed};
use crate::counter::{Counted, Counter};

/// Listing processes is the slowest call of all.
const PROCESSES_PERIOD: Duration = Duration::from_secs(1);
/// One count of the counter.
const QUANTUM_MICROJOULES: u64 = 1_000;
/// Found per board on A100 and H100 (Yang et al., SC'24).
const GAIN_ERROR_PCT: f64 = 5.0;

/// Every GPU of one NVML library.
pub struct NvmlSource {
    gpus: Vec<Gpu>,
}

struct Gpu {
    info: SensorInfo,
    /// Nothing if the driver would not open it when the monitor started.
    device: Option<Device<'static>>,
    counter: Counter,
    slow: Paced<SlowFigures>,
    processes: Paced<Option<u32>>,
}

#[derive(Clone)]
struct SlowFigures {
    temperature_celsius: Option<f64>,
    memory_used_bytes: Option<u64>,
    memory_total_bytes: Option<u64>,
    compute_utilization_pct: Option<f64>,
    memory_utilization_pct: Option<f64>,
}

impl NvmlSource {
    /// Loads the library and opens every GPU.
    ///
    /// # Errors
    /// If there is no library, no driver or no GPU, or if no GPU gives energy or power.
    pub fn open(library: Option<&Path>) -> Result<Self, Unavailable> {
        let mut builder = Nvml::builder();
        if let Some(path) = library {
            builder.lib_path(path.as_os_str());
        }
        let nvml = builder.init().map_err(|error| not_started(&error))?;
        // Never unloaded: a call that hangs would return into unmapped memory, and the handles of
        // the GPUs live as long as the process.
        let nvml: &'static Nvml = Box::leak(Box::new(nvml));
        let count = nvml.device_count().map_err(|error| not_started(&error))?;
        let gpus: Vec<Gpu> = (0..count).map(|index| Gpu::open(nvml, index)).collect();
        if gpus.is_empty() {
            return Err(Unavailable::new("NVML finds no GPU", ""));
        }
        if gpus.iter().all(|gpu| gpu.info.status == Status::Unsupported) {
            return Err(Unavailable::new(
                "NVML starts, but no GPU gives energy or power through it",
                "",
            ));
        }
        Ok(Self { gpus })
    }

    /// The first GPU, in the original monitor's words.
    #[must_use]
    pub fn first_gpu(&self) -> Option<GpuInfo> {
        let name = self.gpus.first()?.info.name.clone();
        Some(GpuInfo {
            name,
            vendor: "NVIDIA".to_owned(),
            device_id: 0,
            device_type: "GPU".to_owned(),
            backend: "NVML".to_owned(),
        })
    }
}

impl Source for NvmlSource {
    fn describe(&self) -> Vec<SensorInfo> {
        self.gpus.iter().map(|gpu| gpu.info.clone()).collect()
    }

    fn read(&mut self, readings: &mut Vec<SensorReading>) {
        readings.extend(self.gpus.iter_mut().map(Gpu::read));
    }
}

impl Gpu {
    fn open(nvml: &'static Nvml, index: u32) -> Self {
        let device = nvml.device_by_index(index);
        let info = match &device {
            Ok(device) => info_of(device, index),
            Err(error) => blank_info(index, status_of(error)),
        };
        Self {
            info,
            device: device.ok(),
            counter: Counter::of_gpu(),
            slow: Paced::every(SLOW_FIGURES_PERIOD),
            processes: Paced::every(PROCESSES_PERIOD),
        }
    }

    fn read(&mut self) -> SensorReading {
        let Some(device) = &self.device else {
            let now = energy_proto::monotonic_now();
            return SensorReading::empty(self.info.id, now, now, self.info.status);
        };
        let (counter, start, end) = timed(|| device.total_energy_consumption());
        let energy = counter.map(|millijoules| count(&mut self.counter, millijoules, end));
        let power = device.power_usage();
        let mut reading =
            SensorReading::empty(self.info.id, start, end, self.status(&energy, &power));
        reading.epoch = self.counter.epoch();
        if reading.status == Status::Lost {
            return reading;
        }
        reading.energy_microjoules = energy.ok().flatten().map(|counted| counted.microjoules);
        reading.power = power.ok().and_then(watts);
        let slow = self.slow.get(end, || SlowFigures::read(device));
        reading.temperature_celsius = slow.temperature_celsius;
        reading.memory_used_bytes = slow.memory_used_bytes;
        reading.memory_total_bytes = slow.memory_total_bytes;
        reading.compute_utilization_pct = slow.compute_utilization_pct;
        reading.memory_utilization_pct = slow.memory_utilization_pct;
        reading.process_count = self.processes.get(end, || process_count(device));
        reading
    }

    /// The status of a read: that of the energy, or of power where there is no counter.
    fn status(
        &self,
        energy: &Result<Option<Counted>, NvmlError>,
        power: &Result<u32, NvmlError>,
    ) -> Status {
        match energy {
            Ok(Some(counted)) if counted.reset => Status::Reset,
            Ok(Some(_)) => Status::Ok,
            Ok(None) => Status::Implausible,
            Err(error) if self.info.measures.iter().any(|figure| figure == "energy") => {
                status_of(error)
            }
            Err(_) => power.as_ref().map_or_else(status_of, |_| Status::Ok),
        }
    }
}

/// Takes a value of the counter. Zero is what an over-polled driver answers, and what the counter
/// shows for an instant after a reload: no GPU has used nothing. Nor has one used what doesn't fit
/// into 64 bits of microjoules.
fn count(counter: &mut Counter, millijoules: u64, at: Nanos) -> Option<Counted> {
    let microjoules = millijoules.checked_mul(1_000).filter(|energy| *energy > 0)?;
    Some(counter.observe(microjoules, at))
}

/// A power in milliwatts; zero is no power that a GPU can have.
fn watts(milliwatts: u32) -> Option<Watts> {
    (milliwatts > 0).then(|| Watts(f64::from(milliwatts) * 1e-3))
}

impl SlowFigures {
    fn read(device: &Device<'_>) -> Self {
        let memory = device.memory_info().ok();
        let utilization = device.utilization_rates().ok();
        Self {
            temperature_celsius: device.temperature(TemperatureSensor::Gpu).ok().map(f64::from),
            memory_used_bytes: memory.as_ref().map(|memory| memory.used),
            memory_total_bytes: memory.as_ref().map(|memory| memory.total),
            compute_utilization_pct: utilization.as_ref().map(|rates| f64::from(rates.gpu)),
            memory_utilization_pct: utilization.as_ref().map(|rates| f64::from(rates.memory)),
        }
    }
}

/// How many processes hold memory on a GPU: those that compute and those that draw, each once.
fn process_count(device: &Device<'_>) -> Option<u32> {
    let computing = device.running_compute_processes().ok()?;
    let drawing = match device.running_graphics_processes() {
        Ok(drawing) => drawing,
        // A GPU that can't draw has nobody drawing.
        Err(NvmlError::NotSupported) => Vec::new(),
        Err(_) => return None,
    };
    let pids: HashSet<u32> = computing.iter().chain(&drawing).map(|process| process.pid).collect();
    u32::try_from(pids.len()).ok()
}

fn info_of(device: &Device<'_>, index: u32) -> SensorInfo {
    let slow = SlowFigures::read(device);
    let energy = device.total_energy_consumption();
    let power = device.power_usage();
    let figures = [
        ("energy", energy.is_ok()),
        ("power", power.is_ok()),
        ("temperature", slow.temperature_celsius.is_some()),
        ("memory", slow.memory_used_bytes.is_some()),
        ("utilization", slow.compute_utilization_pct.is_some()),
        ("processes", process_count(device).is_some()),
    ];
    let status = energy.as_ref().map_or_else(status_of, |_| Status::Ok);
    let status = power.as_ref().map_or(status, |_| Status::Ok);
    let mut info = blank_info(index, status);
    info.name = device.name().unwrap_or(info.name);
    info.uuid = device.uuid().unwrap_or(info.uuid);
    info.measures = figures
        .into_iter()
        .filter(|(_, there)| *there)
        .map(|(figure, _)| figure.to_owned())
        .collect();
    info.quantum_microjoules = energy.is_ok().then_some(QUANTUM_MICROJOULES);
    info.gain_error_pct = Some(GAIN_ERROR_PCT);
    info.power_limit = device.enforced_power_limit().ok().and_then(watts);
    info
}

/// What is known of a GPU that says nothing of itself.
fn blank_info(index: u32, status: Status) -> SensorInfo {
    SensorInfo {
        name: format!("NVIDIA GPU {index}"),
        uuid: format!("nvml:{index}"),
        status,
        remedy: remedy_for(status).to_owned(),
        ..SensorInfo::new(index, SensorKind::Gpu, "nvml")
    }
}

fn status_of(error: &NvmlError) -> Status {
    match error {
        NvmlError::NotSupported | NvmlError::FailedToLoadSymbol(_) => Status::Unsupported,
        NvmlError::NoPermission => Status::PermissionDenied,
        NvmlError::GpuLost | NvmlError::ResetRequired => Status::Lost,
        // Whatever it is, there is no read of now.
        _ => Status::Stale,
    }
}

fn remedy_for(status: Status) -> &'static str {
    match status {
        Status::Ok => "",
        Status::PermissionDenied => {
            "the driver restricts this GPU: run the monitor as a user who may use it, such as root"
        }
        Status::Lost => "the GPU fell off the bus: see the kernel's log, then restart the host",
        Status::Unsupported => "this GPU gives neither energy nor power through NVML",
        Status::Stale | Status::Reset | Status::Implausible => {
            "the driver answers with an error: `nvidia-smi` shows its state"
        }
    }
}

fn not_started(error: &NvmlError) -> Unavailable {
    let remedy = match error {
        NvmlError::LibloadingError(_) => {
            "install NVIDIA's driver, or name its libnvidia-ml.so.1 with --nvml-library PATH"
        }
        NvmlError::DriverNotLoaded => "load NVIDIA's kernel module: `sudo modprobe nvidia`",
        NvmlError::LibRmVersionMismatch => {
            "the driver's library and kernel module are of different versions: restart the host"
        }
        NvmlError::NoPermission => "run the monitor as a user who may use /dev/nvidiactl",
        _ => "`nvidia-smi` shows the driver's state",
    };
    Unavailable::new(format!("NVML does not start: {error}"), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_of_zero_is_withheld_and_leaves_no_trace() {
        let mut counter = Counter::of_gpu();
        assert_eq!(count(&mut counter, 0, Nanos(1)), None);
        assert_eq!(
            count(&mut counter, 7, Nanos(2)).map(|counted| counted.microjoules),
            Some(7_000)
        );
        assert_eq!(count(&mut counter, 0, Nanos(3)), None);
        assert_eq!(count(&mut counter, u64::MAX, Nanos(3)), None);
        assert_eq!(counter.epoch(), 0);
    }

    #[test]
    fn a_missing_library_says_what_to_install() {
        let error = NvmlSource::open(Some(Path::new("/nonexistent/libnvidia-ml.so.1")))
            .err()
            .expect("there is no such library");
        assert!(error.remedy.contains("--nvml-library"), "{error}");
    }
}
