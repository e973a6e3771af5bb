//! Python programs and what they print: worked out here, and again by Python itself.

use anyhow::Result;

use super::super::draft::{Draft, Proof};
use super::super::random::Random;
use super::super::text::{fenced, joined, money, reversed};
use super::super::words::{NAMES, WORDS};
use super::Family;

mod structures;

pub(super) const FAMILY: Family = Family {
    name: "code_output",
    weight: 45,
    templates: &[
        numbers,
        loop_sum,
        slicing,
        structures::counting,
        recursion,
        structures::sorting,
        collatz,
        nested_loops,
        structures::class_state,
        structures::aliasing,
        comprehension,
        structures::set_algebra,
        formatting,
        exceptions,
        structures::stack,
        closures,
        text_methods,
        structures::binary_search,
        digits_loop,
        structures::zipped,
    ],
};

/// The prompt about a program and what it prints.
fn printed(random: &mut Random, subject: &str, program: &str, output: impl ToString) -> Draft {
    let code = fenced("python", program);
    let task = random.choose([
        format!("What does this Python program print?\n\n{code}"),
        format!("{code}\n\nWhat is the output?"),
        format!("Read this Python code and say what it prints.\n\n{code}"),
        format!("I ran this:\n\n{code}\n\nwhat did it print?"),
    ]);
    let draft = Draft::exact(subject, task, output, "what is printed");
    draft.proven(Proof::Python(program.to_owned()))
}

/// A list as Python prints it.
fn list(items: &[i64]) -> String {
    format!("[{}]", joined(items))
}

/// A list of texts as Python prints it.
fn text_list<T: AsRef<str>>(items: &[T]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| format!("'{}'", item.as_ref())).collect();
    format!("[{}]", quoted.join(", "))
}

fn numbers(random: &mut Random) -> Result<Draft> {
    let [a, b, c] = [random.number(7, 90), random.number(2, 9), random.number(2, 7)];
    let (expression, value) = random.choose([
        (format!("{a} // {b} + {a} % {b}"), a / b + a % b),
        (format!("{a} - {b} * {c} ** 2"), a - b * c * c),
        (format!("-{a} // {b}"), -((a + b - 1) / b)),
        (format!("({a} + {b}) % {c} * {b}"), (a + b) % c * b),
        (format!("{a} ^ {b}"), a ^ b),
        (format!("{a} & {} | {b}", a / 2), a & (a / 2) | b),
        (format!("{b} << {c}"), b << c),
    ]);
    let program = if random.percent(50) {
        format!("print({expression})")
    } else {
        format!("x = {expression}\nprint(x)")
    };
    Ok(printed(random, "operators", &program, value))
}

fn loop_sum(random: &mut Random) -> Result<Draft> {
    let (start, step) = (random.number(0, 9), random.number(1, 5));
    let stop = start + random.number(8, 40);
    let divisor = random.number(2, 4);
    let values = (start..stop).step_by(step as usize).filter(|i| i % divisor != 0);
    let (update, total) = random.choose([
        ("total += i", values.clone().sum::<i64>()),
        ("total += i * i", values.clone().map(|i| i * i).sum()),
        ("total = i - total", values.fold(0, |total, i| i - total)),
    ]);
    let program = format!(
        "total = 0\nfor i in range({start}, {stop}, {step}):\n    if i % {divisor} == 0:\n        continue\n    {update}\nprint(total)"
    );
    Ok(printed(random, "loops", &program, total))
}

fn slicing(random: &mut Random) -> Result<Draft> {
    let long: Vec<&str> = WORDS.into_iter().filter(|word| word.len() >= 7).collect();
    let word = random.choose(&long);
    let (from, to) = (random.size(1, 2), random.size(4, 6));
    let part = &word[from..to];
    let last = &word[word.len() - 3..];
    let every_second: String = word.chars().step_by(2).collect();
    let (expression, output) = random.choose([
        (format!("s[{from}:{to}]"), part.to_owned()),
        (format!("s[{from}:{to}][::-1]"), reversed(part)),
        ("s[::2]".to_owned(), every_second),
        (format!("s[-3:] + s[:{from}]"), format!("{last}{}", &word[..from])),
        (
            format!("s[:-3].upper() + s[{to}]"),
            format!("{}{}", word[..word.len() - 3].to_uppercase(), &word[to..=to]),
        ),
        ("s[::-1].title()".to_owned(), super::super::text::capitalised(&reversed(word))),
    ]);
    Ok(printed(random, "slices", &format!("s = '{word}'\nprint({expression})"), output))
}

fn recursion(random: &mut Random) -> Result<Draft> {
    fn combined(n: i64, base: i64, step: i64, rule: usize) -> i64 {
        if n <= base {
            return n.max(1);
        }
        match rule {
            0 => n + combined(n - step, base, step, rule),
            1 => combined(n - 1, base, step, rule) + combined(n - 2, base, step, rule),
            2 => 2 * combined(n / 2, base, step, rule) + step,
            _ => n * combined(n - step, base, step, rule) % 97,
        }
    }
    let (rule, base, step) = (random.below(4), random.number(1, 2), random.number(2, 4));
    let n = if rule == 1 { random.number(4, 9) } else { random.number(7, 30) };
    let body = match rule {
        0 => format!("n + f(n - {step})"),
        1 => "f(n - 1) + f(n - 2)".to_owned(),
        2 => format!("2 * f(n // 2) + {step}"),
        _ => format!("n * f(n - {step}) % 97"),
    };
    let program = format!(
        "def f(n):\n    if n <= {base}:\n        return max(n, 1)\n    return {body}\n\nprint(f({n}))"
    );
    Ok(printed(random, "recursion", &program, combined(n, base, step, rule)))
}

fn collatz(random: &mut Random) -> Result<Draft> {
    let start = random.number(5, 40);
    let (mut n, mut steps, mut most) = (start, 0, start);
    while n != 1 {
        n = if n % 2 == 0 { n / 2 } else { 3 * n + 1 };
        steps += 1;
        most = most.max(n);
    }
    let (wanted, output) = random.choose([("steps", steps), ("most", most)]);
    let program = format!(
        "n = {start}\nsteps = 0\nmost = n\nwhile n != 1:\n    n = n // 2 if n % 2 == 0 else 3 * n + 1\n    steps += 1\n    most = max(most, n)\nprint({wanted})"
    );
    Ok(printed(random, "loops", &program, output))
}

fn nested_loops(random: &mut Random) -> Result<Draft> {
    let (rows, columns, sum) = (random.number(3, 7), random.number(3, 7), random.number(4, 8));
    let pairs = || (1..=rows).flat_map(|i| (1..=columns).map(move |j| (i, j)));
    let (condition, count) = random.choose([
        (format!("i + j == {sum}"), pairs().filter(|(i, j)| i + j == sum).count()),
        ("i < j".to_owned(), pairs().filter(|(i, j)| i < j).count()),
        (format!("i * j > {}", 2 * sum), pairs().filter(|(i, j)| i * j > 2 * sum).count()),
        ("(i + j) % 3 == 0".to_owned(), pairs().filter(|(i, j)| (i + j) % 3 == 0).count()),
    ]);
    let program = format!(
        "count = 0\nfor i in range(1, {}):\n    for j in range(1, {}):\n        if {condition}:\n            count += 1\nprint(count)",
        rows + 1,
        columns + 1
    );
    Ok(printed(random, "nested loops", &program, count))
}

fn comprehension(random: &mut Random) -> Result<Draft> {
    let items = random.numbers(7, 1, 30);
    let limit = random.number(8, 18);
    let (expression, output) = random.choose([
        (
            format!("[x * 2 for x in xs if x > {limit}]"),
            list(&items.iter().filter(|x| **x > limit).map(|x| x * 2).collect::<Vec<_>>()),
        ),
        (
            "[x for x in xs if x % 2 == 0][::-1]".to_owned(),
            list(&items.iter().rev().copied().filter(|x| x % 2 == 0).collect::<Vec<_>>()),
        ),
        (
            format!("sum(1 for x in xs if x < {limit})"),
            items.iter().filter(|x| **x < limit).count().to_string(),
        ),
        (
            "max(xs) - min(xs)".to_owned(),
            (items.iter().max().unwrap_or(&0) - items.iter().min().unwrap_or(&0)).to_string(),
        ),
        ("sorted(x % 10 for x in xs)".to_owned(), {
            let mut last: Vec<i64> = items.iter().map(|x| x % 10).collect();
            last.sort_unstable();
            list(&last)
        }),
    ]);
    Ok(printed(
        random,
        "comprehensions",
        &format!("xs = {}\nprint({expression})", list(&items)),
        output,
    ))
}

fn formatting(random: &mut Random) -> Result<Draft> {
    let (name, count) = (random.choose(NAMES), random.number(2, 99));
    // Hundredths other than 5 leave no doubt about the tenths.
    let cents = random.number(10, 9_999) * 10 + random.choose([0, 1, 2, 3, 4, 6, 7, 8, 9]);
    let (price, tenths) = (money(cents), (cents + 5) / 10);
    let (line, output) = random.choose([
        ("print(f'{name}: {count:03d}')", format!("{name}: {count:03}")),
        (
            "print(f'{price:.1f}|{count:>4}|')",
            format!("{}.{}|{count:>4}|", tenths / 10, tenths % 10),
        ),
        ("print(name.ljust(8, '.') + str(count))", format!("{name:.<8}{count}")),
        ("print(f'{count:b}-{count:x}')", format!("{count:b}-{count:x}")),
        ("print('%s owes %.2f' % (name, price))", format!("{name} owes {price}")),
    ]);
    let program = format!("name = '{name}'\ncount = {count}\nprice = {price}\n{line}");
    Ok(printed(random, "formatting", &program, output))
}

fn exceptions(random: &mut Random) -> Result<Draft> {
    let (index, divisor) = (random.size(0, 5), random.number(0, 2));
    let items = random.numbers(4, 10, 60);
    let reached = if index >= items.len() {
        "index".to_owned()
    } else if divisor == 0 {
        "zero".to_owned()
    } else {
        (items[index] / divisor).to_string()
    };
    let with_finally = random.percent(50);
    let (tail, output) = if with_finally {
        ("finally:\n    out += '!'\n", format!("{reached}!"))
    } else {
        (
            "else:\n    out += '+'\n",
            if reached.starts_with(|c: char| c.is_ascii_digit()) {
                format!("{reached}+")
            } else {
                reached
            },
        )
    };
    let program = format!(
        "xs = {}\nout = ''\ntry:\n    out += str(xs[{index}] // {divisor})\nexcept IndexError:\n    out += 'index'\nexcept ZeroDivisionError:\n    out += 'zero'\n{tail}print(out)",
        list(&items)
    );
    Ok(printed(random, "exceptions", &program, output))
}

fn closures(random: &mut Random) -> Result<Draft> {
    let (start, step) = (random.number(0, 20), random.number(2, 9));
    let calls = random.number(2, 5);
    if random.percent(50) {
        let program = format!(
            "def counter(start):\n    value = start\n    def step(by={step}):\n        nonlocal value\n        value += by\n        return value\n    return step\n\na = counter({start})\nb = counter(100)\nfor _ in range({calls}):\n    a()\nb(1)\nprint(a(10), b())"
        );
        let output = format!("{} {}", start + step * calls + 10, 101 + step);
        return Ok(printed(random, "closures", &program, output));
    }
    let late = random.percent(50);
    let (default, output) = if late {
        ("", list(&vec![start + calls - 1; calls as usize]))
    } else {
        ("i=i", list(&(0..calls).map(|i| start + i).collect::<Vec<_>>()))
    };
    let program = format!("fs = []\nfor i in range({calls}):\n    fs.append(lambda {default}: i + {start})\nprint([f() for f in fs])").replace("lambda :", "lambda:");
    Ok(printed(random, "closures", &program, output))
}

fn text_methods(random: &mut Random) -> Result<Draft> {
    let words = random.sample(&WORDS, 3);
    let [a, b, c] = [words[0], words[1], words[2]];
    let (expression, output) = random.choose([
        (
            "'-'.join(w[0] for w in s.split())".to_owned(),
            format!("{}-{}-{}", &a[..1], &b[..1], &c[..1]),
        ),
        ("s.replace('e', '3').split()[1]".to_owned(), b.replace('e', "3")),
        ("len(s.split()[-1]) * s.count(' ')".to_owned(), (c.len() * 2).to_string()),
        ("sorted(s.split(), key=len)[0]".to_owned(), {
            let mut sorted = words.clone();
            sorted.sort_by_key(|word| word.len());
            sorted[0].to_owned()
        }),
        (
            format!("s.find('{b}')"),
            format!("{a} {b} {c}").find(b).map_or(-1, |at| at as i64).to_string(),
        ),
        ("[w.upper() for w in s.split() if 'a' in w]".to_owned(), {
            let with: Vec<String> = words
                .iter()
                .filter(|word| word.contains('a'))
                .map(|word| word.to_uppercase())
                .collect();
            text_list(&with)
        }),
    ]);
    Ok(printed(
        random,
        "string methods",
        &format!("s = '{a} {b} {c}'\nprint({expression})"),
        output,
    ))
}

fn digits_loop(random: &mut Random) -> Result<Draft> {
    let number = random.number(123, 987_654);
    let digits: Vec<i64> =
        number.to_string().bytes().map(|digit| i64::from(digit - b'0')).collect();
    let (start, update, output) = random.choose([
        (0, "out += n % 10", digits.iter().sum()),
        (0, "out = out * 10 + n % 10", digits.iter().rev().fold(0, |out, digit| out * 10 + digit)),
        (1, "out *= max(n % 10, 1)", digits.iter().map(|digit| digit.max(&1)).product()),
        (0, "out = max(out, n % 10)", digits.iter().copied().max().unwrap_or(0)),
        (0, "out += n % 2", digits.iter().filter(|digit| *digit % 2 == 1).count() as i64),
    ]);
    let program = format!(
        "n = {number}\nout = {start}\nwhile n > 0:\n    {update}\n    n //= 10\nprint(out)"
    );
    Ok(printed(random, "loops", &program, output))
}
