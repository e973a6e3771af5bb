//! What follows from two statements about three kinds of things, found by looking at all worlds.

use anyhow::{Result, ensure};

use super::super::super::draft::{Draft, drawn};
use super::super::super::random::Random;

/// Kinds that nobody knows anything about.
const KINDS: [&str; 9] =
    ["blims", "zorks", "mips", "trands", "wugs", "daxes", "fleps", "quills of Orn", "norbs"];

/// A statement about the first and the second kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statement {
    All(usize, usize),
    No(usize, usize),
    Some(usize, usize),
    SomeNot(usize, usize),
}

/// Which of the eight combinations of three kinds exist, as bits.
type World = u32;

impl Statement {
    fn holds(self, world: World) -> bool {
        let exists = |wanted: &dyn Fn(u32) -> bool| {
            (0..8).any(|thing| world >> thing & 1 == 1 && wanted(thing))
        };
        let is = |thing: u32, kind: usize| thing >> kind & 1 == 1;
        match self {
            Self::All(a, b) => !exists(&|thing| is(thing, a) && !is(thing, b)),
            Self::No(a, b) => !exists(&|thing| is(thing, a) && is(thing, b)),
            Self::Some(a, b) => exists(&|thing| is(thing, a) && is(thing, b)),
            Self::SomeNot(a, b) => exists(&|thing| is(thing, a) && !is(thing, b)),
        }
    }

    fn told(self, kinds: &[&str]) -> String {
        match self {
            Self::All(a, b) => format!("All {} are {}.", kinds[a], kinds[b]),
            Self::No(a, b) => format!("No {} are {}.", kinds[a], kinds[b]),
            Self::Some(a, b) => format!("Some {} are {}.", kinds[a], kinds[b]),
            Self::SomeNot(a, b) => format!("Some {} are not {}.", kinds[a], kinds[b]),
        }
    }

    fn about(a: usize, b: usize) -> [Self; 4] {
        [Self::All(a, b), Self::No(a, b), Self::Some(a, b), Self::SomeNot(a, b)]
    }
}

/// Worlds in which there is something of every kind: there "all" implies "some".
fn is_peopled(world: World) -> bool {
    (0..3).all(|kind| (0..8).any(|thing| world >> thing & 1 == 1 && thing >> kind & 1 == 1))
}

fn follows(premises: &[Statement], conclusion: Statement, among: impl Fn(World) -> bool) -> bool {
    (0..256)
        .filter(|world| among(*world) && premises.iter().all(|premise| premise.holds(*world)))
        .all(|world| conclusion.holds(world))
}

/// Two premises and four conclusions of which one must be true.
pub(super) fn puzzle(random: &mut Random) -> Result<Draft> {
    let (premises, options) = drawn(random, |random| {
        let mut pair = |a, b| {
            let (a, b) = if random.percent(50) { (a, b) } else { (b, a) };
            random.choose(Statement::about(a, b))
        };
        let premises = [pair(0, 1), pair(1, 2)];
        let possible =
            (0..256).any(|world| is_peopled(world) && premises.iter().all(|one| one.holds(world)));
        let conclusions: Vec<Statement> = [Statement::about(0, 2), Statement::about(2, 0)].concat();
        // The right one follows even if a kind may be empty, the wrong ones not even if none is.
        let right = conclusions.iter().copied().find(|one| follows(&premises, *one, |_| true))?;
        let mut wrong: Vec<Statement> =
            conclusions.into_iter().filter(|one| !follows(&premises, *one, is_peopled)).collect();
        random.shuffle(&mut wrong);
        wrong.truncate(3);
        (possible && wrong.len() == 3).then(|| (premises, [vec![right], wrong].concat()))
    })?;
    let right = options.iter().filter(|one| follows(&premises, **one, is_peopled)).count();
    ensure!(right == 1, "{right} options follow");
    let kinds = random.sample(&KINDS, 3);
    let told: Vec<String> = options.iter().map(|one| one.told(&kinds)).collect();
    let [first, second] = premises.map(|one| one.told(&kinds));
    let task = random.choose([
        format!("{first} {second} Which statement must be true?"),
        format!("Suppose that the following is true: {first} {second}\nWhat follows from it?"),
        format!("1. {first}\n2. {second}\n\nWhich conclusion is certain?"),
    ]);
    Ok(Draft::choice("syllogisms", task, told))
}
