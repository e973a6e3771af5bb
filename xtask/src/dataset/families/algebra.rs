//! Equations and functions with whole numbers as solutions; each is found again by trying all.

use anyhow::Result;

use super::super::draft::{Draft, agreed, drawn, only};
use super::super::random::Random;
use super::Family;

const NUMBER: &str = "the number alone";
/// Where solutions are searched.
const SEARCHED: std::ops::RangeInclusive<i64> = -400..=400;

pub(super) const FAMILY: Family = Family {
    name: "algebra",
    weight: 30,
    templates: &[
        linear,
        pair,
        quadratic,
        polynomial,
        expansion,
        composition,
        inequality,
        sum_and_product,
        exponent,
        three_sums,
        formula,
    ],
};

/// `3x + 4`, `x - 2`, `-x`, `5`.
fn line(slope: i64, rest: i64, name: &str) -> String {
    let first = match slope {
        0 => return rest.to_string(),
        1 => name.to_owned(),
        -1 => format!("-{name}"),
        _ => format!("{slope}{name}"),
    };
    format!("{first}{}", added(rest))
}

/// ` + 4`, ` - 2` or nothing.
fn added(rest: i64) -> String {
    match rest {
        0 => String::new(),
        1.. => format!(" + {rest}"),
        _ => format!(" - {}", -rest),
    }
}

fn linear(random: &mut Random) -> Result<Draft> {
    let x = random.number(-12, 20);
    let slopes = random.different(2, -6, 9);
    let (a, c) = (slopes[0], slopes[1]);
    let b = random.number(-15, 25);
    let d = a * x + b - c * x;
    let answer = agreed(x, only(SEARCHED.filter(|x| a * x + b == c * x + d))?)?;
    let (left, right) = (line(a, b, "x"), line(c, d, "x"));
    let task = random.choose([
        format!("Solve for x: {left} = {right}"),
        format!("{left} = {right}. What is x?"),
        format!("Which number x satisfies the equation {left} = {right}?"),
    ]);
    Ok(Draft::exact("linear equations", task, answer, NUMBER))
}

fn pair(random: &mut Random) -> Result<Draft> {
    let (x, y) = (random.number(-9, 15), random.number(-9, 15));
    let (a, b, c, d) = drawn(random, |random| {
        let [a, b, c, d] = std::array::from_fn(|_| random.number(1, 7));
        (a * d != b * c).then_some((a, b, c, d))
    })?;
    let (e, f) = (a * x + b * y, c * x + d * y);
    let all = SEARCHED.flat_map(|x| (-400..=400).map(move |y| (x, y)));
    agreed((x, y), only(all.filter(|(x, y)| a * x + b * y == e && c * x + d * y == f))?)?;
    let (wanted, answer) = random.choose([("x", x), ("y", y), ("x + y", x + y), ("x·y", x * y)]);
    let (first, second) = (line(a, 0, "x"), line(c, 0, "x"));
    let equations =
        [format!("{first} + {}", line(b, 0, "y")), format!("{second} + {}", line(d, 0, "y"))];
    let task = random.choose([
        format!("{} = {e}\n{} = {f}\n\nFind {wanted}.", equations[0], equations[1]),
        format!("If {} = {e} and {} = {f}, what is {wanted}?", equations[0], equations[1]),
    ]);
    Ok(Draft::exact("systems of equations", task, answer, NUMBER))
}

fn quadratic(random: &mut Random) -> Result<Draft> {
    let roots = random.different(2, -12, 12);
    let (p, q) = (roots[0].min(roots[1]), roots[0].max(roots[1]));
    let scale = random.choose([1, 1, 1, 2, 3]);
    let (a, b, c) = (scale, -scale * (p + q), scale * p * q);
    let found: Vec<i64> = SEARCHED.filter(|x| a * x * x + b * x + c == 0).collect();
    agreed(vec![p, q], found)?;
    let square = if a == 1 { "x²".to_owned() } else { format!("{a}x²") };
    let middle = match (b, line(b.abs(), 0, "x")) {
        (0, _) => String::new(),
        (1.., term) => format!(" + {term}"),
        (_, term) => format!(" - {term}"),
    };
    let equation = format!("{square}{middle}{} = 0", added(c));
    let (task, answer) = random.choose([
        (format!("What is the larger solution of {equation}?"), q),
        (format!("Find the smaller root of the equation {equation}"), p),
        (format!("{equation}: by how much do the two solutions differ?"), q - p),
    ]);
    Ok(Draft::exact("quadratic equations", task, answer, NUMBER))
}

fn polynomial(random: &mut Random) -> Result<Draft> {
    let count = random.size(3, 5);
    let coefficients = random.numbers(count, 1, 6);
    let x = random.number(-4, 5);
    let by_horner = coefficients.iter().fold(0, |value, factor| value * x + factor);
    let powers = (0..count as u32).rev().map(|power| x.pow(power));
    let answer = agreed(by_horner, coefficients.iter().zip(powers).map(|(c, p)| c * p).sum())?;
    let terms: Vec<String> = coefficients
        .iter()
        .enumerate()
        .map(|(at, factor)| match count - 1 - at {
            0 => factor.to_string(),
            1 => line(*factor, 0, "x"),
            power => format!("{}^{power}", line(*factor, 0, "x")),
        })
        .collect();
    let text = terms.join(" + ");
    let task = random.choose([
        format!("Let p(x) = {text}. What is p({x})?"),
        format!("Evaluate {text} at x = {x}."),
    ]);
    Ok(Draft::exact("polynomials", task, answer, NUMBER))
}

fn expansion(random: &mut Random) -> Result<Draft> {
    let [a, c] = [random.number(1, 5), random.number(1, 5)];
    let [b, d] = random.choose([[3, 4], [-2, 7], [5, -1], [-6, -3], [8, 9], [-7, 4], [1, -9]]);
    // Three values fix a polynomial of the second degree.
    let at = |x: i64| (a * x + b) * (c * x + d);
    let square = (at(1) + at(-1) - 2 * at(0)) / 2;
    let middle = (at(1) - at(-1)) / 2;
    agreed((square, middle, at(0)), (a * c, a * d + b * c, b * d))?;
    let product = format!("({})({})", line(a, b, "x"), line(c, d, "x"));
    let (task, answer) = random.choose([
        (format!("Expand {product}. What is the coefficient of x?"), middle),
        (format!("In the expansion of {product}, which number stands before x²?"), square),
        (format!("What is the constant term of {product}?"), at(0)),
    ]);
    Ok(Draft::exact("polynomials", task, answer, NUMBER))
}

fn composition(random: &mut Random) -> Result<Draft> {
    let [a, b, c] = [random.number(2, 7), random.number(-8, 9), random.number(-5, 6)];
    let x = random.number(-5, 8);
    let (inner, outer) = (|x: i64| a * x + b, |x: i64| x * x + c);
    let (first, second) = (outer(inner(x)), inner(outer(x)));
    agreed(first, a * a * x * x + 2 * a * b * x + b * b + c)?;
    agreed(second, a * x * x + a * c + b)?;
    let functions = format!("f(x) = {} and g(x) = x²{}", line(a, b, "x"), added(c));
    let (task, answer) = random.choose([
        (format!("Given {functions}, what is g(f({x}))?"), first),
        (format!("{functions}. Compute f(g({x}))."), second),
    ]);
    Ok(Draft::exact("functions", task, answer, NUMBER))
}

fn inequality(random: &mut Random) -> Result<Draft> {
    let [a, b] = [random.number(2, 9), random.number(-20, 20)];
    let limit = random.number(10, 150);
    let smallest = SEARCHED.into_iter().find(|x| a * x + b > limit).unwrap_or(0);
    let largest = SEARCHED.into_iter().rfind(|x| a * x + b <= limit).unwrap_or(0);
    let answer = agreed(smallest, (limit - b).div_euclid(a) + 1)?;
    agreed(largest + 1, answer)?;
    let left = line(a, b, "n");
    let (task, answer) = random.choose([
        (format!("What is the smallest whole number n with {left} > {limit}?"), smallest),
        (format!("Find the largest integer n such that {left} ≤ {limit}."), largest),
    ]);
    Ok(Draft::exact("inequalities", task, answer, NUMBER))
}

fn sum_and_product(random: &mut Random) -> Result<Draft> {
    let (small, step) = (random.number(2, 40), random.number(1, 25));
    let large = small + step;
    let (sum, product) = (small + large, small * large);
    let pairs = || (1..=sum).flat_map(|a| (a..=sum).map(move |b| (a, b)));
    agreed((small, large), only(pairs().filter(|(a, b)| a + b == sum && b - a == step))?)?;
    agreed((small, large), only(pairs().filter(|(a, b)| a + b == sum && a * b == product))?)?;
    let (task, answer) = random.choose([
        (format!("Two numbers add up to {sum} and differ by {step}. Which is the larger one?"), large),
        (
            format!("The sum of two positive numbers is {sum}, their product is {product}. What is the smaller number?"),
            small,
        ),
        (format!("a + b = {sum}, a - b = {step}. What is a² - b²?"), sum * step),
    ]);
    Ok(Draft::exact("sums and products", task, answer, NUMBER))
}

fn exponent(random: &mut Random) -> Result<Draft> {
    let (base, exponent) = random.choose([
        (2_i64, 7_i64),
        (2, 10),
        (2, 12),
        (3, 4),
        (3, 5),
        (3, 7),
        (4, 5),
        (5, 4),
        (6, 4),
        (7, 3),
        (10, 6),
    ]);
    let power = base.pow(exponent as u32);
    agreed(exponent, only((0..40).filter(|n| base.checked_pow(*n as u32) == Some(power)))?)?;
    let shift = random.choose([-3, -2, -1, 1, 2, 3, 4]);
    let (task, answer) = random.choose([
        (format!("Solve {base}^x = {power} for x."), exponent),
        (format!("What is the logarithm of {power} to base {base}?"), exponent),
        (format!("{base}^({}) = {power}. Find n.", line(1, shift, "n")), exponent - shift),
    ]);
    Ok(Draft::exact("exponents", task, answer, NUMBER))
}

fn three_sums(random: &mut Random) -> Result<Draft> {
    let [a, b, c] = std::array::from_fn(|_| random.number(1, 60));
    let (ab, bc, ca) = (a + b, b + c, c + a);
    let all = (0..=120_i64).map(|a| (a, ab - a, ca - a)).filter(|(_, b, c)| b + c == bc);
    agreed((a, b, c), only(all)?)?;
    let names = random.choose([["a", "b", "c"], ["p", "q", "r"], ["x", "y", "z"]]);
    let (name, answer) = random.choose([(names[0], a), (names[1], b), (names[2], c)]);
    let [n0, n1, n2] = names;
    let task = random.choose([
        format!("{n0} + {n1} = {ab}, {n1} + {n2} = {bc}, {n2} + {n0} = {ca}. What is {name}?"),
        format!(
            "Three numbers {n0}, {n1} and {n2} are added in pairs: {n0} and {n1} give {ab}, {n1} and {n2} give {bc}, {n0} and {n2} give {ca}. Find {name}."
        ),
    ]);
    Ok(Draft::exact("systems of equations", task, answer, NUMBER))
}

fn formula(random: &mut Random) -> Result<Draft> {
    let (u, a, t) = (random.number(0, 30), random.number(2, 9), random.number(2, 20));
    let v = u + a * t;
    agreed(t, only((0..=100).filter(|t| u + a * t == v))?)?;
    let (wanted, answer, given) = random.choose([
        ("t", t, format!("v = {v}, u = {u} and a = {a}")),
        ("a", a, format!("v = {v}, u = {u} and t = {t}")),
        ("u", u, format!("v = {v}, a = {a} and t = {t}")),
    ]);
    let task = random.choose([
        format!("In the formula v = u + a·t, let {given}. What is {wanted}?"),
        format!(
            "Rearrange v = u + at for {wanted} and put in {given}. Which value does {wanted} have?"
        ),
    ]);
    Ok(Draft::exact("formulas", task, answer, NUMBER))
}
