//! Sums: whole numbers, decimals, fractions, percentages, divisors, powers, number bases, rounding.

use anyhow::{Context, Result, ensure};

use super::super::draft::{Draft, agreed, drawn};
use super::super::fraction::{Fraction, greatest_common_divisor};
use super::super::random::Random;
use super::super::text::{grouped, joined, listed, money};
use super::Family;

const NUMBER: &str = "the number alone";

pub(super) const FAMILY: Family = Family {
    name: "arithmetic",
    weight: 40,
    templates: &[
        product, expression, column, fractions, percentage, division, last_digit, bases, divisors,
        rounding, series, share,
    ],
};

fn product(random: &mut Random) -> Result<Draft> {
    let (most_a, most_b) = random.choose([(9, 9), (99, 9), (99, 99), (999, 99), (9_999, 999)]);
    let a = random.number(most_a / 10 + 2, most_a);
    let b = random.number(most_b / 10 + 2, most_b);
    let answer = agreed(a * b, (0..b).map(|_| a).sum())?;
    let task = random.choose([
        format!("What is {a} × {b}?"),
        format!("{a}*{b}=?"),
        format!("Multiply {} by {}.", grouped(a), grouped(b)),
        format!("A hall has {a} rows of {b} seats each. How many seats does it have?"),
    ]);
    Ok(Draft::exact("multiplication", task, answer, NUMBER))
}

/// An expression with its value.
struct Node {
    text: String,
    value: i64,
    is_sum: bool,
}

impl Node {
    fn drawn(random: &mut Random, depth: usize) -> Self {
        if depth == 0 {
            let value = random.number(2, 20);
            return Self { text: value.to_string(), value, is_sum: false };
        }
        let shallow = random.below(depth);
        let (left, right) = (Self::drawn(random, depth - 1), Self::drawn(random, shallow));
        match random.below(4) {
            0 => Self::sum(&left, '+', &right),
            1 => Self::sum(&left, '-', &right),
            _ if (left.value * right.value).abs() > 2_000 => Self::sum(&left, '-', &right),
            _ => Self {
                text: format!("{} × {}", left.factor(), right.factor()),
                value: left.value * right.value,
                is_sum: false,
            },
        }
    }

    fn sum(left: &Self, sign: char, right: &Self) -> Self {
        let value = if sign == '+' { left.value + right.value } else { left.value - right.value };
        Self { text: format!("{} {sign} {}", left.text, right.factor()), value, is_sum: true }
    }

    fn factor(&self) -> String {
        if self.is_sum { format!("({})", self.text) } else { self.text.clone() }
    }
}

/// Reads an expression from its text: sums of products of numbers and brackets.
fn evaluated(text: &str) -> Result<i64> {
    let letters: Vec<char> = text.chars().filter(|letter| *letter != ' ').collect();
    let (value, end) = sum_at(&letters, 0)?;
    ensure!(end == letters.len(), "`{text}` has a rest");
    Ok(value)
}

fn sum_at(letters: &[char], start: usize) -> Result<(i64, usize)> {
    let (mut total, mut at) = product_at(letters, start)?;
    while let Some(sign) = letters.get(at).filter(|sign| matches!(sign, '+' | '-')) {
        let (value, end) = product_at(letters, at + 1)?;
        total += if *sign == '+' { value } else { -value };
        at = end;
    }
    Ok((total, at))
}

fn product_at(letters: &[char], start: usize) -> Result<(i64, usize)> {
    let (mut total, mut at) = atom_at(letters, start)?;
    while letters.get(at) == Some(&'×') {
        let (value, end) = atom_at(letters, at + 1)?;
        (total, at) = (total * value, end);
    }
    Ok((total, at))
}

fn atom_at(letters: &[char], start: usize) -> Result<(i64, usize)> {
    if letters.get(start) == Some(&'(') {
        let (value, end) = sum_at(letters, start + 1)?;
        ensure!(letters.get(end) == Some(&')'), "a bracket isn't closed");
        return Ok((value, end + 1));
    }
    let digits: String = letters[start..].iter().take_while(|l| l.is_ascii_digit()).collect();
    Ok((digits.parse().context("a number is missing")?, start + digits.len()))
}

fn expression(random: &mut Random) -> Result<Draft> {
    let depth = random.choose([1, 2, 3, 4]);
    let node = Node::drawn(random, depth);
    let answer = agreed(node.value, evaluated(&node.text)?)?;
    let text = node.text;
    let task = random.choose([
        format!("Work out {text}."),
        format!("calculate {}", text.replace('×', "*")),
        format!("What do you get for {text}?"),
    ]);
    Ok(Draft::exact("order of operations", task, answer, NUMBER))
}

fn column(random: &mut Random) -> Result<Draft> {
    let count = random.size(3, 9);
    if random.percent(50) {
        let cents = random.numbers(count, 45, 9_999);
        let amounts: Vec<String> = cents.iter().map(|amount| money(*amount)).collect();
        let mut total = Fraction::from(0);
        for amount in &amounts {
            let (euros, rest) = amount.split_once('.').context("an amount has cents")?;
            let (euros, rest): (i64, i64) = (euros.parse()?, rest.parse()?);
            total = total + Fraction::from(euros) + Fraction::new(rest, 100);
        }
        let answer = agreed(money(cents.iter().sum()), money((total * 100.into()).numerator()))?;
        let task = random.choose([
            format!("Add up these amounts in euros: {}.", amounts.join(", ")),
            format!("My receipt says {}. What's the total?", listed(&amounts)),
        ]);
        return Ok(Draft::exact("addition", task, answer, "the total, a number with two decimals"));
    }
    let numbers = random.numbers(count, 100, 99_999);
    let backwards: i64 = numbers.iter().rev().sum();
    let answer = agreed(numbers.iter().sum(), backwards)?;
    let task = format!("What is the sum of these numbers?\n\n{}", joined(&numbers));
    Ok(Draft::exact("addition", task, answer, NUMBER))
}

fn fractions(random: &mut Random) -> Result<Draft> {
    let most = random.choose([6, 9, 15]);
    let mut given = || {
        drawn(random, |random| {
            let (a, b) = (random.number(1, most - 1), random.number(2, most));
            (greatest_common_divisor(a, b) == 1).then_some((a, b))
        })
    };
    let ((a, b), (c, d)) = (given()?, given()?);
    let (one, other) = (Fraction::new(a, b), Fraction::new(c, d));
    let (sign, value, crossed) = match random.below(4) {
        0 => ("+", one + other, Fraction::new(a * d + c * b, b * d)),
        1 => ("-", one - other, Fraction::new(a * d - c * b, b * d)),
        2 => ("×", one * other, Fraction::new(a * c, b * d)),
        _ => ("÷", one / other, Fraction::new(a * d, b * c)),
    };
    let answer = agreed(value, crossed)?;
    let task = random.choose([
        format!("Compute {a}/{b} {sign} {c}/{d}."),
        format!("{a}/{b} {sign} {c}/{d} = ?"),
        format!("What is {a}/{b} {sign} {c}/{d}, as a fraction in lowest terms?"),
    ]);
    let form = "the result as a fraction in lowest terms, or a whole number if it is one";
    Ok(Draft::exact("fractions", task, answer, form))
}

fn percentage(random: &mut Random) -> Result<Draft> {
    let percent = random.choose([4, 5, 8, 12, 15, 20, 24, 30, 35, 45, 60, 75, 120]);
    let whole = random.number(2, 60) * random.choose([25, 50, 100]);
    let part = Fraction::new(whole * percent, 100);
    let share = agreed(part, Fraction::new(percent, 100) * whole.into())?.decimal()?;
    let (task, answer) = random.choose([
        (format!("What is {percent}% of {whole}?"), share.clone()),
        (format!("{share} is what percentage of {whole}?"), percent.to_string()),
        (format!("{percent} % of a number is {share}. Which number is it?"), whole.to_string()),
        (
            format!("A bill of {whole} euros goes up by {percent} %. What is it then, in euros?"),
            (part + whole.into()).decimal()?,
        ),
    ]);
    Ok(Draft::exact("percentages", task, answer, NUMBER))
}

fn division(random: &mut Random) -> Result<Draft> {
    let divisor = random.choose([3, 7, 8, 12, 17, 23, 48, 125]);
    let quotient = random.number(11, 950);
    let remainder = random.number(0, divisor - 1);
    let number = divisor * quotient + remainder;
    agreed((number / divisor, number % divisor), (quotient, remainder))?;
    let (task, answer) = random.choose([
        (format!("What is the remainder when {number} is divided by {divisor}?"), remainder),
        (format!("How many times does {divisor} go into {number} completely?"), quotient),
        (format!("{} mod {divisor}?", grouped(number)), remainder),
        (
            format!(
                "{number} eggs are packed into boxes of {divisor}. How many eggs are left over?"
            ),
            remainder,
        ),
    ]);
    Ok(Draft::exact("division", task, answer, NUMBER))
}

fn last_digit(random: &mut Random) -> Result<Draft> {
    let (base, exponent) = (random.number(2, 19), random.number(5, 99));
    let slowly = (0..exponent).fold(1, |power, _| power * base % 10);
    // The last digits of powers repeat after four steps.
    let by_cycle = (0..(exponent - 1) % 4 + 1).fold(1, |power, _| power * base % 10);
    let answer = agreed(slowly, by_cycle)?;
    let task = random.choose([
        format!("What is the last digit of {base}^{exponent}?"),
        format!(
            "If you write out {base} to the power of {exponent}, which digit stands at the end?"
        ),
    ]);
    Ok(Draft::exact("powers", task, answer, "the digit"))
}

fn bases(random: &mut Random) -> Result<Draft> {
    let most = random.choose([31, 255, 4_095]);
    let number = random.number(9, most);
    let (binary, hex) = (format!("{number:b}"), format!("{number:X}"));
    let by_hand = binary.chars().fold(0, |value, bit| 2 * value + i64::from(bit == '1'));
    agreed(i64::from_str_radix(&hex, 16)?, by_hand)?;
    let (task, answer, form) = random.choose([
        (format!("Convert {binary} from binary to decimal."), number.to_string(), NUMBER),
        (
            format!("What is {number} in binary?"),
            binary.clone(),
            "the binary digits, without prefix or leading zeros",
        ),
        (format!("Write the hexadecimal number {hex} in decimal."), number.to_string(), NUMBER),
        (
            format!("{number} (decimal) in hex?"),
            hex.clone(),
            "the hexadecimal digits, without prefix or leading zeros",
        ),
        (
            format!("How many ones are in the binary form of {number}?"),
            number.count_ones().to_string(),
            NUMBER,
        ),
    ]);
    Ok(Draft::exact("number bases", task, answer, form))
}

fn divisors(random: &mut Random) -> Result<Draft> {
    let (a, b) = (random.number(2, 40) * 6, random.number(2, 30) * 4);
    let all = |number: i64| (1..=number).filter(move |divisor| number % divisor == 0);
    let common = agreed(
        greatest_common_divisor(a, b),
        all(a).filter(|divisor| b % divisor == 0).max().unwrap_or(1),
    )?;
    let multiple = agreed(
        a / common * b,
        (1..=a * b).find(|number| number % a == 0 && number % b == 0).unwrap_or(0),
    )?;
    let is_prime = |number: i64| all(number).count() == 2;
    let largest = all(a).filter(|divisor| is_prime(*divisor)).max().unwrap_or(1);
    let next = (a + 1..).find(|number| is_prime(*number)).unwrap_or(0);
    let (task, answer) = random.choose([
        (format!("Find the greatest common divisor of {a} and {b}."), common),
        (format!("What is the least common multiple of {a} and {b}?"), multiple),
        (format!("Which is the largest prime factor of {a}?"), largest),
        (format!("How many divisors does {a} have, 1 and {a} included?"), all(a).count() as i64),
        (format!("whats the smallest prime number above {a}?"), next),
    ]);
    Ok(Draft::exact("divisors and primes", task, answer, NUMBER))
}

fn rounding(random: &mut Random) -> Result<Draft> {
    // A last digit of 5 would leave the rule open.
    let thousandths = drawn(random, |random| {
        let number = random.number(1_001, 9_999_999);
        (number % 10 != 5 && number % 10 != 0 && number % 100 / 10 != 5).then_some(number)
    })?;
    let (place, unit) = random.choose([
        ("the nearest whole number", 1_000),
        ("one decimal", 100),
        ("two decimals", 10),
    ]);
    let rounded = (thousandths + unit / 2) / unit * unit;
    let near = [thousandths / unit * unit, thousandths / unit * unit + unit];
    let nearest = near.into_iter().min_by_key(|value| (value - thousandths).abs()).unwrap_or(0);
    let answer = Fraction::new(agreed(rounded, nearest)?, 1_000).decimal()?;
    let number = Fraction::new(thousandths, 1_000).decimal()?;
    let task = random.choose([
        format!("Round {number} to {place}."),
        format!("What is {number}, rounded to {place}?"),
    ]);
    Ok(Draft::exact("rounding", task, answer, NUMBER))
}

fn series(random: &mut Random) -> Result<Draft> {
    let (low, step) = (random.number(1, 30), random.choose([1, 2, 3, 5]));
    let count = random.number(8, 120);
    let high = low + step * (count - 1);
    let by_formula = (low + high) * count / 2;
    let answer = agreed((0..count).map(|at| low + step * at).sum(), by_formula)?;
    let task = match step {
        1 => format!("What is the sum of all whole numbers from {low} to {high}, both included?"),
        2 if low % 2 == 0 => format!("Add up all even numbers from {low} to {high}."),
        2 => format!("Add up all odd numbers from {low} to {high}."),
        _ => format!(
            "{low} + {} + {} + ... + {high} = ? (steps of {step})",
            low + step,
            low + 2 * step
        ),
    };
    Ok(Draft::exact("series", task, answer, NUMBER))
}

fn share(random: &mut Random) -> Result<Draft> {
    let (a, b) = (random.number(10_000, 9_999_999), random.number(1_000, 999_999));
    let difference = agreed(a - b, -(b - a))?;
    let total = agreed(a + b, b + a)?;
    ensure!(difference + b == a && total - b == a, "sum and difference");
    let (task, answer) = random.choose([
        (format!("Subtract {} from {}.", grouped(b), grouped(a)), difference),
        (format!("{} + {}?", grouped(a), grouped(b)), total),
        (
            format!("A counter stood at {b} in the morning and stands at {} now. By how much has it grown?", total),
            a,
        ),
    ]);
    Ok(Draft::exact("addition and subtraction", task, answer, NUMBER))
}
