//! Long texts in sentences: a diary, letters, a handbook.

use anyhow::{Context, Result, ensure};

use super::super::super::draft::{Draft, agreed, drawn};
use super::super::super::random::Random;
use super::super::super::text::money;
use super::super::super::words::{GOODS, MONTHS, NAMES, SURNAMES, TOWNS};
use super::{NUMBER, about, lines_of};

/// Prose has about four characters a token.
fn length(random: &mut Random) -> usize {
    random.choose([4_000, 5_500, 7_500, 9_500, 11_400])
}

/// Sentences in which nothing happens that is asked about.
const ASIDES: [&str; 20] = [
    "The wind came from the west all day and the windows rattled.",
    "I read a little in the evening, but my eyes were tired.",
    "There was fog over the fields until ten, then the sun came through.",
    "The neighbours are painting their fence again, this time in a darker green.",
    "In the afternoon I swept the yard and oiled the gate.",
    "Somebody has left a basket of plums at the door, without a note.",
    "The post came late, and there was nothing in it but advertisements.",
    "I thought about the trip that we had planned so long ago.",
    "The clock in the hall has stopped once more, and I have wound it up.",
    "Supper was soup and bread, as on most days of this week.",
    "Down at the harbour they have begun to mend the old crane.",
    "A flock of geese went over the house, very high and very loud.",
    "I slept badly and got up before it was light.",
    "The children from next door asked for their ball, which had flown over the wall.",
    "It has not rained for eleven days, and the well is low.",
    "The radio spoke of storms in the north, but here nothing moved.",
    "I have decided to sort the books in the spare room before winter.",
    "For an hour the power was off, and I wrote by candlelight.",
    "The cat brought a mouse into the kitchen and was very proud of it.",
    "On the way home I met the schoolmaster, who talked about the bridge.",
];

fn asides(random: &mut Random, count: usize) -> String {
    random.sample(&ASIDES, count).join(" ")
}

/// A day in a diary.
#[derive(Clone)]
struct Entry {
    date: String,
    visitor: &'static str,
    town: &'static str,
    thing: &'static str,
    cents: i64,
}

pub(super) fn diary(random: &mut Random) -> Result<Draft> {
    let length = length(random);
    let month = random.choose(MONTHS);
    let (text, entries) = drawn(random, |random| {
        let mut day = 0;
        let made = lines_of(length, |_| {
            day += 1;
            let entry = Entry {
                date: format!("{day} {month}"),
                visitor: random.choose(NAMES),
                town: random.choose(TOWNS),
                thing: random.choose(GOODS),
                cents: random.number(3, 90) * 25,
            };
            let (before, after) = (random.size(1, 4), random.size(1, 4));
            let line = format!(
                "{}. {} {} came to see me and had news from {}. I bought a {} for {} euros. {}",
                entry.date,
                asides(random, before),
                entry.visitor,
                entry.town,
                entry.thing,
                money(entry.cents),
                asides(random, after)
            );
            (line, entry)
        });
        // A month has no more days than this.
        (made.1.len() <= 28).then_some(made)
    })?;
    let entry = drawn(random, |random| {
        let entry = random.choose(&entries);
        let once =
            |same: &dyn Fn(&Entry) -> bool| entries.iter().filter(|other| same(other)).count() == 1;
        (once(&|other| other.visitor == entry.visitor) && once(&|other| other.thing == entry.thing))
            .then_some(entry)
    })?;
    let line = text
        .lines()
        .find(|line| line.contains(&format!("a {} for", entry.thing)))
        .context("the day")?;
    ensure!(
        line.starts_with(&format!("{}.", entry.date)) && line.contains(entry.visitor),
        "the text says so"
    );
    let spent: i64 = entries.iter().map(|entry| entry.cents).sum();
    let euros = text
        .split(" for ")
        .filter_map(|part| part.split_once(" euros."))
        .map(|(amount, _)| amount.replace('.', ""));
    let again: i64 = euros.map(|amount| amount.parse::<i64>()).sum::<Result<_, _>>()?;
    let spent = agreed(spent, again)?;
    let (question, answer, form) = random.choose([
        (
            format!("Who visited the writer on the day on which the {} was bought?", entry.thing),
            entry.visitor.to_owned(),
            "the name",
        ),
        (
            format!("What did the writer buy on the day of {}'s visit?", entry.visitor),
            entry.thing.to_owned(),
            "the thing, without article",
        ),
        (
            format!("From which place did {} bring news?", entry.visitor),
            entry.town.to_owned(),
            "the place",
        ),
        (
            format!("On which date was the {} bought?", entry.thing),
            entry.date.clone(),
            "the date in the form 3 May",
        ),
        (
            "How much did the writer spend in all, in euros?".to_owned(),
            money(spent),
            "the amount, a number with two decimals",
        ),
    ]);
    let document = text.trim_end().replace('\n', "\n\n");
    let task = about(random, &document, &question);
    Ok(Draft::exact("diaries", task, answer, form))
}

pub(super) fn letters(random: &mut Random) -> Result<Draft> {
    let length = length(random);
    let names = random.sample(&SURNAMES, 12);
    let things = random.sample(&GOODS, 12);
    let towns = random.sample(&TOWNS, 12);
    let codes = random.different(12, 1_000, 9_999);
    let (text, letters) = lines_of(length, |at| {
        let at = at % 12;
        let (first, second, third) = (random.size(2, 4), random.size(1, 3), random.size(1, 3));
        let line = format!(
            "Letter from {}\n\n{} By the way, the one who keeps the {} now lives in {}: it is me. {} The number of my box at the station is {}. {}\n",
            names[at],
            asides(random, first),
            things[at],
            towns[at],
            asides(random, second),
            codes[at],
            asides(random, third)
        );
        (line, at)
    });
    // From the thirteenth letter on the same people would write again.
    let count = letters.len().min(12);
    let text = text.split("Letter from ").take(count + 1).collect::<Vec<_>>().join("Letter from ");
    let at = random.below(count);
    let own = text
        .split("Letter from ")
        .find(|letter| letter.contains(&format!(" {}. ", codes[at])))
        .context("the letter")?;
    let said = [names[at], things[at], towns[at]].iter().all(|fact| own.contains(fact));
    ensure!(said, "the letter says it all");
    let (question, answer, form) = random.choose([
        (
            format!("What is the number of the box of the person who keeps the {}?", things[at]),
            codes[at].to_string(),
            NUMBER,
        ),
        (format!("Who lives in {}?", towns[at]), names[at].to_owned(), "the family name"),
        (
            format!("Which thing does the owner of box {} keep?", codes[at]),
            things[at].to_owned(),
            "the thing, without article",
        ),
        (
            format!("In which place does the person live whose box has the number {}?", codes[at]),
            towns[at].to_owned(),
            "the place",
        ),
    ]);
    let task = about(random, text.trim_end(), &question);
    Ok(Draft::exact("letters", task, answer, form))
}

/// What a handbook's section is about, and its unit.
const SUBJECTS: [(&str, &str); 16] = [
    ("leave must be applied for", "days in advance"),
    ("receipts are kept for", "months"),
    ("visitors have to register", "hours before they come"),
    ("keys must be handed back within", "days"),
    ("the archive stores letters for", "years"),
    ("meetings last at most", "minutes"),
    ("a borrowed laptop may be kept for", "weeks"),
    ("overtime is paid out after", "weeks"),
    ("the fire drill takes place every", "months"),
    ("passwords have at least", "characters"),
    ("a room may be booked for at most", "hours"),
    ("complaints are answered within", "working days"),
    ("trial periods last", "months"),
    ("parking cards are valid for", "months"),
    ("tools are checked every", "weeks"),
    ("small purchases need no approval up to", "euros"),
];

pub(super) fn handbook(random: &mut Random) -> Result<Draft> {
    let length = length(random);
    let subjects = random.sample(&SUBJECTS, 16);
    let values = random.different(16, 2, 60);
    let (text, made) = lines_of(length, |at| {
        let own = at % 16;
        let (subject, unit) = subjects[own];
        let (first, second) = (random.size(2, 5), random.size(1, 4));
        let reason = asides(random, first);
        let line = format!(
            "Section {}. Note of the author: {reason} The rule is: {subject} {} {unit}. {}",
            at + 1,
            values[own],
            asides(random, second)
        );
        (line, own)
    });
    let count = made.len().min(16);
    let sections: Vec<&str> = text.lines().take(count).collect();
    let at = random.below(count);
    // One of the sections is changed at the end.
    let changed = random.below(count);
    let new = values[changed] + random.number(1, 9);
    let amendment = format!(
        "Amendment. In section {} the number of the rule is replaced by {new}; all else stays as it is.",
        changed + 1
    );
    let valid = |at: usize| if at == changed { new } else { values[at] };
    let (subject, unit) = subjects[at];
    let found = sections
        .iter()
        .position(|section| section.contains(&format!("{subject} {} {unit}", values[at])));
    agreed(found, Some(at))?;
    let question = random.choose([
        format!("According to the handbook with its amendment, what is the number in this rule: {subject} ... {unit}?"),
        format!("Which number holds today for the rule \"{subject} ... {unit}\", all changes considered?"),
    ]);
    let (question, answer, form) = random.choose([
        (question, valid(at), NUMBER),
        (
            format!("In which section is the rule that {subject} a certain number of {unit}?"),
            at as i64 + 1,
            "the section's number",
        ),
        (
            format!("Add the valid numbers of section {} and section {}.", changed + 1, at + 1),
            valid(changed) + valid(at),
            NUMBER,
        ),
    ]);
    let document = format!("{}\n\n{amendment}", sections.join("\n\n"));
    let task = about(random, &document, &question);
    Ok(Draft::exact("handbooks", task, answer, form))
}
