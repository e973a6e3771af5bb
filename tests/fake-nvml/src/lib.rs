//! A `libnvidia-ml.so.1` for tests: GPUs that don't exist, whose true power is a known function of
//! time.
//!
//! The shared library is configured by the environment variable `FAKE_NVML`: a [`Model`] as JSON, or
//! `@path` of a file that holds it. The Rust library is the same model, so that a test can compute
//! the true energy of any stretch of time and compare it with what a monitor measured.
//!
//! **Faithful to**: names, types and return codes of the functions it exports; the energy counter as
//! a staircase in whole millijoules that moves only at a refresh instant; power as a mean over an
//! averaging window that ends at a refresh instant; one metric that is not supported; a lost GPU; a
//! counter that restarts, freezes or is off by a factor; a call that hangs; a driver that isn't
//! loaded or supports nothing.
//!
//! **Not faithful to**: jitter of the refresh, publication lag, a sensor's gain error, the driver's
//! own call latency, MIG, field values, and every function that isn't exported here.
//!
//! All times are nanoseconds of `CLOCK_MONOTONIC`, which this library and its reader share.

mod ffi;
mod model;

pub use model::{Failure, Fault, Gpu, Memory, Metric, Model, ModelError, PowerShape, Utilization};

/// The environment variable that configures the shared library.
pub const ENVIRONMENT_VARIABLE: &str = "FAKE_NVML";
