//! The inference clients against recorded streams, and against the fake server with its delays and
//! faults.

#![expect(clippy::unwrap_used, reason = "a test's parts fail by panicking, like the test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use e2e::fake_server::{FakeServer, Flavour};
use ipw::client::{ClientConfig, ClientError, Exchange, InferenceClient, Outcome, Timeouts, build};

mod answered;
mod broken;
mod connection;
mod recorded;
mod refused;

fn config(url: &str) -> ClientConfig {
    ClientConfig {
        base_url: Some(url.to_owned()),
        model: "fake:1b".to_owned(),
        params: BTreeMap::new(),
        temperature: None,
        max_tokens: None,
        seed: None,
        api_key: None,
        timeouts: Timeouts::default(),
    }
}

fn client(id: &str, url: &str) -> Arc<dyn InferenceClient> {
    build(id, config(url)).unwrap()
}

fn client_of(flavour: Flavour, server: &FakeServer) -> Arc<dyn InferenceClient> {
    let id = match flavour {
        Flavour::Ollama => "ollama",
        Flavour::Vllm => "vllm",
        Flavour::LlamaCpp => "openai",
    };
    client(id, &server.url())
}

fn failure(exchange: Exchange) -> ClientError {
    match exchange.outcome {
        Outcome::Failed(error) => error,
        other => panic!("no failure but {other:?}"),
    }
}

fn outcome(exchange: &Exchange) -> &'static str {
    match exchange.outcome {
        Outcome::Complete => "complete",
        Outcome::Truncated => "truncated",
        Outcome::Failed(_) => "failed",
    }
}

#[expect(clippy::print_stderr, reason = "the measured distribution, shown by --nocapture")]
fn report(what: &str, times: &mut [Duration]) {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    eprintln!(
        "{what}: n {}, min {:?}, median {:?}, p99 {:?}, max {:?}",
        times.len(),
        at(0),
        at(50),
        at(99),
        at(100)
    );
}
