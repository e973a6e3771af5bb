//! Between the wire's messages and the domain's words. What the wire can't say for sure (a negative
//! number where only a missing one would be negative, a sensor kind of a later version) becomes
//! `None` or `Unknown` here, so that no code behind it has to ask again. What breaks the contract costs
//! its own sensor's figures and no other's.

use std::time::Duration;

use crate::pb;
use crate::reading::{
    Description, GpuInfo, Reading, SensorInfo, SensorKind, SensorReading, SkippedSource, Status,
    SystemInfo, Throttle,
};
use crate::{ClockAnchor, Nanos, Watts};

/// A sensor's reading that breaks the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedReading {
    /// A value that was there before it appeared.
    #[error("sensor {sensor}: its value is told to have been seen before it appeared")]
    SeenBeforeItAppeared {
        /// Index of the sensor.
        sensor: u32,
    },
    /// A read that ended before it began.
    #[error("sensor {sensor}: the read ends before it starts")]
    ReadEndsBeforeStart {
        /// Index of the sensor.
        sensor: u32,
    },
}

/// A finite number that isn't negative, else nothing.
fn known(value: Option<f64>) -> Option<f64> {
    value.filter(|number| number.is_finite() && *number >= 0.0)
}

fn nanos(time: Option<Duration>) -> Option<u64> {
    time.and_then(|time| u64::try_from(time.as_nanos()).ok())
}

fn non_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

impl From<Status> for pb::Status {
    fn from(status: Status) -> Self {
        match status {
            Status::Ok => Self::Ok,
            Status::Unsupported => Self::Unsupported,
            Status::PermissionDenied => Self::PermissionDenied,
            Status::Stale => Self::Stale,
            Status::Reset => Self::Reset,
            Status::Lost => Self::Lost,
            Status::Implausible => Self::Implausible,
        }
    }
}

impl From<pb::Status> for Status {
    fn from(status: pb::Status) -> Self {
        match status {
            pb::Status::Ok => Self::Ok,
            // A status of a later version is not one to trust.
            pb::Status::Unspecified | pb::Status::Unsupported => Self::Unsupported,
            pb::Status::PermissionDenied => Self::PermissionDenied,
            pb::Status::Stale => Self::Stale,
            pb::Status::Reset => Self::Reset,
            pb::Status::Lost => Self::Lost,
            pb::Status::Implausible => Self::Implausible,
        }
    }
}

impl From<&SensorReading> for pb::SensorReading {
    fn from(reading: &SensorReading) -> Self {
        Self {
            sensor: reading.sensor,
            energy_microjoules: reading.energy_microjoules,
            epoch: reading.epoch,
            read_start_nanos: reading.read_start.0,
            read_end_nanos: reading.read_end.0,
            changed_after_nanos: reading.changed_after.map(|at| at.0),
            changed_before_nanos: reading.changed_before.map(|at| at.0),
            power_watts: reading.power.map(|power| power.0),
            temperature_celsius: reading.temperature_celsius,
            memory_used_bytes: reading.memory_used_bytes,
            memory_total_bytes: reading.memory_total_bytes,
            compute_utilization_pct: reading.compute_utilization_pct,
            memory_utilization_pct: reading.memory_utilization_pct,
            process_count: reading.process_count,
            tensor_utilization_pct: reading.tensor_utilization_pct,
            compute_clock_mhz: reading.compute_clock_mhz,
            memory_clock_mhz: reading.memory_clock_mhz,
            throttle_reasons: reading.throttle.map(|throttle| throttle.0),
            power_at_nanos: reading.power_at.map(|at| at.0),
            status: pb::Status::from(reading.status).into(),
        }
    }
}

impl TryFrom<pb::SensorReading> for SensorReading {
    type Error = MalformedReading;
    fn try_from(wire: pb::SensorReading) -> Result<Self, MalformedReading> {
        if wire.read_end_nanos < wire.read_start_nanos {
            return Err(MalformedReading::ReadEndsBeforeStart { sensor: wire.sensor });
        }
        let seen = wire.changed_before_nanos.unwrap_or(u64::MAX);
        if wire.changed_after_nanos.is_some_and(|after| after > seen) {
            return Err(MalformedReading::SeenBeforeItAppeared { sensor: wire.sensor });
        }
        Ok(Self {
            status: wire.status().into(),
            sensor: wire.sensor,
            energy_microjoules: wire.energy_microjoules,
            epoch: wire.epoch,
            read_start: Nanos(wire.read_start_nanos),
            read_end: Nanos(wire.read_end_nanos),
            changed_after: wire.changed_after_nanos.map(Nanos),
            changed_before: wire.changed_before_nanos.map(Nanos),
            power: known(wire.power_watts).map(Watts),
            temperature_celsius: wire.temperature_celsius.filter(|degrees| degrees.is_finite()),
            memory_used_bytes: wire.memory_used_bytes,
            memory_total_bytes: wire.memory_total_bytes,
            compute_utilization_pct: known(wire.compute_utilization_pct),
            memory_utilization_pct: known(wire.memory_utilization_pct),
            process_count: wire.process_count,
            tensor_utilization_pct: known(wire.tensor_utilization_pct),
            compute_clock_mhz: wire.compute_clock_mhz,
            memory_clock_mhz: wire.memory_clock_mhz,
            throttle: wire.throttle_reasons.map(Throttle),
            power_at: wire.power_at_nanos.map(Nanos),
        })
    }
}

impl From<pb::TelemetryReading> for Reading {
    fn from(wire: pb::TelemetryReading) -> Self {
        let at = Nanos(wire.monotonic_nanos);
        // Of one that breaks the contract nothing is to be believed, its times least of all.
        let own = |read: pb::SensorReading| {
            let withheld = SensorReading::empty(read.sensor, at, at, Status::Implausible);
            read.try_into().unwrap_or(withheld)
        };
        Self {
            sequence: wire.sequence,
            instance: wire.instance,
            dropped: wire.dropped,
            at,
            sensors: wire.sensors.into_iter().map(own).collect(),
        }
    }
}

impl From<SystemInfo> for pb::SystemInfo {
    fn from(info: SystemInfo) -> Self {
        let SystemInfo { os_name, os_version, kernel_version, host_name, cpu_count, cpu_brand } =
            info;
        Self { os_name, os_version, kernel_version, host_name, cpu_count, cpu_brand }
    }
}

impl From<pb::SystemInfo> for SystemInfo {
    fn from(wire: pb::SystemInfo) -> Self {
        let pb::SystemInfo { os_name, os_version, kernel_version, host_name, cpu_count, cpu_brand } =
            wire;
        Self { os_name, os_version, kernel_version, host_name, cpu_count, cpu_brand }
    }
}

impl From<GpuInfo> for pb::GpuInfo {
    fn from(info: GpuInfo) -> Self {
        let GpuInfo { name, vendor, device_id, device_type, backend } = info;
        Self { name, vendor, device_id, device_type, backend }
    }
}

impl From<pb::GpuInfo> for GpuInfo {
    fn from(wire: pb::GpuInfo) -> Self {
        let pb::GpuInfo { name, vendor, device_id, device_type, backend } = wire;
        Self { name, vendor, device_id, device_type, backend }
    }
}

impl From<SensorInfo> for pb::Sensor {
    fn from(info: SensorInfo) -> Self {
        Self {
            id: info.id,
            kind: info.kind.as_str().to_owned(),
            name: info.name,
            source: info.source,
            host: info.host,
            uuid: info.uuid,
            measures: info.measures,
            update_period_nanos: nanos(info.update_period),
            quantum_microjoules: info.quantum_microjoules,
            gain_error_pct: info.gain_error_pct,
            power_limit_watts: info.power_limit.map(|limit| limit.0),
            status: pb::Status::from(info.status).into(),
            remedy: info.remedy,
            read_latency_p50_nanos: nanos(info.read_latency_p50),
            read_latency_p99_nanos: nanos(info.read_latency_p99),
            publication_lag_nanos: nanos(info.publication_lag),
            wrap_microjoules: info.wrap_microjoules,
            power_window_nanos: nanos(info.power_window),
            read_period_nanos: nanos(info.read_period),
            characterized: info.characterized,
            note: info.note,
        }
    }
}

impl From<pb::Sensor> for SensorInfo {
    fn from(wire: pb::Sensor) -> Self {
        let status = wire.status().into();
        let kind = wire.kind.parse();
        let mut note = wire.note;
        if let Err(unknown) = &kind {
            let separator = if note.is_empty() { "" } else { "; " };
            note = format!("{note}{separator}{unknown}: never counted");
        }
        Self {
            status,
            id: wire.id,
            kind: kind.unwrap_or(SensorKind::Unknown),
            name: wire.name,
            source: wire.source,
            host: wire.host,
            uuid: wire.uuid,
            measures: wire.measures,
            update_period: wire.update_period_nanos.map(Duration::from_nanos),
            quantum_microjoules: wire.quantum_microjoules,
            gain_error_pct: known(wire.gain_error_pct),
            power_limit: known(wire.power_limit_watts).map(Watts),
            remedy: wire.remedy,
            read_latency_p50: wire.read_latency_p50_nanos.map(Duration::from_nanos),
            read_latency_p99: wire.read_latency_p99_nanos.map(Duration::from_nanos),
            publication_lag: wire.publication_lag_nanos.map(Duration::from_nanos),
            wrap_microjoules: wire.wrap_microjoules,
            power_window: wire.power_window_nanos.map(Duration::from_nanos),
            read_period: wire.read_period_nanos.map(Duration::from_nanos),
            characterized: wire.characterized,
            note,
        }
    }
}

impl From<Description> for pb::DescribeResponse {
    fn from(description: Description) -> Self {
        Self {
            api: description.api,
            version: description.version,
            instance: description.instance,
            boot_id: description.boot_id.unwrap_or_default(),
            time_namespace: description.time_namespace.unwrap_or_default(),
            monotonic_nanos: description.anchor.monotonic.0,
            unix_nanos: description.anchor.unix_nanos,
            platform: description.platform,
            interval_ms: u32::try_from(description.interval.as_millis()).unwrap_or(u32::MAX),
            system_info: Some(description.system_info.into()),
            gpu_info: description.gpu_info.map(Into::into),
            sensors: description.sensors.into_iter().map(Into::into).collect(),
            skipped: description
                .skipped
                .into_iter()
                .map(|SkippedSource { source, reason, remedy }| pb::Skipped {
                    source,
                    reason,
                    remedy,
                })
                .collect(),
            missed_ticks: description.missed_ticks,
        }
    }
}

impl From<pb::DescribeResponse> for Description {
    fn from(wire: pb::DescribeResponse) -> Self {
        Self {
            api: wire.api,
            version: wire.version,
            instance: wire.instance,
            boot_id: non_empty(wire.boot_id),
            time_namespace: Some(wire.time_namespace).filter(|inode| *inode != 0),
            anchor: ClockAnchor {
                monotonic: Nanos(wire.monotonic_nanos),
                unix_nanos: wire.unix_nanos,
            },
            platform: wire.platform,
            interval: Duration::from_millis(wire.interval_ms.into()),
            system_info: wire.system_info.map(Into::into).unwrap_or_default(),
            gpu_info: wire.gpu_info.map(Into::into),
            sensors: wire.sensors.into_iter().map(Into::into).collect(),
            skipped: wire
                .skipped
                .into_iter()
                .map(|pb::Skipped { source, reason, remedy }| SkippedSource {
                    source,
                    reason,
                    remedy,
                })
                .collect(),
            missed_ticks: wire.missed_ticks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negative_or_absurd_power_is_a_missing_one() {
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            let wire = pb::SensorReading { power_watts: Some(bad), ..Default::default() };
            assert_eq!(SensorReading::try_from(wire).unwrap().power, None);
        }
    }

    #[test]
    fn a_reading_survives_the_wire() {
        let mut reading = SensorReading::empty(3, Nanos(10), Nanos(12), Status::Ok);
        reading.energy_microjoules = Some(7);
        reading.power = Some(Watts(2.5));
        reading.process_count = Some(0);
        reading.tensor_utilization_pct = Some(12.5);
        reading.compute_clock_mhz = Some(1_980);
        reading.memory_clock_mhz = Some(2_619);
        reading.throttle = Some(Throttle::POWER_CAP.and(Throttle::THERMAL));
        reading.power_at = Some(Nanos(9));
        let back = SensorReading::try_from(pb::SensorReading::from(&reading)).unwrap();
        assert_eq!(back, reading);
    }

    #[test]
    fn a_read_that_ends_before_it_starts_is_refused() {
        let wire =
            pb::SensorReading { read_start_nanos: 5, read_end_nanos: 4, ..Default::default() };
        assert_eq!(
            SensorReading::try_from(wire),
            Err(MalformedReading::ReadEndsBeforeStart { sensor: 0 })
        );
    }

    #[test]
    fn a_value_seen_before_it_appeared_is_refused() {
        let wire = pb::SensorReading {
            changed_after_nanos: Some(9),
            changed_before_nanos: Some(8),
            ..Default::default()
        };
        assert_eq!(
            SensorReading::try_from(wire),
            Err(MalformedReading::SeenBeforeItAppeared { sensor: 0 })
        );
    }

    #[test]
    fn a_status_of_a_later_version_is_not_trusted() {
        let wire = pb::SensorReading { status: 99, ..Default::default() };
        assert_eq!(SensorReading::try_from(wire).unwrap().status, Status::Unsupported);
    }

    #[test]
    fn a_sensor_of_a_later_versions_kind_is_unknown_and_costs_no_other() {
        let of_kind = |kind: &str| pb::Sensor { kind: kind.to_owned(), ..Default::default() };
        let wire = pb::DescribeResponse {
            sensors: vec![of_kind("fusion"), of_kind("gpu")],
            ..Default::default()
        };
        let sensors = Description::from(wire).sensors;
        let kinds: Vec<_> = sensors.iter().map(|info| info.kind).collect();
        assert_eq!(kinds, [SensorKind::Unknown, SensorKind::Gpu]);
        assert_eq!(sensors[0].note, "unknown sensor kind `fusion`: never counted");
    }

    #[test]
    fn a_sensor_that_breaks_the_contract_is_withheld_and_the_others_of_its_tick_are_kept() {
        let good = pb::SensorReading {
            sensor: 1,
            energy_microjoules: Some(7),
            status: pb::Status::Ok.into(),
            ..Default::default()
        };
        let ends_before_it_starts =
            pb::SensorReading { read_start_nanos: 5, read_end_nanos: 4, ..good };
        let seen_too_soon = pb::SensorReading {
            changed_after_nanos: Some(9),
            changed_before_nanos: Some(8),
            ..good
        };
        for bad in [ends_before_it_starts, seen_too_soon] {
            let bad = pb::SensorReading { sensor: 0, power_watts: Some(90.0), ..bad };
            let wire = pb::TelemetryReading {
                monotonic_nanos: 20,
                sensors: vec![bad, good],
                ..Default::default()
            };
            let sensors = Reading::from(wire).sensors;
            let withheld = SensorReading::empty(0, Nanos(20), Nanos(20), Status::Implausible);
            assert_eq!(sensors[0], withheld);
            assert_eq!(sensors[1].energy_microjoules, Some(7));
        }
    }

    #[test]
    fn every_kind_has_a_name_that_parses_back() {
        let known = ["gpu", "cpu_package", "dram", "psys", "ane", "soc", "module", "npu", "memory"];
        for name in known.into_iter().chain(["unknown"]) {
            assert_eq!(name.parse::<SensorKind>().unwrap().as_str(), name);
        }
    }
}
