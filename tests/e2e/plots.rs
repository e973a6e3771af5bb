//! Pictures of runs: every figure of plausible and of awkward data, and the program that writes them.
//!
//! With `IPW_KEEP_PLOTS=DIR` the pictures are left in DIR, for eyes.

#![expect(clippy::unwrap_used, reason = "a test's parts fail by panicking, like the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use e2e::monitor::bin;
use e2e::sample_run::SampleRun;
use ipw::plot::scene::{Area, Scene, Shape};
use ipw::plot::{Figure, NotDrawable, RunData, Standing, VISUALIZATIONS, pareto, png, svg};
use ipw::record::{ProfilingRecord, QueryStatus};
use serde_json::Value;
use tempfile::TempDir;

const MOST_SVG_BYTES: usize = 3 << 20;

type Change = fn(&mut ProfilingRecord);

fn unchanged(_: &mut ProfilingRecord) {}

fn written(run: &SampleRun, change: Change) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    run.write(directory.path(), change);
    directory
}

fn drawn(directory: &Path) -> Vec<(&'static str, Result<Figure, NotDrawable>)> {
    let run = RunData::read(directory).unwrap();
    VISUALIZATIONS.iter().map(|one| (one.id(), one.draw(&run))).collect()
}

/// That the files are files, and that all can be read: nothing beyond the picture, no text on another.
fn check(what: &str, figure: &Figure) -> Scene {
    let scene = figure.scene();
    let what = format!("{what}/{}", figure.id);
    let svg = svg::document(&scene);
    let png = png::encode(&scene).unwrap();
    keep(&what, &svg, &png);
    let document =
        roxmltree::Document::parse(&svg).unwrap_or_else(|error| panic!("{what}: {error}"));
    let texts: Vec<&str> = document
        .descendants()
        .filter(|node| node.has_tag_name("text"))
        .filter_map(|node| node.text())
        .collect();
    assert_eq!(
        texts,
        scene.labels().map(|label| label.text.as_str()).collect::<Vec<_>>(),
        "{what}"
    );
    assert!(svg.len() < MOST_SVG_BYTES, "{what}: {} bytes", svg.len());
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{what}");

    assert_eq!(&png[1..4], b"PNG", "{what}");
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert_eq!(f64::from(side(16)), scene.width * png::SCALE, "{what}");
    assert_eq!(f64::from(side(20)), scene.height * png::SCALE, "{what}");

    let all = Area { left: 0.0, top: 0.0, width: scene.width, height: scene.height };
    let labels: Vec<(&str, Area)> =
        scene.labels().map(|label| (label.text.as_str(), label.area())).collect();
    for (index, (text, area)) in labels.iter().enumerate() {
        assert!(all.contains(area), "{what}: `{text}` is cut off: {area:?} of {all:?}");
        for (other, other_area) in &labels[..index] {
            assert!(!area.overlaps(other_area), "{what}: `{text}` lies on `{other}`");
        }
    }
    scene
}

fn keep(what: &str, svg: &str, png: &[u8]) {
    let Some(directory) = std::env::var_os("IPW_KEEP_PLOTS") else { return };
    let path = PathBuf::from(directory).join(what);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path.with_extension("svg"), svg).unwrap();
    fs::write(path.with_extension("png"), png).unwrap();
}

fn is_one_in(record: &ProfilingRecord, every: i64) -> bool {
    record.query_index % every == 0
}

fn with_outliers(record: &mut ProfilingRecord) {
    if is_one_in(record, 97) {
        let metrics = &mut record.metrics;
        metrics.energy_metrics.basis_joules = Some(3e7);
        metrics.energy_metrics.basis_joules_upper = Some(9e9);
        metrics.token_metrics.output = Some(40_000_000);
        metrics.latency_metrics.total_query_seconds = Some(86_000.0);
        metrics.latency_metrics.time_to_first_token_seconds = Some(1e-7);
    }
}

fn with_nulls(record: &mut ProfilingRecord) {
    let metrics = &mut record.metrics;
    match record.query_index % 5 {
        0 => metrics.energy_metrics = Default::default(),
        1 => metrics.token_metrics = Default::default(),
        2 => metrics.latency_metrics = Default::default(),
        3 => {
            metrics.evaluation = None;
            metrics.phase_metrics = Default::default();
            metrics.energy_metrics.basis_joules_lower = None;
            metrics.energy_metrics.basis_joules_ci95 = None;
        }
        _ => record.status = QueryStatus::Timeout,
    }
}

fn all_equal(record: &mut ProfilingRecord) {
    let metrics = &mut record.metrics;
    metrics.energy_metrics.basis_joules = Some(50.0);
    metrics.energy_metrics.energy_per_output_token_joules = Some(0.5);
    metrics.energy_metrics.energy_per_total_token_joules = Some(0.25);
    metrics.token_metrics.input = Some(100);
    metrics.token_metrics.output = Some(100);
    metrics.token_metrics.total = Some(200);
    metrics.latency_metrics.total_query_seconds = Some(2.0);
    metrics.latency_metrics.time_to_first_token_seconds = Some(0.1);
    metrics.latency_metrics.tpot_ms = Some(19.0);
}

fn zeros(record: &mut ProfilingRecord) {
    let metrics = &mut record.metrics;
    metrics.energy_metrics.basis_joules = Some(0.0);
    metrics.energy_metrics.basis_joules_lower = Some(0.0);
    metrics.energy_metrics.energy_per_output_token_joules = Some(0.0);
    metrics.token_metrics.input = Some(0);
    metrics.token_metrics.output = Some(0);
    metrics.token_metrics.total = Some(0);
    metrics.latency_metrics.total_query_seconds = Some(0.0);
    metrics.latency_metrics.time_to_first_token_seconds = Some(0.0);
}

/// What can't be: not finite, negative, at the ends of what a number can be.
fn absurd(record: &mut ProfilingRecord) {
    let metrics = &mut record.metrics;
    let value = [f64::NAN, f64::INFINITY, f64::MAX, -1e12, 1e-300, f64::MIN]
        [(record.query_index % 6) as usize];
    metrics.energy_metrics.basis_joules = Some(value);
    metrics.energy_metrics.basis_joules_lower = Some(-value);
    metrics.energy_metrics.basis_joules_upper = Some(value);
    metrics.energy_metrics.basis_joules_ci95 = Some(value);
    metrics.energy_metrics.energy_per_output_token_joules = Some(value);
    metrics.latency_metrics.total_query_seconds = Some(value);
    metrics.latency_metrics.time_to_first_token_seconds = Some(value);
    metrics.latency_metrics.tpot_ms = Some(value);
    metrics.token_metrics.input = Some(1 << 52);
    metrics.token_metrics.output = Some(-(1 << 52));
    metrics.token_metrics.total = Some(i64::MAX);
    record.started_at_nanos = i64::MAX;
    record.subject = "\u{0}\n<b>&amp;\u{202e}\u{ffff} 数学 \u{1F600} ".repeat(20);
}

fn long_names(record: &mut ProfilingRecord) {
    record.subject = format!(
        "{} {}",
        "A subject that goes on and on, as they do where whole sentences name one".repeat(2),
        record.query_index % 40
    );
}

#[test]
fn every_figure_of_plausible_and_awkward_runs_is_readable() {
    let run = SampleRun::default;
    let long = "organisation-with-a-name/".to_owned()
        + &"very-long-model-name-instruct-".repeat(12)
        + "q4_K_M.gguf";
    let runs: Vec<(&str, SampleRun, Change)> = vec![
        ("plain", run(), unchanged),
        (
            "many",
            SampleRun {
                queries: 10_000,
                concurrency: 16,
                subjects: 70,
                interval_seconds: 0.2,
                ..run()
            },
            unchanged,
        ),
        (
            "some",
            SampleRun {
                queries: 700,
                subjects: 14,
                gap: Some((300.0, 420.0)),
                interval_seconds: 0.1,
                ..run()
            },
            unchanged,
        ),
        ("eight_at_once", SampleRun { queries: 100, concurrency: 8, ..run() }, unchanged),
        ("one", SampleRun { queries: 1, ..run() }, unchanged),
        ("two", SampleRun { queries: 2, ..run() }, unchanged),
        ("few_with_a_gap", SampleRun { queries: 10, gap: Some((4.0, 9.0)), ..run() }, unchanged),
        ("none", SampleRun { queries: 0, ..run() }, unchanged),
        ("all_equal", run(), all_equal),
        ("zeros", run(), zeros),
        ("nulls", run(), with_nulls),
        ("outliers", SampleRun { queries: 400, ..run() }, with_outliers),
        (
            "many_outliers",
            SampleRun { queries: 5_000, concurrency: 8, interval_seconds: 0.2, ..run() },
            with_outliers,
        ),
        ("absurd", run(), absurd),
        ("tiny", SampleRun { cost: 1e-9, ..run() }, unchanged),
        ("huge", SampleRun { cost: 1e9, ..run() }, unchanged),
        ("no_energy", SampleRun { basis: None, ..run() }, unchanged),
        ("estimated", SampleRun { basis: Some("cpu_estimated".to_owned()), ..run() }, unchanged),
        (
            "long_names",
            SampleRun { model: long, queries: 300, interval_seconds: 0.2, ..run() },
            long_names,
        ),
    ];
    for (what, run, change) in runs {
        let directory = written(&run, change);
        for (id, figure) in drawn(directory.path()) {
            match figure {
                Ok(figure) => drop(check(what, &figure)),
                Err(reason) => {
                    let may_be_without =
                        ["none", "one", "zeros", "absurd", "no_energy", "nulls"].contains(&what);
                    assert!(may_be_without, "{what}/{id}: {reason}");
                }
            }
        }
    }
}

#[test]
fn what_a_run_has_not_got_is_said_and_what_it_has_is_drawn() {
    let directory = written(&SampleRun { basis: None, ..SampleRun::default() }, unchanged);
    let (ok, not): (Vec<_>, Vec<_>) =
        drawn(directory.path()).into_iter().partition(|(_, figure)| figure.is_ok());
    let ids =
        |figures: &[(&'static str, _)]| figures.iter().map(|(id, _)| *id).collect::<BTreeSet<_>>();
    assert_eq!(ids(&ok), BTreeSet::from(["regression", "output_kde", "latency"]));
    for (id, reason) in not {
        let reason = reason.unwrap_err().to_string();
        assert!(reason.contains("server_not_on_this_host"), "{id}: {reason}");
    }
}

/// A figure's structure: its texts, and how many of which shapes it has, of a run from a seed.
#[test]
fn a_figure_has_what_it_should_have() {
    let directory = written(&SampleRun::default(), unchanged);
    let figures: Vec<(&str, Figure)> =
        drawn(directory.path()).into_iter().map(|(id, figure)| (id, figure.unwrap())).collect();
    let texts_of = |id: &str| {
        let figure = &figures.iter().find(|(of, _)| *of == id).unwrap().1;
        figure.scene().labels().map(|label| label.text.clone()).collect::<Vec<String>>()
    };
    let has = |id: &str, expected: &[&str]| {
        let texts = texts_of(id);
        for text in expected {
            assert!(texts.iter().any(|own| own == text), "{id}: no `{text}` in {texts:#?}");
        }
    };
    for (id, _) in &figures {
        has(id, &["llama3.2:1b"]);
        let about = texts_of(id).into_iter().find(|text| text.contains("energy basis gpu"));
        assert!(about.unwrap().contains("Sample H100 80GB · dataset ipw · vllm 0.11.0"), "{id}");
    }
    has(
        "regression",
        &[
            "Time to first token by prompt tokens",
            "Energy by output tokens",
            "Energy (kJ)",
            "Power (W)",
            "Output tokens",
            "least squares",
            "hard bounds of its energy",
        ],
    );
    has(
        "output_kde",
        &[
            "Length of the answers",
            "kernel density",
            "histogram",
            "median",
            "Output tokens",
            "Density (per token)",
        ],
    );
    has("energy_over_time", &["Energy per query (kJ)", "hard bounds", "95 % interval", "a query"]);
    has(
        "power_timeline",
        &[
            "Power (W)",
            "prefill",
            "decode",
            "mean power",
            "Whole run",
            "In flight",
            "idle before the run (75.0 W)",
        ],
    );
    has(
        "energy_accuracy",
        &["Accuracy (%)", "Mean energy per query (kJ)", "subject 0", "subject 5", "1", "6"],
    );
    has(
        "latency",
        &[
            "Time to first token",
            "Whole answer",
            "Time per output token",
            "Queries (%)",
            "Time (ms)",
        ],
    );
    has(
        "joules_per_token",
        &["By length of the answer", "Output tokens", "decode, per output token", "n 60"],
    );

    let regression = figures[0].1.scene();
    let dots = regression.shapes.iter().filter_map(|shape| match shape {
        Shape::Dots { centres, .. } => Some(centres.len()),
        _ => None,
    });
    // The legend's, and nine panels with all 60 queries.
    assert_eq!(dots.collect::<Vec<_>>(), [1, 60, 60, 60, 60, 60, 60, 60, 60, 60]);
}

#[test]
fn runs_that_are_not_measured_here_say_so_in_every_figure() {
    let run = SampleRun { basis: Some("cpu_estimated".to_owned()), ..SampleRun::default() };
    let directory = written(&run, unchanged);
    for (id, figure) in drawn(directory.path()) {
        let scene = figure.unwrap().scene();
        assert!(scene.labels().any(|label| label.text == "ESTIMATED, not measured"), "{id}");
    }
}

#[test]
fn runs_are_compared_with_their_front() {
    let run = |model: &str, accuracy, cost| {
        let model = model.to_owned();
        let run = SampleRun {
            model,
            accuracy,
            cost,
            queries: 80,
            interval_seconds: 1.0,
            ..SampleRun::default()
        };
        Standing::of(&RunData::read(written(&run, unchanged).path()).unwrap())
    };
    let runs = [
        run("small:1b", 0.4, 0.3),
        run("middle:8b", 0.7, 1.0),
        run("wasteful:8b", 0.5, 2.0),
        run("large:70b", 0.9, 4.0),
    ];
    let scene = check("several", &pareto::draw(&runs).unwrap());
    let texts: Vec<&str> = scene.labels().map(|label| label.text.as_str()).collect();
    for text in
        ["4 runs of 4 models", "small:1b, H100", "Pareto front: no run is better in both", "4"]
    {
        assert!(texts.contains(&text), "no `{text}` in {texts:#?}");
    }
    let empty = SampleRun { queries: 0, ..SampleRun::default() };
    let none = Standing::of(&RunData::read(written(&empty, unchanged).path()).unwrap());
    assert_eq!(
        pareto::draw(&[none.clone(), none]).unwrap_err().to_string(),
        "no run has both accuracy and energy"
    );
}

fn plot(directory: &Path, args: &[&str]) -> Output {
    Command::new(bin("ipw")).arg("plot").args(args).current_dir(directory).output().unwrap()
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_program_writes_each_figure_as_png_and_svg_and_prints_where() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("run")).unwrap();
    SampleRun::default().write(&place.path().join("run"), unchanged);
    let output = plot(place.path(), &["run"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let both = |one: &str| [format!("{one}.png"), format!("{one}.svg")];
    let expected: BTreeSet<String> = VISUALIZATIONS.iter().flat_map(|one| both(one.id())).collect();
    assert_eq!(names(&place.path().join("run/plots")), expected);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.lines().count(), expected.len());
    assert!(printed.lines().all(|line| place.path().join(line).exists()));

    let one = plot(
        place.path(),
        &["run", "--visualization", "latency", "--format", "svg", "--output", "here"],
    );
    assert!(one.status.success(), "{}", stderr(&one));
    assert_eq!(names(&place.path().join("here")), BTreeSet::from(["latency.svg".to_owned()]));
}

#[test]
fn what_cannot_be_drawn_is_an_error_only_if_it_was_asked_for() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("run")).unwrap();
    SampleRun { basis: None, ..SampleRun::default() }.write(&place.path().join("run"), unchanged);
    let all = plot(place.path(), &["run", "--format", "svg"]);
    assert_eq!(all.status.code(), Some(0));
    assert!(
        stderr(&all)
            .contains("energy_over_time of run is not drawn: no energy: server_not_on_this_host")
    );
    let one = plot(place.path(), &["run", "--visualization", "energy_over_time"]);
    assert_eq!(one.status.code(), Some(1));
    assert!(stderr(&one).contains("can't draw energy_over_time: no energy"), "{}", stderr(&one));
    let unknown = plot(place.path(), &["run", "--visualization", "pie"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("there are: regression, output_kde"), "{}", stderr(&unknown));
    let alone = plot(place.path(), &["run", "--visualization", "pareto"]);
    assert_eq!(alone.status.code(), Some(2));
    let nothing = plot(place.path(), &["nowhere"]);
    assert_eq!(nothing.status.code(), Some(2), "{}", stderr(&nothing));
}

#[test]
fn several_runs_have_their_own_figures_and_one_together() {
    let place = tempfile::tempdir().unwrap();
    for run in ["a", "b"] {
        fs::create_dir(place.path().join(run)).unwrap();
        SampleRun::default().write(&place.path().join(run), unchanged);
    }
    let output = plot(place.path(), &["a", "b", "--format", "svg"]);
    assert!(output.status.success(), "{}", stderr(&output));
    for run in ["a", "b"] {
        assert_eq!(names(&place.path().join(run).join("plots")).len(), VISUALIZATIONS.len());
    }
    assert_eq!(names(&place.path().join("plots")), BTreeSet::from(["pareto.svg".to_owned()]));
}

#[test]
fn programs_are_told_what_was_drawn_and_what_was_not() {
    let place = tempfile::tempdir().unwrap();
    for run in ["a", "b"] {
        fs::create_dir(place.path().join(run)).unwrap();
    }
    SampleRun::default().write(&place.path().join("a"), unchanged);
    SampleRun { basis: None, ..SampleRun::default() }.write(&place.path().join("b"), unchanged);
    let output = plot(place.path(), &["a", "b", "--format", "svg", "--json"]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let written: BTreeSet<&str> =
        told["written"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    let of_a = VISUALIZATIONS.iter().map(|one| format!("a/plots/{}.svg", one.id()));
    let of_b = ["regression", "output_kde", "latency"].map(|id| format!("b/plots/{id}.svg"));
    let expected: Vec<String> = of_a.chain(of_b).chain(["plots/pareto.svg".to_owned()]).collect();
    assert_eq!(written, expected.iter().map(String::as_str).collect());
    assert!(written.iter().all(|path| place.path().join(path).exists()));
    let missing = told["not_drawn"].as_array().unwrap();
    assert_eq!(missing.len(), 4, "{told}");
    for one in missing {
        assert_eq!(one["run"], "b");
        assert!(one["reason"].as_str().unwrap().contains("server_not_on_this_host"), "{one}");
    }
    assert!(missing.iter().any(|one| one["visualization"] == "power_timeline"), "{told}");

    let of_all = plot(place.path(), &["b", "b", "--format", "svg", "--json"]);
    let told: Value = serde_json::from_slice(&of_all.stdout).unwrap();
    let missing = told["not_drawn"].as_array().unwrap().last().unwrap();
    assert_eq!((&missing["run"], &missing["visualization"]), (&Value::Null, &"pareto".into()));
}

/// What an axis leaves out is said, however it is drawn.
#[test]
fn nothing_is_cut_off_without_a_word_or_a_sign() {
    let many = SampleRun { queries: 500, interval_seconds: 0.5, ..SampleRun::default() };
    let run = RunData::read(written(&many, with_outliers).path()).unwrap();
    let figure = |run: &RunData, id: &str| {
        VISUALIZATIONS.iter().find(|one| one.id() == id).unwrap().draw(run).unwrap().scene()
    };
    let texts = |scene: &Scene| scene.labels().map(|label| label.text.clone()).collect::<Vec<_>>();
    let over_time = texts(&figure(&run, "energy_over_time"));
    assert!(over_time.iter().any(|text| text == "6 beyond, up to 30.0 MJ"), "{over_time:?}");

    // Two queries of very different cost: the interval of their mean is wider than any axis.
    let two = SampleRun { queries: 2, subjects: 1, ..SampleRun::default() };
    let run = RunData::read(written(&two, unchanged).path()).unwrap();
    let scene = figure(&run, "energy_accuracy");
    let triangles = scene.shapes.iter().filter_map(|shape| match shape {
        Shape::Surfaces { outlines, .. } if outlines[0].len() == 3 => Some(outlines.len()),
        _ => None,
    });
    assert_eq!(triangles.sum::<usize>(), 2, "{:?}", texts(&scene));
    let energy = texts(&scene).into_iter().find(|text| text.contains("] ")).unwrap();
    assert!(!energy.contains('−'), "no energy is below zero: {energy}");
}

/// A key for what isn't there makes a reader look for it.
#[test]
fn the_legend_has_no_interval_where_none_is_drawn() {
    let one = SampleRun { queries: 1, ..SampleRun::default() };
    let run = RunData::read(written(&one, unchanged).path()).unwrap();
    let subjects = VISUALIZATIONS.iter().find(|one| one.id() == "energy_accuracy").unwrap();
    let scene = subjects.draw(&run).unwrap().scene();
    let texts: Vec<&str> = scene.labels().map(|label| label.text.as_str()).collect();
    assert!(!texts.contains(&"95 % interval"), "{texts:?}");
    assert!(!texts.iter().any(|text| text.starts_with('−')), "no share is below zero: {texts:?}");
}
