//! `--precise`: queries start just after an update of the counter, and between two of them it makes a
//! whole step at rest.

#![expect(clippy::unwrap_used, reason = "a test's parts fail by panicking, like the test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use e2e::fake_server::{Behaviour, FakeServer, Flavour};
use e2e::profile::{Hardware, Place, Recorded, run};
use energy_proto::{Nanos, SensorKind};
use fake_nvml::{Gpu, Model, PowerShape};
use ipw::results::{RequestEntry, RequestKind, read_telemetry};

const QUERIES: usize = 12;
/// How often the fake's counter moves.
const STEP: Duration = Duration::from_millis(100);
/// Far less than that.
const JUST_AFTER: Duration = Duration::from_millis(25);

fn server() -> FakeServer {
    let behaviour = Behaviour::saying("The answer is (B).")
        .timed(Duration::from_millis(60), Duration::from_millis(10));
    FakeServer::always(Flavour::LlamaCpp, behaviour).unwrap()
}

/// The intervals in which the GPU's counter was seen to move.
fn updates(run: &Path, recorded: &Recorded) -> BTreeSet<(Nanos, Nanos)> {
    let sensors = &recorded.summary.segments[0].sensors;
    let gpu = sensors.iter().find(|sensor| sensor.kind == SensorKind::Gpu).unwrap().id;
    let reads = read_telemetry(run).unwrap().map(|row| row.unwrap().reading);
    reads
        .filter(|read| read.sensor == gpu)
        .filter_map(|read| read.changed_after.zip(read.changed_before))
        .collect()
}

/// What most queries of a run have around them, and the last one behind it.
#[derive(Debug)]
struct Kept {
    /// Pauses in which an update was seen.
    shown: usize,
    /// Pauses in which the counter truly made a whole step.
    whole_steps: usize,
    /// Queries that started just after an update.
    on_time: usize,
    /// Updates that were seen after the last query.
    after_the_last: usize,
}

impl Kept {
    fn of(run: &Path, gpu: &Gpu) -> Self {
        let recorded = Recorded::read(run);
        let is_query = |entry: &&RequestEntry| entry.kind == RequestKind::Query;
        let queries: Vec<_> = recorded.requests.iter().filter(is_query).collect();
        assert_eq!(queries.len(), QUERIES);
        let seen = updates(run, &recorded);
        let seen_between = |start: Nanos, end: Nanos| {
            seen.iter().filter(|(after, before)| *after >= start && *before <= end).count()
        };
        let pauses = || queries.windows(2).map(|pair| (pair[0].end, pair[1].start));
        let since_update = |at: Nanos| at.since(gpu.last_refresh(at));
        Self {
            shown: pauses().filter(|(end, start)| seen_between(*end, *start) >= 1).count(),
            // The last update in the pause, and so the one before it, came after the query's end.
            whole_steps: pauses()
                .filter(|(end, start)| gpu.last_refresh(*start).since(*end) >= STEP)
                .count(),
            on_time: queries.iter().filter(|entry| since_update(entry.start) < JUST_AFTER).count(),
            after_the_last: seen_between(queries[QUERIES - 1].end, Nanos(u64::MAX)),
        }
    }

    fn holds(&self) -> bool {
        let most = QUERIES / 2 + 1;
        self.shown.min(self.whole_steps).min(self.on_time) >= most && self.after_the_last >= 2
    }
}

#[test]
fn between_two_queries_the_counter_makes_a_whole_step_at_rest() {
    let gpu = Gpu {
        power: PowerShape::Constant { watts: 300.0 },
        phase_ms: 37,
        compute_processes: vec![4_711],
        ..Gpu::default()
    };
    let model = Model { gpus: vec![gpu.clone()], ..Model::default() };
    let place = Place::new(&Hardware::Gpus(&model));
    let server = server();
    let precise = ["--precise", "--warmup-queries", "1", "--overwrite"];
    let mut kept = Vec::new();
    // On a machine that is busy with other things queries are late, or sent when the time is up.
    while kept.len() < 5 && !kept.last().is_some_and(Kept::holds) {
        let ended = run(&mut place.profile("openai", &server.url(), QUERIES, &precise));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        kept.push(Kept::of(&place.run(), &gpu));
    }
    assert!(kept.last().is_some_and(Kept::holds), "{kept:?}");
    assert_eq!(Recorded::read(&place.run()).summary.profiler_config["precise"], true);
}

#[test]
fn without_energy_there_is_nothing_to_wait_for() {
    let place = Place::new(&Hardware::None);
    let server = server();
    let ended = run(&mut place.profile("openai", &server.url(), 2, &["--precise"]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let told = ended.stderr.lines().filter(|line| line.contains("--precise does nothing")).count();
    assert_eq!(told, 1, "{}", ended.stderr);
    let warnings = Recorded::read(&place.run()).summary.warnings;
    assert!(warnings.iter().any(|warning| warning.contains("--precise")), "{warnings:?}");
}
