//! Which readings the kernel keeps for root, and how coarse everybody else gets them.
//!
//! CPU energy read finely enough tells which instructions and operands a program works on, down to
//! the keys of cryptographic code (Lipp et al., PLATYPUS, IEEE S&P 2021; CVE-2020-8694). Since 5.10
//! Linux lets only root read it. A monitor that has the right must not hand it on to every local user:
//! who connects over TCP without a token sees a CPU's counters no finer than [`CLOSEST`].

use std::time::Duration;

use energy_proto::SensorKind;

/// The least time between two reads of a CPU counter that an anonymous client sees: ten times what
/// the counter takes for a step of its own.
pub const CLOSEST: Duration = Duration::from_millis(10);

/// Whether a sensor of this kind is kept for root.
#[must_use]
pub fn concerns(kind: SensorKind) -> bool {
    matches!(kind, SensorKind::CpuPackage | SensorKind::Dram | SensorKind::Psys)
}
