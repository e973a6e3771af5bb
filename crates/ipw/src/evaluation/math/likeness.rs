//! Whether two formulas in their canonical spelling say the same.
//!
//! Answers: the same, something else, or unclear. Lists and sets are compared whatever their order, pairs and
//! intervals in their order and with their brackets, single values by text, then by value.

use std::borrow::Cow;

use super::super::latex;
use super::canonical::plain;
use super::value::value;

/// Elements within elements: a set of pairs of sums.
const DEEPEST: usize = 6;
/// Lists that are longer are compared as text only.
const MOST_ELEMENTS: usize = 64;
/// The longest name that a value is given: `\text{Area}`, `f(x)`.
const LONGEST_NAME: usize = 32;

/// How an answer compares to the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Likeness {
    /// It says the same.
    Same,
    /// It says something else.
    Other,
    /// It is another text, and values can't be compared.
    Unclear,
}

use Likeness::{Other, Same, Unclear};

/// How an answer compares to the reference, both in their canonical spelling.
pub(super) fn likeness(reference: &str, answer: &str) -> Likeness {
    compared(reference, answer, 0)
}

fn compared(reference: &str, answer: &str, depth: usize) -> Likeness {
    if alike(reference, answer) {
        return Same;
    }
    if depth >= DEEPEST {
        return Unclear;
    }
    let [one, other] = [reference, answer].map(|text| split(text, "\\cup "));
    if one.len().max(other.len()) > 1 {
        return in_any_order(&one, &other, depth);
    }
    let [one, other] = [reference, answer].map(solutions);
    if one != [reference] || other != [answer] {
        return in_any_order(&one, &other, depth);
    }
    let (said, given) = (Statement::of(reference), Statement::of(answer));
    if said.value != reference || given.value != answer {
        let same_name = said.name.zip(given.name).is_none_or(|(one, other)| alike(one, other));
        let values = compared(said.value, given.value, depth + 1);
        return if same_name { values } else { Unclear };
    }
    if let (Some(one), Some(other)) = (Tuple::parse(reference), Tuple::parse(answer)) {
        return one.compared(&other, depth);
    }
    let bare = [reference, answer].map(without_parentheses);
    if bare != [reference, answer] {
        return compared(bare[0], bare[1], depth + 1);
    }
    single(reference, answer)
}

/// Whether two texts are the same. Words may differ in their case, variables may not.
fn alike(reference: &str, answer: &str) -> bool {
    let (reference, answer) = (plain(reference), plain(answer));
    let is_word = reference.len() > 1 && reference.chars().all(char::is_alphabetic);
    reference == answer || (is_word && reference.eq_ignore_ascii_case(&answer))
}

/// How two values compare that have no parts.
fn single(reference: &str, answer: &str) -> Likeness {
    let (reference, unit) = without_unit(reference);
    let (answer, given) = without_unit(answer);
    let one_unit = unit.is_empty() || given.is_empty();
    let same_value = if alike(reference, answer) {
        Some(true)
    } else {
        value(reference).zip(value(answer)).and_then(|(one, other)| one.same(other))
    };
    // One of them may be in per cent and the other a share of one.
    let scaled = unit == "%" || given == "%";
    match same_value {
        Some(true) if one_unit || same_unit(&unit, &given) => Same,
        Some(false) if (one_unit && !scaled) || same_unit(&unit, &given) => Other,
        _ => Unclear,
    }
}

/// The same letters, whatever their case, perhaps one of them in the plural.
fn same_unit(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(str::to_lowercase);
    let (short, long) = if one.len() < other.len() { (&one, &other) } else { (&other, &one) };
    long.strip_prefix(short.as_str()).is_some_and(|ending| matches!(ending, "" | "s" | "es"))
}

/// A value and the unit behind it: `cm^{2}`, `%`. The value is never empty.
fn without_unit(text: &str) -> (&str, String) {
    let (mut bare, mut unit) = (text, String::new());
    while let Some((before, one)) = last_unit(bare).filter(|(before, _)| !before.is_empty()) {
        unit.insert_str(0, &plain(one));
        bare = before;
    }
    (bare, unit)
}

/// What is before the unit that a text ends with, and the unit.
fn last_unit(text: &str) -> Option<(&str, &str)> {
    let sign = ["%", "\\degree "].iter().find_map(|sign| text.strip_suffix(sign));
    let word = || {
        let at = text.rfind("\\text{")?;
        let (_, raised) = text[at..].split_once('}')?;
        let power = raised.strip_prefix("^{").and_then(|rest| rest.strip_suffix('}'));
        let is_power = power.is_some_and(|it| it.bytes().all(|byte| byte.is_ascii_digit()));
        (raised.is_empty() || is_power).then(|| &text[..at])
    };
    sign.or_else(word).map(|before| text.split_at(before.len()))
}

/// Elements whose order doesn't matter.
fn in_any_order<T: AsRef<str>>(reference: &[T], answer: &[T], depth: usize) -> Likeness {
    let have_values =
        |elements: &[T]| elements.iter().all(|element| value(element.as_ref()).is_some());
    if reference.len().max(answer.len()) > MOST_ELEMENTS {
        return Unclear;
    }
    if reference.len() != answer.len() {
        return if have_values(reference) && have_values(answer) { Other } else { Unclear };
    }
    let mut left: Vec<&T> = answer.iter().collect();
    let mut unlike = None;
    for wanted in reference {
        let with = |given: &&T| compared(wanted.as_ref(), given.as_ref(), depth + 1);
        match left.iter().position(|given| with(given) == Same) {
            Some(at) => {
                left.swap_remove(at);
            }
            None if left.iter().any(|given| with(given) == Unclear) => unlike = Some(Unclear),
            None => unlike = unlike.or(Some(Other)),
        }
    }
    unlike.unwrap_or(Same)
}

/// The elements of a set or of a list without brackets. What has a `\pm` is two of them.
fn solutions(text: &str) -> Vec<Cow<'_, str>> {
    let set = text.strip_prefix("\\{").and_then(|text| text.strip_suffix("\\}"));
    let elements = split(set.filter(|inside| is_balanced(inside)).unwrap_or(text), ",");
    elements.into_iter().flat_map(both_signs).collect()
}

fn both_signs(element: &str) -> Vec<Cow<'_, str>> {
    if !element.contains("\\pm ") && !element.contains("\\mp ") {
        return vec![Cow::Borrowed(element)];
    }
    let with = |plus: &str, minus: &str| {
        let signed = element.replace("\\pm ", plus).replace("\\mp ", minus);
        Cow::Owned(signed.strip_prefix('+').unwrap_or(&signed).to_owned())
    };
    vec![with("+", "-"), with("-", "+")]
}

/// What is said of a value, and by which name it is called.
struct Statement<'a> {
    name: Option<&'a str>,
    value: &'a str,
}

impl<'a> Statement<'a> {
    /// `x=5`, `f(x)=2x`, `x\in [0,1]`; also `\frac{1}{2}=0.5`, where all sides are the same.
    fn of(text: &'a str) -> Self {
        let sides = split(text, "=");
        for (sign, parts) in [("=", &sides), ("\\in ", &split(text, "\\in "))] {
            if let [name, _, ..] = parts.as_slice()
                && is_name(name)
            {
                return Self { name: Some(name), value: &text[name.len() + sign.len()..] };
            }
        }
        let values: Vec<_> = sides.iter().map(|side| value(side)).collect();
        let all_same = values.iter().all(|side| {
            side.zip(values[0]).is_some_and(|(one, other)| other.same(one) == Some(true))
        });
        Self { name: None, value: if all_same { sides[0] } else { text } }
    }
}

/// Whether a value may be called so: letters and commands, perhaps with subscripts and arguments.
fn is_name(text: &str) -> bool {
    let bare = without_groups(&plain(text), "_{", '}');
    let bare = if bare.starts_with('(') { bare } else { without_groups(&bare, "(", ')') };
    let fits = |it: char| it.is_alphabetic() || "\\ (),'".contains(it);
    text.len() <= LONGEST_NAME && bare.contains(char::is_alphabetic) && bare.chars().all(fits)
}

/// A text without what stands between `opening` and `closing`.
fn without_groups(text: &str, opening: &str, closing: char) -> String {
    let mut parts = text.split(opening);
    let first = parts.next().unwrap_or_default();
    let others = parts.map(|part| part.split_once(closing).map_or(part, |(_, after)| after));
    std::iter::once(first).chain(others).collect()
}

/// A pair, a vector, an interval.
struct Tuple<'a> {
    brackets: (char, char),
    elements: Vec<&'a str>,
}

impl<'a> Tuple<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let opening = text.chars().next().filter(|it| matches!(it, '(' | '['))?;
        let closing = text.chars().next_back().filter(|it| matches!(it, ')' | ']'))?;
        let inside = text.strip_prefix(opening)?.strip_suffix(closing)?;
        let elements = split(inside, ",");
        let is_tuple = elements.len() > 1 && is_balanced(inside);
        is_tuple.then_some(Self { brackets: (opening, closing), elements })
    }

    fn compared(&self, answer: &Self, depth: usize) -> Likeness {
        if self.brackets != answer.brackets || self.elements.len() != answer.elements.len() {
            return Other;
        }
        let pairs = self.elements.iter().zip(&answer.elements);
        let mut likeness = Same;
        for (one, other) in pairs {
            match compared(one, other, depth + 1) {
                Same => {}
                Other => return Other,
                Unclear => likeness = Unclear,
            }
        }
        likeness
    }
}

/// The inside of parentheses around the whole.
fn without_parentheses(text: &str) -> &str {
    let inside = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
    inside.filter(|inside| is_balanced(inside)).unwrap_or(text)
}

/// The parts between separators that are in no bracket.
fn split<'a>(text: &'a str, separator: &str) -> Vec<&'a str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && at >= start && text.as_bytes()[at..].starts_with(separator.as_bytes()) {
            parts.push(&text[start..at]);
            start = at + separator.len();
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Whether every bracket that closes was opened before, and all are closed. A half-open interval's pair.
fn is_balanced(text: &str) -> bool {
    latex::is_balanced(text, b"([{", b")]}")
}

#[cfg(test)]
mod tests {
    use super::super::canonical::{Comma, canonical};
    use super::*;

    fn likeness_of(reference: &str, answer: &str) -> Likeness {
        let spelled = |text| canonical(text, Comma::Thousands).unwrap();
        likeness(&spelled(reference), &spelled(answer))
    }

    #[test]
    fn the_same_in_other_words_is_the_same() {
        let cases = [
            // single values
            (r"\frac{1}{2}", "0.5"),
            (r"\frac{1}{2}", r"\frac{1}{2} = 0.5"),
            (r"\frac{3\sqrt{2}}{2}", r"\frac{3}{\sqrt{2}}"),
            (r"6\sqrt{2}", r"\sqrt{72}"),
            ("1{,}234", "1234.0"),
            (r"\frac{\pi}{4}", r"0.25\pi"),
            ("5", "x = 5"),
            ("x=5", "5"),
            (r"\theta = 30^\circ", "30"),
            ("5", r"f(2) = 5"),
            ("5", r"a_1 = 5"),
            ("5", r"\text{Area} = 5\text{ cm}^2"),
            ("y=2x+3", "2x + 3"),
            ("(C)", r"\text{C}"),
            ("C", r"\textbf{(C)}"),
            ("(5)", "5"),
            ("Evelyn", r"\text{evelyn}"),
            // units
            ("10", r"10\text{ inches}"),
            (r"10\text{ inch}", "10 inches"),
            (r"10\text{ cm}^2", "10"),
            (r"50\%", "50"),
            (r"90^\circ", "90 degrees"),
            // pairs and intervals
            ("(3, \\frac{1}{2})", "(3, 0.5)"),
            (r"\left(3, \frac{\pi}{2}\right)", r"\left( 3, \dfrac{\pi}{2} \right)"),
            ("[0,1)", r"x \in [0, 1)"),
            (r"(-\infty, 2) \cup (3, \infty)", r"(3,\infty)\cup(-\infty,2.0)"),
            ("(1,2)", "(x, y) = (1, 2)"),
            // lists and sets
            ("1, -2", "-2, 1"),
            ("1,-2", r"x = 1 \text{ or } x = -2"),
            ("1,-2", r"\{-2, 1\}"),
            (r"\{5\}", "5"),
            (r"1 \pm \sqrt{19}", r"1 - \sqrt{19}, 1 + \sqrt{19}"),
            (r"\pm 3", "-3, 3"),
            (r"2 \mp i", r"2 \pm i"),
            ("(1,2), (3,4)", "(3,4) and (1,2)"),
            ("x=1,y=2", "y=2, x=1"),
        ];
        for (reference, answer) in cases {
            assert_eq!(likeness_of(reference, answer), Same, "{reference} / {answer}");
        }
    }

    #[test]
    fn another_value_is_another_answer() {
        let cases = [
            ("5", "6"),
            (r"\frac{1}{2}", "0.3"),
            (r"\sqrt{2}", "1.414"),
            ("(1,2)", "(2,1)"),
            ("(0,1)", "[0,1]"),
            ("[0,1)", "[0,1]"),
            ("(1,2)", "(1,2,3)"),
            ("1,2", "1,3"),
            ("1,2", "1,2,3"),
            ("1,2", "1"),
            (r"\{1,1\}", r"\{1,2\}"),
            (r"\pm 3", "3"),
            (r"(-\infty,2)", r"(-\infty,3)"),
            (r"5\text{ cm}", "6 cm"),
            ("x=5", "x=6"),
        ];
        for (reference, answer) in cases {
            assert_eq!(likeness_of(reference, answer), Other, "{reference} / {answer}");
        }
    }

    #[test]
    fn what_cannot_be_compared_is_unclear() {
        let cases = [
            ("2x+3", "3+2x"),
            ("(x-1)(x+1)", "x^2-1"),
            ("x=5", "y=5"),
            ("5", "x"),
            ("Evelyn", "Angela"),
            ("2516_8", "2516"),
            (r"60\text{ minutes}", r"1\text{ hour}"),
            (r"60\text{ minutes}", r"60\text{ hours}"),
            (r"50\%", "0.5"),
            ("(x,1)", "(y,1)"),
            ("1,2", "(1,2)"),
            ("1,x", "1,2"),
            ("x", "X"),
            ("5", ""),
            ("2^{1000}", "2^{999}"),
        ];
        for (reference, answer) in cases {
            assert_eq!(likeness_of(reference, answer), Unclear, "{reference} / {answer}");
        }
    }

    #[test]
    fn endless_lists_and_nests_are_compared_as_text_only() {
        let list = |last: &str| format!("{}{last}", "1, ".repeat(1_000));
        assert_eq!(likeness_of(&list("2"), &list("2")), Same);
        assert_eq!(likeness_of(&list("2"), &list("3")), Unclear);
        let nest = |inside: &str| format!("{}{inside}{}", "(1,".repeat(100), ")".repeat(100));
        assert_eq!(likeness_of(&nest("2"), &nest("2")), Same);
        assert_eq!(likeness_of(&nest("2"), &nest("3")), Unclear);
    }
}
