//! Replacing a file as a whole: a reader, and a crash at any moment, finds the old one or the new one.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::Serialize;
use tempfile::NamedTempFile;

use super::{Result, ResultsError};

/// The end of the name of a file that isn't whole yet. Its beginning is a dot and the final name.
const PARTIAL: &str = ".partial";

/// Writes `value` as indented JSON to `path`, in place of what is there, and makes the directory if
/// there is none.
///
/// # Errors
/// The place can't be written, or its disk is full; the old file is then untouched.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let failed = |error: serde_json::Error| match error.is_io() {
        true => ResultsError::writing(path)(error.into()),
        false => ResultsError::unencodable(path, error),
    };
    make_folder_of(path)?;
    replace(path, |file| {
        serde_json::to_writer_pretty(&mut *file, value).map_err(failed)?;
        file.write_all(b"\n").map_err(ResultsError::writing(path))
    })
}

/// Writes `bytes` to `path`, in place of what is there, and makes the directory if there is none.
///
/// # Errors
/// The place can't be written, or its disk is full; the old file is then untouched.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    make_folder_of(path)?;
    replace(path, |file| file.write_all(bytes).map_err(ResultsError::writing(path)))
}

fn make_folder_of(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) => fs::create_dir_all(parent).map_err(ResultsError::writing(parent)),
        None => Ok(()),
    }
}

/// Puts what `fill` writes in the place of `path`, durably: the content before the name, the name
/// before this returns.
///
/// # Errors
/// What `fill` reports, or the place can't be written; the old file is then untouched.
pub fn replace(path: &Path, fill: impl FnOnce(&mut BufWriter<&File>) -> Result<()>) -> Result<()> {
    let temporary = create_temporary(path).map_err(ResultsError::writing(path))?;
    let mut buffered = BufWriter::new(temporary.as_file());
    fill(&mut buffered)?;
    buffered
        .into_inner()
        .map_err(io::IntoInnerError::into_error)
        .and_then(|file| file.sync_all())
        .and_then(|()| temporary.persist(path).map_err(|failed| failed.error))
        .and_then(|_| sync_directory_of(path))
        .map_err(ResultsError::writing(path))
}

/// Whether `name` is that of a file that was to replace `target` when its process died.
pub(super) fn is_partial_of(name: &str, target: &str) -> bool {
    name.strip_prefix('.')
        .and_then(|rest| rest.strip_prefix(target))
        .is_some_and(|rest| rest.starts_with('.') && rest.ends_with(PARTIAL))
}

fn create_temporary(path: &Path) -> io::Result<NamedTempFile> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    tempfile::Builder::new()
        .prefix(&format!(".{name}."))
        .suffix(PARTIAL)
        // As for any new file: the process's umask decides who may read a run.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(directory_of(path))
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    File::open(directory_of(path))?.sync_all()
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_replaced_as_a_whole_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("analysis/accuracy.json");
        write_json(&path, &[1, 2, 3]).unwrap();
        write_json(&path, &["later"]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "[\n  \"later\"\n]\n");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_failure_while_filling_leaves_the_old_file_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("summary.json");
        write_json(&path, &"old").unwrap();
        let failed = replace(&path, |file| {
            file.write_all(b"half").unwrap();
            Err(ResultsError::NotARun { path: path.clone() })
        });
        assert!(matches!(failed, Err(ResultsError::NotARun { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "\"old\"\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_path_through_a_file_is_not_writable() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let refused = write_json(&dir.path().join("file/summary.json"), &1).unwrap_err();
        assert!(matches!(refused, ResultsError::NotWritable { .. }), "{refused:?}");
    }

    #[test]
    fn others_may_read_what_the_umask_allows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        let usual = dir.path().join("usual");
        write_json(&path, &1).unwrap();
        fs::write(&usual, "").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&usual));
    }

    #[test]
    fn only_the_leftovers_of_the_named_file_are_its_partials() {
        assert!(is_partial_of(".state.json.aB3.partial", "state.json"));
        assert!(!is_partial_of("state.json", "state.json"));
        assert!(!is_partial_of(".state.jsonx.partial", "state.json"));
        assert!(!is_partial_of(".other.aB3.partial", "state.json"));
    }
}
