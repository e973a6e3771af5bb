//! A short answer: is it the same text, or the same number, as the reference?
//!
//! The answer is taken from the last `Answer:` line that has one, else from the last `\boxed{}`, else
//! from the last line if that is short enough to be a bare answer or to end in one behind an "is". Both
//! sides are then stripped of what only dresses them (quotes, emphasis, `$`, a full stop, case, spaces) and
//! compared: two quantities by their numbers, whole numbers exactly and others to a millionth; all else as
//! text. A unit in the answer is ignored where the reference has none, and must be the reference's where it
//! has one.

use super::marked::{answer_line, boxed, is_blank};
use super::quantity::Quantity;
use super::{Evaluation, latex};

/// A last line of at most this many characters can be an answer without a mark.
const LONGEST_BARE_ANSWER: usize = 100;
/// An answer that is longer than the reference by more bytes than this is another one: no dressing
/// is that long. It bounds the work, too.
pub(super) const LONGEST_DRESSING: usize = 4_096;

/// Scores a short answer against its reference.
pub(super) fn evaluate(reference: &str, response: &str) -> Evaluation {
    if reference.trim().is_empty() {
        return Evaluation::unevaluated("exact:no_reference");
    }
    match final_answer(reference, response) {
        Some((answer, rule)) => {
            Evaluation::decided(same(reference, answer), format!("exact:{rule}"), answer)
        }
        None => Evaluation::unparsed("exact:none"),
    }
}

/// What a text gives as its answer, and the rule that found it.
fn final_answer<'a>(reference: &str, text: &'a str) -> Option<(&'a str, &'static str)> {
    answer_line(text)
        .map(|answer| (answer, "answer_line"))
        .or_else(|| boxed(text).map(|answer| (answer, "boxed")))
        .or_else(|| {
            let line = bare(reference, text)?;
            let complement = complement(reference, line).map(|answer| (answer, "loose_is"));
            Some(complement.unwrap_or((line, "last_line")))
        })
}

/// The last line, if it is short.
fn bare<'a>(reference: &str, text: &'a str) -> Option<&'a str> {
    let line = text.lines().rev().find(|line| !is_blank(line))?;
    let longest = LONGEST_BARE_ANSWER.max(2 * reference.chars().count());
    (line.chars().take(longest + 1).count() <= longest).then_some(line)
}

/// `children` of `The plural of "child" is "children".`: small models answer in a sentence whatever form
/// was asked for. What is taken does not depend on whether it would be right; only a reference
/// that has an "is" of its own keeps the line whole.
fn complement<'a>(reference: &str, line: &'a str) -> Option<&'a str> {
    const WORD: &str = " is";
    if reference.contains(WORD) {
        return None;
    }
    let (at, _) = line
        .rmatch_indices(WORD)
        .find(|(at, _)| line[at + WORD.len()..].starts_with([' ', ':']))?;
    let rest = line[at + WORD.len()..].trim_start_matches(':');
    (!is_blank(rest)).then_some(rest)
}

/// Whether an answer says what the reference says.
pub(super) fn same(reference: &str, answer: &str) -> bool {
    if answer.len() > reference.len() + LONGEST_DRESSING {
        return false;
    }
    let (reference, answer) = (undressed(reference), undressed(answer));
    if alike(&reference, &answer) {
        return true;
    }
    // `5 x 3 = 15` for 15, `(3, 5)` for `3, 5`.
    let result = answer.rsplit_once('=').filter(|_| !reference.contains('='));
    let inside = without_brackets(&answer).filter(|_| without_brackets(&reference).is_none());
    result.is_some_and(|(_, result)| alike(&reference, &undressed(result)))
        || inside.is_some_and(|inside| alike(&reference, &undressed(inside)))
}

/// Whether two undressed texts are the same quantity or, if they aren't both one, the same text.
fn alike(reference: &str, answer: &str) -> bool {
    match (Quantity::parse(reference), Quantity::parse(answer)) {
        (Some(reference), Some(answer)) => reference.is_met_by(&answer),
        _ => folded(reference) == folded(answer),
    }
}

/// Without case and without the spaces that don't matter.
fn folded(text: &str) -> String {
    let lower = text.to_lowercase();
    let parts: Vec<&str> = lower.split(',').map(str::trim).collect();
    parts.join(",")
}

/// A text without what only dresses it. A text that is nothing else is left as it is.
pub(super) fn undressed(text: &str) -> String {
    let plain: String = text.chars().filter_map(plain_letter).collect();
    let plain =
        plain.replace("\\%", "%").replace("\\$", "$").replace("{,}", ",").replace("\\,", "");
    let mut bare = plain.trim();
    while let Some(less) = without_one_dressing(bare) {
        bare = less;
    }
    let bare = if bare.is_empty() { plain.trim() } else { bare };
    bare.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// One spelling for the signs that have several; invisible ones are dropped.
fn plain_letter(letter: char) -> Option<char> {
    match letter {
        '\u{2018}' | '\u{2019}' => Some('\''),
        '\u{201c}' | '\u{201d}' | '\u{ab}' | '\u{bb}' => Some('"'),
        '\u{2010}'..='\u{2014}' | '\u{2212}' => Some('-'),
        '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' => None,
        other => Some(other),
    }
}

/// Takes off one layer: a pair around the whole, a full stop, marks of emphasis.
fn without_one_dressing(text: &str) -> Option<&str> {
    const PAIRS: [(&str, &str); 8] = [
        ("\"", "\""),
        ("'", "'"),
        ("`", "`"),
        ("**", "**"),
        ("*", "*"),
        ("__", "__"),
        ("$", "$"),
        ("\\(", "\\)"),
    ];
    let paired =
        PAIRS.iter().find_map(|(open, close)| text.strip_prefix(open)?.strip_suffix(close));
    let less = paired
        .or_else(|| latex::unwrapped(text))
        .or_else(|| text.strip_suffix('.'))
        .or_else(|| text.strip_prefix("**"))
        .or_else(|| text.strip_suffix("**"))?;
    Some(less.trim())
}

/// The inside of brackets that stand around the whole.
fn without_brackets(text: &str) -> Option<&str> {
    [('(', ')'), ('[', ']')].iter().find_map(|(open, close)| {
        let inside = text.strip_prefix(*open)?.strip_suffix(*close)?;
        (!inside.contains([*open, *close])).then_some(inside)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{LONGEST_EXTRACT, Verdict};
    use super::*;

    #[test]
    fn the_answer_is_found_where_the_rules_say() {
        let cases = [
            ("Thinking.\nAnswer: 42", Some(("42", "answer_line"))),
            ("Answer: 41\nno, wait\nanswer: 42\n", Some(("42", "answer_line"))),
            ("**Answer:** 42", Some(("42", "answer_line"))),
            ("**Final Answer**: 42", Some(("42", "answer_line"))),
            ("So the answer: 42", Some(("42", "answer_line"))),
            ("Answer:\n\n42\nthat's it", Some(("42", "answer_line"))),
            ("Answer:\n```\n42\n```", Some(("42", "answer_line"))),
            ("Answer: 42\nAnswer:", Some(("42", "answer_line"))),
            ("Answer: 12:10", Some(("12:10", "answer_line"))),
            ("Answer: 1 \\boxed{2}\nmore", Some(("1 \\boxed{2}", "answer_line"))),
            ("it is \\boxed{42}, and that is all that there is", Some(("42", "boxed"))),
            ("My reanswer: 7 lines", Some(("My reanswer: 7 lines", "last_line"))),
            ("First a thought.\n\n42\n", Some(("42", "last_line"))),
            ("42", Some(("42", "last_line"))),
            ("Well.\nThe plural of it is \"children\".", Some(("\"children\".", "loose_is"))),
            ("This is it: the answer is: 42", Some(("42", "loose_is"))),
            ("That is", Some(("That is", "last_line"))),
            ("That island", Some(("That island", "last_line"))),
            ("Answer:", Some(("Answer:", "last_line"))),
            ("", None),
            (" \n**\n", None),
        ];
        for (text, expected) in cases {
            let found = final_answer("42", text).map(|(answer, rule)| (answer.trim(), rule));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_long_last_line_is_no_answer_unless_the_reference_is_long_too() {
        let prose = "and so on ".repeat(15);
        assert_eq!(evaluate("42", &prose).verdict, Verdict::Unparsed);
        assert_eq!(evaluate(prose.trim(), &prose).verdict, Verdict::Correct);
    }

    #[test]
    fn a_sentence_is_an_answer_by_what_follows_its_is() {
        let response = "2.5 hours is equal to 2.5 * 60 = 150 minutes.";
        let evaluation = evaluate("150", response);
        assert_eq!(
            (evaluation.verdict, evaluation.method.as_str()),
            (Verdict::Correct, "exact:loose_is")
        );
        assert_eq!(evaluate("12.5", response).verdict, Verdict::Incorrect);
        assert_eq!(evaluate("She is here.", "She is here.").verdict, Verdict::Correct);
    }

    #[test]
    fn dressing_does_not_matter() {
        let cases = [
            ("Paris", "paris."),
            ("Paris", "**Paris**"),
            ("Paris", "\"Paris\"."),
            ("Paris", "\u{201c}Paris\u{201d}"),
            ("Paris", "$\\text{Paris}$"),
            ("Paris", "\\boxed{Paris}"),
            ("the old  town", "The old town"),
            ("don't", "don\u{2019}t"),
            ("a, b, c", "a,b ,c"),
            ("[1, 2]", "[1,2]"),
            ("3, 5", "(3, 5)"),
            ("15", "5 x 3 = 15"),
            ("x = 3", "x = 3"),
            (".", "."),
            ("2024-03-05", "2024\u{2011}03\u{2011}05"),
        ];
        for (reference, answer) in cases {
            assert!(same(reference, answer), "{reference} / {answer}");
        }
    }

    #[test]
    fn equal_numbers_are_equal_however_they_are_written() {
        let cases = [
            ("42", "42.0"),
            ("42", "42."),
            ("1234", "1,234"),
            ("1234567.5", "1,234,567.50"),
            ("0.5", "1/2"),
            ("1/2", "0.5"),
            ("3/4", "\\frac{3}{4}"),
            ("3/4", "\\dfrac{6}{8}"),
            ("1/3", "0.3333333"),
            ("20", "$20"),
            ("20", "\\$20"),
            ("20", "$20$"),
            ("0.5", ".5"),
            ("1500", "1.5e3"),
            ("-3", "\u{2212}3"),
            ("0", "-0"),
            ("25", "25 %"),
            ("25", "25 square metres"),
            ("9.0 kJ", "9 kJ"),
            ("25 km", "25.0 KM"),
            ("12345678901234567890123", "12,345,678,901,234,567,890,123"),
        ];
        for (reference, answer) in cases {
            assert!(same(reference, answer), "{reference} / {answer}");
        }
    }

    #[test]
    fn other_answers_are_other_answers() {
        let cases = [
            ("42", "43"),
            ("42", "-42"),
            ("42", "42 or 43"),
            ("42", "42 million"),
            ("42", "42 and a half"),
            ("42", "42k"),
            ("42", "four"),
            ("1234567", "1234568"),
            ("9007199254740993", "9007199254740992"),
            ("3.14159", "3.1416"),
            ("0.0000005", "0"),
            ("0.3", "3/10 or so, 4"),
            ("123", "1,23"),
            ("12345", "12, 345"),
            ("007", "7"),
            ("25 km", "25"),
            ("25 km", "25 miles"),
            ("5 MW", "5 mW"),
            ("0.25", "25 %"),
            ("1/2", "1/0"),
            ("12:10", "12"),
            ("12", "12:10"),
            ("Paris", "Paris, France"),
            ("Paris", "not Paris"),
            ("a, b", "b, a"),
            ("yes", "no"),
            ("1e400", "1e500"),
            ("2024-03-05", "2024"),
        ];
        for (reference, answer) in cases {
            assert!(!same(reference, answer), "{reference} / {answer}");
        }
    }

    #[test]
    fn what_is_kept_of_a_long_answer_is_bounded() {
        let evaluation = evaluate("42", &format!("Answer: {}", "\u{1f600}".repeat(100_000)));
        assert_eq!(evaluation.verdict, Verdict::Incorrect);
        assert_eq!(evaluation.extracted.unwrap().chars().count(), LONGEST_EXTRACT);
    }

    #[test]
    fn a_chain_of_slashes_is_compared_as_text() {
        let chain = "1/".repeat(1 << 20) + "1";
        assert_ne!(evaluate(&chain, "Answer: 1").verdict, Verdict::Correct);
    }
}
