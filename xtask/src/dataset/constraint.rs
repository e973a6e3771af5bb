//! Rules about an answer's form, and a checker of our own for the sample answers that show that the
//! rules can be kept.

use serde_json::{Value, json};

use super::text::listed;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Words,
    Sentences,
    Lines,
    Paragraphs,
    Characters,
    Bullets,
    Numbered,
    /// The words of each line.
    LineWords,
    /// The elements of the JSON array that the answer is.
    JsonArray,
}

/// One rule.
#[derive(Debug, Clone)]
pub(super) enum Constraint {
    Count { unit: Unit, min: Option<usize>, max: Option<usize> },
    Contains { text: String, min: usize, max: Option<usize> },
    Excludes(String),
    ExcludesCharacter(char),
    StartsWith(String),
    EndsWith(String),
    Upper,
    Lower,
    Acrostic(String),
    Sorted,
    JsonKeys(Vec<String>),
}

impl Unit {
    fn kind(self) -> &'static str {
        match self {
            Self::Words => "words",
            Self::Sentences => "sentences",
            Self::Lines => "lines",
            Self::Paragraphs => "paragraphs",
            Self::Characters => "characters",
            Self::Bullets => "bullets",
            Self::Numbered => "numbered",
            Self::LineWords => "line_words",
            Self::JsonArray => "json_array",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Bullets => "bullet points",
            Self::Numbered => "numbered lines",
            Self::LineWords => "words in each line",
            Self::JsonArray => "elements of a JSON array",
            other => other.kind(),
        }
    }
}

impl Constraint {
    /// So many, neither more nor fewer.
    pub(super) fn exactly(unit: Unit, count: usize) -> Self {
        Self::between(unit, count, count)
    }

    /// From `min` to `max`, both included.
    pub(super) fn between(unit: Unit, min: usize, max: usize) -> Self {
        Self::Count { unit, min: Some(min), max: Some(max) }
    }

    /// So many or fewer.
    pub(super) fn at_most(unit: Unit, max: usize) -> Self {
        Self::Count { unit, min: None, max: Some(max) }
    }

    /// So many or more.
    pub(super) fn at_least(unit: Unit, min: usize) -> Self {
        Self::Count { unit, min: Some(min), max: None }
    }

    /// The word or phrase occurs.
    pub(super) fn contains(text: &str) -> Self {
        Self::Contains { text: text.to_owned(), min: 1, max: None }
    }

    /// As it is written into the dataset.
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Count { unit, min, max } => bounded(json!({ "kind": unit.kind() }), *min, *max),
            Self::Contains { text, min, max } => {
                bounded(json!({ "kind": "contains", "text": text }), Some(*min), *max)
            }
            Self::Excludes(text) => json!({ "kind": "excludes", "text": text }),
            Self::ExcludesCharacter(character) => {
                json!({ "kind": "excludes_character", "text": character.to_string() })
            }
            Self::StartsWith(text) => json!({ "kind": "starts_with", "text": text }),
            Self::EndsWith(text) => json!({ "kind": "ends_with", "text": text }),
            Self::Upper => json!({ "kind": "case", "text": "upper" }),
            Self::Lower => json!({ "kind": "case", "text": "lower" }),
            Self::Acrostic(text) => json!({ "kind": "acrostic", "text": text }),
            Self::Sorted => json!({ "kind": "sorted" }),
            Self::JsonKeys(keys) => json!({ "kind": "json_keys", "keys": keys }),
        }
    }

    /// As a person reads it.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Count { unit, min, max } => {
                let one = *max == Some(1);
                let name = if one { unit.name().trim_end_matches('s') } else { unit.name() };
                format!("{} {name}", range(*min, *max))
            }
            Self::Contains { text, min: 1, max: None } => format!("contains \"{text}\""),
            Self::Contains { text, min, max } => {
                format!("contains \"{text}\" {} times", range(Some(*min), *max))
            }
            Self::Excludes(text) => format!("doesn't contain \"{text}\""),
            Self::ExcludesCharacter(character) => format!("has no \"{character}\""),
            Self::StartsWith(text) => format!("starts with \"{text}\""),
            Self::EndsWith(text) => format!("ends with \"{text}\""),
            Self::Upper => "no lower-case letters".to_owned(),
            Self::Lower => "no capital letters".to_owned(),
            Self::Acrostic(text) => format!("the lines' first letters spell {text}"),
            Self::Sorted => "the lines are in alphabetical order".to_owned(),
            Self::JsonKeys(keys) => format!("one JSON object with the keys {}", listed(keys)),
        }
    }

    /// Whether an answer keeps the rule.
    pub(super) fn holds(&self, answer: &str) -> bool {
        let answer = answer.trim();
        match self {
            Self::Count { unit, min, max } => {
                counts(*unit, answer).iter().all(|count| lies_within(*count, *min, *max))
            }
            Self::Contains { text, min, max } => {
                lies_within(occurrences(answer, text), Some(*min), *max)
            }
            Self::Excludes(text) => occurrences(answer, text) == 0,
            Self::ExcludesCharacter(character) => {
                !answer.to_lowercase().contains(character.to_ascii_lowercase())
            }
            Self::StartsWith(text) => answer.starts_with(text.as_str()),
            Self::EndsWith(text) => answer.ends_with(text.as_str()),
            Self::Upper => !answer.contains(char::is_lowercase),
            Self::Lower => !answer.contains(char::is_uppercase),
            Self::Acrostic(text) => initials(answer).eq_ignore_ascii_case(text),
            Self::Sorted => lines(answer).map(|line| item(line).to_lowercase()).is_sorted(),
            Self::JsonKeys(keys) => json_keys(answer).is_some_and(|mut found| {
                let mut keys = keys.clone();
                keys.sort_unstable();
                found.sort_unstable();
                found == keys
            }),
        }
    }
}

fn bounded(mut rule: Value, min: Option<usize>, max: Option<usize>) -> Value {
    for (name, bound) in [("min", min), ("max", max)] {
        if let Some(bound) = bound {
            rule[name] = json!(bound);
        }
    }
    rule
}

fn range(min: Option<usize>, max: Option<usize>) -> String {
    match (min, max) {
        (Some(min), Some(max)) if min == max => format!("exactly {min}"),
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => "any number of".to_owned(),
    }
}

fn lies_within(count: usize, min: Option<usize>, max: Option<usize>) -> bool {
    min.is_none_or(|min| count >= min) && max.is_none_or(|max| count <= max)
}

/// The counts that all have to lie within the bounds.
fn counts(unit: Unit, answer: &str) -> Vec<usize> {
    match unit {
        Unit::Words => vec![words(answer)],
        Unit::Sentences => vec![sentences(answer)],
        Unit::Lines => vec![lines(answer).count()],
        Unit::Paragraphs => {
            vec![answer.split("\n\n").filter(|part| !part.trim().is_empty()).count()]
        }
        Unit::Characters => vec![answer.chars().count()],
        Unit::Bullets => vec![lines(answer).filter(|line| line.starts_with("- ")).count()],
        Unit::Numbered => vec![numbered(answer)],
        Unit::LineWords => lines(answer).map(words).collect(),
        Unit::JsonArray => {
            let array: Option<Vec<Value>> = serde_json::from_str(answer).ok();
            // No array has no count that any bounds could allow.
            vec![array.map_or(usize::MAX, |array| array.len())]
        }
    }
}

pub(super) fn words(text: &str) -> usize {
    text.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count()
}

/// Sentences of plain prose, in which a full stop ends a sentence and nothing else.
fn sentences(text: &str) -> usize {
    text.split(['.', '!', '?']).filter(|part| part.contains(char::is_alphanumeric)).count()
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// The lines that begin with 1. 2. 3. in this order.
fn numbered(text: &str) -> usize {
    lines(text)
        .fold(0, |count, line| count + usize::from(line.starts_with(&format!("{}. ", count + 1))))
}

/// A line without the mark of a list.
fn item(line: &str) -> &str {
    line.trim_start_matches(|mark: char| mark.is_ascii_digit() || "-*. ".contains(mark))
}

fn initials(text: &str) -> String {
    lines(text).filter_map(|line| line.chars().next()).collect()
}

/// How often a phrase occurs as whole words, whatever its case.
fn occurrences(text: &str, phrase: &str) -> usize {
    let (text, phrase) = (text.to_lowercase(), phrase.to_lowercase());
    let is_edge = |character: Option<char>| !character.is_some_and(char::is_alphanumeric);
    text.match_indices(&phrase)
        .filter(|(at, found)| {
            is_edge(text[..*at].chars().next_back())
                && is_edge(text[at + found.len()..].chars().next())
        })
        .count()
}

fn json_keys(text: &str) -> Option<Vec<String>> {
    let object: serde_json::Map<String, Value> = serde_json::from_str(text).ok()?;
    Some(object.into_iter().map(|(key, _)| key).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(rule: Constraint, answer: &str) -> bool {
        rule.holds(answer)
    }

    #[test]
    fn counts_are_those_that_a_reader_makes() {
        for (unit, answer, count) in [
            (Unit::Words, "One - two, three!", 3),
            (Unit::Sentences, "It rains. Does it? Yes!", 3),
            (Unit::Lines, "a\n\n b \n", 2),
            (Unit::Paragraphs, "a\nb\n\nc", 2),
            (Unit::Characters, " abc ", 3),
            (Unit::Bullets, "List:\n- a\n- b", 2),
            (Unit::Numbered, "1. a\n2. b\n4. c", 2),
            (Unit::LineWords, "a b\nc d", 2),
            (Unit::JsonArray, "[1, [2]]", 2),
        ] {
            assert!(holds(Constraint::exactly(unit, count), answer), "{unit:?}");
            assert!(!holds(Constraint::exactly(unit, count + 1), answer), "{unit:?}");
            assert!(!holds(Constraint::at_most(unit, count - 1), answer), "{unit:?}");
        }
    }

    #[test]
    fn every_other_rule_can_be_kept_and_broken() {
        let text = |text: &str| text.to_owned();
        for (rule, kept, broken) in [
            (Constraint::contains("sun"), "The Sun.", "Sunny."),
            (Constraint::Excludes(text("sun")), "Sunny.", "The sun."),
            (Constraint::ExcludesCharacter('e'), "Sky", "SEA"),
            (Constraint::StartsWith(text("Dear")), "Dear Jo", "dear Jo"),
            (Constraint::EndsWith(text("Bye.")), "So. Bye.", "So. Bye"),
            (Constraint::Upper, "AB 1", "Ab"),
            (Constraint::Lower, "ab 1", "Ab"),
            (Constraint::Acrostic(text("OK")), "only\nkeep", "only\nkeep\nthis"),
            (Constraint::Sorted, "- Ant\n- bee", "bee\nAnt"),
            (Constraint::JsonKeys(vec![text("b"), text("a")]), r#"{"a":1,"b":2}"#, r#"{"a":1}"#),
        ] {
            assert!(rule.holds(kept), "{rule:?}");
            assert!(!rule.holds(broken), "{rule:?}");
        }
    }

    #[test]
    fn rules_are_written_with_the_bounds_that_they_have() {
        let rule = Constraint::at_most(Unit::Words, 5);
        assert_eq!(rule.json().to_string(), r#"{"kind":"words","max":5}"#);
        assert_eq!(rule.words(), "at most 5 words");
        assert_eq!(Constraint::exactly(Unit::Words, 1).words(), "exactly 1 word");
        let rule = Constraint::Contains { text: "so".to_owned(), min: 2, max: Some(2) };
        assert_eq!(rule.json().to_string(), r#"{"kind":"contains","text":"so","min":2,"max":2}"#);
        assert_eq!(rule.words(), "contains \"so\" exactly 2 times");
    }
}
