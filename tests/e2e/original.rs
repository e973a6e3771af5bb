//! The original's monitors and clients against ours: wire-compatible both ways, and never more sure of
//! a joule than their messages allow.

#![expect(clippy::unwrap_used, reason = "a test's parts fail by panicking, like the test")]

use std::time::Duration;

use e2e::fake_server::{Behaviour, FakeServer, Flavour};
use e2e::monitor::{self, Monitor};
use e2e::original_monitor::{APPLE_CPU_WATTS, OriginalMonitor, Setup, original_client};
use e2e::profile::{Hardware, Place, Recorded, Running, run, wait_until};
use fake_nvml::{Gpu, Model, PowerShape};

/// Power that doesn't depend on the queries.
const LOAD: PowerShape = PowerShape::Square { low: 90.0, high: 400.0, period_ms: 1_700, duty: 0.4 };

/// A server whose answers take a second.
fn server() -> FakeServer {
    let behaviour = Behaviour::saying("The answer is (B).")
        .timed(Duration::from_millis(500), Duration::from_millis(120));
    FakeServer::always(Flavour::LlamaCpp, behaviour).unwrap()
}

/// Each row that has energy has the truth within its bounds; the number of those rows.
fn rows_with_the_truth_within(recorded: &Recorded) -> usize {
    let mut measured = 0;
    for record in &recorded.records {
        let request = recorded.request(record.query_index);
        let energy = &record.metrics.energy_metrics;
        let Some(joules) = energy.per_query_joules else { continue };
        let (lower, upper) =
            (energy.per_query_joules_lower.unwrap(), energy.per_query_joules_upper.unwrap());
        let truth = LOAD.energy(request.start, request.end).0;
        assert!(lower <= truth && truth <= upper, "{truth} {energy:?}");
        assert!(lower <= joules && joules <= upper, "{energy:?}");
        measured += 1;
    }
    measured
}

#[test]
fn an_original_monitor_on_another_clock_gives_energies_that_hold_the_truth() {
    let monitor = OriginalMonitor::start(Setup {
        wall_offset_nanos: -3_600_000_000_000,
        delay: Duration::from_millis(15),
        ..Setup::new(LOAD)
    });
    let place = Place::new(&Hardware::None);
    let server = server();
    let url = monitor.url();
    let ended = run(&mut place.profile("openai", &server.url(), 4, &["--monitor", &url]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("the monitor is an original one"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("process list"), "{}", ended.stderr);

    let recorded = Recorded::read(&place.run());
    assert_eq!(rows_with_the_truth_within(&recorded), 4);
    let summary = &recorded.summary;
    assert_eq!(summary.hardware_label, "H100");
    assert_eq!(summary.energy.basis.as_deref(), Some("gpu"));
    assert_eq!(summary.telemetry.interval_ms, 50, "found from its messages");
    let segment = &summary.segments[0];
    assert!(segment.sensors.iter().all(|sensor| sensor.source == "original"), "{segment:?}");
    let uncertainty = Duration::from_nanos(segment.clock_uncertainty_nanos);
    assert!(uncertainty >= Duration::from_millis(13), "the spread of its delays: {uncertainty:?}");
    assert!(uncertainty < Duration::from_secs(1), "{uncertainty:?}");
    for record in &recorded.records {
        let energy = &record.metrics.energy_metrics;
        assert_eq!(energy.devices[0].sensor, "gpu:original:original:gpu");
        assert_eq!(energy.cpu_per_query_joules, None, "-1 W is no CPU");
        let utilization = &record.metrics.hardware_utilization.gpu;
        assert_eq!(utilization.compute_utilization_pct, Some(40.0));
        assert_eq!(utilization.tensor_core_utilization_pct, None);
    }

    let chosen = ["--monitor", &url, "--gpus", "GPU-0", "--tag", "chosen"];
    let ended = run(&mut place.profile("openai", &server.url(), 1, &chosen));
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("only the sum over its GPUs"), "{}", ended.stderr);
}

#[test]
fn an_original_monitor_with_all_its_oddities_gives_energies_that_hold_the_truth() {
    let monitor = OriginalMonitor::start(Setup {
        refresh: Duration::from_millis(20),
        read: Duration::from_millis(30),
        times: 3,
        unknown: 3,
        ..Setup::new(LOAD)
    });
    let place = Place::new(&Hardware::None);
    let server = server();
    let options = ["--monitor", &monitor.url(), "--warmup-queries", "0"];
    let ended = run(&mut place.profile("openai", &server.url(), 8, &options));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let recorded = Recorded::read(&place.run());
    let measured = rows_with_the_truth_within(&recorded);
    assert_eq!(measured, 8);
}

#[test]
fn an_original_monitor_that_counts_from_zero_again_costs_a_row_and_no_joule() {
    let monitor = OriginalMonitor::start(Setup::new(LOAD));
    let place = Place::new(&Hardware::None);
    let server = server();
    let (url, monitored) = (server.url(), monitor.url());
    let options = ["--monitor", &monitored, "--warmup-queries", "0"];
    let running = Running::start(&mut place.profile("openai", &url, 6, &options));
    // The model is loaded with a request of its own.
    wait_until("a query is on its way", || server.chats().len() >= 4);
    monitor.count_anew();
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let recorded = Recorded::read(&place.run());
    let measured = rows_with_the_truth_within(&recorded);
    assert!((3..6).contains(&measured), "{measured}");
    for record in &recorded.records {
        let energy = &record.metrics.energy_metrics;
        if energy.per_query_joules.is_none() {
            assert!(energy.status.as_deref().unwrap().starts_with("counter_reset"), "{energy:?}");
        }
    }
}

#[test]
fn the_rails_of_an_original_monitor_on_a_mac_are_one_basis() {
    let setup = Setup { platform: "macos", ..Setup::new(LOAD) };
    let monitor = OriginalMonitor::start(setup);
    let place = Place::new(&Hardware::None);
    let server = server();
    let options = ["--monitor", &monitor.url(), "--warmup-queries", "0"];
    let ended = run(&mut place.profile("openai", &server.url(), 2, &options));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let recorded = Recorded::read(&place.run());
    assert_eq!(recorded.summary.hardware_label, "M4");
    for record in &recorded.records {
        let request = recorded.request(record.query_index);
        let energy = &record.metrics.energy_metrics;
        assert_eq!((energy.basis.as_deref(), energy.status.as_deref()), (Some("soc"), Some("ok")));
        let seconds = request.end.since(request.start).as_secs_f64();
        let truth = LOAD.energy(request.start, request.end).0 + APPLE_CPU_WATTS * seconds;
        let (lower, upper) =
            (energy.basis_joules_lower.unwrap(), energy.basis_joules_upper.unwrap());
        assert!(lower <= truth && truth <= upper, "{truth} {energy:?}");
        assert_eq!(energy.ane_per_query_joules, Some(0.0));
        assert_eq!(energy.soc_per_query_joules, energy.basis_joules);
    }
}

#[tokio::test]
async fn an_original_client_finds_every_field_in_every_message_of_ours() {
    let model = Model { gpus: vec![Gpu { power: LOAD, ..Gpu::default() }], ..Model::default() };
    let mut command = monitor::command(&["--port", "0"]);
    e2e::fake_nvml::load_into(&mut command, &model);
    let monitor = Monitor::start(&mut command);
    let mut stream = original_client(monitor.channel().await).await;
    let mut last = 0.0;
    for index in 0..40 {
        let reading = tokio::time::timeout(monitor::PATIENCE, stream.message());
        let reading = reading.await.unwrap().unwrap().unwrap();
        assert!(!reading.system_info.as_ref().unwrap().kernel_version.is_empty());
        assert!(!reading.gpu_info.as_ref().unwrap().name.is_empty());
        assert_eq!(reading.platform, "nvidia");
        assert!(reading.timestamp_nanos > 1_600_000_000_000_000_000);
        assert!(reading.energy_joules >= last, "{index}");
        last = reading.energy_joules;
        // Not known is -1 and never 0, which would be a measurement.
        assert!((reading.ane_power_watts, reading.ane_energy_joules) == (-1.0, -1.0));
        assert!(reading.power_watts == -1.0 || reading.power_watts >= 89.0, "{reading:?}");
    }
    assert!(last > 0.0);
}
