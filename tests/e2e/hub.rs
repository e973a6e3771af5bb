//! Datasets from a hub: the real `ipw` program and its library against a fake hub of two hosts, which
//! redirects, refuses, breaks off and lies.

#![expect(clippy::unwrap_used, reason = "a test's parts fail by panicking, like the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use e2e::fake_hub::{FakeHub, Fault, Repository};
use e2e::fake_server::{Behaviour, FakeServer, Flavour, closed_url};
use e2e::hub_files::{LetteredRow, gpqa, math500, mmlu_pro, supergpqa};
use e2e::profile::{Ended, Hardware, Place, Recorded, Running, run, wait_until};
use ipw::dataset::{
    self, Dataset, DatasetError, DatasetParams, Event, HubSettings, Request, Scoring,
};
use tempfile::TempDir;

const MMLU_PRO: &str = "TIGER-Lab/MMLU-Pro";
const MMLU_PRO_FILE: &str = "data/test-00000-of-00001.parquet";
const MATH500: &str = "HuggingFaceH4/MATH-500";
const GPQA: &str = "Idavidrein/gpqa";
const TOKEN: &str = "hf_ThisIsNoRealToken";

fn lettered(count: usize) -> Vec<LetteredRow> {
    (0..count).map(LetteredRow::number).collect()
}

fn mmlu_pro_repository(rows: usize) -> Repository {
    Repository::new(MMLU_PRO, MMLU_PRO_FILE, mmlu_pro(&lettered(rows)), true)
}

fn math500_repository(rows: usize) -> Repository {
    Repository::new(MATH500, "test.jsonl", math500(rows), true)
}

/// A machine with a cache of its own.
struct Machine {
    home: TempDir,
    endpoint: String,
    token: Option<&'static str>,
}

/// What loading came to, and what was told meanwhile.
struct Loaded {
    dataset: Result<Dataset, DatasetError>,
    events: Vec<Event>,
}

impl Loaded {
    fn refusal(&self) -> String {
        self.dataset.as_ref().map(drop).unwrap_err().to_string()
    }

    fn warnings(&self) -> Vec<&str> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Warning(text) => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }
}

impl Machine {
    fn new(hub: &FakeHub) -> Self {
        Self { home: tempfile::tempdir().unwrap(), endpoint: hub.url(), token: None }
    }

    /// Loads a dataset as the program does, in this process.
    fn load(&self, id: &str, params: &[(&str, &str)], more: &[(&str, &str)]) -> Loaded {
        let params: DatasetParams =
            params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let home = self.home.path().to_str().unwrap();
        let token = self.token.map(|token| token.to_owned().into());
        let settings = HubSettings::from_variables(token, |name| match name {
            "HF_HOME" => Some(home.to_owned()),
            "HF_ENDPOINT" => Some(self.endpoint.clone()),
            _ => {
                more.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            }
        });
        let events = Mutex::new(Vec::new());
        let tell = |event| events.lock().unwrap().push(event);
        let request = Request { params: &params, hub: &settings, events: &tell };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dataset = runtime.block_on(dataset::load(id, &request));
        Loaded { dataset, events: events.into_inner().unwrap() }
    }

    /// `ipw profile` of this dataset, to a server that always answers alike.
    fn profile(&self, place: &Place, server: &FakeServer, id: &str, more: &[&str]) -> Command {
        let mut command = place.ipw(&["profile", "--client", "openai", "--model", "fake:1b"]);
        command
            .args(["--client-base-url", &server.url(), "--dataset", id])
            .args(["--output-dir", "runs", "--warmup-queries", "0"])
            .args(more)
            .env("HF_HOME", self.home.path())
            .env("HF_ENDPOINT", &self.endpoint);
        for name in ["HF_HUB_CACHE", "HF_TOKEN_PATH", "HF_HUB_OFFLINE", "XDG_CACHE_HOME"] {
            command.env_remove(name);
        }
        match self.token {
            Some(token) => command.env("HF_TOKEN", token),
            None => command.env_remove("HF_TOKEN"),
        };
        command
    }

    /// The files of the cache's blobs.
    fn blobs(&self) -> Vec<PathBuf> {
        let mut blobs = Vec::new();
        for repository in fs::read_dir(self.home.path().join("hub")).into_iter().flatten() {
            let folder = repository.unwrap().path().join("blobs");
            let entries = fs::read_dir(folder).into_iter().flatten();
            blobs.extend(entries.map(|entry| entry.unwrap().path()));
        }
        blobs
    }
}

fn answering(text: &str) -> FakeServer {
    FakeServer::always(Flavour::LlamaCpp, Behaviour::saying(text)).unwrap()
}

fn is_incomplete(blob: &Path) -> bool {
    blob.extension().is_some_and(|ending| ending == "incomplete")
}

#[test]
fn every_benchmark_is_fetched_asked_and_pinned_by_its_commit_and_then_needs_no_network() {
    let repositories = vec![
        mmlu_pro_repository(12),
        Repository::new("m-a-p/SuperGPQA", "SuperGPQA-all.jsonl", supergpqa(&lettered(12)), true),
        Repository::new(GPQA, "gpqa_diamond.csv", gpqa(6), false),
        math500_repository(6),
    ];
    let commits: Vec<String> =
        repositories.iter().map(|repository| repository.head().to_owned()).collect();
    let hub = FakeHub::open(repositories).unwrap();
    let machine = Machine::new(&hub);
    let server = answering("The answer is (B).");
    let ids = ["mmlu-pro", "supergpqa", "gpqa", "math500"];
    for (id, commit) in ids.into_iter().zip(&commits) {
        let place = Place::new(&Hardware::None);
        let ended = run(&mut machine.profile(&place, &server, id, &["--max-queries", "3"]));
        assert_eq!(ended.code, Some(0), "{id}: {}", ended.stderr);
        assert!(ended.stderr.contains("downloading "), "{id}: {}", ended.stderr);
        let recorded = Recorded::read(&place.run());
        assert_eq!(recorded.summary.dataset, id);
        assert_eq!(&recorded.summary.dataset_revision, commit, "{id}");
        assert_eq!(recorded.records.len(), 3, "{id}");

        let before = hub.asked().len();
        let mut again =
            machine.profile(&place, &server, id, &["--max-queries", "3", "--tag", "offline"]);
        let ended = run(again.env("HF_HUB_OFFLINE", "1"));
        assert_eq!(ended.code, Some(0), "{id}: {}", ended.stderr);
        assert_eq!(hub.asked().len(), before, "{id}: offline is offline");
    }
    assert_eq!(hub.fetches().len(), 4);
}

#[test]
fn questions_are_put_as_they_are_scored() {
    let hub = FakeHub::open(vec![
        mmlu_pro_repository(12),
        Repository::new("m-a-p/SuperGPQA", "SuperGPQA-all.jsonl", supergpqa(&lettered(12)), true),
        Repository::new(GPQA, "gpqa_diamond.csv", gpqa(20), false),
        math500_repository(6),
    ])
    .unwrap();
    let machine = Machine::new(&hub);
    let load = |id: &str, params: &[(&str, &str)]| machine.load(id, params, &[]).dataset.unwrap();
    for (id, scoring, end) in [
        ("mmlu-pro", Scoring::Letter, "\"The answer is (X).\""),
        ("supergpqa", Scoring::LetterSupergpqa, "\"Answer: X\""),
    ] {
        let dataset = load(id, &[]);
        assert_eq!((dataset.samples.len(), dataset.skipped.len()), (12, 0), "{id}");
        for (number, sample) in dataset.samples.iter().enumerate() {
            let row = LetteredRow::number(number);
            let letter = row.letter().to_string();
            assert_eq!((&sample.answer, &sample.subject), (&letter, &row.subject), "{id}");
            let option = format!("\n{letter}. {}\n", row.options[row.right]);
            assert!(sample.problem.contains(&option), "{id}: {}", sample.problem);
            assert!(sample.problem.ends_with(end), "{id}");
            assert_eq!(sample.scoring, scoring, "{id}");
        }
        assert_eq!(load(id, &[("subset", "Law")]).samples.len(), 4, "{id}");
    }
    let shuffled = load("gpqa", &[]);
    let letters: std::collections::BTreeSet<&str> =
        shuffled.samples.iter().map(|sample| sample.answer.as_str()).collect();
    assert_eq!(letters.len(), 4, "not always A");
    for (number, sample) in shuffled.samples.iter().enumerate() {
        assert!(sample.problem.contains(&format!("\n{}. right {number}\n", sample.answer)));
    }
    assert_eq!(shuffled, load("gpqa", &[("seed", "0")]));
    assert_ne!(shuffled, load("gpqa", &[("seed", "1")]));
    let sums = load("math500", &[("max_samples", "2"), ("seed", "9")]);
    assert_eq!(sums.samples.len(), 2);
    assert!(sums.samples.iter().all(|sample| sample.scoring == Scoring::Math));
}

#[test]
fn the_token_is_shown_to_the_hub_and_to_nobody_else() {
    let repository = Repository::new(GPQA, "gpqa_diamond.csv", gpqa(4), true);
    let hub = FakeHub::start(vec![repository], Some(TOKEN)).unwrap();
    let place = Place::new(&Hardware::None);
    let server = answering("The answer is (B).");
    let stranger = Machine::new(&hub);
    let ended = run(&mut stranger.profile(&place, &server, "gpqa", &[]));
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let terms = format!("accept them at {}/datasets/{GPQA}, then set HF_TOKEN", hub.url());
    assert!(ended.stderr.contains(&terms), "{}", ended.stderr);
    assert!(place.is_empty(), "nothing was begun");

    let other = Machine { token: Some("hf_OfAnother"), ..Machine::new(&hub) };
    assert!(other.load("gpqa", &[], &[]).refusal().contains("your token has no access"));

    let known = Machine { token: Some(TOKEN), ..Machine::new(&hub) };
    let ended = run(known.profile(&place, &server, "gpqa", &[]).env("IPW_LOG", "trace"));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let elsewhere: Vec<_> = hub.asked().into_iter().filter(|asked| !asked.hub).collect();
    assert_eq!(elsewhere.len(), 1);
    assert_eq!(elsewhere[0].authorization, None);
    assert!(!ended.stderr.contains(TOKEN) && !ended.stdout.contains(TOKEN));
    for folder in [place.run(), known.home.path().to_owned()] {
        assert!(!holds(&folder, TOKEN.as_bytes()), "{}", folder.display());
    }
}

/// Whether some file below a folder has these bytes in it.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, bytes);
        }
        fs::read(&path).unwrap_or_default().windows(bytes.len()).any(|window| window == bytes)
    })
}

#[test]
fn a_token_in_the_file_of_the_hubs_login_is_used() {
    let repository = Repository::new(GPQA, "gpqa_diamond.csv", gpqa(4), false);
    let hub = FakeHub::start(vec![repository], Some(TOKEN)).unwrap();
    let machine = Machine::new(&hub);
    fs::write(machine.home.path().join("token"), format!("{TOKEN}\n")).unwrap();
    assert_eq!(machine.load("gpqa", &[], &[]).dataset.unwrap().samples.len(), 4);
}

#[test]
fn every_refusal_says_what_to_do() {
    let hub = FakeHub::open(vec![math500_repository(4)]).unwrap();
    for (status, code, text) in [
        (404, Some("RepoNotFound"), "has no dataset HuggingFaceH4/MATH-500, or keeps it from you"),
        (401, Some("RepoNotFound"), "check HF_ENDPOINT, and HF_TOKEN if the dataset is private"),
        (404, Some("RevisionNotFound"), "has no revision `main`"),
        (404, Some("EntryNotFound"), "has no file test.jsonl at revision `main`"),
        (401, Some("GatedRepo"), "then set HF_TOKEN to a token of that account"),
        (404, None, "answers HTTP 404, which a dataset hub doesn't; check HF_ENDPOINT"),
    ] {
        hub.fail(Fault::Refuse(status, code));
        let machine = Machine::new(&hub);
        let refusal = machine.load("math500", &[], &[]).refusal();
        assert!(refusal.contains(text), "{status} {code:?}: {refusal}");
        assert_eq!(machine.blobs(), Vec::<PathBuf>::new());
    }
    hub.fail(Fault::Refuse(401, None));
    let machine = Machine { token: Some("hf_Expired"), ..Machine::new(&hub) };
    let refusal = machine.load("math500", &[], &[]).refusal();
    assert!(refusal.contains("refuses the token; set HF_TOKEN to one from"), "{refusal}");
    assert!(!refusal.contains("hf_Expired"));
}

#[test]
fn a_hub_that_lies_is_caught_and_nothing_of_it_is_kept() {
    let size = math500(40).len() as u64;
    for (fault, text) in [
        (Fault::Size(size + 10), "bytes at first and"),
        (Fault::Size(size - 10), "bytes at first and"),
        (Fault::Size(1 << 40), "offers a file of more than 1 GiB"),
        (Fault::Short, "bytes at first and"),
        (Fault::Long, "bytes at first and"),
        (Fault::Other, "their hash is wrong"),
        (Fault::NoCommit, "names no commit"),
        (Fault::PathAsEtag, "sends no usable ETag"),
        (Fault::Circle, "redirects in circles"),
    ] {
        let hub = FakeHub::open(vec![math500_repository(40)]).unwrap();
        hub.fail(fault.clone());
        let machine = Machine::new(&hub);
        let refusal = machine.load("math500", &[], &[]).refusal();
        assert!(refusal.contains(text), "{fault:?}: {refusal}");
        assert!(refusal.contains("nothing of it was kept"), "{fault:?}: {refusal}");
        assert_eq!(machine.blobs(), Vec::<PathBuf>::new(), "{fault:?}");
        let asked = HubSettings::offline_in(machine.home.path().join("hub"));
        let request = Request { params: &DatasetParams::new(), hub: &asked, events: &|_| {} };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert!(runtime.block_on(dataset::load("math500", &request)).is_err(), "{fault:?}");
    }
}

#[test]
fn small_files_that_the_hub_redirects_to_itself_are_fetched() {
    let repository = Repository::new(GPQA, "gpqa_diamond.csv", gpqa(4), false);
    let hub = FakeHub::open(vec![repository]).unwrap();
    hub.fail(Fault::OwnRedirect);
    assert_eq!(Machine::new(&hub).load("gpqa", &[], &[]).dataset.unwrap().samples.len(), 4);
}

#[test]
fn a_download_that_breaks_off_or_falls_silent_goes_on_where_it_stopped() {
    for fault in [Fault::Cut(1_000, 2), Fault::Hang(1_000, 1), Fault::Busy(2, 0)] {
        let hub = FakeHub::open(vec![math500_repository(40)]).unwrap();
        hub.fail(fault.clone());
        let machine = Machine::new(&hub);
        let loaded = machine.load("math500", &[], &[("HF_HUB_DOWNLOAD_TIMEOUT", "3")]);
        assert_eq!(loaded.dataset.unwrap().samples.len(), 40, "{fault:?}");
        let ranges: Vec<Option<String>> =
            hub.fetches().into_iter().map(|asked| asked.range).collect();
        let expected: &[Option<&str>] = match fault {
            Fault::Cut(..) => &[None, Some("bytes=1000-"), Some("bytes=2000-")],
            Fault::Hang(..) => &[None, Some("bytes=1000-")],
            _ => &[None],
        };
        let ranges: Vec<Option<&str>> = ranges.iter().map(Option::as_deref).collect();
        assert_eq!(ranges, expected, "{fault:?}");
        assert_eq!(machine.blobs().len(), 1);
    }
}

#[test]
fn a_later_command_goes_on_with_what_an_earlier_one_left() {
    let hub = FakeHub::open(vec![math500_repository(40)]).unwrap();
    let machine = Machine::new(&hub);
    // The rest never comes.
    hub.fail(Fault::Hang(1_500, 1));
    let place = Place::new(&Hardware::None);
    let server = answering("\\boxed{1}");
    let first = Running::start(&mut machine.profile(&place, &server, "math500", &[]));
    let left = || machine.blobs().first().and_then(|blob| fs::metadata(blob).ok());
    wait_until("a part is here", || left().is_some_and(|about| about.len() == 1_500));
    drop(first);
    assert!(is_incomplete(&machine.blobs()[0]));

    let ended: Ended = run(&mut machine.profile(&place, &server, "math500", &[]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("of it from before"), "{}", ended.stderr);
    assert_eq!(hub.fetches().last().unwrap().range.as_deref(), Some("bytes=1500-"));
    assert_eq!(Recorded::read(&place.run()).records.len(), 40);
    assert!(!machine.blobs().iter().any(|blob| is_incomplete(blob)));
}

#[test]
fn a_server_that_knows_no_ranges_or_sends_others_costs_no_byte_of_truth() {
    let hub = FakeHub::open(vec![math500_repository(40)]).unwrap();
    let etag_of = |machine: &Machine| machine.blobs()[0].clone();
    let whole = Machine::new(&hub);
    whole.load("math500", &[], &[]).dataset.unwrap();
    let blob = etag_of(&whole);
    let left_by_an_earlier_try = |bytes: &[u8]| {
        let machine = Machine::new(&hub);
        let relative = blob.strip_prefix(whole.home.path()).unwrap();
        let part = machine.home.path().join(relative).with_extension("incomplete");
        fs::create_dir_all(part.parent().unwrap()).unwrap();
        fs::write(part, bytes).unwrap();
        machine
    };
    let start = &math500(40)[..700];
    hub.fail(Fault::NoRange);
    let loaded = left_by_an_earlier_try(start).load("math500", &[], &[]);
    assert_eq!(loaded.dataset.unwrap().samples.len(), 40);
    hub.fail(Fault::WrongRange);
    let machine = left_by_an_earlier_try(start);
    assert!(machine.load("math500", &[], &[]).refusal().contains("another part than the one"));
    hub.fail(Fault::Busy(0, 0));
    // What isn't the start of the file is found out by the hash, and the next try is a fresh one.
    let machine = left_by_an_earlier_try(&[b'x'; 700]);
    assert!(machine.load("math500", &[], &[]).refusal().contains("their hash is wrong"));
    assert_eq!(machine.load("math500", &[], &[]).dataset.unwrap().samples.len(), 40);
    // More than there is isn't gone on with.
    let machine = left_by_an_earlier_try(&[b'x'; 100_000]);
    assert_eq!(machine.load("math500", &[], &[]).dataset.unwrap().samples.len(), 40);
}

#[test]
fn a_hub_that_stays_away_is_explained_unless_the_file_is_here() {
    let hub = FakeHub::open(vec![math500_repository(4)]).unwrap();
    let mut machine = Machine::new(&hub);
    let away = closed_url().unwrap();
    let hub_url = std::mem::replace(&mut machine.endpoint, away.clone());
    let refusal = machine.load("math500", &[], &[]).refusal();
    assert!(refusal.contains(&format!("can't reach the hub at {away}")), "{refusal}");
    assert!(refusal.contains("HF_ENDPOINT to a mirror"), "{refusal}");
    let offline = machine.load("math500", &[], &[("HF_HUB_OFFLINE", "1")]).refusal();
    assert!(offline.contains("HF_HUB_OFFLINE is set; unset it once"), "{offline}");

    machine.endpoint = hub_url;
    machine.load("math500", &[], &[]).dataset.unwrap();
    machine.endpoint = away;
    let loaded = machine.load("math500", &[], &[]);
    assert!(loaded.warnings()[0].contains("is taken from the cache"), "{:?}", loaded.warnings());
    assert_eq!(loaded.dataset.unwrap().samples.len(), 4);
}

#[test]
fn a_revision_is_kept_and_main_moves_on() {
    let mut repository = math500_repository(4);
    let first = repository.head().to_owned();
    let second = repository.commit("test.jsonl", math500(6), true);
    let hub = FakeHub::open(vec![repository]).unwrap();
    let machine = Machine::new(&hub);
    let load = |params: &[(&str, &str)]| machine.load("math500", params, &[]).dataset.unwrap();
    let newest = load(&[]);
    assert_eq!((newest.revision.as_str(), newest.samples.len()), (second.as_str(), 6));
    let pinned = load(&[("revision", &first)]);
    assert_eq!((pinned.revision.as_str(), pinned.samples.len()), (first.as_str(), 4));
    let asked = hub.asked().len();
    assert_eq!(load(&[("revision", &first)]), pinned);
    assert_eq!(hub.asked().len(), asked, "a commit that is here needs no hub");
    let unknown = machine.load("math500", &[("revision", "v9")], &[]).refusal();
    assert!(unknown.contains("has no revision `v9`; those that it has are at"), "{unknown}");
    let outside = machine.load("math500", &[("revision", "../../x")], &[]);
    assert!(outside.refusal().contains("can't be a revision"), "{}", outside.refusal());
    assert!(matches!(outside.dataset, Err(DatasetError::Parameter(_))), "wrong usage");
}

#[test]
fn two_processes_fetch_a_file_once() {
    let hub = FakeHub::open(vec![math500_repository(40)]).unwrap();
    hub.fail(Fault::Slow(10));
    let machine = Machine::new(&hub);
    let loaded: Vec<Loaded> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..2).map(|_| scope.spawn(|| machine.load("math500", &[], &[]))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(hub.fetches().len(), 1);
    for loaded in loaded {
        assert_eq!(loaded.dataset.unwrap().samples.len(), 40);
    }
}

#[test]
fn rows_that_cannot_be_used_are_skipped_and_counted_and_the_others_asked() {
    let mut rows = lettered(6);
    rows[1].options.push("an eleventh".to_owned());
    rows[2].options.truncate(1);
    rows[4].question = " ".to_owned();
    rows[5].right = 12;
    let repository = Repository::new(MMLU_PRO, MMLU_PRO_FILE, mmlu_pro(&rows), true);
    let hub = FakeHub::open(vec![repository]).unwrap();
    let machine = Machine::new(&hub);
    let dataset = machine.load("mmlu-pro", &[], &[]).dataset.unwrap();
    let told: Vec<(&str, &str)> =
        dataset.skipped.iter().map(|row| (row.place.as_str(), row.reason.as_str())).collect();
    assert_eq!(
        told,
        [
            ("row 2", "it has 11 options; letters go up to J"),
            ("row 3", "its answer is option 3 of 1"),
            ("row 5", "its question is empty"),
            ("row 6", "its answer is `M`, and not a letter from A to J"),
        ]
    );
    let indices: Vec<usize> = dataset.samples.iter().map(|sample| sample.index).collect();
    assert_eq!(indices, [0, 3]);

    let place = Place::new(&Hardware::None);
    let server = answering("The answer is (A).");
    let ended = run(&mut machine.profile(&place, &server, "mmlu-pro", &[]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let recorded = Recorded::read(&place.run());
    assert_eq!((recorded.summary.queries.ok, recorded.summary.queries.skipped), (2, 4));
}

#[test]
fn a_damaged_file_in_the_cache_is_named_and_can_be_fetched_again() {
    let hub = FakeHub::open(vec![mmlu_pro_repository(4)]).unwrap();
    let machine = Machine::new(&hub);
    machine.load("mmlu-pro", &[], &[]).dataset.unwrap();
    let blob = machine.blobs().remove(0);
    let whole = fs::read(&blob).unwrap();
    // Cut, and overwritten in the middle.
    for damaged in
        [&whole[..whole.len() / 2], &[&whole[..40], &[0xff; 400], &whole[440..]].concat()]
    {
        fs::write(&blob, damaged).unwrap();
        let refusal = machine.load("mmlu-pro", &[], &[]).refusal();
        assert!(refusal.contains("is not Parquet that can be read"), "{refusal}");
        assert!(refusal.ends_with("remove it, and it is fetched again"), "{refusal}");
    }
    fs::remove_file(&blob).unwrap();
    assert_eq!(machine.load("mmlu-pro", &[], &[]).dataset.unwrap().samples.len(), 4);
}

#[test]
fn all_of_mmlu_pro_is_read_and_a_sample_of_it_is_the_same_each_time() {
    let hub = FakeHub::open(vec![mmlu_pro_repository(12_032)]).unwrap();
    let machine = Machine::new(&hub);
    let all = machine.load("mmlu-pro", &[], &[]).dataset.unwrap();
    assert_eq!((all.samples.len(), all.skipped.len()), (12_032, 0));
    assert_eq!(all.samples[12_031].metadata["question_id"], 12_031);
    assert!(!all.samples[0].metadata.contains_key("cot_content"), "it isn't read");
    let drawn = |seed: &str| {
        let params = [("max_samples", "100"), ("seed", seed)];
        machine.load("mmlu-pro", &params, &[]).dataset.unwrap().samples
    };
    assert_eq!(drawn("1"), drawn("1"));
    assert_ne!(drawn("1"), drawn("2"));
    assert!(drawn("1").iter().all(|sample| all.samples[sample.index] == *sample));
}
