//! What a run's rows say together: accuracy, and accuracy per joule and per watt; what tokens cost; how
//! runs compare.
//!
//! Everything below is pure: slices in, reports out, no I/O, no clock, no randomness but a generator with
//! a fixed seed.

pub mod accuracy;
pub mod compare;
pub mod kde;
pub mod provenance;
pub mod regression;
pub mod stats;
pub mod words;
