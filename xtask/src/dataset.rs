//! `cargo xtask dataset`: the built-in dataset, from a seed.
//!
//! Its prompts are computed (`dataset/families`) or written by people (`xtask/data`). All that is
//! computed is checked a second time in another way; the first answer that fails its check ends the
//! work. The same seed gives the same bytes on every machine: no floating point, no hash order, no
//! clock.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::steps::{self, Steps};
use crate::workspace::Workspace;

mod arrange;
mod authored;
mod closing;
mod constraint;
mod draft;
mod families;
mod fraction;
mod prove;
mod random;
mod text;
mod words;

use arrange::Prompt;
use families::FAMILIES;
use random::Random;

/// What it is all drawn from.
const SEED: u64 = 1;
/// How many prompts there are.
const PROMPTS: usize = 1_000;
/// Those of them that people have written; there are more, and the seed draws.
const WRITTEN_PROMPTS: usize = 600;
/// A run without a judge scores at least the others.
const MOST_FOR_A_JUDGE: usize = 200;
/// The generated file.
const FILE: &str = "crates/ipw/data/ipw.jsonl";
/// The folder with what people have written.
const WRITTEN: &str = "xtask/data";

/// Generates the dataset and writes it, or says whether the file is what would be written.
///
/// # Errors
/// If an answer fails its check, a written prompt is malformed, or, when only checking, the file
/// differs.
pub(crate) fn run(workspace: &Workspace, only_check: bool) -> Result<()> {
    let prompts = prompts(&workspace.root)?;
    prove::all(workspace, prompts.iter().map(|prompt| &prompt.draft))?;
    let text = arrange::lines(SEED, &prompts)?;
    let file = workspace.root.join(FILE);
    if only_check {
        let there = fs::read_to_string(&file).with_context(|| format!("can't read {FILE}"))?;
        return compare(&there, &text);
    }
    fs::write(&file, &text).with_context(|| format!("can't write {FILE}"))?;
    steps::result(&summary(&prompts));
    Steps::start().announce(&format!("wrote {} prompts to {FILE}", prompts.len()));
    Ok(())
}

/// All prompts in their order.
fn prompts(root: &Path) -> Result<Vec<Prompt>> {
    let written = drawn(authored::read(&root.join(WRITTEN))?)?;
    let weights: Vec<usize> = FAMILIES.iter().map(|family| family.weight).collect();
    let mut families = Vec::new();
    for (family, share) in FAMILIES.iter().zip(arrange::shares(&weights, PROMPTS - WRITTEN_PROMPTS))
    {
        let taken = written.contains_key(family.name);
        ensure!(!taken, "{WRITTEN}/{}.jsonl: this family is computed", family.name);
        let mut drafts = family.drafts(SEED, share)?;
        for (index, draft) in drafts.iter_mut().enumerate() {
            closing::opened(
                draft,
                &mut Random::new(SEED, &format!("open {} {index}", family.name)),
            );
        }
        families.push(with_closings(family.name, drafts));
    }
    families.extend(written.into_iter().map(|(family, drafts)| with_closings(&family, drafts)));
    let prompts = arrange::ordered(SEED, families);
    check(&prompts)?;
    Ok(prompts)
}

/// Of what people have written, as many as are used: of each family in proportion to its size.
fn drawn(mut written: authored::Authored) -> Result<authored::Authored> {
    let sizes: Vec<usize> = written.values().map(Vec::len).collect();
    let count: usize = sizes.iter().sum();
    ensure!(
        count >= WRITTEN_PROMPTS,
        "{count} written prompts, of which {WRITTEN_PROMPTS} are used"
    );
    for ((family, drafts), share) in
        written.iter_mut().zip(arrange::shares(&sizes, WRITTEN_PROMPTS))
    {
        Random::new(SEED, &format!("draw {family}")).shuffle(drafts);
        drafts.truncate(share);
    }
    Ok(written)
}

fn with_closings(family: &str, drafts: Vec<draft::Draft>) -> Vec<Prompt> {
    let with = |(index, draft)| Prompt::new(SEED, family, index, draft);
    drafts.into_iter().enumerate().map(with).collect()
}

/// What the whole must be.
fn check(prompts: &[Prompt]) -> Result<()> {
    ensure!(prompts.len() == PROMPTS, "{} prompts", prompts.len());
    let mut tasks = BTreeSet::new();
    for prompt in prompts {
        ensure!(tasks.insert(&prompt.draft.task), "there twice: {}", prompt.draft.task);
    }
    let judged = prompts.iter().filter(|prompt| prompt.scoring() == "judge").count();
    ensure!(judged <= MOST_FOR_A_JUDGE, "{judged} prompts need a judge");
    Ok(())
}

fn compare(there: &str, generated: &str) -> Result<()> {
    if there == generated {
        return Ok(());
    }
    let same = there.lines().zip(generated.lines()).take_while(|(a, b)| a == b).count();
    bail!(
        "{FILE} is not what `cargo xtask dataset` generates, from line {} on; generate it again",
        same + 1
    )
}

/// A line for each family, as docs/datasets.md has them: name, prompts, scoring.
fn summary(prompts: &[Prompt]) -> String {
    let mut families: BTreeMap<&str, (usize, BTreeSet<&str>)> = BTreeMap::new();
    for prompt in prompts {
        let (count, scorings) = families.entry(&prompt.family).or_default();
        *count += 1;
        scorings.insert(prompt.scoring());
    }
    let lines = families.iter().map(|(family, (count, scorings))| {
        let scorings: Vec<&str> = scorings.iter().copied().collect();
        format!("| {family} | {count} | {} |", scorings.join(", "))
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_is_told_by_its_first_line_that_differs() {
        assert!(compare("a\nb\n", "a\nb\n").is_ok());
        let error = compare("a\nb\n", "a\nc\n").unwrap_err().to_string();
        assert!(error.contains("from line 2 on"), "{error}");
        assert!(compare("a\n", "a\nb\n").is_err());
    }
}
