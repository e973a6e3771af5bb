//! Multiple choice by SuperGPQA's rules: which option does a text choose, by its letter or by its text?
//!
//! The last line is read before the whole text, and each of them for `answer is X` (or `option is X`), then
//! `Answer: X`, then an X that it begins with; case doesn't matter, and X may stand in brackets, emphasis or
//! LaTeX. Where no letter is found, the options' own texts are looked for in the same places. Two
//! differences to the original, in favour of what a reader would say: a few words may stand between "answer"
//! and "is", and "a" or "I" as a word of a sentence is no letter.

use std::ops::RangeInclusive;

use memchr::memchr2_iter;
use serde_json::{Map, Value};

use super::{Evaluation, mcq};
use crate::dataset::choice_letter;

/// The letters that options can have.
const LETTERS: RangeInclusive<char> = 'A'..='J';
/// What a choice may be wrapped in besides brackets and emphasis.
const WRAPPERS: [&str; 8] =
    ["\\boxed{", "\\text{", "\\textbf{", "\\mathrm{", "\\mathbf{", "\\mathit{", "\\(", "\\["];
/// What may close one.
const CLOSING: [char; 10] = ['}', '$', ')', ']', '\\', '*', '_', '"', '`', '\u{201d}'];
/// Words between "answer" and "is": `The answer to this question is`.
const MOST_WORDS_BETWEEN: usize = 6;

/// Scores a choice against the letter of the right option.
pub(super) fn evaluate(reference: &str, metadata: &Map<String, Value>, text: &str) -> Evaluation {
    let Some(right) = choice_letter(reference) else {
        return Evaluation::unevaluated("letter_supergpqa:reference_is_no_letter");
    };
    match chosen(text, &options(metadata)) {
        Some((letter, rule)) => Evaluation::decided(
            letter == right,
            format!("letter_supergpqa:{rule}"),
            &letter.to_string(),
        ),
        None => Evaluation::unparsed("letter_supergpqa:none"),
    }
}

/// The options that can be chosen by their text.
fn options(metadata: &Map<String, Value>) -> Vec<(char, &str)> {
    let options = metadata.get("options").and_then(Value::as_array);
    let lettered = LETTERS.zip(options.into_iter().flatten());
    let texts = lettered.filter_map(|(letter, option)| {
        let text = undressed(option.as_str()?).trim_end_matches(['.', ' ']);
        Some((letter, text.trim_end_matches(CLOSING)))
    });
    texts.filter(|(_, text)| !text.is_empty()).collect()
}

/// By what an option is named.
enum By<'a> {
    Letter,
    Text(&'a [(char, &'a str)]),
}

/// The letter that a text chooses, and the rule that found it.
fn chosen(text: &str, options: &[(char, &str)]) -> Option<(char, String)> {
    let text = text.trim_end();
    let last_line = text.rsplit('\n').next().unwrap_or_default();
    let places = [
        (last_line, By::Letter, "", ""),
        (text, By::Letter, "", "_anywhere"),
        (last_line, By::Text(options), "option_", ""),
        (text, By::Text(options), "option_", "_anywhere"),
    ];
    places.iter().find_map(|(place, by, what, whence)| {
        let (letter, rule) = by_rule(place, by)?;
        Some((letter, format!("{what}{rule}{whence}")))
    })
}

/// What is chosen in the first place that a rule points to.
fn by_rule(text: &str, by: &By<'_>) -> Option<(char, &'static str)> {
    let first = |word, rare| {
        let mut places = after_word(text, word, rare).filter_map(after_is);
        places.find_map(|rest| by.at(rest).map(|letter| (rest.len(), letter)))
    };
    // The earlier of two places is the one that more text follows.
    let answer_is = first("answer", 3).max(first("option", 1));
    let answer_colon = || {
        let mut places = after_word(text, "answer", 3).filter_map(after_colon);
        places.find_map(|rest| by.at(rest))
    };
    answer_is
        .map(|(_, letter)| (letter, "answer_is"))
        .or_else(|| answer_colon().map(|letter| (letter, "answer_colon")))
        .or_else(|| by.leading(text).map(|letter| (letter, "leading")))
}

/// What follows each place where `word` stands by itself or in the plural, whatever its case. The word is found
/// by its letter at `rare`, so that little else is looked at.
fn after_word<'a>(text: &'a str, word: &'static str, rare: usize) -> impl Iterator<Item = &'a str> {
    let letter = word.as_bytes()[rare];
    memchr2_iter(letter, letter.to_ascii_uppercase(), text.as_bytes()).filter_map(move |at| {
        let start = at.checked_sub(rare)?;
        let end = start + word.len();
        if !text.get(start..end)?.eq_ignore_ascii_case(word)
            || text[..start].ends_with(char::is_alphanumeric)
        {
            return None;
        }
        let rest = text[end..].strip_prefix(['s', 'S']).unwrap_or(&text[end..]);
        (!rest.starts_with(char::is_alphanumeric)).then_some(rest)
    })
}

/// What follows the "is" that comes after at most a few words, all on one line.
fn after_is(rest: &str) -> Option<&str> {
    let mut rest = rest;
    for _word in 0..=MOST_WORDS_BETWEEN {
        let word = rest.trim_start_matches([' ', '\t', '*', '_']);
        let in_word =
            |letter: char| letter.is_alphanumeric() || matches!(letter, '\'' | '\u{2019}');
        let end = word.find(|letter| !in_word(letter)).unwrap_or(word.len());
        rest = &word[end..];
        if end == 0 {
            return None;
        }
        if word[..end].eq_ignore_ascii_case("is") {
            return Some(rest.strip_prefix(':').unwrap_or(rest));
        }
    }
    None
}

/// What follows a colon, with emphasis and space before it.
fn after_colon(rest: &str) -> Option<&str> {
    rest.trim_start_matches(|letter: char| letter.is_whitespace() || letter == '*')
        .strip_prefix(':')
}

impl By<'_> {
    /// What a text begins with, in whatever it is wrapped.
    fn at(&self, text: &str) -> Option<char> {
        match self {
            Self::Letter => letter_at(text, false),
            Self::Text(options) => option_at(text, options),
        }
    }

    /// What a line or a whole text begins with, behind any marks.
    fn leading(&self, text: &str) -> Option<char> {
        let is_mark = |letter: char| {
            !letter.is_alphanumeric() && !matches!(letter, '_' | '\n' | '\r' | '\\' | '$')
        };
        let start = text.trim_start_matches(is_mark);
        match self {
            Self::Letter => letter_at(start, true),
            Self::Text(options) => option_at(start, options),
        }
    }
}

/// The letter that a text begins with. The article and the pronoun are none: in small letters ("the answer is
/// a dog") anywhere, and where a sentence begins.
fn letter_at(text: &str, begins: bool) -> Option<char> {
    let bare = undressed(text);
    let given = bare.chars().next()?;
    let letter = given.to_ascii_uppercase();
    let rest = bare.get(1..).filter(|_| LETTERS.contains(&letter))?;
    let may_be_word = begins || given.is_ascii_lowercase();
    (ends(rest) && !(may_be_word && mcq::reads_as_word(letter, rest))).then_some(letter)
}

/// The letter of the longest option whose text a text begins with; of two alike, of the first.
fn option_at(text: &str, options: &[(char, &str)]) -> Option<char> {
    let bare = undressed(text);
    let named = options
        .iter()
        .rev()
        .filter(|(_, option)| after_ignoring_case(bare, option).is_some_and(ends));
    named.max_by_key(|(_, option)| option.len()).map(|(letter, _)| *letter)
}

/// What follows `start` at the start of a text, whatever the case of either.
fn after_ignoring_case<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    let mut rest = text.chars();
    for wanted in start.chars() {
        let given = rest.next()?;
        if given != wanted && !given.to_lowercase().eq(wanted.to_lowercase()) {
            return None;
        }
    }
    Some(rest.as_str())
}

/// Whether a choice ends where `rest` begins: what closes its wrapping, then no more of a word, number or
/// formula.
fn ends(rest: &str) -> bool {
    let after = rest.trim_start_matches(CLOSING);
    let goes_on = |letter: char| letter.is_alphanumeric() || "'\u{2019}-/+=^<>([".contains(letter);
    let decimals = after
        .strip_prefix(['.', ','])
        .is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()));
    !after.starts_with(goes_on) && !decimals
}

/// A text from where it says something: without space, brackets, quotes, emphasis and LaTeX before it.
fn undressed(text: &str) -> &str {
    let mut bare = text;
    loop {
        bare = bare.trim_start_matches(|letter: char| {
            letter.is_whitespace() || "*$([{_\"`\u{201c}".contains(letter)
        });
        match WRAPPERS.iter().find_map(|opening| bare.strip_prefix(opening)) {
            Some(inside) => bare = inside,
            None => return bare,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    const OPTIONS: [(char, &str); 4] =
        [('A', "a cat"), ('B', "5"), ('C', "5.25"), ('D', "x^2 + 1")];

    fn found(text: &str) -> Option<(char, String)> {
        chosen(text, &OPTIONS)
    }

    #[test]
    fn the_rules_fire_in_their_order_on_awkward_answers() {
        let cases = [
            // the last line
            ("Thinking.\nThe answer is (C).", ('C', "answer_is")),
            ("The final answer to this question is: A.", ('A', "answer_is")),
            (r"The best option is $\boxed{B}$:", ('B', "answer_is")),
            ("the correct answer is **d**", ('D', "answer_is")),
            ("THE ANSWER IS E", ('E', "answer_is")),
            ("The answer is A because it must be.", ('A', "answer_is")),
            (r"So the answer is \(\boxed{\text{F}}\).", ('F', "answer_is")),
            ("**The correct answer is: G**", ('G', "answer_is")),
            ("The options are A and B. The option is H", ('H', "answer_is")),
            ("The answer is not B. The option is H", ('H', "answer_is")),
            ("The option is H and the answer is C", ('H', "answer_is")),
            ("The answer is J, no doubt.", ('J', "answer_is")),
            ("Answer: I", ('I', "answer_colon")),
            ("**Answer:** (B) five", ('B', "answer_colon")),
            ("**Answer**: B", ('B', "answer_colon")),
            ("ANSWER : b", ('B', "answer_colon")),
            (r"Answer: $\mathrm{C}$", ('C', "answer_colon")),
            ("Answer: [[C]]", ('C', "answer_colon")),
            ("C", ('C', "leading")),
            ("c.", ('C', "leading")),
            ("So.\n**(D)** since it fits", ('D', "leading")),
            ("- B: five", ('B', "leading")),
            (r"$\boxed{E}$", ('E', "leading")),
            ("A is right", ('A', "leading")),
            // the whole text
            ("The answer is (C).\nI hope this helps!", ('C', "answer_is_anywhere")),
            ("The correct option is:\n\n(B)\n\nThat is all.", ('B', "answer_is_anywhere")),
            ("Answer: D\nThat is all there is to it.", ('D', "answer_colon_anywhere")),
            ("F) the sixth\nThat is all there is to it.", ('F', "leading_anywhere")),
            ("The answer is B.\nThe answer is C.\nOr so.", ('B', "answer_is_anywhere")),
            // the options' texts
            ("The answer is a cat.", ('A', "option_answer_is")),
            ("The answer is 5", ('B', "option_answer_is")),
            ("The answer is **5.25**.", ('C', "option_answer_is")),
            ("The answer is $x^2 + 1$.", ('D', "option_answer_is")),
            ("Answer: X^2 + 1", ('D', "option_answer_colon")),
            ("A cat", ('A', "option_leading")),
            (
                "The answer is a cat.\nThat is all there is to it.",
                ('A', "option_answer_is_anywhere"),
            ),
        ];
        for (text, (letter, rule)) in cases {
            assert_eq!(found(text), Some((letter, rule.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_a_choice_is_none() {
        let cases = [
            "",
            " \n ",
            "The answer is Germany.",
            "The answer is K.",
            "The answer is B-cell lymphoma.",
            "The answer is A/B.",
            "The answer is a dog.",
            "I think so, too.",
            "I'm not sure",
            "A dog barks.",
            "ABBA",
            "The answer is 5.3",
            "The answer is x^2 + 1/y",
            "The answer is f(x)",
            "The answers are B and C",
            "The reanswer is B",
            "The \u{e4}nswer is B",
            "the answer, after all that was said, might be B",
            "The answer one two three four five six seven is B",
            "Thus it must be B",
        ];
        for text in cases {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn options_are_compared_without_what_dresses_them_and_end_at_j() {
        let row = serde_json::json!({ "options": ["$x$", 7, "", "**bold**.", "f(x)"] });
        let metadata = row.as_object().unwrap();
        assert_eq!(options(metadata), [('A', "x"), ('D', "bold"), ('E', "f(x")]);
        assert_eq!(chosen("The answer is f(x).", &options(metadata)).unwrap().0, 'E');
        assert_eq!(chosen("The answer is f(x)+1.", &options(metadata)), None);
        let many = serde_json::json!({ "options": vec!["same"; 12] });
        let many = options(many.as_object().unwrap()).len();
        assert_eq!(many, 10);
        for row in [serde_json::json!({}), serde_json::json!({ "options": "A" })] {
            assert!(options(row.as_object().unwrap()).is_empty());
        }
    }

    #[test]
    fn the_longest_of_the_options_is_chosen_and_of_two_alike_the_first() {
        let options = [('A', "iron"), ('B', "iron oxide"), ('C', "iron oxide")];
        assert_eq!(option_at("Iron oxide.", &options), Some('B'));
        assert_eq!(option_at("iron, mostly", &options), Some('A'));
        assert_eq!(option_at("ironing", &options), None);
    }

    #[test]
    fn the_letter_decides() {
        let verdict = |reference, text| evaluate(reference, &Map::new(), text).verdict;
        assert_eq!(verdict("B", "Answer: B"), Verdict::Correct);
        assert_eq!(verdict("(b)", "Answer: B"), Verdict::Correct);
        assert_eq!(verdict("C", "Answer: B"), Verdict::Incorrect);
        assert_eq!(verdict("C", "no idea"), Verdict::Unparsed);
        assert_eq!(verdict("Paris", "Answer: B"), Verdict::Unevaluated);
    }
}
