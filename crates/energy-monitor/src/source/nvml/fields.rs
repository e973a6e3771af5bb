//! Power as a field value: of a scope that is named, with the time that the driver gives it.
//!
//! The scope is why this calls the C function itself: nvml-wrapper's `field_values_for` passes none.
//! That call also maps the field ids 251 to 273, which CUDA 13.0 Update 1 (driver 580.82) renumbered;
//! the only field used here, 186, lies outside and is the same in every driver that has it.
//!
//! `nvml.h` brought fields and scopes together, so a driver that knows the field knows the scope. Power
//! in milliwatts, the driver's time in microseconds of the wall clock.
#![expect(unsafe_code, reason = "a C function that the wrapper doesn't wrap in full")]

use nvml_wrapper::Device;
use nvml_wrapper::error::{NvmlError, nvml_try};
use nvml_wrapper::sys_exports::field_id::NVML_FI_DEV_POWER_INSTANT;
use nvml_wrapper_sys::bindings::{
    NVML_POWER_SCOPE_GPU, NVML_POWER_SCOPE_MODULE, nvmlFieldValue_t,
    nvmlValueType_enum_NVML_VALUE_TYPE_DOUBLE as DOUBLE,
    nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_INT as SIGNED_INT,
    nvmlValueType_enum_NVML_VALUE_TYPE_SIGNED_LONG_LONG as SIGNED_LONG_LONG,
    nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_INT as UNSIGNED_INT,
    nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG as UNSIGNED_LONG,
    nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG_LONG as UNSIGNED_LONG_LONG,
    nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_SHORT as UNSIGNED_SHORT,
};

/// Whose power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The GPU alone.
    Gpu,
    /// The module of an NVIDIA CPU and its GPUs; `nvml.h`: not supported with any other CPU.
    Module,
}

impl Scope {
    fn id(self) -> u32 {
        match self {
            Self::Gpu => NVML_POWER_SCOPE_GPU,
            Self::Module => NVML_POWER_SCOPE_MODULE,
        }
    }
}

/// A value as the driver gives it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct FieldPower {
    pub(super) milliwatts: f64,
    pub(super) unix_micros: i64,
}

/// `NVML_FI_DEV_POWER_INSTANT` of a scope.
pub(super) fn power_instant(device: &Device<'_>, scope: Scope) -> Result<FieldPower, NvmlError> {
    let call = device.nvml().lib().nvmlDeviceGetFieldValues.as_ref();
    let call = call.map_err(|error| NvmlError::FailedToLoadSymbol(error.to_string()))?;
    // SAFETY: a C struct of numbers and a union of numbers, for which zeros are a value.
    let mut field: nvmlFieldValue_t = unsafe { std::mem::zeroed() };
    field.fieldId = NVML_FI_DEV_POWER_INSTANT;
    field.scopeId = scope.id();
    // SAFETY: the handle is of the library that the function is from, which is never unloaded, and
    // the array is of the one element that is announced.
    nvml_try(unsafe { call(device.handle(), 1, &raw mut field) })?;
    nvml_try(field.nvmlReturn)?;
    Ok(FieldPower { milliwatts: number(&field)?, unix_micros: field.timestamp })
}

/// The value, whatever its type: drivers differ in it.
fn number(field: &nvmlFieldValue_t) -> Result<f64, NvmlError> {
    let value = &field.value;
    // SAFETY: all of the union's members are numbers, whose every bit pattern is one, and no byte of
    // it is uninitialised.
    unsafe {
        match field.valueType {
            DOUBLE => Ok(value.dVal),
            UNSIGNED_INT => Ok(f64::from(value.uiVal)),
            UNSIGNED_LONG => Ok(value.ulVal as f64),
            UNSIGNED_LONG_LONG => Ok(value.ullVal as f64),
            SIGNED_LONG_LONG => Ok(value.sllVal as f64),
            SIGNED_INT => Ok(f64::from(value.siVal)),
            UNSIGNED_SHORT => Ok(f64::from(value.usVal)),
            unknown => Err(NvmlError::UnexpectedVariant(unknown)),
        }
    }
}
