//! What is in packaging/ and docs/monitor.md goes with the real program: its flags, and one group.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use e2e::monitor::{self, command};

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is in the workspace");
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The values of a key, in the order of the unit's lines.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let keys = unit.lines().filter_map(|line| line.split_once('='));
    keys.filter(|(known, _)| *known == key).map(|(_, value)| value).collect()
}

#[test]
fn every_line_of_the_unit_is_a_section_a_comment_or_a_setting() {
    let unit = read("packaging/energy-monitor.service");
    for line in unit.lines() {
        let setting = line.split_once('=').is_some_and(|(key, _)| {
            !key.is_empty() && key.chars().all(|letter| letter.is_ascii_alphabetic())
        });
        let section = ["[Unit]", "[Service]", "[Install]"].contains(&line);
        assert!(line.is_empty() || line.starts_with('#') || section || setting, "{line:?}");
    }
}

#[test]
fn the_program_takes_the_flags_that_the_unit_starts_it_with() {
    let unit = read("packaging/energy-monitor.service");
    let [start] = values(&unit, "ExecStart")[..] else { panic!("one ExecStart") };
    let mut words = start.split_whitespace();
    assert_eq!(words.next(), Some("/usr/local/bin/energy-monitor"));
    let probed = monitor::run(command(&[]).args(words).arg("--describe"));
    let error = String::from_utf8_lossy(&probed.stderr);
    assert_eq!(probed.status.code(), Some(0), "{error}");
    let socket = start.rsplit_once(' ').expect("the socket is last").1;
    let directory = values(&unit, "RuntimeDirectory")[0];
    assert!(Path::new(socket).starts_with(Path::new("/run").join(directory)), "{socket}");
}

#[test]
fn the_unit_the_rule_and_the_group_name_the_same_group() {
    let unit = read("packaging/energy-monitor.service");
    assert_eq!(values(&unit, "Group"), ["energy"]);
    let groups: Vec<_> = read("packaging/energy-monitor.sysusers")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    assert_eq!(groups, ["g energy -"]);
    for rule in read("packaging/60-energy-monitor.rules").lines() {
        assert!(
            rule.is_empty() || rule.starts_with('#') || rule.contains("chgrp energy "),
            "{rule}"
        );
    }
}

#[test]
fn the_unit_keeps_the_rights_it_needs() {
    let unit = read("packaging/energy-monitor.service");
    assert_eq!(values(&unit, "AmbientCapabilities"), ["CAP_PERFMON"]);
    assert_eq!(values(&unit, "CapabilityBoundingSet"), ["CAP_PERFMON"]);
    assert!(values(&unit, "SystemCallFilter")[0].contains("perf_event_open"));
    // Each would take something away that the monitor reads.
    for wrong in ["PrivateUsers", "PrivateDevices", "ProcSubset"] {
        assert_eq!(values(&unit, wrong), [""; 0], "{wrong}");
    }
}

#[test]
fn the_guide_names_only_flags_that_the_program_has_and_all_that_it_has() {
    let help = monitor::run(&mut command(&["--help"]));
    let known = flags(&String::from_utf8_lossy(&help.stdout));
    let guide = read("docs/monitor.md");
    let commands = guide.lines().filter(|line| line.trim_start().starts_with("energy-monitor "));
    let named: BTreeSet<String> = commands.flat_map(flags).collect();
    assert!(named.is_subset(&known), "{:?}", named.difference(&known));
    let mentioned = flags(&guide);
    let missing: Vec<_> =
        known.iter().filter(|flag| !mentioned.contains(*flag) && *flag != "--version").collect();
    assert!(missing.is_empty(), "docs/monitor.md doesn't tell of {missing:?}");
}

/// Words like `--a-flag`.
fn flags(text: &str) -> BTreeSet<String> {
    let part = |letter: char| letter == '-' || letter.is_ascii_alphanumeric();
    text.split(|letter| !part(letter))
        .filter(|word| word.starts_with("--") && word.len() > 3)
        .map(str::to_owned)
        .collect()
}
