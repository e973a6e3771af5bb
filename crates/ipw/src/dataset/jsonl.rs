//! Rows of a dataset in JSON lines: one object a line, read as a stream.
//!
//! Answers: which lines are usable samples, which are not and why, and the hash of all bytes. It does
//! not know where the bytes come from. Memory is bounded by what is kept and by one line.

use std::io::{self, BufRead};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{Sample, Scoring, SkippedRow, choice_letter};

/// Longest line that is read, in bytes.
const LONGEST_LINE: usize = 16 << 20;
/// From here on reading goes on only while most of the rows are usable: a list of a million
/// complaints helps nobody and would take the memory of many times the file.
const MANY_SKIPPED: usize = 10_000;
/// Integers above this are not all representable once a JSON reader has made them floating point.
const LARGEST_EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;

/// Which fields of a line are what.
pub(super) struct Columns {
    pub(super) problem: String,
    pub(super) answer: String,
    pub(super) subject: String,
    /// For every row, whatever the row says; `None`: the row's own `scoring`, or by its looks.
    pub(super) scoring: Option<Scoring>,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            problem: "problem".to_owned(),
            answer: "answer".to_owned(),
            subject: "subject".to_owned(),
            scoring: None,
        }
    }
}

/// What was read.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) samples: Vec<Sample>,
    pub(super) skipped: Vec<SkippedRow>,
    /// `sha256:` and the hash of all bytes.
    pub(super) revision: String,
}

/// Why reading stopped before the end.
#[derive(Debug)]
pub(super) enum ReadError {
    Io(io::Error),
    /// Thousands of rows can't be used, more than can; this is the first.
    Hopeless(SkippedRow),
}

/// Reads all lines. A byte-order mark, Windows line ends and blank lines are no fault.
pub(super) fn read(input: impl BufRead, columns: &Columns) -> Result<Rows, ReadError> {
    let mut lines = Lines { input, hash: Sha256::new(), number: 0 };
    let (mut samples, mut skipped) = (Vec::new(), Vec::new());
    while let Some(line) = lines.next().map_err(ReadError::Io)? {
        let index = samples.len() + skipped.len();
        match line.and_then(|bytes| usable(index, &bytes, columns)) {
            Ok(Some(sample)) => samples.push(sample),
            Ok(None) => {}
            Err(reason) => {
                skipped.push(SkippedRow { place: format!("line {}", lines.number), reason });
                if skipped.len() > MANY_SKIPPED && skipped.len() > samples.len() {
                    return Err(ReadError::Hopeless(skipped.swap_remove(0)));
                }
            }
        }
    }
    let hash: String = lines.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Rows { samples, skipped, revision: format!("sha256:{hash}") })
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
            if length <= LONGEST_LINE {
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
        if length > LONGEST_LINE {
            return Ok(Some(Err(format!(
                "the line has {length} bytes; the longest that is read has {LONGEST_LINE}"
            ))));
        }
        if self.number == 1 && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        Ok(Some(Ok(line)))
    }
}

/// The sample in a line, `None` for a blank line, or why there is none.
fn usable(index: usize, line: &[u8], columns: &Columns) -> Result<Option<Sample>, String> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let text = str::from_utf8(line).map_err(|_| "not UTF-8 text".to_owned())?;
    let fields: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| format!("not a JSON object: {error}"))?;
    let problem = column(&fields, &columns.problem, "problem")?;
    if problem.trim().is_empty() {
        return Err(format!("`{}` is empty", columns.problem));
    }
    let answer = column(&fields, &columns.answer, "answer")?;
    let subject = column(&fields, &columns.subject, "subject")?;
    let scoring = scoring(&fields, columns.scoring, &problem, &answer)?;
    let used = [&columns.problem, &columns.answer, &columns.subject];
    let metadata =
        fields.into_iter().filter(|(name, _)| name != "scoring" && !used.contains(&name)).collect();
    Ok(Some(Sample { index, problem, answer, subject, scoring, metadata }))
}

/// A field as text; numbers become what a person would write.
fn column(fields: &Map<String, Value>, name: &str, parameter: &str) -> Result<String, String> {
    match fields.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => {
            let exact = number.is_i64()
                || number.is_u64()
                || number.as_f64().is_some_and(|value| value.abs() < LARGEST_EXACT_INTEGER);
            if exact {
                Ok(number.to_string())
            } else {
                Err(format!("`{name}` is a number too large to be kept exactly; put it in quotes"))
            }
        }
        Some(Value::Null) => Err(format!("`{name}` is null")),
        Some(Value::Bool(_)) => Err(format!("`{name}` is true or false, not text")),
        Some(Value::Array(_)) => Err(format!("`{name}` is a list, not text")),
        Some(Value::Object(_)) => Err(format!("`{name}` is an object, not text")),
        None => Err(format!(
            "there is no `{name}`; name another column with --dataset-param {parameter}=COLUMN"
        )),
    }
}

/// How a row is scored: by the whole file's rule, by its own, by its looks.
fn scoring(
    fields: &Map<String, Value>,
    for_all: Option<Scoring>,
    problem: &str,
    answer: &str,
) -> Result<Scoring, String> {
    let scoring = match (for_all, fields.get("scoring")) {
        (Some(scoring), _) => scoring,
        (None, None | Some(Value::Null)) => by_its_looks(problem, answer),
        (None, Some(own)) => serde_json::from_value(own.clone())
            .map_err(|_| format!("`scoring` is {own}; it can be \"letter\" or \"exact\""))?,
    };
    if scoring == Scoring::Letter && choice_letter(answer).is_none() {
        return Err("it is scored by letter, but its answer is not one of A to J".to_owned());
    }
    Ok(scoring)
}

/// Multiple choice if the reference is a letter and the prompt shows options up to that letter.
fn by_its_looks(problem: &str, answer: &str) -> Scoring {
    let lettered = choice_letter(answer)
        .is_some_and(|right| ['A', 'B', right].iter().all(|letter| shows_option(problem, *letter)));
    if lettered { Scoring::Letter } else { Scoring::Exact }
}

/// Whether the text has an option `A.`, `A)`, `(A)` or `A:`.
fn shows_option(problem: &str, letter: char) -> bool {
    problem.match_indices(letter).any(|(at, _)| {
        let before = problem[..at].chars().next_back();
        let after = problem[at + letter.len_utf8()..].chars().next();
        !before.is_some_and(char::is_alphanumeric) && matches!(after, Some('.' | ')' | ':'))
    })
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use proptest::prelude::*;

    use super::*;

    fn rows(text: &str) -> Rows {
        read(text.as_bytes(), &Columns::default()).unwrap()
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
                r#"{"problem": "p", "answer": "a", "subject": "s", "scoring": "judge"}"#,
                "`scoring` is \"judge\"; it can be \"letter\" or \"exact\"",
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
        let rows = read(&bytes[..], &Columns::default()).unwrap();
        assert_eq!((rows.samples.len(), rows.skipped[0].reason.as_str()), (1, "not UTF-8 text"));
    }

    #[test]
    fn a_line_over_the_limit_is_skipped_without_being_kept() {
        let long = io::repeat(b'x').take(LONGEST_LINE as u64 + 5);
        let rest = b"\n{\"problem\": \"q\", \"answer\": \"a\", \"subject\": \"s\"}\n";
        let rows = read(BufReader::new(long.chain(&rest[..])), &Columns::default()).unwrap();
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
            read("x\n".repeat(MANY_SKIPPED + 1).as_bytes(), &Columns::default()).unwrap_err();
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
    fn a_letter_is_multiple_choice_only_where_the_prompt_shows_options() {
        let cases = [
            ("Which?\nA. one\nB. two\nC. three", "C", Scoring::Letter),
            ("Which? (A) one (B) two", " b ", Scoring::Letter),
            ("Which?\nA) one\nB) two", "(B)", Scoring::Letter),
            ("Which?\nA. one\nB. two", "C", Scoring::Exact),
            ("Which product sold best, A, B or C?", "C", Scoring::Exact),
            ("Which letter follows A?", "B", Scoring::Exact),
            ("Which?\nA. one\nB. two", "two", Scoring::Exact),
            ("Which?\nA. one\nB. two", "", Scoring::Exact),
        ];
        for (problem, answer, expected) in cases {
            assert_eq!(by_its_looks(problem, answer), expected, "{problem} {answer}");
        }
    }

    #[test]
    fn the_rule_for_all_rows_wins_over_a_rows_own() {
        let columns = Columns { scoring: Some(Scoring::Exact), ..Columns::default() };
        let row = r#"{"problem": "p", "answer": "B", "subject": "s", "scoring": "letter"}"#;
        assert_eq!(read(row.as_bytes(), &columns).unwrap().samples[0].scoring, Scoring::Exact);
        assert_eq!(rows(row).samples[0].scoring, Scoring::Letter);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic_and_every_line_is_accounted_for(
            lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
            buffer in 1_usize..64,
        ) {
            let bytes = lines.join(&b'\n');
            let read = read(BufReader::with_capacity(buffer, &bytes[..]), &Columns::default()).unwrap();
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
