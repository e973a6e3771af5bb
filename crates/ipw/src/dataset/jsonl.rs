//! Rows in JSON lines: one object a line, read as a stream.
//!
//! Answers: the fields of each line, or why it has none, and the hash of all bytes. It does not know
//! where the bytes come from. Memory is bounded by one line.

use std::io::{self, BufRead};

use sha2::{Digest, Sha256};

use super::revision_of;
use super::rows::{Fields, LONGEST_ROW, ReadError, Rows};

/// Reads all lines into `rows` and gives the revision: `sha256:` and the hash of all bytes. A byte-order
/// mark, Windows line ends and blank lines are no fault.
pub(super) fn read(input: impl BufRead, rows: &mut Rows<'_>) -> Result<String, ReadError> {
    let mut lines = Lines { input, hash: Sha256::new(), number: 0 };
    while let Some(line) = lines.next().map_err(ReadError::Io)? {
        let Some(row) = line.and_then(|bytes| fields(&bytes)).transpose() else { continue };
        let number = lines.number;
        rows.take(|| format!("line {number}"), row)?;
    }
    Ok(revision_of(lines.hash))
}

/// The lines of a stream, of which it keeps the hash.
struct Lines<R> {
    input: R,
    hash: Sha256,
    /// Of the line returned last; the first is 1.
    number: usize,
}

impl<R: BufRead> Lines<R> {
    /// The next line with its line end, or why it can't be used; `None` at the end.
    fn next(&mut self) -> io::Result<Option<Result<Vec<u8>, String>>> {
        let mut line = Vec::new();
        let mut length = 0;
        loop {
            let chunk = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            let end = chunk.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let part = &chunk[..end.unwrap_or(chunk.len())];
            let (taken, at_end) = (part.len(), end.is_some() || part.is_empty());
            self.hash.update(part);
            length += taken;
            if length <= LONGEST_ROW {
                line.extend_from_slice(part);
            }
            self.input.consume(taken);
            if at_end {
                break;
            }
        }
        if length == 0 {
            return Ok(None);
        }
        self.number += 1;
        if length > LONGEST_ROW {
            return Ok(Some(Err(format!(
                "the line has {length} bytes; the longest that is read has {LONGEST_ROW}"
            ))));
        }
        if self.number == 1 && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        Ok(Some(Ok(line)))
    }
}

/// The fields in a line, `None` for a blank line, or why there are none.
fn fields(line: &[u8]) -> Result<Option<Fields>, String> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let text = str::from_utf8(line).map_err(|_| "not UTF-8 text".to_owned())?;
    serde_json::from_str(text).map(Some).map_err(|error| format!("not a JSON object: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read as _};

    use proptest::prelude::*;

    use serde_json::Value;

    use super::super::rows::{Columns, MANY_SKIPPED};
    use super::super::{Sample, Scoring, SkippedRow};
    use super::*;

    /// What all lines come to.
    #[derive(Debug)]
    struct Read {
        samples: Vec<Sample>,
        skipped: Vec<SkippedRow>,
        revision: String,
    }

    fn read_with(input: impl BufRead, columns: &Columns) -> Result<Read, ReadError> {
        let convert = |index, fields| columns.sample(index, fields);
        let mut rows = Rows::new(&convert);
        let revision = read(input, &mut rows)?;
        Ok(Read { samples: rows.samples, skipped: rows.skipped, revision })
    }

    fn rows(text: &str) -> Read {
        read_with(text.as_bytes(), &Columns::default()).unwrap()
    }

    fn reasons(text: &str) -> Vec<(String, String)> {
        rows(text).skipped.into_iter().map(|row| (row.place, row.reason)).collect()
    }

    #[test]
    fn columns_become_the_sample_and_all_else_its_metadata() {
        let rows =
            rows(r#"{"id": 7, "problem": "p", "answer": "a", "subject": "s", "level": "hard"}"#);
        let [sample] = rows.samples.as_slice() else { panic!("{rows:?}") };
        assert_eq!((sample.problem.as_str(), sample.answer.as_str()), ("p", "a"));
        assert_eq!((sample.subject.as_str(), sample.scoring), ("s", Scoring::Exact));
        assert_eq!(
            Value::Object(sample.metadata.clone()),
            serde_json::json!({"id": 7, "level": "hard"})
        );
    }

    #[test]
    fn every_kind_of_bad_row_is_skipped_with_its_line_and_reason() {
        let good = r#"{"problem": "p", "answer": "a", "subject": "s"}"#;
        let cases = [
            ("nonsense", "not a JSON object: expected ident at line 1 column 2"),
            ("[1, 2]", "not a JSON object"),
            (r#"{"problem": "p", "answer": "a"#, "not a JSON object"),
            (r#"{"answer": "a", "subject": "s"}"#, "there is no `problem`; name another column"),
            (r#"{"problem": " \t", "answer": "a", "subject": "s"}"#, "`problem` is empty"),
            (r#"{"problem": "p", "answer": null, "subject": "s"}"#, "`answer` is null"),
            (r#"{"problem": ["p"], "answer": "a", "subject": "s"}"#, "`problem` is a list"),
            (r#"{"problem": "p", "answer": {"x": 1}, "subject": "s"}"#, "`answer` is an object"),
            (r#"{"problem": "p", "answer": true, "subject": "s"}"#, "`answer` is true or false"),
            (
                r#"{"problem": "p", "answer": 123456789012345678901, "subject": "s"}"#,
                "`answer` is a number too large",
            ),
            (
                r#"{"problem": "p", "answer": "a", "subject": "s", "scoring": "guess"}"#,
                "`scoring` is \"guess\"; it can be letter, exact, numeric, math, constraints or judge",
            ),
            (
                r#"{"problem": "p", "answer": "Ghent", "subject": "s", "scoring": "letter"}"#,
                "it is scored by letter",
            ),
        ];
        for (bad, expected) in cases {
            let found = reasons(&format!("{good}\n\n{bad}\n{good}\n"));
            let [(place, reason)] = found.as_slice() else { panic!("{bad}: {found:?}") };
            assert_eq!(place, "line 3", "{bad}");
            assert!(reason.starts_with(expected), "{bad}: {reason}");
        }
    }

    #[test]
    fn an_index_counts_usable_and_unusable_rows_but_no_blank_lines() {
        let good = r#"{"problem": "p", "answer": "a", "subject": "s"}"#;
        let rows = rows(&format!("{good}\n{{}}\n\n{good}"));
        let indices: Vec<usize> = rows.samples.iter().map(|sample| sample.index).collect();
        assert_eq!((indices, rows.skipped.len()), (vec![0, 2], 1));
    }

    #[test]
    fn numbers_become_the_text_a_person_would_write() {
        for (number, text) in [
            ("42", "42"),
            ("-7", "-7"),
            ("0.5", "0.5"),
            ("18446744073709551615", "18446744073709551615"),
        ] {
            let rows = rows(&format!(r#"{{"problem": 1, "answer": {number}, "subject": 2}}"#));
            assert_eq!(rows.samples[0].answer, text);
        }
    }

    #[test]
    fn a_byte_order_mark_and_windows_line_ends_are_no_fault() {
        let rows = rows(
            "\u{feff}{\"problem\": \"p\", \"answer\": \"a\", \"subject\": \"s\"}\r\n\r\n{\"problem\": \"q\", \"answer\": \"a\", \"subject\": \"s\"}\r\n",
        );
        assert_eq!((rows.samples.len(), rows.skipped.len()), (2, 0));
    }

    #[test]
    fn a_line_that_is_not_utf_8_is_skipped_and_the_next_one_read() {
        let bytes = b"{\"problem\": \"\xff\", \"answer\": \"a\", \"subject\": \"s\"}\n{\"problem\": \"q\", \"answer\": \"a\", \"subject\": \"s\"}";
        let rows = read_with(&bytes[..], &Columns::default()).unwrap();
        assert_eq!((rows.samples.len(), rows.skipped[0].reason.as_str()), (1, "not UTF-8 text"));
    }

    #[test]
    fn a_line_over_the_limit_is_skipped_without_being_kept() {
        let long = io::repeat(b'x').take(LONGEST_ROW as u64 + 5);
        let rest = b"\n{\"problem\": \"q\", \"answer\": \"a\", \"subject\": \"s\"}\n";
        let rows = read_with(BufReader::new(long.chain(&rest[..])), &Columns::default()).unwrap();
        assert_eq!(rows.samples.len(), 1);
        assert!(
            rows.skipped[0].reason.starts_with("the line has 16777222 bytes"),
            "{:?}",
            rows.skipped
        );
    }

    #[test]
    fn a_stream_of_bad_rows_is_given_up() {
        let error =
            read_with("x\n".repeat(MANY_SKIPPED + 1).as_bytes(), &Columns::default()).unwrap_err();
        assert!(matches!(error, ReadError::Hopeless(row) if row.place == "line 1"));
    }

    #[test]
    fn the_revision_is_the_hash_of_all_bytes() {
        // `printf 'x\n\n' | sha256sum`
        let expected = "sha256:d1329c6d1284e888680db5b03619fc08bdf1ee0b172c946ca6d1f18f5ea40d61";
        assert_eq!(rows("x\n\n").revision, expected);
        assert_ne!(rows("x\n\n").revision, rows("x\n").revision);
        assert_eq!(
            rows("").revision,
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn the_rule_for_all_rows_wins_over_a_rows_own() {
        let columns = Columns { scoring: Some(Scoring::Exact), ..Columns::default() };
        let row = r#"{"problem": "p", "answer": "B", "subject": "s", "scoring": "letter"}"#;
        assert_eq!(read_with(row.as_bytes(), &columns).unwrap().samples[0].scoring, Scoring::Exact);
        assert_eq!(rows(row).samples[0].scoring, Scoring::Letter);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic_and_every_line_is_accounted_for(
            lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
            buffer in 1_usize..64,
        ) {
            let bytes = lines.join(&b'\n');
            let read = read_with(BufReader::with_capacity(buffer, &bytes[..]), &Columns::default()).unwrap();
            let written = bytes
                .split(|byte| *byte == b'\n')
                .enumerate()
                .map(|(at, line)| if at == 0 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line })
                .filter(|line| !line.trim_ascii().is_empty())
                .count();
            prop_assert_eq!(read.samples.len() + read.skipped.len(), written);
        }
    }
}
