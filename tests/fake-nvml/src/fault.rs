//! What can go wrong with a fake GPU, and with which of its figures.

use energy_proto::Nanos;
use serde::{Deserialize, Serialize};

/// A figure that NVML gives of a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The energy counter.
    Energy,
    /// Power by `nvmlDeviceGetPowerUsage`.
    Power,
    /// Power by field value, of the GPU alone.
    PowerInstant,
    /// Power by field value, of the whole module.
    ModulePower,
    /// Die temperature.
    Temperature,
    /// Memory in use.
    Memory,
    /// Utilisation of compute units and memory.
    Utilization,
    /// Clock of the compute units.
    ComputeClock,
    /// Clock of the memory.
    MemoryClock,
    /// Why the clocks are low.
    Throttle,
    /// Tensor activity by GPM.
    Tensor,
    /// Whether MIG is on.
    Mig,
    /// The CUDA compute capability.
    ComputeCapability,
    /// The enforced power limit.
    PowerLimit,
    /// The list of processes.
    Processes,
}

impl Metric {
    /// Each of them.
    pub const ALL: [Self; 15] = [
        Self::Energy,
        Self::Power,
        Self::PowerInstant,
        Self::ModulePower,
        Self::Temperature,
        Self::Memory,
        Self::Utilization,
        Self::ComputeClock,
        Self::MemoryClock,
        Self::Throttle,
        Self::Tensor,
        Self::Mig,
        Self::ComputeCapability,
        Self::PowerLimit,
        Self::Processes,
    ];
}

/// A way for a call to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are NVML's")]
pub enum Failure {
    NotSupported,
    NoPermission,
    DriverNotLoaded,
    Timeout,
    GpuIsLost,
    Unknown,
}

/// What a figure that is asked for too often answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverPolled {
    /// Nothing: the error `NotSupported`.
    NotSupported,
    /// Success, and zero.
    Zero,
}

/// A driver that can't be asked for energy or power too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverPoll {
    /// After an answer the same figure has to be left alone for so long.
    pub closer_than_ms: u64,
    /// What it answers otherwise.
    pub answers: OverPolled,
}

/// Something that goes wrong with a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "fault")]
pub enum Fault {
    /// One metric fails; the others don't.
    MetricFails {
        /// Which.
        metric: Metric,
        /// How.
        failure: Failure,
        /// From when on.
        from: Nanos,
    },
    /// The counter restarts at zero, as when a driver is loaded again.
    EnergyRestarts {
        /// When.
        at: Nanos,
    },
    /// The counter stands still.
    EnergyFreezes {
        /// From when on.
        from: Nanos,
    },
    /// The counter shows so many times the energy.
    EnergyMultiplied {
        /// How many.
        factor: u64,
        /// From when on.
        from: Nanos,
    },
    /// The GPU falls off the bus.
    Lost {
        /// From when on.
        from: Nanos,
    },
    /// Every call for a metric that begins in this time returns only at its end.
    Hangs {
        /// Its start.
        from: Nanos,
        /// Its end.
        until: Nanos,
    },
    /// The driver is unloaded and loaded again: no call reaches the GPU in between, handles from
    /// before stay dead, and the counter starts at zero.
    Reloads {
        /// The GPU is gone.
        from: Nanos,
        /// It is back.
        until: Nanos,
    },
}
