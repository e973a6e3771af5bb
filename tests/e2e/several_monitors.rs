//! A server on several hosts: one run with a monitor of each. Their energies and bounds are summed, each
//! row of telemetry says whose it is, and what one of them doesn't cover is null.

#![expect(clippy::unwrap_used, reason = "a test's parts fail by panicking, like the test")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use e2e::fake_nvml::load_into;
use e2e::fake_server::{Behaviour, FakeServer, Flavour, Setup, closed_url};
use e2e::monitor::{self, Monitor, PATIENCE};
use e2e::original_monitor::{self, OriginalMonitor};
use e2e::profile::{Ended, Hardware, Place, Recorded, Running, run, wait_until};
use energy_proto::{Nanos, SensorKind, monotonic_now};
use fake_nvml::{Gpu, Model, PowerShape};
use ipw::record::ProfilingRecord;
use ipw::results::{TelemetryRow, read_rows, read_telemetry};
use nix::sys::signal::Signal;

const A: PowerShape = PowerShape::Square { low: 90.0, high: 400.0, period_ms: 1_700, duty: 0.4 };
const B: PowerShape = PowerShape::Square { low: 60.0, high: 700.0, period_ms: 1_100, duty: 0.3 };
const TOKEN: &str = "a-token-that-nobody-sees-4711";

/// A monitor with one board of this name and power.
fn node(name: &str, power: PowerShape, more: &[&str]) -> Monitor {
    let gpu = Gpu {
        name: name.to_owned(),
        uuid: format!("GPU-{name}"),
        power,
        compute_processes: vec![4_711],
        ..Gpu::default()
    };
    let mut command = monitor::command(&[&["--port", "0"], more].concat());
    load_into(&mut command, &Model { gpus: vec![gpu], ..Model::default() });
    Monitor::start(&mut command)
}

fn url(monitor: &Monitor) -> String {
    format!("http://{}", monitor.listening.address)
}

/// A server that answers the first prompts at once, and each further one when it is let through.
struct GatedServer {
    server: FakeServer,
    through: Arc<AtomicUsize>,
}

impl GatedServer {
    fn start(through: usize) -> Self {
        let through = Arc::new(AtomicUsize::new(through));
        let gate = Arc::clone(&through);
        let server = FakeServer::start(Setup::new(Flavour::LlamaCpp), move |chat| {
            let number = chat.prompt.strip_prefix("What is ").and_then(|it| it.split('?').next());
            // The model is loaded with another prompt.
            let number: usize = number.and_then(|it| it.parse().ok()).unwrap_or(0);
            let asked = Instant::now();
            while gate.load(Ordering::SeqCst) <= number && asked.elapsed() < 2 * PATIENCE {
                std::thread::sleep(Duration::from_millis(5));
            }
            Behaviour::saying("The answer is (B).")
                .timed(Duration::from_millis(500), Duration::from_millis(120))
        });
        Self { server: server.unwrap(), through }
    }

    fn let_through(&self, prompts: usize) {
        self.through.store(prompts, Ordering::SeqCst);
    }

    fn has_been_asked(&self, prompt: usize) -> bool {
        let text = format!("What is {prompt}?");
        let asks = |body: &[u8]| String::from_utf8_lossy(body).contains(&text);
        self.server.chats().iter().any(|chat| asks(&chat.body))
    }
}

/// Profiles so many prompts with these monitors.
fn profile(place: &Place, prompts: usize, monitors: &str) -> Ended {
    let server = GatedServer::start(prompts);
    let options = ["--monitor", monitors, "--warmup-queries", "0"];
    let mut command = place.profile("openai", &server.server.url(), prompts, &options);
    run(command.env_remove("IPW_MONITOR_TOKEN"))
}

/// That a row has the energy of both within its bounds.
fn assert_is_sum(recorded: &Recorded, record: &ProfilingRecord) {
    let request = recorded.request(record.query_index);
    let truth = A.energy(request.start, request.end).0 + B.energy(request.start, request.end).0;
    let energy = &record.metrics.energy_metrics;
    let joules = energy.basis_joules.unwrap_or_else(|| panic!("{energy:?}"));
    let (lower, upper) = (energy.basis_joules_lower.unwrap(), energy.basis_joules_upper.unwrap());
    assert!(lower <= truth && truth <= upper, "{truth} {energy:?}");
    assert!(lower <= joules && joules <= upper, "{energy:?}");
    let devices: Vec<_> = energy.devices.iter().filter(|it| it.sensor.starts_with("gpu")).collect();
    let sum = |figure: fn(&ipw::record::DeviceEnergy) -> Option<f64>| -> f64 {
        devices.iter().map(|device| figure(device).unwrap()).sum()
    };
    assert_eq!(devices.len(), 2);
    assert!((sum(|device| device.joules) - joules).abs() < 1e-6, "{energy:?}");
    assert!((sum(|device| device.upper) - upper).abs() < 1e-6, "{energy:?}");
}

fn telemetry(place: &Place) -> Vec<TelemetryRow> {
    let Ok(rows) = read_telemetry(&place.run()) else { return Vec::new() };
    rows.map_while(Result::ok).collect()
}

#[test]
fn the_energy_of_two_monitors_is_the_sum_of_both_boards() {
    let (a, b) = (node("A", A, &[]), node("B", B, &[]));
    let place = Place::new(&Hardware::None);
    let ended = profile(&place, 3, &format!("{},{}", url(&a), url(&b)));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let recorded = Recorded::read(&place.run());
    let summary = &recorded.summary;
    assert_eq!(summary.hardware.gpu_count, 2);
    assert_eq!(summary.hardware_label, "Ax2");
    assert_eq!(summary.energy.basis.as_deref(), Some("gpu"));
    assert_eq!(recorded.records.len(), 3);
    recorded.records.iter().for_each(|record| assert_is_sum(&recorded, record));

    let sensors = &summary.segments[0].sensors;
    let ids = sensors.iter().filter(|sensor| sensor.uuid.starts_with("GPU-"));
    let ids: BTreeSet<(u32, &str)> = ids.map(|it| (it.id, it.uuid.as_str())).collect();
    let first = u32::try_from(a.listening.sensors).unwrap();
    assert_eq!(ids, BTreeSet::from([(0, "GPU-A"), (first, "GPU-B")]));
    let rows = telemetry(&place);
    for id in [0, first] {
        assert!(rows.iter().filter(|row| row.reading.sensor == id).count() > 20, "{id}");
    }
    let instances: BTreeSet<u64> = rows.iter().map(|row| row.instance).collect();
    assert_eq!(instances.len(), 2);
    let memories = sensors.iter().filter(|sensor| sensor.kind == SensorKind::Memory);
    assert_eq!(memories.count(), 1, "both are on one host, which has its memory once");
}

#[test]
fn a_host_on_another_clock_is_summed_with_this_one_and_both_get_the_token() {
    let place = Place::new(&Hardware::None);
    let token = place.runs().with_file_name("token");
    fs::write(&token, TOKEN).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let a = node("A", A, &["--token-file", token.to_str().unwrap()]);
    let b = OriginalMonitor::start(original_monitor::Setup {
        wall_offset_nanos: -3_600_000_000_000,
        delay: Duration::from_millis(15),
        token: Some(TOKEN),
        ..original_monitor::Setup::new(B)
    });
    let server = GatedServer::start(3);
    let monitors = format!("{},{}", url(&a), b.url());
    let options = ["--monitor", &monitors, "--warmup-queries", "0"];
    let mut command = place.profile("openai", &server.server.url(), 3, &options);
    let ended = run(command.env("IPW_MONITOR_TOKEN", TOKEN));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);

    let recorded = Recorded::read(&place.run());
    assert_eq!(recorded.records.len(), 3);
    recorded.records.iter().for_each(|record| assert_is_sum(&recorded, record));
    let segment = &recorded.summary.segments[0];
    let uncertainty = Duration::from_nanos(segment.clock_uncertainty_nanos);
    assert!(uncertainty >= Duration::from_millis(13), "the spread of its delays: {uncertainty:?}");
    for row in telemetry(&place) {
        let sensor = segment.sensors.iter().find(|sensor| sensor.id == row.reading.sensor);
        assert_eq!(sensor.map(|sensor| sensor.host.as_str()), Some(&*row.host));
    }
    let hosts: BTreeSet<&str> = segment.sensors.iter().map(|it| it.host.as_str()).collect();
    assert!(hosts.len() == 2 && hosts.contains("old"), "{hosts:?}");
}

#[test]
fn a_monitor_that_dies_leaves_rows_without_energy_and_the_run_goes_on() {
    let (a, b) = (node("A", A, &[]), node("B", B, &[]));
    let place = Place::new(&Hardware::None);
    let server = GatedServer::start(2);
    let monitors = format!("{},{}", url(&a), url(&b));
    let options = ["--monitor", &monitors, "--warmup-queries", "0"];
    let mut command = place.profile("openai", &server.server.url(), 4, &options);
    let running = Running::start(&mut command);
    let rows = || read_rows(&place.run()).map_or(0, |rows| rows.map_while(Result::ok).count());
    wait_until("two rows are on disk", || server.has_been_asked(2) && rows() == 2);
    drop(b);
    let killed = monotonic_now();
    server.let_through(4);
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);

    let recorded = Recorded::read(&place.run());
    assert_eq!(recorded.records.len(), 4);
    recorded.records[..2].iter().for_each(|record| assert_is_sum(&recorded, record));
    for record in &recorded.records[2..] {
        let energy = &record.metrics.energy_metrics;
        assert!(recorded.request(record.query_index).end > killed);
        assert_eq!((energy.basis_joules, energy.per_query_joules), (None, None), "never one alone");
        assert!(energy.status.as_ref().unwrap().ends_with(": B"), "{energy:?}");
        let alone = energy.devices.iter().find(|device| device.sensor.ends_with("GPU-A"));
        assert!(alone.unwrap().joules.is_some(), "what is known is kept apart");
    }
    let warnings = recorded.summary.warnings.join("\n");
    assert!(warnings.contains("2 of 4 queries have no energy"), "{warnings}");
}

#[test]
fn a_monitor_that_comes_back_is_read_under_its_own_ids() {
    let (a, b) = (node("A", A, &[]), node("B", B, &[]));
    let place = Place::new(&Hardware::None);
    let server = GatedServer::start(1);
    let monitors = format!("{},{}", url(&a), url(&b));
    let options = ["--monitor", &monitors, "--warmup-queries", "0"];
    let mut command = place.profile("openai", &server.server.url(), 2, &options);
    let running = Running::start(&mut command);
    wait_until("the second prompt waits", || server.has_been_asked(1));
    b.signal(Signal::SIGSTOP);
    let newest = |id: u32| {
        let rows = telemetry(&place);
        let ends =
            rows.iter().filter(|row| row.reading.sensor == id).map(|row| row.reading.read_end);
        ends.max().unwrap_or(Nanos(0))
    };
    let second = u32::try_from(a.listening.sensors).unwrap();
    let stopped = monotonic_now();
    // A stream is given up after 2 s of silence.
    wait_until("the first goes on alone", || newest(0) > stopped + Duration::from_secs(3));
    b.signal(Signal::SIGCONT);
    let woken = monotonic_now();
    wait_until("the second is back", || newest(second) > woken);
    server.let_through(2);
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let recorded = Recorded::read(&place.run());
    assert!(recorded.summary.telemetry.reconnects >= 1);
    let uuids = &recorded.summary.segments[0].sensors;
    assert!(uuids.iter().any(|sensor| (sensor.id, sensor.uuid.as_str()) == (second, "GPU-B")));
    let counter = |id: u32| {
        let rows = telemetry(&place).into_iter().filter(move |row| row.reading.sensor == id);
        rows.filter_map(|row| row.reading.energy_microjoules).collect::<Vec<u64>>()
    };
    assert!(counter(0).is_sorted() && counter(second).is_sorted(), "no reads of two boards mixed");
}

#[test]
fn monitors_that_cannot_be_used_together_are_one_clear_error() {
    let a = node("A", A, &[]);
    let place = Place::new(&Hardware::None);
    let web = GatedServer::start(0);
    let (here, closed) = (url(&a), closed_url().unwrap());
    let (not_one, alias) = (web.server.url(), here.replace("127.0.0.1", "localhost"));
    let cases: [(&str, i32, &[&str]); 5] = [
        (&here, 2, &["is given twice", &here]),
        (&format!("{here}/"), 2, &["is given twice"]),
        (&alias, 2, &[&here, &alias, "A (GPU-A)", "counted twice"]),
        (&closed, 1, &["can't reach", &closed]),
        (&not_one, 1, &[&not_one, "monitor"]),
    ];
    for (second, code, texts) in cases {
        let ended = profile(&place, 1, &format!("{here},{second}"));
        assert_eq!(ended.code, Some(code), "{second}: {}", ended.stderr);
        for text in texts {
            assert!(ended.stderr.contains(text), "{second}: {text:?} not in {}", ended.stderr);
        }
        assert!(place.is_empty(), "{second} left something");
    }
}
