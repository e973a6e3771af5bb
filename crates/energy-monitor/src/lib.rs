//! `energy-monitor`: reads the energy counters of this host once and streams them to whoever
//! listens.
//!
//! Data flows one way: [`source`] (read) → [`sampler`] (compose) → [`hub`] (fan-out) → [`service`]
//! (gRPC). It knows nothing of queries or models: it reports what each counter showed and when that
//! was, and leaves it to its clients to turn counters into the energy of something.

pub mod character;
pub mod cli;
pub mod clock;
pub mod compose;
pub mod config;
pub mod counter;
pub mod describe;
pub mod discover;
pub mod host;
pub mod hub;
pub mod listen;
pub mod logging;
pub mod metrics;
pub mod platypus;
pub mod run;
pub mod sampler;
pub mod scheduling;
mod secret_file;
pub mod service;
pub mod shutdown;
pub mod source;
pub mod tls;
pub mod token;
pub mod totals;
