//! Between the wire's messages and the domain's words. What the wire can't say for sure (a negative
//! number where only a missing one would be negative, a sensor kind of a later version) becomes
//! `None` or an error here, so that no code behind it has to ask again.

use std::time::Duration;

use crate::pb;
use crate::reading::{
    Description, GpuInfo, Reading, SensorInfo, SensorReading, SkippedSource, Status, SystemInfo,
    Throttle, UnknownSensorKind,
};
use crate::{ClockAnchor, Nanos, Watts};

/// A message that breaks the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedReading {
    /// A sensor of a kind that this version doesn't know.
    #[error(transparent)]
    UnknownSensorKind(#[from] UnknownSensorKind),
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

impl TryFrom<pb::TelemetryReading> for Reading {
    type Error = MalformedReading;
    fn try_from(wire: pb::TelemetryReading) -> Result<Self, MalformedReading> {
        Ok(Self {
            sequence: wire.sequence,
            instance: wire.instance,
            dropped: wire.dropped,
            at: Nanos(wire.monotonic_nanos),
            sensors: wire.sensors.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        })
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

impl TryFrom<pb::Sensor> for SensorInfo {
    type Error = MalformedReading;
    fn try_from(wire: pb::Sensor) -> Result<Self, MalformedReading> {
        Ok(Self {
            status: wire.status().into(),
            id: wire.id,
            kind: wire.kind.parse()?,
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
            note: wire.note,
        })
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

impl TryFrom<pb::DescribeResponse> for Description {
    type Error = MalformedReading;
    fn try_from(wire: pb::DescribeResponse) -> Result<Self, MalformedReading> {
        Ok(Self {
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
            sensors: wire.sensors.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
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
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SensorKind;

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
    fn a_kind_of_a_later_version_is_an_error_that_names_it() {
        let wire = pb::Sensor { kind: "fusion".into(), ..Default::default() };
        let error = SensorInfo::try_from(wire).unwrap_err();
        assert_eq!(error.to_string(), "unknown sensor kind `fusion`");
    }

    #[test]
    fn every_kind_has_a_name_that_parses_back() {
        for name in ["gpu", "cpu_package", "dram", "psys", "ane", "soc", "module", "npu", "memory"]
        {
            assert_eq!(name.parse::<SensorKind>().unwrap().as_str(), name);
        }
    }
}
