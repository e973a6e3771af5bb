//! NVIDIA GPUs through NVML: energy counter, power, temperature, memory, utilisation, clocks and why
//! they are low, tensor activity, and the number of processes that hold memory on each. On superchips
//! the power of the whole module too.
//!
//! The counter is in millijoules since the driver was loaded and is a staircase of 10 to 106 ms a
//! step. It doesn't know MIG instances: energy is that of the whole GPU.

mod fields;
mod figures;
mod gpu;
mod power;
mod tensor;

use std::path::Path;

use energy_proto::{GpuInfo, SensorInfo, SensorReading, Status};
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use self::gpu::Gpu;
use super::{Source, Unavailable};

/// Every GPU of one NVML library.
pub struct NvmlSource {
    gpus: Vec<Gpu>,
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
            let names = gpus.iter().map(|gpu| gpu.info.name.as_str());
            return Err(nothing_supported(names));
        }
        Ok(Self::numbered(gpus))
    }

    fn numbered(mut gpus: Vec<Gpu>) -> Self {
        for (id, gpu) in (0..).zip(&mut gpus) {
            gpu.info.id = id;
        }
        let modules =
            (gpus.len() as u32..).zip(gpus.iter_mut().filter_map(|gpu| gpu.module.as_mut()));
        for (id, module) in modules {
            module.info.id = id;
        }
        Self { gpus }
    }

    /// A source for each GPU: each is read in the rhythm of its own counter.
    pub fn each(self) -> impl Iterator<Item = Self> {
        self.gpus.into_iter().map(|gpu| Self::numbered(vec![gpu]))
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
        let modules = self.gpus.iter().filter_map(|gpu| gpu.module.as_ref());
        let infos = self.gpus.iter().map(|gpu| &gpu.info);
        infos.chain(modules.map(|module| &module.info)).cloned().collect()
    }

    fn read(&mut self, readings: &mut Vec<SensorReading>) {
        readings.extend(self.gpus.iter_mut().map(Gpu::read));
        readings.extend(self.gpus.iter_mut().filter_map(Gpu::read_module));
    }
}

fn status_of(error: &NvmlError) -> Status {
    match error {
        error if is_never(error) => Status::Unsupported,
        NvmlError::NoPermission => Status::PermissionDenied,
        NvmlError::GpuLost
        | NvmlError::ResetRequired
        | NvmlError::DriverNotLoaded
        | NvmlError::Uninitialized => Status::Lost,
        // Whatever it is, there is no read of now.
        _ => Status::Stale,
    }
}

/// Whether the driver or the board will never answer otherwise. From a figure that answered before,
/// it only means that the driver was asked too often.
fn is_never(error: &NvmlError) -> bool {
    matches!(
        error,
        NvmlError::NotSupported | NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound
    )
}

/// Whether the answer is about now and not about the board.
fn may_pass(error: &NvmlError) -> bool {
    status_of(error) == Status::Lost
        || matches!(
            error,
            NvmlError::Timeout
                | NvmlError::IrqIssue
                | NvmlError::InUse
                | NvmlError::InsufficientMemory
                | NvmlError::OperatingSystem
        )
}

fn remedy_for(status: Status) -> &'static str {
    match status {
        Status::Ok => "",
        Status::PermissionDenied => {
            "the driver restricts this GPU: run the monitor as a user who may use it, such as root"
        }
        Status::Lost => {
            "the GPU fell off the bus or its driver is gone: see the kernel's log, then reset the GPU \
             or restart the host"
        }
        Status::Unsupported => "this GPU gives neither energy nor power through NVML",
        Status::Stale | Status::Reset | Status::Implausible => {
            "the driver answers with an error: `nvidia-smi` shows its state"
        }
    }
}

/// Why NVML is of no use here. On a Jetson it starts and supports nothing.
fn nothing_supported<'a>(mut names: impl Iterator<Item = &'a str>) -> Unavailable {
    let remedy = if names.any(is_tegra) {
        "this is a Jetson, whose power rails are in hwmon: --sources hwmon reads them"
    } else {
        ""
    };
    Unavailable::new("NVML starts, but no GPU gives energy or power through it", remedy)
}

/// The integrated GPUs of Jetson boards, as NVML calls them: `Orin (nvgpu)`, `NVIDIA Thor`.
fn is_tegra(name: &str) -> bool {
    ["nvgpu", "Tegra", "Xavier", "Orin", "Thor"].iter().any(|part| name.contains(part))
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
    fn a_jetson_is_pointed_to_its_rails() {
        for name in ["Orin (nvgpu)", "NVIDIA Thor", "NVIDIA Tegra X1"] {
            let unavailable = nothing_supported([name].into_iter());
            assert!(unavailable.remedy.contains("--sources hwmon"), "{name}");
        }
        assert_eq!(nothing_supported(["NVIDIA GeForce 210"].into_iter()).remedy, "");
    }

    #[test]
    fn a_missing_library_says_what_to_install() {
        let error = NvmlSource::open(Some(Path::new("/nonexistent/libnvidia-ml.so.1")))
            .err()
            .expect("there is no such library");
        assert!(error.remedy.contains("--nvml-library"), "{error}");
    }
}
