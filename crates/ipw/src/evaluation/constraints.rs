//! Rules about an answer's form: does it keep all of them?
//!
//! The rules are in the row's metadata as `constraints`, a list of objects with a `kind`; [`Constraint`] has
//! them all. They hold for the answer without the space around it. What was counted for a rule is in
//! `extracted`: of those that are broken, or of all if none is.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Evaluation;

mod text;

/// One rule. An unknown kind or member makes the whole list malformed: a rule that isn't understood isn't kept.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Constraint {
    /// Words of the whole answer.
    Words(Bounds),
    /// Sentences.
    Sentences(Bounds),
    /// Lines that aren't blank.
    Lines(Bounds),
    /// Runs of lines between blank ones.
    Paragraphs(Bounds),
    /// Characters.
    Characters(Bounds),
    /// Lines that begin with a bullet.
    Bullets(Bounds),
    /// Lines that begin with `1.`, `2.`, `3.` in this order.
    Numbered(Bounds),
    /// Words of each line.
    LineWords(Bounds),
    /// How often a text occurs as whole words, whatever its case; once or more if nothing is said.
    Contains(Occurrences),
    /// A text that doesn't occur as whole words, whatever its case.
    Excludes(Text),
    /// A character that doesn't occur, in either case.
    ExcludesCharacter(Character),
    /// The answer's beginning.
    StartsWith(Text),
    /// The answer's end.
    EndsWith(Text),
    /// No letter of the other case.
    Case(LetterCase),
    /// What the lines' first letters spell, whatever their case.
    Acrostic(Text),
    /// Lines in alphabetical order, whatever their case and list marks.
    Sorted(Nothing),
    /// One JSON object with exactly these keys.
    JsonKeys(Keys),
    /// One JSON array with so many elements.
    JsonArray(Bounds),
}

/// So many, with the limits included.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "OpenBounds")]
struct Bounds {
    min: usize,
    max: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenBounds {
    min: Option<usize>,
    max: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "OpenOccurrences")]
struct Occurrences {
    text: String,
    bounds: Bounds,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenOccurrences {
    text: String,
    min: Option<usize>,
    max: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "OpenText")]
struct Text(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenText {
    text: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Character {
    text: char,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LetterCase {
    text: Case,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Case {
    Upper,
    Lower,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    keys: HashSet<String>,
}

impl TryFrom<OpenBounds> for Bounds {
    type Error = &'static str;

    fn try_from(OpenBounds { min, max }: OpenBounds) -> Result<Self, Self::Error> {
        match (min, max) {
            (None, None) => Err("neither min nor max is given"),
            (Some(min), Some(max)) if min > max => Err("min is above max"),
            _ => Ok(Self { min: min.unwrap_or(0), max }),
        }
    }
}

impl TryFrom<OpenOccurrences> for Occurrences {
    type Error = &'static str;

    fn try_from(OpenOccurrences { text, min, max }: OpenOccurrences) -> Result<Self, Self::Error> {
        let bounds = Bounds::try_from(OpenBounds { min: min.or(Some(1)), max })?;
        let Text(text) = Text::try_from(OpenText { text })?;
        Ok(Self { text, bounds })
    }
}

impl TryFrom<OpenText> for Text {
    type Error = &'static str;

    fn try_from(OpenText { text }: OpenText) -> Result<Self, Self::Error> {
        if text.trim().is_empty() { Err("the text is empty") } else { Ok(Self(text)) }
    }
}

/// Scores an answer's form.
pub(super) fn evaluate(metadata: &Map<String, Value>, response: &str) -> Evaluation {
    let Some(constraints) = parsed(metadata) else {
        return Evaluation::unevaluated("constraints:malformed");
    };
    let answer = response.trim();
    if answer.is_empty() {
        return Evaluation::unparsed("constraints:none");
    }
    let seen: Vec<Seen> = constraints.iter().map(|rule| rule.seen_in(answer)).collect();
    let holds = seen.iter().all(|seen| seen.holds);
    let told = seen.iter().filter(|seen| holds || !seen.holds);
    let told: Vec<String> = told.map(|seen| seen.what.clone()).collect();
    let method = if holds { "constraints:all" } else { "constraints:broken" };
    Evaluation::decided(holds, method.to_owned(), &told.join("; "))
}

/// The rules, if there are any and all are understood.
fn parsed(metadata: &Map<String, Value>) -> Option<Vec<Constraint>> {
    let constraints = Vec::<Constraint>::deserialize(metadata.get("constraints")?).ok()?;
    (!constraints.is_empty()).then_some(constraints)
}

/// What an answer came to by one rule.
struct Seen {
    holds: bool,
    /// The rule and what was counted, in a few words.
    what: String,
}

impl Seen {
    fn of(holds: bool, what: impl Into<String>) -> Self {
        Self { holds, what: what.into() }
    }

    fn counted(what: &str, count: usize, bounds: Bounds) -> Self {
        Self::of(bounds.hold(count), format!("{what}: {count} of {bounds}"))
    }
}

impl Bounds {
    fn hold(self, count: usize) -> bool {
        self.min <= count && self.max.is_none_or(|max| count <= max)
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.max {
            Some(max) if max == self.min => write!(to, "{max}"),
            Some(max) => write!(to, "{} to {max}", self.min),
            None => write!(to, "at least {}", self.min),
        }
    }
}

impl Constraint {
    /// What a trimmed answer that isn't empty comes to.
    fn seen_in(&self, answer: &str) -> Seen {
        match self {
            Self::Words(bounds) => Seen::counted("words", text::words(answer), *bounds),
            Self::Sentences(bounds) => Seen::counted("sentences", text::sentences(answer), *bounds),
            Self::Lines(bounds) => Seen::counted("lines", text::lines(answer).count(), *bounds),
            Self::Paragraphs(bounds) => {
                Seen::counted("paragraphs", text::paragraphs(answer), *bounds)
            }
            Self::Characters(bounds) => {
                Seen::counted("characters", answer.chars().count(), *bounds)
            }
            Self::Bullets(bounds) => Seen::counted("bullets", text::bullets(answer), *bounds),
            Self::Numbered(bounds) => numbered(answer, *bounds),
            Self::LineWords(bounds) => line_words(answer, *bounds),
            Self::Contains(Occurrences { text, bounds }) => {
                let count = text::occurrences(answer, text);
                Seen::counted(&format!("contains {text:?}"), count, *bounds)
            }
            Self::Excludes(Text(text)) => {
                let count = text::occurrences(answer, text);
                Seen::of(count == 0, format!("excludes {text:?}: {count}"))
            }
            Self::ExcludesCharacter(Character { text }) => {
                let count = text::characters_like(answer, *text);
                Seen::of(count == 0, format!("excludes {text:?}: {count}"))
            }
            Self::StartsWith(Text(text)) => {
                Seen::of(answer.starts_with(text.trim_start()), format!("starts with {text:?}"))
            }
            Self::EndsWith(Text(text)) => {
                Seen::of(answer.ends_with(text.trim_end()), format!("ends with {text:?}"))
            }
            Self::Case(LetterCase { text: case }) => letters_of_case(answer, *case),
            Self::Acrostic(Text(text)) => acrostic(answer, text),
            Self::Sorted(Nothing {}) => sorted(answer),
            Self::JsonKeys(Keys { keys }) => json_keys(answer, keys),
            Self::JsonArray(bounds) => match json(answer) {
                Some(Value::Array(elements)) => {
                    Seen::counted("JSON elements", elements.len(), *bounds)
                }
                _ => Seen::of(false, "no JSON array"),
            },
        }
    }
}

fn numbered(answer: &str, bounds: Bounds) -> Seen {
    let numbers: Vec<&str> = text::lines(answer).filter_map(text::number_mark).collect();
    let in_order = (1_usize..).zip(&numbers).all(|(wanted, number)| number.parse() == Ok(wanted));
    if in_order {
        Seen::counted("numbered lines", numbers.len(), bounds)
    } else {
        Seen::of(false, format!("numbered lines: {}, not in order", numbers.len()))
    }
}

fn line_words(answer: &str, bounds: Bounds) -> Seen {
    let counts = || text::lines(answer).map(text::words);
    match counts().position(|count| !bounds.hold(count)) {
        Some(at) => {
            let count = counts().nth(at).unwrap_or_default();
            Seen::counted(&format!("words in line {}", at + 1), count, bounds)
        }
        None => Seen::of(true, format!("words in each line: {bounds}")),
    }
}

fn letters_of_case(answer: &str, case: Case) -> Seen {
    let (other, name): (fn(char) -> bool, &str) = match case {
        Case::Upper => (char::is_lowercase, "upper"),
        Case::Lower => (char::is_uppercase, "lower"),
    };
    let others = answer.chars().filter(|letter| other(*letter)).count();
    Seen::of(others == 0, format!("letters that aren't {name} case: {others}"))
}

fn acrostic(answer: &str, wanted: &str) -> Seen {
    let firsts = text::lines(answer).filter_map(|line| line.chars().find(|it| it.is_alphabetic()));
    // One more than is wanted shows that there are more.
    let found: String = firsts.take(wanted.chars().count() + 1).collect();
    let same = found.to_lowercase() == wanted.to_lowercase()
        && text::lines(answer).count() == wanted.chars().count();
    Seen::of(same, format!("acrostic {wanted:?}: {found:?}"))
}

fn sorted(answer: &str) -> Seen {
    let lines: Vec<String> =
        text::lines(answer).map(|line| text::unmarked(line).to_lowercase()).collect();
    match lines.windows(2).position(|pair| pair[0] > pair[1]) {
        Some(at) => Seen::of(false, format!("not sorted: line {}", at + 2)),
        None => Seen::of(true, format!("sorted lines: {}", lines.len())),
    }
}

fn json_keys(answer: &str, wanted: &HashSet<String>) -> Seen {
    let Some(Value::Object(object)) = json(answer) else {
        return Seen::of(false, "no JSON object");
    };
    let same = object.len() == wanted.len() && object.keys().all(|key| wanted.contains(key));
    let keys: Vec<&str> = object.keys().map(String::as_str).collect();
    Seen::of(same, format!("JSON keys: {}", keys.join(", ")))
}

/// The answer as JSON. The parser refuses what is nested too deeply.
fn json(answer: &str) -> Option<Value> {
    serde_json::from_str(text::unfenced(answer)).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Verdict;
    use super::*;

    fn scored(constraints: Value, answer: &str) -> Evaluation {
        evaluate(json!({ "constraints": constraints }).as_object().unwrap(), answer)
    }

    /// Whether one rule holds, and what is told of it.
    fn seen(rule: &Value, answer: &str) -> (bool, String) {
        let Evaluation { verdict, extracted, .. } = scored(json!([rule]), answer);
        assert!(matches!(verdict, Verdict::Correct | Verdict::Incorrect), "{rule}");
        (verdict == Verdict::Correct, extracted.unwrap())
    }

    #[test]
    fn counts_hold_within_their_bounds() {
        let two = |kind: &str| json!({ "kind": kind, "min": 2, "max": 2 });
        let cases = [
            ("words", "Two \u{2014} words!", true),
            ("words", "one", false),
            ("words", "don't 4", true),
            ("sentences", "It is 3.5 m, e.g. here. Is it?", true),
            ("sentences", "Mr. Smith left. \"Why?\"", true),
            ("sentences", "Wait... what", true),
            ("sentences", "A title\n\nA sentence.", true),
            ("sentences", "1. First\n2. Second", true),
            ("sentences", "One that\nis wrapped. Two!", true),
            ("sentences", "**One.** *Two.*", true),
            ("sentences", "One. 2. Three.", true),
            ("sentences", "only one", false),
            ("sentences", "42", false),
            ("lines", "a\n\n \nb\r\n", true),
            ("lines", "a\nb\nc", false),
            ("paragraphs", "a\nb\n\n \t\nc", true),
            ("paragraphs", "a\nb", false),
            ("characters", " \u{e4}b\n", true),
            ("characters", "abc", false),
            ("bullets", "Fruit:\n- a\n  * b\n-c\n1. d", true),
            ("bullets", "\u{2022} a\n\u{2022}b", true),
            ("bullets", "- a", false),
            ("numbered", "Steps:\n1. a\n text\n 2. b", true),
            ("numbered", "2. a\n1. b", false),
            ("numbered", "1. a\n1. b", false),
            ("numbered", "1.5 m\n1. a\n2. b", true),
            ("numbered", "1) a\n2) b", false),
            ("line_words", "a b\n\nc d", true),
            ("line_words", "a b\nc d e", false),
            ("json_array", "[1, [2, 3]]", true),
            ("json_array", "```json\n[1, 2]\n```", true),
            ("json_array", "Here: [1, 2]", false),
            ("json_array", "{\"a\": 1, \"b\": 2}", false),
            ("json_array", "[1, 2] [3]", false),
        ];
        for (kind, answer, holds) in cases {
            let (held, what) = seen(&two(kind), answer);
            assert_eq!(held, holds, "{kind} of {answer:?}: {what}");
        }
    }

    #[test]
    fn a_bound_may_be_open_at_one_end() {
        let at_least = json!({ "kind": "words", "min": 2 });
        let at_most = json!({ "kind": "words", "max": 2 });
        assert_eq!(seen(&at_least, "a b c"), (true, "words: 3 of at least 2".to_owned()));
        assert!(!seen(&at_least, "a").0 && seen(&at_most, "a").0);
        assert_eq!(seen(&at_most, "a b c"), (false, "words: 3 of 0 to 2".to_owned()));
    }

    #[test]
    fn texts_are_found_as_whole_words() {
        let cases = [
            (json!({ "kind": "contains", "text": "tea" }), "Tea, please", true),
            (json!({ "kind": "contains", "text": "tea" }), "a team in Chelsea steals tea", true),
            (json!({ "kind": "contains", "text": "tea" }), "a team in Chelsea steals", false),
            (json!({ "kind": "contains", "text": "green tea" }), "no Green Tea?", true),
            (json!({ "kind": "contains", "text": "a a", "min": 1, "max": 1 }), "xa a a", true),
            (json!({ "kind": "contains", "text": "tea", "min": 2 }), "tea and tea", true),
            (json!({ "kind": "contains", "text": "tea", "max": 1 }), "tea and tea", false),
            (json!({ "kind": "contains", "text": "tea", "max": 1 }), "coffee", false),
            (json!({ "kind": "contains", "text": "#tea" }), "such#tea", true),
            (json!({ "kind": "contains", "text": "\u{c4}rger" }), "\u{e4}rger", true),
            (json!({ "kind": "excludes", "text": "tea" }), "a team", true),
            (json!({ "kind": "excludes", "text": "tea" }), "TEA!", false),
            (json!({ "kind": "excludes_character", "text": "," }), "a; b", true),
            (json!({ "kind": "excludes_character", "text": "," }), "a, b", false),
            (json!({ "kind": "excludes_character", "text": "e" }), "E", false),
            (json!({ "kind": "starts_with", "text": "Dear " }), "\nDear all", true),
            (json!({ "kind": "starts_with", "text": "Dear" }), "dear all", false),
            (json!({ "kind": "ends_with", "text": "Bye." }), "So. Bye.\n", true),
            (json!({ "kind": "ends_with", "text": "Bye." }), "Bye", false),
            (json!({ "kind": "case", "text": "upper" }), "ALL 4!", true),
            (json!({ "kind": "case", "text": "upper" }), "ALl", false),
            (json!({ "kind": "case", "text": "lower" }), "all 4", true),
            (json!({ "kind": "case", "text": "lower" }), "aLl", false),
            (json!({ "kind": "acrostic", "text": "WATT" }), "We\n\n- all\n\"Try\nthis", true),
            (json!({ "kind": "acrostic", "text": "WATT" }), "We\nall\nTry", false),
            (json!({ "kind": "acrostic", "text": "WATT" }), "We\nall\nTry\nthis\ntoo", false),
            (json!({ "kind": "acrostic", "text": "WATT" }), "We\nall\nTry\nthis\n---", false),
            (json!({ "kind": "sorted" }), "- Ant\n- bee\n\n- Cow", true),
            (json!({ "kind": "sorted" }), "1. ant\n2. Bee\n3. cow", true),
            (json!({ "kind": "sorted" }), "bee\nAnt", false),
        ];
        for (rule, answer, holds) in cases {
            let (held, what) = seen(&rule, answer);
            assert_eq!(held, holds, "{rule} of {answer:?}: {what}");
        }
    }

    #[test]
    fn an_object_has_exactly_its_keys_perhaps_in_a_fence() {
        let rule = json!({ "kind": "json_keys", "keys": ["a", "b"] });
        for answer in ["{\"b\": 1, \"a\": {\"c\": 2}}", "```\n{\"a\": 1, \"b\": 2}\n```"] {
            assert!(seen(&rule, answer).0, "{answer}");
        }
        let others = [
            "{\"a\": 1}",
            "{\"a\": 1, \"b\": 2, \"c\": 3}",
            "{\"a\": 1, \"B\": 2}",
            "Here: {\"a\": 1, \"b\": 2}",
            "[\"a\", \"b\"]",
            "{'a': 1, 'b': 2}",
            "```",
        ];
        for answer in others {
            assert!(!seen(&rule, answer).0, "{answer}");
        }
        let deep = "[".repeat(1_000_000);
        assert!(!seen(&rule, &deep).0);
    }

    #[test]
    fn all_have_to_hold_and_those_that_do_not_are_told() {
        let rules = json!([
            { "kind": "words", "max": 3 },
            { "kind": "excludes", "text": "tea" },
            { "kind": "lines", "min": 1 },
        ]);
        let right = scored(rules.clone(), "just coffee");
        assert_eq!((right.verdict, right.method.as_str()), (Verdict::Correct, "constraints:all"));
        let told = "words: 2 of 0 to 3; excludes \"tea\": 0; lines: 1 of at least 1";
        assert_eq!(right.extracted.as_deref(), Some(told));
        let wrong = scored(rules.clone(), "tea or coffee or tea");
        assert_eq!(wrong.method, "constraints:broken");
        assert_eq!(wrong.verdict, Verdict::Incorrect);
        let told = "words: 5 of 0 to 3; excludes \"tea\": 2";
        assert_eq!(wrong.extracted.as_deref(), Some(told));
        assert_eq!(scored(rules, " \n").verdict, Verdict::Unparsed);
    }

    #[test]
    fn rules_that_are_not_understood_are_not_scored() {
        let malformed = [
            json!(null),
            json!([]),
            json!({}),
            json!(["words"]),
            json!([{ "min": 1 }]),
            json!([{ "kind": "syllables", "min": 1 }]),
            json!([{ "kind": "words" }]),
            json!([{ "kind": "words", "min": 3, "max": 2 }]),
            json!([{ "kind": "words", "min": -1 }]),
            json!([{ "kind": "words", "min": 1.5 }]),
            json!([{ "kind": "words", "min": "1" }]),
            json!([{ "kind": "words", "min": 1, "maximum": 2 }]),
            json!([{ "kind": "contains" }]),
            json!([{ "kind": "contains", "text": " " }]),
            json!([{ "kind": "contains", "text": "a", "max": 0 }]),
            json!([{ "kind": "contains", "text": "a", "words": 1 }]),
            json!([{ "kind": "excludes", "text": "a", "max": 1 }]),
            json!([{ "kind": "excludes_character", "text": "ab" }]),
            json!([{ "kind": "case", "text": "title" }]),
            json!([{ "kind": "sorted", "text": "a" }]),
            json!([{ "kind": "json_keys", "keys": "a" }]),
            json!([{ "kind": "json_keys" }]),
            json!([{ "kind": "words", "min": 1 }, { "kind": "syllables" }]),
        ];
        for constraints in malformed {
            let evaluation = scored(constraints.clone(), "an answer");
            assert_eq!(evaluation.verdict, Verdict::Unevaluated, "{constraints}");
            assert_eq!(evaluation.method, "constraints:malformed");
        }
        assert_eq!(evaluate(&Map::new(), "an answer").verdict, Verdict::Unevaluated);
    }
}
