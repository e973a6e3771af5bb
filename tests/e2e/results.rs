//! A run's directory as others read it: pyarrow and HuggingFace `datasets`, by `python/read_run.py`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use energy_proto::{Nanos, Reading, SensorReading, Status, Watts};
use ipw::record::{DeviceEnergy, EvaluationMetrics, ModelMetrics, ProfilingRecord, QueryStatus};
use ipw::results::{RowWriter, RunDirectory, TelemetryWriter, rewrite_rows};
use serde_json::{Value, json};

use crate::python::interpreter;

const MODEL: &str = "org/llama3.2:1b";
const ROWS_FILE: &str = "data-00000-of-00001.arrow";
const END_OF_STREAM_BYTES: usize = 8;

/// What the script says of each directory.
fn read_by_others(python: &OsStr, directories: &[&Path]) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/read_run.py");
    let output = Command::new(python)
        .arg(script)
        .arg(MODEL)
        .args(directories)
        .env("HF_HUB_OFFLINE", "1")
        .output()
        .expect("the interpreter starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let lines = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    lines.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

fn bare_record(query_index: i64) -> ProfilingRecord {
    ProfilingRecord {
        problem: "2 + 2 = ?\n".into(),
        answer: "4".into(),
        subject: "zwölf \u{1F600}".into(),
        dataset_metadata: "{}".into(),
        query_index,
        status: QueryStatus::Timeout,
        finish_reason: None,
        error: Some("no answer within 600 s".into()),
        started_at_nanos: 1_790_000_000_123_456_789,
        first_token_at_nanos: None,
        ended_at_nanos: i64::MAX,
        response: String::new(),
        metrics: ModelMetrics::default(),
    }
}

fn measured_record(query_index: i64) -> ProfilingRecord {
    let mut metrics = ModelMetrics {
        gpu_info: Some(energy_proto::GpuInfo { device_id: u64::MAX, ..Default::default() }),
        lm_correctness: Some(false),
        lm_response: Some("four".into()),
        evaluation: Some(EvaluationMetrics {
            is_correct: None,
            method: "exact".into(),
            metadata: "{}".into(),
        }),
        ..ModelMetrics::default()
    };
    let energy = &mut metrics.energy_metrics;
    energy.per_query_joules = Some(0.1 + 0.2);
    energy.net_basis_joules = Some(-1e-300);
    energy.total_joules = Some(f64::NAN);
    energy.basis = Some("gpu".into());
    energy.devices = vec![DeviceEnergy {
        sensor: "GPU-1".into(),
        host: "node".into(),
        joules: Some(1.0),
        lower: None,
        upper: Some(f64::MAX),
    }];
    metrics.token_metrics.input = Some(i64::MAX);
    ProfilingRecord {
        status: QueryStatus::Ok,
        error: None,
        response: "long ".repeat(2_000_000),
        metrics,
        ..bare_record(query_index)
    }
}

/// The record as a row: answer and measurements below the model's name.
fn as_row(record: &ProfilingRecord) -> Value {
    let mut row = serde_json::to_value(record).expect("a record is plain data");
    let members = row.as_object_mut().expect("a record is an object");
    let (response, metrics) = (members.remove("response"), members.remove("metrics"));
    members.insert("model_answers".into(), json!({ MODEL: response }));
    members.insert("model_metrics".into(), json!({ MODEL: metrics }));
    row
}

fn rows(records: &[ProfilingRecord]) -> Value {
    records.iter().map(as_row).collect()
}

fn commit(writer: &mut RowWriter, records: &[ProfilingRecord]) {
    records.iter().for_each(|record| writer.push(record.clone()));
    writer.commit().expect("a temporary directory can be written");
}

#[test]
fn a_run_loads_at_any_time_with_exact_values_and_no_stale_cache() {
    let Some(python) = interpreter("pyarrow and datasets") else { return };
    let dir = tempfile::tempdir().unwrap();
    let run = RunDirectory::create(&dir.path().join("run")).unwrap();
    let mut writer = RowWriter::create(run.path(), MODEL).unwrap();
    let read = || read_by_others(&python, &[run.path()]).remove(0);

    let empty = read();
    assert_eq!(empty["rows"], json!([]));

    let first = [measured_record(0), bare_record(1)];
    commit(&mut writer, &first);
    let one_commit = read();
    assert!(one_commit["rows"] == rows(&first));
    assert_eq!(one_commit["mapped"], json!([0, 2]));

    commit(&mut writer, &[bare_record(2)]);
    let two_commits = read();
    assert_eq!(two_commits["mapped"], json!([0, 2, 4]));

    let rewritten = [bare_record(7), measured_record(9)];
    rewrite_rows(run.path(), MODEL, rewritten.iter().cloned().map(Ok)).unwrap();
    let last = read();
    assert!(last["rows"] == rows(&rewritten));
    assert_eq!(last["mapped"], json!([14, 18]));

    let states = [empty, one_commit, two_commits, last];
    let mut fingerprints: Vec<_> =
        states.iter().map(|state| state["fingerprint"].as_str().unwrap()).collect();
    fingerprints.sort_unstable();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), states.len());
}

#[test]
fn a_commit_that_a_crash_cut_short_is_not_there_for_others() {
    let Some(python) = interpreter("pyarrow and datasets") else { return };
    let dir = tempfile::tempdir().unwrap();
    let run = RunDirectory::create(&dir.path().join("run")).unwrap();
    let mut writer = RowWriter::create(run.path(), MODEL).unwrap();
    commit(&mut writer, &[bare_record(0)]);
    let before = fs::read(run.path().join(ROWS_FILE)).unwrap();
    commit(&mut writer, &[bare_record(1), bare_record(2)]);
    let after = fs::read(run.path().join(ROWS_FILE)).unwrap();
    assert_eq!(
        before[..before.len() - END_OF_STREAM_BYTES],
        after[..before.len() - END_OF_STREAM_BYTES]
    );

    let behind = &after[before.len()..];
    let copies: Vec<PathBuf> = [1, 8, behind.len() / 2, behind.len() - 1, behind.len()]
        .map(|written| {
            let copy = dir.path().join(format!("cut-{written}"));
            fs::create_dir(&copy).unwrap();
            for name in ["state.json", "dataset_info.json"] {
                fs::copy(run.path().join(name), copy.join(name)).unwrap();
            }
            fs::write(copy.join(ROWS_FILE), [&before, &behind[..written]].concat()).unwrap();
            copy
        })
        .into();
    let copies: Vec<_> = copies.iter().map(PathBuf::as_path).collect();
    for state in read_by_others(&python, &copies) {
        assert_eq!(state["rows"], rows(&[bare_record(0)]));
    }
    let mut next = RowWriter::append_to(copies[2], MODEL).unwrap();
    commit(&mut next, &[bare_record(5)]);
    let state = read_by_others(&python, &copies[2..3]).remove(0);
    assert_eq!(state["rows"], rows(&[bare_record(0), bare_record(5)]));
}

#[test]
fn telemetry_reads_by_its_wire_names() {
    let Some(python) = interpreter("pyarrow and datasets") else { return };
    let dir = tempfile::tempdir().unwrap();
    RowWriter::create(dir.path(), MODEL).unwrap();
    let mut writer = TelemetryWriter::create(dir.path()).unwrap();
    let known = SensorReading {
        energy_microjoules: Some(u64::MAX),
        power: Some(Watts(12.5)),
        process_count: Some(0),
        ..SensorReading::empty(0, Nanos(10), Nanos(11), Status::Ok)
    };
    let unknown = SensorReading::empty(1, Nanos(12), Nanos(13), Status::PermissionDenied);
    let reading = Reading {
        sequence: 4,
        instance: u64::MAX,
        dropped: 0,
        at: Nanos(20),
        sensors: vec![known, unknown],
    };
    writer.push(3, "node", &reading);
    writer.commit().unwrap();
    let state = read_by_others(&python, &[dir.path()]).remove(0);
    let row = |sensor: u32, energy: Option<u64>, power: Option<f64>, processes: Option<u32>| {
        json!({
            "segment": 3, "host": "node", "instance": u64::MAX, "sequence": 4,
            "monotonic_nanos": 20, "dropped": 0, "sensor": sensor, "energy_microjoules": energy,
            "epoch": 0, "read_start_nanos": 10 + 2 * sensor, "read_end_nanos": 11 + 2 * sensor,
            "changed_after_nanos": null, "changed_before_nanos": null, "power_watts": power,
            "temperature_celsius": null, "memory_used_bytes": null, "memory_total_bytes": null,
            "compute_utilization_pct": null, "memory_utilization_pct": null,
            "process_count": processes, "tensor_utilization_pct": null, "compute_clock_mhz": null,
            "memory_clock_mhz": null, "throttle_reasons": null, "power_at_nanos": null,
            "status": if sensor == 0 { "ok" } else { "permission_denied" },
        })
    };
    let expected = [row(0, Some(u64::MAX), Some(12.5), Some(0)), row(1, None, None, None)];
    assert_eq!(state["telemetry"], json!(expected));
}
