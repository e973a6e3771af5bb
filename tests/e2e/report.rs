//! `ipw report`: the page, opened in Chromium.
//!
//! With `IPW_KEEP_PAGES=DIR` screenshots are left in DIR, for eyes.

#![expect(clippy::unwrap_used, reason = "a test's parts fail by panicking, like the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use e2e::monitor::bin;
use e2e::sample_run::SampleRun;
use ipw::plot::VISUALIZATIONS;
use ipw::record::{ProfilingRecord, QueryStatus};
use serde_json::Value;

use crate::python;

/// Would run, if it weren't shown.
const HOSTILE: &str = "</pre></details><script>window.hacked = 1</script>\
                       <img src=\"https://example.com/x\" onerror=\"window.hacked = 2\">&amp;\u{202e}";

fn unchanged(_: &mut ProfilingRecord) {}

fn written(place: &Path, name: &str, run: &SampleRun, change: fn(&mut ProfilingRecord)) -> PathBuf {
    let directory = place.join(name);
    fs::create_dir(&directory).unwrap();
    run.write(&directory, change);
    directory
}

fn report(place: &Path, args: &[&str]) -> Output {
    Command::new(bin("ipw")).arg("report").args(args).current_dir(place).output().unwrap()
}

fn page(place: &Path, args: &[&str]) -> PathBuf {
    let output = report(place, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    place.join(String::from_utf8(output.stdout).unwrap().trim_end())
}

/// What Chromium makes of it; what holds for every page is looked at here.
fn open(page: &Path) -> Option<Value> {
    let interpreter = python::interpreter("playwright")?;
    let chromium = python::variable("IPW_TEST_CHROMIUM", "Chromium or a Chrome")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/read_report.py");
    let output = Command::new(interpreter).arg(script).arg(chromium).arg(page).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let fetched = found["requests"].as_array().unwrap();
    let is_own = |url: &Value| {
        let url = url.as_str().unwrap();
        url.starts_with("data:") || (url.starts_with("file://") && url.ends_with(".html"))
    };
    assert!(fetched.iter().all(is_own), "{fetched:?}");
    assert_eq!(found["console"], Value::Array(Vec::new()));
    assert!(found["pdf_bytes"].as_u64().unwrap() > 10_000);
    for (view, look) in found["views"].as_object().unwrap() {
        let nothing = Value::Array(Vec::new());
        assert_eq!(look["hacked"], Value::Null, "{view}");
        assert_eq!(look["scripts"], 0, "{view}");
        for (what, expected) in
            [("violations", &nothing), ("doubled", &nothing), ("dangling", &nothing)]
        {
            assert_eq!(&look[what], expected, "{view}: {what}");
        }
        assert_eq!(look["too_wide"], 0, "{view}");
        assert_eq!(look["keyboard"]["first"], "Skip to the results", "{view}");
        assert_eq!(look["keyboard"]["skipped_to"], "main", "{view}");
        assert_eq!(look["keyboard"]["opened"], true, "{view}");
    }
    Some(found)
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

fn hostile(record: &mut ProfilingRecord) {
    record.problem = format!("prompt {HOSTILE}");
    record.answer = format!("reference {HOSTILE}");
    record.response = format!("response {HOSTILE}");
    record.subject = format!("subject {HOSTILE}");
    if record.query_index % 10 == 0 {
        record.status = QueryStatus::Timeout;
        record.error = Some(format!("error {HOSTILE}"));
    }
}

#[test]
fn hostile_texts_are_shown_and_not_run() {
    let place = tempfile::tempdir().unwrap();
    let model = format!("model {HOSTILE}");
    let run = SampleRun { model: model.clone(), ..SampleRun::default() };
    written(place.path(), "run", &run, hostile);
    let page = page(place.path(), &["run"]);
    assert_eq!(page, place.path().join("run/report.html"));
    let Some(found) = open(&page) else { return };
    let light = &found["views"]["light"];
    let pre = texts(&light["pre"]);
    for text in ["prompt", "reference", "response", "error"] {
        // A page's whitespace aside, each character is there.
        assert!(pre.contains(&format!("{text} {HOSTILE}").as_str()), "{text}: {pre:?}");
    }
    let title = light["title"].as_str().unwrap();
    assert!(
        title.starts_with(&model.replace("\u{202e}", " ")) && title.contains("H100"),
        "{title}"
    );
    let subjects = &light["tables"].as_array().unwrap()[2];
    assert_eq!(subjects[1][0], format!("subject {HOSTILE}").replace('\u{202e}', " "));
}

#[test]
fn a_run_has_its_warnings_first_then_headline_tables_figures_answers_and_set_up() {
    let place = tempfile::tempdir().unwrap();
    written(place.path(), "run", &SampleRun::default(), |record| {
        if record.query_index == 7 {
            record.status = QueryStatus::Error;
            record.error = Some("HTTP 500".to_owned());
        }
    });
    let Some(found) = open(&page(place.path(), &["run"])) else { return };
    let light = &found["views"]["light"];
    assert_eq!(light["first"], "warnings");
    assert_eq!(texts(&light["warnings"])[0], "1 query failed: accuracy is that of the other 59");
    let cards: Vec<&str> =
        light["cards"].as_array().unwrap().iter().map(|card| card[0].as_str().unwrap()).collect();
    assert_eq!(cards, ["Accuracy", "IPJ", "IPW", "Energy", "Power"]);
    let headings: Vec<&str> = light["headings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|heading| heading[1].as_str().unwrap())
        .collect();
    assert_eq!(
        headings,
        [
            "llama3.2:1b on Sample H100 80GB",
            "Per query",
            "What a token costs",
            "Accuracy by subject",
            "Accuracy by what scored it",
            "Figures",
            "Queries that failed",
            "The costliest answers",
            "The slowest answers",
            "Wrong answers",
            "Hardware and configuration",
        ]
    );
    assert_eq!(light["figures"].as_array().unwrap().len(), VISUALIZATIONS.len());
    let dark = &found["views"]["dark"];
    assert_ne!(light["background"], dark["background"]);
    assert_ne!(light["plot_text"], dark["plot_text"]);

    // The same numbers as `ipw analyze` gives.
    let analyzed = Command::new(bin("ipw"))
        .args(["analyze", "run", "--json"])
        .current_dir(place.path())
        .output()
        .unwrap();
    let analyzed: Value = serde_json::from_slice(&analyzed.stdout).unwrap();
    assert_eq!(texts(&light["cite"]), [analyzed["citation"].as_str().unwrap()]);
    let cite = texts(&light["cite"])[0];
    let [subject, dataset, ipj, accuracy, energy, version] =
        cite.split("; ").collect::<Vec<&str>>().try_into().unwrap();
    assert_eq!(subject, "llama3.2:1b on Sample H100 80GB, vllm 0.11.0");
    assert_eq!(dataset, "dataset ipw (sha256:0)");
    assert!(ipj.starts_with("IPJ 0.00") && ipj.ends_with("] per joule"), "{ipj}");
    assert!(accuracy.starts_with("accuracy ") && accuracy.ends_with(']'), "{accuracy}");
    assert_eq!(energy, "energy gpu, counter (fit), of 59 of 59 scored queries");
    assert_eq!(version, "ipw 0.1.0");
    let accuracy = analyzed["accuracy"]["summary"]["accuracy"].as_f64().unwrap();
    assert_eq!(light["cards"][0][1], format!("{:.1} %", 100.0 * accuracy));
}

#[test]
fn several_runs_are_compared_first_and_each_has_its_part() {
    let place = tempfile::tempdir().unwrap();
    for (name, accuracy, cost) in [("small", 0.5, 0.5), ("large", 0.9, 2.0), ("odd", 0.7, 3.0)] {
        let run = SampleRun { model: format!("{name}:1b"), accuracy, cost, ..SampleRun::default() };
        written(place.path(), name, &run, unchanged);
    }
    let two = page(place.path(), &["small", "large", "--output", "two.html"]);
    let Some(found) = open(&two) else { return };
    let light = &found["views"]["light"];
    let headings = light["headings"].as_array().unwrap();
    assert_eq!(headings[0][1], "2 runs compared");
    assert_eq!(headings[1][1], "Comparison");
    assert_eq!(headings[2][1], "1. small:1b on Sample H100 80GB");
    let differences = &light["tables"][0];
    assert_eq!(differences[1][0], "Accuracy");
    assert_eq!(differences[2][0], "Energy per query (J)");
    assert_eq!(light["figures"].as_array().unwrap().len(), 2 * VISUALIZATIONS.len() + 1);

    let three = page(place.path(), &["small", "large", "odd"]);
    assert_eq!(three, place.path().join("report.html"));
    let text = fs::read_to_string(three).unwrap();
    assert!(text.contains("<th scope=\"col\">rank</th>") && text.contains("Ranked by "));
    let place_of = |text_of_run: &str| text.find(text_of_run).unwrap();
    assert!(place_of("id=\"run1\"") < place_of("id=\"run2\""));
    assert!(place_of("id=\"run2\"") < place_of("id=\"run3\""));
}

#[test]
fn runs_that_lack_something_have_a_page_that_says_so() {
    let place = tempfile::tempdir().unwrap();
    let empty = SampleRun { queries: 0, ..SampleRun::default() };
    written(place.path(), "empty", &empty, unchanged);
    let one = SampleRun { queries: 1, ..SampleRun::default() };
    written(place.path(), "one", &one, |record| record.metrics.evaluation = None);
    let unmeasured = SampleRun { basis: None, ..SampleRun::default() };
    written(place.path(), "unmeasured", &unmeasured, unchanged);
    let estimated = SampleRun { basis: Some("cpu_estimated".to_owned()), ..SampleRun::default() };
    written(place.path(), "estimated", &estimated, unchanged);
    for (name, text) in [
        ("empty", "IPJ not known"),
        ("one", "IPJ not known"),
        ("unmeasured", "energy not measured (server_not_on_this_host)"),
        ("estimated", "ESTIMATED"),
    ] {
        let Some(found) = open(&page(place.path(), &[name])) else { return };
        let cite = found["views"]["light"]["cite"][0].as_str().unwrap().to_owned();
        assert!(cite.contains(text), "{name}: {cite}");
        let answers = texts(&found["views"]["light"]["answers"]).join("\n");
        assert_eq!(answers.contains(" J ESTIMATED, "), name == "estimated", "{name}: {answers}");
    }
    let together = report(place.path(), &["unmeasured", "empty", "--json"]);
    let printed: Value = serde_json::from_slice(&together.stdout).unwrap();
    assert_eq!(printed["report"], "report.html");
    let text = fs::read_to_string(place.path().join("report.html")).unwrap();
    assert!(text.contains("The runs can't be compared query by query: no query ended well in all"));
}

#[test]
fn a_page_stays_small_however_many_answers_and_however_long() {
    let place = tempfile::tempdir().unwrap();
    let run = SampleRun { queries: 400, accuracy: 0.2, ..SampleRun::default() };
    written(place.path(), "run", &run, |record| {
        record.subject = "subject".repeat(5_000) + &(record.query_index % 150).to_string();
        record.problem = "<&>\"".repeat(5_000);
        record.response = format!("begin{}end", "ä".repeat(50_000));
    });
    let page = page(place.path(), &["run"]);
    assert!(fs::metadata(&page).unwrap().len() < 20_000_000);
    let text = fs::read_to_string(&page).unwrap();
    assert!(text.contains("bytes left out") && text.contains("more; <code>ipw export</code>"));
}

#[test]
fn what_is_no_run_or_cannot_be_written_is_an_error() {
    let place = tempfile::tempdir().unwrap();
    let nothing = report(place.path(), &["nowhere"]);
    assert_eq!(nothing.status.code(), Some(2), "{}", String::from_utf8_lossy(&nothing.stderr));
    written(place.path(), "run", &SampleRun { queries: 2, ..SampleRun::default() }, unchanged);
    let twice = report(place.path(), &["run", "run/."]);
    assert_eq!(twice.status.code(), Some(2), "{}", String::from_utf8_lossy(&twice.stderr));
    let below_a_file = ["run", "--output", "run/summary.json/x.html"];
    let unwritable = report(place.path(), &below_a_file);
    assert_eq!(unwritable.status.code(), Some(1));
    let told = String::from_utf8(unwritable.stderr).unwrap();
    assert!(told.contains("run/summary.json"), "{told}");
}
