//! Field values: figures by number, each with its scope, its own time and its own return code.

use std::ffi::{c_int, c_longlong, c_uint, c_ulonglong};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use energy_proto::{Nanos, monotonic_now};

use super::{
    Device, INVALID_ARGUMENT, NOT_SUPPORTED, Return, SUCCESS, gpu, polled::power_milliwatts,
};
use crate::fault::Metric;
use crate::model::Gpu;

/// `NVML_FI_DEV_POWER_INSTANT`, in milliwatts.
const POWER_INSTANT: c_uint = 186;
/// `NVML_POWER_SCOPE_GPU` and `NVML_POWER_SCOPE_MODULE`.
const SCOPE_GPU: c_uint = 0;
const SCOPE_MODULE: c_uint = 1;
/// `NVML_VALUE_TYPE_UNSIGNED_INT`.
const UNSIGNED_INT: c_uint = 1;

/// `nvmlValue_t`.
#[repr(C)]
pub union Value {
    unsigned: c_uint,
    unsigned_long_long: c_ulonglong,
}

/// `nvmlFieldValue_t`.
#[repr(C)]
pub struct FieldValue {
    field_id: c_uint,
    scope_id: c_uint,
    timestamp: c_longlong,
    latency_usec: c_longlong,
    value_type: c_uint,
    nvml_return: Return,
    value: Value,
}

/// Figures by their numbers.
///
/// # Safety
/// `values` is null or valid for `count` entries, each with its field and scope set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetFieldValues(
    device: Device,
    count: c_int,
    values: *mut FieldValue,
) -> Return {
    let Ok(count) = usize::try_from(count) else { return INVALID_ARGUMENT };
    if count == 0 || values.is_null() {
        return INVALID_ARGUMENT;
    }
    if let Err(code) = gpu(device) {
        return code;
    }
    // SAFETY: not null, so valid for `count` entries by this function's contract.
    for value in unsafe { std::slice::from_raw_parts_mut(values, count) } {
        fill(device, value);
    }
    SUCCESS
}

fn fill(device: Device, field: &mut FieldValue) {
    let asked = monotonic_now();
    let answer = match (field.field_id, field.scope_id) {
        (POWER_INSTANT, SCOPE_GPU) => gpu_milliwatts(device),
        (POWER_INSTANT, SCOPE_MODULE) => module_milliwatts(device),
        _ => Err(NOT_SUPPORTED),
    };
    let took = monotonic_now().since(asked);
    field.latency_usec = c_longlong::try_from(took.as_micros()).unwrap_or(c_longlong::MAX);
    field.timestamp = gpu(device).map_or(0, stamp);
    match answer {
        Err(code) => field.nvml_return = code,
        Ok(milliwatts) => {
            field.nvml_return = SUCCESS;
            field.value_type = UNSIGNED_INT;
            field.value = Value { unsigned_long_long: 0 };
            field.value.unsigned = milliwatts;
        }
    }
}

fn gpu_milliwatts(device: Device) -> Result<c_uint, Return> {
    if !gpu(device)?.instant_power {
        return Err(NOT_SUPPORTED);
    }
    let shown = |gpu: &Gpu, at| gpu.instant_milliwatts(&gpu.power, at);
    power_milliwatts(device, Metric::PowerInstant, shown)
}

fn module_milliwatts(device: Device) -> Result<c_uint, Return> {
    let power = gpu(device)?.module_power.as_ref().ok_or(NOT_SUPPORTED)?;
    let shown = |gpu: &Gpu, at| gpu.instant_milliwatts(power, at);
    power_milliwatts(device, Metric::ModulePower, shown)
}

/// The time of the last refresh on the wall clock, in microseconds, as wrong as the model says.
fn stamp(gpu: &Gpu) -> c_longlong {
    let now: Nanos = monotonic_now();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let age = now.since(gpu.last_refresh(now));
    let micros = wall.saturating_sub(age).as_micros();
    let micros = c_longlong::try_from(micros).unwrap_or(c_longlong::MAX);
    micros.saturating_add(gpu.timestamp_error_ms.saturating_mul(1_000))
}
