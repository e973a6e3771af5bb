//! The `energy-monitor` program end to end: a real process, the real NVML wrapper on a library whose
//! true power is known, real sysfs reads and real perf counters on trees that a test writes.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use e2e::fake_nvml::{library, load_into};
use e2e::monitor::{self, Monitor, PATIENCE, command, sensor};
use e2e::sysfs::{RANGE_MICROJOULES, Sysfs};
use energy_proto::{Nanos, SensorKind, Status, monotonic_now, pb};
use fake_nvml::{Failure, Fault, Gpu, Metric, Model, PowerShape};
use nix::sys::signal::Signal;
use nix::unistd::geteuid;

/// The user `nobody`, who may do nothing special.
const NOBODY: u32 = 65_534;

/// When a fault begins: by then a monitor serves, even on a busy machine.
const BY_THEN_IT_SERVES_MS: u64 = 2_000;

/// A power that is never twice the same for long.
const LIVELY: PowerShape = PowerShape::Square { low: 90.0, high: 510.0, period_ms: 370, duty: 0.4 };

fn in_ms(millis: u64) -> Nanos {
    monotonic_now() + Duration::from_millis(millis)
}

fn one(gpu: Gpu) -> Model {
    Model { gpus: vec![gpu], ..Model::default() }
}

fn faulty(fault: Fault) -> Model {
    one(Gpu { refresh_ms: 20, faults: vec![fault], ..Gpu::default() })
}

/// A monitor of these fake GPUs, read every 20 ms.
fn on_fake(model: &Model) -> Monitor {
    let mut command = command(&["--port", "0", "--collection-interval-ms", "20"]);
    load_into(&mut command, model);
    Monitor::start(&mut command)
}

/// A monitor of this sysfs, without a GPU, read every 20 ms.
fn on_sysfs(sysfs: &Sysfs) -> Monitor {
    Monitor::start(&mut sysfs_command(sysfs))
}

fn sysfs_command(sysfs: &Sysfs) -> Command {
    let mut command = command(&["--port", "0", "--collection-interval-ms", "20"]);
    command.arg("--sysfs-root").arg(sysfs.root());
    command
}

fn status(reading: &pb::TelemetryReading, id: u32) -> Option<pb::Status> {
    Some(sensor(reading, id)?.status())
}

fn energy(reading: &pb::TelemetryReading, id: u32) -> Option<u64> {
    sensor(reading, id)?.energy_microjoules
}

/// Checks every reading of a GPU against what its counter truly showed.
fn assert_true_to(gpu: &Gpu, id: u32, readings: &[pb::TelemetryReading]) {
    let own: Vec<_> = readings.iter().filter_map(|reading| sensor(reading, id)).collect();
    assert!(!own.is_empty());
    for read in &own {
        let shown = read.energy_microjoules.expect("the counter was read");
        let earliest = gpu.counter_millijoules(Nanos(read.read_start_nanos)) * 1_000;
        let latest = gpu.counter_millijoules(Nanos(read.read_end_nanos)) * 1_000;
        assert!((earliest..=latest).contains(&shown), "{shown} not in {earliest}..={latest}");
        let before = read.changed_before_nanos.expect("it was read");
        assert!(gpu.counter_millijoules(Nanos(before)) * 1_000 >= shown);
        if let Some(after) = read.changed_after_nanos {
            assert!(gpu.counter_millijoules(Nanos(after)) * 1_000 < shown);
        }
    }
    let (first, last) = (own[0], own[own.len() - 1]);
    let shown = |read: &pb::SensorReading| read.energy_microjoules.expect("as checked above");
    let measured = (shown(last) - shown(first)) as f64;
    let (from, to) = (Nanos(first.read_end_nanos), Nanos(last.read_end_nanos));
    // What the counter hasn't shown yet at either end: a refresh at the highest power.
    let bound = gpu.refresh_ms as f64 * 1e-3 * 510.0 + 0.01;
    let truth = gpu.true_energy(from, to).0;
    assert!((measured * 1e-6 - truth).abs() <= bound, "{measured} uJ for {truth} J +- {bound}");
    let between_refreshes = gpu.true_energy(gpu.last_refresh(from), gpu.last_refresh(to)).0;
    assert!((measured * 1e-6 - between_refreshes).abs() <= 0.002);
}

#[tokio::test]
async fn it_announces_itself_in_one_line_and_describes_what_it_measures() {
    let model = one(Gpu { name: "FAKE H100 80GB HBM3".to_owned(), ..Gpu::default() });
    let monitor = on_fake(&model);
    let listening = monitor.listening.clone();
    assert_eq!((listening.event.as_str(), listening.api.as_str()), ("listening", "energy/1"));
    assert_eq!(listening.pid, monitor.pid().as_raw() as u32);
    let described = monitor.describe().await;
    assert_eq!(described.sensors.len(), listening.sensors);
    assert_eq!((described.platform.as_str(), described.api.as_str()), ("nvidia", "energy/1"));
    assert_eq!(described.interval, Duration::from_millis(20));
    assert_eq!(described.boot_id, energy_proto::boot_id());
    assert_eq!(described.time_namespace, energy_proto::time_namespace());
    assert!(monotonic_now().since(described.anchor.monotonic) < PATIENCE);
    let gpu = &described.sensors[0];
    assert_eq!((gpu.kind, gpu.name.as_str()), (SensorKind::Gpu, "FAKE H100 80GB HBM3"));
    assert_eq!(gpu.uuid, model.gpus[0].uuid);
    let figures = [
        "energy",
        "power",
        "temperature",
        "memory",
        "utilization",
        "processes",
        "clocks",
        "throttle",
    ];
    assert_eq!(gpu.measures, figures);
    assert_eq!(gpu.power_limit.unwrap().0, 700.0);
    assert_eq!((gpu.quantum_microjoules, gpu.gain_error_pct), (Some(1_000), Some(5.0)));
    assert_eq!(described.gpu_info.unwrap().backend, "NVML");
    monitor.signal(Signal::SIGTERM);
    let (status, rest) = monitor.ends_within(Duration::from_secs(1));
    assert_eq!((status.code(), rest.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn it_answers_both_health_services() {
    use tonic_health::pb::health_client::HealthClient;
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
    let monitor = on_fake(&Model::default());
    monitor.readings().await.next().await.expect("it samples");
    let own = monitor.client().await.health(pb::HealthRequest {}).await.unwrap().into_inner();
    assert_eq!((own.healthy, own.platform.as_str()), (true, "nvidia"));
    let mut standard = HealthClient::new(monitor.channel().await);
    for service in ["", "energy.EnergyMonitor"] {
        let asked = Instant::now();
        loop {
            let request = HealthCheckRequest { service: service.to_owned() };
            let answer = standard.check(request).await.unwrap().into_inner();
            if answer.status() == ServingStatus::Serving {
                break;
            }
            assert!(asked.elapsed() < Duration::from_secs(1), "{service:?}: {answer:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn energy_over_a_window_is_the_true_energy() {
    let gpu = Gpu { refresh_ms: 100, phase_ms: 37, power: LIVELY, ..Gpu::default() };
    let monitor = on_fake(&one(gpu.clone()));
    let readings = monitor.readings().await.take(75).await;
    assert_true_to(&gpu, 0, &readings);
    let window: Vec<_> = readings.windows(2).collect();
    for pair in &window {
        assert_eq!(pair[1].instance, pair[0].instance);
        assert!(pair[1].sequence > pair[0].sequence);
        assert!(pair[1].energy_joules.unwrap() >= pair[0].energy_joules.unwrap());
    }
    let (first, last) = (&readings[0], &readings[readings.len() - 1]);
    let counted = (energy(last, 0).unwrap() - energy(first, 0).unwrap()) as f64 * 1e-6;
    let summed = last.energy_joules.unwrap() - first.energy_joules.unwrap();
    assert!((summed - counted).abs() < 1e-6);
}

#[tokio::test]
async fn a_unix_socket_carries_the_same_stream() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("monitor.sock");
    let gpu = Gpu { power: LIVELY, refresh_ms: 10, ..Gpu::default() };
    let mut command = command(&["--collection-interval-ms", "10"]);
    command.arg("--uds").arg(&socket);
    load_into(&mut command, &one(gpu.clone()));
    let monitor = Monitor::start(&mut command);
    assert_eq!(monitor.listening.address, format!("unix:{}", socket.display()));
    assert_true_to(&gpu, 0, &monitor.readings().await.take(50).await);
    monitor.signal(Signal::SIGINT);
    assert_eq!(monitor.ends_within(Duration::from_secs(1)).0.code(), Some(0));
    assert!(!socket.exists(), "the socket is gone with the monitor");
}

#[tokio::test]
async fn two_gpus_of_different_kinds_are_measured_apart_and_added_up() {
    let gpus = vec![
        Gpu { name: "FAKE A".to_owned(), refresh_ms: 100, power: LIVELY, ..Gpu::default() },
        Gpu {
            name: "FAKE B".to_owned(),
            uuid: "GPU-fake1111".to_owned(),
            refresh_ms: 20,
            phase_ms: 3,
            base_millijoules: 77,
            power: PowerShape::Sine { mean: 200.0, amplitude: 100.0, period_ms: 900 },
            temperature_celsius: 71,
            utilization: fake_nvml::Utilization { compute_pct: 100, memory_pct: 75 },
            compute_processes: vec![10, 11],
            graphics_processes: vec![11, 12],
            ..Gpu::default()
        },
    ];
    let monitor = on_fake(&Model { gpus: gpus.clone(), ..Model::default() });
    let readings = monitor.readings().await.take(60).await;
    for (id, gpu) in (0..).zip(&gpus) {
        assert_true_to(gpu, id, &readings);
    }
    let last = readings.last().unwrap();
    let power = |id| sensor(last, id).unwrap().power_watts.unwrap();
    assert!((last.power_watts.unwrap() - power(0) - power(1)).abs() < 1e-9);
    assert_eq!(last.temperature_celsius, Some(71.0));
    assert_eq!(last.gpu_compute_utilization_pct, Some(75.0));
    assert_eq!(last.gpu_memory_bandwidth_utilization_pct, Some(50.0));
    assert_eq!(last.gpu_memory_usage_mb, Some(2.0 * 8.0 * 1024.0));
    assert_eq!(last.gpu_memory_total_mb, Some(2.0 * 80.0 * 1024.0));
    assert_eq!(sensor(last, 0).unwrap().process_count, Some(0));
    assert_eq!(sensor(last, 1).unwrap().process_count, Some(3), "each process counts once");
}

#[tokio::test]
async fn one_metric_that_is_not_supported_costs_no_other() {
    let monitor = on_fake(&faulty(Fault::MetricFails {
        metric: Metric::Temperature,
        failure: Failure::NotSupported,
        from: Nanos(0),
    }));
    let described = monitor.describe().await;
    let others = ["energy", "power", "memory", "utilization", "processes", "clocks", "throttle"];
    assert_eq!(described.sensors[0].measures, others);
    let reading = monitor.readings().await.next().await.unwrap();
    let gpu = sensor(&reading, 0).unwrap();
    assert_eq!((gpu.temperature_celsius, reading.temperature_celsius), (None, Some(-1.0)));
    assert_eq!(gpu.status(), pb::Status::Ok);
    assert!(gpu.energy_microjoules.is_some() && gpu.power_watts.is_some());
    assert!(gpu.memory_used_bytes.is_some() && gpu.compute_utilization_pct.is_some());
}

#[tokio::test]
async fn an_energy_that_fails_for_a_while_is_missing_and_not_the_last_value() {
    let monitor = on_fake(&faulty(Fault::MetricFails {
        metric: Metric::Energy,
        failure: Failure::Unknown,
        from: in_ms(BY_THEN_IT_SERVES_MS),
    }));
    let mut stream = monitor.readings().await;
    let failed = stream.until(|reading| status(reading, 0) == Some(pb::Status::Stale)).await;
    let failed = failed.last().unwrap();
    assert_eq!((energy(failed, 0), failed.energy_joules), (None, Some(-1.0)));
    assert!(sensor(failed, 0).unwrap().power_watts.is_some(), "power is still there");
}

#[tokio::test]
async fn an_nvml_that_supports_nothing_is_left_out_with_its_reason() {
    let monitor = on_fake(&Model { supports_nothing: true, ..Model::default() });
    let described = monitor.describe().await;
    assert_eq!(described.platform, "null");
    let skipped = described.skipped.iter().find(|skipped| skipped.source == "nvml").unwrap();
    assert!(skipped.reason.contains("no GPU gives energy or power"), "{}", skipped.reason);
    let reading = monitor.readings().await.next().await.unwrap();
    assert_eq!((reading.power_watts, reading.energy_joules), (Some(-1.0), Some(-1.0)));
    assert!(reading.cpu_memory_usage_mb.unwrap() > 0.0, "memory is still measured");
}

#[tokio::test]
async fn a_gpu_that_is_lost_says_so_and_shows_nothing_more() {
    let monitor = on_fake(&faulty(Fault::Lost { from: in_ms(BY_THEN_IT_SERVES_MS) }));
    let mut stream = monitor.readings().await;
    let readings = stream.until(|reading| status(reading, 0) == Some(pb::Status::Lost)).await;
    assert_eq!(status(&readings[0], 0), Some(pb::Status::Ok));
    let lost = sensor(readings.last().unwrap(), 0).unwrap();
    assert_eq!((lost.energy_microjoules, lost.power_watts), (None, None));
    assert_eq!((lost.memory_used_bytes, lost.temperature_celsius), (None, None));
    assert_eq!(readings.last().unwrap().power_watts, Some(-1.0));
}

#[tokio::test]
async fn a_counter_that_starts_again_is_a_new_epoch() {
    let model = faulty(Fault::EnergyRestarts { at: in_ms(BY_THEN_IT_SERVES_MS) });
    let monitor = on_fake(&model);
    let mut stream = monitor.readings().await;
    let readings = stream.until(|reading| status(reading, 0) == Some(pb::Status::Reset)).await;
    for before in &readings[..readings.len() - 1] {
        assert_eq!(sensor(before, 0).unwrap().epoch, 0);
    }
    let reset = sensor(readings.last().unwrap(), 0).unwrap();
    assert_eq!(reset.epoch, 1);
    assert!(reset.energy_microjoules.unwrap() < 1_000_000_000_000);
    // The read that found it is told until the next one, and so is the value that it found.
    let found = reset.changed_before_nanos;
    stream.until(|reading| sensor(reading, 0).unwrap().changed_before_nanos != found).await;
    let after = stream.take(10).await;
    assert!(after.iter().all(|reading| status(reading, 0) == Some(pb::Status::Ok)));
    assert_true_to(&model.gpus[0], 0, &after);
    assert_eq!(after[0].energy_joules, Some(-1.0), "since the start is not known any more");
}

#[tokio::test]
async fn a_counter_that_jumps_tenfold_is_a_new_epoch_and_no_energy() {
    let monitor =
        on_fake(&faulty(Fault::EnergyMultiplied { factor: 10, from: in_ms(BY_THEN_IT_SERVES_MS) }));
    let mut stream = monitor.readings().await;
    let readings = stream.until(|reading| status(reading, 0) == Some(pb::Status::Reset)).await;
    assert_eq!(sensor(readings.last().unwrap(), 0).unwrap().epoch, 1);
    assert_eq!(readings.last().unwrap().energy_joules, Some(-1.0));
}

#[tokio::test]
async fn a_counter_that_freezes_shows_when_it_last_moved() {
    let frozen_at = in_ms(BY_THEN_IT_SERVES_MS);
    let monitor = on_fake(&faulty(Fault::EnergyFreezes { from: frozen_at }));
    let mut stream = monitor.readings().await;
    let later = frozen_at + Duration::from_millis(500);
    let readings = stream.until(|reading| reading.monotonic_nanos > later.0).await;
    let last = sensor(readings.last().unwrap(), 0).unwrap();
    assert!(last.read_start_nanos > frozen_at.0);
    let changed_after = last.changed_after_nanos.unwrap_or_else(|| panic!("{last:?}"));
    assert!(changed_after <= frozen_at.0, "no read after that saw a change");
}

#[tokio::test]
async fn a_driver_that_hangs_makes_its_gpu_stale_and_delays_nothing_else() {
    let (from, until) = (in_ms(BY_THEN_IT_SERVES_MS), in_ms(BY_THEN_IT_SERVES_MS + 2_000));
    let monitor = on_fake(&faulty(Fault::Hangs { from, until }));
    let mut stream = monitor.readings().await;
    let memory = 1;
    let readings = stream.until(|reading| status(reading, 0) == Some(pb::Status::Stale)).await;
    for pair in readings.windows(2) {
        assert_eq!(status(&pair[1], memory), Some(pb::Status::Ok));
        let read = sensor(&pair[1], memory).unwrap().read_start_nanos;
        // The hung call lasts 2 s; this machine does other things too.
        let limit = Duration::from_millis(300);
        let age = Duration::from_nanos(pair[1].monotonic_nanos - read);
        // The memory is read every 500 ms.
        assert!(age < limit + Duration::from_millis(500), "memory was read {age:?} before");
        let gap = Duration::from_nanos(pair[1].monotonic_nanos - pair[0].monotonic_nanos);
        assert!(gap < limit, "a tick came {gap:?} after the one before");
    }
    let stale = sensor(readings.last().unwrap(), 0).unwrap();
    assert_eq!((stale.energy_microjoules, stale.power_watts), (None, None));
    assert!(readings.last().unwrap().monotonic_nanos < until.0, "it did not wait for the driver");
    let back = stream.until(|reading| status(reading, 0) == Some(pb::Status::Ok)).await;
    assert_eq!(sensor(back.last().unwrap(), 0).unwrap().epoch, 0, "nothing was lost");
    monitor.signal(Signal::SIGTERM);
    assert_eq!(monitor.ends_within(Duration::from_secs(1)).0.code(), Some(0));
}

#[tokio::test]
async fn a_driver_that_hangs_does_not_keep_the_monitor_from_stopping() {
    let monitor =
        on_fake(&faulty(Fault::Hangs { from: in_ms(BY_THEN_IT_SERVES_MS), until: in_ms(60_000) }));
    let mut stream = monitor.readings().await;
    stream.until(|reading| status(reading, 0) == Some(pb::Status::Stale)).await;
    monitor.signal(Signal::SIGTERM);
    assert_eq!(monitor.ends_within(Duration::from_secs(1)).0.code(), Some(0));
}

#[tokio::test]
async fn powercap_counts_packages_and_memory_once_and_unwraps() {
    let sysfs = Sysfs::new();
    sysfs.zone("intel-rapl:0", "package-0", RANGE_MICROJOULES - 999_999);
    sysfs.zone("intel-rapl:0:0", "core", 1);
    sysfs.zone("intel-rapl:0:1", "dram", 5_000_000);
    sysfs.zone("intel-rapl:1", "psys", 7);
    sysfs.zone("intel-rapl-mmio:0", "package-0", 9);
    let monitor = on_sysfs(&sysfs);
    let described = monitor.describe().await;
    let names: Vec<_> = described.sensors.iter().map(|info| info.name.as_str()).collect();
    assert_eq!(names, ["package-0", "package-0 dram", "psys", "main memory"]);
    assert_eq!(described.platform, "rapl");
    let mut stream = monitor.readings().await;
    let before = stream.next().await.unwrap();
    sysfs.set_energy("intel-rapl:0", 2_000_000);
    sysfs.set_energy("intel-rapl:0:1", 5_500_000);
    let moved = |reading: &pb::TelemetryReading| {
        energy(reading, 0) != energy(&before, 0) && energy(reading, 1) != energy(&before, 1)
    };
    let after = stream.until(moved).await.pop().unwrap();
    assert_eq!(energy(&after, 0), Some(RANGE_MICROJOULES + 1 + 2_000_000));
    assert_eq!(sensor(&after, 0).unwrap().epoch, sensor(&before, 0).unwrap().epoch);
    assert_eq!(energy(&after, 1), Some(5_500_000));
    let risen = after.cpu_energy_joules.unwrap() - before.cpu_energy_joules.unwrap();
    assert!((risen - 3.5).abs() < 1e-9, "package and memory, without psys: {risen}");
}

#[tokio::test]
async fn a_rapl_counter_that_falls_without_a_wrap_is_a_new_epoch() {
    let sysfs = Sysfs::new();
    sysfs.zone("intel-rapl:0", "package-0", 100_000_000_000);
    let monitor = on_sysfs(&sysfs);
    let mut stream = monitor.readings().await;
    let before = stream.next().await.unwrap();
    sysfs.set_energy("intel-rapl:0", 1_000);
    let reset = stream.until(|reading| status(reading, 0) == Some(pb::Status::Reset)).await;
    let reset = reset.last().unwrap();
    let epoch = |reading: &pb::TelemetryReading| sensor(reading, 0).unwrap().epoch;
    assert_eq!((epoch(reset), energy(reset, 0)), (epoch(&before) + 1, Some(1_000)));
    assert_eq!(reset.cpu_energy_joules, Some(-1.0));
}

/// Says that a test can't be run here, past the harness that swallows what a passing test prints.
fn say_skipped(reason: &str) {
    writeln!(std::io::stderr(), "SKIPPED: {reason}").expect("standard error is open");
}

/// Whether a test may run a program as another user.
fn may_become_nobody() -> bool {
    let may = geteuid().is_root();
    if !may {
        say_skipped("only root may run a program as another user");
    }
    may
}

#[tokio::test]
async fn a_counter_that_only_root_may_read_names_the_remedy() {
    if !may_become_nobody() {
        return;
    }
    let sysfs = Sysfs::new();
    sysfs.zone("intel-rapl:0", "package-0", 5);
    sysfs.restrict_to_root("intel-rapl:0");
    let monitor = Monitor::start(sysfs_command(&sysfs).uid(NOBODY));
    let described = monitor.describe().await;
    let package = &described.sensors[0];
    assert_eq!((package.name.as_str(), package.status), ("package-0", Status::PermissionDenied));
    assert!(package.remedy.contains("sudo setcap cap_perfmon=ep"), "{}", package.remedy);
    assert!(package.remedy.contains("sudo chmod a+r"), "{}", package.remedy);
    let reading = monitor.readings().await.next().await.unwrap();
    assert_eq!((energy(&reading, 0), reading.cpu_energy_joules), (None, Some(-1.0)));
    assert_eq!(status(&reading, 0), Some(pb::Status::PermissionDenied));

    let refused = monitor::run(sysfs_command(&sysfs).args(["--sources", "rapl"]).uid(NOBODY));
    assert_eq!(refused.status.code(), Some(1), "asked for and not readable");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("sudo setcap cap_perfmon=ep"));
}

#[tokio::test]
async fn real_perf_counters_are_scaled_and_preferred_to_powercap() {
    let sysfs = Sysfs::new();
    sysfs.cpu_clock_as_power_pmu("0", 25.0);
    sysfs.zone("intel-rapl:0", "package-0", 5);
    if !may_use_perf(&sysfs) {
        return;
    }
    let monitor = on_sysfs(&sysfs);
    let described = monitor.describe().await;
    let package = &described.sensors[0];
    assert_eq!((package.kind, package.source.as_str()), (SensorKind::CpuPackage, "rapl_perf"));
    assert_eq!(package.update_period, Some(Duration::from_micros(976)));
    assert!(described.sensors.iter().all(|info| info.source != "rapl_powercap"));
    let readings = monitor.readings().await.take(100).await;
    let (first, last) = (&readings[0], &readings[readings.len() - 1]);
    let joules = (energy(last, 0).unwrap() - energy(first, 0).unwrap()) as f64 * 1e-6;
    let at = |reading| sensor(reading, 0).unwrap().read_end_nanos;
    let watts = joules / ((at(last) - at(first)) as f64 * 1e-9);
    assert!((watts - 25.0).abs() < 0.25, "{watts} W of 25");
    let shown = last.cpu_power_watts.unwrap();
    assert!((shown - 25.0).abs() < 5.0, "{shown} W of 25 over one interval");
    assert_eq!(last.platform, "rapl");
}

/// Whether perf may be used here. Says if not.
fn may_use_perf(sysfs: &Sysfs) -> bool {
    let probed = describe_as_json(sysfs);
    let may = probed["sensors"][0]["source"] == "rapl_perf";
    if !may {
        assert!(!geteuid().is_root(), "root may use perf: {probed}");
        say_skipped(&format!("perf_event_open is not permitted here: {}", probed["skipped"]));
    }
    may
}

fn describe_as_json(sysfs: &Sysfs) -> serde_json::Value {
    let probed = monitor::run(sysfs_command(sysfs).args(["--describe", "--json"]));
    serde_json::from_slice(&probed.stdout).expect("a description is JSON")
}

#[tokio::test]
async fn a_perf_counter_that_stays_at_zero_is_no_measurement() {
    let sysfs = Sysfs::new();
    sysfs.cpu_clock_as_power_pmu("0", 25.0);
    if !may_use_perf(&sysfs) {
        return;
    }
    sysfs.dead_psys_in_power_pmu();
    let monitor = on_sysfs(&sysfs);
    let described = monitor.describe().await;
    let (package, psys) = (&described.sensors[0], &described.sensors[1]);
    assert_eq!((package.status, psys.status), (Status::Ok, Status::Unsupported));
    assert!(psys.note.contains("stays at zero"), "{}", psys.note);
    let readings = monitor.readings().await.take(5).await;
    assert!(readings.iter().all(|reading| energy(reading, 0).is_some()));
    assert!(readings.iter().all(|reading| energy(reading, 1).is_none()), "nothing, and not 0 J");

    let virtual_machine = Sysfs::new();
    virtual_machine.dead_psys_in_power_pmu();
    let probed = describe_as_json(&virtual_machine);
    let skipped = probed["skipped"].as_array().unwrap();
    let reason = skipped.iter().find(|skipped| skipped["source"] == "rapl_perf").unwrap();
    assert!(reason["reason"].as_str().unwrap().contains("stays at zero"), "{reason}");
}

#[tokio::test]
async fn without_the_right_to_use_perf_powercap_is_read_and_the_right_is_named() {
    let paranoid = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid")
        .ok()
        .and_then(|level| level.trim().parse::<i32>().ok());
    if !may_become_nobody() {
        return;
    }
    if paranoid.is_none_or(|level| level <= 0) {
        say_skipped("here anybody may use perf");
        return;
    }
    let sysfs = Sysfs::new();
    sysfs.cpu_clock_as_power_pmu("0", 25.0);
    sysfs.zone("intel-rapl:0", "package-0", 5);
    let monitor = Monitor::start(sysfs_command(&sysfs).uid(NOBODY));
    let described = monitor.describe().await;
    assert_eq!(described.sensors[0].source, "rapl_powercap");
    let perf = described.skipped.iter().find(|skipped| skipped.source == "rapl_perf").unwrap();
    assert!(perf.reason.contains("CAP_PERFMON"), "{}", perf.reason);
    let program = monitor::bin("energy-monitor");
    let setcap = format!("run `sudo setcap cap_perfmon=ep {}`", program.display());
    assert!(perf.remedy.starts_with(&setcap), "{}", perf.remedy);
}

#[tokio::test]
async fn the_estimate_is_the_busy_share_of_its_power_and_is_called_so() {
    let monitor = Monitor::start(&mut command(&[
        "--port",
        "0",
        "--collection-interval-ms",
        "50",
        "--sources",
        "estimate",
        "--tdp-watts",
        "65",
    ]));
    let described = monitor.describe().await;
    let cpu = &described.sensors[0];
    assert_eq!(cpu.name, "CPU estimate (busy share x 65 W)");
    assert!(cpu.is_estimate() && cpu.gain_error_pct.is_none());
    let mut stream = monitor.readings().await;
    let first = stream.next().await.unwrap();
    // Half a second of work on one CPU.
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(500) {
        std::hint::spin_loop();
    }
    let worked_until = energy_proto::monotonic_now().0 + 50_000_000;
    let last = stream.until(|reading| reading.monotonic_nanos > worked_until).await.pop().unwrap();
    let (first, last) = (&first, &last);
    assert_eq!(last.platform, "estimate");
    let joules = (energy(last, 0).unwrap() - energy(first, 0).unwrap()) as f64 * 1e-6;
    let seconds = (last.monotonic_nanos - first.monotonic_nanos) as f64 * 1e-9;
    assert!(joules > 0.0, "a CPU was busy for half of the time");
    // The busy share is that between two reads, a tick of which may have begun before.
    assert!(joules <= 65.0 * (seconds + 0.1), "{joules} J in {seconds} s");
}

#[tokio::test]
async fn an_original_client_gets_the_host_and_the_gpu_with_every_message() {
    let monitor = on_fake(&Model::default());
    let mut client = monitor.client().await;
    let mut streams = Vec::new();
    for client_api in [0, 1] {
        let stream = client
            .stream_telemetry(pb::StreamRequest { client_api, ..Default::default() })
            .await
            .unwrap();
        streams.push(stream.into_inner());
    }
    let [original, ours] = streams.as_mut_slice() else { unreachable!("two were opened") };
    for nth in 0..3 {
        let message = original.message().await.unwrap().unwrap();
        assert_eq!(message.gpu_info.unwrap().vendor, "NVIDIA");
        assert!(message.system_info.unwrap().cpu_count > 0);
        let message = ours.message().await.unwrap().unwrap();
        assert_eq!(
            (message.gpu_info.is_some(), message.system_info.is_some()),
            (nth == 0, nth == 0)
        );
    }
}

#[tokio::test]
async fn a_slow_subscriber_is_told_what_it_lost_and_costs_the_others_nothing() {
    let mut command = command(&["--port", "0", "--collection-interval-ms", "1"]);
    let gpus = vec![Gpu::default(); 8];
    load_into(&mut command, &Model { gpus, ..Model::default() });
    let monitor = Monitor::start(&mut command);
    let narrow = monitor
        .endpoint()
        .initial_stream_window_size(16_384)
        .initial_connection_window_size(65_535)
        .connect()
        .await
        .unwrap();
    let request = pb::StreamRequest { client_api: 1, ..Default::default() };
    let mut slow = pb::energy_monitor_client::EnergyMonitorClient::new(narrow)
        .stream_telemetry(request)
        .await
        .unwrap()
        .into_inner();
    let mut quick = monitor.readings().await;
    // More than the monitor keeps for a subscriber.
    let last = quick.take(1_500).await.pop().unwrap();
    assert_eq!(last.dropped, 0, "a quick subscriber loses nothing");
    let mut before = slow.message().await.unwrap().unwrap();
    assert_eq!(before.dropped, 0);
    loop {
        let message =
            tokio::time::timeout(PATIENCE, slow.message()).await.unwrap().unwrap().unwrap();
        let lost = message.dropped - before.dropped;
        let ticks = message.sequence - before.sequence;
        assert!(lost < ticks, "a lost reading is one of the ticks between two messages");
        before = message;
        if lost > 0 {
            break;
        }
    }
}

#[tokio::test]
async fn it_stops_within_a_second_while_subscribers_listen() {
    let monitor = on_fake(&Model::default());
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = monitor.readings().await;
        stream.next().await.expect("it streams");
        streams.push(stream);
    }
    monitor.signal(Signal::SIGTERM);
    for stream in &mut streams {
        while stream.next().await.is_some() {}
    }
    assert_eq!(monitor.ends_within(Duration::from_secs(1)).0.code(), Some(0));
}

#[tokio::test]
async fn it_stops_within_a_second_though_a_subscriber_does_not_listen() {
    let mut command = command(&["--port", "0", "--collection-interval-ms", "1"]);
    load_into(&mut command, &Model::default());
    let monitor = Monitor::start(&mut command);
    let request = pb::StreamRequest::default();
    let deaf = monitor.client().await.stream_telemetry(request).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    monitor.signal(Signal::SIGTERM);
    let ended = tokio::task::spawn_blocking(|| monitor.ends_within(Duration::from_secs(1)));
    assert_eq!(ended.await.unwrap().0.code(), Some(0));
    drop(deaf);
}

#[test]
fn with_exit_with_parent_it_leaves_when_standard_input_closes() {
    let mut staying = Monitor::start(&mut command(&["--port", "0"]));
    let mut leaving = Monitor::start(&mut command(&["--port", "0", "--exit-with-parent"]));
    staying.close_stdin();
    leaving.close_stdin();
    assert_eq!(leaving.ends_within(Duration::from_secs(1)).0.code(), Some(0));
    staying.signal(Signal::SIGTERM);
    assert_eq!(staying.ends_within(Duration::from_secs(1)).0.code(), Some(0));
}

#[test]
fn the_usual_name_of_the_library_is_found_on_the_usual_path() {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(library(), directory.path().join("libnvidia-ml.so.1")).unwrap();
    let described = monitor::run(
        command(&["--describe", "--sources", "nvml"])
            .env("LD_LIBRARY_PATH", directory.path())
            .env("FAKE_NVML", Model::default().to_json()),
    );
    let text = String::from_utf8_lossy(&described.stdout);
    assert!(text.contains("FAKE GPU"), "{text}");
}

#[test]
fn the_description_is_a_table_for_people_and_json_for_programs() {
    let sysfs = Sysfs::new();
    let describe = |arguments: &[&str]| {
        let mut command = command(arguments);
        command.arg("--sysfs-root").arg(sysfs.root());
        load_into(&mut command, &Model::default());
        let output = monitor::run(&mut command);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        String::from_utf8(output.stdout).unwrap()
    };
    let table = describe(&["--describe"]);
    for part in ["FAKE GPU", "700 W", "main memory", "rapl_powercap not used", "platform: nvidia"] {
        assert!(table.contains(part), "no {part:?} in\n{table}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&describe(&["--describe", "--json"])).unwrap();
    assert_eq!(json["platform"], "nvidia");
    assert_eq!(json["sensors"][0]["uuid"], Gpu::default().uuid);
    assert_eq!(json["skipped"][0]["source"], "rapl_perf");
}

#[test]
fn a_port_in_use_is_one_clear_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = monitor::run(&mut command(&["--port", &port]));
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains("already listens") && error.contains("--port"), "{error}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_source_that_was_asked_for_and_is_not_there_is_an_error_with_its_remedy() {
    let sysfs = Sysfs::new();
    let mut asked = sysfs_command(&sysfs);
    let output = monitor::run(asked.args(["--sources", "rapl"]));
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("`rapl`") && error.contains("modprobe"), "{error}");

    let failing = Model { init_error: Some(Failure::DriverNotLoaded), ..Model::default() };
    let mut asked = command(&["--port", "0", "--sources", "nvml"]);
    load_into(&mut asked, &failing);
    let output = monitor::run(&mut asked);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("sudo modprobe nvidia"), "{error}");
}

#[test]
fn a_bad_flag_is_a_usage_error() {
    for bad in [
        ["--collection-interval-ms", "0"].as_slice(),
        &["--collection-interval-ms", "60001"],
        &["--sources", "nvidia"],
        &["--sources", "estimate"],
        &["--tdp-watts", "65"],
        &["--bind-address", "0.0.0.0"],
        &["--port", "65536"],
        &["--json"],
        &["--frequency", "9"],
    ] {
        let output = monitor::run(command(bad).stdout(Stdio::piped()));
        assert_eq!(output.status.code(), Some(2), "{bad:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{bad:?}");
    }
}
