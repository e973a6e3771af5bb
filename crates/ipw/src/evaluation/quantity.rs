//! A number, perhaps with a sign of money before it and a unit behind it: `1,234.5`, `-3/4`, `$20`, `9.0 kJ`.
//!
//! Answers: is this text one, and are two of them the same? It knows nothing of where an answer stands.

use super::latex;

/// How far two numbers may lie apart that aren't both whole: absolutely, and relatively where the
/// reference is under [`SMALL`].
const TOLERANCE: f64 = 1e-6;
const SMALL: f64 = 1e-3;
/// From here on neighbouring whole numbers are the same float.
pub(super) const EXACT_FLOATS: f64 = 9_007_199_254_740_992.0;
/// Words that change the value of the number before them.
const SCALES: [&str; 9] =
    ["hundred", "thousand", "million", "billion", "trillion", "dozen", "k", "bn", "half"];
/// Words behind a number that put it in doubt, so that they are no unit.
const NO_UNITS: [&str; 10] =
    ["or", "and", "to", "x", "i", "pi", "\u{3c0}", "times", "plus", "minus"];

/// Whether two numbers that aren't both whole are the same.
pub(super) fn close(reference: f64, answer: f64) -> bool {
    let size = reference.abs();
    let scale = if size < SMALL { size } else { 1.0 };
    reference == answer || (reference - answer).abs() <= TOLERANCE * scale
}

/// Whether a word makes another number of the one before it: `million`.
pub(super) fn is_scale(word: &str) -> bool {
    SCALES.iter().any(|scale| scale.eq_ignore_ascii_case(word))
}

/// A number, perhaps with a unit.
#[derive(Debug, PartialEq)]
pub(super) struct Quantity<'a> {
    value: f64,
    /// All digits of a whole number: past 2^53 `value` can't tell neighbours apart.
    whole: Option<String>,
    unit: &'a str,
}

impl<'a> Quantity<'a> {
    /// Reads `1,234.5`, `-3/4`, `\frac{3}{4}`, `$20`, `9.0 kJ`, `1.5e3`; nothing else may follow.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
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
    pub(super) fn is_met_by(&self, answer: &Self) -> bool {
        let unit = self.unit.is_empty() || same_unit(self.unit, answer.unit);
        let number = match (&self.whole, &answer.whole) {
            (Some(reference), Some(answer)) => reference == answer,
            _ => close(self.value, answer.value),
        };
        unit && number
    }

    /// The unit; empty if there is none.
    pub(super) fn unit(&self) -> &'a str {
        self.unit
    }

    /// The same number of something.
    pub(super) fn of(self, unit: &'a str) -> Self {
        Self { unit, ..self }
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
    (value.fract() == 0.0 && value < EXACT_FLOATS).then(|| format!("{value:.0}"))
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
            && !words()
                .any(|word| is_scale(word) || NO_UNITS.contains(&word.to_lowercase().as_str())));
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
    fn a_quantity_is_a_number_with_at_most_two_words_of_unit() {
        let quantities = [
            "42",
            "-3/4 kg",
            "\u{20ac}20",
            "1,234.50",
            r"\frac{3}{4}",
            "9.0 kJ",
            "25 square metres",
            "25 %",
            ".5",
            "1.5e3",
        ];
        for text in quantities {
            assert!(Quantity::parse(text).is_some(), "{text}");
        }
        let others = [
            "",
            "x",
            "3 or 4",
            "42 million",
            "3 half",
            "1,23",
            "1.2.3",
            "007",
            "1/0",
            "8/4/2",
            "12:10",
            "three",
            "3 (about)",
            "25 very large square metres",
            "1e400",
        ];
        for text in others {
            assert_eq!(Quantity::parse(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_that_are_not_both_whole_are_the_same_within_a_millionth() {
        assert!(close(1.0 / 3.0, 0.333_333_3) && !close(1.0 / 3.0, 0.333));
        assert!(close(5e-7, 5e-7) && !close(5e-7, 0.0) && !close(0.0, 5e-7));
        assert!(close(f64::INFINITY, f64::INFINITY) && !close(f64::INFINITY, 1.0));
        assert!(!close(f64::NAN, f64::NAN));
    }

    #[test]
    fn a_chain_of_slashes_is_no_number_however_long() {
        assert!(unsigned("8/4/2").is_none());
        let chain = "1/".repeat(1 << 20) + "1";
        assert!(unsigned(&chain).is_none());
    }
}
