//! `ipw compare`: what it says of two runs and of three, what it refuses, and what it warns of.

#![expect(clippy::unwrap_used, reason = "a test's parts fail by panicking, like the test")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use e2e::monitor::bin;
use e2e::profile::{Ended, run};
use e2e::sample_run::SampleRun;
use ipw::record::{ProfilingRecord, QueryStatus};
use ipw::results::{Summary, read_summary, write_summary};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::table::cells;

type Change = fn(&mut ProfilingRecord);

fn unchanged(_: &mut ProfilingRecord) {}

/// Directories of runs beside each other.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, run: &SampleRun, change: Change) {
        fs::create_dir_all(self.path(name)).unwrap();
        run.write(&self.path(name), change);
    }

    fn alter(&self, name: &str, alter: impl FnOnce(&mut Summary)) {
        let mut summary = read_summary(&self.path(name)).unwrap();
        alter(&mut summary);
        write_summary(&self.path(name), &summary).unwrap();
    }

    fn compare(&self, args: &[&str]) -> Ended {
        let mut ipw = Command::new(bin("ipw"));
        run(ipw.arg("compare").args(args).current_dir(self.0.path()))
    }

    fn json(&self, args: &[&str]) -> Value {
        let ended = self.compare(&[args, &["--json"]].concat());
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// What two alike runs give that `alter` has made differ.
    fn of_altered(&self, alter: impl FnOnce(&mut Summary)) -> Value {
        self.write("a", &sample(), unchanged);
        self.write("b", &sample(), unchanged);
        self.alter("b", alter);
        self.json(&["a", "b"])
    }
}

fn sample() -> SampleRun {
    SampleRun { interval_seconds: 1.0, ..SampleRun::default() }
}

/// The same questions on a model that takes three fifths of the energy.
fn frugal() -> SampleRun {
    SampleRun { model: "frugal:1b".to_owned(), cost: 0.6, ..sample() }
}

fn warnings(report: &Value) -> Vec<&str> {
    report["warnings"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

fn verdict<'a>(report: &'a Value, figure: &str) -> &'a str {
    report["pair"][figure]["verdict"].as_str().unwrap()
}

fn is_shown(shown: &str, value: &Value, scale: f64) -> bool {
    let (shown, value): (f64, f64) = (shown.parse().unwrap(), scale * value.as_f64().unwrap());
    // Three digits.
    (shown - value).abs() <= 5e-3 * value.abs() + 0.05 * f64::from(u8::from(scale > 1.0))
}

#[test]
fn two_runs_are_compared_in_a_table_in_words_and_in_json_with_the_same_figures() {
    let place = Place::new();
    place.write("frugal", &frugal(), unchanged);
    place.write("usual", &sample(), unchanged);
    let report = place.json(&["frugal", "usual"]);
    let pair = &report["pair"];
    assert_eq!((&pair["a"], &pair["b"]), (&json!("frugal"), &json!("usual")));
    assert_eq!(
        report["queries"],
        json!({"in_any": 60, "in_all": 60, "same_question": 60, "answered": 60, "scored": 60})
    );
    assert_eq!(warnings(&report), [""; 0]);

    // The seed makes both runs alike but for what energy costs.
    let energy = &pair["energy"];
    assert!((energy["ratio"].as_f64().unwrap() - 0.6).abs() < 1e-9, "{energy}");
    assert_eq!((&energy["pairs"], &energy["status"]), (&json!(60), &json!("ok")));
    let [low, high] = [0, 1].map(|end| energy["ratio_ci95"][end].as_f64().unwrap());
    assert!(low <= 0.6 + 1e-9 && 0.6 - 1e-9 <= high, "{low} {high}");
    assert!(verdict(&report, "energy").starts_with("frugal takes 40"), "{energy}");
    assert!(verdict(&report, "energy").ends_with("% less energy than usual"), "{energy}");
    assert!(verdict(&report, "intelligence_per_joule").starts_with("frugal gives "));
    for figure in ["latency", "time_to_first_token", "output_tokens"] {
        let said = verdict(&report, figure);
        assert!(said.starts_with("no difference in "), "{figure}: {said}");
        assert!(said.contains("that 60 queries could show"), "{figure}: {said}");
    }
    let accuracy = &pair["accuracy"];
    let counts = ["both", "only_a", "only_b", "neither"].map(|one| accuracy[one].as_u64().unwrap());
    assert_eq!((counts.iter().sum::<u64>(), counts[1], counts[2]), (60, 0, 0));
    assert_eq!(accuracy["p_value"], 1.0);
    assert!(verdict(&report, "accuracy").starts_with("no difference in accuracy that 60 queries"));
    assert!(verdict(&report, "accuracy").ends_with("(exact McNemar p = 1.000)"));

    let shown = place.compare(&["frugal", "usual"]);
    assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""));
    assert!(shown.stdout.contains("A  frugal (frugal:1b on H100)"), "{}", shown.stdout);
    assert!(shown.stdout.contains("B  usual (llama3.2:1b on H100)"), "{}", shown.stdout);
    let counted =
        format!("right in both {}, in A only 0, in B only 0, in neither {}", counts[0], counts[3]);
    assert!(shown.stdout.contains(&counted), "{}", shown.stdout);
    for (name, figure, scale) in [
        ("Accuracy (%)", "accuracy", 100.0),
        ("Energy per query (J)", "energy", 1.0),
        ("Latency (s)", "latency", 1.0),
        ("Time to first token (s)", "time_to_first_token", 1.0),
        ("Output tokens (tokens)", "output_tokens", 1.0),
        ("IPJ (1/J)", "intelligence_per_joule", 1.0),
        ("IPW (1/W)", "intelligence_per_watt", 1.0),
    ] {
        let row = cells(&shown.stdout, name);
        let figure = &pair[figure];
        assert!(is_shown(&row[1], &figure["a"], scale), "{row:?} {figure}");
        assert!(is_shown(&row[2], &figure["b"], scale), "{row:?} {figure}");
        assert!(is_shown(&row[3], &figure["difference"], scale), "{row:?} {figure}");
        assert_eq!(row.last().unwrap(), &figure["pairs"].to_string(), "{row:?}");
        let said = figure["verdict"].as_str().unwrap();
        assert!(shown.stdout.lines().any(|line| line.ends_with(said)), "no `{said}`");
    }
}

#[test]
fn more_right_answers_are_told_with_mcnemars_test_and_the_better_run_is_named_whatever_the_order() {
    let place = Place::new();
    place.write("good", &SampleRun { accuracy: 0.95, queries: 120, ..sample() }, unchanged);
    place.write("poor", &SampleRun { accuracy: 0.4, queries: 120, ..sample() }, unchanged);
    let [one, other] = [["good", "poor"], ["poor", "good"]].map(|runs| place.json(&runs));
    for report in [&one, &other] {
        let said = verdict(report, "accuracy");
        assert!(said.starts_with("good is right more often than poor: "), "{said}");
        assert!(said.ends_with("points more (exact McNemar p under 0.001)"), "{said}");
        // As many joules for more right answers.
        assert!(verdict(report, "energy").starts_with("no difference in energy"));
        assert!(verdict(report, "intelligence_per_joule").starts_with("good gives "));
    }
    assert_eq!(verdict(&one, "accuracy"), verdict(&other, "accuracy"));
    let difference = |report: &Value| report["pair"]["accuracy"]["difference"].as_f64().unwrap();
    assert!(difference(&one) > 0.0 && (difference(&one) + difference(&other)).abs() < 1e-12);
}

#[test]
fn three_runs_are_ranked_with_their_pareto_front() {
    let place = Place::new();
    place.write("frugal", &SampleRun { cost: 0.3, accuracy: 0.5, ..sample() }, unchanged);
    place.write("wasteful", &SampleRun { cost: 4.0, accuracy: 0.4, ..sample() }, unchanged);
    place.write("able", &SampleRun { cost: 2.0, accuracy: 0.95, ..sample() }, unchanged);
    let runs = ["able", "wasteful", "frugal"];
    let report = place.json(&runs);
    assert_eq!(report["pair"], Value::Null);
    assert_eq!(report["ranking"]["ranked_by"], "intelligence_per_joule");
    let ranked = report["ranking"]["runs"].as_array().unwrap();
    let order: Vec<(&str, u64, bool)> = ranked
        .iter()
        .map(|run| {
            let front = run["on_pareto_front"].as_bool().unwrap();
            (run["name"].as_str().unwrap(), run["rank"].as_u64().unwrap(), front)
        })
        .collect();
    assert_eq!(order, [("frugal", 1, true), ("able", 2, true), ("wasteful", 3, false)]);

    let shown = place.compare(&runs);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    for (run, (name, rank, front)) in ranked.iter().zip(order) {
        let row = cells(&shown.stdout, &rank.to_string());
        assert_eq!((row[0].as_str(), row[1].as_str()), (rank.to_string().as_str(), name));
        assert!(is_shown(&row[2], &run["accuracy"], 100.0), "{row:?}");
        assert!(is_shown(&row[3], &run["joules"], 1.0), "{row:?}");
        assert!(is_shown(&row[5], &run["intelligence_per_joule"], 1.0), "{row:?}");
        assert_eq!(row.last().unwrap(), if front { "yes" } else { "no" });
    }
    assert!(shown.stdout.contains("Ranked by IPJ, intelligence per joule, over the 60 queries"));
    assert!(shown.stdout.contains("neighbours may change places"), "{}", shown.stdout);
}

#[test]
fn runs_that_cannot_be_compared_are_refused_with_the_reason() {
    let place = Place::new();
    let elsewhere: Change = |record| record.problem = format!("another {}", record.query_index);
    place.write("a", &sample(), unchanged);
    place.write("of_another_dataset", &sample(), unchanged);
    place.alter("of_another_dataset", |summary| summary.dataset = "gpqa".to_owned());
    place.write("of_other_questions", &sample(), elsewhere);
    place.write("failed", &sample(), |record| record.status = QueryStatus::Timeout);
    fs::create_dir(place.path("empty")).unwrap();
    for (runs, reason) in [
        (
            ["a", "of_another_dataset"],
            "the runs are of different datasets (a ipw, of_another_dataset gpqa)",
        ),
        (
            ["a", "of_other_questions"],
            "of 60 queries 60 are in all of them, 0 with the same prompt and reference answer",
        ),
        (["a", "failed"], "no query ended well in all runs"),
        (["a", "a"], "is given twice"),
        (["a", "./a"], "is given twice"),
        (["a", "empty"], "empty"),
        (["a", "nowhere"], "nowhere"),
    ] {
        let ended = place.compare(&runs);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(2), ""),
            "{runs:?}: {}",
            ended.stderr
        );
        assert!(ended.stderr.contains(reason), "{runs:?}: {}", ended.stderr);
    }
    assert_eq!(place.compare(&["a"]).code, Some(2));
}

#[test]
fn runs_whose_directories_have_one_name_are_told_apart_by_their_paths() {
    let place = Place::new();
    place.write("before/run", &sample(), unchanged);
    place.write("after/run", &frugal(), unchanged);
    let report = place.json(&["before/run", "after/run"]);
    assert!(verdict(&report, "energy").starts_with("after/run takes 40"));
    assert!(verdict(&report, "energy").ends_with("than before/run"));
}

#[test]
fn what_differs_beside_the_model_is_a_warning() {
    type Alter = fn(&mut Summary);
    let cases: [(Alter, &str); 8] = [
        (
            |run| run.dataset_revision = "sha256:1".to_owned(),
            "differ in dataset revision (a sha256:0, b sha256:1)",
        ),
        (|run| run.hardware_label = "L4".to_owned(), "differ in hardware (a H100, b L4)"),
        (
            |run| run.client_info.version = Some("0.12.0".to_owned()),
            "differ in server (a vllm 0.11.0, b vllm 0.12.0)",
        ),
        (
            |run| drop(run.profiler_config.insert("temperature".to_owned(), json!(0.7))),
            "differ in temperature (a the server's default, b 0.7)",
        ),
        (
            |run| {
                drop(run.profiler_config.insert("client_params".to_owned(), json!({"top_p": 0.9})))
            },
            "differ in top_p (a the server's default, b 0.9)",
        ),
        (
            |run| drop(run.profiler_config.insert("concurrency".to_owned(), json!(8))),
            "differ in concurrency (a 1, b 8)",
        ),
        (
            |run| run.energy.method = Some("integrated".to_owned()),
            "differ in energy method (a counter, b integrated)",
        ),
        (
            |run| run.segments[0].sensors[0].uuid = "GPU-2".to_owned(),
            "of different sensors whose gain errors aren't known",
        ),
    ];
    for (alter, expected) in cases {
        let report = Place::new().of_altered(alter);
        let warned = warnings(&report);
        assert!(matches!(&warned[..], [one] if one.contains(expected)), "{expected}: {warned:?}");
        // It's compared nevertheless.
        assert_eq!(report["pair"]["energy"]["ratio"], 1.0, "{expected}");
    }
}

#[test]
fn energies_that_are_not_of_the_same_kind_are_not_compared_and_the_rest_is() {
    let cases: [(SampleRun, &str, &str); 3] = [
        (
            SampleRun { basis: Some("cpu".to_owned()), ..sample() },
            "the runs differ in energy basis (a gpu, b cpu)",
            "the energies are of different bases",
        ),
        (
            SampleRun { basis: Some("cpu_estimated".to_owned()), ..sample() },
            "ESTIMATED: the energy of b is an estimate",
            "the energies are of different bases",
        ),
        (
            SampleRun { basis: None, ..sample() },
            "b has no energy (server_not_on_this_host): nothing of energy is compared",
            "b has no energy (server_not_on_this_host)",
        ),
    ];
    for (other, warning, reason) in cases {
        let place = Place::new();
        place.write("a", &sample(), unchanged);
        place.write("b", &other, unchanged);
        let report = place.json(&["a", "b"]);
        let warned = warnings(&report);
        assert!(warned.iter().any(|text| text.contains(warning)), "{warning}: {warned:?}");
        for figure in ["energy", "intelligence_per_joule", "intelligence_per_watt"] {
            let found = &report["pair"][figure];
            assert_eq!((&found["ratio"], &found["a"]), (&Value::Null, &Value::Null), "{found}");
            assert_eq!(verdict(&report, figure), format!("not compared: {reason}"));
        }
        assert_eq!(report["pair"]["latency"]["ratio"], 1.0);
        assert_eq!(report["ranking"]["ranked_by"], "accuracy");
    }
}

#[test]
fn estimates_are_compared_with_each_other_and_marked() {
    let place = Place::new();
    let estimated = |cost| SampleRun { basis: Some("cpu_estimated".to_owned()), cost, ..sample() };
    place.write("a", &estimated(0.5), unchanged);
    place.write("b", &estimated(1.0), unchanged);
    let report = place.json(&["a", "b"]);
    assert!(verdict(&report, "energy").starts_with("ESTIMATED: a takes 50"));
    assert!(!verdict(&report, "latency").contains("ESTIMATED"));
}

#[test]
fn a_run_that_is_not_scored_is_compared_by_its_costs_with_the_remedy() {
    let place = Place::new();
    place.write("a", &sample(), unchanged);
    place.write("b", &frugal(), |record| {
        record.metrics.evaluation = None;
        record.metrics.lm_correctness = None;
    });
    let report = place.json(&["a", "b"]);
    assert_eq!(report["queries"]["scored"], 0);
    let remedy = "`ipw analyze RUN` scores answers";
    assert!(warnings(&report).iter().any(|text| text.contains(remedy)), "{report}");
    assert_eq!(verdict(&report, "accuracy"), "not compared: no query is scored in both runs");
    assert!(verdict(&report, "energy").starts_with("b takes 40"));
    assert_eq!(report["ranking"]["ranked_by"], "joules");
}

#[test]
fn of_runs_of_different_length_the_common_queries_are_compared_and_it_is_said() {
    let place = Place::new();
    place.write("all", &sample(), unchanged);
    place.write("part", &SampleRun { queries: 20, ..sample() }, unchanged);
    let report = place.json(&["all", "part"]);
    assert_eq!(report["pair"]["energy"]["pairs"], 20);
    // The same seed makes the same queries.
    assert_eq!(report["pair"]["energy"]["ratio"], 1.0);
    let warned = warnings(&report);
    let expected =
        ["the 20 queries that all runs answered, 33.3 % of the 60", "20 queries are common"];
    for part in expected {
        assert!(warned.iter().any(|text| text.contains(part)), "{part}: {warned:?}");
    }
}
