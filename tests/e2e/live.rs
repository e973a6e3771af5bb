//! Energy of queries that make the load themselves, with both real programs: `cargo xtask bench live`
//! measures how near it is to the truth, on more queries.

use std::time::Duration;

use e2e::fake_server::{FakeServer, Flavour, Setup};
use e2e::live::Queries;
use e2e::profile::{Hardware, Place, Recorded, run};
use energy_proto::monotonic_now;
use fake_nvml::{Gpu, Model};

#[test]
fn the_energy_of_queries_that_make_the_load_lies_within_each_rows_bounds() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("load");
    let queries = Queries::new(path, Duration::from_millis(300), 1).unwrap();
    let gpu = Gpu { compute_processes: vec![4_711], ..queries.gpu() };
    let idle_watts = gpu.power.watts_at(monotonic_now());
    let model = Model { gpus: vec![gpu.clone()], ..Model::default() };
    let place = Place::new(&Hardware::Gpus(&model));
    let setup = Setup::new(Flavour::Vllm);
    let server = FakeServer::start(setup, move |request| queries.answer(request)).unwrap();
    let ended = run(&mut place.profile("vllm", &server.url(), 5, &[]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);

    let recorded = Recorded::read(&place.run());
    assert_eq!(recorded.records.len(), 5);
    for record in &recorded.records {
        let request = recorded.request(record.query_index);
        let truth = gpu.true_energy(request.start, request.end);
        let energy = &record.metrics.energy_metrics;
        let (lower, upper) =
            (energy.basis_joules_lower.unwrap(), energy.basis_joules_upper.unwrap());
        assert!(lower <= truth.0 && truth.0 <= upper, "{truth:?} {energy:?}");
        let mean_watts = (truth / request.end.since(request.start)).0;
        assert!(mean_watts > 1.01 * idle_watts, "the load followed: {mean_watts} W");
    }
    assert_eq!(gpu.power.watts_at(monotonic_now()), idle_watts, "and fell back");
}
