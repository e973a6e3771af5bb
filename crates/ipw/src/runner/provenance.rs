//! What a reader has to know of where a run's energies come from: estimated, replayed, of an original
//! monitor, or of a device whose figures need a word beside them. Pure.

use energy_proto::SensorKind;

use crate::attribution::measure::Meter;
use crate::hardware::is_replayed;
use crate::telemetry::original;

/// All that is to be known, each with its consequence.
pub(super) fn warnings(meter: &Meter) -> Vec<String> {
    let own = [estimated(meter), replayed(meter), of_an_original(meter), without_gpu(meter)];
    own.into_iter().flatten().chain(notes(meter)).collect()
}

fn estimated(meter: &Meter) -> Option<String> {
    let basis = meter.basis.as_ref().ok()?;
    basis.kind.is_estimate().then(|| {
        "energy is ESTIMATED from CPU load and a stated TDP, not measured: use it to try things out, \
         not to compare hardware"
            .to_owned()
    })
}

fn replayed(meter: &Meter) -> Option<String> {
    is_replayed(&meter.sensors).then(|| {
        "energy is REPLAYED from a recorded trace, not measured: it has nothing to do with these \
         queries"
            .to_owned()
    })
}

fn of_an_original(meter: &Meter) -> Option<String> {
    meter.sensors.iter().any(|sensor| sensor.source == original::SOURCE).then(|| {
        "the monitor is an original one: it sums its host's GPUs and tells wall time only, so that \
         bounds are wider by what its messages' delays vary; run this version's energy-monitor there \
         for each GPU's own counter"
            .to_owned()
    })
}

fn without_gpu(meter: &Meter) -> Option<String> {
    let basis = meter.basis.as_ref().ok().filter(|basis| !basis.kind.is_estimate())?;
    let is_gpu = |id: &u32| meter.sensor(*id).is_some_and(|sensor| sensor.kind == SensorKind::Gpu);
    let has_gpu = meter.sensors.iter().any(|sensor| sensor.kind == SensorKind::Gpu);
    let whole = [SensorKind::Soc, SensorKind::Module];
    let contains_gpu = |id: &u32| meter.sensor(*id).is_some_and(|it| whole.contains(&it.kind));
    (has_gpu && !basis.members.iter().any(|id| is_gpu(id) || contains_gpu(id))).then(|| {
        format!("no GPU is counted: energy is that of the `{}` alone", basis.kind.as_str())
    })
}

/// What the monitor says of the sensors of the basis, as that MIG is on.
fn notes(meter: &Meter) -> impl Iterator<Item = String> {
    let members = meter.members().iter().filter_map(|id| meter.sensor(*id));
    members
        .filter(|sensor| !sensor.note.is_empty() && sensor.source != original::SOURCE)
        .map(|sensor| format!("{} ({}): {}", sensor.name, sensor.uuid, sensor.note))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::basis;
    use crate::attribution::energy::Sampling;
    use energy_proto::SensorInfo;
    use std::collections::BTreeSet;

    fn sensor(id: u32, kind: SensorKind, source: &str) -> SensorInfo {
        SensorInfo {
            name: format!("{kind} {id}"),
            uuid: format!("{kind}-{id}"),
            measures: vec!["energy".into()],
            ..SensorInfo::new(id, kind, source)
        }
    }

    fn said(sensors: Vec<SensorInfo>) -> Vec<String> {
        let counted: BTreeSet<u32> = sensors.iter().map(|sensor| sensor.id).collect();
        let basis = basis::choose(&sensors, &counted);
        let sampling = Sampling::default();
        warnings(&Meter::new(sensors, counted, basis, sampling))
    }

    #[test]
    fn each_origin_that_is_no_measurement_here_is_said() {
        assert!(said(vec![sensor(0, SensorKind::Gpu, "nvml")]).is_empty());
        for (kind, source, word) in [
            (SensorKind::CpuPackage, "estimate", "ESTIMATED"),
            (SensorKind::Gpu, "scripted", "REPLAYED"),
            (SensorKind::Gpu, "original", "an original one"),
        ] {
            let said = said(vec![sensor(0, kind, source)]);
            assert!(said.len() == 1 && said[0].contains(word), "{source}: {said:?}");
        }
    }

    #[test]
    fn a_note_on_a_member_of_the_basis_is_said_and_another_is_not() {
        let noted = |id, kind| SensorInfo {
            note: "MIG is on: energy is that of the whole GPU".into(),
            ..sensor(id, kind, "nvml")
        };
        let said = said(vec![noted(0, SensorKind::Gpu), noted(1, SensorKind::Psys)]);
        assert_eq!(said, ["gpu 0 (gpu-0): MIG is on: energy is that of the whole GPU"]);
    }

    #[test]
    fn a_gpu_that_is_inside_the_basis_is_not_missed() {
        let mut gpu = sensor(0, SensorKind::Gpu, "nvml");
        gpu.measures = vec!["temperature".into()];
        assert!(said(vec![gpu.clone(), sensor(1, SensorKind::Soc, "hwmon_jetson")]).is_empty());
        assert_eq!(
            said(vec![gpu, sensor(1, SensorKind::CpuPackage, "rapl_perf")]),
            ["no GPU is counted: energy is that of the `cpu` alone"]
        );
    }
}
