//! Which sensor of a monitor's present description is which of those that the run knows, and what was
//! found out about it meanwhile. A run's ids never change.

use std::collections::HashMap;

use energy_proto::SensorInfo;

fn is_same(a: &SensorInfo, b: &SensorInfo) -> bool {
    (a.kind, &a.uuid, &a.source) == (b.kind, &b.uuid, &b.source)
}

/// From a new monitor's ids to those that the run knows, by what a sensor is; a new one isn't there.
pub(super) fn renumbering(known: &[SensorInfo], present: &[SensorInfo]) -> HashMap<u32, u32> {
    let number = |sensor: &SensorInfo| {
        let same = known.iter().find(|old| is_same(old, sensor))?;
        Some((sensor.id, same.id))
    };
    present.iter().filter_map(number).collect()
}

/// Takes over what the monitor has found by watching its sensors. What a sensor is and what it can
/// give stays as it was: the run's basis was chosen by it.
pub(super) fn learn(known: &mut [SensorInfo], told: &[SensorInfo]) {
    for sensor in known {
        let Some(told) = told.iter().find(|told| is_same(told, sensor)) else { continue };
        // A monitor that was started again has to watch again; what its predecessor found still holds.
        if sensor.characterized && !told.characterized {
            continue;
        }
        sensor.characterized = told.characterized;
        sensor.update_period = told.update_period.or(sensor.update_period);
        sensor.quantum_microjoules = told.quantum_microjoules.or(sensor.quantum_microjoules);
        sensor.read_latency_p50 = told.read_latency_p50.or(sensor.read_latency_p50);
        sensor.read_latency_p99 = told.read_latency_p99.or(sensor.read_latency_p99);
        sensor.publication_lag = told.publication_lag.or(sensor.publication_lag);
        sensor.wrap_microjoules = told.wrap_microjoules.or(sensor.wrap_microjoules);
        sensor.power_window = told.power_window.or(sensor.power_window);
        sensor.read_period = told.read_period.or(sensor.read_period);
        if !told.note.is_empty() {
            sensor.note.clone_from(&told.note);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use energy_proto::{SensorKind, Status};
    use std::time::Duration;

    fn sensor(id: u32, uuid: &str) -> SensorInfo {
        SensorInfo { uuid: uuid.into(), ..SensorInfo::new(id, SensorKind::Gpu, "nvml") }
    }

    fn found(id: u32, uuid: &str, millis: u64) -> SensorInfo {
        SensorInfo {
            update_period: Some(Duration::from_millis(millis)),
            characterized: true,
            ..sensor(id, uuid)
        }
    }

    #[test]
    fn a_restarted_monitor_that_numbers_differently_is_translated() {
        let known = [sensor(5, "a"), sensor(6, "b")];
        let present = [sensor(0, "b"), sensor(1, "new"), sensor(2, "a")];
        assert_eq!(renumbering(&known, &present), HashMap::from([(0, 6), (2, 5)]));
    }

    #[test]
    fn what_was_found_is_learnt_under_the_ids_of_the_run() {
        let mut known = [sensor(0, "a"), sensor(1, "b")];
        let lost = SensorInfo { status: Status::Lost, measures: Vec::new(), ..found(7, "b", 101) };
        learn(&mut known, &[lost]);
        assert_eq!(known[0], sensor(0, "a"));
        assert_eq!(known[1], found(1, "b", 101), "its status and measures stay");
    }

    #[test]
    fn what_one_monitor_found_outlives_it() {
        let mut known = [found(0, "a", 101)];
        let documented =
            SensorInfo { update_period: Some(Duration::from_millis(20)), ..sensor(0, "a") };
        learn(&mut known, &[documented]);
        assert_eq!(known[0].update_period, Some(Duration::from_millis(101)));
        learn(&mut known, &[found(0, "a", 99)]);
        assert_eq!(known[0].update_period, Some(Duration::from_millis(99)));
    }
}
