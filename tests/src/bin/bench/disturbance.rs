//! Whether profiling slows down what it measures: decode speed of a real server, by its own account,
//! under `ipw profile` and under a client that does nothing but read.
//!
//! Blocks of the same few prompts alternate: bare, ipw, ipw, bare, and so on, which cancels a drift.
//! A proxy could alternate query by query, but would itself disturb, and a monitor that runs on
//! through the bare queries would leave nothing to compare; so each block under `ipw` is a whole run.
//! Every block begins alike, with three seconds' rest and one prompt that isn't counted. Two
//! neighbouring blocks are a pair and, since queries of one block have their fate in common, one
//! observation. Speeds in tokens per second, differences in percent of the bare client's speed.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ipw::analysis::stats::{mean, mean_ci95};
use serde_json::json;

use crate::bare_client::{self, Decode};
use crate::finding::{Finding, Verdict};
use crate::profile::{Profile, Query};
use crate::{Effort, report};

/// What xtask/demo/server.py serves.
const MODEL: &str = "smollm2:135m";
const MAX_TOKENS: u64 = 96;
const PROMPTS: [&str; 3] = [
    "Explain how a refrigerator moves heat from its inside to the room.",
    "Write a short story about a lighthouse keeper who finds a message in a bottle.",
    "List the planets of the solar system and say something about each of them.",
];
/// What `ipw profile` takes to watch the hardware at rest.
const REST: Duration = Duration::from_secs(3);
/// The interval is to lie within this, in percent, either way.
const LIMIT_PCT: f64 = 2.0;
const MOST_PAIRS: usize = 100;

/// Measures until the interval is narrow enough, or pairs are up.
pub(crate) fn measure(effort: Effort, server_url: Option<&str>) -> Result<Vec<Finding>> {
    let url =
        server_url.context("disturbance needs --server-url: run it by `cargo xtask bench`")?;
    let (fewest, most) = effort.pick((10, MOST_PAIRS), (4, 10));
    let mut pairs: Vec<Pair> = Vec::new();
    while pairs.len() < fewest || (pairs.len() < most && !is_decided(&pairs)) {
        let pair = Pair::measure(url, pairs.len())?;
        report::progress(&format!(
            "  pair {}: bare {:.2}, under ipw {:.2} tokens/s, {:+.2} %",
            pairs.len() + 1,
            pair.bare,
            pair.profiled,
            pair.difference_pct()
        ));
        pairs.push(pair);
    }
    findings(&pairs)
}

/// Mean speeds of two neighbouring blocks.
#[derive(Debug, Clone, Copy)]
struct Pair {
    bare: f64,
    profiled: f64,
}

impl Pair {
    fn measure(url: &str, number: usize) -> Result<Self> {
        if number.is_multiple_of(2) {
            let bare = bare_block(url)?;
            Ok(Self { bare, profiled: profiled_block(url)? })
        } else {
            let profiled = profiled_block(url)?;
            Ok(Self { bare: bare_block(url)?, profiled })
        }
    }

    fn difference_pct(self) -> f64 {
        (self.profiled / self.bare - 1.0) * 100.0
    }
}

fn bare_block(url: &str) -> Result<f64> {
    let address = url.strip_prefix("http://").context("the server speaks plain http")?;
    thread::sleep(REST);
    let ask = |prompt: &str| {
        let body = json!({
            "model": MODEL,
            "messages": [{"role": "user", "content": prompt}],
            "stream": true,
            "temperature": 0,
            "max_tokens": MAX_TOKENS,
            "cache_prompt": false,
            "ignore_eos": true,
        });
        bare_client::ask(address.trim_end_matches('/'), &body)
    };
    ask(PROMPTS[0])?;
    speed(&PROMPTS.into_iter().map(ask).collect::<Result<Vec<_>>>()?)
}

fn profiled_block(url: &str) -> Result<f64> {
    let queries = Profile {
        client: "openai",
        server: url,
        model: MODEL,
        prompts: &PROMPTS.map(str::to_owned),
        gpus: None,
        flags: &[
            "--warmup-queries=1",
            &format!("--max-tokens={MAX_TOKENS}"),
            "--temperature=0",
            "--client-param=cache_prompt=false",
            "--client-param=ignore_eos=true",
            "--sources=estimate",
            "--tdp-watts=65",
        ],
    }
    .run()?;
    speed(&queries.iter().map(decode).collect::<Result<Vec<_>>>()?)
}

/// The server's account as `ipw` has written it down.
fn decode(query: &Query) -> Result<Decode> {
    let index = query.row.query_index;
    let time = query.request.server_timing.and_then(|timing| timing.decode);
    let tokens = query.row.metrics.token_metrics.output.and_then(|count| u64::try_from(count).ok());
    let (time, tokens) =
        time.zip(tokens).with_context(|| format!("query {index} has no decode speed"))?;
    Ok(Decode { tokens, seconds: time.as_secs_f64() })
}

/// Tokens per second over all answers, which must have the length that was asked for: shorter ones
/// would compare different work.
fn speed(answers: &[Decode]) -> Result<f64> {
    ensure!(
        answers.iter().all(|answer| answer.tokens == MAX_TOKENS),
        "answers have other than {MAX_TOKENS} tokens: {answers:?}"
    );
    let seconds: f64 = answers.iter().map(|answer| answer.seconds).sum();
    Ok(answers.iter().map(|answer| answer.tokens as f64).sum::<f64>() / seconds)
}

fn interval(pairs: &[Pair]) -> Option<[f64; 2]> {
    mean_ci95(&pairs.iter().map(|pair| pair.difference_pct()).collect::<Vec<_>>())
}

fn is_decided(pairs: &[Pair]) -> bool {
    interval(pairs).is_some_and(|[low, high]| -LIMIT_PCT <= low && high <= LIMIT_PCT)
}

fn findings(pairs: &[Pair]) -> Result<Vec<Finding>> {
    let differences: Vec<f64> = pairs.iter().map(|pair| pair.difference_pct()).collect();
    let [low, high] = interval(pairs).context("fewer than two pairs")?;
    let mean = mean(&differences).context("no pair")?;
    let note = match (low, high) {
        _ if is_decided(pairs) => "",
        (low, high) if high < -LIMIT_PCT || low > LIMIT_PCT => "",
        _ => ", INCONCLUSIVE",
    };
    let speeds = |of: fn(&Pair) -> f64| pairs.iter().map(of).collect::<Vec<f64>>();
    let context = |name, of| Finding::median(name, "tokens/s", None, &speeds(of));
    Ok(vec![
        Finding::stated(
            "decode speed: under ipw to a bare client's",
            format!("95 % interval within +-{LIMIT_PCT} %"),
            format!("{mean:+.2} % [{low:+.2}, {high:+.2}], {} pairs{note}", pairs.len()),
            Verdict::of(is_decided(pairs)),
        ),
        context("  under a bare client", |pair| pair.bare),
        context("  under ipw profile", |pair| pair.profiled),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(differences_pct: &[f64]) -> Vec<Pair> {
        let pair = |pct: &f64| Pair { bare: 100.0, profiled: 100.0 + pct };
        differences_pct.iter().map(pair).collect()
    }

    #[test]
    fn only_an_interval_that_lies_within_the_limit_passes() {
        let narrow = [-0.5, 0.5, -0.4, 0.4, 0.0, 0.1];
        let (near, slow) = (narrow.map(|pct| pct - 1.8), narrow.map(|pct| pct - 60.0));
        let wide = narrow.map(|pct| pct * 20.0);
        for (differences, passes) in [(narrow, true), (near, false), (slow, false), (wide, false)] {
            assert_eq!(is_decided(&pairs(&differences)), passes, "{differences:?}");
            assert_eq!(findings(&pairs(&differences)).unwrap()[0].is_missed(), !passes);
        }
        assert!(!is_decided(&pairs(&[0.0])));
    }

    #[test]
    fn an_interval_across_the_limit_is_called_inconclusive_and_one_beyond_it_is_not() {
        let told =
            |differences: &[f64]| crate::finding::table(&findings(&pairs(differences)).unwrap());
        assert!(told(&[-10.0, 10.0, 0.0]).contains("INCONCLUSIVE"));
        assert!(!told(&[-60.0, -61.0, -62.0]).contains("INCONCLUSIVE"));
    }

    #[test]
    fn an_answer_of_another_length_is_not_compared() {
        let answer = |tokens| Decode { tokens, seconds: 0.5 };
        assert_eq!(
            speed(&[answer(MAX_TOKENS), answer(MAX_TOKENS)]).unwrap(),
            MAX_TOKENS as f64 * 2.0
        );
        assert!(speed(&[answer(MAX_TOKENS), answer(MAX_TOKENS - 1)]).is_err());
    }
}
