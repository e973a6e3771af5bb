//! Intelligence per watt: sends prompts to an inference server, measures the energy of each answer,
//! scores them, and reports accuracy per joule and per watt. The binary is a thin shell around this.

pub mod analysis;
pub mod attribution;
pub mod cli;
pub mod client;
pub mod dataset;
pub mod derive;
pub mod evaluation;
pub mod exit;
pub mod export;
pub mod finalize;
pub mod hardware;
pub mod monitor;
pub mod plot;
pub mod record;
pub mod report;
pub mod results;
pub mod runner;
pub mod scoring;
pub mod telemetry;
pub mod ui;
