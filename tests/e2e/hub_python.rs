//! What Python's tools write, read by us, and the hub's cache shared with them, by
//! `python/hub_files.py`.

#![expect(clippy::unwrap_used, reason = "a test's parts fail by panicking, like the test")]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::fake_hub::{FakeHub, Repository};
use e2e::hub_files::{gpqa, math500};
use ipw::dataset::{self, Dataset, DatasetError, DatasetParams, HubSettings, Request};
use serde_json::{Value, json};

use crate::python::interpreter;

const NEEDED: &str = "pyarrow, datasets and huggingface_hub";

/// What the script prints.
fn python(interpreter: &OsStr, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/hub_files.py");
    let mut command = Command::new(interpreter);
    command.arg(script).args(arguments).env("HF_HUB_DISABLE_TELEMETRY", "1");
    for name in ["HF_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE", "XDG_CACHE_HOME"] {
        command.env_remove(name);
    }
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn load(
    id: &str,
    params: &[(&str, &str)],
    variables: &[(&str, &str)],
) -> Result<Dataset, DatasetError> {
    let params: DatasetParams =
        params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let settings = HubSettings::from_variables(None, |name| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    });
    let request = Request { params: &params, hub: &settings, events: &|_| {} };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(dataset::load(id, &request))
}

/// The rows that the script writes.
fn check_rows(dataset: &Dataset, what: &str) {
    assert_eq!((dataset.samples.len(), dataset.skipped.len()), (7, 0), "{what}");
    let is_csv = what.ends_with(".csv");
    for (number, sample) in dataset.samples.iter().enumerate() {
        assert_eq!(sample.index, number, "{what}");
        assert_eq!(sample.problem, format!("What is {number}?\nA. zwölf\nB. \u{1f600}"), "{what}");
        assert_eq!(sample.answer, "B", "{what}");
        assert_eq!(sample.subject, if number % 2 == 0 { "signs" } else { "numbers" }, "{what}");
        let metadata = &sample.metadata;
        // Parquet has a dictionary's values as text.
        let dictionary = if what.ends_with(".parquet") { "blob" } else { "kind" };
        for left_out in ["blob", "box", "day", dictionary] {
            assert!(!metadata.contains_key(left_out), "{what}: {left_out}");
        }
        if is_csv {
            assert_eq!(metadata["level"], json!(number.to_string()), "{what}");
            continue;
        }
        let note = if number == 1 { Value::Null } else { json!(format!("n{number}")) };
        let tags = if number == 0 { json!([]) } else { json!([format!("t{number}"), null]) };
        assert_eq!(metadata["level"], json!(number), "{what}");
        assert_eq!(metadata["score"], json!(number as f64 / 4.0), "{what}");
        assert_eq!(metadata["hard"], json!(number % 3 == 0), "{what}");
        assert_eq!((&metadata["note"], &metadata["tags"]), (&note, &tags), "{what}");
    }
}

#[test]
fn what_others_write_is_read_row_by_row() {
    let Some(interpreter) = interpreter(NEEDED) else { return };
    let directory = tempfile::tempdir().unwrap();
    python(&interpreter, &["write", directory.path().to_str().unwrap()], &[]);
    let path = |name: &str| directory.path().join(name).display().to_string();
    let mut revisions = Vec::new();
    for name in [
        "snappy.parquet",
        "zstd.parquet",
        "none.parquet",
        "v2.parquet",
        "pandas.parquet",
        "lz4.feather",
        "zstd.feather",
        "uncompressed.feather",
        "pandas.feather",
        "stream.arrow",
        "saved",
        "sharded",
        "rows.csv",
        "rows.jsonl",
    ] {
        let dataset = load("file", &[("path", &path(name))], &[])
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        check_rows(&dataset, name);
        let stem = name.split('.').next().unwrap();
        assert_eq!(dataset.id, format!("file-{stem}"));
        revisions.push(dataset.revision);
    }
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), 14, "each has other bytes");

    let splits = path("splits");
    let test = load("file", &[("path", &splits), ("split", "test")], &[]).unwrap();
    check_rows(&test, "splits");
    let both = load("file", &[("path", &splits)], &[]).unwrap_err().to_string();
    assert!(both.ends_with("split=NAME: train, test"), "{both}");
    let gzip = load("file", &[("path", &path("gzip.parquet"))], &[]).unwrap_err().to_string();
    assert!(gzip.contains("write it with snappy or zstd"), "{gzip}");
}

#[test]
fn what_others_wrote_and_something_damaged_never_ends_the_program() {
    let Some(interpreter) = interpreter(NEEDED) else { return };
    let directory = tempfile::tempdir().unwrap();
    python(&interpreter, &["write", directory.path().to_str().unwrap()], &[]);
    let mut random = fastrand::Rng::with_seed(1);
    for name in ["zstd.parquet", "v2.parquet", "lz4.feather", "zstd.feather", "stream.arrow"] {
        let whole = fs::read(directory.path().join(name)).unwrap();
        for _ in 0..150 {
            let mut bytes = whole.clone();
            for _ in 0..random.usize(1..6) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            bytes.truncate(bytes.len() - random.usize(..bytes.len() / 20));
            let path = directory.path().join(format!("damaged-{name}"));
            fs::write(&path, bytes).unwrap();
            // Whatever it is, it is a dataset or an error.
            let _ = load("file", &[("path", path.to_str().unwrap())], &[]);
        }
    }
}

#[test]
fn a_cache_is_shared_with_the_hubs_own_tools_both_ways() {
    let Some(interpreter) = interpreter(NEEDED) else { return };
    let files = [
        ("math500", "HuggingFaceH4/MATH-500", "test.jsonl", math500(5), true),
        ("gpqa", "Idavidrein/gpqa", "gpqa_diamond.csv", gpqa(5), false),
    ];
    for (id, repo, file, content, is_large) in files {
        let hub =
            FakeHub::open(vec![Repository::new(repo, file, content.clone(), is_large)]).unwrap();
        let url = hub.url();
        let home = tempfile::tempdir().unwrap();
        let online = [("HF_HOME", home.path().to_str().unwrap()), ("HF_ENDPOINT", url.as_str())];
        let fetched = python(&interpreter, &["fetch", repo, file], &online);
        assert_eq!(fs::read(&fetched).unwrap(), content, "{id}");
        let asked = hub.asked().len();
        let offline = [online[0], online[1], ("HF_HUB_OFFLINE", "1")];
        let dataset = load(id, &[], &offline).unwrap_or_else(|error| panic!("{id}: {error}"));
        assert_eq!(dataset.samples.len(), 5, "{id}");
        assert_eq!(hub.asked().len(), asked, "{id}: ours asks nobody");
        assert!(load(id, &[], &online).is_ok());
        assert_eq!(hub.fetches().len(), 1, "{id}: nor fetches it again");

        let home = tempfile::tempdir().unwrap();
        let online = [("HF_HOME", home.path().to_str().unwrap()), ("HF_ENDPOINT", url.as_str())];
        let ours = load(id, &[], &online).unwrap();
        let asked = hub.asked().len();
        let found = PathBuf::from(python(&interpreter, &["find", repo, file], &online));
        assert_eq!(fs::read(&found).unwrap(), content, "{id}");
        assert!(found.to_string_lossy().contains(&format!("snapshots/{}", ours.revision)), "{id}");
        assert_eq!(hub.asked().len(), asked, "{id}: theirs asks nobody");
        let fetches = hub.fetches().len();
        python(&interpreter, &["fetch", repo, file], &online);
        assert_eq!(hub.fetches().len(), fetches, "{id}: nor fetches it again");
    }
}
