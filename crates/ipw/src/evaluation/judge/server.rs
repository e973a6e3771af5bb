//! A judge model behind an OpenAI-compatible server: asks it about answers, several at a time, and again
//! where no verdict came. The only HTTP of `evaluation`.
//!
//! What is sent and what a reply means is in [`super`]. A key goes to the one server that was named and,
//! beyond the loopback, only encrypted; redirects are not followed. It does not know of runs, and keeps
//! no verdict.

use std::time::Duration;

use energy_proto::{Nanos, monotonic_now};
use futures_util::stream::{FuturesUnordered, StreamExt};
use secrecy::SecretString;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Case, JudgeError, Ruling, messages};
use crate::telemetry::Backoff;

mod completions;

use completions::{Completion, Completions};

/// The first pause before a failed request is sent again.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest that we choose by ourselves.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The longest `Retry-After` that is waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// With so many failures in a row, and one more for each other case in flight, a judge is given up: those
/// that fail come back before those that are answered.
const PATIENCE: usize = 10;

/// Which judge, and how it is asked.
#[derive(Debug, Clone)]
pub struct JudgeConfig {
    /// The server's root as the user gave it: with or without `/v1` and a trailing slash.
    pub base_url: String,
    /// Model name as known to the server.
    pub model: String,
    /// Sent as a bearer token; never printed.
    pub api_key: Option<SecretString>,
    /// How many cases it rules on at a time.
    pub in_flight: usize,
    /// How often it is asked about a case at most.
    pub attempts: u32,
    /// How long each time.
    pub timeout: Duration,
}

impl JudgeConfig {
    /// Eight at a time, three attempts of two minutes.
    #[must_use]
    pub fn new(base_url: &str, model: &str, api_key: Option<SecretString>) -> Self {
        Self {
            base_url: base_url.to_owned(),
            model: model.to_owned(),
            api_key,
            in_flight: 8,
            attempts: 3,
            timeout: Duration::from_secs(120),
        }
    }
}

/// A judge's ruling on a case, and what it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruled {
    /// What it decided.
    pub ruling: Ruling,
    /// Its reason, or what it said instead of a verdict: one line, cut after 300 characters.
    pub reason: Option<String>,
    /// The model, as the server names it.
    pub judge_model: Option<String>,
    /// How often it was asked. What only told us of a field that the server refuses, or that a connection
    /// had been closed, isn't counted.
    pub attempts: u32,
    /// Tokens of what it was asked, over all attempts that tell.
    pub input_tokens: Option<u64>,
    /// Tokens of its replies, reasoning included, over all attempts that tell.
    pub output_tokens: Option<u64>,
    /// Characters of the case's texts that weren't sent, for their length.
    pub left_out_chars: usize,
    /// Just before the first request.
    pub started: Nanos,
    /// When the last reply was whole.
    pub ended: Nanos,
}

impl Ruled {
    fn before(case: &Case) -> Self {
        let now = monotonic_now();
        Self {
            ruling: Ruling::Unparsed,
            reason: None,
            judge_model: None,
            attempts: 0,
            input_tokens: None,
            output_tokens: None,
            left_out_chars: case.left_out_chars(),
            started: now,
            ended: now,
        }
    }

    fn take(&mut self, completion: Completion) {
        self.ruling = completion.ruling;
        self.reason = completion.words;
        self.judge_model = completion.model.or(self.judge_model.take());
        self.input_tokens = sum(self.input_tokens, completion.input_tokens);
        self.output_tokens = sum(self.output_tokens, completion.output_tokens);
    }
}

/// One model of one server.
#[derive(Debug)]
pub struct Judge {
    completions: Completions,
    in_flight: usize,
    attempts: u32,
}

impl Judge {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// An unusable URL or key, a key that would go over the network in the clear.
    pub fn new(config: JudgeConfig) -> Result<Self, JudgeError> {
        let (in_flight, attempts) = (config.in_flight.max(1), config.attempts.max(1));
        Ok(Self { completions: Completions::new(config)?, in_flight, attempts })
    }

    /// The model, as asked for.
    #[must_use]
    pub fn model(&self) -> &str {
        self.completions.model()
    }

    /// Rules on all cases, so many at a time, and hands over each result as it comes, with the case's
    /// index. What is on its way when `stop` is cancelled or an error ends all is dropped.
    ///
    /// # Errors
    /// One that every further case would meet; no case is given it.
    pub async fn rule(
        &self,
        cases: &[Case],
        stop: &CancellationToken,
        each: impl FnMut(usize, Result<Ruled, JudgeError>) + Send,
    ) -> Result<(), JudgeError> {
        stop.run_until_cancelled(self.rule_on_all(cases, each)).await.unwrap_or(Ok(()))
    }

    async fn rule_on_all(
        &self,
        cases: &[Case],
        mut each: impl FnMut(usize, Result<Ruled, JudgeError>) + Send,
    ) -> Result<(), JudgeError> {
        let mut waiting = cases.iter().enumerate();
        let mut asked = FuturesUnordered::new();
        let mut failures = 0;
        loop {
            while asked.len() < self.in_flight
                && let Some((index, case)) = waiting.next()
            {
                asked.push(async move { (index, self.rule_on(case).await) });
            }
            let Some((index, result)) = asked.next().await else { return Ok(()) };
            let error = result.as_ref().err().cloned();
            failures = if error.is_some() { failures + 1 } else { 0 };
            match error {
                Some(fatal) if fatal.is_fatal() => return Err(fatal),
                Some(last) if failures + 1 == PATIENCE + self.in_flight => {
                    each(index, result);
                    return Err(JudgeError::GivenUp { failures, last: Box::new(last) });
                }
                _ => each(index, result),
            }
        }
    }

    /// Asks until there is a verdict. Unparsed if there was none in any reply; if some attempts failed
    /// otherwise, that is the error: a later try may do better.
    async fn rule_on(&self, case: &Case) -> Result<Ruled, JudgeError> {
        let messages = messages(case);
        let mut ruled = Ruled::before(case);
        let mut pauses = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let (mut failure, mut resent) = (None, false);
        loop {
            let result = self.completions.ask(&messages).await;
            ruled.ended = monotonic_now();
            if !resent && is_dead_connection(&result) {
                resent = true;
                continue;
            }
            ruled.attempts += 1;
            let is_last = ruled.attempts == self.attempts;
            match result {
                Ok(completion) => {
                    ruled.take(completion);
                    if ruled.ruling != Ruling::Unparsed {
                        return Ok(ruled);
                    }
                    if is_last {
                        return failure.map_or(Ok(ruled), Err);
                    }
                }
                Err(error) if is_last || !error.is_retryable() => return Err(error),
                Err(error) => {
                    sleep(pause(&error, &mut pauses)).await;
                    failure = Some(error);
                }
            }
        }
    }
}

/// The usual case: the server had closed the connection while it was idle.
fn is_dead_connection(result: &Result<Completion, JudgeError>) -> bool {
    matches!(result, Err(JudgeError::ConnectionLost { after_first_byte: false, .. }))
}

/// How long to wait after a failure: longer each time, and at least as long as the server asks.
fn pause(error: &JudgeError, pauses: &mut Backoff) -> Duration {
    let asked = error.retry_after().unwrap_or_default().min(LONGEST_WAIT);
    asked.max(pauses.next().unwrap_or_default())
}

fn sum(so_far: Option<u64>, more: Option<u64>) -> Option<u64> {
    match (so_far, more) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_what_the_server_asks_up_to_a_minute() {
        let waits = |seconds: Option<u64>| {
            let error = JudgeError::Unavailable {
                url: String::new(),
                status: 429,
                message: String::new(),
                retry_after: seconds.map(Duration::from_secs),
            };
            pause(&error, &mut Backoff::new(FIRST_PAUSE, LONGEST_PAUSE))
        };
        assert_eq!(waits(Some(7)), Duration::from_secs(7));
        assert_eq!(waits(Some(3_600)), Duration::from_secs(60));
        for nothing in [None, Some(0)] {
            assert!(waits(nothing) >= FIRST_PAUSE / 2 && waits(nothing) <= FIRST_PAUSE);
        }
    }

    #[test]
    fn tokens_add_up_where_they_are_known() {
        assert_eq!(sum(None, None), None);
        assert_eq!(sum(Some(2), None), Some(2));
        assert_eq!(sum(Some(2), Some(3)), Some(5));
        assert_eq!(sum(Some(2), Some(u64::MAX)), Some(u64::MAX));
    }
}
