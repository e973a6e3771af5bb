//! What Prometheus gets from a real monitor: true joules, nothing invented, in text that keeps the
//! rules, to those who may have it, and never at the cost of the readings.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use e2e::fake_nvml::load_into;
use e2e::http::{Answer, ask, exchange, get, request};
use e2e::monitor::{self, Monitor, command};
use e2e::openmetrics::Metrics;
use e2e::sysfs::Sysfs;
use energy_proto::{Nanos, monotonic_now};
use fake_nvml::{Gpu, Model, PowerShape};
use nix::sys::signal::Signal;
use tokio::net::TcpStream;
use tokio::time::sleep;

const ENERGY: &str = "energy_monitor_sensor_energy_joules_total";
const UP: &str = "energy_monitor_sensor_up";
const RESETS: &str = "energy_monitor_sensor_counter_resets_total";

fn with_metrics(interval_ms: &str) -> Command {
    command(&["--port", "0", "--metrics-port", "0", "--collection-interval-ms", interval_ms])
}

fn on_sysfs(sysfs: &Sysfs, interval_ms: &str) -> Monitor {
    let mut command = with_metrics(interval_ms);
    command.arg("--sysfs-root").arg(sysfs.root());
    Monitor::start(&mut command)
}

fn address(monitor: &Monitor) -> &str {
    monitor.listening.metrics.as_deref().expect("it says where its metrics are")
}

async fn scrape(monitor: &Monitor) -> Metrics {
    read(&get(address(monitor), "/metrics", &[]).await)
}

fn read(answer: &Answer) -> Metrics {
    assert_eq!(answer.status, 200, "{answer:?}");
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.field("content-type"), Some(kind));
    Metrics::parse(&answer.body).unwrap_or_else(|error| panic!("{error} in\n{}", answer.body))
}

/// How old what a scrape shows may be: a refresh of 20 ms, a tick of 10 ms, and a busy machine's delay.
const STALE: Duration = Duration::from_millis(100);

/// Metrics with the times before and after.
async fn timed_scrape(monitor: &Monitor) -> (Nanos, Metrics, Nanos) {
    let before = monotonic_now();
    let metrics = scrape(monitor).await;
    (before, metrics, monotonic_now())
}

/// Metrics as soon as they satisfy a condition.
async fn scrape_until(monitor: &Monitor, condition: impl Fn(&Metrics) -> bool) -> Metrics {
    let begun = Instant::now();
    loop {
        let metrics = scrape(monitor).await;
        if condition(&metrics) {
            return metrics;
        }
        assert!(begun.elapsed() < monitor::PATIENCE, "{metrics:#?}");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn energy_between_two_scrapes_is_the_true_energy_of_each_gpu() {
    let power = PowerShape::Square { low: 90.0, high: 510.0, period_ms: 370, duty: 0.4 };
    let gpus: Vec<_> = (0..2)
        .map(|number| Gpu {
            uuid: format!("GPU-fake{number}"),
            power: power.clone(),
            refresh_ms: 20,
            base_millijoules: 1_000_000 * (number + 1),
            ..Gpu::default()
        })
        .collect();
    let mut command = with_metrics("10");
    load_into(&mut command, &Model { gpus: gpus.clone(), ..Model::default() });
    let monitor = Monitor::start(&mut command);
    scrape_until(&monitor, |metrics| metrics.get(UP, &[("uuid", "GPU-fake1")]) == Some(1.0)).await;
    let (before_first, first, after_first) = timed_scrape(&monitor).await;
    sleep(Duration::from_secs(3)).await;
    let (before_last, last, after_last) = timed_scrape(&monitor).await;
    for gpu in &gpus {
        let labels = [("uuid", gpu.uuid.as_str()), ("kind", "gpu"), ("source", "nvml")];
        let counted = last.get(ENERGY, &labels).unwrap() - first.get(ENERGY, &labels).unwrap();
        let least = gpu.true_energy(after_first, before_last.before(STALE)).0;
        let most = gpu.true_energy(before_first.before(STALE), after_last).0;
        assert!(least <= counted && counted <= most, "{counted} J of {least} to {most}");
        assert!(most - least < 0.2 * most, "too slow a machine to tell: {least} to {most}");
        assert!(first.get(ENERGY, &labels).unwrap() < 1_000.0, "from the monitor's start on");
        for (figure, value) in [
            ("temperature_celsius", f64::from(gpu.temperature_celsius)),
            ("compute_utilization_ratio", f64::from(gpu.utilization.compute_pct) / 100.0),
            ("memory_total_bytes", 80.0 * 1_073_741_824.0),
            ("power_limit_watts", 700.0),
            ("processes", 0.0),
        ] {
            let name = format!("energy_monitor_sensor_{figure}");
            assert_eq!(last.get(&name, &labels), Some(value), "{figure}");
        }
    }
}

#[tokio::test]
async fn a_counter_never_falls_and_a_reset_invents_nothing() {
    let sysfs = Sysfs::new();
    sysfs.zone("intel-rapl:0", "package-0", 100_000_000_000);
    let monitor = on_sysfs(&sysfs, "20");
    let package = [("sensor", "package-0"), ("source", "rapl_powercap")];
    let joules =
        |wanted: f64| move |metrics: &Metrics| metrics.get(ENERGY, &package) == Some(wanted);
    scrape_until(&monitor, joules(0.0)).await;
    sysfs.set_energy("intel-rapl:0", 100_003_500_000);
    let before = scrape_until(&monitor, joules(3.5)).await;
    assert_eq!(before.get(RESETS, &package), Some(0.0));
    sysfs.set_energy("intel-rapl:0", 7_000);
    let reset = |metrics: &Metrics| metrics.get(RESETS, &package) == Some(1.0);
    let after = scrape_until(&monitor, reset).await;
    assert_eq!(after.get(ENERGY, &package), Some(3.5));
    sysfs.set_energy("intel-rapl:0", 507_000);
    scrape_until(&monitor, joules(4.0)).await;
}

#[tokio::test]
async fn a_counter_that_can_not_be_read_has_no_sample_and_goes_on_where_it_was() {
    let sysfs = Sysfs::new();
    sysfs.zone("intel-rapl:0", "package-0", 1_000_000);
    let monitor = on_sysfs(&sysfs, "20");
    let package = [("sensor", "package-0")];
    scrape_until(&monitor, |metrics| metrics.get(ENERGY, &package) == Some(0.0)).await;
    let counter = sysfs.root().join("class/powercap/intel-rapl:0/energy_uj");
    fs::write(&counter, "no number\n").unwrap();
    let down = scrape_until(&monitor, |metrics| metrics.get(UP, &package) == Some(0.0)).await;
    assert_eq!(down.get(ENERGY, &package), None);
    assert_eq!(down.get(RESETS, &package), Some(0.0));
    fs::write(&counter, "3000000\n").unwrap();
    let up = scrape_until(&monitor, |metrics| metrics.get(UP, &package) == Some(1.0)).await;
    assert_eq!(up.get(ENERGY, &package), Some(2.0), "the hardware counted on");
}

#[tokio::test]
async fn the_monitor_tells_of_itself_and_metrics_are_off_unless_asked_for() {
    let monitor = Monitor::start(&mut with_metrics("20"));
    let _stream = monitor.readings().await;
    let subscribed =
        |metrics: &Metrics| metrics.get("energy_monitor_subscribers", &[]) == Some(1.0);
    let metrics = scrape_until(&monitor, subscribed).await;
    let build = [("api", "energy/1"), ("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(metrics.get("energy_monitor_build_info", &build), Some(1.0));
    let without = Monitor::start(&mut command(&["--port", "0"]));
    assert_eq!(without.listening.metrics, None);
}

#[tokio::test]
async fn nothing_else_is_answered() {
    let monitor = Monitor::start(&mut with_metrics("50"));
    let at = address(&monitor);
    for path in ["/", "/metrics/", "/metricsx", "/../metrics", "/favicon.ico"] {
        assert_eq!(get(at, path, &[]).await.status, 404, "{path}");
    }
    assert_eq!(get(at, "/metrics?collect[]=x", &[]).await.status, 200);
    for method in ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"] {
        let answer = ask(at, &request(method, "/metrics", &[])).await;
        assert_eq!((answer.status, answer.field("allow")), (405, Some("GET")), "{method}");
    }
    for broken in ["\0\0\0\0\r\n\r\n".to_owned(), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()] {
        let stream = TcpStream::connect(at).await.unwrap();
        let answer = exchange(stream, &broken).await;
        assert!(answer.is_none_or(|answer| answer.status >= 400), "{broken:?}");
    }
    let long = format!("x: {}", "y".repeat(1 << 20));
    let stream = TcpStream::connect(at).await.unwrap();
    let answer = exchange(stream, &request("GET", "/metrics", &[&long])).await;
    assert!(answer.is_none_or(|answer| answer.status == 431));
    assert_eq!(get(at, "/metrics", &[]).await.status, 200);
}

#[tokio::test]
async fn connections_that_say_nothing_are_few_and_end_and_cost_the_readings_nothing() {
    let monitor = Monitor::start(&mut with_metrics("20"));
    let mut readings = monitor.readings().await;
    let at = address(&monitor);
    let mut silent = Vec::new();
    for _ in 0..32 {
        silent.push(TcpStream::connect(at).await.unwrap());
    }
    let asked = Instant::now();
    let (answer, taken) = tokio::join!(get(at, "/metrics", &[]), readings.take(100));
    assert_eq!(answer.status, 200);
    // Two times sixteen that are given five seconds each.
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    assert_eq!(taken.last().unwrap().dropped, 0);
    monitor.signal(Signal::SIGTERM);
    assert_eq!(monitor.ends_within(Duration::from_secs(1)).0.code(), Some(0));
}

#[tokio::test]
async fn without_a_token_a_cpu_is_seen_no_finer_than_each_ten_milliseconds() {
    let sysfs = Sysfs::new();
    sysfs.zone("intel-rapl:0", "package-0", 0);
    let monitor = on_sysfs(&sysfs, "1");
    let begun = Instant::now();
    let mut seen = Vec::new();
    while begun.elapsed() < Duration::from_millis(500) {
        sysfs.set_energy("intel-rapl:0", begun.elapsed().as_micros() as u64);
        seen.push(scrape(&monitor).await.get(ENERGY, &[("kind", "cpu_package")]));
    }
    let scrapes = seen.len();
    seen.dedup();
    let most = begun.elapsed().as_millis() / 10 + 2;
    assert!(seen.len() > 2 && seen.len() as u128 <= most, "{} of {scrapes} scrapes", seen.len());
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_its_flag() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let refused = monitor::run(command(&["--port", "0"]).args(["--metrics-port", &port]));
    let error = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(error.contains(&port) && error.contains("--metrics-port"), "{error}");
}

#[tokio::test]
async fn beside_a_unix_socket_metrics_are_on_the_loopback() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("monitor.sock");
    let monitor = Monitor::start(command(&["--metrics-port", "0"]).arg("--uds").arg(&socket));
    assert!(address(&monitor).starts_with("127.0.0.1:"), "{:?}", monitor.listening);
    scrape(&monitor).await;
}
