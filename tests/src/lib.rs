//! What whole-program tests are made of: a fake inference server, a fake NVML library, fake trees of
//! sysfs, and the two real programs with guards that leave nothing behind.

pub mod fake_hub;
pub mod fake_judge;
pub mod fake_nvml;
pub mod fake_powermetrics;
pub mod fake_server;
pub mod http;
pub mod hub_files;
pub mod hwmon_tree;
pub mod live;
pub mod llama_server;
pub mod monitor;
pub mod openmetrics;
pub mod original_monitor;
pub mod profile;
pub mod sample_run;
pub mod scheduled_monitor;
pub mod simulated;
pub mod sysfs;
