//! GPM: tensor activity as the difference of two samples that the caller holds.

use std::ffi::{CStr, c_char, c_double, c_uint};
use std::time::Duration;

use energy_proto::{Nanos, monotonic_now};

use super::{Device, INVALID_ARGUMENT, NOT_SUPPORTED, Return, SUCCESS, answering, give, gpu};
use crate::fault::Metric;

/// `NVML_GPM_METRIC_ANY_TENSOR_UTIL`, in percent.
const ANY_TENSOR_UTIL: c_uint = 5;
/// NVIDIA says of Hopper that figures of a shorter time are not valid.
const LEAST_TIME: Duration = Duration::from_millis(100);
const NAME: &CStr = c"Any Tensor Activity";
const UNIT: &CStr = c"%";

/// What `nvmlGpmSample_t` points to.
pub struct Sample {
    device: Device,
    at: Nanos,
}

/// `nvmlGpmSupport_t`.
#[repr(C)]
pub struct Support {
    version: c_uint,
    is_supported_device: c_uint,
}

/// `nvmlGpmMetric_t`.
#[repr(C)]
pub struct GpmMetric {
    metric_id: c_uint,
    nvml_return: Return,
    value: c_double,
    short_name: *const c_char,
    long_name: *const c_char,
    unit: *const c_char,
}

/// `nvmlGpmMetricsGet_t`; the array is longer in every driver.
#[repr(C)]
pub struct MetricsGet {
    version: c_uint,
    num_metrics: c_uint,
    sample1: *mut Sample,
    sample2: *mut Sample,
    metrics: [GpmMetric; 1],
}

/// Whether a GPU has GPM.
///
/// # Safety
/// `support` is null or valid, with its version set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmQueryDeviceSupport(
    device: Device,
    support: *mut Support,
) -> Return {
    let answer = answering(device, Metric::Tensor)
        .map(|gpu| Support { version: 1, is_supported_device: gpu.tensor_pct.is_some().into() });
    // SAFETY: NVML's contract for this function is the same.
    unsafe { give(support, answer) }
}

/// Memory for a sample.
///
/// # Safety
/// `sample` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmSampleAlloc(sample: *mut *mut Sample) -> Return {
    let empty = Box::new(Sample { device: std::ptr::null_mut(), at: Nanos(0) });
    // SAFETY: NVML's contract for this function is the same.
    unsafe { give(sample, Ok(Box::into_raw(empty))) }
}

/// Frees a sample.
///
/// # Safety
/// `sample` is null or one that `nvmlGpmSampleAlloc` gave and that wasn't freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmSampleFree(sample: *mut Sample) -> Return {
    if sample.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: it came from a box, and is freed once, by this function's contract.
    drop(unsafe { Box::from_raw(sample) });
    SUCCESS
}

/// Takes a sample now.
///
/// # Safety
/// `sample` is null or one that `nvmlGpmSampleAlloc` gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmSampleGet(device: Device, sample: *mut Sample) -> Return {
    let taken = answering(device, Metric::Tensor).and_then(|gpu| {
        gpu.tensor_pct.as_ref().map(|_| Sample { device, at: monotonic_now() }).ok_or(NOT_SUPPORTED)
    });
    // SAFETY: NVML's contract for this function is the same.
    unsafe { give(sample, taken) }
}

/// Figures of the time between two samples.
///
/// # Safety
/// `get` is null or valid, with as many metrics as it says and two samples of
/// `nvmlGpmSampleAlloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlGpmMetricsGet(get: *mut MetricsGet) -> Return {
    if get.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: not null, so valid by this function's contract, and the samples with it.
    let (count, samples) = unsafe {
        ((*get).num_metrics as usize, ((*get).sample1.as_ref(), (*get).sample2.as_ref()))
    };
    let (Some(first), Some(second)) = samples else { return INVALID_ARGUMENT };
    // SAFETY: the caller's array has `count` entries; this only takes its address.
    let metrics = unsafe { (&raw mut (*get).metrics).cast::<GpmMetric>() };
    for index in 0..count {
        // SAFETY: within the caller's array.
        let metric = unsafe { &mut *metrics.add(index) };
        let value = match metric.metric_id {
            ANY_TENSOR_UTIL => tensor_pct(first, second),
            _ => Err(NOT_SUPPORTED),
        };
        metric.nvml_return = value.err().unwrap_or(SUCCESS);
        metric.value = value.unwrap_or_default();
        metric.short_name = NAME.as_ptr();
        metric.long_name = NAME.as_ptr();
        metric.unit = UNIT.as_ptr();
    }
    SUCCESS
}

fn tensor_pct(first: &Sample, second: &Sample) -> Result<f64, Return> {
    let time = second.at.since(first.at);
    if first.device != second.device || time.is_zero() {
        return Err(INVALID_ARGUMENT);
    }
    let busy = gpu(first.device)?.tensor_pct.as_ref().ok_or(NOT_SUPPORTED)?;
    let mean = (busy.energy(first.at, second.at) / time).0;
    // Any figure would do, since it isn't valid; this one is never true.
    Ok(if time < LEAST_TIME { -mean } else { mean })
}
