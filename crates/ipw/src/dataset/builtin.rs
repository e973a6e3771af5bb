//! The built-in dataset `ipw`: prompts of our own, embedded in the program, so that a first run needs
//! no download. What is in it, family by family, is in docs/datasets.md.

use super::jsonl::{self, Columns, ReadError};
use super::{Dataset, DatasetError, DatasetParams, DatasetProvider, check_parameters};

const ROWS: &[u8] = include_bytes!("../../data/ipw.jsonl");

/// The provider of `ipw`.
pub(super) struct Ipw;

impl DatasetProvider for Ipw {
    fn id(&self) -> &'static str {
        "ipw"
    }

    fn help(&self) -> &'static str {
        "built in: short and long prompts of sixteen kinds with references, scored without a judge"
    }

    fn load(&self, params: &DatasetParams) -> Result<Dataset, DatasetError> {
        check_parameters(self.id(), params, &[])?;
        let rows = jsonl::read(ROWS, &Columns::default()).map_err(|error| match error {
            ReadError::Io(source) => {
                DatasetError::Read { path: "the built-in dataset".to_owned(), source }
            }
            ReadError::Hopeless(row) => DatasetError::Empty {
                place: "the built-in dataset".to_owned(),
                first: format!("{}: {}", row.place, row.reason),
            },
        })?;
        Ok(Dataset {
            id: self.id().to_owned(),
            name: "Intelligence per Watt, built-in prompts".to_owned(),
            revision: rows.revision,
            samples: rows.samples,
            skipped: rows.skipped,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;

    use super::super::{Sample, Scoring};
    use super::*;
    use crate::evaluation::{Question, Verdict, evaluate};

    fn dataset() -> Dataset {
        Ipw.load(&DatasetParams::new()).unwrap()
    }

    fn question(sample: &Sample) -> Question<'_> {
        let Sample { scoring, answer: reference, metadata, .. } = sample;
        Question { scoring: *scoring, reference, metadata }
    }

    fn text<'a>(metadata: &'a serde_json::Map<String, Value>, key: &str) -> &'a str {
        metadata[key].as_str().unwrap()
    }

    /// The letters of the options that a prompt shows, one a line.
    fn options(problem: &str) -> Vec<char> {
        problem
            .lines()
            .filter_map(|line| {
                let (letter, option) = line.split_once(". ")?;
                let letter = letter.parse::<char>().ok()?;
                (letter.is_ascii_uppercase() && !option.is_empty()).then_some(letter)
            })
            .collect()
    }

    #[test]
    fn every_embedded_row_is_usable_and_there_are_at_least_120() {
        let dataset = dataset();
        assert_eq!(dataset.skipped, []);
        assert!(dataset.samples.len() >= 120, "{}", dataset.samples.len());
        assert!(dataset.revision.starts_with("sha256:") && dataset.revision.len() == 7 + 64);
    }

    #[test]
    fn ids_and_problems_are_unique_and_nothing_is_blank() {
        let dataset = dataset();
        let ids: BTreeSet<&str> =
            dataset.samples.iter().map(|sample| text(&sample.metadata, "id")).collect();
        let problems: BTreeSet<&str> =
            dataset.samples.iter().map(|sample| sample.problem.as_str()).collect();
        assert_eq!(ids.len(), dataset.samples.len());
        assert_eq!(problems.len(), dataset.samples.len());
        for sample in &dataset.samples {
            assert!(!sample.answer.trim().is_empty() && !sample.subject.trim().is_empty());
            assert!(text(&sample.metadata, "id").starts_with(text(&sample.metadata, "family")));
        }
    }

    #[test]
    fn a_reference_given_in_the_form_that_the_prompt_asks_for_is_correct() {
        for sample in dataset().samples {
            let id = text(&sample.metadata, "id");
            let response = match sample.scoring {
                Scoring::Letter => {
                    assert!(sample.problem.contains("The answer is (X)."), "{id}");
                    format!("Some thoughts first.\nThe answer is ({}).", sample.answer)
                }
                Scoring::Exact => {
                    assert!(sample.problem.contains("\"Answer: "), "{id}");
                    format!("Some thoughts first, 12 of them.\nAnswer: {}", sample.answer)
                }
                other => unreachable!("{id}: {other:?}"),
            };
            let evaluation = evaluate(question(&sample), &response);
            assert_eq!(evaluation.verdict, Verdict::Correct, "{id}: {evaluation:?}");
        }
    }

    #[test]
    fn the_reference_of_another_row_is_not_correct_for_this_one() {
        let samples = dataset().samples;
        for sample in samples.iter().filter(|sample| sample.scoring == Scoring::Exact) {
            // `3 Foundry Square` is taken for 3 of some unit, and meets the reference 3.
            let has_unit = |answer: &str| {
                answer.contains(' ') && answer.starts_with(|first: char| first.is_ascii_digit())
            };
            let others = samples.iter().filter(|other| {
                other.scoring == Scoring::Exact
                    && !other.answer.eq_ignore_ascii_case(&sample.answer)
                    && !has_unit(&other.answer)
            });
            for other in others {
                let response = format!("Answer: {}", other.answer);
                let evaluation = evaluate(question(sample), &response);
                assert_eq!(evaluation.verdict, Verdict::Incorrect, "{sample:?} {other:?}");
            }
        }
    }

    #[test]
    fn letters_lie_within_the_options_and_are_balanced() {
        let samples = dataset().samples;
        let mut counts: BTreeMap<char, usize> = BTreeMap::new();
        let mut most_options = 0;
        for sample in samples.iter().filter(|sample| sample.scoring == Scoring::Letter) {
            let letters = options(&sample.problem);
            assert!(letters.len() >= 4, "{}", sample.problem);
            assert_eq!(letters, ('A'..='J').take(letters.len()).collect::<Vec<_>>());
            let right: char = sample.answer.parse().unwrap();
            assert!(letters.contains(&right), "{}", sample.problem);
            *counts.entry(right).or_default() += 1;
            most_options = most_options.max(letters.len());
        }
        let of_four = ['A', 'B', 'C', 'D'].map(|letter| counts[&letter]);
        let (least, most) = (of_four.iter().min().unwrap(), of_four.iter().max().unwrap());
        assert!(most - least <= 2, "{counts:?}");
        assert_eq!(most_options, 10);
    }

    #[test]
    fn prompts_reach_from_a_few_tokens_to_about_a_thousand() {
        let mut lengths: Vec<usize> =
            dataset().samples.iter().map(|sample| sample.problem.chars().count()).collect();
        lengths.sort_unstable();
        // About four characters a token in prose, fewer in logs and tables.
        assert!(lengths[0] <= 40, "{lengths:?}");
        assert!((2_800..=4_500).contains(lengths.last().unwrap()), "{lengths:?}");
        assert!(lengths.iter().filter(|length| **length > 1_000).count() >= 10);
    }

    #[test]
    fn the_first_twenty_are_short_and_of_many_families() {
        let samples = dataset().samples;
        let first = &samples[..20];
        let families: BTreeSet<&str> =
            first.iter().map(|sample| text(&sample.metadata, "family")).collect();
        let all: BTreeSet<&str> =
            samples.iter().map(|sample| text(&sample.metadata, "family")).collect();
        assert!(families.len() >= 15, "{families:?}");
        assert_eq!(families, all);
        assert!(first.iter().all(|sample| sample.problem.chars().count() <= 300));
    }

    #[test]
    fn the_documentation_lists_every_family_with_its_size_and_scoring() {
        let documentation = include_str!("../../../../docs/datasets.md");
        let samples = dataset().samples;
        let mut families: BTreeMap<&str, (usize, BTreeSet<&str>)> = BTreeMap::new();
        for sample in &samples {
            let (count, scorings) = families.entry(text(&sample.metadata, "family")).or_default();
            *count += 1;
            scorings.insert(if sample.scoring == Scoring::Exact { "exact" } else { "letter" });
        }
        for (family, (count, scorings)) in families {
            let scorings = scorings.into_iter().collect::<Vec<_>>().join(", ");
            let listed = documentation.lines().any(|line| {
                line.starts_with(&format!("| {family} | {count} | "))
                    && line.ends_with(&format!(" | {scorings} |"))
            });
            assert!(listed, "{family}: {count}, {scorings}");
        }
        assert!(documentation.contains(&format!("\n{} prompts of our own", samples.len())));
    }
}
