//! Rows of Arrow data: a directory as HuggingFace's `save_to_disk` writes it, or a single file.
//!
//! Answers: which files a directory's rows lie in, in order, and the fields of each row.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::DatasetError;
use super::rows::{ReadError, Rows};
use crate::results::{ForeignRows, ResultsError};

/// What a directory with a dataset has in it.
const STATE: &str = "state.json";
/// What a directory with a dataset for each split has in it.
const SPLITS: &str = "dataset_dict.json";
/// Most that is read of either, in bytes.
const LARGEST_DESCRIPTION: u64 = 16 << 20;

#[derive(Deserialize)]
struct State {
    #[serde(rename = "_data_files")]
    data_files: Vec<DataFile>,
}

#[derive(Deserialize)]
struct DataFile {
    filename: String,
}

#[derive(Deserialize)]
struct Splits {
    splits: Vec<String>,
}

/// The files with a directory's rows, in order.
pub(super) fn files(directory: &Path, split: Option<&str>) -> Result<Vec<PathBuf>, DatasetError> {
    let directory = of_split(directory, split)?;
    let State { data_files } = description(&directory, STATE)?.ok_or_else(|| {
        unsuitable(
            &directory,
            "is a directory without a `state.json`: not what `save_to_disk` of HuggingFace's \
             `datasets` writes; give such a directory, or a file",
        )
    })?;
    if data_files.is_empty() {
        return Err(unsuitable(&directory, "has no data file, by its `state.json`"));
    }
    data_files.iter().map(|file| inside(&directory, &file.filename)).collect()
}

/// The directory of the split that is asked for, or of the only one.
fn of_split(directory: &Path, split: Option<&str>) -> Result<PathBuf, DatasetError> {
    let splits: Option<Splits> = description(directory, SPLITS)?;
    match (splits, split) {
        (None, None) => Ok(directory.to_owned()),
        (None, Some(_)) => Err(DatasetError::Parameter(format!(
            "{} has no splits; leave split out",
            directory.display()
        ))),
        (Some(Splits { splits }), Some(split)) if splits.iter().any(|known| known == split) => {
            inside(directory, split)
        }
        (Some(Splits { splits }), None) if splits.len() == 1 => inside(directory, &splits[0]),
        (Some(Splits { splits }), _) => Err(DatasetError::Parameter(format!(
            "{} has several splits; choose one with --dataset-param split=NAME: {}",
            directory.display(),
            splits.join(", ")
        ))),
    }
}

/// What a file of JSON in a directory says; `None` if there is none.
fn description<T: DeserializeOwned>(
    directory: &Path,
    name: &str,
) -> Result<Option<T>, DatasetError> {
    let path = directory.join(name);
    let unreadable = |source| DatasetError::Read { path: path.display().to_string(), source };
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(unreadable)?,
    };
    let mut text = Vec::new();
    file.take(LARGEST_DESCRIPTION).read_to_end(&mut text).map_err(unreadable)?;
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| unsuitable(&path, &format!("is not what `save_to_disk` writes: {error}")))
}

/// A file or directory of this name, which must be a plain one.
fn inside(directory: &Path, name: &str) -> Result<PathBuf, DatasetError> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(_)), None) => Ok(directory.join(name)),
        _ => Err(unsuitable(directory, &format!("refers to `{name}`, which is outside of it"))),
    }
}

/// Reads all rows of a file.
pub(super) fn read(path: &Path, rows: &mut Rows<'_>) -> Result<(), ReadError> {
    for row in ForeignRows::open(path).map_err(unreadable)? {
        let number = rows.count() + 1;
        rows.take(|| format!("row {number}"), Ok(row.map_err(unreadable)?))?;
    }
    Ok(())
}

fn unreadable(error: ResultsError) -> ReadError {
    match error {
        ResultsError::Io { source, .. } => ReadError::Io(source),
        ResultsError::Damaged { what, .. } => {
            ReadError::Unsuitable(format!("is not Arrow data that can be read: {what}"))
        }
        other => ReadError::Unsuitable(format!("can't be read: {other}")),
    }
}

fn unsuitable(path: &Path, reason: &str) -> DatasetError {
    DatasetError::Unsuitable { path: path.display().to_string(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn directory(files: &[(&str, &str)]) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        directory
    }

    fn names(directory: &TempDir, split: Option<&str>) -> Result<Vec<String>, String> {
        let files = files(directory.path(), split).map_err(|error| error.to_string())?;
        let relative =
            |file: &PathBuf| file.strip_prefix(directory.path()).unwrap().display().to_string();
        Ok(files.iter().map(relative).collect())
    }

    #[test]
    fn the_files_are_those_that_the_description_names_in_its_order() {
        let state =
            r#"{"_data_files": [{"filename": "b.arrow"}, {"filename": "a.arrow"}], "x": 1}"#;
        let single = directory(&[("state.json", state)]);
        assert_eq!(names(&single, None).unwrap(), ["b.arrow", "a.arrow"]);
        assert!(names(&single, Some("test")).unwrap_err().ends_with("leave split out"));
        let several = directory(&[
            ("dataset_dict.json", r#"{"splits": ["train", "test"]}"#),
            ("test/state.json", state),
        ]);
        assert_eq!(names(&several, Some("test")).unwrap()[0], "test/b.arrow");
        for split in [None, Some("dev")] {
            let error = names(&several, split).unwrap_err();
            assert!(error.ends_with("split=NAME: train, test"), "{error}");
        }
        let one = directory(&[
            ("dataset_dict.json", r#"{"splits": ["test"]}"#),
            ("test/state.json", state),
        ]);
        assert_eq!(names(&one, None).unwrap()[0], "test/b.arrow");
    }

    #[test]
    fn a_directory_that_is_something_else_is_refused_with_what_to_give() {
        let refused =
            |name: &str, content: &str| names(&directory(&[(name, content)]), None).unwrap_err();
        assert!(refused("x.arrow", "").contains("without a `state.json`"));
        assert!(refused("state.json", "{}").contains("is not what `save_to_disk` writes"));
        assert!(refused("state.json", r#"{"_data_files": []}"#).contains("has no data file"));
        for outside in ["../x", "/etc/passwd", "a/b", "", "."] {
            let state = format!(r#"{{"_data_files": [{{"filename": "{outside}"}}]}}"#);
            assert!(refused("state.json", &state).contains("outside of it"), "{outside}");
        }
    }
}
