//! People who always or never tell the truth; only one combination of them fits what they say.

use anyhow::{Result, ensure};

use super::super::draft::{Draft, drawn, only};
use super::super::random::Random;
use super::super::text::{joined, listed};
use super::super::words::{COLOURS, NAMES};
use super::Family;

pub(super) const FAMILY: Family = Family {
    name: "truth_tellers",
    weight: 15,
    templates: &[
        |random| island(random, 2),
        culprit,
        |random| island(random, 3),
        boxes,
        head_count,
        |random| island(random, 4),
    ],
};

/// What somebody says; people by their numbers.
#[derive(Debug, Clone, Copy)]
enum Claim {
    Liar(usize),
    Honest(usize),
    Same(usize, usize),
    Different(usize, usize),
    Liars(usize),
    AtLeastLiars(usize),
}

impl Claim {
    /// `honest` says of each whether they tell the truth.
    fn is_true(self, honest: &[bool]) -> bool {
        let liars = honest.iter().filter(|honest| !**honest).count();
        match self {
            Self::Liar(who) => !honest[who],
            Self::Honest(who) => honest[who],
            Self::Same(a, b) => honest[a] == honest[b],
            Self::Different(a, b) => honest[a] != honest[b],
            Self::Liars(count) => liars == count,
            Self::AtLeastLiars(count) => liars >= count,
        }
    }

    fn drawn(random: &mut Random, speaker: usize, count: usize) -> Self {
        let others: Vec<usize> = (0..count).filter(|other| *other != speaker).collect();
        let other = random.choose(&others);
        // With two people, "the two" would be both.
        let third = random.choose(&others);
        match random.below(6) {
            0 => Self::Liar(other),
            1 => Self::Honest(other),
            2 if third != other => Self::Same(other, third),
            3 if third != other => Self::Different(other, third),
            4 => Self::Liars(random.size(1, count)),
            5 => Self::AtLeastLiars(random.size(1, count - 1)),
            2 => Self::Same(speaker, other),
            _ => Self::Different(speaker, other),
        }
    }

    fn told(self, speaker: usize, names: &[&str]) -> String {
        let pair = |a: usize, b: usize| {
            let name = |who: usize| if who == speaker { "I" } else { names[who] };
            if a == speaker {
                format!("{} and {}", name(b), name(a))
            } else {
                format!("{} and {}", name(a), name(b))
            }
        };
        let people = |count: usize| {
            if count == 1 {
                "one of us is a liar".to_owned()
            } else {
                format!("{count} of us are liars")
            }
        };
        match self {
            Self::Liar(who) => format!("{} is a liar.", names[who]),
            Self::Honest(who) => format!("{} tells the truth.", names[who]),
            Self::Same(a, b) => format!("{} are of the same kind.", pair(a, b)),
            Self::Different(a, b) => format!("{} are of different kinds.", pair(a, b)),
            Self::Liars(count) => format!("Exactly {}.", people(count)),
            Self::AtLeastLiars(count) => format!("At least {}.", people(count)),
        }
    }
}

/// All ways in which so many people can be honest.
fn worlds(count: usize) -> Vec<Vec<bool>> {
    (0_u32..1 << count).map(|bits| (0..count).map(|at| bits >> at & 1 == 1).collect()).collect()
}

fn consistent(claims: &[Claim]) -> Vec<Vec<bool>> {
    let mut found = worlds(claims.len());
    found
        .retain(|honest| claims.iter().zip(honest).all(|(claim, is)| claim.is_true(honest) == *is));
    found
}

fn island(random: &mut Random, count: usize) -> Result<Draft> {
    let claims = drawn(random, |random| {
        let claims: Vec<Claim> = (0..count).map(|who| Claim::drawn(random, who, count)).collect();
        (consistent(&claims).len() == 1).then_some(claims)
    })?;
    let honest = only(consistent(&claims))?;
    let mut names = random.sample(&NAMES, count);
    names.sort_unstable();
    let said: Vec<String> = (0..count)
        .map(|who| format!("{} says: \"{}\"", names[who], claims[who].told(who, &names)))
        .collect();
    let opening = random.choose([
        format!(
            "On an island everybody either always tells the truth or always lies. You meet {}.",
            listed(&names)
        ),
        format!(
            "Each of {} is either a truth-teller, who never lies, or a liar, who always lies.",
            listed(&names)
        ),
    ]);
    let story = format!("{opening} {}", said.join(" "));
    let of = |kind: bool| -> Vec<&str> {
        (0..count).filter(|who| honest[*who] == kind).map(|who| names[who]).collect()
    };
    let (truthful, liars) = (of(true), of(false));
    let who = random.below(count);
    let kind = if honest[who] { "truth-teller" } else { "liar" };
    if random.percent(35) {
        let task = format!("{story} What is {}, a truth-teller or a liar?", names[who]);
        return Ok(Draft::exact("truth-tellers and liars", task, kind, "truth-teller or liar"));
    }
    let (task, answer, form) = match (truthful.as_slice(), liars.as_slice()) {
        ([one], _) => (
            format!("{story} Only one of them tells the truth. Who?"),
            (*one).to_owned(),
            "the name alone",
        ),
        (_, [one]) => {
            (format!("{story} Who is the only liar?"), (*one).to_owned(), "the name alone")
        }
        (_, []) => {
            (format!("{story} How many of them are liars?"), "0".to_owned(), "the number alone")
        }
        _ => (
            format!("{story} Who are the liars?"),
            joined(&liars),
            "the names in alphabetical order, separated by commas",
        ),
    };
    Ok(Draft::exact("truth-tellers and liars", task, answer, form))
}

fn culprit(random: &mut Random) -> Result<Draft> {
    let count = random.size(3, 4);
    let mut names = random.sample(&NAMES, count);
    names.sort_unstable();
    let true_ones = random.size(1, 2);
    // Each says that some person did it, or didn't.
    let (claims, did_it) = drawn(random, |random| {
        let claims: Vec<(usize, bool)> =
            (0..count).map(|_| (random.below(count), random.percent(50))).collect();
        let fits = |culprit: &usize| {
            claims.iter().filter(|(who, guilty)| (who == culprit) == *guilty).count() == true_ones
        };
        let found: Vec<usize> = (0..count).filter(fits).collect();
        (found.len() == 1).then(|| (claims.clone(), found[0]))
    })?;
    let thing = random.choose([
        "broke the vase",
        "ate the last biscuit",
        "took the key",
        "left the window open",
    ]);
    let said: Vec<String> = claims
        .iter()
        .enumerate()
        .map(|(speaker, (who, guilty))| {
            let text = match (speaker == *who, guilty) {
                (true, true) => "It was me.".to_owned(),
                (true, false) => "It wasn't me.".to_owned(),
                (false, true) => format!("It was {}.", names[*who]),
                (false, false) => format!("It wasn't {}.", names[*who]),
            };
            format!("{}: \"{text}\"", names[speaker])
        })
        .collect();
    let how_many = if true_ones == 1 {
        "Exactly one of these statements is true"
    } else {
        "Exactly two of these statements are true"
    };
    let task = random.choose([
        format!(
            "One of {} {thing}. They say:\n\n{}\n\n{how_many}. Who did it?",
            listed(&names),
            said.join("\n")
        ),
        format!(
            "Somebody {thing}; it was one of {}. {} {how_many}. Who was it?",
            listed(&names),
            said.join(" ")
        ),
    ]);
    Ok(Draft::exact("who did it", task, names[did_it], "the name alone"))
}

fn boxes(random: &mut Random) -> Result<Draft> {
    let count = random.size(3, 4);
    let colours = random.sample(&COLOURS, count);
    let all_but_one = random.percent(30);
    let true_ones = if all_but_one { count - 1 } else { 1 };
    let (labels, place) = drawn(random, |random| {
        let labels: Vec<(usize, bool)> =
            (0..count).map(|_| (random.below(count), random.percent(50))).collect();
        let fits = |place: &usize| {
            labels.iter().filter(|(at, here)| (at == place) == *here).count() == true_ones
        };
        let found: Vec<usize> = (0..count).filter(fits).collect();
        (found.len() == 1).then(|| (labels.clone(), found[0]))
    })?;
    let said: Vec<String> = labels
        .iter()
        .enumerate()
        .map(|(own, (at, here))| {
            let place = if own == *at {
                "this box".to_owned()
            } else {
                format!("the {} box", colours[*at])
            };
            let is = if *here { "is" } else { "is not" };
            format!("The {} box says: \"The coin {is} in {place}.\"", colours[own])
        })
        .collect();
    let how_many = if all_but_one {
        "Exactly one of the labels is false"
    } else {
        "Exactly one of the labels is true"
    };
    let task = format!(
        "A coin lies in one of {count} boxes, and each box has a label.\n\n{}\n\n{how_many}. In which box is the coin?",
        said.join("\n")
    );
    Ok(Draft::exact("boxes", task, colours[place], "the colour of the box"))
}

fn head_count(random: &mut Random) -> Result<Draft> {
    let count = random.size(3, 7);
    let exactly = random.percent(50);
    let claims: Vec<Claim> = (1..=count)
        .map(|liars| if exactly { Claim::Liars(liars) } else { Claim::AtLeastLiars(liars) })
        .collect();
    let found = consistent(&claims);
    // An even number is needed where the claims are "at least"; take one person fewer otherwise.
    let claims = if found.len() == 1 { claims } else { claims[..count - 1].to_vec() };
    let honest = only(consistent(&claims))?;
    let liars = honest.iter().filter(|honest| !**honest).count();
    let total = claims.len();
    ensure!(liars < total || !exactly, "somebody is right about the number");
    let word = if exactly { "Exactly" } else { "At least" };
    let line = random.choose(["stand in a line", "sit around a table", "wait at a counter"]);
    let story = format!(
        "{total} people {line}; each either always tells the truth or always lies. The first says: \"{word} 1 of us is a liar.\" The second says: \"{word} 2 of us are liars.\" And so on, up to the last, who says: \"{word} {total} of us are liars.\""
    );
    let (task, answer) = random.choose([
        (format!("{story} How many of them are liars?"), liars),
        (format!("{story} How many tell the truth?"), total - liars),
    ]);
    Ok(Draft::exact("counting liars", task, answer, "the number alone"))
}
