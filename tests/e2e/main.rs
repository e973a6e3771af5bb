//! Whole-program tests: both real binaries against fakes that are real parts.
mod client;
mod fake_server;
mod monitor;
mod monitor_url;
mod original;
mod profile;
mod python;
mod real_server;
mod replay;
mod results;
mod transcripts;
