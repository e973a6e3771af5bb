//! Answers that only a judge can score: judged after the run, kept, never asked about twice, and left for
//! later where there is no judge.

#![expect(clippy::unwrap_used, reason = "a test's parts fail by panicking, like the test")]

use std::fs;
use std::path::{Path, PathBuf};

use e2e::fake_judge::{Act, Behaviour as Judging, FakeJudge, answer};
use e2e::fake_server::{Behaviour, FakeServer, Flavour, Setup};
use e2e::profile::{Hardware, Place, Recorded, Running, run, wait_until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const ROWS: usize = 6;

/// Rows that need a judge, but for the first, which rules can score.
fn dataset(place: &Place) -> PathBuf {
    let rows: String = (0..ROWS)
        .map(|index| {
            let scoring = if index == 0 { "exact" } else { "judge" };
            let row = json!({
                "problem": format!("Say {index}."),
                "answer": format!("said {index}"),
                "subject": "saying",
                "scoring": scoring,
            });
            format!("{row}\n")
        })
        .collect();
    let path = place.runs().parent().unwrap().join("judged.jsonl");
    fs::write(&path, rows).unwrap();
    path
}

/// Says what it was told to, but for the last row.
fn server() -> FakeServer {
    let says = |prompt: &str| {
        let number = prompt.trim_start_matches("Say ").trim_end_matches('.');
        let number = if number == (ROWS - 1).to_string() { "nothing" } else { number };
        format!("Well.\nsaid {number}")
    };
    FakeServer::start(Setup::new(Flavour::LlamaCpp), move |request| {
        Behaviour::saying(&says(&request.prompt))
    })
    .unwrap()
}

fn profile(place: &Place, server: &FakeServer, more: &[&str]) -> std::process::Command {
    let path = format!("path={}", dataset(place).display());
    let mut command = place.ipw(&["profile", "--client", "openai", "--model", "fake:1b"]);
    command
        .args(["--client-base-url", &server.url(), "--dataset", "file", "--dataset-param", &path])
        .args(["--output-dir", "runs", "--warmup-queries", "0"])
        .args(more);
    command
}

fn accuracy(run: &Path) -> Value {
    serde_json::from_slice(&fs::read(run.join("analysis/accuracy.json")).unwrap()).unwrap()
}

fn verdicts(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("analysis/verdicts.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_run_is_judged_after_its_last_query_and_never_twice() {
    let (place, server) = (Place::new(&Hardware::None), server());
    let judge = FakeJudge::start(Judging { together: ROWS - 1, ..Judging::default() }).unwrap();
    let flags = ["--eval-base-url", &judge.url(), "--eval-model", "j"];
    let ended = run(&mut profile(&place, &server, &flags));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!((judge.requests(), judge.most_at_once()), (ROWS - 1, ROWS - 1));
    let directory = place.run();
    let recorded = Recorded::read(&directory);
    // No verdict was asked for before the last answer had come.
    let last = server.chats().iter().map(|chat| chat.ended.unwrap()).max().unwrap();
    assert!(judge.log().iter().all(|asked| asked.received > last));

    let right: Vec<Option<bool>> =
        recorded.records.iter().map(|record| record.metrics.lm_correctness).collect();
    assert_eq!(right[..ROWS - 1], [Some(true); ROWS - 1]);
    assert_eq!(right[ROWS - 1], Some(false));
    let methods = &accuracy(&directory)["data"]["per_model"]["fake:1b"]["by_method"];
    assert_eq!(methods["judge:j"]["scored"], ROWS - 1);
    let evaluation = recorded.records[1].metrics.evaluation.as_ref().unwrap();
    let told: Value = serde_json::from_str(&evaluation.metadata).unwrap();
    assert_eq!(
        (&told["verdict"], &told["judge_model"]),
        (&json!("correct"), &json!("fake-judge-1"))
    );

    // Again, with and without the judge's flags: the same, and nobody is asked.
    let (rows, figures) =
        (fs::read(directory.join("data-00000-of-00001.arrow")), accuracy(&directory));
    for flags in [&[][..], &flags[..]] {
        let again = run(place.ipw(&["analyze", directory.to_str().unwrap()]).args(flags));
        assert_eq!(again.code, Some(0), "{}", again.stderr);
        assert!(!again.stderr.contains("wait for a judge"), "{}", again.stderr);
        assert_eq!(accuracy(&directory), figures);
    }
    assert_eq!(fs::read(directory.join("data-00000-of-00001.arrow")).unwrap(), rows.unwrap());
    assert_eq!(judge.requests(), ROWS - 1);
    assert_eq!(verdicts(&directory).len(), ROWS - 1);
}

#[test]
fn without_a_key_the_rest_is_scored_and_the_command_that_finishes_it_is_said() {
    let (place, server) = (Place::new(&Hardware::None), server());
    let ended = run(&mut profile(&place, &server, &[]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let told =
        format!("{} answers wait for a judge (gpt-5-nano-2025-08-07): there is no key", ROWS - 1);
    assert!(ended.stderr.contains(&told), "{}", ended.stderr);
    assert!(ended.stderr.contains("OPENAI_API_KEY"), "{}", ended.stderr);
    let directory = place.run();
    let figures = accuracy(&directory);
    assert_eq!(
        (&figures["summary"]["correct"], &figures["summary"]["unevaluated"]),
        (&json!(1), &json!(5))
    );
    assert!(figures["warnings"][0].as_str().unwrap().contains("5 answers wait for a judge"));

    // What it says finishes it does, with a judge of one's own.
    let judge = FakeJudge::start(Judging::default()).unwrap();
    let finished = run(&mut place.ipw(&[
        "analyze",
        directory.to_str().unwrap(),
        "--eval-base-url",
        &judge.url(),
        "--eval-model",
        "j",
    ]));
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(accuracy(&directory)["summary"]["unevaluated"], 0);
    assert_eq!(accuracy(&directory)["summary"]["correct"], ROWS - 1);
}

#[test]
fn a_judge_that_fails_loses_no_verdict_and_says_how_to_go_on() {
    let (place, server) = (Place::new(&Hardware::None), server());
    let key = "sk-judge-secret";
    let refused =
        FakeJudge::start(Judging { key: Some(key.to_owned()), ..Judging::default() }).unwrap();
    let flags = ["--eval-base-url", &refused.url(), "--eval-model", "j"];
    let ended = run(&mut profile(&place, &server, &flags));
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("`ipw analyze"), "{}", ended.stderr);
    let directory = place.run();
    assert_eq!(accuracy(&directory)["summary"]["correct"], 1);

    // The second of its requests is the last that is ruled on: then the place is closed.
    let closed = Act::Fail(answer(403, &[], r#"{"error": {"message": "no quota"}}"#));
    let first = vec![Act::Rule, Act::Rule];
    let broken = FakeJudge::start(Judging { first, then: closed, ..Judging::default() }).unwrap();
    let path = directory.to_str().unwrap();
    let ended = run(&mut place.ipw(&[
        "analyze",
        path,
        "--eval-base-url",
        &broken.url(),
        "--eval-model",
        "j",
    ]));
    assert!(matches!(ended.code, Some(3 | 4)), "{}", ended.stderr);
    let kept = verdicts(&directory).len();
    assert!(kept <= 2, "{kept}");

    let judge =
        FakeJudge::start(Judging { key: Some(key.to_owned()), ..Judging::default() }).unwrap();
    let mut finish =
        place.ipw(&["analyze", path, "--eval-base-url", &judge.url(), "--eval-model", "j"]);
    let ended = run(finish.env("IPW_EVAL_API_KEY", key));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(judge.requests(), ROWS - 1 - kept);
    assert_eq!(accuracy(&directory)["summary"]["correct"], ROWS - 1);
    assert_nowhere(&directory, key);
    assert!(!ended.stderr.contains(key) && !ended.stdout.contains(key));
}

fn assert_nowhere(directory: &Path, key: &str) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            assert_nowhere(&path, key);
        } else {
            let bytes = fs::read(&path).unwrap();
            let found = bytes.windows(key.len()).any(|window| window == key.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
}

#[test]
fn judging_that_is_interrupted_keeps_what_was_said() {
    let (place, server) = (Place::new(&Hardware::None), server());
    // It answers nobody until it works on more at once than there are.
    let judge = FakeJudge::start(Judging { together: 100, ..Judging::default() }).unwrap();
    let flags = ["--eval-base-url", &judge.url(), "--eval-model", "j"];
    let running = Running::start(&mut profile(&place, &server, &flags));
    wait_until("the judge was asked", || judge.requests() == ROWS - 1);
    running.signal(Signal::SIGINT);
    let ended = running.end();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(ended.stderr.contains("answers wait for a judge (j): interrupted"), "{}", ended.stderr);
    let directory = place.run();
    assert_eq!(accuracy(&directory)["summary"]["unevaluated"], ROWS - 1);
    assert_eq!(Recorded::read(&directory).records.len(), ROWS);
}

#[test]
fn several_runs_stand_side_by_side() {
    let (place, server) = (Place::new(&Hardware::None), server());
    for tag in ["one", "two"] {
        let ended = run(&mut profile(&place, &server, &["--tag", tag]));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
    let mut runs: Vec<PathBuf> =
        fs::read_dir(place.runs()).unwrap().flatten().map(|entry| entry.path()).collect();
    runs.sort();
    let paths: Vec<&str> = runs.iter().map(|run| run.to_str().unwrap()).collect();
    let shown = run(&mut place.ipw(&["analyze", paths[0], paths[1]]));
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    let accuracy: Vec<&str> =
        shown.stdout.lines().filter(|line| line.trim_start().starts_with("Accuracy")).collect();
    assert_eq!(accuracy.len(), 1, "{}", shown.stdout);
    assert_eq!(accuracy[0].matches("100.0").count(), 2, "{}", shown.stdout);
    for (number, path) in paths.iter().enumerate() {
        assert!(shown.stdout.contains(&format!("[{}] {path}", number + 1)), "{}", shown.stdout);
    }
    let compared = run(&mut place.ipw(&["compare", paths[0], paths[1], "--json"]));
    assert_eq!(compared.code, Some(0), "{}", compared.stderr);
    let compared: Value = serde_json::from_str(&compared.stdout).unwrap();
    assert_eq!(compared["queries"]["same_question"], ROWS);
    assert_eq!(compared["pair"]["accuracy"]["difference"], 0.0);
    let told = run(&mut place.ipw(&["compare", paths[0], paths[1]]));
    assert!(told.stdout.contains("Accuracy: no difference"), "{}", told.stdout);
    let regression = run(&mut place.ipw(&["analyze", paths[0], "--analysis", "regression"]));
    assert_eq!(regression.code, Some(0), "{}", regression.stderr);
    assert!(regression.stdout.contains("Latency (s) on generated tokens"), "{}", regression.stdout);
    let path = runs[0].join("analysis/regression.json");
    let fitted: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert_eq!(fitted["summary"]["total_samples"], ROWS);
    assert_eq!(fitted["data"]["energy_model"], Value::Null, "no energy was measured");
    let as_json = run(&mut place.ipw(&["analyze", paths[0], paths[1], "--json"]));
    let reports: Value = serde_json::from_str(&as_json.stdout).unwrap();
    assert_eq!(reports.as_array().map(Vec::len), Some(2));
}
