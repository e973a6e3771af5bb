//! A short answer: is it the same text, or the same number, as the reference?
//!
//! The answer is taken from the last `Answer:` line that has one, else from the last `\boxed{}`, else
//! from the last line if that is short enough to be a bare answer or to end in one behind an "is". Both sides are then stripped of what
//! only dresses them (quotes, emphasis, `$`, a full stop, case, spaces) and compared: two quantities by
//! their numbers, whole numbers exactly and others to [`TOLERANCE`]; all else as text. A unit in the
//! answer is ignored where the reference has none, and must be the reference's where it has one.

use super::{Evaluation, Verdict, latex};

/// How far two numbers may lie apart that aren't both whole: absolutely, and relatively where the
/// reference is under [`SMALL`].
const TOLERANCE: f64 = 1e-6;
const SMALL: f64 = 1e-3;
/// A last line of at most this many characters can be an answer without a mark.
const LONGEST_BARE_ANSWER: usize = 100;
/// An answer that is longer than the reference by more bytes than this is another one: no dressing
/// is that long. It bounds the work, too.
const LONGEST_DRESSING: usize = 4_096;
/// How much of what was taken for the answer is kept in the record, in characters.
const LONGEST_EXTRACT: usize = 200;
/// Words behind a number that change its value or put it in doubt, so that they are no unit.
const NO_UNITS: [&str; 19] = [
    "hundred", "thousand", "million", "billion", "trillion", "dozen", "k", "bn", "half", "or",
    "and", "to", "x", "i", "pi", "\u{3c0}", "times", "plus", "minus",
];

/// Scores a short answer against its reference.
pub(super) fn evaluate(reference: &str, response: &str) -> Evaluation {
    if reference.trim().is_empty() {
        return Evaluation {
            verdict: Verdict::Unevaluated,
            method: "exact:no_reference".to_owned(),
            extracted: None,
            undecided: false,
        };
    }
    let Some((answer, rule)) = final_answer(reference, response) else {
        return Evaluation {
            verdict: Verdict::Unparsed,
            method: "exact:none".to_owned(),
            extracted: None,
            undecided: false,
        };
    };
    Evaluation {
        verdict: if same(reference, answer) { Verdict::Correct } else { Verdict::Incorrect },
        method: format!("exact:{rule}"),
        extracted: Some(answer.trim().chars().take(LONGEST_EXTRACT).collect()),
        undecided: false,
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

/// What follows the last `Answer:` that is followed by anything, be it on the next line.
fn answer_line(text: &str) -> Option<&str> {
    let (mut last, mut announced) = (None, false);
    for line in text.lines() {
        match after_answer(line) {
            Some(rest) if is_blank(rest) => announced = true,
            Some(rest) => (last, announced) = (Some(rest), false),
            None if announced && !is_blank(line) => (last, announced) = (Some(line), false),
            None => {}
        }
    }
    last
}

/// What stands behind the last `answer:` of a line, whatever its case and emphasis.
fn after_answer(line: &str) -> Option<&str> {
    const WORD: &str = "answer";
    line.rmatch_indices(':').find_map(|(at, _)| {
        let before = line[..at].trim_end_matches(['*', '_', ' ']);
        let start = before.len().checked_sub(WORD.len())?;
        let found = before.get(start..)?.eq_ignore_ascii_case(WORD)
            && !before[..start].ends_with(char::is_alphanumeric);
        let rest = &line[at + 1..];
        // `**Answer:** 42`: the emphasis closes behind the colon.
        found.then(|| rest.strip_prefix("**").or(rest.strip_prefix("__")).unwrap_or(rest))
    })
}

fn boxed(text: &str) -> Option<&str> {
    latex::last_boxed(text).filter(|content| !is_blank(content))
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

/// Whether there is nothing but space and marks of emphasis or code.
fn is_blank(text: &str) -> bool {
    text.chars().all(|letter| letter.is_whitespace() || matches!(letter, '*' | '_' | '`'))
}

/// Whether an answer says what the reference says.
fn same(reference: &str, answer: &str) -> bool {
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
fn undressed(text: &str) -> String {
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

/// A number, perhaps with a unit.
#[derive(Debug, PartialEq)]
struct Quantity<'a> {
    value: f64,
    /// All digits of a whole number: past 2^53 `value` can't tell neighbours apart.
    whole: Option<String>,
    unit: &'a str,
}

impl<'a> Quantity<'a> {
    /// Reads `1,234.5`, `-3/4`, `\frac{3}{4}`, `$20`, `9.0 kJ`, `1.5e3`; nothing else may follow.
    fn parse(text: &'a str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix(['-', '+']) {
            Some(rest) => (text.starts_with('-'), rest),
            None => (false, text),
        };
        let rest = rest.strip_prefix(['$', '\u{20ac}', '\u{a3}']).unwrap_or(rest).trim_start();
        let (magnitude, whole, rest) = match latex::fraction(rest) {
            Some((numerator, denominator, rest)) => {
                (quotient(decimal(numerator)?, decimal(denominator)?)?, None, rest)
            }
            None => unsigned(rest)?,
        };
        let unit = unit(rest)?;
        let value = if negative { -magnitude } else { magnitude };
        let whole = whole.or_else(|| few_digits(magnitude));
        let whole = whole.map(|digits| match digits.as_str() {
            "0" => digits,
            _ if negative => format!("-{digits}"),
            _ => digits,
        });
        Some(Self { value, whole, unit })
    }

    /// Whether `answer` is this quantity.
    fn is_met_by(&self, answer: &Self) -> bool {
        let unit = self.unit.is_empty() || same_unit(self.unit, answer.unit);
        let number = match (&self.whole, &answer.whole) {
            (Some(reference), Some(answer)) => reference == answer,
            _ => {
                let size = self.value.abs();
                let scale = if size < SMALL { size } else { 1.0 };
                (self.value - answer.value).abs() <= TOLERANCE * scale
            }
        };
        unit && number
    }
}

/// A number without sign at the start of a text: its value, its digits if it is whole, the rest.
fn unsigned(text: &str) -> Option<(f64, Option<String>, &str)> {
    let end =
        text.find(|letter: char| !matches!(letter, '0'..='9' | ',' | '.')).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let exponent = exponent(rest);
    if exponent.is_none()
        && let Some(after) = rest.trim_start().strip_prefix('/')
        && after.trim_start().starts_with(|digit: char| digit.is_ascii_digit())
    {
        let after = after.trim_start();
        let end = after
            .find(|letter: char| !matches!(letter, '0'..='9' | ',' | '.'))
            .unwrap_or(after.len());
        let (denominator, rest) = after.split_at(end);
        // `8/4/2` is a date or something else, but not one quotient.
        if rest.trim_start().starts_with('/') {
            return None;
        }
        return Some((quotient(decimal(digits)?, decimal(denominator)?)?, None, rest));
    }
    let plain = without_commas(digits)?;
    let (exponent, rest) = exponent.unwrap_or(("", rest));
    let value: f64 = format!("{plain}{exponent}").parse().ok()?;
    Some((value, whole(&plain).filter(|_| exponent.is_empty()), rest)).filter(|_| value.is_finite())
}

/// `e3`, `E-2` at the start of a text, and the rest.
fn exponent(text: &str) -> Option<(&str, &str)> {
    let after = text.strip_prefix(['e', 'E'])?;
    let digits = after.strip_prefix(['-', '+']).unwrap_or(after);
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    (length > 0).then(|| text.split_at(text.len() - digits.len() + length))
}

/// A whole text that is a number without sign or exponent.
fn decimal(text: &str) -> Option<f64> {
    without_commas(text.trim())?.parse().ok()
}

fn quotient(numerator: f64, denominator: f64) -> Option<f64> {
    (denominator != 0.0).then_some(numerator / denominator)
}

/// The digits without thousands commas, if it is one number written as numbers are: `007` is a code,
/// `1,23` and `1.2.3` are something else.
fn without_commas(text: &str) -> Option<String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut groups = whole.split(',');
    let first = groups.next()?;
    let grouped = whole.contains(',');
    let well_grouped = !grouped || (1..=3).contains(&first.len());
    let code = first.len() > 1 && first.starts_with('0');
    if !well_grouped
        || code
        || fraction.contains([',', '.'])
        || (whole.is_empty() && fraction.is_empty())
        || groups.any(|group| group.len() != 3)
    {
        return None;
    }
    Some(text.replace(',', ""))
}

/// The digits of a whole number, `12` for `12.00`.
fn whole(plain: &str) -> Option<String> {
    let (digits, fraction) = plain.split_once('.').unwrap_or((plain, ""));
    let is_whole = !digits.is_empty() && fraction.bytes().all(|digit| digit == b'0');
    is_whole.then(|| digits.to_owned())
}

/// The digits of a whole number that a float holds exactly.
fn few_digits(value: f64) -> Option<String> {
    const FEW: f64 = 9_007_199_254_740_992.0;
    (value.fract() == 0.0 && value < FEW).then(|| format!("{value:.0}"))
}

/// What follows a number, if it can be a unit: nothing, a sign, or one or two words.
fn unit(rest: &str) -> Option<&str> {
    let unit = rest.trim();
    let starts =
        |letter: char| letter.is_alphabetic() || "%\u{b0}\u{20ac}\u{a3}$\u{2126}".contains(letter);
    let words = || unit.split_whitespace();
    let fits = unit.is_empty()
        || (unit.starts_with(starts)
            && !unit.contains(|letter: char| {
                letter.is_ascii_digit() || ",;:=+()[]{}\\".contains(letter)
            })
            && words().count() <= 2
            && !words().any(|word| NO_UNITS.contains(&word.to_lowercase().as_str())));
    fits.then_some(unit)
}

/// The same letters, whatever their case; but a milliwatt is no megawatt.
fn same_unit(reference: &str, answer: &str) -> bool {
    let prefix = |unit: &str| unit.chars().next().filter(|first| matches!(first, 'm' | 'M'));
    reference.to_lowercase() == answer.to_lowercase() && prefix(reference) == prefix(answer)
}

#[cfg(test)]
mod tests {
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
    fn a_chain_of_slashes_is_no_number_however_long() {
        assert!(unsigned("8/4/2").is_none());
        let chain = "1/".repeat(1 << 20) + "1";
        assert!(unsigned(&chain).is_none());
        assert_ne!(evaluate(&chain, "Answer: 1").verdict, Verdict::Correct);
    }
}
