//! `ipw analyze` on a run that is final: rows are written only where a score has changed, and a run whose
//! rows aren't a final run's is refused and left alone.

#![expect(clippy::unwrap_used, reason = "a test's parts fail by panicking, like the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use e2e::profile::{Hardware, Place};
use e2e::sample_run::SampleRun;
use ipw::record::ProfilingRecord;
use ipw::results::read_rows;
use serde_json::Value;

/// More than a batch.
const QUERIES: usize = 1_500;

fn written(place: &Place, change: impl FnMut(&mut ProfilingRecord)) -> PathBuf {
    let run = place.runs().join("run");
    fs::create_dir_all(&run).unwrap();
    let sample = SampleRun { queries: QUERIES, interval_seconds: 1.0, ..SampleRun::default() };
    sample.write(&run, change);
    run
}

fn analyze(place: &Place, run: &Path, flags: &[&str]) -> Output {
    place.ipw(&["analyze", run.to_str().unwrap(), "--json"]).args(flags).output().unwrap()
}

fn rows_file(run: &Path) -> Vec<u8> {
    fs::read(run.join("data-00000-of-00001.arrow")).unwrap()
}

fn indices(run: &Path) -> Vec<i64> {
    read_rows(run).unwrap().map(|row| row.unwrap().query_index).collect()
}

#[test]
fn rows_are_written_again_only_if_a_score_has_changed() {
    let place = Place::new(&Hardware::None);
    let run = written(&place, |record| {
        record.dataset_metadata = r#"{"scoring":"exact"}"#.to_owned();
        let is_wrong = record.query_index % 4 == 0;
        record.response = if is_wrong { "5" } else { "<think>2 + 2</think>4" }.to_owned();
    });
    let unscored = rows_file(&run);
    let first = analyze(&place, &run, &[]);
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let report: Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!(report["accuracy"]["summary"]["accuracy"], 0.75);
    let scored = rows_file(&run);
    assert_ne!(scored, unscored);
    let wrong = |row: &ProfilingRecord| row.metrics.lm_correctness == Some(false);
    let rows: Vec<ProfilingRecord> = read_rows(&run).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.iter().filter(|row| wrong(row)).count(), QUERIES / 4);
    assert_eq!(rows[1].metrics.lm_response.as_deref(), Some("4"));

    // A rewrite would give the dataset another fingerprint.
    let state = fs::read(run.join("state.json")).unwrap();
    let second = analyze(&place, &run, &[]);
    assert_eq!(second.stdout, first.stdout);
    assert_eq!(rows_file(&run), scored);
    assert_eq!(fs::read(run.join("state.json")).unwrap(), state);
}

#[test]
fn rows_out_of_order_are_refused_until_they_are_made_again() {
    let place = Place::new(&Hardware::None);
    // The last row is another attempt at the first query.
    let run = written(&place, |record| record.query_index %= QUERIES as i64 - 1);
    let before = rows_file(&run);
    let refused = analyze(&place, &run, &[]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("--reattribute"), "{said}");
    assert_eq!(rows_file(&run), before);
    assert!(!run.join("analysis/accuracy.json").exists());

    let made_again = analyze(&place, &run, &["--reattribute"]);
    assert!(made_again.status.success(), "{}", String::from_utf8_lossy(&made_again.stderr));
    assert!(indices(&run).into_iter().eq(0..QUERIES as i64 - 1));
    assert!(analyze(&place, &run, &[]).status.success());
}
