//! Sorting, filtering and combining lists. The form of a list is always the same: its items,
//! separated by commas.

use anyhow::Result;

use super::super::draft::{Draft, agreed, drawn};
use super::super::random::Random;
use super::super::text::{joined, ordinal};
use super::super::words::{GOODS, NAMES, WORDS};
use super::Family;

const NUMBERS: &str = "the numbers, separated by commas";
const WORD_LIST: &str = "the words, separated by commas";
const NUMBER: &str = "the number alone";

pub(super) const FAMILY: Family = Family {
    name: "lists",
    weight: 25,
    templates: &[
        sorted_numbers,
        sorted_words,
        filtered,
        common,
        union,
        unique,
        largest,
        merged,
        rotated,
        partitioned,
        median,
        pair_sum,
        steps,
    ],
};

fn count(random: &mut Random) -> usize {
    let (low, high) = random.choose([(4, 6), (7, 10), (12, 24)]);
    random.size(low, high)
}

/// Sorting by putting each item in its place.
fn inserted<T: PartialOrd + Clone>(items: &[T]) -> Vec<T> {
    let mut sorted: Vec<T> = Vec::new();
    for item in items {
        let at = sorted.iter().position(|other| other > item).unwrap_or(sorted.len());
        sorted.insert(at, item.clone());
    }
    sorted
}

fn sorted_numbers(random: &mut Random) -> Result<Draft> {
    let count = count(random);
    let (low, high) = random.choose([(1, 99), (-50, 50), (100, 9_999)]);
    let items = random.different(count, low, high);
    let mut sorted = items.clone();
    sorted.sort_unstable();
    let mut sorted = agreed(sorted, inserted(&items))?;
    let (order, descending) =
        random.choose([("from smallest to largest", false), ("in descending order", true)]);
    if descending {
        sorted.reverse();
    }
    let task = random.choose([
        format!("Sort these numbers {order}: {}", joined(&items)),
        format!("Put {} in order, {order}.", joined(&items)),
    ]);
    Ok(Draft::exact("sorting", task, joined(&sorted), NUMBERS))
}

fn sorted_words(random: &mut Random) -> Result<Draft> {
    let count = count(random);
    let items = random.sample(&WORDS, count);
    let mut sorted = items.clone();
    sorted.sort_unstable();
    let sorted = agreed(sorted, inserted(&items))?;
    let mut backwards = sorted.clone();
    backwards.reverse();
    let by_length = inserted(&items.iter().map(|word| (word.len(), *word)).collect::<Vec<_>>());
    let by_length: Vec<&str> = by_length.into_iter().map(|(_, word)| word).collect();
    let (task, answer) = random.choose([
        (format!("Put these words in alphabetical order: {}.", joined(&items)), sorted.clone()),
        (format!("alphabetize: {}", joined(&items)), sorted),
        (format!("Sort these words from z to a: {}", joined(&items)), backwards),
        (
            format!(
                "Sort by length, shortest first; words of equal length in alphabetical order: {}",
                joined(&items)
            ),
            by_length,
        ),
    ]);
    Ok(Draft::exact("sorting", task, joined(&answer), WORD_LIST))
}

fn filtered(random: &mut Random) -> Result<Draft> {
    let divisor = random.choose([3, 4, 7]);
    let count = count(random);
    let (items, limit) = drawn(random, |random| {
        let items = random.different(count, 1, 120);
        let kept = items.iter().filter(|item| *item % divisor == 0).count();
        let limit = random.number(40, 80);
        let above = items.iter().filter(|item| **item > limit).count();
        (kept >= 2 && above >= 2).then_some((items, limit))
    })?;
    let kept = |wanted: &dyn Fn(i64) -> bool| -> Vec<i64> {
        items.iter().copied().filter(|item| wanted(*item)).collect()
    };
    let (by, not_by) = (kept(&|item| item % divisor == 0), kept(&|item| item % divisor != 0));
    agreed(by.len() + not_by.len(), items.len())?;
    let above = kept(&|item| item > limit);
    let sum: i64 = not_by.iter().sum();
    agreed(sum, items.iter().sum::<i64>() - by.iter().sum::<i64>())?;
    let shown = joined(&items);
    let (task, answer, form) = random.choose([
        (format!("Which of these numbers are divisible by {divisor}? Keep their order: {shown}"), joined(&by), NUMBERS),
        (format!("From the list {shown}, keep the numbers above {limit}, in the order in which they stand."), joined(&above), NUMBERS),
        (format!("From the list {shown}, remove every number that is divisible by {divisor}, and add up what is left."), sum.to_string(), NUMBER),
    ]);
    Ok(Draft::exact("filtering", task, answer, form))
}

/// Two lists that share some of their items, and the shared ones in the order of the first.
fn two_lists(
    random: &mut Random,
    size: usize,
) -> Result<(Vec<&'static str>, Vec<&'static str>, Vec<&'static str>)> {
    drawn(random, |random| {
        let pool = random.sample(&GOODS, size + size / 2 + 1);
        let (one, other) = (random.sample(&pool, size), random.sample(&pool, size));
        let shared: Vec<&str> = one.iter().copied().filter(|item| other.contains(item)).collect();
        (shared.len() >= 2 && shared.len() < size).then_some((one, other, shared))
    })
}

fn common(random: &mut Random) -> Result<Draft> {
    let size = random.size(4, 9);
    let (one, other, shared) = two_lists(random, size)?;
    let missing: Vec<&str> = one.iter().copied().filter(|item| !other.contains(item)).collect();
    agreed(shared.len() + missing.len(), one.len())?;
    let names = random.sample(&NAMES, 2);
    let (a, b) = (joined(&one), joined(&other));
    let (task, answer) = random.choose([
        (format!("Which items are on both lists? Give them in alphabetical order.\n\nList 1: {a}\nList 2: {b}"), inserted(&shared)),
        (format!("{} has: {a}. {} has: {b}. What does {} have that {} doesn't? Answer in alphabetical order.", names[0], names[1], names[0], names[1]), inserted(&missing)),
    ]);
    Ok(Draft::exact("set operations", task, joined(&answer), WORD_LIST))
}

fn union(random: &mut Random) -> Result<Draft> {
    let size = random.size(3, 7);
    let (one, other, shared) = two_lists(random, size)?;
    let mut all = inserted(&[one.clone(), other.clone()].concat());
    all.dedup();
    let single: Vec<&str> = all.iter().copied().filter(|item| !shared.contains(item)).collect();
    agreed(all.len(), one.len() + other.len() - shared.len())?;
    let (a, b) = (joined(&one), joined(&other));
    let (task, answer, form) = random.choose([
        (format!("Merge the two shopping lists, each item once, in alphabetical order.\n\n{a}\n{b}"), joined(&all), WORD_LIST),
        (format!("A = {{{a}}}, B = {{{b}}}. Which items are in exactly one of the two sets? Alphabetical order."), joined(&single), WORD_LIST),
        (format!("How many different items are there in these two lists together?\n\n{a}\n{b}"), all.len().to_string(), NUMBER),
    ]);
    Ok(Draft::exact("set operations", task, answer, form))
}

fn unique(random: &mut Random) -> Result<Draft> {
    let pool = random.different(6, 1, 40);
    let (low, high) = random.choose([(7, 9), (12, 20)]);
    let length = random.size(low, high);
    let (items, kept, most) = drawn(random, |random| {
        let items: Vec<i64> = (0..length).map(|_| random.choose(&pool)).collect();
        let mut kept: Vec<i64> = Vec::new();
        for item in &items {
            if !kept.contains(item) {
                kept.push(*item);
            }
        }
        let times = |item: &i64| items.iter().filter(|other| *other == item).count();
        let most = kept.iter().copied().max_by_key(times)?;
        let is_clear = kept.iter().filter(|item| times(item) == times(&most)).count() == 1;
        (kept.len() >= 4 && is_clear).then_some((items, kept, most))
    })?;
    let mut sorted = inserted(&items);
    sorted.dedup();
    agreed(sorted.len(), kept.len())?;
    let shown = joined(&items);
    let (task, answer, form) = random.choose([
        (
            format!("Remove the duplicates, keeping the first of each: {shown}"),
            joined(&kept),
            NUMBERS,
        ),
        (format!("Which number occurs most often in this list? {shown}"), most.to_string(), NUMBER),
        (
            format!("List the different numbers in {shown}, the smallest first."),
            joined(&sorted),
            NUMBERS,
        ),
    ]);
    Ok(Draft::exact("duplicates", task, answer, form))
}

fn largest(random: &mut Random) -> Result<Draft> {
    let count = count(random);
    let items = random.different(count, 10, 999);
    let sorted = inserted(&items);
    let k = random.size(2, 3);
    let top: Vec<i64> = sorted.iter().rev().take(k).copied().collect();
    agreed(items.iter().filter(|item| **item >= top[k - 1]).count(), k)?;
    let shown = joined(&items);
    let (task, answer, form) = random.choose([
        (
            format!("What are the {k} largest of these numbers, the largest first? {shown}"),
            joined(&top),
            NUMBERS,
        ),
        (
            format!("Find the {} smallest number in {shown}.", ordinal(k as i64)),
            sorted[k - 1].to_string(),
            NUMBER,
        ),
        (
            format!(
                "What is the difference between the largest and the smallest number of {shown}?"
            ),
            (sorted[count - 1] - sorted[0]).to_string(),
            NUMBER,
        ),
    ]);
    Ok(Draft::exact("largest and smallest", task, answer, form))
}

fn merged(random: &mut Random) -> Result<Draft> {
    let (a, b) = (random.size(3, 6), random.size(3, 6));
    let all = random.different(a + b, 1, 90);
    let (one, other) = (inserted(&all[..a]), inserted(&all[a..]));
    let (mut left, mut right) = (one.iter().peekable(), other.iter().peekable());
    let mut merged = Vec::new();
    while let Some(next) = match (left.peek(), right.peek()) {
        (Some(x), Some(y)) if x < y => left.next(),
        (_, Some(_)) => right.next(),
        _ => left.next(),
    } {
        merged.push(*next);
    }
    let merged = agreed(merged, inserted(&all))?;
    let task = format!(
        "Merge these two sorted lists into one sorted list.\n\n{}\n{}",
        joined(&one),
        joined(&other)
    );
    Ok(Draft::exact("merging", task, joined(&merged), NUMBERS))
}

fn rotated(random: &mut Random) -> Result<Draft> {
    let size = random.size(5, 8);
    let items = random.sample(&WORDS, size);
    let by = random.size(1, size - 1);
    let mut rotated = items.clone();
    rotated.rotate_left(by);
    let again: Vec<&str> = (0..size).map(|at| items[(at + by) % size]).collect();
    let rotated = agreed(rotated, again)?;
    let mut reversed = items.clone();
    reversed.reverse();
    let (a, b) = (items[0], items[size - 2]);
    let mut swapped = items.clone();
    swapped.swap(0, size - 2);
    let shown = joined(&items);
    let times = if by == 1 { "once".to_owned() } else { format!("{by} times") };
    let (task, answer) = random.choose([
        (
            format!("Move the first word of the list to its end, and do this {times}: {shown}"),
            rotated,
        ),
        (format!("Write this list in reverse order: {shown}"), reversed),
        (format!("Swap \"{a}\" and \"{b}\" in this list and leave the rest: {shown}"), swapped),
    ]);
    Ok(Draft::exact("rearranging", task, joined(&answer), WORD_LIST))
}

fn partitioned(random: &mut Random) -> Result<Draft> {
    let count = count(random);
    let items = random.different(count, 1, 200);
    let parity = |rest: i64| items.iter().copied().filter(move |item| item % 2 == rest);
    let evens_first: Vec<i64> = parity(0).chain(parity(1)).collect();
    let mut stable = items.clone();
    stable.sort_by_key(|item| item % 2);
    let evens_first = agreed(evens_first, stable)?;
    let every_second: Vec<i64> = items.iter().skip(1).step_by(2).copied().collect();
    let doubled: Vec<i64> =
        items.iter().map(|item| if item % 2 == 1 { item * 2 } else { *item }).collect();
    let shown = joined(&items);
    let (task, answer) = random.choose([
        (format!("Rearrange the list so that all even numbers come first and all odd ones after them; keep the order within both groups: {shown}"), evens_first),
        (format!("Write down every second number of the list, beginning with the second: {shown}"), every_second),
        (format!("Double the odd numbers, leave the even ones as they are: {shown}"), doubled),
    ]);
    Ok(Draft::exact("rearranging", task, joined(&answer), NUMBERS))
}

fn median(random: &mut Random) -> Result<Draft> {
    let size = random.choose([5, 7, 9, 11]);
    let items = random.different(size, 1, 150);
    let sorted = inserted(&items);
    let median = sorted[size / 2];
    let (below, above) = (
        items.iter().filter(|item| **item < median).count(),
        items.iter().filter(|item| **item > median).count(),
    );
    agreed(below, above)?;
    let at = items.iter().position(|item| *item == median).unwrap_or(0) as i64 + 1;
    let shown = joined(&items);
    let (task, answer) = random.choose([
        (format!("What is the median of {shown}?"), median),
        (format!("At which position (counted from 1) does the number {median} stand in this list? {shown}"), at),
        (format!("median of these values please: {shown}"), median),
    ]);
    Ok(Draft::exact("positions", task, answer, NUMBER))
}

fn pair_sum(random: &mut Random) -> Result<Draft> {
    let size = random.size(5, 10);
    let (items, pair, sum) = drawn(random, |random| {
        let items = random.different(size, 2, 60);
        let picked = random.sample(&items, 2);
        let sum = picked[0] + picked[1];
        let pairs = (0..size).flat_map(|a| (a + 1..size).map(move |b| (a, b)));
        let fitting = pairs.filter(|(a, b)| items[*a] + items[*b] == sum).count();
        (fitting == 1).then_some((items, picked, sum))
    })?;
    let partner = agreed(sum - pair[0], pair[1])?;
    let sorted = inserted(&[pair[0], partner]);
    let task = random.choose([
        format!(
            "Which two numbers of this list add up to {sum}? Give the smaller one first. {}",
            joined(&items)
        ),
        format!(
            "Exactly one pair in {} has the sum {sum}. Which pair, the smaller number first?",
            joined(&items)
        ),
    ]);
    Ok(Draft::exact("pairs", task, joined(&sorted), NUMBERS))
}

fn steps(random: &mut Random) -> Result<Draft> {
    let size = random.size(4, 6);
    let items = random.different(size, 1, 40);
    let (extra, drop) = (random.number(41, 60), random.size(1, size));
    let mut result = items.clone();
    result.push(extra);
    result.remove(drop - 1);
    result.reverse();
    let mut again: Vec<i64> = vec![extra];
    again.extend(
        items.iter().enumerate().rev().filter(|(at, _)| at + 1 != drop).map(|(_, item)| *item),
    );
    let result = agreed(result, again)?;
    let task = format!(
        "Start with the list {}. First add {extra} at the end. Then remove the {} element. Then reverse the list. What is the list now?",
        joined(&items),
        ordinal(drop as i64)
    );
    Ok(Draft::exact("several steps", task, joined(&result), NUMBERS))
}
