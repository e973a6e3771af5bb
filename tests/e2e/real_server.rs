//! The demo's parts as a test: a real llama.cpp server with a real model, both real programs, and the
//! run read back by pyarrow and `datasets`.

use std::process::Command;

use e2e::llama_server::{LlamaServer, MODEL};
use e2e::profile::{Hardware, Place, Recorded, json, run};
use ipw::record::QueryStatus;

use crate::python;

#[test]
fn a_real_model_on_a_real_server_is_profiled_and_read_back() {
    let python = python::variable("IPW_DEMO_PYTHON", "a Python with llama.cpp's server");
    let script = python::variable("IPW_DEMO_SERVER", "the script that serves a model");
    let (Some(python), Some(script)) = (python, script) else { return };
    let server = LlamaServer::start(&python, &script);
    let place = Place::new(&Hardware::None);
    let profile = |model: &str, more: &[&str]| {
        let mut command = place.ipw(&["profile", "--client", "openai", "--model", model]);
        command
            .args(["--client-base-url", server.url(), "--output-dir", "runs", "--max-queries", "5"])
            .args(["--max-tokens", "24", "--temperature", "0"])
            .args(["--client-param", "cache_prompt=false"])
            .args(["--sources", "estimate", "--tdp-watts", "65"])
            .args(more);
        run(&mut command)
    };

    let unknown = profile("llama3.2:1b", &[]);
    assert_eq!(unknown.code, Some(3), "{}", unknown.stderr);
    assert!(unknown.stderr.contains(MODEL), "names what is there: {}", unknown.stderr);
    assert!(place.is_empty());

    let ended = profile(MODEL, &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let directory = place.run();
    let recorded = Recorded::read(&directory);
    assert_eq!(recorded.summary.client_info.server.as_deref(), Some("llama.cpp"));
    assert_eq!(recorded.summary.client_info.parameter_count, Some(134_515_008));
    assert_eq!(recorded.records.len(), 5);
    for record in &recorded.records {
        assert_eq!(record.status, QueryStatus::Ok);
        assert!(!record.response.is_empty());
        let tokens = &record.metrics.token_metrics;
        assert_eq!(tokens.cached, Some(0), "the prompt cache was off");
        assert!(tokens.input.unwrap() > 10 && (1..=24).contains(&tokens.output.unwrap()));
        let latency = &record.metrics.latency_metrics;
        let ttft = latency.time_to_first_token_seconds.unwrap();
        assert!(ttft > 0.0 && ttft < latency.total_query_seconds.unwrap());
        assert!(record.metrics.energy_metrics.basis_joules.unwrap() > 0.0);
        assert_eq!(record.metrics.energy_metrics.method.as_deref(), Some("estimated"));
        let flops = record.metrics.compute_metrics.flops_per_request.unwrap();
        assert_eq!(flops, 2.0 * 134_515_008.0 * tokens.total.unwrap() as f64);
        let request = recorded.request(record.query_index);
        let prefill = request.server_timing.unwrap().prefill.unwrap().as_secs_f64();
        assert!(prefill <= ttft, "the server's prefill {prefill} s is part of the TTFT {ttft} s");
    }

    let twice = profile(MODEL, &["--tag", "again"]);
    assert_eq!(twice.code, Some(0), "{}", twice.stderr);
    let again = format!("{}_again", directory.file_name().unwrap().display());
    let again = Recorded::read(&place.runs().join(again));
    for (first, second) in recorded.records.iter().zip(&again.records) {
        assert_eq!(first.response, second.response, "temperature 0 gives the same answers");
    }

    let accuracy = json(&directory.join("analysis/accuracy.json"));
    assert_eq!(accuracy["summary"]["total_scored"], 5);

    let Some(reader) = python::interpreter("datasets") else { return };
    let code = "import sys, datasets; rows = datasets.load_from_disk(sys.argv[1]); \
                print(len(rows), rows[0]['model_answers'][sys.argv[2]])";
    let mut command = Command::new(reader);
    command.args(["-c", code]).arg(directory).arg(MODEL).env("HF_HOME", place.runs());
    let read = run(&mut command);
    assert_eq!(read.code, Some(0), "{}", read.stderr);
    assert_eq!(read.stdout.trim(), format!("5 {}", recorded.records[0].response.trim()));
}
