//! Several queries in flight at once: as many as were asked for and never more, each with its row, and
//! a run that is stopped in the middle of them goes on.

#![expect(clippy::unwrap_used, reason = "a test's parts fail by panicking, like the test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use e2e::fake_server::{Behaviour, ChatRequest, FakeServer, Fault, Flavour, Setup, closed_url};
use e2e::monitor::PATIENCE;
use e2e::profile::{Hardware, Place, Recorded, Running, run, wait_until};
use fake_nvml::{Gpu, Model, PowerShape};
use ipw::record::{EnergyMetrics, ProfilingRecord, QueryStatus, Stats};
use ipw::results::{RequestEntry, RequestKind, RequestOutcome, RunStatus, read_rows};
use nix::sys::signal::Signal;

/// Lets nobody through until so many are there.
struct Gate {
    count: usize,
    arrived: Mutex<usize>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut arrived = self.arrived.lock().unwrap();
        *arrived += 1;
        self.changed.notify_all();
        let too_few = |arrived: &mut usize| *arrived < self.count;
        drop(self.changed.wait_timeout_while(arrived, PATIENCE, too_few).unwrap());
    }
}

/// The number of a prompt of the tests' dataset; `None` for what warms up.
fn number(chat: &ChatRequest) -> Option<usize> {
    let rest = chat.prompt.strip_prefix("What is ")?;
    rest.split('?').next()?.parse().ok()
}

fn queries_at(server: &FakeServer) -> usize {
    let is_query = |body: &[u8]| String::from_utf8_lossy(body).contains("What is");
    server.chats().iter().filter(|chat| is_query(&chat.body)).count()
}

fn answer() -> Behaviour {
    Behaviour::saying("The answer is (B).")
        .timed(Duration::from_millis(150), Duration::from_millis(30))
}

/// A server that answers the first so many queries, and while `silent` no other.
fn answering(first: usize, silent: &Arc<AtomicBool>) -> FakeServer {
    let silent = Arc::clone(silent);
    FakeServer::start(Setup::new(Flavour::LlamaCpp), move |chat| {
        let is_late = number(chat).is_some_and(|number| number >= first);
        let hangs = is_late && silent.load(Ordering::SeqCst);
        Behaviour { fault: hangs.then_some(Fault::HangBeforeHead), ..answer() }
    })
    .unwrap()
}

fn queries(recorded: &Recorded) -> Vec<&RequestEntry> {
    let is_query = |entry: &&RequestEntry| entry.kind == RequestKind::Query;
    let mut queries: Vec<_> = recorded.requests.iter().filter(is_query).collect();
    queries.sort_by_key(|entry| entry.start);
    queries
}

fn rows(run: &Path) -> Vec<ProfilingRecord> {
    read_rows(run).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn as_many_queries_as_asked_for_are_in_flight_and_never_more() {
    let place = Place::new(&Hardware::None);
    let gate = Gate { count: 4, arrived: Mutex::new(0), changed: Condvar::new() };
    let server = FakeServer::start(Setup::new(Flavour::LlamaCpp), move |chat| {
        if number(chat).is_some() {
            gate.pass();
        }
        answer()
    })
    .unwrap();
    let ended = run(&mut place.profile("openai", &server.url(), 16, &["--concurrency", "4"]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(server.most_at_once(), 4);

    let recorded = Recorded::read(&place.run());
    assert_eq!(recorded.summary.profiler_config["concurrency"], 4);
    let rows: Vec<i64> = recorded.records.iter().map(|record| record.query_index).collect();
    assert_eq!(rows, (0..16).collect::<Vec<i64>>());
    assert!(recorded.records.iter().all(|record| record.status == QueryStatus::Ok));
    let queries = queries(&recorded);
    assert_eq!(queries.len(), 16, "each was sent once");
    assert!(queries[3].start < queries[..3].iter().map(|entry| entry.end).min().unwrap());
    for (place, entry) in queries.iter().enumerate() {
        // Nothing but those in flight with it goes before an earlier one.
        let index = usize::try_from(entry.query_index.unwrap()).unwrap();
        assert!(index <= place + 3, "query {index} was sent as number {place}");
        let opened = entry.flags.iter().any(|flag| flag == "connection_opened_in_query");
        assert!(!opened, "{entry:?}");
    }
}

#[test]
fn a_run_stopped_with_several_in_flight_loses_those_alone_and_goes_on_with_another_number() {
    let power = PowerShape::Constant { watts: 300.0 };
    let gpu = Gpu { power, compute_processes: vec![4_711], ..Gpu::default() };
    let place = Place::new(&Hardware::Gpus(&Model { gpus: vec![gpu], ..Model::default() }));
    let silent = Arc::new(AtomicBool::new(true));
    let server = answering(8, &silent);
    let profile = |more: &[&str]| {
        let mut command = place.profile("openai", &server.url(), 14, more);
        command.args(["--warmup-queries", "0"]);
        command
    };
    let running = Running::start(&mut profile(&["--concurrency", "4"]));
    wait_until("four wait for an answer", || queries_at(&server) == 12);
    wait_until("the others are committed", || {
        read_rows(&place.run()).is_ok_and(|rows| rows.count() == 8)
    });
    rows(&place.run()).iter().for_each(shows_no_device_as_its_own);
    running.signal(Signal::SIGINT);
    let ended = running.end();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    let recorded = Recorded::read(&place.run());
    assert_eq!(recorded.summary.status, RunStatus::Interrupted);
    let before = recorded.records.clone();
    assert_eq!(before.len(), 8);
    let of_outcome = |outcome| {
        let queries = queries(&recorded).into_iter().filter(move |entry| entry.outcome == outcome);
        queries.filter_map(|entry| entry.query_index).collect::<BTreeSet<i64>>()
    };
    assert_eq!(of_outcome(RequestOutcome::Ok), (0..8).collect());
    assert_eq!(of_outcome(RequestOutcome::Interrupted), (8..12).collect());

    silent.store(false, Ordering::SeqCst);
    let ended = run(&mut profile(&["--resume", "--concurrency", "2"]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("--concurrency 4, now it is 2"), "{}", ended.stderr);
    let recorded = Recorded::read(&place.run());
    assert_eq!(recorded.summary.profiler_config["concurrency"], 2);
    assert!(recorded.summary.warnings.iter().any(|warning| warning.contains("--concurrency 4")));
    assert_eq!(recorded.records.len(), 14);
    for (before, after) in before.iter().zip(&recorded.records) {
        assert_eq!(before.started_at_nanos, after.started_at_nanos, "not sent again");
    }
}

/// What is known of a query's own energy before all that shared the device are known: nothing.
fn shows_no_device_as_its_own(record: &ProfilingRecord) {
    let metrics = &record.metrics;
    let expected = EnergyMetrics {
        basis: Some("gpu".to_owned()),
        status: Some("shared_until_final".to_owned()),
        ..EnergyMetrics::default()
    };
    assert_eq!(metrics.energy_metrics, expected);
    assert_eq!(metrics.power_metrics.gpu.per_query_watts, Stats::default());
    assert!(metrics.power_metrics.gpu.total_watts.avg.is_some(), "{:?}", metrics.power_metrics);
    assert_eq!(metrics.phase_metrics.prefill_energy_j, None);
    assert!(metrics.phase_metrics.prefill_duration_ms.is_some());
    assert_eq!(metrics.efficiency.flops_per_joule, None);
}

#[test]
fn a_server_that_dies_ends_all_that_are_in_flight() {
    let place = Place::new(&Hardware::None);
    let server = answering(8, &Arc::new(AtomicBool::new(true)));
    let mut profile = place.profile("openai", &server.url(), 40, &["--concurrency", "4"]);
    let running = Running::start(&mut profile);
    wait_until("four wait for an answer", || queries_at(&server) == 12);
    drop(server);
    let ended = running.end();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("--resume"), "{}", ended.stderr);
    let recorded = Recorded::read(&place.run());
    assert_eq!(recorded.summary.status, RunStatus::Failed);
    assert_eq!(recorded.records.len(), 8);
    assert_eq!(queries(&recorded).len(), 12, "{:?}", recorded.requests);
}

#[test]
fn queries_that_all_fail_end_the_run_a_little_later_than_one_after_the_other() {
    let place = Place::new(&Hardware::None);
    let server = FakeServer::start(Setup::new(Flavour::LlamaCpp), |chat| {
        let fault = number(chat).map(|_| Fault::InternalError);
        Behaviour { fault, ..answer() }
    })
    .unwrap();
    let ended = run(&mut place.profile("openai", &server.url(), 60, &["--concurrency", "4"]));
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    let told = "13 queries failed one after the other";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
    let rows = Recorded::read(&place.run()).records.len();
    assert!((13..=16).contains(&rows), "{rows}: those in flight may have ended, too");
}

#[test]
fn more_connections_than_a_process_may_have_are_refused() {
    let place = Place::new(&Hardware::None);
    let profile = place.profile("openai", &closed_url().unwrap(), 2, &["--concurrency", "512"]);
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 400 && exec \"$0\" \"$@\""])
        .arg(profile.get_program())
        .args(profile.get_args())
        .current_dir(profile.get_current_dir().unwrap());
    let ended = run(&mut command);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("may have 400"), "{}", ended.stderr);
    assert!(ended.stderr.contains("ulimit -n"), "{}", ended.stderr);
}

/// Seconds in which at least one of the requests was under way.
fn busy_seconds(queries: &[&RequestEntry]) -> f64 {
    let (mut busy, mut until) = (0.0, queries[0].start);
    for query in queries {
        busy += query.end.since(query.start.max(until)).as_secs_f64();
        until = until.max(query.end);
    }
    busy
}

#[test]
fn final_rows_have_their_shares_of_the_device_and_these_add_up() {
    let power = PowerShape::Constant { watts: 300.0 };
    let gpu = Gpu { power, compute_processes: vec![4_711], ..Gpu::default() };
    let place = Place::new(&Hardware::Gpus(&Model { gpus: vec![gpu], ..Model::default() }));
    let server = FakeServer::start(Setup::new(Flavour::LlamaCpp), |_| {
        answer().timed(Duration::from_millis(300), Duration::from_millis(100))
    })
    .unwrap();
    let ended = run(&mut place.profile("openai", &server.url(), 12, &["--concurrency", "3"]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);

    let recorded = Recorded::read(&place.run());
    let mut attributed = 0.0;
    for record in &recorded.records {
        let energy = &record.metrics.energy_metrics;
        let (share, whole) = (energy.basis_joules.unwrap(), energy.total_joules.unwrap());
        assert_eq!(energy.per_query_joules, energy.basis_joules);
        assert!(share < 0.6 * whole, "three at once: {share} of {whole} J");
        let power = &record.metrics.power_metrics.gpu;
        assert!(power.per_query_watts.avg.unwrap() < 0.6 * power.total_watts.avg.unwrap());
        attributed += share;
    }
    let busy = 300.0 * busy_seconds(&queries(&recorded));
    assert!((attributed - busy).abs() < 0.01 * busy, "{attributed} J of {busy} J");

    let energy = &recorded.summary.energy;
    let conservation = energy.conservation.unwrap();
    assert!((conservation.attributed - attributed).abs() < 1e-9 * attributed);
    assert!(conservation.unattributed > -0.01 * attributed, "{conservation:?}");
    let steady = energy.steady_state.unwrap();
    let watts = steady.energy_joules / steady.seconds;
    assert!((watts - 300.0).abs() < 6.0 && steady.output_tokens > 0.0, "{steady:?}");
    assert!(ended.stdout.contains("Steady    "), "{}", ended.stdout);
}
