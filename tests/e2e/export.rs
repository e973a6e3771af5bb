//! `ipw export`: the flat table, read back by DuckDB.

#![expect(clippy::unwrap_used, reason = "a test's parts fail by panicking, like the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::fake_server::{Behaviour, ChatRequest, FakeServer, Fault, Flavour, Setup};
use e2e::profile::{Hardware, Place, Recorded, run};
use fake_nvml::{Gpu, Model};
use serde_json::{Value, json};

use crate::python;

/// Fails the second of each four, with a text that needs every kind of quoting.
fn server() -> FakeServer {
    FakeServer::start(Setup::new(Flavour::LlamaCpp), |request: &ChatRequest| {
        // Long enough for a counter to tell.
        let behaviour = Behaviour::saying("The answer is B, \"surely\";\nor so.\u{1f600}")
            .timed(Duration::from_millis(300), Duration::from_millis(50));
        if request.prompt.contains("What is 1?") {
            return behaviour.failing(Fault::BadRequest("no".to_owned()));
        }
        behaviour
    })
    .unwrap()
}

fn read(table: &Path) -> Option<Value> {
    let python = python::interpreter("duckdb")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/read_export.py");
    let output = Command::new(python).arg(script).arg(table).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn two_runs_are_one_table_in_both_formats_and_what_is_unknown_stays_so() {
    let gpu = Gpu { compute_processes: vec![4_711], ..Gpu::default() };
    let model = Model { gpus: vec![gpu], ..Model::default() };
    let place = Place::new(&Hardware::Gpus(&model));
    let server = server();
    for tag in ["one", "two"] {
        let ended = run(&mut place.profile("openai", &server.url(), 3, &["--tag", tag]));
        assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    }
    let mut runs: Vec<PathBuf> =
        fs::read_dir(place.runs()).unwrap().flatten().map(|entry| entry.path()).collect();
    runs.sort();
    for format in ["csv", "parquet"] {
        let table = place.runs().parent().unwrap().join(format!("all.{format}"));
        let mut export = place.ipw(&["export", "--json", "--format", format, "--output"]);
        let ended = run(export.arg(&table).args(&runs));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let told: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(told, json!({"rows": 6, "files": [table]}));
        let Some(read) = read(&table) else { return };
        let rows = read["rows"].as_array().unwrap();
        assert_eq!(rows.len(), 6);
        for (place, row) in rows.iter().enumerate() {
            let recorded = Recorded::read(&runs[place / 3]);
            let record = &recorded.records[place % 3];
            let name = runs[place / 3].file_name().unwrap().to_string_lossy().into_owned();
            assert_eq!(row["run"], name.as_str());
            assert_eq!(row["model"], "fake:1b");
            assert_eq!(row["query_index"], record.query_index);
            assert_eq!(row["problem"], record.problem.as_str());
            let joules = record.metrics.energy_metrics.basis_joules;
            assert_eq!(row["energy_metrics_basis_joules"].as_f64(), joules, "{format}");
            assert_eq!(row["lm_correctness"].as_bool(), record.metrics.lm_correctness);
            if record.metrics.lm_correctness.is_some() {
                assert_eq!(row["response"], record.response.as_str());
            }
        }
        assert_eq!(read["types"]["energy_metrics_basis_joules"], "DOUBLE", "{format}");
        assert_eq!(read["types"]["query_index"], "BIGINT", "{format}");
        assert_eq!(read["types"]["lm_correctness"], "BOOLEAN", "{format}");
    }
    let own = run(&mut place.ipw(&["export", runs[0].to_str().unwrap()]));
    assert_eq!((own.code, own.stdout.as_str()), (Some(0), ""), "{}", own.stderr);
    let each = run(place.ipw(&["export", "--json"]).args(&runs));
    let told: Value = serde_json::from_str(&each.stdout).unwrap();
    let files: Vec<PathBuf> = runs.iter().map(|run| run.join("queries.csv")).collect();
    assert_eq!(told, json!({"rows": 6, "files": files}));
    let shown = run(&mut place.ipw(&["export", runs[0].to_str().unwrap(), "--output", "-"]));
    assert_eq!(shown.stdout, fs::read_to_string(runs[0].join("queries.csv")).unwrap());
    let refused = ["export", runs[0].to_str().unwrap(), "--format", "parquet", "--output", "-"];
    assert_eq!(run(&mut place.ipw(&refused)).code, Some(2));
    let both =
        run(&mut place.ipw(&["export", runs[0].to_str().unwrap(), "--output", "-", "--json"]));
    assert_eq!((both.code, both.stdout.as_str()), (Some(2), ""));
    assert!(both.stderr.contains("--json and --output - both print"), "{}", both.stderr);
}
