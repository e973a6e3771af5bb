//! NVML's C functions over the [`Model`]: those that the monitor's NVML wrapper resolves for the
//! figures it reads. Types and numbers are those of NVIDIA's `nvml.h`.
#![expect(
    unsafe_code,
    reason = "this is a C library: its callers pass raw pointers, under NVML's own rules"
)]
#![expect(unreachable_pub, reason = "exported to C, not to Rust")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::sync::OnceLock;

use energy_proto::monotonic_now;

use crate::ENVIRONMENT_VARIABLE;
use crate::model::{Failure, Gpu, Metric, Model};

/// `nvmlReturn_t`.
type Return = c_uint;
/// `nvmlDevice_t`: here the index of the GPU plus one, so that null is never a GPU.
type Device = *mut c_void;

const SUCCESS: Return = 0;
const UNINITIALIZED: Return = 1;
const INVALID_ARGUMENT: Return = 2;
const NOT_SUPPORTED: Return = 3;
const INSUFFICIENT_SIZE: Return = 7;
const UNKNOWN: Return = 999;

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
        Failure::GpuIsLost => 15,
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

fn gpu(device: Device) -> Result<&'static Gpu, Return> {
    let index = (device as usize).checked_sub(1).ok_or(INVALID_ARGUMENT)?;
    loaded()?.gpus.get(index).ok_or(INVALID_ARGUMENT)
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
        15 => c"GPU is lost",
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
    let handle = (index as usize + 1) as Device;
    // SAFETY: NVML's contract for this function is the same.
    unsafe { give(device, gpu(handle).map(|_| handle)) }
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
    let counter =
        answering(device, Metric::Energy).map(|gpu| gpu.counter_millijoules(monotonic_now()));
    // SAFETY: NVML's contract for this function is the same.
    unsafe { give(energy, counter) }
}

/// Power in milliwatts.
///
/// # Safety
/// `power` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetPowerUsage(device: Device, power: *mut c_uint) -> Return {
    let shown = answering(device, Metric::Power).map(|gpu| gpu.shown_milliwatts(monotonic_now()));
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
