//! Facts to be found or combined in texts of about 1,000 to 3,000 tokens. What a text says is computed
//! from what it was made of, and again from the text itself.

use anyhow::{Context, Result};

use super::super::draft::{Draft, agreed, drawn};
use super::super::random::Random;
use super::super::text::{clock, fenced, money};
use super::super::words::{GOODS, NAMES, SURNAMES, TOWNS, WEEKDAYS};
use super::Family;

mod prose;

const NUMBER: &str = "the number alone";

pub(super) const FAMILY: Family = Family {
    name: "long_context",
    weight: 60,
    templates: &[
        access_log,
        ledger,
        prose::diary,
        movements,
        prose::letters,
        parcels,
        chat,
        prose::handbook,
        timetable,
        inventory,
    ],
};

/// How many characters a text of records gets; they have about three a token.
fn length(random: &mut Random) -> usize {
    random.choose([3_200, 4_000, 5_000, 6_500, 7_500])
}

/// Lines until the text is as long as wanted.
fn lines_of<T>(length: usize, mut next: impl FnMut(usize) -> (String, T)) -> (String, Vec<T>) {
    let (mut text, mut made) = (String::new(), Vec::new());
    while text.len() < length {
        let (line, what) = next(made.len());
        text.push_str(&line);
        text.push('\n');
        made.push(what);
    }
    (text, made)
}

/// A document and what is asked about it, in this or the other order.
fn about(random: &mut Random, document: &str, question: &str) -> String {
    random.choose([
        format!("{document}\n\n{question}"),
        format!("{question}\n\n{document}"),
        format!("Read the following carefully.\n\n{document}\n\nQuestion: {question}"),
    ])
}

/// The value behind `name=` in a line.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_whitespace().find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

/// A request in a server's log.
struct Hit {
    user: &'static str,
    path: &'static str,
    status: i64,
    milliseconds: i64,
}

fn access_log(random: &mut Random) -> Result<Draft> {
    let users =
        random.sample(&["adeyemi", "brook", "costa", "dimitri", "ekman", "farkas", "gomez"], 5);
    let length = length(random);
    let mut second = random.number(7, 20) * 3_600;
    let (text, hits) = lines_of(length, |_| {
        second += random.number(1, 45);
        let hit = Hit {
            user: random.choose(&users),
            path: random.choose(["/cart", "/help", "/login", "/pay", "/search"]),
            status: random.choose([200, 200, 200, 200, 304, 404, 500]),
            milliseconds: random.number(12, 980),
        };
        let time = format!("{}:{:02}", clock(second / 60), second % 60);
        (
            format!(
                "{time} user={} path={} status={} ms={}",
                hit.user, hit.path, hit.status, hit.milliseconds
            ),
            hit,
        )
    });
    let (user, path) = (random.choose(&users), random.choose(["/cart", "/help", "/login", "/pay"]));
    let failed = hits.iter().filter(|hit| hit.status == 500).count();
    let again = text.lines().filter(|line| field(line, "status") == Some("500")).count();
    let failed = agreed(failed, again)?;
    let both = hits.iter().filter(|hit| hit.user == user && hit.path == path).count();
    let marks = format!("user={user} path={path} ");
    let both = agreed(both, text.matches(&marks).count())?;
    let slow =
        hits.iter().filter(|hit| hit.path == path).map(|hit| hit.milliseconds).max().unwrap_or(0);
    let times = text
        .lines()
        .filter(|line| field(line, "path") == Some(path))
        .filter_map(|line| field(line, "ms"));
    let mut times: Vec<i64> = times.map(str::parse).collect::<Result<_, _>>()?;
    times.sort_unstable();
    let slow = agreed(slow, times.pop().unwrap_or(0))?;
    let (question, answer) = random.choose([
        ("How many requests were answered with status 500?".to_owned(), failed as i64),
        (format!("How often did {user} call {path}?"), both as i64),
        (format!("How many milliseconds did the slowest request to {path} take?"), slow),
    ]);
    let task = about(random, &fenced("", &text), &question);
    Ok(Draft::exact("server logs", task, answer, NUMBER))
}

fn ledger(random: &mut Random) -> Result<Draft> {
    let length = length(random);
    let start = random.number(500, 9_000) * 100;
    let mut balance = start;
    let (text, bookings) = lines_of(length, |at| {
        let income = random.percent(35);
        let (kind, partner) = if income {
            (random.choose(["rent", "fee", "donation"]), random.choose(SURNAMES))
        } else {
            (
                random.choose(["repairs", "insurance", "heating", "postage", "cleaning"]),
                random.choose(SURNAMES),
            )
        };
        let amount = random.number(450, 60_000) * if income { 1 } else { -1 };
        balance += amount;
        let sign = if income { "+" } else { "" };
        (
            format!("{:03}  {kind:<10} {partner:<10} {sign}{}", at + 1, money(amount)),
            (kind, partner, amount),
        )
    });
    let amounts = text.lines().filter_map(|line| line.split_whitespace().last());
    let cents: Vec<i64> =
        amounts.map(|amount| amount.replace('.', "").parse()).collect::<Result<_, _>>()?;
    let balance = agreed(balance, start + cents.iter().sum::<i64>())?;
    let kind = random.choose(&bookings).0;
    let of_kind: i64 =
        bookings.iter().filter(|(other, ..)| *other == kind).map(|(.., amount)| amount).sum();
    let again: i64 = text
        .lines()
        .zip(&cents)
        .filter(|(line, _)| line.contains(&format!("  {kind} ")))
        .map(|(_, cents)| cents)
        .sum();
    let of_kind = agreed(of_kind, again)?.abs();
    let income = cents.iter().filter(|cents| **cents > 0).count();
    let opening = format!("Opening balance: {} euros", money(start));
    let (question, answer, form) = random.choose([
        (
            "What is the balance after the last entry, in euros?".to_owned(),
            money(balance),
            "the amount, a number with two decimals",
        ),
        (
            format!("What do all entries of the kind \"{kind}\" come to, in euros, without sign?"),
            money(of_kind),
            "the amount, a number with two decimals",
        ),
        ("How many entries are income (with a plus sign)?".to_owned(), income.to_string(), NUMBER),
    ]);
    let document = format!("{opening}\n\n{}", fenced("", &text));
    let task = about(random, &document, &question);
    Ok(Draft::exact("ledgers", task, answer, form))
}

fn movements(random: &mut Random) -> Result<Draft> {
    let things = random.sample(&GOODS, 6);
    let places = ["attic", "cellar", "garage", "kitchen", "office", "shed"];
    let names = random.sample(&NAMES, 5);
    let mut at: Vec<&str> = things.iter().map(|_| random.choose(places)).collect();
    let mut moves = vec![0; things.len()];
    let mut minute = random.number(6, 8) * 60;
    let first: Vec<String> = things
        .iter()
        .zip(&at)
        .map(|(thing, place)| format!("The {thing} is in the {place}."))
        .collect();
    let length = length(random);
    let (text, _) = lines_of(length, |_| {
        minute += random.number(1, 6);
        let which = random.below(things.len());
        let to = loop {
            let place = random.choose(places);
            if place != at[which] {
                break place;
            }
        };
        at[which] = to;
        moves[which] += 1;
        let how = random.choose(["takes", "carries", "moves", "brings"]);
        (
            format!(
                "{} - {} {how} the {} to the {to}.",
                clock(minute),
                random.choose(&names),
                things[which]
            ),
            (),
        )
    });
    let which = random.below(things.len());
    let thing = things[which];
    let own: Vec<&str> =
        text.lines().filter(|line| line.contains(&format!(" the {thing} to the "))).collect();
    let last = own.last().and_then(|line| line.strip_suffix('.')?.rsplit(' ').next());
    let place = agreed(at[which], last.unwrap_or(at[which]))?;
    let count = agreed(moves[which], own.len())?;
    let mut mover = own.last().context("it was moved")?.split(' ');
    let mover = mover.nth(2).context("somebody moved it")?;
    let (question, answer, form) = random.choose([
        (format!("Where is the {thing} in the end?"), place.to_owned(), "the place"),
        (format!("How many times was the {thing} moved?"), count.to_string(), NUMBER),
        (format!("Who was the last to move the {thing}?"), mover.to_owned(), "the name"),
    ]);
    let document = format!("At dawn: {}\n\n{}", first.join(" "), text.trim_end());
    let task = about(random, &document, &question);
    Ok(Draft::exact("moved things", task, answer, form))
}

fn parcels(random: &mut Random) -> Result<Draft> {
    const STATES: [&str; 4] = ["received", "sorted", "loaded", "delivered"];
    let length = length(random);
    let first = random.number(1_000, 8_000);
    let town = random.sample(&TOWNS, 6);
    // Each parcel goes through the states in order; one never reaches the last of them.
    let count = (length / 220) as i64;
    let lost = random.number(0, count - 1);
    let mut pending: Vec<(i64, usize)> = (0..count).map(|parcel| (parcel, 0)).collect();
    let mut minute = 5 * 60;
    let mut lines = Vec::new();
    let mut place = vec![""; count as usize];
    while !pending.is_empty() {
        let at = random.below(pending.len());
        let (parcel, state) = pending[at];
        minute += random.number(1, 4);
        let to = random.choose(&town);
        place[parcel as usize] = to;
        lines.push(format!(
            "{} parcel P{} {} in {to}",
            clock(minute),
            first + parcel,
            STATES[state]
        ));
        let last = if parcel == lost { 2 } else { 3 };
        if state == last {
            pending.swap_remove(at);
        } else {
            pending[at].1 += 1;
        }
    }
    let text = lines.join("\n");
    let name = |parcel: i64| format!("P{}", first + parcel);
    let undelivered: Vec<i64> = (0..count)
        .filter(|parcel| !text.contains(&format!("{} delivered", name(*parcel))))
        .collect();
    agreed(undelivered, vec![lost])?;
    let parcel =
        drawn(random, |random| Some(random.number(0, count - 1)).filter(|parcel| *parcel != lost))?;
    let line = lines.iter().rfind(|line| line.contains(&name(parcel))).context("it has lines")?;
    let (_, where_to) = line.split_once(" in ").context("a place")?;
    let where_to = agreed(where_to, place[parcel as usize])?;
    let when = line.split(' ').next().context("a time")?;
    let (question, answer, form) = random.choose([
        (
            "Exactly one parcel was never delivered. Which one?".to_owned(),
            name(lost),
            "the parcel's number, with its P",
        ),
        (
            format!("In which town was parcel {} delivered?", name(parcel)),
            where_to.to_owned(),
            "the town",
        ),
        (
            format!("At what time was parcel {} delivered?", name(parcel)),
            when.to_owned(),
            "the time in the form hh:mm",
        ),
        ("How many parcels are mentioned?".to_owned(), count.to_string(), NUMBER),
    ]);
    let task = about(random, &fenced("", &text), &question);
    Ok(Draft::exact("parcel tracking", task, answer, form))
}

fn chat(random: &mut Random) -> Result<Draft> {
    let names = random.sample(&NAMES, 5);
    let length = length(random);
    let mut proposals: Vec<(&str, &str, i64)> = Vec::new();
    let mut minute = random.number(8, 11) * 60;
    let (text, speakers) = lines_of(length, |_| {
        minute += random.number(1, 7);
        let name = random.choose(&names);
        let said = match random.below(4) {
            0 => {
                let (day, hour) = (random.choose(WEEKDAYS), random.number(9, 18));
                proposals.push((name, day, hour));
                format!("What about {day} at {hour}:00?")
            }
            1 => random
                .choose([
                    "No, that doesn't work for me.",
                    "Hm, difficult.",
                    "I have to be elsewhere then.",
                    "Too late for me.",
                ])
                .to_owned(),
            2 => random
                .choose([
                    "Who brings the projector?",
                    "Did you see the new plan of the hall?",
                    "The coffee machine is broken again.",
                    "My train is late.",
                ])
                .to_owned(),
            _ => random
                .choose([
                    "I will ask the others.",
                    "Let me look at my calendar.",
                    "Sorry, I was away.",
                    "Fine with me, but wait for the rest.",
                ])
                .to_owned(),
        };
        (format!("[{}] {name}: {said}", clock(minute)), name)
    });
    let (last_name, day, hour) = *proposals.last().context("something was proposed")?;
    let agreed_on = format!(
        "[{}] {}: Then let us take the last proposal.",
        clock(minute + 2),
        random.choose(&names)
    );
    let shown = text.lines().rfind(|line| line.contains("What about ")).context("a proposal")?;
    let time = format!("{day} at {hour}:00");
    let (_, found) = shown.split_once("What about ").context("a proposal")?;
    let time = agreed(time, found.trim_end_matches('?').to_owned())?;
    let who = random.choose(&names);
    let count = speakers.iter().filter(|name| **name == who).count();
    let proposed = proposals.iter().filter(|(name, ..)| *name == who).count();
    let by_text =
        text.lines().filter(|line| line.contains(&format!("] {who}: What about "))).count();
    let proposed = agreed(proposed, by_text)?;
    let count = agreed(count, text.matches(&format!("] {who}: ")).count())?
        + usize::from(agreed_on.contains(&format!("] {who}: ")));
    let (question, answer, form) = random.choose([
        (
            "For when do they arrange to meet in the end?".to_owned(),
            time,
            "the day and time in the form Monday at 9:00",
        ),
        ("Whose proposal do they take in the end?".to_owned(), last_name.to_owned(), "the name"),
        (format!("How many messages has {who} written?"), count.to_string(), NUMBER),
        (format!("How many times does {who} propose a time?"), proposed.to_string(), NUMBER),
    ]);
    let task = about(random, &format!("{text}{agreed_on}"), &question);
    Ok(Draft::exact("conversations", task, answer, form))
}

fn timetable(random: &mut Random) -> Result<Draft> {
    let length = length(random);
    let towns = random.sample(&TOWNS, 8);
    let mut number = random.number(10, 60);
    let (text, trips) = lines_of(length, |_| {
        number += random.number(1, 9);
        let way = random.sample(&towns, 2);
        let (start, ride) = (random.number(5 * 60, 20 * 60), random.number(15, 180));
        let platform = random.number(1, 12);
        let line = format!(
            "Train {number}: {} {} - {} {}, platform {platform}",
            way[0],
            clock(start),
            way[1],
            clock(start + ride)
        );
        (line, (number, way[0], way[1], start, start + ride, platform))
    });
    let trip = random.choose(&trips);
    let (number, from, to, start, end, platform) = trip;
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("Train {number}: ")))
        .context("the train")?;
    agreed(
        line,
        format!(
            "Train {number}: {from} {} - {to} {}, platform {platform}",
            clock(start),
            clock(end)
        )
        .as_str(),
    )?;
    let leaving = trips.iter().filter(|trip| trip.1 == from).count();
    let leaving =
        agreed(leaving, text.lines().filter(|line| line.contains(&format!(": {from} "))).count())?;
    let earliest =
        trips.iter().filter(|trip| trip.2 == to).min_by_key(|trip| trip.4).context("a train")?;
    let same = trips.iter().filter(|trip| trip.2 == to && trip.4 == earliest.4).count();
    let longest = (end - start).to_string();
    let (question, answer, form) = random.choose([
        (format!("From which platform does train {number} leave?"), platform.to_string(), NUMBER),
        (format!("How many minutes is train {number} under way?"), longest, NUMBER),
        (format!("How many trains start in {from}?"), leaving.to_string(), NUMBER),
        (
            format!("Which train is the first to arrive in {to}?"),
            earliest.0.to_string(),
            "the train's number",
        ),
    ]);
    // Two trains that arrive together would leave the last question open.
    let (question, answer, form) = if same > 1 && form == "the train's number" {
        (format!("When does train {number} arrive?"), clock(end), "the time in the form hh:mm")
    } else {
        (question, answer, form)
    };
    let task = about(random, text.trim_end(), &question);
    Ok(Draft::exact("timetables", task, answer, form))
}

fn inventory(random: &mut Random) -> Result<Draft> {
    let length = length(random);
    let things = random.sample(&GOODS, 7);
    let mut stock = vec![0_i64; things.len()];
    let (text, _) = lines_of(length, |at| {
        let which = random.below(things.len());
        let thing = things[which];
        let day = format!("Day {}", at / 3 + 1);
        if stock[which] < 15 || random.percent(45) {
            let count = random.number(5, 60);
            stock[which] += count;
            (format!("{day}: {count} x {thing} delivered by {}.", random.choose(SURNAMES)), ())
        } else {
            let count = random.number(1, stock[which].min(40));
            stock[which] -= count;
            (format!("{day}: {count} x {thing} sold to {}.", random.choose(SURNAMES)), ())
        }
    });
    let which = random.below(things.len());
    let thing = things[which];
    let (mut delivered, mut sold) = (0, 0);
    for line in text.lines().filter(|line| line.contains(&format!(" x {thing} "))) {
        let (_, rest) = line.split_once(": ").context("a day")?;
        let (count, rest) = rest.split_once(" x ").context("a count")?;
        let count: i64 = count.parse()?;
        if rest.contains(" delivered ") {
            delivered += count;
        } else {
            sold += count;
        }
    }
    let left = agreed(stock[which], delivered - sold)?;
    let (question, answer) = random.choose([
        (format!("The store was empty at first. How many pieces of the article \"{thing}\" are left after the last line?"), left),
        (format!("How many pieces of the article \"{thing}\" were sold in all?"), sold),
        (format!("How many pieces of the article \"{thing}\" were delivered in all?"), delivered),
    ]);
    let task = about(random, text.trim_end(), &question);
    Ok(Draft::exact("stock books", task, answer, NUMBER))
}
