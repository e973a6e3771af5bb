//! Roman numerals and numbers in words.

use anyhow::{Context, Result, ensure};

use super::super::super::draft::{Draft, agreed};
use super::super::super::random::Random;
use super::super::super::text::grouped;

const NUMBER: &str = "the number alone";

const ROMAN: [(i64, &str); 13] = [
    (1000, "M"),
    (900, "CM"),
    (500, "D"),
    (400, "CD"),
    (100, "C"),
    (90, "XC"),
    (50, "L"),
    (40, "XL"),
    (10, "X"),
    (9, "IX"),
    (5, "V"),
    (4, "IV"),
    (1, "I"),
];

const SMALL: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] =
    ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

fn in_roman(mut number: i64) -> String {
    let mut text = String::new();
    for (value, letters) in ROMAN {
        while number >= value {
            text.push_str(letters);
            number -= value;
        }
    }
    text
}

/// A letter before a larger one is taken off, all others are added.
fn from_roman(text: &str) -> i64 {
    let values: Vec<i64> = text
        .chars()
        .filter_map(|letter| ROMAN.iter().find(|(_, name)| *name == letter.to_string()))
        .map(|(value, _)| *value)
        .collect();
    let next = values.iter().skip(1).chain([&0]);
    values.iter().zip(next).map(|(value, next)| if value < next { -value } else { *value }).sum()
}

pub(super) fn roman(random: &mut Random) -> Result<Draft> {
    let most = random.choose([50, 500, 3_000]);
    let number = random.number(4, most);
    let text = in_roman(number);
    agreed(from_roman(&text), number)?;
    let (task, answer, form) = random.choose([
        (format!("Write {number} as a Roman numeral."), text.clone(), "the numeral"),
        (format!("Which number is the Roman numeral {text}?"), number.to_string(), NUMBER),
        (format!("A cornerstone reads {text}. What number is that?"), number.to_string(), NUMBER),
    ]);
    Ok(Draft::exact("Roman numerals", task, answer, form))
}

/// `four thousand two hundred seventeen`.
fn in_words(number: i64) -> String {
    let with_rest = |head: String, rest: i64| {
        if rest == 0 { head } else { format!("{head} {}", in_words(rest)) }
    };
    match number {
        0..20 => SMALL[number as usize].to_owned(),
        20..100 if number % 10 == 0 => TENS[number as usize / 10].to_owned(),
        20..100 => format!("{}-{}", TENS[number as usize / 10], SMALL[number as usize % 10]),
        100..1_000 => with_rest(format!("{} hundred", in_words(number / 100)), number % 100),
        _ => with_rest(format!("{} thousand", in_words(number / 1_000)), number % 1_000),
    }
}

fn from_words(text: &str) -> Result<i64> {
    let (mut total, mut group) = (0, 0);
    for word in text.split([' ', '-']) {
        let place = |words: &[&str]| words.iter().position(|other| *other == word);
        match word {
            "hundred" => group *= 100,
            "thousand" => (total, group) = (group * 1_000, 0),
            _ => {
                let value = place(&SMALL).or_else(|| place(&TENS).map(|tens| tens * 10));
                group += value.context("a number's word")? as i64;
            }
        }
    }
    Ok(total + group)
}

pub(super) fn spelled(random: &mut Random) -> Result<Draft> {
    let most = random.choose([99, 999, 99_999]);
    let number = random.number(13, most);
    let words = in_words(number);
    agreed(from_words(&words)?, number)?;
    ensure!(!words.contains("  "), "single spaces");
    let (task, answer, form) = random.choose([
        (
            format!(
                "Write the number {} in English words, without \"and\" and without commas.",
                grouped(number)
            ),
            words.clone(),
            "the words",
        ),
        (format!("Write \"{words}\" in digits."), number.to_string(), NUMBER),
        (
            format!("The cheque is made out for {words} euros. Amount in figures?"),
            number.to_string(),
            NUMBER,
        ),
    ]);
    Ok(Draft::exact("numbers in words", task, answer, form))
}
