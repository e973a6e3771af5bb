//! From readings and times to joules: pure, without I/O and without a clock.
//!
//! [`energy`] answers for one sensor and one window, [`basis`] says which sensors stand for the query,
//! [`measure`] fills the groups of a record that come from telemetry. The same functions make the
//! provisional rows of a running run and the final ones.

pub mod basis;
pub mod energy;
mod envelope;
pub mod fit;
pub mod locate;
pub mod measure;
mod power;
