//! Rows in CSV (RFC 4180): names in the first record, a row in each further one.
//!
//! Answers: the fields of each record, all of them text, or why it has none, and the hash of all bytes.
//! Memory is bounded by one record. Sizes are bytes.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::revision_of;
use super::rows::{Fields, LONGEST_ROW, ReadError, Rows};

/// Reads all records into `rows` and gives the revision: `sha256:` and the hash of all bytes. A
/// byte-order mark, Windows line ends and blank lines are no fault.
pub(super) fn read(
    input: impl Read,
    delimiter: u8,
    rows: &mut Rows<'_>,
) -> Result<String, ReadError> {
    let left = Rc::new(Cell::new(LONGEST_ROW));
    let input = Bounded { input, left: Rc::clone(&left), hash: Sha256::new() };
    // Records of another length are told from the others here, and skipped one by one.
    let mut reader = ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(input);
    let names = names(&mut reader)?;
    let mut record = ByteRecord::new();
    loop {
        left.set(LONGEST_ROW);
        if !reader.read_byte_record(&mut record).map_err(failed)? {
            break;
        }
        let line = record.position().map_or(0, csv::Position::line);
        rows.take(|| format!("line {line}"), fields(&names, &record))?;
    }
    Ok(revision_of(reader.into_inner().hash))
}

fn names(reader: &mut Reader<impl Read>) -> Result<Vec<String>, ReadError> {
    let header = reader.byte_headers().map_err(failed)?;
    let names: Vec<String> =
        header.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
    let twice = |at: &usize| names[..*at].contains(&names[*at]) && !names[*at].is_empty();
    match (0..names.len()).find(twice) {
        Some(at) => Err(ReadError::Unsuitable(format!(
            "has two columns named `{}`; rename one of them",
            names[at]
        ))),
        None => Ok(names),
    }
}

fn fields(names: &[String], record: &ByteRecord) -> Result<Fields, String> {
    if record.len() != names.len() {
        return Err(format!(
            "it has {} fields, and the first line names {} (is a quotation mark missing?)",
            record.len(),
            names.len()
        ));
    }
    let field = |(name, value): (&String, &[u8])| {
        let text = str::from_utf8(value).map_err(|_| format!("`{name}` is not UTF-8 text"))?;
        Ok((name.clone(), Value::String(text.to_owned())))
    };
    names.iter().zip(record).map(field).collect()
}

fn failed(error: csv::Error) -> ReadError {
    let text = error.to_string();
    match error.into_kind() {
        ErrorKind::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            ReadError::Unsuitable(error.to_string())
        }
        ErrorKind::Io(error) => ReadError::Io(error),
        _ => ReadError::Unsuitable(format!("is not CSV: {text}")),
    }
}

/// Reads on only while a record is of sensible length: behind a quotation mark that is never closed, all
/// that follows is one. Keeps the hash of what was read.
struct Bounded<R> {
    input: R,
    /// What the record under way may still take.
    left: Rc<Cell<usize>>,
    hash: Sha256,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "has a row of more than {LONGEST_ROW} bytes; a quotation mark that is never \
                     closed does that"
                ),
            ));
        }
        let count = self.input.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.left.set(self.left.get().saturating_sub(count));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::rows::Columns;
    use super::super::{Sample, SkippedRow};
    use super::*;

    fn read_all(bytes: &[u8], delimiter: u8) -> Result<(Vec<Sample>, Vec<SkippedRow>), ReadError> {
        let columns = Columns::default();
        let convert = |index, fields| columns.sample(index, fields);
        let mut rows = Rows::new(&convert);
        read(bytes, delimiter, &mut rows)?;
        Ok((rows.samples, rows.skipped))
    }

    #[test]
    fn quotes_line_breaks_and_windows_line_ends_are_read_as_they_are_meant() {
        let text =
            "\u{feff}problem,answer,subject,level\r\n\"1,5 \"\"or\"\"\r\n2?\",2,s,hard\r\n\r\n";
        let (samples, skipped) = read_all(text.as_bytes(), b',').unwrap();
        assert_eq!((samples.len(), skipped.len()), (1, 0));
        assert_eq!(samples[0].problem, "1,5 \"or\"\r\n2?");
        assert_eq!(samples[0].metadata["level"], "hard");
        let (samples, _) = read_all(b"problem\tanswer\tsubject\na, b\t2\ts\n", b'\t').unwrap();
        assert_eq!(samples[0].problem, "a, b");
    }

    #[test]
    fn a_bad_record_is_skipped_with_its_line_and_reason() {
        let text = b"problem,answer,subject\np,a,s\np,a\np,\xff,s\n,a,s\np,a,s\n";
        let (samples, skipped) = read_all(text, b',').unwrap();
        assert_eq!(samples.iter().map(|sample| sample.index).collect::<Vec<_>>(), [0, 4]);
        let told: Vec<(&str, &str)> =
            skipped.iter().map(|row| (row.place.as_str(), row.reason.as_str())).collect();
        assert_eq!(
            told,
            [
                (
                    "line 3",
                    "it has 2 fields, and the first line names 3 (is a quotation mark missing?)"
                ),
                ("line 4", "`answer` is not UTF-8 text"),
                ("line 5", "`problem` is empty"),
            ]
        );
    }

    #[test]
    fn an_open_quotation_mark_is_not_followed_through_the_whole_file() {
        let mut text = b"problem,answer,subject\n\"p,a,s\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', LONGEST_ROW + 100_000));
        let error = read_all(&text, b',').unwrap_err();
        assert!(
            matches!(&error, ReadError::Unsuitable(reason) if reason.contains("quotation mark")),
            "{error:?}"
        );
    }

    #[test]
    fn two_columns_of_one_name_are_refused() {
        let error = read_all(b"problem,answer,answer\np,a,b\n", b',').unwrap_err();
        assert!(
            matches!(&error, ReadError::Unsuitable(reason) if reason.contains("named `answer`"))
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(
            prop_oneof![Just(b'"'), Just(b','), Just(b'\n'), any::<u8>()], 0..200,
        )) {
            let _ = read_all(&bytes, b',');
        }
    }
}
