//! What a run's rows say together: accuracy, and accuracy per joule and per watt.
//!
//! Everything below is pure: slices in, reports out, no I/O, no clock, no randomness.

pub mod accuracy;
pub mod stats;
