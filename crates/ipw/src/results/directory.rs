//! The directory of one run: its name, who may write in it, and which of its files are ours.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::replace::is_partial_of;
use super::{
    DATASET_INFO_FILE, REQUESTS_FILE, ROWS_FILE, Result, ResultsError, RunStatus, STATE_FILE,
    SUMMARY_FILE, TELEMETRY_FILE, VERDICTS_FILE, read_summary,
};

const LOCK_FILE: &str = ".lock";

/// Any of these makes a directory a run's.
const RUN_MARKS: [&str; 4] = [SUMMARY_FILE, ROWS_FILE, REQUESTS_FILE, TELEMETRY_FILE];

/// Everything a run writes, and so all that `--overwrite` may remove.
const OWN_FILES: [&str; 14] = [
    ROWS_FILE,
    DATASET_INFO_FILE,
    STATE_FILE,
    TELEMETRY_FILE,
    REQUESTS_FILE,
    VERDICTS_FILE,
    "analysis/accuracy.json",
    "analysis/regression.json",
    "plots/regression.png",
    "plots/output_kde.png",
    "report.html",
    "queries.csv",
    "queries.parquet",
    // Last: until it is gone, the directory says what it is.
    SUMMARY_FILE,
];

/// Subdirectories of ours, removed by `--overwrite` once nothing is left in them.
const OWN_DIRECTORIES: [&str; 2] = ["analysis", "plots"];

/// A name of a model, dataset or device may take this many bytes: four of them and the word
/// `profile` stay below the 255 of a file name.
const SLUG_BYTES: usize = 56;

/// A run's directory, held against every other process until this is dropped.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    /// The lock is on this open file: it ends with the process, however that ends.
    _lock: File,
}

impl RunDirectory {
    /// Makes and holds the directory of a new run. Files that are no run's may be in it.
    ///
    /// # Errors
    /// A run is there already, another process holds it, or the place can't be written.
    pub fn create(path: &Path) -> Result<Self> {
        let held = Self::hold(path)?;
        if holds_run(path) {
            return Err(ResultsError::AlreadyThere {
                path: path.to_owned(),
                status: status_of_abandoned(path),
            });
        }
        Ok(held)
    }

    /// Holds the directory of an earlier run.
    ///
    /// # Errors
    /// No run is there, another process holds it, or the place can't be written.
    pub fn reopen(path: &Path) -> Result<Self> {
        if !holds_run(path) {
            return Err(ResultsError::NotARun { path: path.to_owned() });
        }
        let held = Self::hold(path)?;
        remove_partials(path)?;
        Ok(held)
    }

    /// Makes or holds the directory and removes an earlier run's files, and nothing else.
    ///
    /// # Errors
    /// Another process holds it, or the place can't be written.
    pub fn overwrite(path: &Path) -> Result<Self> {
        let held = Self::hold(path)?;
        held.clear()?;
        Ok(held)
    }

    /// Takes back a run that came to nothing: its files, and the directory if nothing else is in it.
    ///
    /// # Errors
    /// The place can't be written.
    pub fn discard(self) -> Result<()> {
        self.clear()?;
        remove_if_there(&self.path.join(LOCK_FILE))?;
        remove_if_empty(&self.path)
    }

    fn clear(&self) -> Result<()> {
        remove_partials(&self.path)?;
        for name in OWN_FILES {
            remove_if_there(&self.path.join(name))?;
        }
        for name in OWN_DIRECTORIES {
            remove_if_empty(&self.path.join(name))?;
        }
        Ok(())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn hold(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).map_err(ResultsError::writing(path))?;
        let lock_path = path.join(LOCK_FILE);
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(ResultsError::writing(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(ResultsError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => {
                Err(ResultsError::Io { action: "lock", path: lock_path, source })
            }
        }
    }
}

/// `text` as part of a directory's name: letters, digits, `.` and `-` stay, anything else becomes
/// `_`. Never empty, never hidden, at most 56 bytes; what had to be cut stays distinct.
#[must_use]
pub fn slug(text: &str) -> String {
    let mut slug: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' })
        .collect();
    if slug.is_empty() || slug.starts_with('.') {
        slug.insert(0, '_');
    }
    if slug.len() > SLUG_BYTES {
        let mark = hex(&Sha256::digest(text.as_bytes())[..4]);
        slug.truncate(SLUG_BYTES - mark.len() - 1);
        slug = format!("{slug}-{mark}");
    }
    slug
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn holds_run(path: &Path) -> bool {
    RUN_MARKS.iter().any(|name| path.join(name).exists())
}

/// The status of a run whose lock this process has just taken: `running` can't be true any more.
fn status_of_abandoned(path: &Path) -> Option<RunStatus> {
    match read_summary(path).ok()?.status {
        RunStatus::Running => Some(RunStatus::Interrupted),
        other => Some(other),
    }
}

/// Removes what earlier processes were writing when they died.
fn remove_partials(path: &Path) -> Result<()> {
    for target in OWN_FILES.map(|name| path.join(name)) {
        let (Some(directory), Some(name)) = (target.parent(), target.file_name()) else { continue };
        let Ok(entries) = fs::read_dir(directory) else { continue };
        let name = name.to_string_lossy();
        for entry in entries.flatten() {
            if is_partial_of(&entry.file_name().to_string_lossy(), &name) {
                remove_if_there(&entry.path())?;
            }
        }
    }
    Ok(())
}

/// Removes a file of a run, if it is there.
///
/// # Errors
/// It is there and can't be removed.
pub fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if !is_absence(&error) => Err(ResultsError::writing(path)(error)),
        _ => Ok(()),
    }
}

fn remove_if_empty(path: &Path) -> Result<()> {
    match fs::remove_dir(path) {
        Err(error) if !is_absence(&error) && error.kind() != io::ErrorKind::DirectoryNotEmpty => {
            Err(ResultsError::writing(path)(error))
        }
        _ => Ok(()),
    }
}

/// Nothing of ours is at that path: no file, or something of others where our directory would be.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_with(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        dir
    }

    fn names_below(path: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_run_gets_its_directory_with_all_parents() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDirectory::create(&dir.path().join("a/b/run")).unwrap();
        assert!(run.path().is_dir());
    }

    #[test]
    fn a_directory_with_other_peoples_files_can_hold_a_new_run() {
        let dir = run_with(&["notes.txt"]);
        RunDirectory::create(dir.path()).unwrap();
    }

    #[test]
    fn any_file_of_a_run_keeps_a_new_run_out_and_the_error_names_the_ways_on() {
        for mark in RUN_MARKS {
            let dir = run_with(&[mark]);
            let refused = RunDirectory::create(dir.path()).unwrap_err();
            assert!(matches!(refused, ResultsError::AlreadyThere { status: None, .. }));
            let text = refused.to_string();
            for way in ["--resume", "--overwrite", "--tag"] {
                assert!(text.contains(way), "{text}");
            }
        }
    }

    #[test]
    fn a_directory_without_a_run_cannot_be_reopened_and_stays_untouched() {
        let dir = run_with(&["notes.txt"]);
        let refused = RunDirectory::reopen(dir.path()).unwrap_err();
        assert!(matches!(refused, ResultsError::NotARun { .. }));
        assert_eq!(names_below(dir.path()), ["notes.txt"]);
    }

    #[test]
    fn a_held_directory_is_locked_for_everyone_else_until_its_holder_is_gone() {
        let dir = run_with(&[SUMMARY_FILE]);
        let held = RunDirectory::reopen(dir.path()).unwrap();
        for attempt in [RunDirectory::create, RunDirectory::reopen, RunDirectory::overwrite] {
            let refused = attempt(dir.path()).unwrap_err();
            assert!(matches!(refused, ResultsError::Locked { .. }), "{refused:?}");
        }
        assert_eq!(names_below(dir.path()), [".lock", SUMMARY_FILE]);
        drop(held);
        RunDirectory::reopen(dir.path()).unwrap();
    }

    #[test]
    fn overwriting_removes_our_files_and_nothing_else() {
        let dir = run_with(&OWN_FILES);
        for foreign in ["notes.txt", "cache-1.arrow", "plots/mine.png", ".x.partial"] {
            fs::write(dir.path().join(foreign), "x").unwrap();
        }
        fs::write(dir.path().join(".telemetry.arrow.Ab1.partial"), "x").unwrap();
        RunDirectory::overwrite(dir.path()).unwrap();
        assert_eq!(
            names_below(dir.path()),
            [".lock", ".x.partial", "cache-1.arrow", "notes.txt", "plots"]
        );
        assert_eq!(names_below(&dir.path().join("plots")), ["mine.png"]);
    }

    #[test]
    fn overwriting_a_directory_that_is_not_there_makes_it() {
        let dir = tempfile::tempdir().unwrap();
        RunDirectory::overwrite(&dir.path().join("new")).unwrap();
        assert_eq!(names_below(&dir.path().join("new")), [".lock"]);
    }

    #[test]
    fn reopening_removes_what_a_dead_process_had_half_written() {
        let dir = run_with(&[SUMMARY_FILE, ".data-00000-of-00001.arrow.Zz9.partial"]);
        RunDirectory::reopen(dir.path()).unwrap();
        assert_eq!(names_below(dir.path()), [".lock", SUMMARY_FILE]);
    }

    #[test]
    fn a_place_below_a_file_is_not_writable() {
        let dir = run_with(&["file"]);
        let refused = RunDirectory::create(&dir.path().join("file/run")).unwrap_err();
        assert!(matches!(refused, ResultsError::NotWritable { .. }), "{refused:?}");
    }

    #[test]
    fn a_slug_keeps_letters_digits_dots_and_dashes() {
        assert_eq!(slug("llama3.2:1b"), "llama3.2_1b");
        assert_eq!(slug("org/Model-7B v2"), "org_Model-7B_v2");
        assert_eq!(slug("../../etc"), "_.._.._etc");
        assert_eq!(slug(""), "_");
        assert_eq!(slug("é"), "_");
    }

    #[test]
    fn long_names_that_differ_only_at_their_end_keep_different_slugs() {
        let long = "org/".repeat(30);
        let (q4, q5) = (slug(&format!("{long}Q4")), slug(&format!("{long}Q5")));
        assert_ne!(q4, q5);
        assert_eq!((q4.len(), q5.len()), (SLUG_BYTES, SLUG_BYTES));
    }
}
