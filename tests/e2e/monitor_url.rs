//! A monitor that runs already, at a URL: TLS, its token, what it finds out while the run lasts, and
//! reads on a schedule of their own.

#![expect(clippy::unwrap_used, reason = "a test's parts fail by panicking, like the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::fake_server::{Behaviour, FakeServer, Flavour};
use e2e::original_monitor::{self, OriginalMonitor};
use e2e::profile::{Ended, Hardware, Place, Recorded, run};
use e2e::scheduled_monitor::{ScheduledMonitor, Setup, UPDATE};
use fake_nvml::PowerShape;
use ipw::results::read_telemetry;

const LOAD: PowerShape = PowerShape::Square { low: 90.0, high: 400.0, period_ms: 1_700, duty: 0.4 };
const TOKEN: &str = "a-token-that-nobody-sees-4711";

fn server() -> FakeServer {
    let behaviour = Behaviour::saying("The answer is (B).")
        .timed(Duration::from_millis(250), Duration::from_millis(80));
    FakeServer::always(Flavour::LlamaCpp, behaviour).unwrap()
}

/// Every file below a directory that holds a text.
fn files_with(text: &str, directory: &Path) -> Vec<PathBuf> {
    let mut left = vec![directory.to_owned()];
    let mut found = Vec::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if String::from_utf8_lossy(&fs::read(&path).unwrap()).contains(text) {
            found.push(path);
        }
    }
    found
}

/// A monitor behind TLS that wants a token, a place to profile from, and the certificate's file.
fn secured() -> (OriginalMonitor, Place, PathBuf) {
    let signed = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (signed.cert.pem(), signed.signing_key.serialize_pem());
    let place = Place::new(&Hardware::None);
    let file = place.runs().with_file_name("ca.pem");
    fs::write(&file, &certificate).unwrap();
    let monitor = OriginalMonitor::start(original_monitor::Setup {
        token: Some(TOKEN),
        identity: Some((certificate, key)),
        ..original_monitor::Setup::new(LOAD)
    });
    (monitor, place, file)
}

fn profile(place: &Place, monitor: &str, environment: &[(&str, &str)]) -> Ended {
    let server = server();
    let options = ["--monitor", monitor, "--warmup-queries", "0"];
    let mut command = place.profile("openai", &server.url(), 2, &options);
    command.env_remove("IPW_MONITOR_TOKEN").envs(environment.iter().copied());
    run(&mut command)
}

#[test]
fn a_token_reaches_its_monitor_through_tls_and_stands_nowhere() {
    let (monitor, place, certificate) = secured();
    let certificate = certificate.to_str().unwrap();
    let environment =
        [("IPW_MONITOR_TOKEN", TOKEN), ("SSL_CERT_FILE", certificate), ("IPW_LOG", "trace")];
    let ended = profile(&place, &monitor.url(), &environment);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(Recorded::read(&place.run()).summary.totals.energy_queries, 2);
    assert!(!ended.stderr.contains(TOKEN) && !ended.stdout.contains(TOKEN));
    assert_eq!(files_with(TOKEN, &place.run()), Vec::<PathBuf>::new());
}

#[test]
fn a_token_from_a_file_serves_as_well() {
    let (monitor, place, certificate) = secured();
    let file = place.runs().with_file_name(".env");
    fs::write(file, format!("IPW_MONITOR_TOKEN={TOKEN}\n")).unwrap();
    let ended =
        profile(&place, &monitor.url(), &[("SSL_CERT_FILE", certificate.to_str().unwrap())]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn a_monitor_that_refuses_us_or_is_not_trusted_is_one_clear_error() {
    let (monitor, place, certificate) = secured();
    let certificate = ("SSL_CERT_FILE", certificate.to_str().unwrap());
    let url = monitor.url();
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let file = place.runs().with_file_name("other.pem");
    fs::write(&file, other.cert.pem()).unwrap();
    let untrusted = ("SSL_CERT_FILE", file.to_str().unwrap());
    let wrong = "another-token-4712";
    let by_address = url.replace("localhost", "127.0.0.1");
    let plain = "http://203.0.113.7:50053";
    let second_plain = format!("{url},{plain}");
    let token = ("IPW_MONITOR_TOKEN", TOKEN);
    type Environment<'a> = &'a [(&'a str, &'a str)];
    let cases: [(&str, Environment<'_>, i32, &[&str]); 6] = [
        (&url, &[certificate], 1, &["IPW_MONITOR_TOKEN", "--token-file"]),
        (&url, &[certificate, ("IPW_MONITOR_TOKEN", wrong)], 1, &["IPW_MONITOR_TOKEN"]),
        (&url, &[token, untrusted], 1, &["isn't trusted", "SSL_CERT_FILE"]),
        (&by_address, &[token, certificate], 1, &["isn't trusted", "host name"]),
        (plain, &[token], 2, &["https://", "in the clear", "IPW_MONITOR_TOKEN"]),
        (&second_plain, &[token], 2, &["https://", "in the clear", plain]),
    ];
    for (url, environment, code, texts) in cases {
        let ended = profile(&place, url, environment);
        assert_eq!(ended.code, Some(code), "{url}: {}", ended.stderr);
        for text in texts {
            assert!(ended.stderr.contains(text), "{url}: {text:?} not in {}", ended.stderr);
        }
        assert!(!ended.stderr.contains(TOKEN) && !ended.stderr.contains(wrong));
        assert!(place.is_empty(), "{url} left something");
    }
}

#[test]
fn what_listens_without_being_a_monitor_is_said_to_be_none() {
    let place = Place::new(&Hardware::None);
    let web = server();
    let ended = profile(&place, &web.url(), &[]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("monitor"), "{}", ended.stderr);
    assert!(place.is_empty());
}

fn scheduled(setup: Setup) -> Recorded {
    let monitor = ScheduledMonitor::start(setup);
    let place = Place::new(&Hardware::None);
    let ended = profile(&place, &monitor.url(), &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let recorded = Recorded::read(&place.run());
    let reads: Vec<_> = read_telemetry(&place.run()).unwrap().map(|row| row.unwrap()).collect();
    let repeated =
        reads.windows(2).filter(|pair| pair[0].reading.read_end == pair[1].reading.read_end);
    assert_eq!(repeated.count(), 0, "a read is stored once, however often it is told");
    let span = reads.last().unwrap().reading.read_end.since(reads[0].reading.read_end);
    let expected = span.as_millis() as usize / 47;
    assert!(reads.len() > expected * 9 / 10, "{} of {expected}", reads.len());
    recorded
}

fn setup() -> Setup {
    Setup { power: LOAD, hot_after: None, note: "", source: "nvml" }
}

#[test]
fn what_a_monitor_finds_out_meanwhile_is_in_the_run_and_used() {
    let recorded = scheduled(setup());
    let summary = &recorded.summary;
    for sensor in [&summary.segments[0].sensors[0], &summary.hardware.sensors[0]] {
        assert!(sensor.characterized, "{sensor:?}");
        assert_eq!((sensor.update_period, sensor.uuid.as_str()), (Some(UPDATE), "GPU-1"));
        assert_eq!(sensor.read_period, Some(Duration::from_millis(47)));
    }
    for record in &recorded.records {
        let request = recorded.request(record.query_index);
        let truth = LOAD.energy(request.start, request.end).0;
        let energy = &record.metrics.energy_metrics;
        let (lower, upper) =
            (energy.basis_joules_lower.unwrap(), energy.basis_joules_upper.unwrap());
        assert!(lower <= truth && truth <= upper, "{truth} {energy:?}");
        assert_eq!((energy.status.as_deref(), energy.coverage), (Some("ok"), Some(1.0)));
        let tensor = record.metrics.hardware_utilization.gpu.tensor_core_utilization_pct;
        assert_eq!(tensor, Some(62.5));
    }
    assert_eq!(summary.telemetry.gaps, 0);
    assert!(summary.warnings.is_empty(), "{:?}", summary.warnings);
}

#[test]
fn a_query_on_a_hot_device_is_flagged_with_its_note() {
    let setup = Setup {
        hot_after: Some(Duration::ZERO),
        note: "MIG is on: its energy is that of the whole GPU",
        ..setup()
    };
    let recorded = scheduled(setup);
    for record in &recorded.records {
        let energy = &record.metrics.energy_metrics;
        assert_eq!(energy.status.as_deref(), Some("throttled: thermal"));
        assert!(energy.basis_joules.is_some(), "it is still what the meter shows");
    }
    let warnings = recorded.summary.warnings.join("\n");
    assert!(warnings.contains("in 2 of 2 queries the clocks of a counted device"), "{warnings}");
    assert!(warnings.contains("MIG is on"), "{warnings}");
}

#[test]
fn replayed_figures_are_marked_wherever_they_are_shown() {
    let monitor = ScheduledMonitor::start(Setup { source: "scripted", ..setup() });
    let place = Place::new(&Hardware::None);
    let ended = profile(&place, &monitor.url(), &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let shows_energy = ["(J)", "(W)", "IPJ ", "IPW ", "Energy  "];
    let shown = ended.stdout.lines().filter(|line| shows_energy.iter().any(|it| line.contains(it)));
    let lines: Vec<&str> = shown.collect();
    assert_eq!(lines.len(), 7, "{}", ended.stdout);
    assert!(lines.iter().all(|line| line.contains("REPLAYED")), "{}", ended.stdout);
    let summary = Recorded::read(&place.run()).summary;
    assert_eq!(summary.hardware.platform.as_deref(), Some("scripted"));
    assert!(summary.warnings.iter().any(|warning| warning.contains("not measured")));
}
