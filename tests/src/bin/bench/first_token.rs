//! How far `ipw`'s time to the first token is from the server's own: a fake server notes when the
//! request was whole and when it wrote the first token, on the clock that `ipw` stamps by.
//!
//! The difference holds all that lies between the two programs and within `ipw` before its stamps:
//! handing the request to the connection, both ways through the kernel, waking up, and the server's
//! own reading of the request. Milliseconds.

use std::time::Duration;

use anyhow::{Context, Result};
use e2e::fake_server::{Behaviour, FakeServer, Flavour, RequestLog, Setup};
use fake_nvml::Model;
use ipw::analysis::stats::quantile;

use crate::finding::Finding;
use crate::profile::{Profile, Query};
use crate::{Effort, report};

const QUERIES: usize = 200;
const TOKENS: usize = 8;
const PER_TOKEN: Duration = Duration::from_millis(2);
const SHORTEST_PREFILL_MS: u64 = 5;
/// Prefills differ so that stamps fall everywhere between the monitor's ticks.
const PREFILL_SPREAD_MS: u64 = 20;

/// Measures it, with the monitor at its usual interval.
pub(crate) fn measure(effort: Effort) -> Result<Vec<Finding>> {
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for number in 1..=effort.rounds() {
        report::progress(&format!("  round {number}: {QUERIES} queries"));
        let differences = round()?;
        p50.push(quantile(&differences, 0.5).context("no query")?);
        p99.push(quantile(&differences, 0.99).context("no query")?);
    }
    Ok(vec![
        Finding::median("first token: p99 from the server's clock", "ms", Some(1.0), &p99),
        Finding::median("  p50", "ms", None, &p50),
    ])
}

/// The differences of one run, without their signs, in ascending order, in ms.
fn round() -> Result<Vec<f64>> {
    let setup = Setup::new(Flavour::Vllm);
    let model = setup.model.clone();
    let server = FakeServer::start(setup, |request| short(request.index as u64))?;
    let prompts: Vec<String> = (0..QUERIES).map(|number| format!("question {number}")).collect();
    let queries = Profile {
        client: "vllm",
        server: &server.url(),
        model: &model,
        prompts: &prompts,
        gpus: Some(&Model::default()),
        flags: &[],
    }
    .run()?;
    let chats = server.chats();
    let differences = queries.iter().map(|query| difference_ms(query, &chats));
    let mut differences = differences.collect::<Result<Vec<f64>>>()?;
    differences.sort_by(f64::total_cmp);
    Ok(differences)
}

fn short(index: u64) -> Behaviour {
    let prefill = SHORTEST_PREFILL_MS + index * 7 % PREFILL_SPREAD_MS;
    Behaviour::saying(&" word".repeat(TOKENS)).timed(Duration::from_millis(prefill), PER_TOKEN)
}

fn difference_ms(query: &Query, chats: &[RequestLog]) -> Result<f64> {
    let (served, written) = query.served(chats)?;
    let ours = query.first_token()?.since(query.request.start).as_secs_f64();
    let theirs = written.since(served.received).as_secs_f64();
    Ok((ours - theirs).abs() * 1e3)
}
