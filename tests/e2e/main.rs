//! Whole-program tests: both real binaries against fakes that are real parts.
mod client;
mod fake_server;
mod monitor;
mod nvml;
mod profile;
mod python;
mod real_server;
mod replay;
mod results;
mod transcripts;
