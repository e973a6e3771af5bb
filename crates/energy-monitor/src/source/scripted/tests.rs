//! The source on real files.

use super::*;
use std::fs;
use std::path::PathBuf;

/// A script of one sensor that takes 1 mJ more at each of these offsets.
fn script(offsets_ms: &[u64]) -> (tempfile::TempDir, PathBuf) {
    let readings: Vec<_> = (1_u64..)
        .zip(offsets_ms)
        .map(|(n, ms)| {
            let energy = n * 1_000;
            format!(
                r#"{{"offset_ms": {ms}, "sensors": [{{"sensor": 0, "energy_microjoules": {energy}, "changed_before_ms": {ms}}}]}}"#
            )
        })
        .collect();
    let sensor = r#"{"kind": "gpu", "name": "H100", "uuid": "GPU-1", "measures": ["energy"], "note": "MIG"}"#;
    let text = format!(
        r#"{{"recorded_by": "nvml", "sensors": [{sensor}], "readings": [{}]}}"#,
        readings.join(",")
    );
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("script.json");
    fs::write(&path, text).unwrap();
    (dir, path)
}

fn read(source: &mut ScriptedSource) -> Option<SensorReading> {
    let mut readings = Vec::new();
    source.read(&mut readings);
    assert!(readings.len() <= 1, "one reading of the one sensor");
    readings.pop()
}

/// Reads until there is something.
fn next(source: &mut ScriptedSource) -> SensorReading {
    let asked = monotonic_now();
    loop {
        if let Some(reading) = read(source) {
            return reading;
        }
        assert!(monotonic_now().since(asked) < Duration::from_secs(20));
        thread::yield_now();
    }
}

#[test]
fn its_sensors_say_that_they_are_replayed_and_by_whom_they_were_recorded() {
    let (_dir, path) = script(&[0]);
    let info = &ScriptedSource::open(&path, Speed::Own).unwrap().describe()[0];
    assert_eq!((info.source.as_str(), info.uuid.as_str()), ("scripted", "scripted:GPU-1"));
    let note = format!("replayed from {}, recorded by nvml; MIG", path.display());
    assert_eq!(info.note, note);
}

#[test]
fn at_its_own_speed_a_tick_comes_when_it_is_due_with_its_times_moved() {
    let (_dir, path) = script(&[0, 60, 180]);
    let mut source = ScriptedSource::open(&path, Speed::Own).unwrap();
    assert_eq!(source.pace(), Pace::Stream);
    let began = monotonic_now();
    let first = next(&mut source);
    assert!(first.read_end >= began && first.read_end <= monotonic_now());
    for (energy, ms) in [(2_000, 60), (3_000, 180)] {
        let reading = next(&mut source);
        assert_eq!(reading.energy_microjoules, Some(energy));
        assert_eq!(reading.read_end, first.read_end + Duration::from_millis(ms));
        assert_eq!(reading.changed_before, Some(reading.read_end));
        assert!(monotonic_now() >= reading.read_end, "not before it is due");
    }
}

#[test]
fn a_read_that_comes_late_takes_all_that_is_due_and_the_last_of_it_counts() {
    let (_dir, path) = script(&[0, 1, 2, 3, 60_000]);
    let mut source = ScriptedSource::open(&path, Speed::Own).unwrap();
    next(&mut source);
    thread::sleep(Duration::from_millis(30));
    let mut last = next(&mut source);
    while last.energy_microjoules < Some(4_000) {
        last = next(&mut source);
    }
    let asked = monotonic_now();
    assert_eq!(read(&mut source), None, "nothing is due for a minute");
    assert!(monotonic_now().since(asked) >= PATIENCE);
}

#[test]
fn as_fast_as_it_can_every_read_has_the_next_tick_and_its_time_keeps_its_spacing() {
    let offsets: Vec<u64> = (0..100).map(|n| n * 1_000).collect();
    let (_dir, path) = script(&offsets);
    let mut source = ScriptedSource::open(&path, Speed::Fast).unwrap();
    assert_eq!(source.pace(), Pace::Tick);
    let began = monotonic_now();
    let first = next(&mut source);
    for second in 1..100 {
        let reading = next(&mut source);
        assert_eq!(reading.energy_microjoules, Some((second + 1) * 1_000));
        assert_eq!(reading.read_end, first.read_end + Duration::from_secs(second));
    }
    assert_eq!(next(&mut source).status, Status::Lost);
    assert!(monotonic_now().since(began) < Duration::from_secs(20), "not 100 s");
}

#[test]
fn behind_the_end_its_sensors_are_lost_and_say_so_once_a_second() {
    let (_dir, path) = script(&[0]);
    let mut source = ScriptedSource::open(&path, Speed::Own).unwrap();
    next(&mut source);
    let asked = monotonic_now();
    let end = next(&mut source);
    assert_eq!((end.status, end.energy_microjoules), (Status::Lost, None));
    assert!(monotonic_now().since(asked) >= PATIENCE, "the last reading stays for as long");
    assert_eq!(next(&mut source).status, Status::Lost);
    assert!(monotonic_now().since(asked) >= PATIENCE * 2);
}

#[test]
fn two_starts_replay_in_different_epochs() {
    let (_dir, path) = script(&[0]);
    let epoch = || next(&mut ScriptedSource::open(&path, Speed::Own).unwrap()).epoch;
    assert_ne!(epoch(), epoch());
}

#[test]
fn what_is_no_trace_is_refused_with_what_would_be_one() {
    let dir = tempfile::tempdir().unwrap();
    let bad = dir.path().join("bad.json");
    fs::write(&bad, "no JSON").unwrap();
    let arrow = dir.path().join("bad.arrow");
    fs::write(&arrow, [0xff; 64]).unwrap();
    for path in [dir.path(), &bad, &arrow, Path::new("/dev/zero"), Path::new("/nonexistent")] {
        let refused = ScriptedSource::open(path, Speed::Own).err().unwrap();
        assert!(refused.remedy.contains("telemetry.arrow"), "{refused}");
    }
}
