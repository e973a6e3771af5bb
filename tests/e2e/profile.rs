//! The main job with both real programs: prompts to a server that speaks as real ones do, energy from
//! a fake NVML library whose true power is known, and the run's directory read back.

#![expect(clippy::unwrap_used, reason = "a test's parts fail by panicking, like the test")]

use std::fs;
use std::time::Duration;

use e2e::fake_server::{Behaviour, FakeServer, Fault, Flavour, Setup, closed_url};
use e2e::monitor::{self, Monitor};
use e2e::profile::{Hardware, Place, Recorded, Running, json, run, wait_until};
use e2e::sysfs::Sysfs;
use fake_nvml::{Gpu, Model, PowerShape};
use ipw::record::QueryStatus;
use ipw::results::{AttributionState, RequestKind, RequestOutcome, RunStatus};
use nix::sys::signal::Signal;

/// Power that doesn't depend on the queries.
const LOAD: PowerShape = PowerShape::Square { low: 90.0, high: 400.0, period_ms: 1_700, duty: 0.4 };

fn one_gpu() -> Model {
    let gpu = Gpu { power: LOAD, compute_processes: vec![4_711], ..Gpu::default() };
    Model { gpus: vec![gpu], ..Model::default() }
}

/// A server whose answers take a little over half a second and are right.
fn server(flavour: Flavour) -> FakeServer {
    let behaviour = Behaviour::saying("The answer is (B).")
        .timed(Duration::from_millis(250), Duration::from_millis(80));
    FakeServer::always(flavour, behaviour).unwrap()
}

/// One whose answers come almost at once.
fn quick(behaviour: Behaviour) -> FakeServer {
    FakeServer::always(Flavour::LlamaCpp, behaviour).unwrap()
}

#[test]
fn a_run_measures_what_the_gpu_truly_took_with_every_client() {
    for (client, flavour) in
        [("ollama", Flavour::Ollama), ("vllm", Flavour::Vllm), ("openai", Flavour::LlamaCpp)]
    {
        let model = one_gpu();
        let place = Place::new(&Hardware::Gpus(&model));
        let server = server(flavour);
        let ended = run(&mut place.profile(client, &server.url(), 6, &["--warmup-queries", "1"]));
        assert_eq!(ended.code, Some(0), "{client}: {}", ended.stderr);

        let run = place.run();
        assert_eq!(run.file_name().unwrap(), "profile_FAKE_fake_1b_file-prompts", "{client}");
        let recorded = Recorded::read(&run);
        assert_eq!(recorded.summary.status, RunStatus::Complete);
        assert_eq!(recorded.summary.attribution, AttributionState::Final);
        assert_eq!(recorded.records.len(), 6);
        for (index, record) in recorded.records.iter().enumerate() {
            assert_eq!(record.query_index, index as i64);
            assert_eq!(record.status, QueryStatus::Ok);
            assert_eq!(record.response, "The answer is (B).");
            let request = recorded.request(record.query_index);
            let truth = model.gpus[0].power.energy(request.start, request.end).0;
            let energy = &record.metrics.energy_metrics;
            let measured = energy.per_query_joules.unwrap();
            let (lower, upper) =
                (energy.per_query_joules_lower.unwrap(), energy.per_query_joules_upper.unwrap());
            assert!(lower <= truth && truth <= upper, "{client} {index}: {truth} {energy:?}");
            assert!(lower <= measured && measured <= upper, "{client} {index}: {energy:?}");
            assert_eq!(energy.basis.as_deref(), Some("gpu"));
            assert_eq!(energy.method.as_deref(), Some("counter"));
            let seconds = record.metrics.latency_metrics.total_query_seconds.unwrap();
            assert!((0.48..2.0).contains(&seconds), "{client}: {seconds}");
            let ttft = record.metrics.latency_metrics.time_to_first_token_seconds.unwrap();
            assert!((0.25..seconds).contains(&ttft), "{client}: {ttft}");
            // Four words and the token that ends the answer.
            assert_eq!(record.metrics.token_metrics.output, Some(5), "{client}");
            assert_eq!(record.metrics.lm_correctness, Some(true));
        }
        let warmups =
            recorded.requests.iter().filter(|entry| entry.kind == RequestKind::Warmup).count();
        assert_eq!(warmups, 1);
        let accuracy = json(&run.join("analysis/accuracy.json"));
        let summary = &accuracy["summary"];
        assert_eq!(summary["accuracy"], 1.0);
        let joules: f64 = recorded
            .records
            .iter()
            .map(|record| record.metrics.energy_metrics.basis_joules.unwrap())
            .sum();
        let ipj = summary["intelligence_per_joule"].as_f64().unwrap();
        assert!((ipj * joules / 6.0 - 1.0).abs() < 1e-9, "{client}: {ipj} {joules}");
        let conservation = recorded.summary.energy.conservation.unwrap();
        assert!((conservation.attributed - joules).abs() < 1e-9 * joules);
        assert!(conservation.idle > 0.0 && conservation.unattributed > 0.0, "{conservation:?}");
        assert!(ended.stdout.contains("IPJ") && ended.stdout.contains("accuracy per joule"));
        assert!(place.monitors().is_empty(), "{client}: no monitor is left");
    }
}

#[test]
fn the_energy_of_a_prefill_and_a_decode_sum_to_the_query() {
    let model = one_gpu();
    let place = Place::new(&Hardware::Gpus(&model));
    let server = server(Flavour::LlamaCpp);
    let ended = run(&mut place.profile("openai", &server.url(), 3, &[]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for record in Recorded::read(&place.run()).records {
        let phases = &record.metrics.phase_metrics;
        let whole = record.metrics.energy_metrics.basis_joules;
        let parts = phases.prefill_energy_j.zip(phases.decode_energy_j).map(|(a, b)| a + b);
        assert_eq!(parts, whole, "{phases:?}");
    }
}

#[test]
fn only_the_boards_that_a_process_uses_are_counted() {
    let gpu = |index: u32, processes: Vec<u32>| Gpu {
        uuid: format!("GPU-{index}"),
        power: PowerShape::Constant { watts: 100.0 * f64::from(index + 1) },
        compute_processes: processes,
        ..Gpu::default()
    };
    let model = Model { gpus: vec![gpu(0, vec![]), gpu(1, vec![7])], ..Model::default() };
    let place = Place::new(&Hardware::Gpus(&model));
    let server = server(Flavour::LlamaCpp);
    let url = server.url();
    let ended = run(&mut place.profile("openai", &url, 2, &["--warmup-queries", "0"]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("not counted, since no process uses them: GPU-0"));
    let recorded = Recorded::read(&place.run());
    assert_eq!(recorded.summary.hardware.gpu_count, 1);
    for record in &recorded.records {
        let seconds = record.metrics.latency_metrics.total_query_seconds.unwrap();
        let energy = &record.metrics.energy_metrics;
        let watts = energy.per_query_joules.unwrap() / seconds;
        // Not 300 W: when each value of the counter appeared is known to some milliseconds.
        assert!((watts - 200.0).abs() < 15.0, "{watts}");
        assert_eq!(energy.devices.len(), 2, "the other is kept apart");
    }

    let slow = ["--client-param", "peak_tflops=1e-9"];
    let all = [&["--warmup-queries", "0", "--gpus", "all", "--tag", "all"], &slow[..]].concat();
    assert_eq!(run(&mut place.profile("openai", &url, 1, &all)).code, Some(0));
    let recorded = Recorded::read(&place.runs().join("profile_FAKEx2_fake_1b_file-prompts_all"));
    let record = &recorded.records[0];
    let seconds = record.metrics.latency_metrics.total_query_seconds.unwrap();
    let watts = record.metrics.energy_metrics.per_query_joules.unwrap() / seconds;
    assert!((watts - 300.0).abs() < 22.5, "{watts}");
    assert_eq!(record.metrics.hardware_utilization.derived.mfu, None, "no board is that slow");
    let warnings = &recorded.summary.warnings;
    let mfu = "MFU of 1 of 1 queries came out above 1";
    assert!(warnings.iter().any(|warning| warning.starts_with(mfu)), "{warnings:?}");

    let wrong = ["--gpus", "GPU-9", "--tag", "wrong"];
    let ended = run(&mut place.profile("openai", &url, 1, &wrong));
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("no GPU with UUID `GPU-9`; here are: GPU-0, GPU-1"));
}

#[test]
fn rapl_packages_and_dram_are_the_basis_where_there_is_no_gpu() {
    let sysfs = Sysfs::new();
    sysfs.zone("intel-rapl:0", "package-0", 1_000_000);
    sysfs.zone("intel-rapl:0:0", "dram", 500_000);
    let place = Place::new(&Hardware::Sysfs(&sysfs));
    let server = server(Flavour::LlamaCpp);
    let mut running = place.profile("openai", &server.url(), 3, &["--warmup-queries", "0"]);
    let running = Running::start(&mut running);
    // 40 W and 10 W, written faster than they are read.
    let begun = std::time::Instant::now();
    while Recorded::try_complete(&place).is_none() {
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap();
        sysfs.set_energy("intel-rapl:0", 1_000_000 + 40 * micros);
        sysfs.set_energy("intel-rapl:0:0", 500_000 + 10 * micros);
        std::thread::sleep(Duration::from_micros(500));
        assert!(begun.elapsed() < monitor::PATIENCE, "the run ends");
    }
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let recorded = Recorded::read(&place.run());
    assert_eq!(recorded.summary.energy.basis.as_deref(), Some("cpu"));
    for record in &recorded.records {
        let energy = &record.metrics.energy_metrics;
        let seconds = record.metrics.latency_metrics.total_query_seconds.unwrap();
        let watts = energy.basis_joules.unwrap() / seconds;
        assert!((watts - 50.0).abs() < 2.5, "{watts} {energy:?}");
        assert_eq!(energy.per_query_joules, None, "no GPU, no GPU energy");
        let parts = energy.cpu_per_query_joules.unwrap() + energy.dram_per_query_joules.unwrap();
        assert!((parts - energy.basis_joules.unwrap()).abs() < 1e-9);
    }
}

#[test]
fn without_a_counter_the_run_completes_and_says_why_there_is_no_energy() {
    let place = Place::new(&Hardware::None);
    let server = quick(Behaviour::saying("The answer is (B)."));
    let ended = run(&mut place.profile("openai", &server.url(), 3, &[]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let told: Vec<&str> =
        ended.stderr.lines().filter(|line| line.contains("energy will be null")).collect();
    assert_eq!(told.len(), 1, "{}", ended.stderr);
    assert!(told[0].contains("no_energy_counter"), "{told:?}");
    let run_directory = place.run();
    let recorded = Recorded::read(&run_directory);
    for record in &recorded.records {
        let energy = &record.metrics.energy_metrics;
        assert_eq!((energy.basis_joules, energy.per_query_joules), (None, None));
        assert_eq!(energy.status.as_deref(), Some("no_energy_counter"));
    }
    let summary = &json(&run_directory.join("analysis/accuracy.json"))["summary"];
    assert_eq!(summary["accuracy"], 1.0);
    assert!(summary["intelligence_per_joule"].is_null());
    assert!(summary["intelligence_per_watt"].is_null());

    let required = ["--require-energy", "--tag", "required"];
    let ended = run(&mut place.profile("openai", &server.url(), 3, &required));
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("--require-energy was given"), "{}", ended.stderr);
    assert!(place.monitors().is_empty());
}

#[test]
fn energy_of_this_host_is_not_booked_to_a_server_on_another() {
    let place = Place::new(&Hardware::Gpus(&one_gpu()));
    let server = quick(Behaviour::saying("The answer is (B)."));
    // An address that is set aside for documents; the fake answers for it as a proxy would.
    let profile = |more: &[&str]| {
        let elsewhere = "http://203.0.113.7:8000";
        run(place.profile("openai", elsewhere, 2, more).env("http_proxy", server.url()))
    };
    let ended = profile(&[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let told: Vec<&str> =
        ended.stderr.lines().filter(|line| line.contains("server_not_on_this_host")).collect();
    assert_eq!(told.len(), 1, "{}", ended.stderr);
    assert!(told[0].contains("ssh -L 50053:127.0.0.1:50053 203.0.113.7"), "{told:?}");
    for record in Recorded::read(&place.run()).records {
        let energy = &record.metrics.energy_metrics;
        assert_eq!(energy.status.as_deref(), Some("server_not_on_this_host"));
        assert_eq!((energy.basis_joules, energy.per_query_joules), (None, None));
        assert!(energy.devices.is_empty());
    }

    let required = profile(&["--require-energy", "--tag", "required"]);
    assert_eq!(required.code, Some(1), "{}", required.stderr);

    let tunnel = profile(&["--energy-host-is-local", "--tag", "tunnel"]);
    assert_eq!(tunnel.code, Some(0), "{}", tunnel.stderr);
    let recorded = Recorded::read(&place.runs().join("profile_FAKE_fake_1b_file-prompts_tunnel"));
    assert_eq!(recorded.summary.energy.basis.as_deref(), Some("gpu"));
}

#[test]
fn an_estimate_is_marked_wherever_it_is_shown() {
    let place = Place::new(&Hardware::None);
    let server = server(Flavour::LlamaCpp);
    let estimate = ["--sources", "estimate", "--tdp-watts", "65", "--warmup-queries", "0"];
    let ended = run(&mut place.profile("openai", &server.url(), 2, &estimate));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let mut marked = 0;
    for line in ended.stdout.lines() {
        let shows_energy = ["(J)", "(W)", "IPJ ", "IPW ", "Energy  "];
        if shows_energy.iter().any(|mark| line.contains(mark)) {
            assert!(line.contains("ESTIMATED"), "{line}");
            marked += 1;
        }
    }
    assert_eq!(
        marked, 7,
        "three rows of the table, IPJ, IPW, the basis, and the line to quote: {}",
        ended.stdout
    );

    let more_watts = ["--sources", "estimate", "--tdp-watts", "130", "--resume"];
    let other = run(&mut place.profile("openai", &server.url(), 2, &more_watts));
    assert_eq!(other.code, Some(2), "{}", other.stderr);
    assert!(other.stderr.contains("tdp_watts 65.0, now it is 130.0"), "{}", other.stderr);
    let measured = run(&mut place.profile("openai", &server.url(), 2, &["--resume"]));
    assert_eq!(measured.code, Some(2), "{}", measured.stderr);
    assert!(measured.stderr.contains("energy basis cpu_estimated"), "{}", measured.stderr);
    let recorded = Recorded::read(&place.run());
    assert_eq!(recorded.summary.energy.basis.as_deref(), Some("cpu_estimated"));
    assert_eq!(recorded.summary.energy.method.as_deref(), Some("estimated"));
    let accuracy = json(&place.run().join("analysis/accuracy.json"));
    assert_eq!(accuracy["summary"]["energy_basis"], "cpu_estimated");
    assert!(accuracy["warnings"][0].as_str().unwrap().contains("ESTIMATED"));
}

#[test]
fn a_query_that_fails_is_a_row_and_the_run_goes_on() {
    let place = Place::new(&Hardware::None);
    let good = Behaviour::saying("The answer is (B).");
    let server = FakeServer::start(Setup::new(Flavour::LlamaCpp), move |chat| {
        let fault = match chat.prompt.as_str() {
            prompt if prompt.contains("is 1?") => Some(Fault::ErrorAfter(2)),
            prompt if prompt.contains("is 2?") => Some(Fault::EndAfter(2)),
            prompt if prompt.contains("is 3?") => Some(Fault::HangAfter(2)),
            prompt if prompt.contains("is 4?") => Some(Fault::InternalError),
            _ => None,
        };
        Behaviour { fault, ..good.clone() }
    })
    .unwrap();
    let ended = run(&mut place.profile("openai", &server.url(), 6, &["--timeout", "2"]));
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    let recorded = Recorded::read(&place.run());
    let statuses: Vec<QueryStatus> = recorded.records.iter().map(|record| record.status).collect();
    use QueryStatus::{Error, Ok, Timeout, Truncated};
    assert_eq!(statuses, [Ok, Error, Truncated, Timeout, Error, Ok]);
    for record in &recorded.records {
        assert_eq!(record.error.is_some(), record.status != Ok, "{record:?}");
        assert_eq!(record.metrics.lm_correctness.is_some(), record.status == Ok);
    }
    let queries = recorded.summary.queries;
    assert_eq!((queries.ok, queries.error, queries.timeout, queries.truncated), (2, 2, 1, 1));
    let summary = &json(&place.run().join("analysis/accuracy.json"))["summary"];
    assert_eq!((&summary["failed"], &summary["accuracy"]), (&4.into(), &1.0.into()));

    // The failed ones can be sent again; the good ones aren't.
    let healthy = quick(Behaviour::saying("The answer is (B)."));
    let again = ["--timeout", "2", "--resume", "--retry-failed", "--warmup-queries", "0"];
    let ended = run(&mut place.profile("openai", &healthy.url(), 6, &again));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(Recorded::read(&place.run()).summary.queries.ok, 6);
    let asked = healthy
        .chats()
        .iter()
        .filter(|chat| String::from_utf8_lossy(&chat.body).contains("What is"))
        .count();
    assert_eq!(asked, 4);
}

#[test]
fn what_cannot_work_is_one_clear_error_with_its_exit_code() {
    let place = Place::new(&Hardware::None);
    let server = quick(Behaviour::saying("hi"));
    let (url, nothing) = (server.url(), closed_url().unwrap());
    let not_there = format!("{url}/not/here");
    let cases: [(&[&str], i32, &[&str]); 17] = [
        (&["--client-base-url", &nothing], 3, &["can't reach", "is the server running"]),
        (&["--model", "nope"], 3, &["nope", "fake:1b"]),
        (&["--client-base-url", &not_there], 3, &["not/here"]),
        (&["--client", "gopher"], 2, &["no client `gopher`"]),
        (&["--dataset", "nope"], 2, &["unknown dataset `nope`", "math500, file"]),
        (&["--dataset-param", "colour=red"], 2, &["colour"]),
        (&["--dataset-param", "path=nope.jsonl"], 1, &["nope.jsonl", "no such file"]),
        (&["--client-param", "stream=false"], 2, &["stream"]),
        (&["--output-dir", "prompts.jsonl/x"], 1, &["prompts.jsonl"]),
        (&["--monitor", "/nonexistent/monitor"], 1, &["can't run /nonexistent/monitor"]),
        (&["--max-queries", "0"], 2, &["--max-queries"]),
        (&["--concurrency", "0"], 2, &["--concurrency", "1..=1024"]),
        (&["--concurrency", "1025"], 2, &["--concurrency", "1..=1024"]),
        (&["--concurrency", "2", "--precise"], 2, &["--precise needs pauses", "--concurrency 2"]),
        (&["--sources", "estimate"], 2, &["--tdp-watts"]),
        (&["--tdp-watts", "65"], 2, &["--sources estimate"]),
        (&["--sources", "sundial"], 2, &["refuses what was asked", "sundial"]),
    ];
    for (more, code, texts) in cases {
        let mut command = place.ipw(&["profile"]);
        let path = format!("path={}", place.dataset(2).display());
        let defaults = [
            ("--client", "openai"),
            ("--model", "fake:1b"),
            ("--client-base-url", url.as_str()),
            ("--dataset", "file"),
            ("--output-dir", "runs"),
        ];
        for (flag, value) in defaults {
            if more[0] != flag {
                command.args([flag, value]);
            }
        }
        if !more.iter().any(|text| text.starts_with("path=")) && more[0] != "--dataset" {
            command.args(["--dataset-param", &path]);
        }
        let ended = run(command.args(more));
        assert_eq!(ended.code, Some(code), "{more:?}: {}", ended.stderr);
        for text in texts {
            assert!(ended.stderr.contains(text), "{more:?}: {text:?} not in {}", ended.stderr);
        }
        assert!(ended.stdout.is_empty(), "{more:?}: {}", ended.stdout);
        assert!(!ended.stderr.contains("panicked"), "{more:?}: {}", ended.stderr);
        assert!(ended.stderr.lines().count() <= 8, "{more:?}: one screen: {}", ended.stderr);
        assert!(place.is_empty(), "{more:?} left something");
    }
}

#[test]
fn an_existing_run_is_never_overwritten_unasked() {
    let place = Place::new(&Hardware::None);
    let server = quick(Behaviour::saying("The answer is (B)."));
    let profile = |more: &[&str]| run(&mut place.profile("openai", &server.url(), 2, more));
    assert_eq!(profile(&[]).code, Some(0));
    let rows = place.run().join("data-00000-of-00001.arrow");
    let before = fs::read(&rows).unwrap();
    fs::write(place.run().join("notes.txt"), "mine").unwrap();

    let ended = profile(&[]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    for way_out in ["--resume", "--overwrite", "--tag"] {
        assert!(ended.stderr.contains(way_out), "{}", ended.stderr);
    }
    assert_eq!(fs::read(&rows).unwrap(), before);

    assert_eq!(profile(&["--overwrite"]).code, Some(0));
    assert_ne!(fs::read(&rows).unwrap(), before);
    assert_eq!(fs::read_to_string(place.run().join("notes.txt")).unwrap(), "mine");

    let other = profile(&["--resume", "--temperature", "0.5"]);
    assert_eq!(other.code, Some(2), "{}", other.stderr);
    assert!(other.stderr.contains("it was made with temperature null"), "{}", other.stderr);
}

#[test]
fn an_interrupted_run_keeps_its_rows_leaves_no_monitor_and_resumes() {
    let model = one_gpu();
    let place = Place::new(&Hardware::Gpus(&model));
    let server = server(Flavour::LlamaCpp);
    let profile = |more: &[&str]| place.profile("openai", &server.url(), 8, more);
    let running = Running::start(&mut profile(&["--warmup-queries", "0"]));
    wait_until("three queries were sent", || server.chats().len() >= 4);
    running.signal(Signal::SIGINT);
    let ended = running.end();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(ended.stderr.contains("--resume"), "{}", ended.stderr);
    assert!(place.monitors().is_empty());
    let recorded = Recorded::read(&place.run());
    assert_eq!(recorded.summary.status, RunStatus::Interrupted);
    let done = recorded.records.len();
    assert!((2..8).contains(&done), "{done}");
    assert!(recorded.records.iter().all(|record| record.status == QueryStatus::Ok));
    let given_up = recorded.requests.last().unwrap();
    assert_eq!(given_up.outcome, RequestOutcome::Interrupted);

    let ended = run(&mut profile(&["--resume", "--warmup-queries", "0"]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let recorded = Recorded::read(&place.run());
    assert_eq!(recorded.records.len(), 8);
    assert_eq!(recorded.summary.segments.len(), 2);
    for record in &recorded.records {
        let request = recorded.request(record.query_index);
        let truth = model.gpus[0].power.energy(request.start, request.end).0;
        let energy = &record.metrics.energy_metrics;
        assert!(energy.basis_joules_lower.unwrap() <= truth, "{energy:?}");
        assert!(energy.basis_joules_upper.unwrap() >= truth, "{energy:?}");
    }
}

#[test]
fn a_killed_run_keeps_what_was_committed_and_resumes() {
    let place = Place::new(&Hardware::Gpus(&one_gpu()));
    let server = server(Flavour::LlamaCpp);
    let profile = |more: &[&str]| place.profile("openai", &server.url(), 14, more);
    let running = Running::start(&mut profile(&["--warmup-queries", "0"]));
    wait_until("rows were committed", || {
        !place.is_empty()
            && ipw::results::read_rows(&place.run()).is_ok_and(|rows| rows.count() >= 3)
    });
    running.signal(Signal::SIGKILL);
    assert_eq!(running.end().code, None);
    wait_until("the monitor left with its parent", || place.monitors().is_empty());
    let before = Recorded::read(&place.run());
    assert_eq!(before.summary.status, RunStatus::Running, "nobody could say otherwise");
    assert!(before.records.len() >= 3);

    let ended = run(&mut profile(&["--resume", "--warmup-queries", "0"]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let after = Recorded::read(&place.run());
    assert_eq!(after.records.len(), 14);
    for (old, new) in before.records.iter().zip(&after.records) {
        assert_eq!(old.started_at_nanos, new.started_at_nanos, "not sent again");
        let energy = &new.metrics.energy_metrics;
        assert_eq!(energy.status.as_deref(), Some("ok"), "{energy:?}");
    }
}

#[test]
fn a_monitor_killed_in_a_query_is_started_again_and_loses_no_joule() {
    let model = one_gpu();
    let place = Place::new(&Hardware::Gpus(&model));
    let server = server(Flavour::LlamaCpp);
    let mut command = place.profile("openai", &server.url(), 8, &["--warmup-queries", "0"]);
    let running = Running::start(&mut command);
    wait_until("queries are on their way", || server.chats().len() >= 4);
    for pid in place.monitors() {
        nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
    }
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let recorded = Recorded::read(&place.run());
    assert_eq!(recorded.summary.telemetry.reconnects, 1);
    assert_eq!(recorded.records.len(), 8);
    for record in &recorded.records {
        let request = recorded.request(record.query_index);
        let truth = model.gpus[0].power.energy(request.start, request.end).0;
        let energy = &record.metrics.energy_metrics;
        let measured = energy.basis_joules.expect("the board went on counting");
        let (lower, upper) =
            (energy.basis_joules_lower.unwrap(), energy.basis_joules_upper.unwrap());
        assert!(lower <= truth && truth <= upper, "{truth} {energy:?}");
        assert!(lower <= measured && measured <= upper, "{energy:?}");
    }
}

#[test]
fn a_monitor_that_hangs_in_a_query_is_ended_and_started_again() {
    let model = one_gpu();
    let place = Place::new(&Hardware::Gpus(&model));
    let server = server(Flavour::LlamaCpp);
    let mut command = place.profile("openai", &server.url(), 24, &["--warmup-queries", "0"]);
    let running = Running::start(&mut command);
    wait_until("queries are on their way", || server.chats().len() >= 4);
    let stopped = place.monitors();
    for pid in &stopped {
        nix::sys::signal::kill(*pid, Signal::SIGSTOP).unwrap();
    }
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("hangs"), "{}", ended.stderr);
    assert!(place.monitors().is_empty(), "neither of the two is left");
    let recorded = Recorded::read(&place.run());
    assert_eq!(recorded.summary.telemetry.reconnects, 1);
    let measured = recorded.records.iter().filter(|record| {
        let request = recorded.request(record.query_index);
        let truth = model.gpus[0].power.energy(request.start, request.end).0;
        let energy = &record.metrics.energy_metrics;
        let Some(upper) = energy.basis_joules_upper else { return false };
        assert!(energy.basis_joules_lower.unwrap() <= truth && truth <= upper, "{energy:?}");
        true
    });
    assert!(measured.count() >= 6, "before it and after it");
    let last = &recorded.records[23].metrics.energy_metrics;
    assert!(last.basis_joules.is_some(), "{last:?}");
}

#[test]
fn a_server_that_dies_ends_the_run_with_its_rows_saved() {
    let place = Place::new(&Hardware::None);
    let slow = Behaviour::saying("The answer is (B).")
        .timed(Duration::from_millis(50), Duration::from_millis(20));
    let server = quick(slow);
    let url = server.url();
    let running = Running::start(&mut place.profile("openai", &url, 300, &[]));
    wait_until("queries were answered", || server.chats().len() >= 8);
    drop(server);
    let ended = running.end();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("--resume"), "{}", ended.stderr);
    let recorded = Recorded::read(&place.run());
    assert_eq!(recorded.summary.status, RunStatus::Failed);
    assert!(recorded.records.len() >= 3, "{}", recorded.records.len());
}

#[test]
fn a_first_prompt_that_fails_leaves_nothing_behind() {
    let place = Place::new(&Hardware::None);
    let server = FakeServer::start(Setup::new(Flavour::LlamaCpp), |chat| {
        let good = Behaviour::saying("hi");
        // The model is loaded with a request of one token; the first warm-up comes after it.
        if chat.index == 0 { good } else { good.failing(Fault::InternalError) }
    })
    .unwrap();
    let ended = run(&mut place.profile("openai", &server.url(), 3, &[]));
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(
        place.is_empty(),
        "{:?} {}",
        place.run().read_dir().unwrap().collect::<Vec<_>>(),
        ended.stderr
    );
}

#[test]
fn a_running_monitor_can_be_used_by_its_url() {
    let model = one_gpu();
    let mut command = monitor::command(&["--port", "0"]);
    e2e::fake_nvml::load_into(&mut command, &model);
    let monitor = Monitor::start(&mut command);
    let place = Place::new(&Hardware::None);
    let server = server(Flavour::LlamaCpp);
    let url = format!("http://{}", monitor.listening.address);
    let ended = run(&mut place.profile("openai", &server.url(), 2, &["--monitor", &url]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let recorded = Recorded::read(&place.run());
    assert_eq!(recorded.summary.energy.basis.as_deref(), Some("gpu"));
    assert_eq!(recorded.summary.totals.energy_queries, 2);
}

#[test]
fn a_key_is_sent_and_stands_nowhere() {
    let place = Place::new(&Hardware::None);
    let key = "sk-very-secret-4711";
    let setup =
        Setup { front: e2e::fake_server::Front::Key(key.to_owned()), ..Setup::new(Flavour::Vllm) };
    let server = FakeServer::start(setup, |_| Behaviour::saying("The answer is (B).")).unwrap();
    let without = run(&mut place.profile("vllm", &server.url(), 1, &[]));
    assert_eq!(without.code, Some(3), "{}", without.stderr);
    assert!(without.stderr.contains("IPW_CLIENT_API_KEY"), "{}", without.stderr);

    let mut command = place.profile("vllm", &server.url(), 1, &[]);
    let ended = run(command.env("IPW_CLIENT_API_KEY", key).env("IPW_LOG", "trace"));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains(key) && !ended.stdout.contains(key));
    let mut files = vec![place.run()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let bytes = fs::read(&path).unwrap();
            let found = bytes.windows(key.len()).any(|window| window == key.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
}

/// What the user knows of the model, the one board, and the electricity.
const FACTS: [&str; 7] = [
    "active_parameters=1e8",
    "weight_bytes=2e8",
    "kv_bytes_per_token=1000",
    "peak_tflops=1000",
    "peak_gb_per_s=1e6",
    "price_kwh=0.36",
    "carbon_g_per_kwh=360",
];

/// Holds the derived numbers of a run with [`FACTS`] to what they follow from.
fn assert_derived(recorded: &Recorded) {
    let (mut dollars, mut grams) = (0.0, 0.0);
    let same = |found: Option<f64>, expected: f64, what: &str| {
        let found = found.unwrap_or_else(|| panic!("{what} is null"));
        assert!((found / expected - 1.0).abs() < 1e-9, "{what}: {found} for {expected}");
    };
    for record in &recorded.records {
        let metrics = &record.metrics;
        let tokens = &metrics.token_metrics;
        let (input, output) = (tokens.input.unwrap() as f64, tokens.output.unwrap() as f64);
        let computed = input + output - tokens.cached.unwrap_or(0) as f64;
        let seconds = metrics.latency_metrics.total_query_seconds.unwrap();
        let derived = &metrics.hardware_utilization.derived;
        same(derived.mfu, 2e8 * computed / seconds / 1e15, "mfu");
        let bytes = 2e8 + 1e3 * (input + output / 2.0);
        let tpot = metrics.latency_metrics.tpot_ms.unwrap() / 1e3;
        same(derived.mbu, bytes / tpot / 1e15, "mbu");
        same(derived.arithmetic_intensity, 2e8 / bytes, "arithmetic intensity");
        let joules = metrics.energy_metrics.basis_joules.unwrap();
        same(metrics.cost.energy_cost_usd, joules * 1e-7, "energy cost");
        same(metrics.cost.carbon_grams, joules * 1e-4, "carbon");
        dollars += joules * 1e-7;
        grams += joules * 1e-4;
    }
    same(recorded.summary.totals.energy_cost_usd, dollars, "the run's energy cost");
    same(recorded.summary.totals.carbon_grams, grams, "the run's carbon");
}

#[test]
fn analyze_prints_the_numbers_again_and_changes_nothing() {
    let place = Place::new(&Hardware::Gpus(&one_gpu()));
    let server = server(Flavour::LlamaCpp);
    let mut unscored = vec!["--no-analysis", "--warmup-queries", "0"];
    unscored.extend(FACTS.iter().flat_map(|fact| ["--client-param", fact]));
    let ended = run(&mut place.profile("openai", &server.url(), 3, &unscored));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let directory = place.run();
    assert!(!directory.join("analysis/accuracy.json").exists());
    assert_derived(&Recorded::read(&directory));
    for chat in server.chats() {
        let body = String::from_utf8_lossy(&chat.body).into_owned();
        assert!(FACTS.iter().all(|fact| !body.contains(fact.split_once('=').unwrap().0)), "{body}");
    }

    let path = directory.to_str().unwrap();
    let first = run(&mut place.ipw(&["analyze", path]));
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert!(first.stdout.contains("Accuracy  100.0 %"), "{}", first.stdout);
    assert!(first.stdout.contains("g CO2e for the energy"), "{}", first.stdout);
    assert_derived(&Recorded::read(&directory));
    let rows = fs::read(directory.join("data-00000-of-00001.arrow")).unwrap();
    let accuracy = fs::read(directory.join("analysis/accuracy.json")).unwrap();

    let second = run(&mut place.ipw(&["analyze", path]));
    assert_eq!(second.stdout, first.stdout);
    assert_eq!(fs::read(directory.join("data-00000-of-00001.arrow")).unwrap(), rows);
    assert_eq!(fs::read(directory.join("analysis/accuracy.json")).unwrap(), accuracy);

    let again = run(&mut place.ipw(&["analyze", path, "--reattribute"]));
    assert_eq!(again.stdout, first.stdout, "{}", again.stderr);
    assert_eq!(fs::read(directory.join("data-00000-of-00001.arrow")).unwrap(), rows);
    assert_eq!(fs::read(directory.join("analysis/accuracy.json")).unwrap(), accuracy);

    let as_json = run(&mut place.ipw(&["analyze", path, "--json"]));
    let report: serde_json::Value = serde_json::from_str(&as_json.stdout).unwrap();
    assert_eq!(report["accuracy"]["summary"]["correct"], 3);

    let none = run(&mut place.ipw(&["analyze", "nowhere"]));
    assert_eq!(none.code, Some(2), "{}", none.stderr);
}

#[test]
fn two_processes_cannot_write_one_run() {
    let place = Place::new(&Hardware::None);
    let server = server(Flavour::LlamaCpp);
    let profile = |more: &[&str]| place.profile("openai", &server.url(), 20, more);
    let running = Running::start(&mut profile(&["--warmup-queries", "0"]));
    wait_until("the run is on its way", || server.chats().len() >= 3);
    let second = run(&mut profile(&["--resume"]));
    assert_eq!(second.code, Some(1), "{}", second.stderr);
    let analyze = run(&mut place.ipw(&["analyze", place.run().to_str().unwrap()]));
    assert_eq!(analyze.code, Some(1), "{}", analyze.stderr);
    running.signal(Signal::SIGTERM);
    assert_eq!(running.end().code, Some(130));
}

#[test]
fn a_result_as_json_is_all_there_is_on_stdout() {
    let place = Place::new(&Hardware::None);
    let server = quick(Behaviour::saying("The answer is (A)."));
    let ended = run(&mut place.profile("openai", &server.url(), 2, &["--json"]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["queries"]["ok"], 2);
    assert_eq!(report["accuracy"]["summary"]["accuracy"], 0.0);
}

#[test]
fn list_names_every_id() {
    let place = Place::new(&Hardware::None);
    let ended = run(&mut place.ipw(&["list", "all"]));
    assert_eq!(ended.code, Some(0));
    for id in ["ollama", "vllm", "openai", "ipw", "file", "accuracy"] {
        assert!(ended.stdout.contains(&format!("\n  {id} ")), "{id} not in {}", ended.stdout);
    }
}

#[test]
fn a_full_disk_ends_the_run_keeps_what_was_committed_and_resumes() {
    let place = Place::new(&Hardware::None);
    let server = quick(Behaviour::saying("The answer is (B)."));
    let profile = place.profile("openai", &server.url(), 300, &["--warmup-queries", "0"]);
    // A disk of 4 MiB that only this shell sees; what is on it is saved before it is gone.
    let script = "mkdir -p runs saved && mount -t tmpfs -o size=4m none runs || exit 99; \
                  yes | head -c 3840k > runs/ballast; \"$0\" \"$@\"; echo \"first $?\"; \
                  cp -r runs/profile* saved/full; rm runs/ballast; \
                  \"$0\" \"$@\" --resume; echo \"second $?\"; cp -r runs/profile* saved/resumed";
    let mut command = std::process::Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", script])
        .arg(profile.get_program())
        .args(profile.get_args())
        .current_dir(profile.get_current_dir().unwrap())
        .envs(profile.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ended = run(&mut command);
    if !ended.stdout.contains("first") {
        e2e::profile::skipped(&format!("no disk of one's own here: {}", ended.stderr));
        return;
    }
    assert!(ended.stdout.contains("first 1\n"), "{ended:?}");
    assert!(ended.stderr.contains("no space left to write"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    let saved = place.runs().parent().unwrap().join("saved");
    let full = Recorded::read(&saved.join("full"));
    assert!((1..300).contains(&full.records.len()), "{}", full.records.len());
    assert!(full.records.iter().all(|record| record.status == QueryStatus::Ok));

    assert!(ended.stdout.contains("second 0\n"), "{ended:?}");
    let resumed = Recorded::read(&saved.join("resumed"));
    assert_eq!(resumed.records.len(), 300);
    for (before, after) in full.records.iter().zip(&resumed.records) {
        assert_eq!(before.started_at_nanos, after.started_at_nanos, "not sent again");
    }
}
