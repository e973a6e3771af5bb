//! Questions on tables of 5 to 60 rows in several formats. A table is read back from its text before
//! it is asked about, and every answer is computed in two ways.

use anyhow::{Result, ensure};

use super::super::draft::{Draft, agreed, drawn};
use super::super::random::Random;
use super::super::text::{joined, ordinal};
use super::Family;

mod render;

use render::{Domain, Table};

const NUMBER: &str = "the number alone";

pub(super) const FAMILY: Family = Family {
    name: "tables",
    weight: 40,
    templates: &[
        look_up,
        reverse_look_up,
        extreme,
        count_above,
        group_sum,
        largest_group,
        group_mean,
        difference,
        join,
        top_three,
        missing_total,
        two_conditions,
        second_largest,
    ],
};

/// How many rows a table gets: short ones more often.
fn rows(random: &mut Random) -> usize {
    let (low, high) = random.choose([(5, 7), (5, 7), (8, 14), (15, 30), (40, 60)]);
    random.size(low, high)
}

fn drawn_table(random: &mut Random) -> Result<Table> {
    let rows = rows(random);
    Table::drawn(random, rows)
}

/// The table's text, then what is asked about it.
fn asked(random: &mut Random, table: &Table, question: &str) -> Result<String> {
    let text = table.rendered(random)?;
    Ok(random.choose([
        format!("{text}\n\n{question}"),
        format!("{}:\n\n{text}\n\n{question}", table.domain.title),
        format!("{question}\n\n{text}"),
    ]))
}

fn look_up(random: &mut Random) -> Result<Draft> {
    let table = drawn_table(random)?;
    let Domain { key, number, group, .. } = table.domain;
    let row = random.choose(&table.rows);
    let again = table.rows.iter().rfind(|other| other.key == row.key).map(|other| other.number);
    agreed(Some(row.number), again)?;
    let (question, answer, form) = random.choose([
        (
            format!("What is the {number} of {key} {}?", row.key),
            row.number.to_string(),
            NUMBER.to_owned(),
        ),
        (
            format!("What is the {group} of {key} {}?", row.key),
            row.group.to_owned(),
            format!("the {group}"),
        ),
    ]);
    let task = asked(random, &table, &question)?;
    Ok(Draft::exact("looking up", task, answer, form))
}

fn reverse_look_up(random: &mut Random) -> Result<Draft> {
    let (table, row) = drawn(random, |random| {
        let table = drawn_table(random).ok()?;
        let row = random.choose(&table.rows);
        let same = table.rows.iter().filter(|other| other.number == row.number).count();
        (same == 1).then_some((table, row))
    })?;
    let Domain { key, number, .. } = table.domain;
    let question = random.choose([
        format!("Which {key} has {} in the column \"{number}\"?", row.number),
        format!("For which {key} is the {number} {}?", row.number),
    ]);
    let task = asked(random, &table, &question)?;
    Ok(Draft::exact("looking up", task, &row.key, format!("the {key}")))
}

/// A table whose numbers all differ in at least the first and last places of their order.
fn table_without_ties(random: &mut Random) -> Result<Table> {
    drawn(random, |random| {
        let table = drawn_table(random).ok()?;
        let sorted = table.by_number();
        let distinct = |at: usize| sorted[at].number != sorted[at + 1].number;
        let last = sorted.len() - 1;
        (distinct(0) && distinct(1) && distinct(2) && distinct(last - 1)).then_some(table)
    })
}

fn extreme(random: &mut Random) -> Result<Draft> {
    let table = table_without_ties(random)?;
    let Domain { key, number, .. } = table.domain;
    let sorted = table.by_number();
    let largest = table.rows.iter().max_by_key(|row| row.number).map(|row| &row.key);
    let smallest = table.rows.iter().min_by_key(|row| row.number).map(|row| &row.key);
    agreed(
        (largest, smallest),
        (sorted.first().map(|row| &row.key), sorted.last().map(|row| &row.key)),
    )?;
    let (question, row) = random.choose([
        (format!("Which {key} has the highest value in the column \"{number}\"?"), sorted[0]),
        (format!("Name the {key} whose {number} is lowest."), sorted[sorted.len() - 1]),
    ]);
    let task = asked(random, &table, &question)?;
    Ok(Draft::exact("comparing rows", task, &row.key, format!("the {key}")))
}

fn second_largest(random: &mut Random) -> Result<Draft> {
    let table = table_without_ties(random)?;
    let Domain { key, number, .. } = table.domain;
    let place = random.size(2, 3);
    let sorted = table.by_number();
    let row = sorted[place - 1];
    let above = table.rows.iter().filter(|other| other.number > row.number).count();
    agreed(above, place - 1)?;
    let question = format!(
        "Sorted by {number} from highest to lowest, which {key} is in {} place?",
        ordinal(place as i64)
    );
    let task = asked(random, &table, &question)?;
    Ok(Draft::exact("comparing rows", task, &row.key, format!("the {key}")))
}

fn count_above(random: &mut Random) -> Result<Draft> {
    let table = drawn_table(random)?;
    let Domain { keys, number, group, .. } = table.domain;
    let limit = random.choose(&table.rows).number;
    let above = table.rows.iter().filter(|row| row.number > limit).count();
    let sorted = table.by_number();
    let above = agreed(above, sorted.iter().take_while(|row| row.number > limit).count())?;
    let wanted = random.choose(&table.rows).group;
    let of_group = table.rows.iter().filter(|row| row.group == wanted).count();
    let (question, answer) = random.choose([
        (format!("How many {keys} have more than {limit} in the column \"{number}\"?"), above),
        (format!("For how many {keys} is the {number} {limit} or less?"), table.rows.len() - above),
        (format!("In how many rows is the {group} {wanted}?"), of_group),
    ]);
    let task = asked(random, &table, &question)?;
    Ok(Draft::exact("counting rows", task, answer, NUMBER))
}

fn group_sum(random: &mut Random) -> Result<Draft> {
    let table = drawn_table(random)?;
    let Domain { number, group, .. } = table.domain;
    let wanted = random.choose(&table.rows).group;
    let sum: i64 = table.of_group(wanted).iter().map(|row| row.number).sum();
    let rest: i64 = table.rows.iter().filter(|row| row.group != wanted).map(|row| row.number).sum();
    let sum = agreed(sum, table.total() - rest)?;
    let (question, answer) = random.choose([
        (format!("What is the total {number} of all rows with the {group} {wanted}?"), sum),
        (format!("Add up the {number} of every row whose {group} is not {wanted}."), rest),
    ]);
    let task = asked(random, &table, &question)?;
    Ok(Draft::exact("sums", task, answer, NUMBER))
}

fn largest_group(random: &mut Random) -> Result<Draft> {
    let (table, sums) = drawn(random, |random| {
        let table = drawn_table(random).ok()?;
        let mut sums: Vec<(i64, &str)> = table
            .groups()
            .into_iter()
            .map(|group| (table.of_group(group).iter().map(|row| row.number).sum(), group))
            .collect();
        sums.sort_unstable();
        let clear = sums.len() >= 2 && sums.windows(2).all(|pair| pair[0].0 != pair[1].0);
        clear.then_some((table, sums))
    })?;
    agreed(sums.iter().map(|(sum, _)| sum).sum::<i64>(), table.total())?;
    let Domain { number, group, .. } = table.domain;
    let (first, last) = (sums[0].1, sums[sums.len() - 1].1);
    let (question, answer) = random.choose([
        (format!("Which {group} has the largest total {number}?"), last),
        (
            format!("Add up the {number} for each {group}. For which {group} is the sum smallest?"),
            first,
        ),
    ]);
    let task = asked(random, &table, &question)?;
    Ok(Draft::exact("groups", task, answer, format!("the {group}")))
}

fn group_mean(random: &mut Random) -> Result<Draft> {
    let (table, wanted, mean) = drawn(random, |random| {
        let table = drawn_table(random).ok()?;
        let wanted = random.choose(&table.rows).group;
        let rows = table.of_group(wanted);
        let sum: i64 = rows.iter().map(|row| row.number).sum();
        let count = rows.len() as i64;
        (count > 1 && sum % count == 0).then_some((table, wanted, sum / count))
    })?;
    let deviations: i64 = table.of_group(wanted).iter().map(|row| row.number - mean).sum();
    agreed(deviations, 0)?;
    let Domain { number, group, .. } = table.domain;
    let question = random.choose([
        format!("What is the average {number} of the rows with the {group} {wanted}?"),
        format!("Mean {number} where {group} = {wanted}?"),
    ]);
    let task = asked(random, &table, &question)?;
    Ok(Draft::exact("averages", task, mean, NUMBER))
}

fn difference(random: &mut Random) -> Result<Draft> {
    let table = drawn_table(random)?;
    let Domain { key, number, .. } = table.domain;
    let picked = random.sample(&table.rows, 2);
    let (a, b) = (&picked[0], &picked[1]);
    let gap = agreed((a.number - b.number).abs(), a.number.max(b.number) - a.number.min(b.number))?;
    let (question, answer) = random.choose([
        (format!("By how much do {} and {} differ in {number}?", a.key, b.key), gap),
        (
            format!("What is the {number} of {key} {} and of {key} {} together?", a.key, b.key),
            a.number + b.number,
        ),
    ]);
    let task = asked(random, &table, &question)?;
    Ok(Draft::exact("differences", task, answer, NUMBER))
}

fn join(random: &mut Random) -> Result<Draft> {
    let table = drawn_table(random)?;
    let Domain { key, number, group, factor, .. } = table.domain;
    let groups = table.groups();
    let factors = random.numbers(groups.len(), 2, 9);
    let of =
        |wanted: &str| groups.iter().position(|group| *group == wanted).map_or(0, |at| factors[at]);
    let row = random.choose(&table.rows);
    let whole: i64 = table.rows.iter().map(|row| row.number * of(row.group)).sum();
    let by_group: i64 = groups
        .iter()
        .map(|group| table.of_group(group).iter().map(|row| row.number).sum::<i64>() * of(group))
        .sum();
    let whole = agreed(whole, by_group)?;
    let lines: Vec<String> =
        groups.iter().zip(&factors).map(|(group, factor)| format!("{group}: {factor}")).collect();
    let second = format!("{factor} by {group}:\n{}", lines.join("\n"));
    let (question, answer) = random.choose([
        (format!("Multiply the {number} of {key} {} by the {factor} of its {group}. What is the result?", row.key), row.number * of(row.group)),
        (format!("What is the {factor} that applies to {key} {}?", row.key), of(row.group)),
        (format!("For each row, {number} times the {factor} of its {group} is charged. What is charged for all rows together?"), whole),
    ]);
    let task = asked(random, &table, &format!("{second}\n\n{question}"))?;
    Ok(Draft::exact("two tables", task, answer, NUMBER))
}

fn top_three(random: &mut Random) -> Result<Draft> {
    let table = table_without_ties(random)?;
    let Domain { keys, number, .. } = table.domain;
    let sorted = table.by_number();
    let names: Vec<&str> = sorted.iter().take(3).map(|row| row.key.as_str()).collect();
    for (place, row) in sorted.iter().take(3).enumerate() {
        agreed(table.rows.iter().filter(|other| other.number > row.number).count(), place)?;
    }
    let question = random.choose([
        format!("List the three {keys} with the highest {number}, starting with the highest."),
        format!("top 3 {keys} by {number}, in descending order?"),
    ]);
    let task = asked(random, &table, &question)?;
    Ok(Draft::exact(
        "sorting rows",
        task,
        joined(&names),
        format!("the three {keys}, separated by commas"),
    ))
}

fn missing_total(random: &mut Random) -> Result<Draft> {
    let mut table = Table::drawn(random, 6)?;
    let Domain { key, number, .. } = table.domain;
    let total = table.total();
    let at = random.below(table.rows.len());
    let others: i64 = table
        .rows
        .iter()
        .enumerate()
        .filter(|(row, _)| *row != at)
        .map(|(_, row)| row.number)
        .sum();
    let missing = agreed(table.rows[at].number, total - others)?;
    table.rows[at].is_hidden = true;
    let name = table.rows[at].key.clone();
    let question = random.choose([
        format!("The {number} of {key} {name} can't be read any more, but the total of all rows is {total}. What was it?"),
        format!("One {number} is missing (marked ?). All rows together make {total}. Which number belongs there?"),
    ]);
    let task = asked(random, &table, &question)?;
    Ok(Draft::exact("missing values", task, missing, NUMBER))
}

fn two_conditions(random: &mut Random) -> Result<Draft> {
    let table = drawn_table(random)?;
    let Domain { keys, number, second, group, .. } = table.domain;
    let (limit, least) = (random.choose(&table.rows).number, random.choose(&table.rows).second);
    let wanted = random.choose(&table.rows).group;
    let count = table.rows.iter().filter(|row| row.number >= limit && row.second >= least).count();
    let failing = table.rows.iter().filter(|row| row.number < limit || row.second < least).count();
    let count = agreed(count, table.rows.len() - failing)?;
    let in_group = table.of_group(wanted).iter().filter(|row| row.number >= limit).count();
    ensure!(in_group <= table.of_group(wanted).len(), "no more than the group has");
    let (question, answer) = random.choose([
        (format!("How many {keys} have at least {limit} in the column \"{number}\" and at least {least} in the column \"{second}\"?"), count),
        (format!("In how many rows with the {group} {wanted} is the {number} {limit} or more?"), in_group),
    ]);
    let task = asked(random, &table, &question)?;
    Ok(Draft::exact("filtering", task, answer, NUMBER))
}
