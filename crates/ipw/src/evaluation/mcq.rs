//! Multiple choice: which letter does a text choose?
//!
//! MMLU-Pro's own rules in their own order (the first that fires decides), so that an accuracy can be
//! compared with published ones: `answer is (X`, then `Answer: X`, then the last letter A to J that
//! stands alone. One difference, named in the method when it matters: the pronoun "I" and the
//! article "A" don't count as letters that stand alone. Where MMLU-Pro would then guess at random, a
//! boxed or bold letter of either case is taken and marked as loose; else there is no answer.

use memchr::memmem;

use super::{Evaluation, latex};
use crate::dataset::choice_letter;

/// Words after which, at the start of a sentence, "A" is the letter and not the article.
const AFTER_THE_LETTER_A: [&str; 30] = [
    "is",
    "was",
    "are",
    "were",
    "and",
    "or",
    "nor",
    "because",
    "since",
    "as",
    "but",
    "would",
    "will",
    "has",
    "does",
    "can",
    "should",
    "seems",
    "fits",
    "matches",
    "describes",
    "states",
    "says",
    "gives",
    "follows",
    "in",
    "with",
    "for",
    "then",
    "while",
];
/// Words after which "I" is the letter and not the pronoun.
const AFTER_THE_LETTER_I: [&str; 8] = ["is", "and", "or", "nor", "because", "since", "as", "has"];

/// Scores a choice against the letter of the right option.
pub(super) fn evaluate(reference: &str, response: &str) -> Evaluation {
    let Some(right) = choice_letter(reference) else {
        return Evaluation::unevaluated("letter:reference_is_no_letter");
    };
    match chosen(response) {
        Some((letter, rule)) => {
            Evaluation::decided(letter == right, format!("letter:{rule}"), &letter.to_string())
        }
        None => Evaluation::unparsed("letter:none"),
    }
}

/// The letter that a text chooses, and the rule that found it.
fn chosen(text: &str) -> Option<(char, &'static str)> {
    answer_is(text)
        .map(|letter| (letter, "answer_is"))
        .or_else(|| answer_colon(text).map(|letter| (letter, "answer_colon")))
        .or_else(|| last_letter(text))
        .or_else(|| boxed(text).map(|letter| (letter, "loose_boxed")))
        .or_else(|| bold(text).map(|letter| (letter, "loose_bold")))
}

/// The first `answer is \(?([A-J])\)?`. As in the original, nothing is asked of what follows.
fn answer_is(text: &str) -> Option<char> {
    const WORDS: &str = "answer is ";
    memmem::find_iter(text.as_bytes(), WORDS).find_map(|at| {
        let rest = &text[at + WORDS.len()..];
        first_option(rest.strip_prefix('(').unwrap_or(rest))
    })
}

/// `.*[aA]nswer:\s*([A-J])`: the last such place in the first line that has one.
fn answer_colon(text: &str) -> Option<char> {
    const WORD: &str = "nswer:";
    let mut found: Option<(usize, char)> = None;
    for at in memmem::find_iter(text.as_bytes(), WORD) {
        if !text[..at].ends_with(['a', 'A']) {
            continue;
        }
        let Some(letter) = first_option(text[at + WORD.len()..].trim_start()) else { continue };
        match found {
            Some((earlier, _)) if text[earlier..at].contains('\n') => break,
            _ => found = Some((at, letter)),
        }
    }
    found.map(|(_, letter)| letter)
}

/// The last `\b[A-J]\b`, unless it is a word of a sentence.
fn last_letter(text: &str) -> Option<(char, &'static str)> {
    let mut skipped = false;
    // No byte of a longer character looks like a letter.
    for (at, byte) in text.bytes().enumerate().rev() {
        let letter = char::from(byte);
        if !is_option(letter) || !stands_alone(text, at) {
            continue;
        }
        if !is_a_word(text, at, letter) {
            return Some((letter, if skipped { "last_letter_but_words" } else { "last_letter" }));
        }
        skipped = true;
    }
    None
}

fn boxed(text: &str) -> Option<char> {
    let content = latex::last_boxed(text)?.trim();
    choice_letter(latex::unwrapped(content).unwrap_or(content))
}

/// The last letter between two `**` or `__`.
fn bold(text: &str) -> Option<char> {
    // Longer than a dressed letter can be: `( B ).` and some space.
    const LONGEST: usize = 12;
    let between = |mark: &str| {
        let mut pieces = text.split(mark).skip(1).peekable();
        let mut last = None;
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_some() && piece.len() <= LONGEST {
                last = choice_letter(piece).or(last);
            }
        }
        last
    };
    between("**").or_else(|| between("__"))
}

fn first_option(text: &str) -> Option<char> {
    text.chars().next().filter(|letter| is_option(*letter))
}

fn is_option(letter: char) -> bool {
    ('A'..='J').contains(&letter)
}

/// Whether neither neighbour of the ASCII letter at `at` is part of a word.
fn stands_alone(text: &str, at: usize) -> bool {
    let part_of_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    !text[..at].chars().next_back().is_some_and(part_of_word)
        && !text[at + 1..].chars().next().is_some_and(part_of_word)
}

/// Whether the letter that stands alone at `at` is the pronoun "I" or the article "A".
fn is_a_word(text: &str, at: usize, letter: char) -> bool {
    reads_as_word(letter, &text[at + 1..]) && (letter == 'I' || starts_a_sentence(&text[..at]))
}

/// Whether a letter that `rest` follows reads as the pronoun "I" or the article "A" at the start of a sentence.
pub(super) fn reads_as_word(letter: char, rest: &str) -> bool {
    match letter {
        'I' => {
            let contracted = rest
                .strip_prefix(['\'', '\u{2019}'])
                .is_some_and(|rest| rest.starts_with(char::is_lowercase));
            contracted || next_word(rest).is_some_and(|word| !AFTER_THE_LETTER_I.contains(&word))
        }
        'A' => next_word(rest).is_some_and(|word| !AFTER_THE_LETTER_A.contains(&word)),
        _ => false,
    }
}

/// The lower-case word behind a single space.
fn next_word(rest: &str) -> Option<&str> {
    let rest = rest.strip_prefix([' ', '\n'])?;
    let end = rest.find(|letter: char| !letter.is_alphabetic()).unwrap_or(rest.len());
    let word = &rest[..end];
    word.starts_with(char::is_lowercase).then_some(word)
}

fn starts_a_sentence(before: &str) -> bool {
    let line = before.trim_end_matches([' ', '\t', '"', '\u{201c}', '\'', '*', '-', '#', '>']);
    line.is_empty() || line.ends_with(['\n', '.', '!', '?', ':', ';'])
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn the_rules_fire_in_their_order_on_awkward_answers() {
        let cases = [
            // answer is
            ("The answer is (C).", Some(('C', "answer_is"))),
            ("the answer is C", Some(('C', "answer_is"))),
            ("The answer is A. No: the answer is (B).", Some(('A', "answer_is"))),
            ("The answer is (X). The answer is (D).", Some(('D', "answer_is"))),
            ("The answer is Germany", Some(('G', "answer_is"))),
            ("Answer: B, for the answer is (C)", Some(('C', "answer_is"))),
            // Answer:
            ("Answer: E", Some(('E', "answer_colon"))),
            ("answer:\n\n  F", Some(('F', "answer_colon"))),
            ("Answer: A, or rather answer: B\nAnswer: C", Some(('B', "answer_colon"))),
            ("Answer: none\nAnswer: C", Some(('C', "answer_colon"))),
            ("Answer:\nAnswer: C", Some(('A', "answer_colon"))),
            ("ANSWER: K, or Answer: D.", Some(('D', "answer_colon"))),
            // the last letter that stands alone
            ("**Answer:** B", Some(('B', "last_letter"))),
            ("The answer is **(B)**.", Some(('B', "last_letter"))),
            ("B", Some(('B', "last_letter"))),
            ("(d) no, D) yes", Some(('D', "last_letter"))),
            ("A or B? B.", Some(('B', "last_letter"))),
            (r"\boxed{\text{H}}", Some(('H', "last_letter"))),
            ("A is right.", Some(('A', "last_letter"))),
            ("B is wrong. A is right.", Some(('A', "last_letter"))),
            ("I choose A because it fits.", Some(('A', "last_letter"))),
            ("Of all of them, I is correct", Some(('I', "last_letter"))),
            ("I would say: I", Some(('I', "last_letter"))),
            // words that are no letters
            ("C, I think.", Some(('C', "last_letter_but_words"))),
            ("It's C. A dog is a mammal.", Some(('C', "last_letter_but_words"))),
            ("C\n- A whale isn't a fish, and I'm sure.", Some(('C', "last_letter_but_words"))),
            ("C. I\u{2019}m sure", Some(('C', "last_letter_but_words"))),
            ("I don't know.", None),
            ("A dog barks.", None),
            // loose
            (r"so \boxed{b}", Some(('B', "loose_boxed"))),
            (r"so \boxed{\text{b}}", Some(('B', "loose_boxed"))),
            ("it must be **(c)** then", Some(('C', "loose_bold"))),
            ("it must be __C__ then", Some(('C', "loose_bold"))),
            ("**no** and **c", None),
            // nothing
            ("the capital is ottawa", None),
            ("ABBA, X and Ä", None),
            ("K. L. M.", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(chosen(text), expected, "{text}");
        }
    }

    #[test]
    fn the_letter_decides_and_the_reference_may_be_dressed() {
        for reference in ["B", "b", " (B) ", "B."] {
            assert_eq!(evaluate(reference, "The answer is (B).").verdict, Verdict::Correct);
            assert_eq!(evaluate(reference, "The answer is (C).").verdict, Verdict::Incorrect);
            assert_eq!(evaluate(reference, "no idea").verdict, Verdict::Unparsed);
        }
    }

    #[test]
    fn a_reference_that_is_no_letter_is_not_scored() {
        let evaluation = evaluate("Paris", "The answer is (B).");
        assert_eq!(evaluation.verdict, Verdict::Unevaluated);
        assert_eq!(evaluation.extracted, None);
    }
}
