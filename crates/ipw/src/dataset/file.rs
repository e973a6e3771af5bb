//! A dataset of your own: a file of JSON lines, CSV, Parquet or Arrow data, or a directory that
//! HuggingFace's `datasets` saved; its columns are named by `--dataset-param`.
//!
//! Answers: the usable rows, or a sample of them that depends only on the seed and the rows' positions,
//! and the hash of all bytes. What kind of file it is shows in its first bytes; of text, in its name.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use super::choice::Choice;
use super::parquet::Wanted;
use super::rows::{Columns, ReadError, Rows, open, scoring_named, scorings};
use super::{
    Dataset, DatasetError, DatasetParams, DatasetProvider, Request, add_to_hash, arrow,
    check_parameters, csv, jsonl, not_empty, parquet, revision_of,
};
use crate::results::{FILE_MAGIC, STREAM_MAGIC};

const PARAMETERS: [&str; 8] =
    ["path", "problem", "answer", "subject", "scoring", "split", "max_samples", "seed"];
/// What a Parquet file begins with.
const PARQUET_MAGIC: [u8; 4] = *b"PAR1";
/// How much of the file's start is looked at to tell text from other data.
const LOOKED_AT: usize = 64 << 10;

/// The provider of `file`.
pub(super) struct File;

#[async_trait]
impl DatasetProvider for File {
    fn id(&self) -> &'static str {
        "file"
    }

    fn help(&self) -> &'static str {
        "your own rows (JSON lines, CSV, Parquet, Arrow) with problem, answer and subject: \
         --dataset-param path=PATH"
    }

    async fn load(&self, request: &Request<'_>) -> Result<Dataset, DatasetError> {
        read(request.params)
    }
}

fn read(params: &DatasetParams) -> Result<Dataset, DatasetError> {
    check_parameters(File.id(), params, &PARAMETERS)?;
    let path = params.get("path").filter(|path| !path.is_empty()).ok_or_else(|| {
        DatasetError::Parameter("dataset `file` needs a file: --dataset-param path=PATH".to_owned())
    })?;
    let columns = columns(params)?;
    let choice = Choice::from(params)?;
    let convert = |index, fields| columns.sample(index, fields);
    let mut rows = Rows::new(&convert);
    let split = params.get("split").map(String::as_str);
    let revision = read_into(path, split, &columns, &mut rows)?;
    let samples = choice.of(rows.samples);
    not_empty(&samples, &rows.skipped, path)?;
    let path = Path::new(path);
    let part = |part: Option<&std::ffi::OsStr>| {
        part.map(|part| part.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let mut id = format!("file-{}", part(path.file_stem()));
    if let Some(split) = split {
        id = format!("{id}-{split}");
    }
    Ok(Dataset { id, name: part(path.file_name()), revision, samples, skipped: rows.skipped })
}

fn columns(params: &DatasetParams) -> Result<Columns, DatasetError> {
    let defaults = Columns::default();
    let named = |name: &str, default: String| params.get(name).cloned().unwrap_or(default);
    let unknown = |name: &String| {
        DatasetError::Parameter(format!("scoring={name} is unknown; it can be {}", scorings()))
    };
    let scoring = params
        .get("scoring")
        .map(|name| scoring_named(name).ok_or_else(|| unknown(name)))
        .transpose()?;
    Ok(Columns {
        problem: named("problem", defaults.problem),
        answer: named("answer", defaults.answer),
        subject: named("subject", defaults.subject),
        scoring,
    })
}

/// Reads all rows of what lies at `path`, and gives the revision.
fn read_into(
    path: &str,
    split: Option<&str>,
    columns: &Columns,
    rows: &mut Rows<'_>,
) -> Result<String, DatasetError> {
    let about = fs::metadata(path).map_err(|source| unreadable(path, source))?;
    if about.is_dir() {
        let files = arrow::files(Path::new(path), split)?;
        return read_files(&files, rows);
    }
    if split.is_some() {
        return Err(DatasetError::Parameter(
            "split chooses a part of a directory, and path is a file; leave split out".to_owned(),
        ));
    }
    check_file(path, &about)?;
    read_file(Path::new(path), columns, rows).map_err(|error| error.of(path))
}

/// The files of a directory, one behind the other.
fn read_files(files: &[PathBuf], rows: &mut Rows<'_>) -> Result<String, DatasetError> {
    let mut hash = Sha256::new();
    for file in files {
        let place = file.display().to_string();
        open(file)
            .and_then(|mut file| add_to_hash(&mut file, &mut hash).map_err(ReadError::Io))
            .and_then(|()| arrow::read(file, rows))
            .map_err(|error| error.of(&place))?;
    }
    Ok(revision_of(hash))
}

fn read_file(path: &Path, columns: &Columns, rows: &mut Rows<'_>) -> Result<String, ReadError> {
    let mut input = BufReader::with_capacity(LOOKED_AT, open(path)?);
    let start = input.fill_buf().map_err(ReadError::Io)?;
    if start.starts_with(&PARQUET_MAGIC) {
        let named = [&columns.problem, &columns.answer, &columns.subject].map(String::as_str);
        parquet::read(open(path)?, &Wanted::AllAnd(&named), rows)?;
        return hash_of(path);
    }
    if start.starts_with(&FILE_MAGIC) || start.starts_with(&STREAM_MAGIC) {
        arrow::read(path, rows)?;
        return hash_of(path);
    }
    if start.contains(&0) {
        return Err(ReadError::Unsuitable(
            "is neither UTF-8 text nor Parquet or Arrow data (UTF-16, compressed?); turn it into \
             JSON lines in UTF-8"
                .to_owned(),
        ));
    }
    match path.extension().and_then(|ending| ending.to_str()) {
        Some(ending) if ending.eq_ignore_ascii_case("csv") => csv::read(input, b',', rows),
        Some(ending) if ending.eq_ignore_ascii_case("tsv") => csv::read(input, b'\t', rows),
        _ => jsonl::read(input, rows),
    }
}

/// Whether it is a regular file that can be a dataset. Anything else, a pipe say, could block or never
/// end.
fn check_file(path: &str, about: &fs::Metadata) -> Result<(), DatasetError> {
    if !about.is_file() {
        return Err(unsuitable(path, "is not a regular file; save its rows in one"));
    }
    if about.len() == 0 {
        return Err(unsuitable(
            path,
            "is empty; it should have rows with problem, answer and subject",
        ));
    }
    Ok(())
}

fn hash_of(path: &Path) -> Result<String, ReadError> {
    let mut hash = Sha256::new();
    add_to_hash(&mut open(path)?, &mut hash).map_err(ReadError::Io)?;
    Ok(revision_of(hash))
}

fn unreadable(path: &str, source: io::Error) -> DatasetError {
    let source = match source.kind() {
        io::ErrorKind::NotFound => io::Error::new(
            source.kind(),
            "there is no such file; give its path as --dataset-param path=PATH",
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
    use tempfile::TempDir;

    use super::super::rows::LARGEST_FILE;
    use super::*;

    fn load(path: &Path, more: &[(&str, &str)]) -> Result<Dataset, DatasetError> {
        let mut params = DatasetParams::from([("path".to_owned(), path.display().to_string())]);
        params.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        read(&params)
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
        assert!(
            error(&path, &[]).ends_with(
                "x.jsonl is empty; it should have rows with problem, answer and subject"
            )
        );
        assert!(error(directory.path(), &[]).contains("is a directory without a `state.json`"));
        let missing = error(&directory.path().join("no.jsonl"), &[]);
        assert!(
            missing.starts_with("can't read ")
                && missing.ends_with(
                    "no.jsonl: there is no such file; give its path as --dataset-param path=PATH"
                ),
            "{missing}"
        );
        let (_directory, binary) = file("x.parquet", b"PAR1\x15\x00\x15\x04");
        assert!(error(&binary, &[]).contains("x.parquet is not Parquet that can be read: "));
        let (_directory, wide) = file("x.jsonl", b"{\0\"\0a\0\"\0}\0");
        assert!(error(&wide, &[]).contains("x.jsonl is neither UTF-8 text nor Parquet or Arrow"));
        let (_directory, csv) = file("x.txt", "problem,answer,subject\np,a,s\n");
        assert!(
            error(&csv, &[])
                .contains("has no usable row; the first problem: line 1: not a JSON object")
        );
        assert!(error(&csv, &[("split", "test")]).ends_with("leave split out"));
        let (_directory, blank) = file("x.jsonl", "\n\n");
        assert!(error(&blank, &[]).ends_with("the first problem: it has none"));
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
            error(&path, &[("scoring", "guess")]),
            "scoring=guess is unknown; it can be letter, exact, numeric, math, constraints or judge"
        );
        assert_eq!(error(&path, &[("max_samples", "-1")]), "max_samples=-1 is not a whole number");
        assert!(error(&path, &[("max_samples", "0")]).starts_with("max_samples=0 leaves no rows"));
        assert!(error(&path, &[("seed", "1")]).ends_with("say how many with max_samples=N"));
        assert!(
            read(&DatasetParams::new())
                .unwrap_err()
                .to_string()
                .contains("--dataset-param path=PATH")
        );
    }

    #[test]
    fn commas_and_tabs_are_told_by_the_files_name() {
        let (_directory, csv) = file("x.CSV", "q,answer,subject\n\"1, 2\",B,s\n");
        let dataset = load(&csv, &[("problem", "q")]).unwrap();
        assert_eq!((dataset.samples[0].problem.as_str(), dataset.id.as_str()), ("1, 2", "file-x"));
        let (_directory, tsv) = file("x.tsv", "problem\tanswer\tsubject\n1, 2\tB\ts\n");
        assert_eq!(load(&tsv, &[]).unwrap().samples[0].problem, "1, 2");
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
