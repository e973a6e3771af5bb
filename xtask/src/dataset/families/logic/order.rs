//! Who comes where: an order that only one arrangement fits.

use anyhow::Result;

use super::super::super::draft::{Draft, agreed, drawn, only};
use super::super::super::random::Random;
use super::super::super::text::listed;
use super::super::super::words::NAMES;
use super::{permutations, sufficient};

/// How one speaks of an order; `{a}` and `{b}` stand for people, `{p}` for a place in it, `{n}` for
/// the number of places.
pub(super) struct Theme {
    opening: &'static str,
    before: &'static str,
    directly_before: &'static str,
    neighbours: &'static str,
    at: &'static str,
    not_at: &'static str,
    ask_who: &'static str,
    ask_all: &'static str,
    places: [&'static str; 6],
}

pub(super) const RACE: Theme = Theme {
    opening: "{names} ran a race, and no two arrived together.",
    before: "{a} arrived before {b}.",
    directly_before: "{a} arrived directly before {b}.",
    neighbours: "{a} and {b} arrived one right after the other, in one order or the other.",
    at: "{a} came {p}.",
    not_at: "{a} did not come {p}.",
    ask_who: "Who came {p}?",
    ask_all: "In which order did they arrive, from first to last?",
    places: ["first", "second", "third", "fourth", "fifth", "sixth"],
};

pub(super) const HEIGHTS: Theme = Theme {
    opening: "{names} all have different heights.",
    before: "{a} is taller than {b}.",
    directly_before: "{a} is taller than {b}, and nobody's height is between theirs.",
    neighbours: "Nobody's height lies between those of {a} and {b}.",
    at: "{a} is the {p}.",
    not_at: "{a} is not the {p}.",
    ask_who: "Who is the {p}?",
    ask_all: "What is the order from the tallest to the shortest?",
    places: [
        "tallest",
        "second tallest",
        "third tallest",
        "fourth tallest",
        "fifth tallest",
        "sixth tallest",
    ],
};

pub(super) const SEATS: Theme = Theme {
    opening: "{names} sit side by side on {n} seats, numbered 1 to {n} from left to right.",
    before: "{a} sits somewhere to the left of {b}.",
    directly_before: "{a} sits directly to the left of {b}.",
    neighbours: "{a} and {b} are neighbours.",
    at: "{a} sits on seat {p}.",
    not_at: "{a} does not sit on seat {p}.",
    ask_who: "Who sits on seat {p}?",
    ask_all: "Who sits where, from seat 1 to seat {n}?",
    places: ["1", "2", "3", "4", "5", "6"],
};

pub(super) const FLOORS: Theme = Theme {
    opening: "{names} live in a house with {n} floors, one on each floor; floor 1 is the lowest.",
    before: "{a} lives somewhere below {b}.",
    directly_before: "{a} lives on the floor right below {b}.",
    neighbours: "{a} and {b} live on floors next to each other.",
    at: "{a} lives on floor {p}.",
    not_at: "{a} does not live on floor {p}.",
    ask_who: "Who lives on floor {p}?",
    ask_all: "Who lives on which floor, from floor 1 upwards?",
    places: ["1", "2", "3", "4", "5", "6"],
};

pub(super) const TALKS: Theme = Theme {
    opening: "{names} give one talk each, on {n} days in a row from Monday on, one talk a day.",
    before: "{a} speaks on an earlier day than {b}.",
    directly_before: "{a} speaks on the day before {b}.",
    neighbours: "{a} and {b} speak on consecutive days.",
    at: "{a} speaks on {p}.",
    not_at: "{a} does not speak on {p}.",
    ask_who: "Who speaks on {p}?",
    ask_all: "In which order do they speak, from Monday on?",
    places: ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"],
};

/// What is said about people and their places.
#[derive(Debug, Clone)]
enum Clue {
    Before(usize, usize),
    DirectlyBefore(usize, usize),
    Neighbours(usize, usize),
    At(usize, usize),
    NotAt(usize, usize),
}

impl Clue {
    /// `places` has each person's place.
    fn holds(&self, places: &[usize]) -> bool {
        match *self {
            Self::Before(a, b) => places[a] < places[b],
            Self::DirectlyBefore(a, b) => places[a] + 1 == places[b],
            Self::Neighbours(a, b) => places[a].abs_diff(places[b]) == 1,
            Self::At(a, place) => places[a] == place,
            Self::NotAt(a, place) => places[a] != place,
        }
    }

    fn told(&self, theme: &Theme, names: &[&str]) -> String {
        let pair =
            |text: &str, a: usize, b: usize| text.replace("{a}", names[a]).replace("{b}", names[b]);
        let place = |text: &str, a: usize, place: usize| {
            text.replace("{a}", names[a]).replace("{p}", theme.places[place])
        };
        match *self {
            Self::Before(a, b) => pair(theme.before, a, b),
            Self::DirectlyBefore(a, b) => pair(theme.directly_before, a, b),
            Self::Neighbours(a, b) => pair(theme.neighbours, a, b),
            Self::At(a, at) => place(theme.at, a, at),
            Self::NotAt(a, at) => place(theme.not_at, a, at),
        }
    }

    /// All that is true, the telling ones less often, so that a puzzle isn't a list of places.
    fn all_true(random: &mut Random, places: &[usize]) -> Vec<Self> {
        let count = places.len();
        let pairs = || (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
        let mut clues: Vec<Self> = pairs().map(|(a, b)| Self::Before(a, b)).collect();
        clues.extend(pairs().map(|(a, b)| Self::NotAt(a, b)));
        let rare = pairs().flat_map(|(a, b)| {
            [Self::DirectlyBefore(a, b), Self::Neighbours(a, b), Self::At(a, b)]
        });
        clues.extend(rare.filter(|_| random.percent(35)));
        clues.retain(|clue| clue.holds(places));
        random.shuffle(&mut clues);
        clues
    }
}

/// A puzzle of three to six people.
pub(super) fn puzzle(random: &mut Random, theme: &Theme) -> Result<Draft> {
    let count = random.choose([3, 3, 4, 4, 5, 5, 6]);
    let mut names = random.sample(&NAMES, count);
    names.sort_unstable();
    let cases = permutations(count);
    let (clues, places, asked) = drawn(random, |random| {
        let places = cases[random.below(cases.len())].clone();
        let clues = Clue::all_true(random, &places);
        let clues = sufficient(&clues, &cases, |clue, places| clue.holds(places))?;
        let asked = random.below(count);
        let said = clues.iter().any(|clue| matches!(clue, Clue::At(_, place) if *place == asked));
        (!said && clues.len() >= 2).then_some((clues, places, asked))
    })?;
    let found = only(cases.iter().filter(|case| clues.iter().all(|clue| clue.holds(case))))?;
    agreed(&places, found)?;
    let said: Vec<String> = clues.iter().map(|clue| clue.told(theme, &names)).collect();
    let filled = |text: &str| {
        text.replace("{names}", &listed(&names))
            .replace("{n}", &count.to_string())
            .replace("{p}", theme.places[asked])
    };
    let name_at = |place: usize| {
        let at = places.iter().position(|other| *other == place);
        at.map_or("", |at| names[at])
    };
    let opening = filled(theme.opening);
    let story = if random.percent(50) {
        format!("{opening} {}", said.join(" "))
    } else {
        format!("{opening}\n\n- {}\n\n", said.join("\n- "))
    };
    let space = if story.ends_with('\n') { "" } else { " " };
    if count > 3 && random.percent(30) {
        let all: Vec<&str> = (0..count).map(name_at).collect();
        let task = format!("{story}{space}{}", filled(theme.ask_all));
        let form = "the names in this order, separated by commas";
        return Ok(Draft::exact("ordering puzzles", task, all.join(", "), form));
    }
    let task = format!("{story}{space}{}", filled(theme.ask_who));
    Ok(Draft::exact("ordering puzzles", task, name_at(asked), "the name alone"))
}
