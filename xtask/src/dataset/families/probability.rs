//! Counting and chance. What a formula gives is counted case by case as well.

use anyhow::{Result, ensure};

use super::super::draft::{Draft, agreed, drawn};
use super::super::fraction::Fraction;
use super::super::random::Random;
use super::super::words::COLOURS;
use super::Family;

const NUMBER: &str = "the number alone";
const FRACTION: &str = "the probability as a fraction in lowest terms";

pub(super) const FAMILY: Family = Family {
    name: "probability",
    weight: 25,
    templates: &[
        two_dice,
        urn,
        coins,
        committee,
        arrangements,
        codes,
        cards,
        expectation,
        lattice,
        multiples,
        two_way_table,
        certainty,
        independent,
    ],
};

fn choose(n: i64, k: i64) -> i64 {
    (0..k).fold(1, |product, step| product * (n - step) / (step + 1))
}

/// How many subsets of `k` of `n` things there are, counted one by one.
fn subsets(n: i64, k: i64) -> i64 {
    (0_u64..1 << n).filter(|set| i64::from(set.count_ones()) == k).count() as i64
}

fn two_dice(random: &mut Random) -> Result<Draft> {
    let sides = random.choose([6_i64, 6, 6, 8, 4]);
    let rolls: Vec<(i64, i64)> =
        (1..=sides).flat_map(|a| (1..=sides).map(move |b| (a, b))).collect();
    let target = random.number(3, 2 * sides - 1);
    let exactly = rolls.iter().filter(|(a, b)| a + b == target).count() as i64;
    agreed(exactly, sides - (target - sides - 1).abs())?;
    let at_least = rolls.iter().filter(|(a, b)| a + b >= target).count() as i64;
    let same = rolls.iter().filter(|(a, b)| a == b).count() as i64;
    let product = rolls.iter().filter(|(a, b)| a * b % 2 == 0).count() as i64;
    agreed(product, sides * sides - (sides / 2) * (sides / 2))?;
    let dice = if sides == 6 {
        "two fair dice".to_owned()
    } else {
        format!("two fair dice with {sides} sides each (numbered 1 to {sides})")
    };
    let (task, cases) = random.choose([
        (
            format!("You roll {dice}. What is the probability that the sum is exactly {target}?"),
            exactly,
        ),
        (
            format!("You roll {dice}. What is the probability of a sum of at least {target}?"),
            at_least,
        ),
        (format!("When {dice} are thrown, how likely is it that both show the same number?"), same),
        (
            format!(
                "{dice} are rolled. What is the chance that the product of the numbers is even?"
            ),
            product,
        ),
    ]);
    let task = super::super::text::capitalised(&task);
    Ok(Draft::exact("dice", task, Fraction::new(cases, sides * sides), FRACTION))
}

fn urn(random: &mut Random) -> Result<Draft> {
    let colours = random.sample(&COLOURS, 2);
    let (one, other) = (colours[0], colours[1]);
    let (a, b) = (random.number(2, 9), random.number(2, 9));
    let balls: Vec<bool> = (0..a + b).map(|at| at < a).collect();
    let mut pairs = Vec::new();
    for first in 0..balls.len() {
        for second in (0..balls.len()).filter(|second| *second != first) {
            pairs.push((balls[first], balls[second]));
        }
    }
    let of = |wanted: fn(&(bool, bool)) -> bool| {
        Fraction::new(pairs.iter().filter(|pair| wanted(pair)).count() as i64, pairs.len() as i64)
    };
    let both = agreed(of(|(x, y)| *x && *y), Fraction::new(a * (a - 1), (a + b) * (a + b - 1)))?;
    let same = of(|(x, y)| x == y);
    agreed(same + of(|(x, y)| x != y), 1.into())?;
    let bag = random.choose(["bag", "box", "jar"]);
    let contents = format!("A {bag} holds {a} {one} and {b} {other} marbles.");
    let (task, answer) = random.choose([
        (format!("{contents} Two are drawn without putting any back. What is the probability that both are {one}?"), both),
        (format!("{contents} You take two at once without looking. How likely is it that they have the same colour?"), same),
        (format!("{contents} One is drawn at random. What is the probability that it is {other}?"), Fraction::new(b, a + b)),
        (format!("{contents} A marble is drawn, its colour noted, and it is put back; then another is drawn. What is the probability that both are {one}?"), Fraction::new(a * a, (a + b) * (a + b))),
    ]);
    Ok(Draft::exact("drawing", task, answer, FRACTION))
}

fn coins(random: &mut Random) -> Result<Draft> {
    let tosses = random.number(3, 7);
    let heads = random.number(1, tosses - 1);
    let exactly = agreed(choose(tosses, heads), subsets(tosses, heads))?;
    let at_least: i64 = (heads..=tosses).map(|heads| subsets(tosses, heads)).sum();
    let all = 1 << tosses;
    let times = if heads == 1 { "once".to_owned() } else { format!("{heads} times") };
    let (task, cases) = random.choose([
        (format!("A fair coin is tossed {tosses} times. What is the probability of getting heads exactly {times}?"), exactly),
        (format!("What is the chance that {tosses} tosses of a fair coin give heads at least {times}?"), at_least),
        (format!("{tosses} fair coins are thrown at once. What is the probability that they all show the same side?"), 2),
    ]);
    Ok(Draft::exact("coins", task, Fraction::new(cases, all), FRACTION))
}

fn committee(random: &mut Random) -> Result<Draft> {
    let (women, men) = (random.number(3, 7), random.number(3, 7));
    let (k, j) = (random.number(2, 3), random.number(1, 2));
    let total = women + men;
    let of_both = (0_u64..1 << total)
        .filter(|set| {
            let chosen_women = i64::from((set & ((1 << women) - 1)).count_ones());
            chosen_women == k && i64::from(set.count_ones()) == k + j
        })
        .count() as i64;
    let of_both = agreed(of_both, choose(women, k) * choose(men, j))?;
    let all = agreed(choose(total, k + j), subsets(total, k + j))?;
    let (task, answer) = random.choose([
        (format!("In how many ways can {k} of {women} women and {j} of {men} men be chosen for a committee?"), of_both),
        (format!("A club of {total} members elects a board of {} equal members. How many different boards are possible?", k + j), all),
        (format!("{total} people each shake hands once with everybody else. How many handshakes are there?"), choose(total, 2)),
        (format!("How many ways are there to pick a captain and a deputy from {total} players?"), total * (total - 1)),
    ]);
    Ok(Draft::exact("choosing", task, answer, NUMBER))
}

/// All different orders of some letters.
fn orders(letters: &mut Vec<char>, prefix: &mut Vec<char>, found: &mut Vec<String>) {
    if letters.is_empty() {
        found.push(prefix.iter().collect());
        return;
    }
    let mut tried = Vec::new();
    for at in 0..letters.len() {
        let letter = letters.remove(at);
        if !tried.contains(&letter) {
            tried.push(letter);
            prefix.push(letter);
            orders(letters, prefix, found);
            prefix.pop();
        }
        letters.insert(at, letter);
    }
}

fn arrangements(random: &mut Random) -> Result<Draft> {
    let word = random.choose([
        "LEVEL", "RADAR", "APPLE", "NOON", "TABLE", "BANANA", "KETTLE", "PEPPER", "CHESS", "COCOA",
        "DRAGON",
    ]);
    let mut found = Vec::new();
    orders(&mut word.chars().collect(), &mut Vec::new(), &mut found);
    let factorial = |n: usize| (1..=n as i64).product::<i64>();
    let repeated: i64 = ('A'..='Z').map(|letter| factorial(word.matches(letter).count())).product();
    let count = agreed(found.len() as i64, factorial(word.len()) / repeated)?;
    let first: Vec<char> = word.chars().take(1).collect();
    let with_first = found.iter().filter(|order| order.starts_with(&first[..])).count() as i64;
    let (task, answer) = random.choose([
        (format!("How many different arrangements do the letters of the word {word} have?"), count),
        (format!("The letters of {word} are rearranged in all different ways. How many of these ways begin with {}?", first[0]), with_first),
    ]);
    Ok(Draft::exact("arrangements", task, answer, NUMBER))
}

fn codes(random: &mut Random) -> Result<Draft> {
    let length = random.choose([2_u32, 3, 4]);
    let low = 10_i64.pow(length - 1);
    let digits = |number: i64| number.to_string().into_bytes();
    let numbers = || low..10 * low;
    let distinct = numbers()
        .filter(|number| {
            let mut all = digits(*number);
            all.sort_unstable();
            all.windows(2).all(|pair| pair[0] != pair[1])
        })
        .count() as i64;
    let distinct =
        agreed(distinct, 9 * (0..i64::from(length) - 1).map(|step| 9 - step).product::<i64>())?;
    let odd = agreed(
        numbers().filter(|n| digits(*n).iter().all(|d| d % 2 == 1)).count() as i64,
        5_i64.pow(length),
    )?;
    let without = random.number(1, 9);
    let lacking =
        numbers().filter(|n| !n.to_string().contains(&without.to_string())).count() as i64;
    let lacking = agreed(lacking, 8 * 9_i64.pow(length - 1))?;
    let sum = random.number(2, 9);
    let with_sum = numbers()
        .filter(|n| digits(*n).iter().map(|d| i64::from(d - b'0')).sum::<i64>() == sum)
        .count() as i64;
    let kind = format!("{length}-digit numbers (without leading zero)");
    let (task, answer) = random.choose([
        (format!("How many {kind} have no digit twice?"), distinct),
        (format!("How many {kind} consist of odd digits only?"), odd),
        (format!("How many {kind} do not contain the digit {without}?"), lacking),
        (format!("How many {kind} have digits that add up to {sum}?"), with_sum),
    ]);
    Ok(Draft::exact("digits", task, answer, NUMBER))
}

fn cards(random: &mut Random) -> Result<Draft> {
    // Thirteen ranks of four suits; the ranks 10 to 12 are jack, queen and king.
    let deck: Vec<(i64, i64)> =
        (0..13).flat_map(|rank| (0..4).map(move |suit| (rank, suit))).collect();
    let one =
        |wanted: fn(&(i64, i64)) -> bool| deck.iter().filter(|card| wanted(card)).count() as i64;
    let mut pairs = 0;
    for (at, first) in deck.iter().enumerate() {
        pairs += deck[at + 1..].iter().filter(|second| first.0 == second.0).count() as i64;
    }
    let pair = agreed(Fraction::new(pairs, choose(52, 2)), Fraction::new(3, 51))?;
    let hearts =
        agreed(Fraction::new(choose(13, 2), choose(52, 2)), Fraction::new(13 * 12, 52 * 51))?;
    let (event, answer) = random.choose([
        ("One card is drawn. What is the probability that it is a king or a heart?", Fraction::new(one(|(rank, suit)| *rank == 12 || *suit == 0), 52)),
        ("One card is drawn. How likely is a jack, queen or king?", Fraction::new(one(|(rank, _)| *rank >= 10), 52)),
        ("Two cards are drawn together. What is the probability that they have the same rank?", pair),
        ("Two cards are drawn without putting the first back. What is the chance that both are hearts?", hearts),
        ("One card is drawn. What is the probability that it is neither a spade nor an ace?", Fraction::new(one(|(rank, suit)| *rank != 0 && *suit != 1), 52)),
    ]);
    let deck = "A deck has 52 cards: 13 ranks in each of four suits.";
    Ok(Draft::exact("cards", format!("{deck} {event}"), answer, FRACTION))
}

fn expectation(random: &mut Random) -> Result<Draft> {
    let (win, lose, tickets) =
        (random.number(2, 30), random.number(1, 9), random.choose([4, 5, 8, 10, 20]));
    let winning = random.number(1, tickets / 2);
    let total: i64 = (0..tickets).map(|ticket| if ticket < winning { win } else { -lose }).sum();
    let value = agreed(
        Fraction::new(total, tickets),
        Fraction::new(winning * (win + lose), tickets) - lose.into(),
    )?;
    let values = random.numbers(4, 1, 20);
    let mean = Fraction::new(values.iter().sum(), 4);
    let (task, answer) = random.choose([
        (
            format!("In a game {winning} of {tickets} equally likely tickets win {win} points, the others lose {lose} points. What is the expected number of points for one ticket?"),
            value.decimal()?,
        ),
        (
            format!("A spinner stops with equal chance on {}, {}, {} or {}. What is the expected value?", values[0], values[1], values[2], values[3]),
            mean.decimal()?,
        ),
    ]);
    Ok(Draft::exact("expected values", task, answer, "the number as a decimal or whole number"))
}

fn lattice(random: &mut Random) -> Result<Draft> {
    let (right, up) = (random.size(2, 6), random.size(2, 6));
    let mut ways = vec![vec![1_i64; up + 1]; right + 1];
    for x in 1..=right {
        for y in 1..=up {
            ways[x][y] = ways[x - 1][y] + ways[x][y - 1];
        }
    }
    let all = agreed(ways[right][up], choose((right + up) as i64, right as i64))?;
    let (x, y) = (random.size(1, right - 1), random.size(1, up - 1));
    let through = ways[x][y] * ways[right - x][up - y];
    ensure!(through <= all, "no more ways through a point than in all");
    let grid = format!(
        "On a street grid you go from (0, 0) to ({right}, {up}), each step one block right or one block up."
    );
    let (task, answer) = random.choose([
        (format!("{grid} How many different ways are there?"), all),
        (format!("{grid} How many of the ways pass through ({x}, {y})?"), through),
    ]);
    Ok(Draft::exact("paths", task, answer, NUMBER))
}

fn multiples(random: &mut Random) -> Result<Draft> {
    let most = random.choose([50, 100, 120, 200, 500]);
    let steps = random.choose([(2, 3), (3, 5), (4, 6), (2, 7), (6, 9), (5, 7)]);
    let (a, b) = steps;
    let both = (1..=most).filter(|n| n % a == 0 && n % b == 0).count() as i64;
    let either = (1..=most).filter(|n| n % a == 0 || n % b == 0).count() as i64;
    agreed(either, most / a + most / b - both)?;
    let range = format!("whole numbers from 1 to {most}");
    let (task, answer, form) = random.choose([
        (format!("How many of the {range} are divisible by {a} or by {b}?"), either.to_string(), NUMBER),
        (format!("How many of the {range} are divisible neither by {a} nor by {b}?"), (most - either).to_string(), NUMBER),
        (
            format!("One of the {range} is picked at random. What is the probability that it is divisible by both {a} and {b}?"),
            Fraction::new(both, most).to_string(),
            FRACTION,
        ),
    ]);
    Ok(Draft::exact("counting numbers", task, answer, form))
}

fn two_way_table(random: &mut Random) -> Result<Draft> {
    let [a, b, c, d] = std::array::from_fn(|_| random.number(3, 60));
    let (group, other, yes, no) = random.choose([
        ("day shift", "night shift", "late", "on time"),
        ("left aisle", "right aisle", "sold", "unsold"),
        ("old model", "new model", "faulty", "sound"),
    ]);
    let table = format!(
        "| | {yes} | {no} |\n|---|---|---|\n| {group} | {a} | {b} |\n| {other} | {c} | {d} |"
    );
    let given_yes = agreed(Fraction::new(a, a + c), Fraction::from(1) - Fraction::new(c, a + c))?;
    let (question, answer) = random.choose([
        (format!("One item is picked at random among those counted as \"{yes}\". What is the probability that it belongs to the {group}?"), given_yes),
        (format!("One item of the {other} is picked at random. What is the probability that it is \"{no}\"?"), Fraction::new(d, c + d)),
        (format!("One of all items is picked at random. What is the probability that it belongs to the {group} and is \"{yes}\"?"), Fraction::new(a, a + b + c + d)),
    ]);
    Ok(Draft::exact(
        "conditional probability",
        format!("Items were counted:\n\n{table}\n\n{question}"),
        answer,
        FRACTION,
    ))
}

fn certainty(random: &mut Random) -> Result<Draft> {
    let counts = random.numbers(3, 4, 20);
    let colours = random.sample(&COLOURS, 3);
    let wanted = random.number(2, 4);
    // The worst draw takes as many as possible without having enough of any colour.
    let worst: i64 = counts.iter().map(|count| (*count).min(wanted - 1)).sum();
    let unlucky = (0..=counts[0].min(wanted - 1))
        .flat_map(|a| (0..=counts[1].min(wanted - 1)).map(move |b| a + b))
        .flat_map(|ab| (0..=counts[2].min(wanted - 1)).map(move |c| ab + c))
        .max();
    let enough = agreed(Some(worst), unlucky)?.unwrap_or(0) + 1;
    let each = counts.iter().sum::<i64>() - counts.iter().min().copied().unwrap_or(0) + 1;
    let things = random.choose(["balls", "socks", "beads"]);
    let contents = format!(
        "A drawer holds {} {}, {} {} and {} {} {things}, and it is dark.",
        counts[0], colours[0], counts[1], colours[1], counts[2], colours[2]
    );
    let (task, answer) = random.choose([
        (format!("{contents} How many must you take out to be certain of having {wanted} of the same colour?"), enough),
        (format!("{contents} What is the smallest number of {things} to take out so that you surely have one of each colour?"), each),
    ]);
    Ok(Draft::exact("certainty", task, answer, NUMBER))
}

fn independent(random: &mut Random) -> Result<Draft> {
    let (a, b) = drawn(random, |random| {
        let [p, q] = std::array::from_fn(|_| (random.number(1, 7), random.number(2, 9)));
        (p.0 < p.1 && q.0 < q.1).then(|| (Fraction::new(p.0, p.1), Fraction::new(q.0, q.1)))
    })?;
    let one = Fraction::from(1);
    let (both, neither) = (a * b, (one - a) * (one - b));
    let exactly_one = a * (one - b) + b * (one - a);
    agreed(both + neither + exactly_one, one)?;
    let (what, all, one_of_them) = random.choose([
        ("Two archers shoot at a target once each and hit it", "hit it", "hits it"),
        ("Two machines run independently and fail within a year", "fail", "fails"),
        ("Two independent alarms go off in a test", "go off", "goes off"),
    ]);
    let given = format!("{what} with probabilities of {a} and {b}.");
    let (task, answer) = random.choose([
        (format!("{given} What is the probability that both {all}?"), both),
        (
            format!("{given} What is the probability that at least one of the two {one_of_them}?"),
            one - neither,
        ),
        (
            format!("{given} How likely is it that exactly one of the two {one_of_them}?"),
            exactly_one,
        ),
    ]);
    Ok(Draft::exact("independent events", task, answer, FRACTION))
}
