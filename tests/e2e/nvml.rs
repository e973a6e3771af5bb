//! What the monitor makes of NVIDIA boards of every kind: the real program and the real NVML wrapper
//! on a library whose true figures are known.

use std::time::Duration;

use e2e::fake_nvml::load_into;
use e2e::monitor::{Monitor, command, sensor};
use e2e::sysfs::Sysfs;
use energy_proto::{Description, Nanos, SensorKind, Status, Throttle, monotonic_now, pb};
use fake_nvml::{Failure, Fault, Gpu, Metric, Model, OverPoll, OverPolled, PowerShape};

/// When a fault begins: by then a monitor serves, even on a busy machine.
const BY_THEN_IT_SERVES_MS: u64 = 2_000;
/// A power that is never twice the same for long.
const LIVELY: PowerShape = PowerShape::Square { low: 90.0, high: 510.0, period_ms: 370, duty: 0.4 };
/// What a board gives that has everything.
const EVERYTHING: [&str; 9] = [
    "energy",
    "power",
    "temperature",
    "memory",
    "utilization",
    "processes",
    "tensor_utilization",
    "clocks",
    "throttle",
];

fn in_ms(millis: u64) -> Nanos {
    monotonic_now() + Duration::from_millis(millis)
}

/// A monitor of this GPU alone, read every 20 ms.
fn on(gpu: Gpu) -> Monitor {
    on_all(vec![gpu])
}

fn on_all(gpus: Vec<Gpu>) -> Monitor {
    let mut command = command(&["--port", "0", "--collection-interval-ms", "20"]);
    load_into(&mut command, &Model { gpus, ..Model::default() });
    Monitor::start(&mut command)
}

fn without(metric: Metric, gpu: Gpu) -> Gpu {
    let failure = Failure::NotSupported;
    let fault = Fault::MetricFails { metric, failure, from: Nanos(0) };
    Gpu { faults: vec![fault], ..gpu }
}

fn grace_hopper() -> Gpu {
    Gpu {
        name: "FAKE GH200 480GB".to_owned(),
        module_power: Some(PowerShape::Constant { watts: 480.0 }),
        ..Gpu::like_an_h100()
    }
}

fn first(reading: &pb::TelemetryReading) -> &pb::SensorReading {
    sensor(reading, 0).expect("the GPU is there")
}

/// The first reading that has a figure, which may come some reads after the others.
async fn first_with(
    monitor: &Monitor,
    figure: impl Fn(&pb::SensorReading) -> bool,
) -> pb::SensorReading {
    let mut stream = monitor.readings().await;
    let readings = stream.until(|reading| figure(first(reading))).await;
    *first(readings.last().expect("one has it"))
}

fn skipped_nvml(described: &Description) -> (&str, &str) {
    let mut skipped = described.skipped.iter();
    let nvml = skipped.find(|skipped| skipped.source == "nvml").expect("NVML is left out");
    (&nvml.reason, &nvml.remedy)
}

#[tokio::test]
async fn instant_power_is_preferred_and_carries_the_drivers_own_time() {
    let gpu = Gpu { power: LIVELY, phase_ms: 13, ..Gpu::like_an_h100() };
    let monitor = on(gpu.clone());
    let described = monitor.describe().await;
    assert_eq!(described.sensors[0].power_window, Some(Duration::ZERO));
    assert_eq!(described.sensors[0].measures, EVERYTHING);
    let mut refreshes = Vec::new();
    for reading in monitor.readings().await.take(60).await {
        let read = first(&reading);
        // The driver's time is in whole microseconds of the wall clock.
        let slack = Duration::from_millis(2);
        let Some(at) = read.power_at_nanos.map(Nanos) else { continue };
        let refreshed = gpu.last_refresh(at + slack);
        assert!(at.since(refreshed).max(refreshed.since(at)) <= slack, "{at:?} of {refreshed:?}");
        let shown = f64::from(gpu.instant_milliwatts(&gpu.power, refreshed)) * 1e-3;
        assert_eq!(read.power_watts, Some(shown));
        refreshes.push(refreshed);
    }
    refreshes.dedup();
    assert!(refreshes.len() >= 5, "the times follow the refreshes: {refreshes:?}");
}

#[tokio::test]
async fn without_instant_power_the_mean_is_used_and_called_one() {
    let boards =
        [((8, 6), Duration::from_secs(1)), ((8, 0), Duration::ZERO), ((7, 0), Duration::ZERO)];
    let gpus: Vec<Gpu> = boards
        .iter()
        .map(|(capability, _)| Gpu { compute_capability: *capability, ..Gpu::default() })
        .collect();
    let mut gpus = gpus;
    gpus.push(without(Metric::ComputeCapability, Gpu::default()));
    let monitor = on_all(gpus);
    let described = monitor.describe().await;
    for (sensor, (capability, window)) in described.sensors.iter().zip(boards) {
        assert_eq!(sensor.power_window, Some(window), "{capability:?}");
    }
    assert_eq!(described.sensors[3].power_window, None, "of an unknown board it isn't known");
    let reading = first_with(&monitor, |read| read.power_watts.is_some()).await;
    assert_eq!((reading.power_watts, reading.power_at_nanos), (Some(300.0), None));
}

#[tokio::test]
async fn a_time_that_can_not_be_true_is_left_out_and_the_power_kept() {
    for timestamp_error_ms in [-3_600_000, -5_000, 5_000, i64::MIN, i64::MAX] {
        let monitor = on(Gpu { timestamp_error_ms, ..Gpu::like_an_h100() });
        for reading in monitor.readings().await.take(5).await {
            let read = first(&reading);
            assert_eq!((read.power_watts, read.power_at_nanos), (Some(300.0), None));
        }
    }
}

#[tokio::test]
async fn clocks_and_why_they_are_low_and_tensor_activity_are_told() {
    let busy = PowerShape::Sine { mean: 40.0, amplitude: 30.0, period_ms: 20 };
    let gpu = Gpu {
        // Idle, power cap, hardware thermal slowdown.
        throttle_reasons: 1 | 4 | 64,
        tensor_pct: Some(busy),
        ..Gpu::like_an_h100()
    };
    let monitor = on(gpu);
    let read = first_with(&monitor, |read| read.tensor_utilization_pct.is_some()).await;
    assert_eq!((read.compute_clock_mhz, read.memory_clock_mhz), (Some(1_980), Some(2_619)));
    let reasons = Throttle::POWER_CAP.and(Throttle::THERMAL);
    assert_eq!(read.throttle_reasons, Some(reasons.0));
    for reading in monitor.readings().await.take(40).await {
        if let Some(share) = first(&reading).tensor_utilization_pct {
            // Whole periods of the sine but one, at most.
            assert!((share - 40.0).abs() < 30.0 * 20.0 / 100.0, "{share}");
        }
    }
    let idle = on(Gpu { throttle_reasons: 1, ..Gpu::default() });
    let read = first_with(&idle, |read| read.throttle_reasons.is_some()).await;
    assert_eq!(read.throttle_reasons, Some(0), "idleness is no throttling");
    assert_eq!(read.tensor_utilization_pct, None, "it has no GPM");
}

#[tokio::test]
async fn with_mig_the_energy_is_said_to_be_the_whole_gpus() {
    let board = Gpu { mig: Some(true), ..Gpu::like_an_h100() };
    let monitor = on_all(vec![without(Metric::Utilization, board), Gpu::like_an_h100()]);
    let described = monitor.describe().await;
    let (with, without) = (&described.sensors[0], &described.sensors[1]);
    assert!(with.note.contains("MIG is on") && with.note.contains("whole GPU"), "{}", with.note);
    assert_eq!((without.note.as_str(), with.name.as_str()), ("", "FAKE H100"));
    let read = first_with(&monitor, |read| read.energy_microjoules.is_some()).await;
    assert_eq!((read.status(), read.compute_utilization_pct), (pb::Status::Ok, None));
}

#[tokio::test]
async fn a_superchips_module_is_a_sensor_of_its_own_and_its_counter_is_nobodys() {
    let monitor = on_all(vec![grace_hopper(), Gpu::like_an_h100()]);
    let described = monitor.describe().await;
    let kinds: Vec<_> = described.sensors.iter().map(|sensor| sensor.kind).collect();
    let gpu = SensorKind::Gpu;
    assert_eq!(kinds, [gpu, SensorKind::Module, gpu, SensorKind::Memory]);
    let (gpu, module) = (&described.sensors[0], &described.sensors[1]);
    assert!(!gpu.gives("energy") && gpu.gives("power"), "{:?}", gpu.measures);
    assert!(gpu.note.contains("counter is left out"), "{}", gpu.note);
    assert!(described.sensors[2].gives("energy"), "the other board has no part in it");
    assert_eq!((module.measures.as_slice(), module.id), (["power".to_owned()].as_slice(), 1));
    assert!(module.note.contains("contains the CPU"), "{}", module.note);
    assert_eq!(module.uuid, format!("{}/module", gpu.uuid));
    let reading = monitor.readings().await.next().await.unwrap();
    let power = |id| sensor(&reading, id).unwrap().power_watts;
    assert_eq!((power(0), power(1)), (Some(300.0), Some(480.0)));
    assert_eq!(first(&reading).energy_microjoules, None);
    assert_eq!(first(&reading).status(), pb::Status::Ok);
    assert!(sensor(&reading, 1).unwrap().power_at_nanos.is_some());
}

#[tokio::test]
async fn where_only_the_module_answers_it_is_not_called_a_gpu() {
    let monitor = on(without(Metric::PowerInstant, grace_hopper()));
    let described = monitor.describe().await;
    let module = &described.sensors[0];
    assert_eq!((module.kind, described.platform.as_str()), (SensorKind::Module, "nvidia"));
    assert!(!module.gives("energy") && module.gives("power") && module.gives("memory"));
    assert_eq!(described.sensors[1].kind, SensorKind::Memory, "there is no second module");
    let read = first_with(&monitor, |read| read.power_watts.is_some()).await;
    assert_eq!((read.power_watts, read.energy_microjoules), (Some(480.0), None));
}

#[tokio::test]
async fn a_superchip_whose_scopes_are_silent_gives_nothing_rather_than_the_modules_energy() {
    let gpu = Gpu { name: "NVIDIA GH200 480GB".to_owned(), ..Gpu::default() };
    let monitor = on(gpu);
    let described = monitor.describe().await;
    let (reason, _) = skipped_nvml(&described);
    assert!(reason.contains("no GPU gives energy or power"), "{reason}");
}

#[tokio::test]
async fn each_metric_alone_may_be_unsupported_and_costs_no_other() {
    for metric in Metric::ALL {
        let monitor = on(without(metric, Gpu::like_an_h100()));
        let described = monitor.describe().await;
        let missing = match metric {
            Metric::Energy => Some("energy"),
            Metric::Temperature => Some("temperature"),
            Metric::Memory => Some("memory"),
            Metric::Utilization => Some("utilization"),
            Metric::Throttle => Some("throttle"),
            Metric::Tensor => Some("tensor_utilization"),
            Metric::Processes => Some("processes"),
            // There is another way to it, or it is no figure of a reading, or half of one.
            _ => None,
        };
        let expected: Vec<_> =
            EVERYTHING.into_iter().filter(|figure| Some(*figure) != missing).collect();
        assert_eq!(described.sensors[0].measures, expected, "{metric:?}");
        assert_eq!(described.sensors[0].status, Status::Ok, "{metric:?}");
        assert_eq!(
            described.sensors[0].power_limit.is_some(),
            metric != Metric::PowerLimit,
            "{metric:?}"
        );
        let read = first_with(&monitor, |read| {
            metric == Metric::Tensor || read.tensor_utilization_pct.is_some()
        })
        .await;
        let figures = [
            (read.energy_microjoules.is_some(), Metric::Energy),
            (read.temperature_celsius.is_some(), Metric::Temperature),
            (read.memory_used_bytes.is_some(), Metric::Memory),
            (read.compute_utilization_pct.is_some(), Metric::Utilization),
            (read.process_count.is_some(), Metric::Processes),
            (read.tensor_utilization_pct.is_some(), Metric::Tensor),
            (read.compute_clock_mhz.is_some(), Metric::ComputeClock),
            (read.memory_clock_mhz.is_some(), Metric::MemoryClock),
            (read.throttle_reasons.is_some(), Metric::Throttle),
        ];
        for (there, figure) in figures {
            assert_eq!(there, figure != metric, "{figure:?} without {metric:?}");
        }
        assert_eq!((read.power_watts, read.status()), (Some(300.0), pb::Status::Ok), "{metric:?}");
    }
}

#[tokio::test]
async fn a_figure_that_fails_for_once_is_missing_and_not_given_up() {
    let from = in_ms(BY_THEN_IT_SERVES_MS);
    let failing = |metric| Fault::MetricFails { metric, failure: Failure::NotSupported, from };
    let faults = vec![failing(Metric::Energy), failing(Metric::Temperature)];
    let monitor = on(Gpu { faults, ..Gpu::like_an_h100() });
    let mut stream = monitor.readings().await;
    let later = from + Duration::from_millis(300);
    let readings = stream.until(|reading| first(reading).read_start_nanos > later.0).await;
    let read = first(readings.last().unwrap());
    assert_eq!(read.status(), pb::Status::Stale, "it was supported before");
    assert_eq!((read.energy_microjoules, read.temperature_celsius), (None, None));
    assert!(read.power_watts.is_some() && read.memory_used_bytes.is_some());
}

#[tokio::test]
async fn a_driver_that_is_asked_too_often_costs_readings_and_never_a_wrong_one() {
    for answers in [OverPolled::NotSupported, OverPolled::Zero] {
        let over_poll = Some(OverPoll { closer_than_ms: 50, answers });
        let gpu = Gpu { over_poll, refresh_ms: 20, power: LIVELY, ..Gpu::default() };
        let monitor = on(gpu.clone());
        let mut seen = 0;
        for reading in monitor.readings().await.take(120).await {
            let read = first(&reading);
            assert_eq!(read.epoch, 0);
            match read.energy_microjoules {
                None => assert!(
                    matches!(read.status(), pb::Status::Stale | pb::Status::Implausible),
                    "{read:?}"
                ),
                Some(shown) => {
                    let least = gpu.counter_millijoules(Nanos(read.read_start_nanos)) * 1_000;
                    let most = gpu.counter_millijoules(Nanos(read.read_end_nanos)) * 1_000;
                    assert!((least..=most).contains(&shown) && read.status() == pb::Status::Ok);
                    seen += 1;
                }
            }
            assert!(read.power_watts.is_none_or(|power| power >= 90.0), "{read:?}");
        }
        // It is asked more rarely as soon as it is clear that it doesn't bear more, which takes a busy
        // machine some of them.
        assert!(seen > 60, "{seen} answers");
    }
}

#[tokio::test]
async fn a_board_with_power_alone_stands_beside_one_with_everything() {
    let old = Gpu { name: "FAKE P40".to_owned(), compute_capability: (6, 1), ..Gpu::default() };
    let monitor = on_all(vec![without(Metric::Energy, old), Gpu::like_an_h100()]);
    let described = monitor.describe().await;
    assert!(!described.sensors[0].gives("energy") && described.sensors[1].gives("energy"));
    assert_eq!(described.sensors[0].quantum_microjoules, None);
    let reading = monitor.readings().await.next().await.unwrap();
    for id in [0, 1] {
        let read = sensor(&reading, id).unwrap();
        assert_eq!((read.status(), read.power_watts), (pb::Status::Ok, Some(300.0)));
        assert_eq!(read.energy_microjoules.is_some(), id == 1);
    }
}

#[tokio::test]
async fn a_jetson_is_recognised_and_pointed_to_its_rails() {
    let gpus = vec![Gpu { name: "Orin (nvgpu)".to_owned(), ..Gpu::default() }];
    let mut command = command(&["--port", "0"]);
    load_into(&mut command, &Model { supports_nothing: true, gpus, ..Model::default() });
    let monitor = Monitor::start(&mut command);
    let described = monitor.describe().await;
    let (reason, remedy) = skipped_nvml(&described);
    assert!(reason.contains("no GPU gives energy or power"), "{reason}");
    assert!(remedy.contains("--sources hwmon"), "{remedy}");
}

#[tokio::test]
async fn a_driver_that_is_loaded_again_is_a_new_epoch_by_a_new_handle() {
    let (from, until) = (in_ms(BY_THEN_IT_SERVES_MS), in_ms(BY_THEN_IT_SERVES_MS + 700));
    let gpu =
        Gpu { refresh_ms: 20, faults: vec![Fault::Reloads { from, until }], ..Gpu::like_an_h100() };
    let monitor = on_all(vec![gpu.clone(), Gpu::like_an_h100()]);
    let mut stream = monitor.readings().await;
    let before = stream.until(|reading| first(reading).status() == pb::Status::Lost).await;
    let lost = first(before.last().unwrap());
    assert_eq!((lost.energy_microjoules, lost.power_watts), (None, None));
    assert!(before[..before.len() - 1].iter().all(|reading| first(reading).epoch == 0));
    let other = sensor(before.last().unwrap(), 1).unwrap();
    assert_eq!(other.status(), pb::Status::Ok, "the other board goes on");
    let away = stream.until(|reading| first(reading).status() == pb::Status::Reset).await;
    let back = first(away.last().unwrap());
    assert_eq!(back.epoch, 1);
    assert!(back.read_start_nanos >= until.0);
    let earliest = gpu.counter_millijoules(Nanos(back.read_start_nanos)) * 1_000;
    let latest = gpu.counter_millijoules(Nanos(back.read_end_nanos)) * 1_000;
    assert!((earliest..=latest).contains(&back.energy_microjoules.unwrap()));
    let after = stream.take(20).await;
    assert!(after.iter().all(|reading| first(reading).epoch == 1));
    let settled = after.iter().filter(|reading| first(reading).status() == pb::Status::Ok);
    assert!(settled.count() >= 10);
}

#[tokio::test]
async fn a_gpu_that_does_not_open_at_first_is_tried_again() {
    let until = in_ms(BY_THEN_IT_SERVES_MS);
    let faults = vec![Fault::Reloads { from: Nanos(0), until }];
    let monitor = on(Gpu { faults, ..Gpu::like_an_h100() });
    let described = monitor.describe().await;
    assert_eq!(described.sensors[0].status, Status::Lost);
    let remedy = &described.sensors[0].remedy;
    assert!(remedy.contains("restart the monitor"), "{remedy}");
    let read = first_with(&monitor, |read| read.energy_microjoules.is_some()).await;
    assert!(read.read_start_nanos >= until.0);
    assert_eq!((read.status(), read.power_watts), (pb::Status::Ok, Some(300.0)));
}

#[tokio::test]
async fn a_gpu_that_opens_late_stays_the_sensor_that_it_was() {
    const PACKAGE_MICROJOULES: u64 = 7_000_000;
    let sysfs = Sysfs::new();
    sysfs.zone("intel-rapl:0", "package-0", PACKAGE_MICROJOULES);
    let until = in_ms(BY_THEN_IT_SERVES_MS);
    let faults = vec![Fault::Reloads { from: Nanos(0), until }];
    let power = PowerShape::Constant { watts: 120.0 };
    let late = Gpu { faults, power, uuid: "GPU-late".to_owned(), ..Gpu::like_an_h100() };
    let mut command = command(&["--port", "0", "--collection-interval-ms", "20"]);
    command.arg("--sysfs-root").arg(sysfs.root());
    load_into(&mut command, &Model { gpus: vec![Gpu::like_an_h100(), late], ..Model::default() });
    let monitor = Monitor::start(&mut command);
    let described = monitor.describe().await;
    let kinds: Vec<_> = described.sensors[..3].iter().map(|info| info.kind).collect();
    assert_eq!(kinds, [SensorKind::Gpu, SensorKind::Gpu, SensorKind::CpuPackage]);
    assert_eq!(described.sensors[1].status, Status::Lost);
    let mut stream = monitor.readings().await;
    let opened = |reading: &pb::TelemetryReading| {
        sensor(reading, 1).is_some_and(|it| it.power_watts.is_some())
    };
    let mut readings = stream.until(opened).await;
    readings.extend(stream.take(30).await);
    for reading in &readings {
        let own = |id| sensor(reading, id).expect("every sensor is in every reading");
        assert_eq!(own(0).power_watts, Some(300.0));
        assert!(matches!(own(1).power_watts, None | Some(120.0)), "{:?}", own(1));
        assert_eq!(own(2).energy_microjoules, Some(PACKAGE_MICROJOULES));
        assert_eq!((own(2).power_watts, own(2).status()), (None, pb::Status::Ok));
    }
    assert!(opened(readings.last().expect("there are some")));
}

#[tokio::test]
async fn tensor_activity_after_a_long_pause_is_the_mean_over_the_pause() {
    let (from, until) = (in_ms(BY_THEN_IT_SERVES_MS), in_ms(BY_THEN_IT_SERVES_MS + 2_500));
    let faults = vec![Fault::Hangs { from, until }];
    let tensor_pct = Some(PowerShape::Constant { watts: 40.0 });
    let monitor = on(Gpu { faults, tensor_pct, ..Gpu::like_an_h100() });
    let mut stream = monitor.readings().await;
    let readings = stream.until(|reading| first(reading).read_end_nanos >= until.0).await;
    let after = first(readings.last().expect("one is from after it"));
    let share = after.tensor_utilization_pct.expect("the samples lie further apart, no more");
    assert!((share - 40.0).abs() < 1e-6, "{share}");
}

#[tokio::test]
async fn a_slow_late_and_jittering_driver_is_read_as_it_is() {
    let gpu = Gpu {
        jitter_us: 8_000,
        publication_lag_ms: 30,
        call_latency_us: 300,
        refresh_ms: 20,
        power: LIVELY,
        ..Gpu::like_an_h100()
    };
    let monitor = on(gpu.clone());
    for reading in monitor.readings().await.take(60).await {
        let read = first(&reading);
        assert!(read.read_end_nanos - read.read_start_nanos >= 300_000, "the call takes so long");
        let shown = read.energy_microjoules.unwrap();
        let least = gpu.counter_millijoules(Nanos(read.read_start_nanos)) * 1_000;
        let most = gpu.counter_millijoules(Nanos(read.read_end_nanos)) * 1_000;
        assert!((least..=most).contains(&shown), "{shown} not in {least}..={most}");
    }
}
