//! The built-in dataset `ipw`: prompts of our own, embedded in the program, so that a first run needs
//! no download. What is in it, family by family, is in docs/datasets.md; `cargo xtask dataset` makes it.

use async_trait::async_trait;

use super::choice::{self, Choice};
use super::rows::{Columns, Rows};
use super::{
    Dataset, DatasetError, DatasetParams, DatasetProvider, Request, check_parameters, jsonl,
};

const ROWS: &[u8] = include_bytes!("../../data/ipw.jsonl");

/// The provider of `ipw`.
pub(super) struct Ipw;

#[async_trait]
impl DatasetProvider for Ipw {
    fn id(&self) -> &'static str {
        "ipw"
    }

    fn help(&self) -> &'static str {
        "built in: 1,000 short and long prompts of many kinds, four in five scored without a judge"
    }

    async fn load(&self, request: &Request<'_>) -> Result<Dataset, DatasetError> {
        read(request.params)
    }
}

fn read(params: &DatasetParams) -> Result<Dataset, DatasetError> {
    check_parameters(Ipw.id(), params, &choice::PARAMETERS)?;
    let choice = Choice::from(params)?;
    let columns = Columns::default();
    let convert = |index, fields| columns.sample(index, fields);
    let mut rows = Rows::new(&convert);
    let revision =
        jsonl::read(ROWS, &mut rows).map_err(|error| error.of("the built-in dataset"))?;
    Ok(Dataset {
        id: Ipw.id().to_owned(),
        name: "Intelligence per Watt, built-in prompts".to_owned(),
        revision,
        samples: choice.of(rows.samples),
        skipped: rows.skipped,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;

    use super::super::{Sample, Scoring};
    use super::*;
    use crate::evaluation::{Question, Verdict, evaluate};

    fn dataset() -> Dataset {
        read(&DatasetParams::new()).unwrap()
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

    fn family(sample: &Sample) -> &str {
        text(&sample.metadata, "family")
    }

    /// What an answer is worth as a number, fractions among them.
    fn value(answer: &str) -> Option<f64> {
        match answer.split_once('/') {
            Some((numerator, denominator)) => {
                Some(numerator.parse::<f64>().ok()? / denominator.parse::<f64>().ok()?)
            }
            None => answer.parse().ok(),
        }
    }

    #[test]
    fn every_embedded_row_is_usable_and_there_are_a_thousand_of_many_families() {
        let dataset = dataset();
        assert_eq!(dataset.skipped, []);
        assert_eq!(dataset.samples.len(), 1_000);
        let families: BTreeSet<&str> = dataset.samples.iter().map(family).collect();
        assert!(families.len() >= 25, "{families:?}");
        assert!(dataset.revision.starts_with("sha256:") && dataset.revision.len() == 7 + 64);
    }

    #[test]
    fn at_least_four_in_five_are_scored_without_a_judge() {
        let samples = dataset().samples;
        let judged = samples.iter().filter(|sample| sample.scoring == Scoring::Judge).count();
        assert!((1..=200).contains(&judged), "{judged}");
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
            assert!(text(&sample.metadata, "id").starts_with(family(sample)));
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
                Scoring::Constraints | Scoring::Judge => continue,
                other => unreachable!("{id}: {other:?}"),
            };
            let evaluation = evaluate(question(&sample), &response);
            assert_eq!(evaluation.verdict, Verdict::Correct, "{id}: {evaluation:?}");
        }
    }

    #[test]
    fn the_reference_of_another_row_of_the_family_is_not_correct_for_this_one() {
        let samples = dataset().samples;
        for sample in samples.iter().filter(|sample| sample.scoring == Scoring::Exact) {
            // `3 Foundry Square` is taken for 3 of some unit, and meets the reference 3.
            let has_unit = |answer: &str| {
                answer.contains(' ') && answer.starts_with(|first: char| first.is_ascii_digit())
            };
            let same = |other: &Sample| {
                other.answer.eq_ignore_ascii_case(&sample.answer)
                    || value(&sample.answer).is_some_and(|it| value(&other.answer) == Some(it))
            };
            let others = samples.iter().filter(|other| {
                other.scoring == Scoring::Exact
                    && family(other) == family(sample)
                    && !same(other)
                    && !has_unit(&other.answer)
            });
            for other in others {
                let response = format!("Answer: {}", other.answer);
                let evaluation = evaluate(question(sample), &response);
                assert_eq!(evaluation.verdict, Verdict::Incorrect, "{sample:?} {other:?}");
            }
        }
    }

    /// Whether a rule is of a known kind and has what that kind needs, and nothing else.
    fn is_well_formed(rule: &Value) -> bool {
        let rule = rule.as_object().unwrap();
        let has = |name: &str, is: fn(&Value) -> bool| rule.get(name).is_some_and(is);
        let bound = |name: &str| has(name, Value::is_u64);
        let words = has("text", |text| text.as_str().is_some_and(|text| !text.is_empty()));
        let bounds = usize::from(bound("min")) + usize::from(bound("max"));
        let ordered = rule
            .get("min")
            .is_none_or(|min| rule.get("max").is_none_or(|max| min.as_u64() <= max.as_u64()));
        let (fits, fields) = match text(rule, "kind") {
            "words" | "sentences" | "lines" | "paragraphs" | "characters" | "bullets"
            | "numbered" | "line_words" | "json_array" => (bounds >= 1, bounds),
            "contains" => (words, 1 + bounds),
            "excludes" | "starts_with" | "ends_with" | "acrostic" => (words, 1),
            "excludes_character" => (text(rule, "text").chars().count() == 1, 1),
            "case" => (matches!(text(rule, "text"), "upper" | "lower"), 1),
            "sorted" => (true, 0),
            "json_keys" => (has("keys", |keys| keys.as_array().is_some_and(|k| !k.is_empty())), 1),
            _ => (false, 0),
        };
        fits && ordered && rule.len() == 1 + fields
    }

    #[test]
    fn rows_scored_by_constraints_have_well_formed_ones_and_no_other_row_has_any() {
        let mut kinds = BTreeSet::new();
        for sample in dataset().samples {
            let constraints = sample.metadata.get("constraints").and_then(Value::as_array);
            assert_eq!(constraints.is_some(), sample.scoring == Scoring::Constraints);
            for rule in constraints.into_iter().flatten() {
                assert!(is_well_formed(rule), "{rule}");
                kinds.insert(rule["kind"].as_str().unwrap().to_owned());
            }
            assert!(constraints.is_none_or(|rules| !rules.is_empty()), "{sample:?}");
        }
        assert!(kinds.len() >= 15, "{kinds:?}");
    }

    #[test]
    fn letters_lie_within_the_options_and_are_balanced() {
        let samples = dataset().samples;
        let mut counts: BTreeMap<usize, BTreeMap<char, usize>> = BTreeMap::new();
        for sample in samples.iter().filter(|sample| sample.scoring == Scoring::Letter) {
            let letters = options(&sample.problem);
            assert!((4..=10).contains(&letters.len()), "{}", sample.problem);
            assert_eq!(letters, ('A'..='J').take(letters.len()).collect::<Vec<_>>());
            let right: char = sample.answer.parse().unwrap();
            assert!(letters.contains(&right), "{}", sample.problem);
            *counts.entry(letters.len()).or_default().entry(right).or_default() += 1;
        }
        for (options, right) in &counts {
            let (least, most) = (right.values().min().unwrap(), right.values().max().unwrap());
            let least = if right.len() < *options { 0 } else { *least };
            assert!(most - least <= 1, "of {options} options: {right:?}");
        }
    }

    #[test]
    fn prompts_reach_from_a_few_tokens_to_about_three_thousand() {
        let mut lengths: Vec<usize> =
            dataset().samples.iter().map(|sample| sample.problem.chars().count()).collect();
        lengths.sort_unstable();
        // About four characters a token in prose, fewer in logs and tables.
        assert!(lengths[0] <= 48, "{lengths:?}");
        assert!((9_000..=12_500).contains(lengths.last().unwrap()), "{lengths:?}");
        assert!(lengths.iter().filter(|length| **length > 4_000).count() >= 30);
        assert!(lengths.iter().filter(|length| **length > 7_000).count() >= 6);
    }

    #[test]
    fn the_first_ones_are_short_and_of_many_families_and_a_run_of_twenty_needs_no_judge() {
        let samples = dataset().samples;
        let first = &samples[..35];
        let families: BTreeSet<&str> = first.iter().map(family).collect();
        assert!(families.len() >= 27, "{families:?}");
        assert!(first.iter().all(|sample| sample.problem.chars().count() < 400));
        assert!(first[..20].iter().all(|sample| sample.scoring != Scoring::Judge));
    }

    #[test]
    fn any_first_ones_are_a_fair_mixture() {
        let samples = dataset().samples;
        let count = |samples: &[Sample], name: &str| {
            samples.iter().filter(|sample| family(sample) == name).count() as f64
        };
        for name in samples.iter().map(family).collect::<BTreeSet<_>>() {
            for end in [100, 200, 500] {
                let fair = count(&samples, name) * end as f64 / samples.len() as f64;
                let found = count(&samples[..end], name);
                assert!((found - fair).abs() <= 3.0, "{name}: {found} of the first {end}");
            }
        }
    }

    #[test]
    fn the_documentation_lists_every_family_with_its_size_and_scoring() {
        let documentation = include_str!("../../../../docs/datasets.md");
        let samples = dataset().samples;
        let mut families: BTreeMap<&str, (usize, BTreeSet<String>)> = BTreeMap::new();
        for sample in &samples {
            let (count, scorings) = families.entry(family(sample)).or_default();
            *count += 1;
            scorings
                .insert(serde_json::to_value(sample.scoring).unwrap().as_str().unwrap().to_owned());
        }
        for (family, (count, scorings)) in families {
            let scorings = scorings.into_iter().collect::<Vec<_>>().join(", ");
            let count = count.to_string();
            let listed = documentation.lines().any(|line| {
                let cells: Vec<&str> = line.split('|').map(str::trim).collect();
                matches!(cells.as_slice(), ["", name, prompts, _, scoring, ..]
                    if (*name, *prompts, *scoring) == (family, count.as_str(), scorings.as_str()))
            });
            assert!(listed, "{family}: {count}, {scorings}");
        }
        assert!(documentation.contains("\n1,000 prompts of our own"));
    }
}
