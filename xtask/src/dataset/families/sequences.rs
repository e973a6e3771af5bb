//! Sequences to continue, to complete or to compute; each by its rule and by a formula or by its
//! differences.

use anyhow::{Result, ensure};

use super::super::draft::{Draft, agreed};
use super::super::random::Random;
use super::super::text::{joined, ordinal};
use super::Family;

const NUMBER: &str = "the number alone";

pub(super) const FAMILY: Family = Family {
    name: "sequences",
    weight: 20,
    templates: &[
        arithmetic,
        geometric,
        growing_steps,
        fibonacci,
        interleaved,
        doubling,
        letters,
        far_term,
        intruder,
        recursion,
    ],
};

/// The first so many values of a rule.
fn terms(count: usize, start: i64, next: impl Fn(i64) -> i64) -> Vec<i64> {
    std::iter::successors(Some(start), |value| Some(next(*value))).take(count).collect()
}

/// Asks for the next term, or for one in the middle.
fn continued(random: &mut Random, subject: &str, terms: &[i64], may_miss: bool) -> Draft {
    let count = terms.len();
    if may_miss && random.percent(35) {
        let missing = random.size(1, count - 2);
        let mut shown: Vec<String> = terms.iter().map(ToString::to_string).collect();
        shown[missing] = "?".to_owned();
        let task = random.choose([
            format!("Which number belongs in the place of the question mark? {}", joined(&shown)),
            format!("Fill the gap: {}", joined(&shown)),
        ]);
        return Draft::exact(subject, task, terms[missing], NUMBER);
    }
    let shown = joined(&terms[..count - 1]);
    let task = random.choose([
        format!("Continue the sequence with one number: {shown}, ..."),
        format!("{shown}, ? What comes next?"),
        format!("What is the next number in the series {shown}?"),
    ]);
    Draft::exact(subject, task, terms[count - 1], NUMBER)
}

fn arithmetic(random: &mut Random) -> Result<Draft> {
    let (start, step) = (random.number(-20, 120), random.choose([-13, -7, -4, 3, 6, 9, 12, 17]));
    let terms = terms(6, start, |value| value + step);
    agreed(terms[5], start + 5 * step)?;
    Ok(continued(random, "equal steps", &terms, true))
}

fn geometric(random: &mut Random) -> Result<Draft> {
    let (start, factor) = (random.number(1, 12), random.choose([2_i64, 3, 4, -2, 5]));
    let terms = terms(5, start, |value| value * factor);
    agreed(terms[4], start * factor.pow(4))?;
    Ok(continued(random, "equal factors", &terms, true))
}

fn growing_steps(random: &mut Random) -> Result<Draft> {
    let (start, step, growth) = (random.number(-5, 30), random.number(1, 9), random.number(1, 6));
    let value = |at: i64| start + step * at + growth * at * (at - 1) / 2;
    let terms: Vec<i64> = (0..7).map(value).collect();
    let steps: Vec<i64> = terms.windows(2).map(|pair| pair[1] - pair[0]).collect();
    ensure!(steps.windows(2).all(|pair| pair[1] - pair[0] == growth), "second differences");
    Ok(continued(random, "growing steps", &terms, false))
}

fn fibonacci(random: &mut Random) -> Result<Draft> {
    let (a, b) = (random.number(1, 9), random.number(1, 12));
    let mut terms = vec![a, b];
    while terms.len() < 8 {
        terms.push(terms[terms.len() - 1] + terms[terms.len() - 2]);
    }
    // The eighth is made of 8 firsts and 13 seconds.
    agreed(terms[7], 8 * a + 13 * b)?;
    let mut draft = continued(random, "sums of neighbours", &terms, false);
    if random.percent(50) {
        draft.task = format!(
            "A sequence starts with {a} and {b}. Each further term is the sum of the two before it. What is the 8th term?"
        );
    }
    Ok(draft)
}

fn interleaved(random: &mut Random) -> Result<Draft> {
    let (a, b) = (random.number(1, 20), random.number(30, 90));
    let steps = random.different(2, -9, 9);
    let (up, down) = (steps[0], steps[1]);
    let terms: Vec<i64> = (0..4).flat_map(|at| [a + at * up, b + at * down]).take(8).collect();
    ensure!(
        terms
            .windows(3)
            .enumerate()
            .all(|(at, three)| { three[2] - three[0] == if at % 2 == 0 { up } else { down } })
    );
    Ok(continued(random, "two sequences in one", &terms, false))
}

fn doubling(random: &mut Random) -> Result<Draft> {
    let (start, factor, rest) =
        (random.number(1, 9), random.choose([2_i64, 3]), random.choose([-2, -1, 1, 3, 5]));
    let terms = terms(6, start, |value| value * factor + rest);
    let power = factor.pow(5);
    agreed(terms[5], start * power + rest * (power - 1) / (factor - 1))?;
    let mut draft = continued(random, "multiply and add", &terms, false);
    if terms[0] == terms[1] {
        draft.task = format!(
            "Start with {start}, then five times in a row multiply by {factor} and add {rest}. What do you get?"
        );
    }
    Ok(draft)
}

fn letters(random: &mut Random) -> Result<Draft> {
    let (start, step) = (random.number(0, 6), random.choose([2, 3, 4, 5, -2, -3]));
    let count = 5;
    let start = if step < 0 { 25 - start } else { start };
    let letter = |at: i64| char::from(b'A' + (start + step * at).rem_euclid(26) as u8);
    let alphabet: Vec<char> = ('A'..='Z').collect();
    let walked = (0..count).fold(start, |at, _| (at + step + 26) % 26);
    let answer = agreed(letter(count), alphabet[walked as usize])?;
    let shown: Vec<char> = (0..count).map(letter).collect();
    let task = random.choose([
        format!("Which letter comes next? {}", joined(&shown)),
        format!("Continue by one letter: {} ...", joined(&shown)),
    ]);
    Ok(Draft::exact("letters", task, answer, "the letter"))
}

fn far_term(random: &mut Random) -> Result<Draft> {
    let (start, step, nth) = (random.number(2, 40), random.number(2, 15), random.number(20, 200));
    let terms = terms(nth as usize, start, |value| value + step);
    let last = agreed(terms[nth as usize - 1], start + (nth - 1) * step)?;
    let first = joined(&terms[..4]);
    let (task, answer) = random.choose([
        (format!("What is the {} term of the sequence {first}, ...?", ordinal(nth)), last),
        (format!("In the sequence {first}, ... the steps stay the same. At which position does {last} stand, if {start} is at position 1?"), nth),
    ]);
    Ok(Draft::exact("far terms", task, answer, NUMBER))
}

fn intruder(random: &mut Random) -> Result<Draft> {
    let (start, step) = (random.number(3, 40), random.number(4, 15));
    let mut terms = terms(7, start, |value| value + step);
    let at = random.size(2, 4);
    let wrong = terms[at] + random.choose([-2, -1, 1, 2, 3]);
    let right = std::mem::replace(&mut terms[at], wrong);
    agreed(terms[at - 1] + terms[at + 1], 2 * right)?;
    let shown = joined(&terms);
    let (task, answer) = random.choose([
        (format!("One number breaks the pattern: {shown}. Which one?"), wrong),
        (format!("In {shown} a single number was miscopied. What should it have been?"), right),
    ]);
    Ok(Draft::exact("errors", task, answer, NUMBER))
}

fn recursion(random: &mut Random) -> Result<Draft> {
    let (start, nth) = (random.number(5, 60), random.number(5, 14));
    let (even, odd) =
        random.choose([((1, 2, 0), (3, 1, 1)), ((1, 2, 3), (1, 1, 5)), ((1, 2, 0), (1, 1, -1))]);
    let rule = |value: i64, (times, by, plus): (i64, i64, i64)| value * times / by + plus;
    let next = |value: i64| rule(value, if value % 2 == 0 { even } else { odd });
    let list = terms(nth as usize, start, next);
    let answer = agreed(list[nth as usize - 1], (1..nth).fold(start, |value, _| next(value)))?;
    let words = |(times, by, plus): (i64, i64, i64)| {
        let mut steps = Vec::new();
        if by == 2 {
            steps.push("half of it".to_owned());
        } else if times == 3 {
            steps.push("three times it".to_owned());
        } else {
            steps.push("it".to_owned());
        }
        match plus {
            0 => {}
            1.. => steps.push(format!("plus {plus}")),
            _ => steps.push(format!("minus {}", -plus)),
        }
        steps.join(" ")
    };
    let task = format!(
        "A sequence starts with {start}. If a term is even, the next one is {}; if it is odd, the next one is {}. What is the {} term?",
        words(even),
        words(odd),
        ordinal(nth)
    );
    Ok(Draft::exact("recursion", task, answer, NUMBER))
}
