//! The families that people have written: `xtask/data/FAMILY.jsonl`, one prompt a line, without
//! letters, ids and closing instructions.
//!
//! A line is one of three objects, told apart by their keys:
//! - `subject`, `question`, `options` (the right one first): multiple choice;
//! - `subject`, `task`, `answer`, `form`: one short answer, given in this form;
//! - `subject`, `task`, `answer`: for the judge, with its reference or rubric.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

use super::draft::{Draft, Key};

/// The prompts of each authored family, by its name.
pub(super) type Authored = BTreeMap<String, Vec<Draft>>;

/// Reads all files of a folder.
///
/// # Errors
/// With the file and the line: what isn't one of the three objects, or is there twice.
pub(super) fn read(folder: &Path) -> Result<Authored> {
    let mut families = Authored::new();
    for entry in fs::read_dir(folder).with_context(|| format!("can't read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let family = name
            .strip_suffix(".jsonl")
            .with_context(|| format!("{}: not a .jsonl file", path.display()))?;
        let is_plain = |letter: char| letter.is_ascii_lowercase() || letter == '_';
        ensure!(
            !family.is_empty() && family.chars().all(is_plain),
            "{}: a family's name has only small letters and underscores",
            path.display()
        );
        let text =
            fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
        families.insert(family.to_owned(), drafts(&text, name)?);
    }
    Ok(families)
}

fn drafts(text: &str, name: &str) -> Result<Vec<Draft>> {
    let mut tasks = BTreeSet::new();
    let mut drafts = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let place = || format!("{name}:{}", index + 1);
        let draft = draft(line).with_context(place)?;
        ensure!(tasks.insert(draft.task.clone()), "{}: this prompt is there twice", place());
        drafts.push(draft);
    }
    ensure!(!drafts.is_empty(), "{name} is empty");
    Ok(drafts)
}

fn draft(line: &str) -> Result<Draft> {
    let fields: Map<String, Value> = serde_json::from_str(line).context("not a JSON object")?;
    let mut keys: Vec<&str> = fields.keys().map(String::as_str).collect();
    keys.sort_unstable();
    let subject = text(&fields, "subject")?;
    let (task, key) = match keys.as_slice() {
        ["options", "question", "subject"] => {
            (text(&fields, "question")?, Key::Choice { options: options(&fields)? })
        }
        ["answer", "form", "subject", "task"] => {
            let (answer, form) = (text(&fields, "answer")?, text(&fields, "form")?);
            ensure!(!answer.contains('\n'), "`answer` has more than one line");
            ensure!(!form.ends_with('.'), "`form` ends with a full stop");
            (text(&fields, "task")?, Key::Exact { answer, form })
        }
        ["answer", "subject", "task"] => {
            (text(&fields, "task")?, Key::Judge { rubric: text(&fields, "answer")? })
        }
        _ => bail!(
            "the keys are {}; they must be subject, question, options, or subject, task, answer \
             and perhaps form",
            keys.join(", ")
        ),
    };
    for mark in ["\"Answer: ", "The answer is (X)"] {
        ensure!(!task.contains(mark), "the closing instruction is added later: `{mark}`");
    }
    Ok(Draft { subject, task, key, proof: None })
}

fn text(fields: &Map<String, Value>, name: &str) -> Result<String> {
    let text = fields.get(name).and_then(Value::as_str);
    let text = text.with_context(|| format!("`{name}` is missing or no text"))?;
    ensure!(!text.trim().is_empty(), "`{name}` is empty");
    ensure!(text.trim() == text, "`{name}` begins or ends with space");
    Ok(text.to_owned())
}

fn options(fields: &Map<String, Value>) -> Result<Vec<String>> {
    let options = fields.get("options").and_then(Value::as_array);
    let options = options.context("`options` is missing or no list")?;
    ensure!((4..=10).contains(&options.len()), "{} options, not 4 to 10", options.len());
    let mut seen = BTreeSet::new();
    let mut texts = Vec::new();
    for option in options {
        let option = option.as_str().context("an option is no text")?;
        let is_line =
            !option.trim().is_empty() && option.trim() == option && !option.contains('\n');
        ensure!(is_line, "an option is no single line of text: {option:?}");
        ensure!(seen.insert(option.to_lowercase()), "the option {option:?} is there twice");
        let about_others = option.to_lowercase().contains("of the above");
        ensure!(!about_others, "options are shuffled, so {option:?} means nothing");
        texts.push(option.to_owned());
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHOICE: &str = r#"{"subject":"s","question":"Which?","options":["a","b","c","d"]}"#;
    const EXACT: &str = r#"{"subject":"s","task":"What?","answer":"4","form":"the number"}"#;
    const JUDGED: &str = r#"{"subject":"s","task":"Write.","answer":"Says it."}"#;

    #[test]
    fn the_three_kinds_are_told_apart_by_their_keys() {
        let drafts = drafts(&[CHOICE, EXACT, JUDGED].join("\n"), "x.jsonl").unwrap();
        assert!(matches!(&drafts[0].key, Key::Choice { options } if options[0] == "a"));
        assert!(matches!(&drafts[1].key, Key::Exact { answer, .. } if answer == "4"));
        assert!(matches!(&drafts[2].key, Key::Judge { .. }));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let cases = [
            ("[]".to_owned(), "not a JSON object"),
            (CHOICE.replace("\"d\"", "\"a\""), "there twice"),
            (CHOICE.replace(",\"d\"", ""), "3 options"),
            (CHOICE.replace("\"d\"", "\"None of the above\""), "shuffled"),
            (EXACT.replace("\"form\"", "\"froms\""), "the keys are"),
            (EXACT.replace("\"4\"", "4"), "`answer` is missing or no text"),
            (EXACT.replace("What?", " What?"), "begins or ends with space"),
            (JUDGED.replace("Write.", "End with \\\"Answer: x\\\""), "added later"),
            (EXACT.to_owned(), "this prompt is there twice"),
        ];
        for (line, expected) in cases {
            let error =
                format!("{:#}", drafts(&format!("{EXACT}\n{line}"), "x.jsonl").unwrap_err());
            assert!(error.starts_with("x.jsonl:2: ") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_no_family_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("notes.txt"), "x").unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("not a .jsonl file"));
        fs::remove_file(folder.path().join("notes.txt")).unwrap();
        fs::write(folder.path().join("Two Words.jsonl"), EXACT).unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("small letters"));
    }
}
