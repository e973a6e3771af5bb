//! Tests of the groups of a record.

use super::*;
use crate::attribution::basis::{self, tests::sensor};
use energy_proto::{Status, Watts};

const MS: u64 = 1_000_000;

/// A sensor at constant power whose counter moves each millisecond, read every 50 ms for 10 s.
fn reads(id: u32, watts: u64) -> Vec<SensorReading> {
    (0..200u64)
        .map(|index| {
            let at = Nanos(index * 50 * MS);
            SensorReading {
                energy_microjoules: Some(watts * index * 50_000),
                changed_after: (index > 0).then(|| Nanos(at.0 - 50 * MS)),
                changed_before: Some(at),
                power: Some(Watts(watts as f64)),
                temperature_celsius: Some(50.0 + f64::from(id)),
                memory_used_bytes: Some(1 << 30),
                memory_total_bytes: Some(2 << 30),
                compute_utilization_pct: Some(40.0 + 20.0 * f64::from(id)),
                ..SensorReading::empty(id, at, at, Status::Ok)
            }
        })
        .collect()
}

fn timeline(sensors: &[(u32, u64)]) -> Timeline {
    let mut timeline = Timeline::default();
    for (id, watts) in sensors {
        for read in reads(*id, *watts) {
            timeline.push_read(read);
        }
    }
    timeline
}

fn meter(sensors: Vec<SensorInfo>) -> Meter {
    let counted: BTreeSet<u32> = sensors.iter().map(|sensor| sensor.id).collect();
    let basis = basis::choose(&sensors, &counted);
    Meter::new(sensors, counted, basis, Sampling::default())
}

fn at_rest(watts: f64) -> Option<Idle> {
    Some(Idle { mean: watts, floor: watts })
}

fn window() -> Window {
    Window {
        start: Nanos(2_000 * MS),
        first_token: Some(Nanos(2_500 * MS)),
        end: Nanos(4_000 * MS),
    }
}

fn close(value: Option<f64>, expected: f64) -> bool {
    value.is_some_and(|value| (value - expected).abs() < 1e-6 * expected.abs().max(1.0))
}

#[test]
fn two_gpus_are_summed_and_the_hotter_one_is_the_temperature() {
    let meter = meter(vec![sensor(0, SensorKind::Gpu, "nvml"), sensor(1, SensorKind::Gpu, "nvml")]);
    let measured = meter.measure(&timeline(&[(0, 100), (1, 300)]), window());
    assert!(close(measured.energy.per_query_joules, 800.0), "{:?}", measured.energy);
    assert!(close(measured.energy.basis_joules, 800.0));
    assert_eq!(measured.energy.basis.as_deref(), Some("gpu"));
    assert_eq!(measured.energy.status.as_deref(), Some("ok"));
    assert!(close(measured.power.gpu.total_watts.avg, 400.0));
    assert_eq!(measured.temperature.max, Some(51.0));
    assert_eq!(measured.memory.gpu_mb.avg, Some(2048.0));
    assert_eq!(measured.gpu_utilization.compute_utilization_pct, Some(50.0));
    assert_eq!(measured.energy.system_per_query_joules, None, "no CPU, no system");
}

#[test]
fn what_only_one_of_two_hosts_shows_is_no_sum_and_a_missing_figure_names_its_host() {
    let on = |host: &str, sensor: SensorInfo| SensorInfo { host: host.into(), ..sensor };
    let meter = meter(vec![
        on("a", sensor(0, SensorKind::Gpu, "nvml")),
        on("a", sensor(1, SensorKind::CpuPackage, "rapl_perf")),
        on("a", sensor(2, SensorKind::Dram, "rapl_perf")),
        on("b", sensor(3, SensorKind::Gpu, "nvml")),
        on("b", sensor(4, SensorKind::CpuPackage, "rapl_perf")),
    ]);
    let all = [(0, 100), (1, 50), (2, 10), (3, 300), (4, 40)];
    let measured = meter.measure(&timeline(&all), window());
    assert!(close(measured.energy.basis_joules, 800.0), "{:?}", measured.energy);
    assert!(close(measured.energy.cpu_per_query_joules, 180.0));
    assert!(close(measured.power.cpu.total_watts.avg, 90.0));
    assert_eq!(measured.energy.dram_per_query_joules, None, "b shows none");
    assert_eq!(measured.energy.system_per_query_joules, None);
    let hosts: Vec<&str> =
        measured.energy.devices.iter().map(|device| device.host.as_str()).collect();
    assert_eq!(hosts, ["a", "a", "a", "b", "b"]);

    let lost = meter.measure(&timeline(&all[..3]), window());
    assert_eq!(lost.energy.basis_joules, None);
    assert_eq!(lost.energy.status.as_deref(), Some("no_readings: gpu 3 on b"));
}

#[test]
fn phases_sum_exactly_to_the_whole() {
    let meter = meter(vec![sensor(0, SensorKind::Gpu, "nvml")]);
    let measured = meter.measure(&timeline(&[(0, 333)]), window());
    let phases = &measured.phases;
    let parts = phases.prefill_energy_j.unwrap() + phases.decode_energy_j.unwrap();
    assert_eq!(Some(parts), measured.energy.basis_joules);
    assert!(close(phases.prefill_power_avg_w, 333.0));
    assert_eq!(phases.prefill_duration_ms, Some(500.0));
}

#[test]
fn a_member_without_readings_makes_the_basis_null_with_its_name() {
    let meter = meter(vec![sensor(0, SensorKind::Gpu, "nvml"), sensor(1, SensorKind::Gpu, "nvml")]);
    let measured = meter.measure(&timeline(&[(0, 100)]), window());
    assert_eq!(measured.energy.basis_joules, None);
    assert_eq!(measured.energy.status.as_deref(), Some("no_readings: gpu 1"));
    assert_eq!(measured.energy.devices[0].joules.map(f64::round), Some(200.0));
    assert_eq!(measured.energy.devices[1].joules, None);
    assert_eq!(measured.phases.basis.as_deref(), Some("no_readings: gpu 1"));
    assert_eq!(measured.power.gpu.total_watts, Stats::default());
}

#[test]
fn without_a_basis_the_reason_is_kept() {
    let meter = Meter { basis: Err("server_not_on_this_host".into()), ..meter(Vec::new()) };
    let measured = meter.measure(&Timeline::default(), window());
    assert_eq!(measured.energy.status.as_deref(), Some("server_not_on_this_host"));
    assert_eq!(measured.energy.basis_joules, None);
    assert_eq!(measured.energy.basis, None);
}

#[test]
fn an_estimate_beside_a_counter_gives_no_unmarked_number() {
    let sensors =
        vec![sensor(0, SensorKind::Gpu, "nvml"), sensor(1, SensorKind::CpuPackage, "estimate")];
    let measured = meter(sensors).measure(&timeline(&[(0, 100), (1, 50)]), window());
    assert_eq!(measured.energy.cpu_per_query_joules, None);
    assert_eq!(measured.power.cpu.total_watts, Stats::default());
    let alone = meter(vec![sensor(1, SensorKind::CpuPackage, "estimate")]);
    let measured = alone.measure(&timeline(&[(1, 50)]), window());
    assert_eq!(measured.energy.method.as_deref(), Some("estimated"));
    assert_eq!(measured.energy.basis.as_deref(), Some("cpu_estimated"));
    assert!(close(measured.energy.cpu_per_query_joules, 100.0));
}

#[test]
fn idle_power_is_taken_off_for_the_net_figure() {
    let timeline = timeline(&[(0, 100)]);
    let mut meter = meter(vec![sensor(0, SensorKind::Gpu, "nvml")]);
    meter.idle = meter.idle_power(&timeline, (Nanos(500 * MS), Nanos(1_500 * MS)));
    assert!(close(meter.idle.map(|idle| idle.mean), 100.0));
    let measured = meter.measure(&timeline, window());
    assert!(measured.energy.net_basis_joules.unwrap().abs() < 1e-6);
    assert_eq!(measured.energy.status.as_deref(), Some("ok"), "it was utilised");
}

#[test]
fn a_device_at_idle_without_utilisation_did_not_react() {
    let mut timeline = Timeline::default();
    for mut read in reads(0, 100) {
        read.compute_utilization_pct = Some(0.0);
        timeline.push_read(read);
    }
    let meter = Meter { idle: at_rest(100.0), ..meter(vec![sensor(0, SensorKind::Gpu, "nvml")]) };
    let measured = meter.measure(&timeline, window());
    assert_eq!(measured.energy.status.as_deref(), Some("device_did_not_react"));
    assert!(close(measured.energy.basis_joules, 200.0), "it is still what the meter shows");
}

#[test]
fn less_than_idle_power_is_refused() {
    let meter = Meter { idle: at_rest(500.0), ..meter(vec![sensor(0, SensorKind::Gpu, "nvml")]) };
    let measured = meter.measure(&timeline(&[(0, 100)]), window());
    assert_eq!(measured.energy.basis_joules, None);
    assert_eq!(measured.energy.status.as_deref(), Some("below_idle_power"));
}

#[test]
fn system_energy_needs_gpu_cpu_and_dram() {
    let sensors = vec![
        sensor(0, SensorKind::Gpu, "nvml"),
        sensor(1, SensorKind::CpuPackage, "rapl_perf"),
        sensor(2, SensorKind::Dram, "rapl_perf"),
    ];
    let measured = meter(sensors).measure(&timeline(&[(0, 100), (1, 50), (2, 10)]), window());
    assert!(close(measured.energy.system_per_query_joules, 320.0));
    assert!(close(measured.energy.dram_per_query_joules, 20.0));
}

/// The same reads, each changed.
fn changed(id: u32, watts: u64, change: impl Fn(&mut SensorReading)) -> Timeline {
    let mut timeline = Timeline::default();
    for mut read in reads(id, watts) {
        change(&mut read);
        timeline.push_read(read);
    }
    timeline
}

#[test]
fn a_throttled_device_is_flagged_and_one_at_its_power_limit_is_not() {
    let meter = meter(vec![sensor(0, SensorKind::Gpu, "nvml")]);
    let status = |throttle: Throttle, from_ms: u64| {
        let timeline = changed(0, 100, |read| {
            let on = read.read_end.0 >= from_ms * MS;
            read.throttle = Some(if on { throttle } else { Throttle::default() });
        });
        let energy = meter.measure(&timeline, window()).energy;
        assert!(close(energy.basis_joules, 200.0), "it is still what the meter shows");
        energy.status.unwrap()
    };
    assert_eq!(status(Throttle::POWER_CAP, 0), "ok");
    assert_eq!(status(Throttle::POWER_CAP.and(Throttle::THERMAL), 3_000), "throttled: thermal");
    assert_eq!(status(Throttle::THERMAL, 4_001), "ok", "after the query");
    let both = Throttle::HARDWARE_SLOWDOWN.and(Throttle::POWER_BRAKE);
    assert_eq!(status(both, 0), "throttled: hardware_slowdown, power_brake");
}

#[test]
fn other_processes_on_a_device_are_flagged() {
    let meter = meter(vec![sensor(0, SensorKind::Gpu, "nvml")]);
    let status = |processes: u32| {
        let timeline = changed(0, 100, |read| read.process_count = Some(processes));
        meter.measure(&timeline, window()).energy.status.unwrap()
    };
    assert_eq!(status(1), "ok");
    assert_eq!(status(3), "other_processes: 2 beside the server's");
}

#[test]
fn a_throttled_board_that_is_not_counted_is_nobodys_concern() {
    let sensors = vec![sensor(0, SensorKind::Gpu, "nvml"), sensor(1, SensorKind::Gpu, "nvml")];
    let meter = Meter { counted: BTreeSet::from([0]), ..meter(sensors.clone()) };
    let basis = basis::choose(&sensors, &meter.counted);
    let mut timeline = changed(1, 100, |read| read.throttle = Some(Throttle::THERMAL));
    reads(0, 100).into_iter().for_each(|read| timeline.push_read(read));
    let measured = Meter { basis, ..meter }.measure(&timeline, window());
    assert_eq!(measured.energy.status.as_deref(), Some("ok"));
}

#[test]
fn tensor_use_is_the_mean_over_the_window_and_unknown_without_readings() {
    let meter = meter(vec![sensor(0, SensorKind::Gpu, "nvml")]);
    let timeline = changed(0, 100, |read| {
        let late = read.read_end.0 > 3_000 * MS;
        read.tensor_utilization_pct = Some(if late { 80.0 } else { 40.0 });
    });
    let tensor = meter.measure(&timeline, window()).gpu_utilization.tensor_core_utilization_pct;
    assert!(tensor.is_some_and(|percent| (59.0..61.0).contains(&percent)), "{tensor:?}");
    let without = meter.measure(&changed(0, 100, |_| {}), window());
    assert_eq!(without.gpu_utilization.tensor_core_utilization_pct, None);
}

#[test]
fn the_rails_of_an_apple_chip_are_added_and_one_that_is_off_adds_nothing() {
    let meter = meter(vec![
        sensor(0, SensorKind::CpuPackage, "apple"),
        sensor(1, SensorKind::Gpu, "apple"),
        sensor(2, SensorKind::Ane, "apple"),
    ]);
    let mut timeline = timeline(&[(0, 10), (1, 30)]);
    for mut read in reads(2, 0) {
        (read.changed_after, read.changed_before) = (None, Some(Nanos(0)));
        timeline.push_read(read);
    }
    let energy = meter.measure(&timeline, window()).energy;
    assert_eq!(energy.basis.as_deref(), Some("soc"));
    assert!(close(energy.basis_joules, 80.0), "{energy:?}");
    assert_eq!(
        (energy.soc_per_query_joules, energy.ane_per_query_joules),
        (energy.basis_joules, Some(0.0))
    );
    assert!(meter.is_covered(&timeline, Nanos(4_000 * MS)));

    let mut silent = Timeline::default();
    [0, 1].iter().flat_map(|id| reads(*id, 10)).for_each(|read| silent.push_read(read));
    let energy = meter.measure(&silent, window()).energy;
    assert_eq!((energy.basis_joules, energy.soc_per_query_joules), (None, None));
    assert_eq!(energy.status.as_deref(), Some("no_readings: ane 2"));
}

#[test]
fn what_was_shared_shows_no_device_as_the_querys_own() {
    let meter = meter(vec![sensor(0, SensorKind::Gpu, "nvml")]);
    let whole = meter.measure(&timeline(&[(0, 300)]), window());
    let unshared = whole.clone().unshared();
    let expected = EnergyMetrics {
        basis: Some("gpu".to_owned()),
        status: Some("shared_until_final".to_owned()),
        ..EnergyMetrics::default()
    };
    assert_eq!(unshared.energy, expected);
    let expected = PhaseMetrics {
        prefill_duration_ms: Some(500.0),
        decode_duration_ms: Some(1_500.0),
        basis: Some("shared_until_final".to_owned()),
        ..PhaseMetrics::default()
    };
    assert_eq!(unshared.phases, expected);
    assert_eq!(unshared.power.gpu.per_query_watts, Stats::default());
    assert!(close(unshared.power.gpu.total_watts.avg, 300.0));
    assert_eq!(unshared.power.gpu.total_watts, whole.power.gpu.total_watts);
    assert_eq!(unshared.memory, whole.memory);
    assert_eq!(unshared.temperature, whole.temperature);
    assert_eq!(unshared.gpu_utilization, whole.gpu_utilization);
}

#[test]
fn where_there_is_nothing_to_share_the_reason_stays() {
    let meter = Meter { basis: Err("monitor_off".into()), ..meter(Vec::new()) };
    let unshared = meter.measure(&Timeline::default(), window()).unshared();
    assert_eq!((unshared.energy.basis, unshared.energy.status), (None, Some("monitor_off".into())));
    assert_eq!(unshared.phases.basis.as_deref(), Some("monitor_off"));
    let silent = Window { first_token: None, ..window() };
    let unshared = meter.measure(&Timeline::default(), silent).unshared();
    assert_eq!(unshared.phases.basis.as_deref(), Some("no_first_token"));
}
