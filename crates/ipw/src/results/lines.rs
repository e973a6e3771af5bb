//! Files of a run that grow by lines, each a JSON object: whole or not there.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::marker::PhantomData;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Result, ResultsError};

/// The most bytes a line may have. Only a server's own text could make one long.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// What a file of lines holds.
pub trait Entry: Serialize + DeserializeOwned {
    /// The file, from the run's directory.
    const FILE: &'static str;
}

/// Appends to a file of lines. Each line is whole in the file before [`LineLog::push`] returns, and
/// survives the process; after [`LineLog::sync`] it survives a loss of power.
#[derive(Debug)]
pub struct LineLog<T> {
    file: File,
    path: PathBuf,
    /// Where the next line begins. Behind it there may be the beginning of a line that failed.
    end: u64,
    entries: PhantomData<fn(&T)>,
}

impl<T: Entry> LineLog<T> {
    /// Opens the log in the run's directory, or begins one. What a crash left of a line is dropped.
    ///
    /// # Errors
    /// The file can't be read or written, or is damaged.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(T::FILE);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(ResultsError::writing(parent))?;
        }
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(ResultsError::writing(&path))?;
        let end = Lines::of(&file, &path).whole_lines_end()?;
        let log = Self { file, path, end, entries: PhantomData };
        log.drop_rest().map_err(ResultsError::writing(&log.path))?;
        Ok(log)
    }

    /// Appends one line and hands it to the operating system.
    ///
    /// # Errors
    /// The disk is full or fails, or the entry is too long; the line is then not there, and it may
    /// be pushed again.
    pub fn push(&mut self, entry: &T) -> Result<()> {
        let mut line = serde_json::to_vec(entry)
            .map_err(|source| ResultsError::unencodable(&self.path, source))?;
        line.push(b'\n');
        if line.len() as u64 > MAX_LINE_BYTES {
            return Err(ResultsError::unencodable(&self.path, "the entry is too long for a line"));
        }
        // The length is set first so that a shorter line leaves nothing of a failed longer one.
        self.drop_rest()
            .and_then(|()| self.file.write_all_at(&line, self.end))
            .map_err(ResultsError::writing(&self.path))?;
        self.end += line.len() as u64;
        Ok(())
    }

    /// Makes all lines durable.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(ResultsError::writing(&self.path))
    }

    fn drop_rest(&self) -> std::io::Result<()> {
        self.file.set_len(self.end)
    }
}

/// All entries of a file in the run's directory. What a crash left of a last line is passed over.
///
/// # Errors
/// The file can't be read, or a line in it is damaged; the error names the line.
pub(super) fn read_entries<T: Entry>(dir: &Path) -> Result<Vec<T>> {
    let path = dir.join(T::FILE);
    let file = File::open(&path).map_err(ResultsError::reading(&path))?;
    let mut lines = Lines::of(&file, &path);
    let mut entries = Vec::new();
    while let Some(line) = lines.next_whole()? {
        let entry = serde_json::from_slice(line)
            .map_err(|error| lines_damaged(&path, entries.len(), &error.to_string()))?;
        entries.push(entry);
    }
    Ok(entries)
}

/// The whole lines of a file, one in memory at a time.
struct Lines<'a> {
    reader: BufReader<&'a File>,
    path: &'a Path,
    line: Vec<u8>,
    count: usize,
}

impl<'a> Lines<'a> {
    fn of(file: &'a File, path: &'a Path) -> Self {
        Self { reader: BufReader::new(file), path, line: Vec::new(), count: 0 }
    }

    /// The next line that ends in a line feed.
    fn next_whole(&mut self) -> Result<Option<&[u8]>> {
        self.line.clear();
        self.reader
            .by_ref()
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut self.line)
            .map_err(ResultsError::reading(self.path))?;
        if self.line.last() == Some(&b'\n') {
            self.count += 1;
            return Ok(Some(&self.line));
        }
        if self.line.len() as u64 == MAX_LINE_BYTES {
            return Err(lines_damaged(self.path, self.count, "it is too long"));
        }
        Ok(None)
    }

    /// The offset behind the last whole line.
    fn whole_lines_end(mut self) -> Result<u64> {
        let mut end = 0;
        while let Some(line) = self.next_whole()? {
            end += line.len() as u64;
        }
        Ok(end)
    }
}

fn lines_damaged(path: &Path, whole_before: usize, what: &str) -> ResultsError {
    ResultsError::damaged(path, format!("line {}: {what}", whole_before + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Note {
        index: i64,
        text: String,
    }

    impl Entry for Note {
        const FILE: &'static str = "below/notes.jsonl";
    }

    fn note(index: i64) -> Note {
        Note { index, text: "two\nlines".to_owned() }
    }

    fn indices(dir: &Path) -> Vec<i64> {
        read_entries::<Note>(dir).unwrap().iter().map(|note| note.index).collect()
    }

    #[test]
    fn entries_come_back_as_they_were_pushed_over_several_openings() {
        let dir = tempfile::tempdir().unwrap();
        for index in 0..3 {
            LineLog::open(dir.path()).unwrap().push(&note(index)).unwrap();
        }
        assert_eq!(read_entries::<Note>(dir.path()).unwrap(), [0, 1, 2].map(note));
    }

    #[test]
    fn a_log_cut_at_any_byte_keeps_its_whole_lines_and_takes_new_ones() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LineLog::open(dir.path()).unwrap();
        log.push(&note(0)).unwrap();
        let one_line = log.end;
        log.push(&note(1)).unwrap();
        log.sync().unwrap();
        let path = dir.path().join(Note::FILE);
        let whole = fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let kept = [one_line, log.end].iter().filter(|end| **end <= cut as u64).count() as i64;
            assert_eq!(indices(dir.path()), (0..kept).collect::<Vec<_>>(), "cut at {cut}");
            LineLog::open(dir.path()).unwrap().push(&note(9)).unwrap();
            assert_eq!(indices(dir.path()), (0..kept).chain([9]).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LineLog::open(dir.path()).unwrap();
        for index in 0..3 {
            log.push(&note(index)).unwrap();
        }
        let path = dir.path().join(Note::FILE);
        let text = fs::read_to_string(&path).unwrap().replacen("\"index\":1", "\"ind", 1);
        fs::write(&path, text).unwrap();
        let refused = read_entries::<Note>(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("line 2"), "{refused}");
    }

    #[test]
    fn an_endless_line_is_an_error_and_not_a_memory_hog() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("below")).unwrap();
        fs::write(dir.path().join(Note::FILE), vec![b'x'; MAX_LINE_BYTES as usize + 1]).unwrap();
        let refused = [
            read_entries::<Note>(dir.path()).map(drop),
            LineLog::<Note>::open(dir.path()).map(drop),
        ];
        for refused in refused {
            assert!(matches!(refused, Err(ResultsError::Damaged { .. })), "{refused:?}");
        }
    }

    #[test]
    fn what_a_failed_push_left_is_gone_after_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LineLog::open(dir.path()).unwrap();
        log.push(&note(0)).unwrap();
        log.file.write_all_at(&[b'x'; 5000], log.end).unwrap();
        log.push(&note(1)).unwrap();
        assert_eq!(indices(dir.path()), [0, 1]);
    }
}
