//! `ipw analyze --analysis regression` and `--analysis all`: the file, the table, the sentence and the JSON.

#![expect(clippy::unwrap_used, reason = "a test's parts fail by panicking, like the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use e2e::monitor::bin;
use e2e::profile::{Ended, json as read_json, run};
use e2e::sample_run::SampleRun;
use ipw::record::ProfilingRecord;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::table::cells;

/// The lines of the file, as the contract names them, with what the table calls them.
const LINES: [(&str, &str); 9] = [
    ("input_tokens_vs_ttft", "Time to first token (s) on prompt tokens"),
    ("output_tokens_vs_latency", "Latency (s) on generated tokens"),
    ("total_tokens_vs_latency", "Latency (s) on all tokens"),
    ("input_tokens_vs_energy", "Energy (J) on prompt tokens"),
    ("output_tokens_vs_energy", "Energy (J) on generated tokens"),
    ("total_tokens_vs_energy", "Energy (J) on all tokens"),
    ("input_tokens_vs_power", "Power (W) on prompt tokens"),
    ("total_tokens_vs_power", "Power (W) on all tokens"),
    ("total_tokens_vs_power_log", "Power (W) on log of all tokens"),
];

/// Directories of runs beside each other.
struct Place(TempDir);

impl Place {
    /// With one run, `run`.
    fn of(sample: &SampleRun, change: fn(&mut ProfilingRecord)) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("run", sample, change);
        place
    }

    fn write(&self, name: &str, sample: &SampleRun, change: fn(&mut ProfilingRecord)) {
        fs::create_dir(self.path(name)).unwrap();
        sample.write(&self.path(name), change);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn analyze(&self, args: &[&str]) -> Ended {
        let mut ipw = Command::new(bin("ipw"));
        let ended = run(ipw.arg("analyze").args(args).current_dir(self.0.path()));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.analyze(&[args, &["--json"]].concat()).stdout).unwrap()
    }

    /// `analysis/regression.json` of `run`.
    fn regression(&self) -> Value {
        self.analyze(&["run", "--analysis", "regression"]);
        read_json(&self.path("run/analysis/regression.json"))
    }
}

fn sample() -> SampleRun {
    SampleRun { interval_seconds: 1.0, ..SampleRun::default() }
}

fn unchanged(_: &mut ProfilingRecord) {}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn is_near(value: &Value, expected: f64, share: f64) -> bool {
    (value.as_f64().unwrap() - expected).abs() <= share * expected.abs()
}

#[test]
fn the_file_has_the_contracts_fields_and_the_table_shows_the_same() {
    let place = Place::of(&sample(), unchanged);
    let ended = place.analyze(&["run", "--analysis", "regression"]);
    let report = read_json(&place.path("run/analysis/regression.json"));
    assert_eq!(keys(&report), BTreeSet::from(["analysis", "summary", "warnings", "data"]));
    assert_eq!(report["analysis"], "regression");
    assert_eq!(
        report["summary"],
        json!({
            "model": "llama3.2:1b", "total_samples": 60, "energy_basis": "gpu",
            "energy_is_estimated": false,
        })
    );
    assert_eq!(report["warnings"], json!([]));
    let lines = &report["data"]["regressions"];
    assert_eq!(keys(lines), LINES.iter().map(|(key, _)| *key).collect());
    for (key, name) in LINES {
        let line = &lines[key];
        let contracted = ["count", "slope", "intercept", "r2", "avg_y", "slope_ci95"];
        let mut found = keys(line);
        found.remove("robust");
        assert_eq!(found, BTreeSet::from(contracted), "{key}");
        assert_eq!(line["count"], 60);
        let row = cells(&ended.stdout, name);
        assert!(is_near(&line["slope"], row[1].parse().unwrap(), 5e-3), "{row:?} {line}");
        assert!(is_near(&line["intercept"], row[3].parse().unwrap(), 5e-3), "{row:?} {line}");
        assert_eq!(row.last().unwrap(), "60");
    }
    // What the sample is made of: 0.4 ms and 0.168 J a prompt token, 12 ms and 3.72 J a generated one.
    assert!(is_near(&lines["input_tokens_vs_ttft"]["slope"], 0.000_4, 0.1));
    assert!(is_near(&lines["output_tokens_vs_latency"]["slope"], 0.012, 0.1));
    let model = &report["data"]["energy_model"];
    assert_eq!(report["data"]["energy_model_status"], "ok");
    assert!(is_near(&model["joules_per_input_token"], 0.168, 0.1), "{model}");
    assert!(is_near(&model["joules_per_output_token"], 3.72, 0.05), "{model}");
    let sentence = ended.stdout.lines().find(|line| line.starts_with("A generated token costs 3."));
    assert!(sentence.unwrap().contains("gpu energy, with 95 % intervals over 60 queries"));
    // Only what was asked for is printed and written.
    assert!(!ended.stdout.contains("Accuracy"), "{}", ended.stdout);
}

#[test]
fn programs_get_the_files_content_and_of_several_runs_a_list() {
    let place = Place::of(&sample(), unchanged);
    let one = place.json(&["run", "--analysis", "regression"]);
    assert_eq!(keys(&one), BTreeSet::from(["directory", "regression"]));
    assert_eq!(one["directory"], "run");
    assert_eq!(one["regression"], read_json(&place.path("run/analysis/regression.json")));

    place.write("other", &SampleRun { seed: 2, ..sample() }, unchanged);
    let several = place.json(&["run", "other", "--analysis", "regression"]);
    assert_eq!(several[0], one);
    assert_eq!(several[1]["directory"], "other");
    assert_ne!(several[1]["regression"], one["regression"]);

    let all = place.json(&["run", "--analysis", "all"]);
    assert_eq!(all["regression"], one["regression"]);
    assert_eq!(all["accuracy"], read_json(&place.path("run/analysis/accuracy.json")));
    let accuracy = place.json(&["run", "--analysis", "accuracy"]);
    assert_eq!((&accuracy["accuracy"], accuracy.get("regression")), (&all["accuracy"], None));
}

#[test]
fn both_analyses_are_shown_and_written() {
    let place = Place::of(&sample(), unchanged);
    let ended = place.analyze(&["run", "--analysis", "all"]);
    for part in ["Accuracy", "IPJ", "Regression, llama3.2:1b", "A generated token costs 3."] {
        assert!(ended.stdout.contains(part), "no `{part}` in {}", ended.stdout);
    }
    for file in ["accuracy", "regression"] {
        assert!(place.path(&format!("run/analysis/{file}.json")).exists(), "{file}");
    }
}

#[test]
fn one_query_has_no_line_and_it_is_said_why() {
    let place = Place::of(&SampleRun { queries: 1, ..sample() }, unchanged);
    let ended = place.analyze(&["run", "--analysis", "regression"]);
    let report = place.regression();
    for (key, name) in LINES {
        let line = &report["data"]["regressions"][key];
        assert_eq!(line["count"], 1);
        for figure in ["slope", "intercept", "r2", "slope_ci95"] {
            assert_eq!(line[figure], Value::Null, "{key} {figure}");
        }
        assert!(line["avg_y"].as_f64().unwrap() > 0.0);
        assert_eq!(cells(&ended.stdout, name)[1..], ["-", "-", "-", "-", "1"]);
    }
    assert_eq!(report["data"]["energy_model"], Value::Null);
    let status = "1 query has tokens and energy, and at least 4 are needed";
    assert_eq!(report["data"]["energy_model_status"], status);
    assert!(ended.stdout.contains(&format!("What a token costs is not known: {status}.")));
    assert!(ended.stdout.contains("warning: 1 query ended well: lines through so few points"));
}

#[test]
fn without_energy_times_are_fitted_and_nothing_of_energy() {
    let place = Place::of(&SampleRun { basis: None, ..sample() }, unchanged);
    let report = place.regression();
    assert_eq!(report["summary"]["energy_basis"], Value::Null);
    for (key, _) in LINES {
        let line = &report["data"]["regressions"][key];
        let is_of_time = key.ends_with("ttft") || key.ends_with("latency");
        assert_eq!(line["count"], if is_of_time { 60 } else { 0 }, "{key}");
        assert_eq!(line["slope"].is_null(), !is_of_time, "{key}");
    }
    assert_eq!(report["data"]["energy_model"], Value::Null);
    let status = &report["data"]["energy_model_status"];
    assert_eq!(status, "no query has both tokens and energy");
}

#[test]
fn tokens_that_are_all_the_same_give_no_line_and_no_cost() {
    let alike = |record: &mut ProfilingRecord| {
        let tokens = &mut record.metrics.token_metrics;
        (tokens.input, tokens.output, tokens.total) = (Some(100), Some(50), Some(150));
    };
    let place = Place::of(&sample(), alike);
    let report = place.regression();
    for (key, _) in LINES {
        let line = &report["data"]["regressions"][key];
        assert_eq!((&line["count"], &line["slope"]), (&json!(60), &Value::Null), "{key}");
    }
    let status = report["data"]["energy_model_status"].as_str().unwrap();
    assert!(status.starts_with("every query has 100 prompt tokens"), "{status}");
}

#[test]
fn an_estimate_is_marked_in_file_and_sentence() {
    let place =
        Place::of(&SampleRun { basis: Some("cpu_estimated".to_owned()), ..sample() }, unchanged);
    let ended = place.analyze(&["run", "--analysis", "regression"]);
    assert!(ended.stdout.contains("\nESTIMATED: A generated token costs"), "{}", ended.stdout);
    assert_eq!(place.regression()["summary"]["energy_is_estimated"], true);
}
