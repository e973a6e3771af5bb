//! A `libnvidia-ml.so.1` for tests: GPUs that don't exist, whose true power is a known function of
//! time.
//!
//! The shared library is configured by the environment variable `FAKE_NVML`: a [`Model`] as JSON, or
//! `@path` of a file that holds it. The Rust library is the same model, so that a test can compute
//! the true energy of any stretch of time and compare it with what a monitor measured. Power may also
//! follow a load that another process writes down as it happens (a [`LoadWriter`]).
//!
//! **Faithful to**: names, types and return codes of the functions it exports; the energy counter as
//! a staircase in whole millijoules that moves only at a refresh instant, jittered and published late
//! if the model says so; power as a mean over an averaging window that ends at a refresh instant, and
//! as a field value with its scope and time; a gain error; the time that a call takes; tensor activity
//! as the difference of two GPM samples, not valid within 100 ms; one metric that is not supported; a
//! driver that is asked too often and answers `NotSupported` or zero; a counter that loses energy to
//! reads that find it unmoved; a lost GPU; a driver that is loaded again, after which only new handles
//! live; a counter that restarts, freezes or is off by a factor; a call that hangs; a driver that isn't
//! loaded or supports nothing.
//!
//! **Not faithful to**: the exact share that a consumer card loses; the time a real driver gives a
//! field value, which no header defines further (here the refresh instant); the instances of MIG (only
//! the mode is there); samples of GPM beside its tensor activity; `nvmlShutdown`, which does nothing;
//! and every function that isn't exported here.
//!
//! All times are nanoseconds of `CLOCK_MONOTONIC`, which this library and its reader share.

mod fault;
mod ffi;
mod load;
mod model;
mod shape;

pub use fault::{Failure, Fault, Metric, OverPoll, OverPolled};
pub use load::LoadWriter;
pub use model::{Clocks, Gpu, Memory, Model, ModelError, Utilization};
pub use shape::PowerShape;

/// The environment variable that configures the shared library.
pub const ENVIRONMENT_VARIABLE: &str = "FAKE_NVML";
