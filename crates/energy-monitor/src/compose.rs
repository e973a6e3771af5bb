//! One tick's readings as the message that every subscriber gets: each sensor on its own, and the
//! original's sums, -1 where they aren't known (an absent number would read as 0 W there).

use energy_proto::{ClockAnchor, Message, Nanos, SensorInfo, SensorReading, pb};

use crate::totals::{Sums, Totals};

/// What the original writes for a number that isn't known.
const UNKNOWN: f64 = -1.0;

/// Turns readings into messages.
#[derive(Debug)]
pub struct Composer {
    anchor: ClockAnchor,
    totals: Totals,
    /// The message of the last tick, whose room is used again.
    message: pb::TelemetryReading,
}

impl Composer {
    /// A composer of one start of the monitor. Wall times are those of `anchor`: a later step of the
    /// wall clock changes nothing.
    #[must_use]
    pub fn new(instance: u64, platform: &str, anchor: ClockAnchor, sensors: &[SensorInfo]) -> Self {
        let message = pb::TelemetryReading {
            platform: platform.to_owned(),
            instance,
            sensors: Vec::with_capacity(sensors.len()),
            ..Default::default()
        };
        Self { anchor, totals: Totals::over(sensors), message }
    }

    /// Takes wall times from another anchor from now on.
    pub fn anchor(&mut self, anchor: ClockAnchor) {
        self.anchor = anchor;
    }

    /// Takes the readings of a tick of which nobody wants the message: energy is counted from the
    /// start, and an interruption meanwhile must not be missed.
    pub fn follow(&mut self, readings: &[SensorReading]) {
        self.totals.observe(readings);
    }

    /// The message of a tick, without what differs between subscribers.
    pub fn compose(&mut self, tick: u64, at: Nanos, readings: &[SensorReading]) -> Composed<'_> {
        let sums = self.totals.observe(readings);
        let message = &mut self.message;
        message.timestamp_nanos = self.anchor.unix_nanos_at(at);
        message.sequence = tick;
        message.monotonic_nanos = at.0;
        write_sums(&sums, message);
        message.sensors.clear();
        message.sensors.extend(readings.iter().map(pb::SensorReading::from));
        Composed(message)
    }
}

/// A message that is complete.
#[derive(Debug)]
pub struct Composed<'a>(&'a pb::TelemetryReading);

impl Composed<'_> {
    /// Appends it, encoded.
    pub fn encode_into(&self, buffer: &mut Vec<u8>) {
        // Little more than is needed, since there are a thousand such buffers: numbers grow.
        let needed = self.0.encoded_len();
        if buffer.capacity() - buffer.len() < needed {
            buffer.reserve_exact(needed + needed / 8);
        }
        self.0.encode(buffer).expect("a vector has room");
    }
}

fn write_sums(sums: &Sums, message: &mut pb::TelemetryReading) {
    let known = |value: Option<f64>| Some(value.unwrap_or(UNKNOWN));
    message.power_watts = known(sums.gpu_power.map(|power| power.0));
    message.energy_joules = known(sums.gpu_energy.map(|energy| energy.0));
    message.temperature_celsius = known(sums.gpu_temperature_celsius);
    message.gpu_memory_usage_mb = known(sums.gpu_memory_used_mib);
    message.cpu_memory_usage_mb = known(sums.host_memory_used_mib);
    message.cpu_power_watts = known(sums.cpu_power.map(|power| power.0));
    message.cpu_energy_joules = known(sums.cpu_energy.map(|energy| energy.0));
    message.ane_power_watts = known(sums.ane_power.map(|power| power.0));
    message.ane_energy_joules = known(sums.ane_energy.map(|energy| energy.0));
    message.gpu_compute_utilization_pct = known(sums.gpu_compute_utilization_pct);
    message.gpu_memory_bandwidth_utilization_pct = known(sums.gpu_memory_utilization_pct);
    message.gpu_tensor_core_utilization_pct = known(sums.gpu_tensor_utilization_pct);
    message.gpu_memory_total_mb = known(sums.gpu_memory_total_mib);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_that_is_not_known_is_written_as_minus_one() {
        let anchor = ClockAnchor { monotonic: Nanos(1_000), unix_nanos: 5_000_000 };
        let mut composer = Composer::new(9, "null", anchor, &[]);
        let Composed(message) = composer.compose(3, Nanos(1_500), &[]);
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

    #[test]
    fn after_the_first_a_message_costs_no_allocation() {
        let anchor = ClockAnchor { monotonic: Nanos(1_000), unix_nanos: 5_000_000 };
        let info = |id| SensorInfo::new(id, energy_proto::SensorKind::Gpu, "nvml");
        let sensors: Vec<_> = (0..8).map(info).collect();
        let mut composer = Composer::new(9, "nvidia", anchor, &sensors);
        let readings: Vec<_> = (0..8)
            .map(|id| SensorReading::empty(id, Nanos(1), Nanos(2), energy_proto::Status::Ok))
            .collect();
        let mut buffer = Vec::new();
        composer.compose(0, Nanos(3), &readings).encode_into(&mut buffer);
        let counted = allocation_counter::measure(|| {
            buffer.clear();
            composer.compose(1, Nanos(3), &readings).encode_into(&mut buffer);
        });
        assert_eq!(counted.count_total, 0);
    }
}
