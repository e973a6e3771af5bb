//! The queries on their way: so many in flight at once as were asked for, sent in the dataset's order,
//! and when no more are sent.

use std::sync::Arc;

use energy_proto::{Nanos, monotonic_now};
use tokio::task::JoinSet;

use super::metering::Metering;
use super::needed::Hold;
use super::precise::Precise;
use super::recorder::{self, Item};
use super::resume::Plan;
use super::send::{Sender, Sent};
use super::{End, Event, Events, RunConfig, RunError};
use crate::client::Exchange;
use crate::dataset::Sample;
use crate::record::QueryStatus;

/// Queries that may fail one after the other before the run is given up. With several in flight the
/// failing ones come back first, so that as many more may before a good one does.
const FAILURES_IN_A_ROW: usize = 10;

/// Prompts that warm the server up: none of a dataset's, and each of another length.
const WARMUP_PROMPTS: [&str; 3] = [
    "Say hello.",
    "Name three rivers and the sea that each of them flows into.",
    "Explain in two sentences why a kettle takes longer to boil when it holds more water.",
];

/// Warms the server up and sends what is to do.
///
/// # Errors
/// A warm-up that fails, a recorder or task of ours that does.
pub(super) async fn drive(
    config: &RunConfig,
    plan: &Plan,
    sender: &Arc<Sender>,
    metering: &Metering,
    events: &Events,
) -> Result<End, RunError> {
    if plan.todo.is_empty() {
        return Ok(End::Complete);
    }
    if !warm_up(config.warmup_queries, sender, events).await? {
        return Ok(End::Interrupted);
    }
    if config.concurrency > 1 {
        // Whether the run was stopped is looked at before the first query.
        let opened = config.client.open_connections(config.concurrency);
        sender.stop.run_until_cancelled(opened).await;
    }
    let precise = if config.precise { Precise::new(metering).await } else { None };
    events(Event::Queries { total: plan.total, done: plan.total - plan.todo.len() });
    let flight = Flight {
        config,
        sender,
        events,
        in_flight: JoinSet::new(),
        last_end: monotonic_now(),
        failures: 0,
        end: None,
    };
    flight.run(plan, precise.as_ref()).await
}

/// Whether all prompts were answered; else the run was stopped.
async fn warm_up(prompts: u32, sender: &Sender, events: &Events) -> Result<bool, RunError> {
    if prompts > 0 {
        events(Event::Stage(format!("warming up with {prompts} prompts")));
    }
    for index in 0..prompts as usize {
        let prompt = WARMUP_PROMPTS[index % WARMUP_PROMPTS.len()];
        match sender.warm_up(prompt).await? {
            Sent::Answered(..) => {}
            Sent::Interrupted => return Ok(false),
            Sent::ServerLost(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// A query that has come to its end.
struct Landed {
    /// Its position in the dataset's samples.
    position: usize,
    sent: Result<Sent, RunError>,
    hold: Hold,
}

/// The queries in flight.
struct Flight<'a> {
    config: &'a RunConfig,
    sender: &'a Arc<Sender>,
    events: &'a Events,
    in_flight: JoinSet<Landed>,
    /// End of the last query that was answered.
    last_end: Nanos,
    /// So many failed since one didn't, in the order in which they ended.
    failures: usize,
    /// Why no more are sent; the first reason holds.
    end: Option<End>,
}

impl Flight<'_> {
    async fn run(mut self, plan: &Plan, precise: Option<&Precise>) -> Result<End, RunError> {
        let mut todo = plan.todo.iter().copied();
        loop {
            while self.may_send()
                && let Some(position) = todo.next()
            {
                if let Some(precise) = precise {
                    let pause = precise.before_query(self.last_end);
                    self.sender.stop.run_until_cancelled(pause).await;
                }
                if self.sender.stop.is_cancelled() {
                    self.end = Some(End::Interrupted);
                    break;
                }
                self.send(position);
            }
            let Some(landed) = self.in_flight.join_next().await else { break };
            let landed = landed.map_err(|error| RunError::Internal(error.to_string()))?;
            self.land(landed).await?;
        }
        if let Some(precise) = precise {
            let settled = precise.settle(self.last_end);
            self.sender.stop.run_until_cancelled(settled).await;
        }
        Ok(self.end.unwrap_or(End::Complete))
    }

    fn may_send(&self) -> bool {
        self.end.is_none() && self.in_flight.len() < self.config.concurrency
    }

    fn send(&mut self, position: usize) {
        let sender = Arc::clone(self.sender);
        let sample = &self.config.dataset.samples[position];
        let (query_index, prompt) = (sample.index as i64, sample.problem.clone());
        self.in_flight.spawn(async move {
            let hold = sender.needed.hold(monotonic_now());
            Landed { position, sent: sender.query(query_index, &prompt).await, hold }
        });
    }

    async fn land(&mut self, landed: Landed) -> Result<(), RunError> {
        match landed.sent? {
            Sent::Interrupted => {
                self.end.get_or_insert(End::Interrupted);
            }
            Sent::ServerLost(error) => self.give_up(error.to_string()),
            Sent::Answered(exchange) => {
                let sample = &self.config.dataset.samples[landed.position];
                self.keep(sample, &exchange, landed.hold).await?;
            }
        }
        Ok(())
    }

    async fn keep(
        &mut self,
        sample: &Sample,
        exchange: &Exchange,
        hold: Hold,
    ) -> Result<(), RunError> {
        let record = recorder::record(sample, exchange, self.sender.segment.anchor);
        let ok = record.status == QueryStatus::Ok;
        self.failures = if ok { 0 } else { self.failures + 1 };
        self.last_end = self.last_end.max(exchange.end);
        let last = record.error.clone().unwrap_or_default();
        (self.events)(Event::Query {
            ok,
            output_tokens: exchange.usage.output,
            seconds: exchange.end.since(exchange.start).as_secs_f64(),
        });
        let window = crate::derive::window(exchange);
        self.sender.record(Item::Query(Box::new(record), window, hold)).await?;
        let failures = self.failures;
        if failures >= FAILURES_IN_A_ROW + self.config.concurrency - 1 {
            self.give_up(format!(
                "{failures} queries failed one after the other; the last: {last}"
            ));
        }
        Ok(())
    }

    /// The server is as good as gone: ends those that are still in flight, too.
    fn give_up(&mut self, reason: String) {
        self.end.get_or_insert(End::ServerLost(reason));
        self.sender.stop.cancel();
    }
}
