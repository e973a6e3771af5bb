//! The families whose prompts are computed, each in its own file.
//!
//! A family is a list of templates that take turns. Each prompt has its own stream of chance, so that
//! more prompts of a family leave those that there are as they were.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};

use super::draft::{Draft, Key};
use super::random::Random;

mod algebra;
mod arithmetic;
mod code_output;
mod dates;
mod formats;
mod geometry;
mod instructions;
mod lists;
mod logic;
mod long_context;
mod probability;
mod sequences;
mod sql;
mod strings;
mod tables;
mod truth_tellers;
mod units;
mod word_problems;

/// How often a prompt is made anew when it came out as one that there is.
const MOST_ATTEMPTS: usize = 200;

/// Makes one prompt.
type Template = fn(&mut Random) -> Result<Draft>;

/// A kind of prompt.
pub(super) struct Family {
    pub(super) name: &'static str,
    /// Its share of the computed prompts.
    pub(super) weight: usize,
    templates: &'static [Template],
}

/// All computed families.
pub(super) const FAMILIES: [&Family; 18] = [
    &arithmetic::FAMILY,
    &algebra::FAMILY,
    &word_problems::FAMILY,
    &units::FAMILY,
    &dates::FAMILY,
    &sequences::FAMILY,
    &geometry::FAMILY,
    &probability::FAMILY,
    &logic::FAMILY,
    &truth_tellers::FAMILY,
    &tables::FAMILY,
    &code_output::FAMILY,
    &sql::FAMILY,
    &strings::FAMILY,
    &lists::FAMILY,
    &formats::FAMILY,
    &instructions::FAMILY,
    &long_context::FAMILY,
];

impl Family {
    /// So many different prompts.
    ///
    /// # Errors
    /// If a prompt's answer fails its check, or a template has no more prompts.
    pub(super) fn drafts(&self, seed: u64, count: usize) -> Result<Vec<Draft>> {
        let mut seen = BTreeSet::new();
        let mut drafts = Vec::new();
        for index in 0..count {
            let draft = self
                .draft(seed, index, &seen)
                .with_context(|| format!("{}, prompt {index}", self.name))?;
            seen.insert(draft.task.clone());
            drafts.push(draft);
        }
        Ok(drafts)
    }

    fn draft(&self, seed: u64, index: usize, seen: &BTreeSet<String>) -> Result<Draft> {
        let number = index % self.templates.len();
        for attempt in 0..MOST_ATTEMPTS {
            let mut random = Random::new(seed, &format!("{} {index} {attempt}", self.name));
            let draft = self.templates[number](&mut random)
                .with_context(|| format!("template {number}"))?;
            check(&draft).with_context(|| format!("template {number}: {}", draft.task))?;
            if !seen.contains(&draft.task) {
                return Ok(draft);
            }
        }
        bail!("template {number} has no more different prompts")
    }
}

/// What must be so whatever the family.
fn check(draft: &Draft) -> Result<()> {
    match &draft.key {
        Key::Constraints { rules, sample } => {
            for rule in rules {
                anyhow::ensure!(rule.holds(sample), "the sample breaks {rule:?}:\n{sample}");
            }
        }
        Key::Exact { answer, form } => {
            let fits = !answer.trim().is_empty() && answer.trim() == answer;
            anyhow::ensure!(fits && !answer.contains('\n'), "{answer:?} is no short answer");
            anyhow::ensure!(!form.is_empty(), "the answer's form isn't said");
        }
        Key::Choice { options } => {
            let different: BTreeSet<&String> = options.iter().collect();
            anyhow::ensure!(different.len() == options.len(), "an option is there twice");
            anyhow::ensure!((4..=10).contains(&options.len()), "4 to 10 options are allowed");
        }
        Key::Judge { .. } => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_prompts_of_a_family_leave_the_first_ones_as_they_are() {
        for family in FAMILIES {
            let few = family.drafts(1, 4).unwrap();
            let more = family.drafts(1, 6).unwrap();
            for (one, other) in few.iter().zip(&more) {
                assert_eq!(one.task, other.task, "{}", family.name);
            }
        }
    }

    #[test]
    fn every_family_has_at_least_five_templates_and_other_prompts_for_another_seed() {
        for family in FAMILIES {
            assert!(family.templates.len() >= 5, "{}", family.name);
            let tasks = |seed| -> Vec<String> {
                family.drafts(seed, 5).unwrap().into_iter().map(|draft| draft.task).collect()
            };
            assert_ne!(tasks(1), tasks(2), "{}", family.name);
        }
    }

    #[test]
    fn a_prompt_whose_sample_breaks_a_rule_or_whose_answer_has_lines_is_refused() {
        use super::super::constraint::{Constraint, Unit};
        let rules = vec![Constraint::exactly(Unit::Words, 2)];
        assert!(check(&Draft::constrained("x", "Two words.", rules, "only")).is_err());
        assert!(check(&Draft::exact("x", "Lines?", "a\nb", "a word")).is_err());
        let twice = ["a", "b", "b", "c"].map(str::to_owned).to_vec();
        assert!(check(&Draft::choice("x", "Which?", twice)).is_err());
    }
}
