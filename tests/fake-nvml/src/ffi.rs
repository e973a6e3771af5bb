//! NVML's C functions over the [`Model`]: those that the monitor's NVML wrapper resolves for the
//! figures it reads. Types and numbers are those of NVIDIA's `nvml.h`.
#![expect(
    unsafe_code,
    reason = "this is a C library: its callers pass raw pointers, under NVML's own rules"
)]
#![expect(unreachable_pub, reason = "exported to C, not to Rust")]

mod fields;
mod gpm;
mod polled;

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::sync::OnceLock;

use energy_proto::monotonic_now;

use crate::ENVIRONMENT_VARIABLE;
use crate::fault::{Failure, Metric};
use crate::model::{Gpu, Model};

/// `nvmlReturn_t`.
type Return = c_uint;
/// `nvmlDevice_t`: here the index of the GPU plus one, so that null is never a GPU, and above it how
/// often the driver had been loaded again when the handle was given.
type Device = *mut c_void;
/// The part of a handle that is the index plus one.
const INDEX_MASK: usize = 0xffff;

const SUCCESS: Return = 0;
const UNINITIALIZED: Return = 1;
const INVALID_ARGUMENT: Return = 2;
const NOT_SUPPORTED: Return = 3;
const NOT_FOUND: Return = 6;
const INSUFFICIENT_SIZE: Return = 7;
const GPU_IS_LOST: Return = 15;
const UNKNOWN: Return = 999;

/// `nvmlClockType_t`.
const CLOCK_SM: c_uint = 1;
const CLOCK_MEM: c_uint = 2;

/// `NVML_VALUE_NOT_AVAILABLE` of a MIG instance id.
const NO_INSTANCE: c_uint = c_uint::MAX;

static MODEL: OnceLock<Option<Model>> = OnceLock::new();

/// `nvmlMemory_v2_t`.
#[repr(C)]
pub struct MemoryV2 {
    version: c_uint,
    total: c_ulonglong,
    reserved: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

/// `nvmlUtilization_t`.
#[repr(C)]
pub struct UtilizationRates {
    gpu: c_uint,
    memory: c_uint,
}

/// `nvmlProcessInfo_t` as the `_v3` functions fill it.
#[repr(C)]
pub struct ProcessInfo {
    pid: c_uint,
    used_gpu_memory: c_ulonglong,
    gpu_instance_id: c_uint,
    compute_instance_id: c_uint,
}

fn code(failure: Failure) -> Return {
    match failure {
        Failure::NotSupported => NOT_SUPPORTED,
        Failure::NoPermission => 4,
        Failure::DriverNotLoaded => 9,
        Failure::Timeout => 10,
        Failure::GpuIsLost => GPU_IS_LOST,
        Failure::Unknown => UNKNOWN,
    }
}

/// Reads the model from the environment; nothing if that can't be done, said once.
#[expect(clippy::print_stderr, reason = "a C library has no other way to explain a wrong model")]
fn load() -> Option<Model> {
    let text = std::env::var(ENVIRONMENT_VARIABLE).unwrap_or_else(|_| "{}".to_owned());
    Model::parse(&text)
        .inspect_err(|error| eprintln!("fake-nvml: {ENVIRONMENT_VARIABLE}: {error}"))
        .ok()
}

fn loaded() -> Result<&'static Model, Return> {
    MODEL.get().ok_or(UNINITIALIZED)?.as_ref().ok_or(UNKNOWN)
}

/// The index of the GPU of a handle, and the GPU, if the handle is of the driver's present life.
fn indexed(device: Device) -> Result<(usize, &'static Gpu), Return> {
    let (place, life) = (device as usize & INDEX_MASK, device as usize / (INDEX_MASK + 1));
    let index = place.checked_sub(1).ok_or(INVALID_ARGUMENT)?;
    let gpu = loaded()?.gpus.get(index).ok_or(INVALID_ARGUMENT)?;
    (gpu.reloads(monotonic_now()) == Some(life)).then_some((index, gpu)).ok_or(GPU_IS_LOST)
}

fn gpu(device: Device) -> Result<&'static Gpu, Return> {
    indexed(device).map(|(_, gpu)| gpu)
}

/// The handle of a GPU for as long as its driver stays loaded.
fn handle(index: usize) -> Result<Device, Return> {
    let gpu = loaded()?.gpus.get(index).ok_or(INVALID_ARGUMENT)?;
    let life = gpu.reloads(monotonic_now()).ok_or(GPU_IS_LOST)?;
    Ok((life * (INDEX_MASK + 1) + index + 1) as Device)
}

/// The GPU, after the hang and the failures that the model has for this metric.
fn answering(device: Device, metric: Metric) -> Result<&'static Gpu, Return> {
    let gpu = gpu(device)?;
    std::thread::sleep(gpu.hangs_for(monotonic_now()));
    if loaded()?.supports_nothing {
        return Err(NOT_SUPPORTED);
    }
    gpu.failure(metric, monotonic_now()).map_or(Ok(gpu), |failure| Err(code(failure)))
}

/// Writes a result through a caller's pointer.
///
/// # Safety
/// `out` is null or valid for a write of `T`.
unsafe fn give<T>(out: *mut T, value: Result<T, Return>) -> Return {
    match value {
        Err(code) => code,
        Ok(_) if out.is_null() => INVALID_ARGUMENT,
        Ok(value) => {
            // SAFETY: not null, so valid for a write by this function's contract.
            unsafe { out.write(value) };
            SUCCESS
        }
    }
}

/// Writes text and its final zero into a caller's buffer.
///
/// # Safety
/// `out` is null or valid for writes of `length` bytes.
unsafe fn give_text(out: *mut c_char, length: c_uint, text: Result<&str, Return>) -> Return {
    match text {
        Err(code) => code,
        Ok(_) if out.is_null() => INVALID_ARGUMENT,
        Ok(text) if text.len() >= length as usize => INSUFFICIENT_SIZE,
        Ok(text) => {
            // SAFETY: the buffer holds `length` bytes, more than the text has.
            unsafe {
                out.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), text.len());
                out.add(text.len()).write(0);
            }
            SUCCESS
        }
    }
}

/// Writes a list of processes as NVML does: the needed size if the buffer is too small.
///
/// # Safety
/// `count` is null or valid; `out` is null or valid for writes of `*count` entries.
unsafe fn give_processes(
    count: *mut c_uint,
    out: *mut ProcessInfo,
    device: Device,
    list: fn(&Gpu) -> &[u32],
) -> Return {
    let gpu = match answering(device, Metric::Processes) {
        Ok(gpu) => gpu,
        Err(code) => return code,
    };
    if count.is_null() {
        return INVALID_ARGUMENT;
    }
    let pids = list(gpu);
    // SAFETY: `count` isn't null, so valid by this function's contract.
    let room = unsafe { count.replace(pids.len() as c_uint) } as usize;
    if room < pids.len() {
        return INSUFFICIENT_SIZE;
    }
    for (index, pid) in pids.iter().enumerate() {
        let process = ProcessInfo {
            pid: *pid,
            used_gpu_memory: 1 << 30,
            gpu_instance_id: NO_INSTANCE,
            compute_instance_id: NO_INSTANCE,
        };
        // SAFETY: there is room for all of them, as was just checked.
        unsafe { out.add(index).write(process) };
    }
    SUCCESS
}

/// Starts the library.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> Return {
    match MODEL.get_or_init(load) {
        None => UNKNOWN,
        Some(model) => model.init_error.map_or(SUCCESS, code),
    }
}

/// Starts the library; the flags change nothing here.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlInitWithFlags(_flags: c_uint) -> Return {
    nvmlInit_v2()
}

/// Ends the library: nothing to do.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> Return {
    SUCCESS
}

/// A code's meaning.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlErrorString(code: Return) -> *const c_char {
    let text: &CStr = match code {
        SUCCESS => c"Success",
        NOT_SUPPORTED => c"Not Supported",
        GPU_IS_LOST => c"GPU is lost",
        _ => c"Unknown Error",
    };
    text.as_ptr()
}

/// The driver's version.
///
/// # Safety
/// `version` is valid for writes of `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetDriverVersion(
    version: *mut c_char,
    length: c_uint,
) -> Return {
    // SAFETY: NVML's contract for this function is the same.
    unsafe { give_text(version, length, loaded().map(|model| model.driver_version.as_str())) }
}

/// The number of GPUs.
///
/// # Safety
/// `count` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> Return {
    // SAFETY: NVML's contract for this function is the same.
    unsafe { give(count, loaded().map(|model| model.gpus.len() as c_uint)) }
}

/// The handle of a GPU.
///
/// # Safety
/// `device` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(
    index: c_uint,
    device: *mut Device,
) -> Return {
    // SAFETY: NVML's contract for this function is the same.
    unsafe { give(device, handle(index as usize)) }
}

/// The handle of a GPU.
///
/// # Safety
/// `uuid` is null or text with a final zero; `device` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByUUID(
    uuid: *const c_char,
    device: *mut Device,
) -> Return {
    if uuid.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: not null, so text by this function's contract.
    let uuid = unsafe { CStr::from_ptr(uuid) };
    let index = loaded().and_then(|model| {
        let mut gpus = model.gpus.iter();
        gpus.position(|gpu| gpu.uuid.as_bytes() == uuid.to_bytes()).ok_or(NOT_FOUND)
    });
    // SAFETY: NVML's contract for this function is the same.
    unsafe { give(device, index.and_then(handle)) }
}

/// A GPU's name.
///
/// # Safety
/// `name` is valid for writes of `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetName(
    device: Device,
    name: *mut c_char,
    length: c_uint,
) -> Return {
    // SAFETY: NVML's contract for this function is the same.
    unsafe { give_text(name, length, gpu(device).map(|gpu| gpu.name.as_str())) }
}

/// A GPU's UUID.
///
/// # Safety
/// `uuid` is valid for writes of `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetUUID(
    device: Device,
    uuid: *mut c_char,
    length: c_uint,
) -> Return {
    // SAFETY: NVML's contract for this function is the same.
    unsafe { give_text(uuid, length, gpu(device).map(|gpu| gpu.uuid.as_str())) }
}

/// The energy counter in millijoules.
///
/// # Safety
/// `energy` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetTotalEnergyConsumption(
    device: Device,
    energy: *mut c_ulonglong,
) -> Return {
    // SAFETY: NVML's contract for this function is the same.
    unsafe { give(energy, polled::energy_millijoules(device)) }
}

/// Power in milliwatts.
///
/// # Safety
/// `power` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetPowerUsage(device: Device, power: *mut c_uint) -> Return {
    let shown = polled::power_milliwatts(device, Metric::Power, Gpu::shown_milliwatts);
    // SAFETY: NVML's contract for this function is the same.
    unsafe { give(power, shown) }
}

/// Die temperature in degrees Celsius.
///
/// # Safety
/// `temperature` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetTemperature(
    device: Device,
    _sensor: c_int,
    temperature: *mut c_uint,
) -> Return {
    let shown = answering(device, Metric::Temperature).map(|gpu| gpu.temperature_celsius);
    // SAFETY: NVML's contract for this function is the same.
    unsafe { give(temperature, shown) }
}

/// Memory in bytes.
///
/// # Safety
/// `memory` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMemoryInfo_v2(
    device: Device,
    memory: *mut MemoryV2,
) -> Return {
    let shown = answering(device, Metric::Memory).map(|gpu| MemoryV2 {
        version: size_of::<MemoryV2>() as c_uint | 2 << 24,
        total: gpu.memory.total_bytes,
        reserved: 0,
        free: gpu.memory.total_bytes.saturating_sub(gpu.memory.used_bytes),
        used: gpu.memory.used_bytes,
    });
    // SAFETY: NVML's contract for this function is the same.
    unsafe { give(memory, shown) }
}

/// Utilisation in percent.
///
/// # Safety
/// `rates` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetUtilizationRates(
    device: Device,
    rates: *mut UtilizationRates,
) -> Return {
    let shown = answering(device, Metric::Utilization).map(|gpu| UtilizationRates {
        gpu: gpu.utilization.compute_pct,
        memory: gpu.utilization.memory_pct,
    });
    // SAFETY: NVML's contract for this function is the same.
    unsafe { give(rates, shown) }
}

/// A clock in MHz.
///
/// # Safety
/// `clock` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetClockInfo(
    device: Device,
    clock_type: c_uint,
    clock: *mut c_uint,
) -> Return {
    let shown = match clock_type {
        CLOCK_SM => answering(device, Metric::ComputeClock).map(|gpu| gpu.clocks.compute_mhz),
        CLOCK_MEM => answering(device, Metric::MemoryClock).map(|gpu| gpu.clocks.memory_mhz),
        _ => Err(NOT_SUPPORTED),
    };
    // SAFETY: NVML's contract for this function is the same.
    unsafe { give(clock, shown) }
}

/// Why the clocks are low.
///
/// # Safety
/// `reasons` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCurrentClocksThrottleReasons(
    device: Device,
    reasons: *mut c_ulonglong,
) -> Return {
    let shown = answering(device, Metric::Throttle).map(|gpu| gpu.throttle_reasons);
    // SAFETY: NVML's contract for this function is the same.
    unsafe { give(reasons, shown) }
}

/// Whether MIG is on, and whether it will be.
///
/// # Safety
/// `current` and `pending` are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMigMode(
    device: Device,
    current: *mut c_uint,
    pending: *mut c_uint,
) -> Return {
    let mode = answering(device, Metric::Mig)
        .and_then(|gpu| gpu.mig.ok_or(NOT_SUPPORTED))
        .map(c_uint::from);
    // SAFETY: NVML's contract for this function is the same.
    match unsafe { give(current, mode) } {
        // SAFETY: as above.
        SUCCESS => unsafe { give(pending, mode) },
        failure => failure,
    }
}

/// The CUDA compute capability.
///
/// # Safety
/// `major` and `minor` are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCudaComputeCapability(
    device: Device,
    major: *mut c_int,
    minor: *mut c_int,
) -> Return {
    let capability = answering(device, Metric::ComputeCapability).map(|gpu| gpu.compute_capability);
    // SAFETY: NVML's contract for this function is the same.
    match unsafe { give(major, capability.map(|(major, _)| major)) } {
        // SAFETY: as above.
        SUCCESS => unsafe { give(minor, capability.map(|(_, minor)| minor)) },
        failure => failure,
    }
}

/// The enforced power limit in milliwatts.
///
/// # Safety
/// `limit` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetEnforcedPowerLimit(
    device: Device,
    limit: *mut c_uint,
) -> Return {
    let shown = answering(device, Metric::PowerLimit).map(|gpu| gpu.power_limit_watts * 1_000);
    // SAFETY: NVML's contract for this function is the same.
    unsafe { give(limit, shown) }
}

/// Processes that compute.
///
/// # Safety
/// `count` is null or valid; `infos` is null or valid for `*count` entries.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    device: Device,
    count: *mut c_uint,
    infos: *mut ProcessInfo,
) -> Return {
    // SAFETY: NVML's contract for this function is the same.
    unsafe { give_processes(count, infos, device, |gpu| &gpu.compute_processes) }
}

/// Processes that draw.
///
/// # Safety
/// `count` is null or valid; `infos` is null or valid for `*count` entries.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v3(
    device: Device,
    count: *mut c_uint,
    infos: *mut ProcessInfo,
) -> Return {
    // SAFETY: NVML's contract for this function is the same.
    unsafe { give_processes(count, infos, device, |gpu| &gpu.graphics_processes) }
}
