//! Recorded traces end to end: the real monitor replays a script, and the telemetry that the real
//! writer of a run wrote of another monitor.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::fake_nvml::load_into;
use e2e::monitor::{self, Monitor, command, sensor};
use energy_proto::{ClockAnchor, Nanos, Reading, SensorKind, Status, monotonic_now, pb};
use fake_nvml::{Gpu, Model, PowerShape};
use ipw::results::{Segment, TelemetryWriter, write_json};
use serde_json::json;
use tempfile::TempDir;

/// What the GPU of the script takes between two of its readings.
const STEP_MICROJOULES: u64 = 4_500_000;

/// A script of a GPU and a CPU with readings at these offsets.
fn script(count: u64, step_ms: u64) -> (TempDir, PathBuf) {
    let reading = |n: u64| {
        json!({"offset_ms": n * step_ms, "sensors": [
            {"sensor": 0, "energy_microjoules": 7_000_000 + n * STEP_MICROJOULES, "power_watts": 90.0,
             "changed_after_ms": n as f64 * step_ms as f64 - 30.0,
             "changed_before_ms": n * step_ms},
            {"sensor": 1, "energy_microjoules": n * 1_000, "status": "ok"}]})
    };
    let script = json!({
        "recorded_by": "bench",
        "sensors": [
            {"kind": "gpu", "name": "H100", "uuid": "GPU-1", "measures": ["energy", "power"]},
            {"kind": "cpu_package", "name": "package-0", "measures": ["energy"], "source": "rapl_perf"}],
        "readings": (0..count).map(reading).collect::<Vec<_>>(),
    });
    let dir = tempfile::tempdir().expect("temporary files can be written");
    let path = dir.path().join("script.json");
    fs::write(&path, script.to_string()).expect("the directory is new");
    (dir, path)
}

/// A monitor that replays a trace.
fn replaying(trace: &Path, interval_ms: &str, more: &[&str]) -> Monitor {
    let arguments =
        ["--port", "0", "--sources", "scripted", "--collection-interval-ms", interval_ms];
    let mut command = command(&arguments);
    command.arg("--script").arg(trace).args(more);
    Monitor::start(&mut command)
}

fn is_lost(reading: &pb::TelemetryReading) -> bool {
    sensor(reading, 0).is_some_and(|gpu| gpu.status() == pb::Status::Lost)
}

fn energies(readings: &[pb::TelemetryReading], id: u32) -> Vec<u64> {
    let own = readings.iter().filter_map(|reading| sensor(reading, id)?.energy_microjoules);
    let mut values: Vec<_> = own.collect();
    values.dedup();
    values
}

#[tokio::test]
async fn a_replay_says_everywhere_that_it_is_one() {
    let (_dir, path) = script(2, 100);
    let described = replaying(&path, "20", &[]).describe().await;
    assert_eq!(described.platform, "scripted");
    let kinds: Vec<_> = described.sensors.iter().map(|info| info.kind).collect();
    assert_eq!(kinds, [SensorKind::Gpu, SensorKind::CpuPackage]);
    for (info, by) in described.sensors.iter().zip(["bench", "rapl_perf"]) {
        assert_eq!((info.source.as_str(), info.status), ("scripted", Status::Ok));
        assert!(info.uuid.starts_with("scripted:"), "{}", info.uuid);
        let note = format!("replayed from {}, recorded by {by}", path.display());
        assert_eq!(info.note, note);
    }
}

#[tokio::test]
async fn a_script_is_replayed_at_its_own_speed_and_then_lost() {
    const COUNT: u64 = 15;
    let (_dir, path) = script(COUNT, 100);
    let monitor = replaying(&path, "10", &[]);
    let mut stream = monitor.readings().await;
    let readings = stream.until(is_lost).await;
    let told = energies(&readings, 0);
    assert!(told.len() > 5, "{told:?}");
    assert!(told.iter().all(|energy| (energy - 7_000_000).is_multiple_of(STEP_MICROJOULES)));
    assert_eq!(told.last(), Some(&(7_000_000 + (COUNT - 1) * STEP_MICROJOULES)));
    let told_of = |energy: u64| {
        let shows = |reading: &&pb::TelemetryReading| {
            sensor(reading, 0).and_then(|gpu| gpu.energy_microjoules) == Some(energy)
        };
        let reading = readings.iter().find(shows).expect("it was told");
        (*sensor(reading, 0).expect("it was told"), reading.monotonic_nanos)
    };
    let (first, _) = told_of(told[0]);
    let (last, last_at) = told_of(told[told.len() - 1]);
    let steps = (told[told.len() - 1] - told[0]) / STEP_MICROJOULES;
    assert_eq!(last.read_end_nanos - first.read_end_nanos, steps * 100_000_000);
    assert_eq!(last.changed_before_nanos, Some(last.read_end_nanos));
    assert!(last.read_end_nanos <= last_at, "not before it is due");
    for reading in stream.take(20).await {
        let gpu = sensor(&reading, 0).expect("it is lost, not gone");
        assert_eq!((gpu.energy_microjoules, gpu.power_watts), (None, None));
        assert!(matches!(gpu.status(), pb::Status::Lost | pb::Status::Stale));
    }
}

#[tokio::test]
async fn a_script_is_replayed_as_fast_as_it_is_sampled() {
    const COUNT: u64 = 300;
    let (_dir, path) = script(COUNT, 1_000);
    let began = monotonic_now();
    let readings = replaying(&path, "5", &["--script-fast"]).readings().await.until(is_lost).await;
    assert!(monotonic_now().since(began) < Duration::from_secs(60), "not five minutes");
    let told = energies(&readings, 0);
    let steps: Vec<_> = told.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // A tick that another one came too late for isn't told; its energy is.
    assert!(steps.iter().all(|step| step.is_multiple_of(STEP_MICROJOULES)), "{steps:?}");
    assert!(told.len() > 100, "{}", told.len());
    assert_eq!(told.last(), Some(&(7_000_000 + (COUNT - 1) * STEP_MICROJOULES)));
}

/// A run's directory with the telemetry of a monitor on a fake GPU, and what it told of the GPU.
async fn recorded() -> (TempDir, Vec<(u64, u64)>) {
    let power = PowerShape::Square { low: 90.0, high: 510.0, period_ms: 370, duty: 0.4 };
    let gpu = Gpu { refresh_ms: 40, power, ..Gpu::default() };
    let mut command = command(&["--port", "0", "--collection-interval-ms", "20"]);
    load_into(&mut command, &Model { gpus: vec![gpu], ..Model::default() });
    let monitor = Monitor::start(&mut command);
    let described = monitor.describe().await;
    let dir = tempfile::tempdir().expect("temporary files can be written");
    let mut writer = TelemetryWriter::create(dir.path()).expect("the directory is new");
    let mut told = Vec::new();
    for wire in monitor.readings().await.take(60).await {
        let gpu = sensor(&wire, 0).expect("it has a GPU");
        told.extend(gpu.energy_microjoules.map(|energy| (gpu.read_end_nanos, energy)));
        writer.push(0, "node", &Reading::from(wire));
    }
    writer.commit().expect("there is space");
    let segment = Segment {
        started_at: "2026-01-10T09:00:00Z".to_owned(),
        boot_id: None,
        anchor: ClockAnchor { monotonic: Nanos(0), unix_nanos: 0 },
        idle: None,
        sensors: described.sensors,
        counted: vec![0],
        no_energy: None,
        clock_uncertainty_nanos: 0,
    };
    write_json(&dir.path().join("summary.json"), &json!({"segments": [segment]}))
        .expect("there is space");
    (dir, told)
}

#[tokio::test]
async fn a_runs_telemetry_is_replayed_with_the_energies_that_were_recorded() {
    let (dir, recorded) = recorded().await;
    // By its directory, and by the file itself.
    for trace in [dir.path().to_owned(), dir.path().join("telemetry.arrow")] {
        let monitor = replaying(&trace, "5", &[]);
        let described = monitor.describe().await;
        let gpu = &described.sensors[0];
        assert_eq!((gpu.kind, gpu.source.as_str()), (SensorKind::Gpu, "scripted"));
        assert!(gpu.note.contains("recorded by nvml"), "{}", gpu.note);
        let readings = monitor.readings().await.until(is_lost).await;
        let told: Vec<_> = readings
            .iter()
            .filter_map(|reading| sensor(reading, 0))
            .filter_map(|gpu| Some((gpu.read_end_nanos, gpu.energy_microjoules?)))
            .collect();
        let shift = told[told.len() - 1].0 - recorded[recorded.len() - 1].0;
        for (at, energy) in &told {
            assert!(recorded.contains(&(at - shift, *energy)), "{energy} was not recorded then");
        }
        let (first, last) = (told[0], told[told.len() - 1]);
        assert_eq!(last.1, recorded[recorded.len() - 1].1, "up to the last");
        let from = recorded.iter().find(|(at, _)| *at == first.0 - shift).expect("as above").1;
        assert_eq!(last.1 - first.1, recorded[recorded.len() - 1].1 - from);
    }
}

#[test]
fn a_trace_that_is_none_is_an_error_that_says_what_one_is() {
    let (dir, path) = script(2, 100);
    fs::write(&path, "no script").expect("it is there");
    for trace in [path.as_path(), dir.path(), Path::new("/nonexistent")] {
        let mut command = command(&["--port", "0", "--sources", "scripted"]);
        let refused = monitor::run(command.arg("--script").arg(trace));
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains("telemetry.arrow"), "{said}");
    }
}
