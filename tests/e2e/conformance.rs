//! Fitted numbers against numpy, scipy and statsmodels, by `python/conformance.py`: the same generated file
//! to both.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use ipw::analysis::accuracy::ScoredQuery;
use ipw::analysis::compare::{ComparedRow, RunRows, RunSettings, compare};
use ipw::analysis::kde::kde;
use ipw::analysis::regression::{RegressionRow, analyze};
use ipw::analysis::stats::student_t_975;
use ipw::evaluation::Verdict;
use ipw::record::QueryStatus;
use serde_json::{Value, json};

use crate::python::interpreter;

/// How far fitted numbers may be off, of their size.
const FITTED: f64 = 1e-9;
/// How far a density may be off, of the largest.
const DENSITY: f64 = 1e-6;
/// Two bootstraps draw other queries: how far their limits may be apart, of the interval's width.
const DRAWN: f64 = 0.05;

/// Queries whose energy scatters the more, the more tokens they have; every fiftieth is far off, and some
/// lack a figure.
fn rows() -> Vec<RegressionRow> {
    let mut rng = fastrand::Rng::with_seed(20_261_124);
    let mut noise = move |size: f64| size * (rng.f64() + rng.f64() + rng.f64() - 1.5);
    (0_i64..600)
        .map(|index| {
            let (input, output) = (20 + 37 * index % 900, 5 + 101 * index % 431);
            let tokens = (input + output) as f64;
            let off = if index % 50 == 49 { 400.0 + tokens } else { 0.0 };
            let energy =
                3.0 + 0.002 * input as f64 + 0.07 * output as f64 + noise(0.004 * tokens) + off;
            RegressionRow {
                status: QueryStatus::Ok,
                input_tokens: (index % 97 != 3).then_some(input),
                cached_tokens: None,
                output_tokens: Some(output),
                total_tokens: None,
                basis: Some("gpu".to_owned()),
                energy_method: Some("counter".to_owned()),
                basis_joules: (index % 89 != 5).then_some(energy),
                seconds: Some(0.2 + 0.011 * output as f64 + noise(0.05)),
                time_to_first_token_seconds: Some(0.05 + 0.0003 * input as f64 + noise(0.01)),
            }
        })
        .collect()
}

fn row_as_given(row: &RegressionRow) -> Value {
    json!({
        "input": row.input_tokens,
        "output": row.output_tokens,
        "joules": row.basis_joules,
        "seconds": row.seconds,
        "first": row.time_to_first_token_seconds,
    })
}

/// Lengths of answers: short ones and long ones.
fn lengths() -> Vec<f64> {
    let mut rng = fastrand::Rng::with_seed(7);
    (0..3_000)
        .map(|index| match index % 3 {
            0 => 400.0 + 300.0 * rng.f64() * rng.f64(),
            _ => 20.0 + 90.0 * (rng.f64() + rng.f64()),
        })
        .collect()
}

fn run(name: &str, seed: u64, factor: f64, chance: f64) -> RunRows {
    let mut rng = fastrand::Rng::with_seed(seed);
    let rows = (0_i64..150).map(|query_index| {
        let length = 10.0 + (query_index * query_index % 113) as f64;
        let query = ScoredQuery {
            query_index,
            subject: String::new(),
            status: QueryStatus::Ok,
            cut_off: false,
            verdict: if rng.f64() < chance { Verdict::Correct } else { Verdict::Incorrect },
            method: None,
            basis: Some("gpu".to_owned()),
            energy_method: Some("counter".to_owned()),
            energy_status: Some("ok".to_owned()),
            basis_joules: Some(factor * length * (0.8 + 0.4 * rng.f64())),
            seconds: None,
            time_to_first_token_seconds: None,
            output_tokens: None,
            tokens_per_second: None,
            joules_per_output_token: None,
        };
        ComparedRow { question: query_index as u64, query }
    });
    let settings = RunSettings { basis: Some("gpu".to_owned()), ..RunSettings::default() };
    RunRows { name: name.to_owned(), settings, rows: rows.collect() }
}

fn run_as_given(run: &RunRows) -> Vec<Value> {
    let row = |row: &ComparedRow| json!({ "right": row.query.verdict == Verdict::Correct, "joules": row.query.basis_joules });
    run.rows.iter().map(row).collect()
}

fn told_by_others(python: &OsStr, given: &Value) -> Value {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("given.json");
    std::fs::write(&file, given.to_string()).expect("written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/conformance.py");
    let output =
        Command::new(python).arg(script).arg(&file).output().expect("the interpreter starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// Holds each number of `expected` against the one of the same name in `found`.
fn assert_alike(found: &Value, expected: &Value, place: &str) {
    match expected {
        Value::Object(members) => {
            // A robust fit is there on both sides or on none.
            assert_eq!(found.get("robust").is_some(), members.contains_key("robust"), "{place}");
            for (name, expected) in members {
                assert_alike(&found[name], expected, &format!("{place}.{name}"));
            }
        }
        Value::Array(items) => {
            for (position, expected) in items.iter().enumerate() {
                assert_alike(&found[position], expected, &format!("{place}[{position}]"));
            }
        }
        Value::Number(_) => {
            let (found, expected) = (number(found, place), number(expected, place));
            let off = (found - expected).abs();
            assert!(off <= FITTED * expected.abs(), "{place}: {found}, others {expected}");
        }
        other => panic!("{place}: {other}"),
    }
}

fn number(value: &Value, place: &str) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{place} is {value}"))
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|item| number(item, "item")).collect()
}

#[test]
fn fitted_numbers_are_those_of_numpy_scipy_and_statsmodels() {
    let Some(python) = interpreter("statsmodels") else { return };
    let (rows, lengths) = (rows(), lengths());
    let runs = [run("A", 1, 0.93, 0.7), run("B", 2, 1.0, 0.55)];
    let degrees = [1, 2, 3, 7, 50, 199, 200, 201, 598, 99_997];
    let density = kde(&lengths).expect("a density");
    let given = json!({
        "rows": rows.iter().map(row_as_given).collect::<Vec<Value>>(),
        "values": lengths,
        "x": density.x,
        "runs": runs.iter().map(run_as_given).collect::<Vec<_>>(),
        "degrees": degrees,
    });
    let others = told_by_others(&python, &given);

    let report = serde_json::to_value(analyze("m", &rows)).expect("JSON");
    assert_alike(&report["data"]["regressions"], &others["regressions"], "regressions");
    assert_alike(&report["data"]["energy_model"], &others["energy_model"], "energy_model");
    // The file has something to tell of both kinds.
    assert!(report["data"]["energy_model"].get("robust").is_some());
    assert!(report["data"]["regressions"]["input_tokens_vs_ttft"].get("robust").is_none());

    assert_alike(&json!(degrees.map(student_t_975)), &others["degrees"], "degrees");

    assert_alike(&json!(density.bandwidth), &others["density"]["bandwidth"], "bandwidth");
    let largest = density.density.iter().copied().fold(0.0, f64::max);
    for (found, expected) in density.density.iter().zip(numbers(&others["density"]["density"])) {
        assert!((found - expected).abs() <= DENSITY * largest, "{found} {expected}");
    }

    let pair = compare(&runs).expect("comparable").pair.expect("two runs");
    let comparison = &others["comparison"];
    let accuracy = serde_json::to_value(&pair.accuracy).expect("JSON");
    assert_alike(&accuracy, &comparison["accuracy"], "accuracy");
    assert_alike(
        &json!({ "a": pair.energy.a, "b": pair.energy.b }),
        &comparison["energy"],
        "energy",
    );
    let [low, high] = pair.energy.ratio_ci95.expect("an interval");
    for (own, drawn) in [low, high].iter().zip(numbers(&comparison["bootstrapped_ratio_ci95"])) {
        assert!((own - drawn).abs() <= DRAWN * (high - low), "{own} {drawn}");
    }
}
