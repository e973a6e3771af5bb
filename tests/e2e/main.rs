//! Whole-program tests: both real binaries against fakes that are real parts.
mod apple;
mod client;
mod fake_server;
mod hwmon;
mod metrics;
mod monitor;
mod monitor_url;
mod original;
mod packaging;
mod profile;
mod python;
mod real_server;
mod replay;
mod results;
mod scripted;
mod secure;
mod transcripts;
