//! `ipw list`: every id that can be chosen, with a line on what it is.

#![expect(clippy::unwrap_used, reason = "a test's parts fail by panicking, like the test")]

use std::process::Command;

use e2e::monitor::bin;
use e2e::profile::{Ended, run};
use ipw::client::CLIENTS;
use ipw::dataset::DATASETS;
use ipw::plot::VISUALIZATIONS;
use serde_json::Value;

fn ipw(args: &[&str]) -> Ended {
    run(Command::new(bin("ipw")).args(args))
}

fn list(args: &[&str]) -> Value {
    let ended = ipw(&[&["list", "--json"], args].concat());
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    serde_json::from_str(&ended.stdout).unwrap()
}

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap()).collect()
}

#[test]
fn every_id_is_there_for_people_and_for_programs_with_a_line_of_help() {
    let all = list(&["all"]);
    assert_eq!(ids(&all["clients"]), CLIENTS.iter().map(|one| one.id).collect::<Vec<_>>());
    assert_eq!(ids(&all["datasets"]), DATASETS.iter().map(|one| one.id()).collect::<Vec<_>>());
    assert_eq!(ids(&all["analyses"]), ["accuracy", "regression"]);
    let figures = VISUALIZATIONS.iter().map(|one| one.id()).chain(["pareto"]).collect::<Vec<_>>();
    assert_eq!(ids(&all["visualizations"]), figures);
    assert_eq!(all["clients"][0]["default_url"], "http://localhost:11434");
    assert_eq!(all.as_object().unwrap().len(), 4);

    let shown = ipw(&["list"]).stdout;
    for entry in all.as_object().unwrap().values().flat_map(|list| list.as_array().unwrap()) {
        let [id, help] = ["id", "help"].map(|field| entry[field].as_str().unwrap());
        assert!(!help.is_empty() && !help.contains('\n'), "{id}");
        let line = |line: &str| line.starts_with(&format!("  {id} ")) && line.contains(help);
        assert!(shown.lines().any(line), "{id} is not in {shown}");
    }
    for section in all.as_object().unwrap().keys() {
        let one = list(&[section]);
        assert_eq!(one.as_object().unwrap().len(), 1);
        assert_eq!(one[section], all[section]);
    }
}

/// What the list calls a choice is what the command takes for one.
#[test]
fn the_ids_of_the_list_are_those_that_the_commands_take() {
    let all = list(&["all"]);
    let unknown = [
        ("analyses", &["analyze", "nowhere", "--analysis"][..]),
        ("visualizations", &["plot", "nowhere", "elsewhere", "--visualization"]),
    ];
    for (section, command) in unknown {
        for id in ids(&all[section]).into_iter().chain(["none-such"]) {
            let ended = ipw(&[command, &[id]].concat());
            // The runs aren't there in any case; an id that isn't known comes first.
            let is_known = ended.stderr.contains("nowhere");
            assert_eq!((ended.code, is_known), (Some(2), id != "none-such"), "{}", ended.stderr);
        }
    }
}
