//! Rows as they come out of a file, whatever its format, sorted into samples and rows that can't be used.
//!
//! Answers: which rows are usable, which are not and why, and, for a file of the user's own, which of a
//! row's fields are what. It does not know how the fields were read. Memory is bounded by what is kept.

use std::fs::File;
use std::io;
use std::path::Path;

use serde_json::{Map, Value};

use super::{DatasetError, Sample, Scoring, SkippedRow, choice_letter};

/// From here on reading goes on only while most of the rows are usable: a list of a million
/// complaints helps nobody and would take the memory of many times the file.
pub(super) const MANY_SKIPPED: usize = 10_000;
/// All rows are held in memory, with the answers to them; more than this, in bytes, is a mistake.
pub(super) const LARGEST_FILE: u64 = 1 << 30;
/// Longest row that is read, in bytes.
pub(super) const LONGEST_ROW: usize = 16 << 20;
/// Integers above this are not all representable once a JSON reader has made them floating point.
const LARGEST_EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;
/// What `scoring` may be in a file of the user's own.
const SCORINGS: [(&str, Scoring); 6] = [
    ("letter", Scoring::Letter),
    ("exact", Scoring::Exact),
    ("numeric", Scoring::Numeric),
    ("math", Scoring::Math),
    ("constraints", Scoring::Constraints),
    ("judge", Scoring::Judge),
];

/// A row's fields by their names.
pub(super) type Fields = Map<String, Value>;

/// What a row comes to: a sample, nothing (it isn't asked for), or why it can't be used.
pub(super) type Converted = Result<Option<Sample>, String>;

/// Why reading stopped before the end.
#[derive(Debug)]
pub(super) enum ReadError {
    Io(io::Error),
    /// Thousands of rows can't be used, more than can; this is the first.
    Hopeless(SkippedRow),
    /// The content can't be a dataset: what it is, and what to do.
    Unsuitable(String),
}

impl ReadError {
    /// The same of this file.
    pub(super) fn of(self, path: &str) -> DatasetError {
        let unsuitable = |reason| DatasetError::Unsuitable { path: path.to_owned(), reason };
        match self {
            Self::Io(source) => DatasetError::Read { path: path.to_owned(), source },
            Self::Unsuitable(reason) => unsuitable(reason),
            Self::Hopeless(row) => unsuitable(format!(
                "has not the rows expected: thousands of rows can't be used, more than can; the \
                 first, {}: {}",
                row.place, row.reason
            )),
        }
    }
}

/// Takes rows in, in order, and keeps what they come to.
pub(super) struct Rows<'a> {
    /// Makes a sample of a row with this index.
    convert: &'a dyn Fn(usize, Fields) -> Converted,
    /// How many rows there were, blank ones not counted.
    count: usize,
    pub(super) samples: Vec<Sample>,
    pub(super) skipped: Vec<SkippedRow>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(convert: &'a dyn Fn(usize, Fields) -> Converted) -> Self {
        Self { convert, count: 0, samples: Vec::new(), skipped: Vec::new() }
    }

    /// Takes the row at this place, or why it couldn't be read. An error if there is no point in reading
    /// on.
    pub(super) fn take(
        &mut self,
        place: impl FnOnce() -> String,
        row: Result<Fields, String>,
    ) -> Result<(), ReadError> {
        let index = self.count;
        self.count += 1;
        match row.and_then(|fields| (self.convert)(index, fields)) {
            Ok(sample) => self.samples.extend(sample),
            Err(reason) => {
                self.skipped.push(SkippedRow { place: place(), reason });
                if self.skipped.len() > MANY_SKIPPED && self.skipped.len() > self.samples.len() {
                    return Err(ReadError::Hopeless(self.skipped.swap_remove(0)));
                }
            }
        }
        Ok(())
    }

    /// How many rows have come.
    pub(super) fn count(&self) -> usize {
        self.count
    }
}

/// Opens a file that isn't too large to be held in memory.
pub(super) fn open(path: &Path) -> Result<File, ReadError> {
    let file = File::open(path).map_err(ReadError::Io)?;
    if file.metadata().map_err(ReadError::Io)?.len() > LARGEST_FILE {
        return Err(ReadError::Unsuitable("is larger than 1 GiB; give a part of it".to_owned()));
    }
    Ok(file)
}

/// Which fields of a row are what, in a file of the user's own.
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

impl Columns {
    /// The sample in a row.
    pub(super) fn sample(&self, index: usize, mut fields: Fields) -> Converted {
        let problem = self.column(&fields, &self.problem, "problem")?;
        if problem.trim().is_empty() {
            return Err(format!("`{}` is empty", self.problem));
        }
        let answer = self.column(&fields, &self.answer, "answer")?;
        let subject = self.column(&fields, &self.subject, "subject")?;
        let scoring = self.scoring(&fields, &problem, &answer)?;
        if scoring == Scoring::Constraints {
            let constraints = constraints(&fields)?;
            fields.insert("constraints".to_owned(), constraints);
        }
        let used = [&self.problem, &self.answer, &self.subject];
        let metadata = fields
            .into_iter()
            .filter(|(name, _)| name != "scoring" && !used.contains(&name))
            .collect();
        Ok(Some(Sample { index, problem, answer, subject, scoring, metadata }))
    }

    /// A field as text, or which parameter names another one.
    fn column(&self, fields: &Fields, name: &str, parameter: &str) -> Result<String, String> {
        if !fields.contains_key(name) {
            return Err(format!(
                "there is no `{name}`; name another column with --dataset-param {parameter}=COLUMN"
            ));
        }
        text(fields, name)
    }

    /// How a row is scored: by the whole file's rule, by its own, by its looks.
    fn scoring(&self, fields: &Fields, problem: &str, answer: &str) -> Result<Scoring, String> {
        let scoring = match (self.scoring, fields.get("scoring")) {
            (Some(scoring), _) => scoring,
            (None, None | Some(Value::Null)) => by_its_looks(problem, answer),
            (None, Some(Value::String(own))) if own.is_empty() => by_its_looks(problem, answer),
            (None, Some(own)) => own
                .as_str()
                .and_then(scoring_named)
                .ok_or_else(|| format!("`scoring` is {own}; it can be {}", scorings()))?,
        };
        if scoring == Scoring::Letter && choice_letter(answer).is_none() {
            return Err("it is scored by letter, but its answer is not one of A to J".to_owned());
        }
        Ok(scoring)
    }
}

/// The scoring of this name, if a user may ask for it.
pub(super) fn scoring_named(name: &str) -> Option<Scoring> {
    SCORINGS.iter().find_map(|(known, scoring)| (*known == name).then_some(*scoring))
}

/// The names, for a message.
pub(super) fn scorings() -> String {
    let [first @ .., last] = SCORINGS.map(|(name, _)| name);
    format!("{} or {last}", first.join(", "))
}

/// A field as text; numbers become what a person would write.
pub(super) fn text(fields: &Fields, name: &str) -> Result<String, String> {
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
        None => Err(format!("there is no `{name}`")),
    }
}

/// A field that is a list of texts.
pub(super) fn texts(fields: &Fields, name: &str) -> Result<Vec<String>, String> {
    let not_texts = || format!("`{name}` is not a list of texts");
    let Some(value) = fields.get(name) else { return Err(format!("there is no `{name}`")) };
    let items = value.as_array().ok_or_else(not_texts)?;
    items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(not_texts)).collect()
}

/// Those of a row's fields that have one of these names, in their order.
pub(super) fn kept(fields: &Fields, names: &[&str]) -> Fields {
    let kept = |name: &&str| Some(((*name).to_owned(), fields.get(*name)?.clone()));
    names.iter().filter_map(kept).collect()
}

/// The rules that an answer is checked against. A format without lists has them as JSON text.
fn constraints(fields: &Fields) -> Result<Value, String> {
    let missing = || "it is scored by constraints, but has no `constraints`".to_owned();
    match fields.get("constraints") {
        Some(Value::String(text)) if !text.trim().is_empty() => serde_json::from_str(text)
            .map_err(|error| format!("`constraints` is not JSON: {error}")),
        None | Some(Value::Null | Value::String(_)) => Err(missing()),
        Some(Value::Array(rules)) if rules.is_empty() => Err(missing()),
        Some(rules) => Ok(rules.clone()),
    }
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
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        match value {
            Value::Object(fields) => fields,
            other => panic!("{other}"),
        }
    }

    fn sample(value: Value) -> Result<Sample, String> {
        Columns::default().sample(0, fields(value)).map(|sample| sample.unwrap())
    }

    #[test]
    fn every_scoring_that_a_user_may_name_is_known_by_its_name() {
        for name in ["letter", "exact", "numeric", "math", "constraints", "judge"] {
            let row = json!({"problem": "p", "answer": "B", "subject": "s", "scoring": name,
                             "constraints": [{"type": "x"}]});
            let scoring = sample(row).unwrap().scoring;
            assert_eq!(serde_json::to_value(scoring).unwrap(), name);
        }
        assert_eq!(scorings(), "letter, exact, numeric, math, constraints or judge");
        assert_eq!(
            scoring_named("letter_supergpqa"),
            None,
            "it needs options of that dataset's kind"
        );
    }

    #[test]
    fn constraints_are_json_or_json_text_and_must_be_there() {
        let row = |constraints: Value| {
            sample(json!({"problem": "p", "answer": "", "subject": "s", "scoring": "constraints",
                          "constraints": constraints}))
        };
        let rules = json!([{"type": "words", "least": 3}]);
        assert_eq!(row(rules.clone()).unwrap().metadata["constraints"], rules);
        assert_eq!(row(rules.to_string().into()).unwrap().metadata["constraints"], rules);
        for missing in [Value::Null, json!([]), json!(" ")] {
            assert!(row(missing).unwrap_err().ends_with("has no `constraints`"));
        }
        assert!(row("[1".into()).unwrap_err().starts_with("`constraints` is not JSON"));
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
    fn an_index_counts_rows_that_are_used_skipped_and_not_asked_for() {
        let convert = |index: usize, fields: Fields| match index {
            1 => Ok(None),
            _ => Columns::default().sample(index, fields),
        };
        let mut rows = Rows::new(&convert);
        let good = fields(json!({"problem": "p", "answer": "a", "subject": "s"}));
        for row in [Err("bad".to_owned()), Ok(good.clone()), Ok(good)] {
            rows.take(|| "here".to_owned(), row).unwrap();
        }
        let indices: Vec<usize> = rows.samples.iter().map(|sample| sample.index).collect();
        assert_eq!((indices, rows.skipped.len(), rows.count()), (vec![2], 1, 3));
        assert_eq!(rows.skipped[0], SkippedRow { place: "here".into(), reason: "bad".into() });
    }

    #[test]
    fn a_list_of_texts_is_nothing_else() {
        let row = fields(json!({"a": ["x", ""], "b": ["x", 1], "c": "x", "d": null}));
        assert_eq!(texts(&row, "a").unwrap(), ["x", ""]);
        for name in ["b", "c", "d"] {
            assert_eq!(texts(&row, name).unwrap_err(), format!("`{name}` is not a list of texts"));
        }
        assert_eq!(texts(&row, "e").unwrap_err(), "there is no `e`");
    }
}
