//! One tick's readings as the message that every subscriber gets: each sensor on its own, and the
//! original's sums, -1 where they aren't known (an absent number would read as 0 W there).

use std::sync::Arc;

use energy_proto::{ClockAnchor, SensorInfo, SensorReading, pb};

use crate::metrics::SharedAccounts;
use crate::totals::{Sums, Totals};

/// What the original writes for a number that isn't known.
const UNKNOWN: f64 = -1.0;

/// Turns readings into messages.
#[derive(Debug)]
pub struct Composer {
    instance: u64,
    platform: &'static str,
    anchor: ClockAnchor,
    totals: Totals,
    accounts: Option<Arc<SharedAccounts>>,
}

impl Composer {
    /// A composer of one start of the monitor. Wall times are those of `anchor`: a later step of the
    /// wall clock changes nothing.
    #[must_use]
    pub fn new(
        instance: u64,
        platform: &'static str,
        anchor: ClockAnchor,
        sensors: &[SensorInfo],
    ) -> Self {
        Self { instance, platform, anchor, totals: Totals::over(sensors), accounts: None }
    }

    /// The same, keeping book of every tick for the metrics.
    #[must_use]
    pub fn with_accounts(self, accounts: Option<Arc<SharedAccounts>>) -> Self {
        Self { accounts, ..self }
    }

    /// The message of a tick, without what differs between subscribers.
    pub fn compose(
        &mut self,
        sequence: u64,
        at: energy_proto::Nanos,
        readings: &[SensorReading],
    ) -> pb::TelemetryReading {
        if let Some(accounts) = &self.accounts {
            accounts.observe(readings);
        }
        let sums = self.totals.observe(readings);
        pb::TelemetryReading {
            platform: self.platform.to_owned(),
            timestamp_nanos: self.anchor.unix_nanos_at(at),
            sequence,
            instance: self.instance,
            sensors: readings.iter().map(Into::into).collect(),
            monotonic_nanos: at.0,
            ..with_sums(&sums)
        }
    }
}

fn with_sums(sums: &Sums) -> pb::TelemetryReading {
    let known = |value: Option<f64>| Some(value.unwrap_or(UNKNOWN));
    pb::TelemetryReading {
        power_watts: known(sums.gpu_power.map(|power| power.0)),
        energy_joules: known(sums.gpu_energy.map(|energy| energy.0)),
        temperature_celsius: known(sums.gpu_temperature_celsius),
        gpu_memory_usage_mb: known(sums.gpu_memory_used_mib),
        cpu_memory_usage_mb: known(sums.host_memory_used_mib),
        cpu_power_watts: known(sums.cpu_power.map(|power| power.0)),
        cpu_energy_joules: known(sums.cpu_energy.map(|energy| energy.0)),
        // No source here reads a neural engine or the use of tensor cores.
        ane_power_watts: Some(UNKNOWN),
        ane_energy_joules: Some(UNKNOWN),
        gpu_tensor_core_utilization_pct: Some(UNKNOWN),
        gpu_compute_utilization_pct: known(sums.gpu_compute_utilization_pct),
        gpu_memory_bandwidth_utilization_pct: known(sums.gpu_memory_utilization_pct),
        gpu_memory_total_mb: known(sums.gpu_memory_total_mib),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use energy_proto::Nanos;

    #[test]
    fn every_number_that_is_not_known_is_written_as_minus_one() {
        let anchor = ClockAnchor { monotonic: Nanos(1_000), unix_nanos: 5_000_000 };
        let message = Composer::new(9, "null", anchor, &[]).compose(3, Nanos(1_500), &[]);
        let numbers = [
            message.power_watts,
            message.energy_joules,
            message.temperature_celsius,
            message.gpu_memory_usage_mb,
            message.cpu_memory_usage_mb,
            message.cpu_power_watts,
            message.cpu_energy_joules,
            message.ane_power_watts,
            message.ane_energy_joules,
            message.gpu_compute_utilization_pct,
            message.gpu_memory_bandwidth_utilization_pct,
            message.gpu_tensor_core_utilization_pct,
            message.gpu_memory_total_mb,
        ];
        assert_eq!(numbers, [Some(-1.0); 13]);
        assert_eq!((message.sequence, message.instance), (3, 9));
        assert_eq!((message.monotonic_nanos, message.timestamp_nanos), (1_500, 5_000_500));
    }
}
