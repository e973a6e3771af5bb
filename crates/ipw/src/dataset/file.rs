//! A dataset of your own: a file of JSON lines, its columns named by `--dataset-param`.
//!
//! Answers: the file's usable rows, or a sample of them that depends only on the seed and the rows'
//! positions, and the hash of the file. Sizes are bytes.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::jsonl::{self, Columns, ReadError, Rows};
use super::{
    Dataset, DatasetError, DatasetParams, DatasetProvider, Sample, Scoring, check_parameters,
};

const PARAMETERS: [&str; 7] =
    ["path", "problem", "answer", "subject", "scoring", "max_samples", "seed"];
/// All rows are held in memory, with the answers to them; more than this is a mistake.
const LARGEST_FILE: u64 = 1 << 30;
/// How much of the file's start is looked at to tell text from other data.
const LOOKED_AT: usize = 64 << 10;

/// The provider of `file`.
pub(super) struct File;

impl DatasetProvider for File {
    fn id(&self) -> &'static str {
        "file"
    }

    fn help(&self) -> &'static str {
        "your own JSON lines with problem, answer and subject: --dataset-param path=FILE"
    }

    fn load(&self, params: &DatasetParams) -> Result<Dataset, DatasetError> {
        check_parameters(self.id(), params, &PARAMETERS)?;
        let path = params.get("path").filter(|path| !path.is_empty()).ok_or_else(|| {
            DatasetError::Parameter(
                "dataset `file` needs a file: --dataset-param path=FILE".to_owned(),
            )
        })?;
        let columns = columns(params)?;
        let choice = Choice::from(params)?;
        let rows = read(path, &columns)?;
        let samples = choice.of(rows.samples);
        if samples.is_empty() {
            let first = rows.skipped.first().map_or_else(
                || "all of its lines are blank".to_owned(),
                |row| format!("{}: {}", row.place, row.reason),
            );
            return Err(DatasetError::Empty { place: path.clone(), first });
        }
        let path = Path::new(path);
        let part = |part: Option<&std::ffi::OsStr>| {
            part.map(|part| part.to_string_lossy().into_owned()).unwrap_or_default()
        };
        Ok(Dataset {
            id: format!("file-{}", part(path.file_stem())),
            name: part(path.file_name()),
            revision: rows.revision,
            samples,
            skipped: rows.skipped,
        })
    }
}

fn columns(params: &DatasetParams) -> Result<Columns, DatasetError> {
    let defaults = Columns::default();
    let named = |name: &str, default: String| params.get(name).cloned().unwrap_or(default);
    let scoring = match params.get("scoring").map(String::as_str) {
        None => None,
        Some("letter") => Some(Scoring::Letter),
        Some("exact") => Some(Scoring::Exact),
        Some(other) => {
            return Err(DatasetError::Parameter(format!(
                "scoring={other} is unknown; it can be letter or exact"
            )));
        }
    };
    Ok(Columns {
        problem: named("problem", defaults.problem),
        answer: named("answer", defaults.answer),
        subject: named("subject", defaults.subject),
        scoring,
    })
}

/// Which of the usable rows are taken.
#[derive(Debug, Clone, Copy)]
enum Choice {
    All,
    First(usize),
    Random { count: usize, seed: u64 },
}

impl Choice {
    fn from(params: &DatasetParams) -> Result<Self, DatasetError> {
        let number = |name: &str| {
            let parse = |text: &String| {
                text.parse::<u64>().map_err(|_| {
                    DatasetError::Parameter(format!("{name}={text} is not a whole number"))
                })
            };
            params.get(name).map(parse).transpose()
        };
        let count =
            number("max_samples")?.map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        match (count, number("seed")?) {
            (Some(0), _) => Err(DatasetError::Parameter(
                "max_samples=0 leaves no rows; give 1 or more, or leave it out".to_owned(),
            )),
            (None, Some(_)) => Err(DatasetError::Parameter(
                "seed chooses which rows are taken; say how many with max_samples=N".to_owned(),
            )),
            (None, None) => Ok(Self::All),
            (Some(count), None) => Ok(Self::First(count)),
            (Some(count), Some(seed)) => Ok(Self::Random { count, seed }),
        }
    }

    /// The rows taken, in the file's order.
    fn of(self, mut samples: Vec<Sample>) -> Vec<Sample> {
        match self {
            Self::All => {}
            Self::First(count) => samples.truncate(count),
            Self::Random { count, seed } => {
                samples.sort_by_cached_key(|sample| lot(seed, sample.index));
                samples.truncate(count);
                samples.sort_by_key(|sample| sample.index);
            }
        }
        samples
    }
}

/// The row's place in a lottery. A hash and not a generator: the same seed has to choose the same rows
/// in every version of this program, on every machine.
fn lot(seed: u64, index: usize) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update((index as u64).to_le_bytes());
    hash.finalize().into()
}

fn read(path: &str, columns: &Columns) -> Result<Rows, DatasetError> {
    let mut input = BufReader::with_capacity(LOOKED_AT, open(path)?);
    let start = input.fill_buf().map_err(|source| unreadable(path, source))?;
    if start.contains(&0) {
        return Err(unsuitable(
            path,
            "is not UTF-8 text but binary data (Parquet, Arrow, UTF-16, compressed?); turn it into \
             JSON lines in UTF-8",
        ));
    }
    jsonl::read(input, columns).map_err(|error| match error {
        ReadError::Io(source) => unreadable(path, source),
        ReadError::Hopeless(row) => unsuitable(
            path,
            &format!(
                "is not JSON lines with the columns expected: thousands of rows can't be used, more \
                 than can; the first, {}: {}",
                row.place, row.reason
            ),
        ),
    })
}

/// Opens a regular file that can be a dataset. Anything else, a pipe say, could block or never end.
fn open(path: &str) -> Result<fs::File, DatasetError> {
    let about = fs::metadata(path).map_err(|source| unreadable(path, source))?;
    if about.is_dir() {
        return Err(unsuitable(path, "is a directory; give the file of JSON lines in it"));
    }
    if !about.is_file() {
        return Err(unsuitable(path, "is not a regular file; save its rows in one"));
    }
    if about.len() == 0 {
        return Err(unsuitable(
            path,
            "is empty; each line should be a JSON object with problem, answer and subject",
        ));
    }
    if about.len() > LARGEST_FILE {
        return Err(unsuitable(path, "is larger than 1 GiB; give a part of it"));
    }
    fs::File::open(path).map_err(|source| unreadable(path, source))
}

fn unreadable(path: &str, source: io::Error) -> DatasetError {
    let source = match source.kind() {
        io::ErrorKind::NotFound => io::Error::new(
            source.kind(),
            "there is no such file; give its path as --dataset-param path=FILE",
        ),
        _ => source,
    };
    DatasetError::Read { path: path.to_owned(), source }
}

fn unsuitable(path: &str, reason: &str) -> DatasetError {
    DatasetError::Unsuitable { path: path.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    fn load(path: &Path, more: &[(&str, &str)]) -> Result<Dataset, DatasetError> {
        let mut params = DatasetParams::from([("path".to_owned(), path.display().to_string())]);
        params.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        File.load(&params)
    }

    fn file(name: &str, content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        fs::write(&path, content).unwrap();
        (directory, path)
    }

    fn hundred_rows() -> String {
        (0..100)
            .map(|n| format!("{{\"problem\": \"p{n}\", \"answer\": {n}, \"subject\": \"s\"}}\n"))
            .collect()
    }

    fn error(path: &Path, more: &[(&str, &str)]) -> String {
        load(path, more).unwrap_err().to_string()
    }

    #[test]
    fn a_file_is_named_by_its_stem_and_pinned_by_its_hash() {
        let (_directory, path) = file("my tasks.v2.jsonl", hundred_rows());
        let dataset = load(&path, &[]).unwrap();
        assert_eq!(
            (dataset.id.as_str(), dataset.name.as_str()),
            ("file-my tasks.v2", "my tasks.v2.jsonl")
        );
        assert_eq!((dataset.samples.len(), dataset.skipped.len()), (100, 0));
        assert_eq!(dataset.samples[7].answer, "7");
        let (_directory, other) = file("other.jsonl", hundred_rows() + "\n");
        assert_ne!(load(&other, &[]).unwrap().revision, dataset.revision);
    }

    #[test]
    fn columns_can_have_other_names() {
        let (_directory, path) =
            file("x.jsonl", r#"{"q": "1 + 1?", "a": 2, "topic": "sums", "id": "x1"}"#);
        let named = [("problem", "q"), ("answer", "a"), ("subject", "topic"), ("scoring", "exact")];
        let dataset = load(&path, &named).unwrap();
        assert_eq!(
            (dataset.samples[0].problem.as_str(), dataset.samples[0].subject.as_str()),
            ("1 + 1?", "sums")
        );
        assert_eq!(dataset.samples[0].metadata["id"], "x1");
    }

    #[test]
    fn what_is_no_dataset_is_refused_with_what_to_do() {
        let (directory, path) = file("x.jsonl", "");
        assert!(error(&path, &[]).ends_with(
            "x.jsonl is empty; each line should be a JSON object with problem, answer and subject"
        ));
        assert!(
            error(directory.path(), &[])
                .ends_with("is a directory; give the file of JSON lines in it")
        );
        let missing = error(&directory.path().join("no.jsonl"), &[]);
        assert!(
            missing.starts_with("can't read ")
                && missing.ends_with(
                    "no.jsonl: there is no such file; give its path as --dataset-param path=FILE"
                ),
            "{missing}"
        );
        let (_directory, binary) = file("x.parquet", b"PAR1\x15\x00\x15\x04");
        assert!(error(&binary, &[]).contains("x.parquet is not UTF-8 text but binary data"));
        let (_directory, csv) = file("x.csv", "problem,answer,subject\np,a,s\n");
        assert!(
            error(&csv, &[])
                .contains("has no usable row; the first problem: line 1: not a JSON object")
        );
        let (_directory, blank) = file("x.jsonl", "\n\n");
        assert!(error(&blank, &[]).ends_with("the first problem: all of its lines are blank"));
        let (_directory, long) = file("x.jsonl", "{}\n".repeat(10_002));
        assert!(error(&long, &[]).contains("thousands of rows can't be used"));
    }

    #[cfg(unix)]
    #[test]
    fn a_device_that_never_ends_is_not_read() {
        assert!(
            error(Path::new("/dev/zero"), &[])
                .ends_with("is not a regular file; save its rows in one")
        );
    }

    #[test]
    fn a_file_too_large_to_hold_is_refused_before_it_is_read() {
        let (_directory, path) = file("x.jsonl", "");
        fs::File::options().write(true).open(&path).unwrap().set_len(LARGEST_FILE + 1).unwrap();
        assert!(error(&path, &[]).ends_with("is larger than 1 GiB; give a part of it"));
    }

    #[test]
    fn bad_parameters_say_what_would_be_right() {
        let (_directory, path) = file("x.jsonl", hundred_rows());
        assert_eq!(
            error(&path, &[("scoring", "judge")]),
            "scoring=judge is unknown; it can be letter or exact"
        );
        assert_eq!(error(&path, &[("max_samples", "-1")]), "max_samples=-1 is not a whole number");
        assert!(error(&path, &[("max_samples", "0")]).starts_with("max_samples=0 leaves no rows"));
        assert!(error(&path, &[("seed", "1")]).ends_with("say how many with max_samples=N"));
        assert!(
            File.load(&DatasetParams::new())
                .unwrap_err()
                .to_string()
                .contains("--dataset-param path=FILE")
        );
    }

    #[test]
    fn a_sample_depends_on_the_seed_alone_and_keeps_the_files_order() {
        let (_directory, path) = file("x.jsonl", hundred_rows());
        let taken = |more: &[(&str, &str)]| -> Vec<usize> {
            load(&path, more).unwrap().samples.iter().map(|sample| sample.index).collect()
        };
        let first = taken(&[("max_samples", "10"), ("seed", "1")]);
        assert_eq!(first.len(), 10);
        assert!(first.is_sorted());
        assert_eq!(first, taken(&[("seed", "1"), ("max_samples", "10")]));
        assert_ne!(first, taken(&[("max_samples", "10"), ("seed", "2")]));
        assert_eq!(taken(&[("max_samples", "3")]), [0, 1, 2]);
        assert_eq!(taken(&[("max_samples", "500"), ("seed", "1")]).len(), 100);
    }
}
