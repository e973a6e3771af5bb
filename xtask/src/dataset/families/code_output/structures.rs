//! Programs with lists, dictionaries, sets and classes.

use std::collections::BTreeMap;

use anyhow::Result;

use super::super::super::draft::Draft;
use super::super::super::random::Random;
use super::super::super::text::joined;
use super::super::super::words::{NAMES, WORDS};
use super::{list, printed, text_list};

pub(super) fn counting(random: &mut Random) -> Result<Draft> {
    let word = random.choose([
        "mississippi",
        "bookkeeper",
        "committee",
        "abracadabra",
        "successes",
        "hullabaloo",
        "coconut",
    ]);
    let mut counts: BTreeMap<char, i64> = BTreeMap::new();
    for letter in word.chars() {
        *counts.entry(letter).or_default() += 1;
    }
    let mut values: Vec<i64> = counts.values().copied().collect();
    values.sort_unstable();
    let singles: String =
        counts.iter().filter(|(_, count)| **count == 1).map(|(letter, _)| letter).collect();
    let limit = random.number(1, 2);
    let (line, output) = random.choose([
        ("print(sorted(counts.values()))".to_owned(), list(&values)),
        (
            "print(len(counts), max(counts.values()))".to_owned(),
            format!("{} {}", values.len(), values[values.len() - 1]),
        ),
        ("print(''.join(sorted(c for c in counts if counts[c] == 1)))".to_owned(), singles),
        (
            format!("print(sum(n for n in counts.values() if n > {limit}))"),
            values.iter().filter(|n| **n > limit).sum::<i64>().to_string(),
        ),
    ]);
    let (line, output) = if output.is_empty() {
        ("print(len(counts))".to_owned(), counts.len().to_string())
    } else {
        (line, output)
    };
    let program =
        format!("counts = {{}}\nfor c in '{word}':\n    counts[c] = counts.get(c, 0) + 1\n{line}");
    Ok(printed(random, "dictionaries", &program, output))
}

pub(super) fn sorting(random: &mut Random) -> Result<Draft> {
    let count = random.size(4, 6);
    let words = random.sample(&WORDS, count);
    let last = |word: &str| word.chars().next_back();
    let mut sorted = words.clone();
    let key = random.choose([
        "key=len",
        "key=lambda w: (-len(w), w)",
        "key=lambda w: w[-1]",
        "reverse=True",
    ]);
    match key {
        "key=len" => sorted.sort_by_key(|word| word.len()),
        "key=lambda w: w[-1]" => sorted.sort_by_key(|word| last(word)),
        "reverse=True" => sorted.sort_unstable_by(|a, b| b.cmp(a)),
        _ => sorted.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b))),
    }
    let whole = random.percent(40);
    let (shown, output) =
        if whole { ("", text_list(&sorted)) } else { ("[1]", sorted[1].to_owned()) };
    let program = format!("words = {}\nprint(sorted(words, {key}){shown})", text_list(&words));
    Ok(printed(random, "sorting", &program, output))
}

pub(super) fn class_state(random: &mut Random) -> Result<Draft> {
    let limit = random.number(20, 60);
    let steps = random.size(3, 6);
    let amounts: Vec<i64> = (0..steps).map(|_| random.number(-20, 25)).collect();
    let (mut level, mut refused) = (0, 0);
    for amount in &amounts {
        if (0..=limit).contains(&(level + amount)) {
            level += amount;
        } else {
            refused += 1;
        }
    }
    let program = format!(
        "class Tank:\n    def __init__(self, limit):\n        self.limit = limit\n        self.level = 0\n        self.refused = 0\n\n    def add(self, amount):\n        if 0 <= self.level + amount <= self.limit:\n            self.level += amount\n        else:\n            self.refused += 1\n        return self\n\ntank = Tank({limit})\nfor amount in {}:\n    tank.add(amount)\nprint(tank.level, tank.refused)",
        list(&amounts)
    );
    Ok(printed(random, "classes", &program, format!("{level} {refused}")))
}

pub(super) fn aliasing(random: &mut Random) -> Result<Draft> {
    let items = random.numbers(3, 1, 20);
    let (extra, other) = (random.number(21, 40), random.number(41, 60));
    let text = list(&items);
    let [a, b, c] = [items[0], items[1], items[2]];
    let (program, output) = random.choose([
        (format!("x = {text}\ny = x\ny.append({extra})\nx = x + [{other}]\nprint(len(x), len(y))"), "5 4".to_owned()),
        (format!("x = {text}\ny = x[:]\ny[0] = {extra}\nprint(x[0] + y[0])"), (a + extra).to_string()),
        (format!("def add(item, bag=[]):\n    bag.append(item)\n    return bag\n\nadd({a})\nadd({b}, [{extra}])\nprint(add({c}))"), list(&[a, c])),
        (format!("grid = [[0] * 3] * 2\ngrid[0][1] = {a}\nprint(grid[1])"), list(&[0, a, 0])),
        (format!("a = {text}\nb = a\na += [{extra}]\nprint(b[-1], a is b)"), format!("{extra} True")),
        (format!("t = ({a}, [{b}, {c}])\nt[1].append({extra})\nprint(t)"), format!("({a}, [{b}, {c}, {extra}])")),
    ]);
    Ok(printed(random, "references", &program, output))
}

pub(super) fn set_algebra(random: &mut Random) -> Result<Draft> {
    let (a, b) = (random.different(5, 1, 12), random.different(5, 1, 12));
    let sorted = |mut items: Vec<i64>| {
        items.sort_unstable();
        items.dedup();
        list(&items)
    };
    let both: Vec<i64> = a.iter().copied().filter(|x| b.contains(x)).collect();
    let only_a: Vec<i64> = a.iter().copied().filter(|x| !b.contains(x)).collect();
    let only_b = b.iter().copied().filter(|x| !a.contains(x));
    let (expression, output) = random.choose([
        ("sorted(a & b)", sorted(both.clone())),
        ("sorted(a - b)", sorted(only_a.clone())),
        ("sorted(a ^ b)", sorted(only_a.iter().copied().chain(only_b).collect())),
        ("len(a | b)", (10 - both.len()).to_string()),
    ]);
    let braces = |items: &[i64]| format!("{{{}}}", joined(items));
    Ok(printed(
        random,
        "sets",
        &format!("a = {}\nb = {}\nprint({expression})", braces(&a), braces(&b)),
        output,
    ))
}

pub(super) fn stack(random: &mut Random) -> Result<Draft> {
    let mut program = vec![random.number(2, 9).to_string(), random.number(2, 9).to_string()];
    for _ in 0..random.size(2, 4) {
        program.push(random.choose(["+", "*", "-"]).to_owned());
        program.push(random.number(2, 9).to_string());
    }
    program.push(random.choose(["+", "-"]).to_owned());
    let mut stack: Vec<i64> = Vec::new();
    for token in &program {
        if let Ok(number) = token.parse() {
            stack.push(number);
        } else if let (Some(b), Some(a)) = (stack.pop(), stack.pop()) {
            stack.push(match token.as_str() {
                "+" => a + b,
                "-" => a - b,
                _ => a * b,
            });
        }
    }
    let code = format!(
        "stack = []\nfor token in '{}'.split():\n    if token.isdigit():\n        stack.append(int(token))\n    else:\n        b, a = stack.pop(), stack.pop()\n        stack.append(a + b if token == '+' else a - b if token == '-' else a * b)\nprint(stack)",
        program.join(" ")
    );
    Ok(printed(random, "stacks", &code, list(&stack)))
}

pub(super) fn binary_search(random: &mut Random) -> Result<Draft> {
    let count = random.size(7, 15);
    let mut items = random.different(count, 1, 99);
    items.sort_unstable();
    let target = if random.percent(60) { random.choose(&items) } else { random.number(1, 99) };
    let (mut low, mut high, mut steps) = (0, items.len() as i64 - 1, 0);
    while low <= high {
        steps += 1;
        let middle = (low + high) / 2;
        match items[middle as usize].cmp(&target) {
            std::cmp::Ordering::Equal => break,
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle - 1,
        }
    }
    let program = format!(
        "xs = {}\nlow, high, steps = 0, len(xs) - 1, 0\nwhile low <= high:\n    steps += 1\n    mid = (low + high) // 2\n    if xs[mid] == {target}:\n        break\n    if xs[mid] < {target}:\n        low = mid + 1\n    else:\n        high = mid - 1\nprint(low, high, steps)",
        list(&items)
    );
    Ok(printed(random, "searching", &program, format!("{low} {high} {steps}")))
}

pub(super) fn zipped(random: &mut Random) -> Result<Draft> {
    let names = random.sample(&NAMES, 4);
    let points = random.different(4, 1, 50);
    let best = (0..4).max_by_key(|at| points[*at]).unwrap_or(0);
    let weighted: i64 = points.iter().enumerate().map(|(at, value)| at as i64 * value).sum();
    let (line, output) = random.choose([
        ("print(max(zip(points, names))[1])", names[best].to_owned()),
        ("print(sum(i * p for i, p in enumerate(points)))", weighted.to_string()),
        (
            "d = dict(zip(names, points))\nprint([n for n in names if d[n] > 25])",
            text_list(
                &(0..4).filter(|at| points[*at] > 25).map(|at| names[at]).collect::<Vec<_>>(),
            ),
        ),
        (
            "print([b - a for a, b in zip(points, points[1:])])",
            list(&points.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>()),
        ),
    ]);
    let program = format!("names = {}\npoints = {}\n{line}", text_list(&names), list(&points));
    Ok(printed(random, "iteration", &program, output))
}
