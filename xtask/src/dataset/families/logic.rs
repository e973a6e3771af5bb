//! Puzzles with exactly one solution, which is found by trying all that could be.

use anyhow::{Result, ensure};

use super::super::draft::{Draft, Proof, agreed, drawn, only};
use super::super::random::Random;
use super::super::text::{joined, listed};
use super::super::words::NAMES;
use super::Family;

mod order;
mod syllogism;

pub(super) const FAMILY: Family = Family {
    name: "logic",
    weight: 35,
    templates: &[
        |random| order::puzzle(random, &order::RACE),
        |random| order::puzzle(random, &order::HEIGHTS),
        assignment,
        syllogism::puzzle,
        implication,
        |random| order::puzzle(random, &order::SEATS),
        detective,
        overlap,
        |random| order::puzzle(random, &order::FLOORS),
        cryptarithm,
        boolean,
        |random| order::puzzle(random, &order::TALKS),
    ],
};

/// All orders of the numbers below `count`.
fn permutations(count: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for _ in 0..count {
        all = all
            .into_iter()
            .flat_map(|order: Vec<usize>| {
                (0..count)
                    .filter(|next| !order.contains(next))
                    .map(|next| [order.as_slice(), &[next]].concat())
                    .collect::<Vec<_>>()
            })
            .collect();
    }
    all
}

/// The fewest of these clues, taken in their order, that only one case meets; `None` if all of them
/// don't suffice.
fn sufficient<C: Clone, W>(
    clues: &[C],
    cases: &[W],
    holds: impl Fn(&C, &W) -> bool,
) -> Option<Vec<C>> {
    let meets = |clues: &[C]| {
        cases.iter().filter(|case| clues.iter().all(|clue| holds(clue, case))).count()
    };
    let mut kept: Vec<C> = Vec::new();
    for clue in clues {
        if meets(&kept) == 1 {
            break;
        }
        kept.push(clue.clone());
    }
    for at in (0..kept.len()).rev() {
        let mut fewer = kept.clone();
        fewer.remove(at);
        if meets(&fewer) == 1 {
            kept = fewer;
        }
    }
    (meets(&kept) == 1).then_some(kept)
}

/// A clue of a puzzle in which people have a first and a second thing each.
#[derive(Debug, Clone)]
enum Link {
    First(usize, usize),
    NotFirst(usize, usize),
    Second(usize, usize),
    NotSecond(usize, usize),
    Together(usize, usize),
    Apart(usize, usize),
}

/// Who has which first and which second thing.
type Holdings = (Vec<usize>, Vec<usize>);

impl Link {
    fn holds(&self, (first, second): &Holdings) -> bool {
        let together =
            |a: usize, b: usize| (0..first.len()).any(|at| first[at] == a && second[at] == b);
        match *self {
            Self::First(person, thing) => first[person] == thing,
            Self::NotFirst(person, thing) => first[person] != thing,
            Self::Second(person, thing) => second[person] == thing,
            Self::NotSecond(person, thing) => second[person] != thing,
            Self::Together(a, b) => together(a, b),
            Self::Apart(a, b) => !together(a, b),
        }
    }

    fn all(count: usize) -> Vec<Self> {
        let pairs = (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
        pairs
            .flat_map(|(a, b)| {
                [
                    Self::First(a, b),
                    Self::NotFirst(a, b),
                    Self::Second(a, b),
                    Self::NotSecond(a, b),
                    Self::Together(a, b),
                    Self::Apart(a, b),
                ]
            })
            .collect()
    }
}

/// What people have in a puzzle, and how one says it.
struct Setting {
    opening: &'static str,
    first: [&'static str; 4],
    second: [&'static str; 4],
    has_first: [&'static str; 2],
    has_second: [&'static str; 2],
    person_with_first: &'static str,
    ask_second: &'static str,
}

const SETTINGS: [Setting; 3] = [
    Setting {
        opening: "each have a different pet and a different favourite drink",
        first: ["cat", "dog", "parrot", "rabbit"],
        second: ["tea", "coffee", "milk", "juice"],
        has_first: ["has the", "does not have the"],
        has_second: ["prefers", "does not prefer"],
        person_with_first: "The owner of the",
        ask_second: "Which drink does {} prefer?",
    },
    Setting {
        opening: "each have a different job and come to work by different means",
        first: ["baker", "teacher", "nurse", "welder"],
        second: ["bus", "bicycle", "tram", "car"],
        has_first: ["is the", "is not the"],
        has_second: ["comes by", "does not come by"],
        person_with_first: "The",
        ask_second: "By which means does {} come to work?",
    },
    Setting {
        opening: "each play a different instrument and wear a different colour",
        first: ["violin", "flute", "drum", "harp"],
        second: ["red", "blue", "green", "black"],
        has_first: ["plays the", "does not play the"],
        has_second: ["wears", "does not wear"],
        person_with_first: "The player of the",
        ask_second: "Which colour does {} wear?",
    },
];

fn assignment(random: &mut Random) -> Result<Draft> {
    let setting = &SETTINGS[random.below(SETTINGS.len())];
    let count = random.size(3, 4);
    let names = random.sample(&NAMES, count);
    let orders = permutations(count);
    let cases: Vec<Holdings> =
        orders.iter().flat_map(|a| orders.iter().map(move |b| (a.clone(), b.clone()))).collect();
    let (clues, solution, person) = drawn(random, |random| {
        let solution = cases[random.below(cases.len())].clone();
        let mut clues = Link::all(count);
        clues.retain(|clue| clue.holds(&solution));
        random.shuffle(&mut clues);
        let clues = sufficient(&clues, &cases, Link::holds)?;
        let person = random.below(count);
        let said =
            clues.iter().any(|clue| matches!(clue, Link::Second(other, _) if *other == person));
        (!said && clues.len() >= count).then_some((clues, solution, person))
    })?;
    let found = only(cases.iter().filter(|case| clues.iter().all(|clue| clue.holds(case))))?;
    agreed(&solution, found)?;
    let lines: Vec<String> =
        clues.iter().map(|clue| format!("- {}", setting.told(clue, &names))).collect();
    let things =
        format!("{} / {}", joined(&setting.first[..count]), joined(&setting.second[..count]));
    let question = setting.ask_second.replace("{}", names[person]);
    let task = format!(
        "{} {} ({things}).\n\n{}\n\n{question}",
        listed(&names),
        setting.opening,
        lines.join("\n")
    );
    Ok(Draft::exact(
        "assignment puzzles",
        task,
        setting.second[solution.1[person]],
        "one of the words in brackets",
    ))
}

impl Setting {
    fn told(&self, clue: &Link, names: &[&str]) -> String {
        let [has_first, lacks_first] = self.has_first;
        let [has_second, lacks_second] = self.has_second;
        match *clue {
            Link::First(person, thing) => {
                format!("{} {has_first} {}.", names[person], self.first[thing])
            }
            Link::NotFirst(person, thing) => {
                format!("{} {lacks_first} {}.", names[person], self.first[thing])
            }
            Link::Second(person, thing) => {
                format!("{} {has_second} {}.", names[person], self.second[thing])
            }
            Link::NotSecond(person, thing) => {
                format!("{} {lacks_second} {}.", names[person], self.second[thing])
            }
            Link::Together(a, b) => format!(
                "{} {} {has_second} {}.",
                self.person_with_first, self.first[a], self.second[b]
            ),
            Link::Apart(a, b) => format!(
                "{} {} {lacks_second} {}.",
                self.person_with_first, self.first[a], self.second[b]
            ),
        }
    }
}

/// States of a plant, each with its opposite.
const STATES: [[&str; 2]; 6] = [
    ["the pump is running", "the pump is standing still"],
    ["the valve is open", "the valve is closed"],
    ["the alarm is ringing", "the alarm is silent"],
    ["the lamp is lit", "the lamp is dark"],
    ["the door is locked", "the door is unlocked"],
    ["the tank is full", "the tank is not full"],
];

/// A state by its number, and whether it or its opposite is meant.
type Literal = (usize, bool);

fn said((state, holds): Literal) -> &'static str {
    STATES[state][usize::from(!holds)]
}

/// What follows about a state: the values that it has in any world in which the rules and facts hold.
fn outcomes(rules: &[(Literal, Literal)], fact: Literal, asked: usize) -> Vec<bool> {
    let worlds = 0_u32..1 << STATES.len();
    let mut found: Vec<bool> = worlds
        .filter(|world| {
            let is = |(state, holds): Literal| (world >> state & 1 == 1) == holds;
            is(fact) && rules.iter().all(|(given, then)| !is(*given) || is(*then))
        })
        .map(|world| world >> asked & 1 == 1)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn implication(random: &mut Random) -> Result<Draft> {
    let wanted: &[bool] = random.choose([&[true] as &[bool], &[false], &[false, true]]);
    let count = random.size(2, 4);
    let (rules, fact, asked) = drawn(random, |random| {
        let states: Vec<usize> = random.sample(&[0, 1, 2, 3, 4, 5], count + 1);
        let mut rules: Vec<(Literal, Literal)> = states
            .windows(2)
            .map(|pair| ((pair[0], random.percent(60)), (pair[1], random.percent(60))))
            .collect();
        random.shuffle(&mut rules);
        let from_start = random.percent(50);
        let ends = [states[0], states[count]];
        let (known, asked) = if from_start { (ends[0], ends[1]) } else { (ends[1], ends[0]) };
        let fact = (known, random.percent(50));
        (outcomes(&rules, fact, asked) == wanted).then_some((rules, fact, asked))
    })?;
    let rules: Vec<String> = rules
        .iter()
        .map(|(given, then)| format!("If {}, {}.", said(*given), said(*then)))
        .collect();
    let answer = match wanted {
        [true] => "yes",
        [false] => "no",
        _ => "unknown",
    };
    let task = random.choose([
        format!(
            "{} Now {}. Does it follow that {}, or that it is not so, or neither?",
            rules.join(" "),
            said(fact),
            said((asked, true))
        ),
        format!(
            "Rules of a plant:\n\n{}\n\nYou notice that {}. Is it true that {}?",
            rules.join("\n"),
            said(fact),
            said((asked, true))
        ),
    ]);
    let form = "yes if it must be true, no if it must be false, or unknown if neither follows";
    Ok(Draft::exact("deduction", task, answer, form))
}

/// Something that one can say of a number.
type Hint = (String, fn(i64, i64) -> bool, i64);

fn digit_sum(number: i64) -> i64 {
    number.to_string().bytes().map(|digit| i64::from(digit - b'0')).sum()
}

fn is_prime(number: i64) -> bool {
    number > 1 && (2..number).take_while(|d| d * d <= number).all(|d| number % d != 0)
}

fn detective(random: &mut Random) -> Result<Draft> {
    let most = random.choose([50, 99, 250, 999]);
    let numbers: Vec<i64> = (10..=most).collect();
    let (number, hints) = drawn(random, |random| {
        let number = random.choose(&numbers);
        let limit = number - random.number(1, 30);
        let mut hints: Vec<Hint> = vec![
            (
                format!("Its digits add up to {}.", digit_sum(number)),
                |n, sum| digit_sum(n) == sum,
                digit_sum(number),
            ),
            (format!("It is larger than {limit}."), |n, limit| n > limit, limit),
            (format!("It is smaller than {}.", number + 12), |n, limit| n < limit, number + 12),
            (format!("Its last digit is {}.", number % 10), |n, last| n % 10 == last, number % 10),
        ];
        for divisor in [2, 3, 4, 7, 11, 13] {
            if number % divisor == 0 {
                hints.push((
                    format!("It is divisible by {divisor}."),
                    |n, by| n % by == 0,
                    divisor,
                ));
            } else {
                hints.push((
                    format!("Divided by {divisor}, it leaves a remainder of {}.", number % divisor),
                    |n, code| n % (code / 100) == code % 100,
                    divisor * 100 + number % divisor,
                ));
            }
        }
        if is_prime(number) {
            hints.push(("It is a prime number.".to_owned(), |n, _| is_prime(n), 0));
        }
        random.shuffle(&mut hints);
        let hints =
            sufficient(&hints, &numbers, |(_, holds, value), number| holds(*number, *value))?;
        (2..=5).contains(&hints.len()).then_some((number, hints))
    })?;
    let fits = |n: &&i64| hints.iter().all(|(_, holds, value)| holds(**n, *value));
    let number = agreed(number, *only(numbers.iter().filter(fits))?)?;
    let hints: Vec<&str> = hints.iter().map(|(text, ..)| text.as_str()).collect();
    let task = random.choose([
        format!(
            "I am thinking of a whole number from 10 to {most}. {} Which number is it?",
            hints.join(" ")
        ),
        format!(
            "Find the whole number from 10 to {most} that fits all hints:\n\n- {}",
            hints.join("\n- ")
        ),
    ]);
    Ok(Draft::exact("numbers", task, number, "the number alone"))
}

fn overlap(random: &mut Random) -> Result<Draft> {
    let [only_a, only_b, both, neither] = std::array::from_fn(|_| random.number(2, 30));
    let (a, b, total) = (only_a + both, only_b + both, only_a + only_b + both + neither);
    agreed(neither, total - a - b + both)?;
    let (who, first, second) = random.choose([
        ("pupils", "learn French", "learn Spanish"),
        ("guests", "eat fish", "eat cheese"),
        ("members", "sing", "dance"),
        ("servers", "run Linux", "have a graphics card"),
    ]);
    let (task, answer) = random.choose([
        (format!("Of {total} {who}, {a} {first}, {b} {second} and {both} do both. How many do neither?"), neither),
        (format!("Of {total} {who}, {a} {first} and {b} {second}; {neither} do neither. How many do both?"), both),
        (format!("{a} {who} {first}, {b} {second}, and {both} of them do both. How many do exactly one of the two?"), only_a + only_b),
        (format!("There are {total} {who}. {neither} of them neither {first} nor {second}, {b} {second}, {both} do both. How many {first}?"), a),
    ]);
    Ok(Draft::exact("sets", task, answer, "the number alone"))
}

/// A number written with letters for digits.
fn in_letters(number: i64, digits: &mut Vec<i64>) -> Vec<usize> {
    let mut letters = Vec::new();
    for digit in number.to_string().bytes().map(|digit| i64::from(digit - b'0')) {
        let at = digits.iter().position(|known| *known == digit).unwrap_or_else(|| {
            digits.push(digit);
            digits.len() - 1
        });
        letters.push(at);
    }
    letters
}

/// All ways of giving different digits to letters so that the sum is right and no number starts with 0.
fn readings(
    sum: &[Vec<usize>; 3],
    letters: usize,
    digits: &mut Vec<i64>,
    found: &mut Vec<Vec<i64>>,
) {
    if digits.len() == letters {
        let value =
            |word: &Vec<usize>| word.iter().fold(0, |value, letter| value * 10 + digits[*letter]);
        let leads = sum.iter().all(|word| digits[word[0]] != 0);
        if leads && value(&sum[0]) + value(&sum[1]) == value(&sum[2]) {
            found.push(digits.clone());
        }
        return;
    }
    for digit in 0..10 {
        if !digits.contains(&digit) {
            digits.push(digit);
            readings(sum, letters, digits, found);
            digits.pop();
        }
    }
}

fn cryptarithm(random: &mut Random) -> Result<Draft> {
    let (words, digits) = drawn(random, |random| {
        let (a, b) = (random.number(11, 99), random.number(5, 99));
        let mut digits = Vec::new();
        let words = [a, b, a + b].map(|number| in_letters(number, &mut digits));
        let mut found = Vec::new();
        if digits.len() < 3 || digits.len() > 5 {
            return None;
        }
        readings(&words, digits.len(), &mut Vec::new(), &mut found);
        (found == [digits.clone()]).then_some((words, digits))
    })?;
    let alphabet: Vec<char> = random.choose(["ABCDE", "XYZWV", "PQRST"]).chars().collect();
    let shown =
        words.clone().map(|word| word.iter().map(|letter| alphabet[*letter]).collect::<String>());
    let values =
        words.map(|word| word.iter().fold(0, |value, letter| value * 10 + digits[*letter]));
    agreed(values[0] + values[1], values[2])?;
    let at = random.below(digits.len());
    let [a, b, c] = &shown;
    let sum = format!("{a} + {b} = {c}");
    let rule = "Each letter stands for one digit, different letters for different digits, and no number starts with 0";
    let (task, answer) = random.choose([
        (format!("{rule}: {sum}. Which number is {c}?"), values[2]),
        (format!("{sum}\n\n{rule}. Which digit is {}?", alphabet[at]), digits[at]),
    ]);
    Ok(Draft::exact("digit puzzles", task, answer, "the number alone"))
}

/// A logical expression as text and its value.
fn expression(random: &mut Random, values: &[bool; 3], depth: usize) -> (String, bool) {
    if depth == 0 {
        let at = random.below(3);
        return (["p", "q", "r"][at].to_owned(), values[at]);
    }
    let (left, one) = expression(random, values, depth - 1);
    match random.below(3) {
        0 => (
            format!("not ({left})").replace("(p)", "p").replace("(q)", "q").replace("(r)", "r"),
            !one,
        ),
        way => {
            let shallow = random.below(depth);
            let (right, other) = expression(random, values, shallow);
            let (word, value) = if way == 1 { ("and", one && other) } else { ("or", one || other) };
            let bracketed =
                |text: &str| if text.contains(' ') { format!("({text})") } else { text.to_owned() };
            (format!("{} {word} {}", bracketed(&left), bracketed(&right)), value)
        }
    }
}

fn boolean(random: &mut Random) -> Result<Draft> {
    let values: [bool; 3] = std::array::from_fn(|_| random.percent(50));
    let depth = random.size(2, 4);
    let (text, value) = drawn(random, |random| {
        let (text, value) = expression(random, &values, depth);
        ["p", "q", "r"].iter().all(|name| text.contains(name)).then_some((text, value))
    })?;
    let word = |value: bool| if value { "true" } else { "false" };
    let [p, q, r] = values.map(word);
    let task = random.choose([
        format!("p is {p}, q is {q} and r is {r}. Is this expression true or false? {text}"),
        format!("Evaluate for p = {p}, q = {q}, r = {r}: {text}"),
    ]);
    ensure!(!text.contains("not not"), "brackets around what is negated");
    let names = values.map(|value| if value { "True" } else { "False" });
    let program = format!(
        "p, q, r = {}, {}, {}\nprint('true' if {text} else 'false')",
        names[0], names[1], names[2]
    );
    let draft = Draft::exact("Boolean expressions", task, word(value), "true or false");
    Ok(draft.proven(Proof::Python(program)))
}
