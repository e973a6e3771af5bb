//! The order of the prompts, the letters of their options, and their ids.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};

use super::closing;
use super::draft::{Draft, Key};
use super::random::Random;

/// Prompts at the beginning that are short and of as many families as possible.
const OPENING: usize = 35;
/// Longest prompt of the opening, in characters.
const LONGEST_OPENING: usize = 399;

/// A prompt with its family and closing instruction, without letters and id.
pub(super) struct Prompt {
    pub(super) family: String,
    pub(super) draft: Draft,
    closing: Option<String>,
}

impl Prompt {
    /// Adds an instruction of those that fit.
    pub(super) fn new(seed: u64, family: &str, index: usize, draft: Draft) -> Self {
        let mut random = Random::new(seed, &format!("closing {family} {index}"));
        let closing = closing::instruction(&draft.key, &mut random);
        Self { family: family.to_owned(), draft, closing }
    }

    /// What is sent to the model, with the options in this order.
    fn problem(&self, options: &[String]) -> String {
        let mut task = self.draft.task.clone();
        if !options.is_empty() {
            let lines =
                options.iter().zip('A'..).map(|(option, letter)| format!("{letter}. {option}"));
            task = format!("{task}\n\n{}", lines.collect::<Vec<_>>().join("\n"));
        }
        closing::joined(&task, self.closing.as_deref())
    }

    fn length(&self) -> usize {
        let options: &[String] = match &self.draft.key {
            Key::Choice { options } => options,
            _ => &[],
        };
        self.problem(options).chars().count()
    }

    /// How it is scored, as the dataset names it.
    pub(super) fn scoring(&self) -> &'static str {
        match self.draft.key {
            Key::Exact { .. } => "exact",
            Key::Choice { .. } => "letter",
            Key::Constraints { .. } => "constraints",
            Key::Judge { .. } => "judge",
        }
    }
}

/// How many prompts each family gets of so many, by their weights: what is left over after whole
/// shares goes to the largest rests.
pub(super) fn shares(weights: &[usize], total: usize) -> Vec<usize> {
    let all: usize = weights.iter().sum();
    let mut shares: Vec<usize> = weights.iter().map(|weight| weight * total / all).collect();
    let mut by_rest: Vec<usize> = (0..weights.len()).collect();
    by_rest.sort_by_key(|at| all - weights[*at] * total % all);
    let missing = total - shares.iter().sum::<usize>();
    for at in by_rest.into_iter().take(missing) {
        shares[at] += 1;
    }
    shares
}

/// A short opening of all families, then all others so interleaved that any first N are a fair
/// mixture.
pub(super) fn ordered(seed: u64, families: Vec<Vec<Prompt>>) -> Vec<Prompt> {
    let mut families: Vec<Vec<Prompt>> = families;
    for family in &mut families {
        let name = family.first().map_or("", |prompt| prompt.family.as_str());
        Random::new(seed, &format!("order {name}")).shuffle(family);
    }
    Random::new(seed, "opening").shuffle(&mut families);
    // A short run is scored whole without a judge.
    families.sort_by_key(|family| family.iter().all(|prompt| prompt.scoring() == "judge"));
    let mut opening = Vec::new();
    while opening.len() < OPENING {
        let before = opening.len();
        for family in &mut families {
            let short = family.iter().position(|prompt| prompt.length() <= LONGEST_OPENING);
            // After the first round only as many as are needed.
            if let Some(at) = short.filter(|_| before == 0 || opening.len() < OPENING) {
                opening.push(family.remove(at));
            }
        }
        if opening.len() == before {
            break;
        }
    }
    opening.extend(interleaved(seed, families));
    opening
}

fn interleaved(seed: u64, families: Vec<Vec<Prompt>>) -> Vec<Prompt> {
    // The place of the j-th of n lies somewhere between j/n and (j+1)/n of the whole.
    const STEPS: usize = 1 << 20;
    let mut random = Random::new(seed, "interleave");
    let mut placed: Vec<(usize, Prompt)> = Vec::new();
    for family in families {
        let count = family.len();
        for (at, prompt) in family.into_iter().enumerate() {
            placed.push(((at * STEPS + random.below(STEPS)) / count, prompt));
        }
    }
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, prompt)| prompt).collect()
}

/// The dataset's lines.
///
/// # Errors
/// If a line can't be written as JSON.
pub(super) fn lines(seed: u64, prompts: &[Prompt]) -> Result<String> {
    let mut letters = Letters { random: Random::new(seed, "letters"), used: BTreeMap::new() };
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut text = String::new();
    for prompt in prompts {
        let number = numbers.entry(&prompt.family).or_default();
        *number += 1;
        let id = format!("{}-{number:03}", prompt.family);
        text.push_str(&serde_json::to_string(&row(&id, prompt, &mut letters))?);
        text.push('\n');
    }
    Ok(text)
}

fn row(id: &str, prompt: &Prompt, letters: &mut Letters) -> Value {
    let (options, answer) = match &prompt.draft.key {
        Key::Choice { options } => letters.placed(options),
        Key::Exact { answer, .. } => (Vec::new(), answer.clone()),
        Key::Judge { rubric } => (Vec::new(), rubric.clone()),
        Key::Constraints { rules, .. } => {
            let words: Vec<String> = rules.iter().map(|rule| rule.words()).collect();
            (Vec::new(), words.join("; "))
        }
    };
    let mut row = json!({
        "id": id,
        "family": prompt.family,
        "subject": prompt.draft.subject,
        "scoring": prompt.scoring(),
        "problem": prompt.problem(&options),
        "answer": answer,
    });
    if let Key::Constraints { rules, .. } = &prompt.draft.key {
        row["constraints"] = rules.iter().map(|rule| rule.json()).collect();
    }
    row
}

/// Gives each right option a letter so that all letters are right equally often, among the prompts
/// with as many options.
struct Letters {
    random: Random,
    /// How often each place was right, by the number of options.
    used: BTreeMap<usize, Vec<usize>>,
}

impl Letters {
    /// The options in their order, and the letter of the first of those that were given.
    fn placed(&mut self, options: &[String]) -> (Vec<String>, String) {
        let count = options.len();
        let used = self.used.entry(count).or_insert_with(|| vec![0; count]);
        let least = used.iter().min().copied().unwrap_or(0);
        let rare: Vec<usize> = (0..count).filter(|at| used[*at] == least).collect();
        let right = self.random.choose(&rare);
        used[right] += 1;
        let mut placed = options[1..].to_vec();
        self.random.shuffle(&mut placed);
        placed.insert(right, options[0].clone());
        let letter = char::from(b'A' + right as u8);
        (placed, letter.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts(family: &str, count: usize, length: usize) -> Vec<Prompt> {
        let draft =
            |at| Draft::exact("x", format!("{at} {}", "x".repeat(length)), at, "the number");
        (0..count).map(|at| Prompt::new(1, family, at, draft(at))).collect()
    }

    fn count(prompts: &[Prompt], family: &str) -> usize {
        prompts.iter().filter(|prompt| prompt.family == family).count()
    }

    #[test]
    fn shares_add_up_and_follow_the_weights() {
        let weights = [40, 30, 45, 1, 7];
        for total in [0, 1, 519, 520, 585, 1_000] {
            let shares = shares(&weights, total);
            assert_eq!(shares.iter().sum::<usize>(), total);
            for (share, weight) in shares.iter().zip(weights) {
                let low = weight * total / weights.iter().sum::<usize>();
                assert!((low..=low + 1).contains(share), "{weight}: {share}");
            }
        }
    }

    #[test]
    fn the_opening_is_short_and_of_all_families_and_what_follows_is_a_fair_mixture() {
        let families = vec![prompts("a", 60, 10), prompts("b", 120, 10), prompts("c", 20, 5_000)];
        let all = ordered(1, families);
        assert_eq!(all.len(), 200);
        assert_ne!(all[0].family, all[1].family);
        assert!(all[..OPENING].iter().all(|prompt| prompt.length() <= LONGEST_OPENING));
        for end in [100, 150] {
            let part = &all[OPENING..end];
            let fair = |family: &str| {
                count(&all[OPENING..], family) as f64 * part.len() as f64 / (200 - OPENING) as f64
            };
            for family in ["a", "b", "c"] {
                let off = (count(part, family) as f64 - fair(family)).abs();
                assert!(off <= 2.0, "{family} is off by {off} in the first {end}");
            }
        }
    }

    #[test]
    fn right_options_are_spread_over_all_letters() {
        let mut letters = Letters { random: Random::new(1, "test"), used: BTreeMap::new() };
        let options = ["right", "b", "c", "d", "e"].map(str::to_owned);
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for _ in 0..50 {
            let (placed, letter) = letters.placed(&options);
            let at = usize::from(letter.as_bytes()[0] - b'A');
            assert_eq!(placed[at], "right");
            assert_eq!(placed.len(), 5);
            *counts.entry(letter).or_default() += 1;
        }
        assert!(counts.len() == 5 && counts.values().all(|count| *count == 10), "{counts:?}");
    }

    #[test]
    fn a_line_has_its_id_and_the_fields_that_its_scoring_needs() {
        let text = lines(1, &prompts("a", 2, 3)).unwrap();
        let rows: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows[1]["id"], "a-002");
        assert_eq!(rows[1]["answer"], "1");
        assert!(rows[1]["problem"].as_str().unwrap().contains("\"Answer: "));
    }
}
