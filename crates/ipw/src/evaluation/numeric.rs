//! A number: is it the reference?
//!
//! It is taken from the last `Answer:` line, the last `\boxed{}` or behind the last "answer is" that has one,
//! else it is the last number of the text. Where more than a number stands in that place, the first number in
//! it counts (behind the last `=`, if there is one), and the method says `loose`, as it does for the last number
//! of the text. Numbers are compared as `exact` compares them.

use super::Evaluation;
use super::exact::{LONGEST_DRESSING, same, undressed};
use super::marked::{answer_line, behind_last, boxed};
use super::quantity::{Quantity, is_scale};

/// Scores a number against its reference.
pub(super) fn evaluate(reference: &str, response: &str) -> Evaluation {
    let right = undressed(reference);
    let Some(quantity) = Quantity::parse(&right) else {
        return Evaluation::unevaluated("numeric:reference_is_no_number");
    };
    marked(reference, &quantity, response)
        .or_else(|| {
            let last = numbers(response).last()?;
            Some(last.held_against(&quantity, "loose_last_number"))
        })
        .unwrap_or_else(|| Evaluation::unparsed("numeric:none"))
}

/// The verdict on the first marked place that has a number.
fn marked(reference: &str, quantity: &Quantity<'_>, response: &str) -> Option<Evaluation> {
    let in_place = |place: Option<&str>, rule: &str, loose: &'static str| {
        let place = place?;
        whole(reference, place, rule).or_else(|| {
            let (_, result) = place.rsplit_once('=').unwrap_or(("", place));
            Some(numbers(result).next()?.held_against(quantity, loose))
        })
    };
    in_place(answer_line(response), "answer_line", "loose_answer_line")
        .or_else(|| in_place(boxed(response), "boxed", "loose_boxed"))
        .or_else(|| {
            let place = behind_last(response, "answer is", with_digit);
            in_place(place, "answer_is", "loose_answer_is")
        })
}

/// The rest of the line, if a digit is in it.
fn with_digit(rest: &str) -> Option<&str> {
    rest.lines().next().filter(|line| line.bytes().any(|byte| byte.is_ascii_digit()))
}

/// The verdict on a place that holds a number and nothing else.
fn whole(reference: &str, place: &str, rule: &str) -> Option<Evaluation> {
    let short = place.len() <= LONGEST_DRESSING;
    let is_correct = same(reference, place);
    let is_number = is_correct || (short && Quantity::parse(&undressed(place)).is_some());
    is_number.then(|| Evaluation::decided(is_correct, format!("numeric:{rule}"), place))
}

/// A number in a text.
#[derive(Debug, Clone, Copy)]
struct Number<'a> {
    negative: bool,
    /// `1,234.5`, `3/4`, `\frac{3}{4}`, `1e6`.
    magnitude: &'a str,
    rest: &'a str,
}

impl Number<'_> {
    fn held_against(&self, reference: &Quantity<'_>, rule: &str) -> Evaluation {
        let text = format!("{}{}", if self.negative { "-" } else { "" }, self.magnitude);
        let quantity = Some(text.as_str())
            .filter(|text| text.len() <= LONGEST_DRESSING && !self.is_scaled())
            .and_then(Quantity::parse);
        let is_correct = quantity
            .is_some_and(|quantity| reference.is_met_by(&quantity.of(self.unit(reference.unit()))));
        Evaluation::decided(is_correct, format!("numeric:{rule}"), &text)
    }

    /// Whether the word behind it makes another number of it: `42 million`.
    fn is_scaled(&self) -> bool {
        let word = self.rest.strip_prefix(' ').unwrap_or(self.rest);
        let end = word.find(|letter: char| !letter.is_alphabetic()).unwrap_or(word.len());
        is_scale(&word[..end])
    }

    /// What stands behind it where the reference has `unit`, as far as that is one word.
    fn unit(&self, unit: &str) -> &str {
        let behind = self.rest.trim_start_matches(' ');
        let given = behind.get(..unit.len()).unwrap_or_default();
        let goes_on = behind[given.len()..].starts_with(char::is_alphanumeric);
        if goes_on { "" } else { given }
    }
}

/// The numbers of a text in order. Digits behind a letter (`x2`), with leading zeros, with several points or
/// slashes (versions, dates) are none.
fn numbers(text: &str) -> impl Iterator<Item = Number<'_>> {
    let mut end = 0;
    std::iter::from_fn(move || {
        while end < text.len() {
            let start = end;
            let spelled = spelled(&text.as_bytes()[start..]);
            end += spelled.map_or(1, |(length, _)| length);
            if spelled.is_some_and(|(_, is_number)| is_number) && !is_attached(text, start) {
                let start = start - usize::from(is_behind_point(text, start));
                let (magnitude, rest) = (&text[start..end], &text[end..]);
                return Some(Number { negative: is_negated(text, start), magnitude, rest });
            }
        }
        None
    })
}

/// How many bytes a text begins with that are spelled with digits, and whether they are one number.
fn spelled(text: &[u8]) -> Option<(usize, bool)> {
    if text.first()? == &b'\\' {
        return fraction(text).map(|length| (length, true));
    }
    let mut length = grouped(text);
    if length == 0 {
        return None;
    }
    let is_code = text[0] == b'0' && length > 1;
    let mut following = |mark| {
        let mut times = 0;
        while text.get(length) == Some(&mark) && digits(&text[length + 1..]) > 0 {
            length += 1 + digits(&text[length + 1..]);
            times += 1;
        }
        times
    };
    let (points, slashes) = (following(b'.'), following(b'/'));
    if slashes == 0 {
        length += exponent(&text[length..]);
    }
    Some((length, !is_code && points <= 1 && slashes <= 1))
}

/// The length of `1`, `1234` or `1,234` at the start of a text.
fn grouped(text: &[u8]) -> usize {
    let mut length = digits(text);
    if (1..=3).contains(&length) {
        while text.get(length) == Some(&b',') && digits(&text[length + 1..]) == 3 {
            length += 4;
        }
    }
    length
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The length of `e3` or `E-2` at the start of a text.
fn exponent(text: &[u8]) -> usize {
    let [b'e' | b'E', after @ ..] = text else { return 0 };
    let sign = usize::from(matches!(after, [b'+' | b'-', ..]));
    let length = digits(&after[sign..]);
    let goes_on = after.get(sign + length).is_some_and(u8::is_ascii_alphanumeric);
    if length == 0 || goes_on { 0 } else { 1 + sign + length }
}

/// The length of `\frac{3}{4}` at the start of a text.
fn fraction(text: &[u8]) -> Option<usize> {
    let command =
        ["\\frac{", "\\dfrac{", "\\tfrac{"].iter().find(|it| text.starts_with(it.as_bytes()))?;
    let numerator = command.len() + digits(&text[command.len()..]);
    let between = text[numerator..].starts_with(b"}{").then_some(numerator + 2)?;
    let denominator = between + digits(&text[between..]);
    let whole = numerator > command.len() && denominator > between;
    (whole && text.get(denominator) == Some(&b'}')).then_some(denominator + 1)
}

/// Whether the digits at `start` belong to a word: `H2`, `x_1`.
fn is_attached(text: &str, start: usize) -> bool {
    text[..start].ends_with(|before: char| before.is_ascii_alphanumeric() || before == '_')
}

/// Whether the digits at `start` are those of `.5`.
fn is_behind_point(text: &str, start: usize) -> bool {
    let before = text[..start].strip_suffix('.').filter(|_| !text[start..].starts_with('\\'));
    before.is_some_and(|before| {
        !before.ends_with(|letter: char| letter.is_alphanumeric() || ".)]}".contains(letter))
    })
}

/// Whether a sign stands before the number at `start`, and before its sign of money: `-3`, but not `5-3`.
fn is_negated(text: &str, start: usize) -> bool {
    let before = text[..start].trim_end_matches(['$', '\u{20ac}', '\u{a3}', '\\']);
    let before = before.strip_suffix(['-', '\u{2212}']);
    before.is_some_and(|before| {
        !before.ends_with(|letter: char| letter.is_alphanumeric() || ")]}".contains(letter))
    })
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn the_number_is_taken_where_it_is_marked_else_from_the_end() {
        let cases = [
            ("Answer: 42", "answer_line"),
            ("**Answer:** $42", "answer_line"),
            ("Answer: 41\nNo.\nAnswer: 42 apples", "answer_line"),
            ("Answer: 6 x 7 = 42", "answer_line"),
            ("Answer: 42.00, which is 6 times 7", "loose_answer_line"),
            ("Answer: 6 x 7 = 42 apples in all", "loose_answer_line"),
            ("Answer: see below\n\\boxed{42}", "boxed"),
            ("So \\boxed{42} of 50.", "boxed"),
            ("So $\\boxed{\\text{42 of them all}}$, not 50.", "loose_boxed"),
            ("The answer is 42.", "answer_is"),
            ("The answer is **42**. I hope that this answer is of help.", "loose_answer_is"),
            ("The answer is 42 because 6 times 7 isn't 41.", "loose_answer_is"),
            ("#### 42", "loose_last_number"),
            ("6 times 7 makes 42.", "loose_last_number"),
            ("The price went from $50 to $42", "loose_last_number"),
            ("42 (see fig. x2, version 1.2.3, 05/11/2026, agent 007)", "loose_last_number"),
            ("it is 84/2, in H2O", "loose_last_number"),
            ("it is \\frac{84}{2} or so", "loose_last_number"),
            ("it is 4.2e1 or so", "loose_last_number"),
            ("42%", "loose_last_number"),
            ("\u{7b54}\u{6848}\u{662f}42", "loose_last_number"),
        ];
        for (response, rule) in cases {
            let evaluation = evaluate("42", response);
            assert_eq!(evaluation.verdict, Verdict::Correct, "{response}: {evaluation:?}");
            assert_eq!(evaluation.method, format!("numeric:{rule}"), "{response}");
        }
    }

    #[test]
    fn another_number_is_incorrect_and_none_is_unparsed() {
        for response in [
            "Answer: 43",
            "Answer: -42",
            "Answer: 42 million",
            "42 and then 43",
            "5 -42",
            "about 42k",
            "42 thousand",
            "42 1/0",
        ] {
            assert_eq!(evaluate("42", response).verdict, Verdict::Incorrect, "{response}");
        }
        for response in ["", "forty-two", "agent 007", "x2", "1.2.3", "Answer: none"] {
            assert_eq!(evaluate("42", response).verdict, Verdict::Unparsed, "{response}");
        }
    }

    #[test]
    fn signs_and_money_and_thousands_belong_to_the_number() {
        let cases = [
            ("-3", "It fell to -3 degrees."),
            ("-3", "It fell to \u{2212}3."),
            ("-3", "(-3)"),
            ("-20", "a loss of -$20"),
            ("3", "from 5-3"),
            ("3", "x^2-3"),
            ("1234567", "1,234,567 in all"),
            ("234", "1, 234"),
            ("0.5", "a half, .5"),
            ("5", "It is.5"),
            ("0.75", "exactly 3/4"),
            ("1.5", "1.5."),
        ];
        for (reference, response) in cases {
            let evaluation = evaluate(reference, response);
            assert_eq!(evaluation.verdict, Verdict::Correct, "{response}: {evaluation:?}");
        }
    }

    #[test]
    fn a_unit_counts_only_if_the_reference_has_one() {
        let verdict = |reference, response| evaluate(reference, response).verdict;
        assert_eq!(verdict("25", "it ran 25 km"), Verdict::Correct);
        assert_eq!(verdict("25 km", "it ran 25 km in a day"), Verdict::Correct);
        assert_eq!(verdict("25 km", "it ran 25 KM."), Verdict::Correct);
        assert_eq!(verdict("25 km", "it ran 25"), Verdict::Incorrect);
        assert_eq!(verdict("25 km", "it ran 25 kmh"), Verdict::Incorrect);
        assert_eq!(verdict("25 km", "it ran 25 \u{20ac}\u{20ac}"), Verdict::Incorrect);
        assert_eq!(verdict("$25", "it cost 25 dollars"), Verdict::Correct);
    }

    #[test]
    fn a_reference_that_is_no_number_is_not_scored() {
        for reference in ["", "Paris", "1 or 2"] {
            assert_eq!(evaluate(reference, "Answer: 1").verdict, Verdict::Unevaluated);
        }
    }
}
