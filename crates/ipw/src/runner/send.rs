//! Sending one prompt: the one policy of when a request is sent again, and when a server counts as
//! lost. Every request that was sent is told to the recorder.

use std::sync::Arc;
use std::time::Duration;

use energy_proto::{ClockAnchor, Nanos, monotonic_now};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use super::RunError;
use super::needed::Needed;
use super::recorder::Item;
use crate::client::{ClientError, Exchange, InferenceClient, Outcome};
use crate::results::{RequestEntry, RequestKind, RequestOutcome};
use crate::telemetry::Backoff;

/// How long a server that can't be reached may take to come back before the run is given up.
const COMEBACK: Duration = Duration::from_secs(10);

/// The longest `Retry-After` that is waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What became of a prompt.
pub(super) enum Sent {
    /// There is an exchange, whole or failed, that counts.
    Answered(Box<Exchange>),
    /// The user stopped the run while it was under way.
    Interrupted,
    /// The server is gone; the query has no row.
    ServerLost(ClientError),
}

/// This process's part of the run.
#[derive(Debug, Clone, Copy)]
pub(super) struct SegmentClock {
    pub(super) index: u32,
    pub(super) anchor: ClockAnchor,
}

/// Sends prompts and tells the recorder. Shared by all that are in flight.
pub(super) struct Sender {
    pub(super) client: Arc<dyn InferenceClient>,
    pub(super) retries: u32,
    pub(super) segment: SegmentClock,
    pub(super) items: mpsc::Sender<Item>,
    pub(super) needed: Needed,
    /// Ends what is in flight: the run was stopped, or the server is lost.
    pub(super) stop: CancellationToken,
    /// When it was last seen whether a server that couldn't be reached came back, and whether it did.
    pub(super) looked: Mutex<Option<(Nanos, bool)>>,
}

impl Sender {
    pub(super) async fn warm_up(&self, prompt: &str) -> Result<Sent, RunError> {
        match self.send(RequestKind::Warmup, None, prompt).await? {
            // A warm-up that fails tells what every query would.
            Sent::Answered(exchange) => Ok(match exchange.outcome {
                Outcome::Failed(error) => Sent::ServerLost(error),
                _ => Sent::Answered(exchange),
            }),
            sent => Ok(sent),
        }
    }

    pub(super) async fn query(&self, query_index: i64, prompt: &str) -> Result<Sent, RunError> {
        self.send(RequestKind::Query, Some(query_index), prompt).await
    }

    /// Hands something to the recorder. It only refuses once it has failed, and then its own error,
    /// which the run ends with, says why.
    pub(super) async fn record(&self, item: Item) -> Result<(), RunError> {
        self.items
            .send(item)
            .await
            .map_err(|_| RunError::Internal("the recorder stopped".to_owned()))
    }

    async fn send(
        &self,
        kind: RequestKind,
        query_index: Option<i64>,
        prompt: &str,
    ) -> Result<Sent, RunError> {
        let mut delays = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
        let mut kind = kind;
        for attempt in 1.. {
            let Some(exchange) = self.exchange(kind, query_index, attempt, prompt).await? else {
                return Ok(Sent::Interrupted);
            };
            let Outcome::Failed(error) = &exchange.outcome else {
                return Ok(Sent::Answered(Box::new(exchange)));
            };
            // A server that wants to be left alone for longer is as good as gone; the run can be resumed.
            let away = error.retry_after().is_some_and(|wait| wait > LONGEST_WAIT);
            if away || (error.is_unavailable() && !self.comes_back().await) {
                return Ok(self.lost(error.clone()));
            }
            if !error.is_retryable() || attempt > self.retries {
                return Ok(Sent::Answered(Box::new(exchange)));
            }
            let delay = error.retry_after().or_else(|| delays.next()).unwrap_or_default();
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.stop.cancelled() => return Ok(Sent::Interrupted),
            }
            kind = if kind == RequestKind::Query { RequestKind::Retry } else { kind };
        }
        unreachable!("the loop ends by returning")
    }

    fn lost(&self, error: ClientError) -> Sent {
        if self.stop.is_cancelled() { Sent::Interrupted } else { Sent::ServerLost(error) }
    }

    /// One request; `None` if the run was stopped meanwhile.
    async fn exchange(
        &self,
        kind: RequestKind,
        query_index: Option<i64>,
        attempt: u32,
        prompt: &str,
    ) -> Result<Option<Exchange>, RunError> {
        let begun = monotonic_now();
        let exchange = tokio::select! {
            exchange = self.client.stream_chat_completion(prompt) => Some(exchange),
            () = self.stop.cancelled() => None,
        };
        let entry = RequestEntry {
            kind,
            query_index,
            attempt,
            segment: self.segment.index,
            ..match &exchange {
                Some(exchange) => entry_of(exchange),
                None => interrupted(begun),
            }
        };
        self.record(Item::Request(entry)).await?;
        Ok(exchange)
    }

    /// Waits for a server that can't be reached; false if it stays away or the run is stopped. Of
    /// several in flight one looks for it, and the others go by what it sees.
    async fn comes_back(&self) -> bool {
        let missed = monotonic_now();
        let looked = async {
            let mut looked = self.looked.lock().await;
            match *looked {
                Some((at, came)) if at >= missed => came,
                _ => {
                    let came = self.is_healthy_in_time().await;
                    *looked = Some((monotonic_now(), came));
                    came
                }
            }
        };
        self.stop.run_until_cancelled(looked).await.unwrap_or(false)
    }

    async fn is_healthy_in_time(&self) -> bool {
        let healthy = async {
            for delay in Backoff::new(Duration::from_millis(250), Duration::from_secs(2)) {
                if self.client.health().await.is_ok() {
                    break;
                }
                tokio::time::sleep(delay).await;
            }
        };
        tokio::time::timeout(COMEBACK, healthy).await.is_ok()
    }
}

fn entry_of(exchange: &Exchange) -> RequestEntry {
    let (outcome, error) = match &exchange.outcome {
        Outcome::Complete => (RequestOutcome::Ok, None),
        Outcome::Truncated => (RequestOutcome::Truncated, None),
        Outcome::Failed(error) if error.is_timeout() => {
            (RequestOutcome::Timeout, Some(error.to_string()))
        }
        Outcome::Failed(error) => (RequestOutcome::Error, Some(error.to_string())),
    };
    RequestEntry {
        first_byte: exchange.first_byte,
        first_token: exchange.first_token,
        end: exchange.end,
        outcome,
        error,
        server_timing: exchange.server_timing,
        flags: exchange.flags.clone(),
        ..interrupted(exchange.start)
    }
}

/// A request that was given up now. Whose it is, the caller fills in.
fn interrupted(start: Nanos) -> RequestEntry {
    RequestEntry {
        kind: RequestKind::Query,
        query_index: None,
        attempt: 1,
        segment: 0,
        start,
        first_byte: None,
        first_token: None,
        end: monotonic_now(),
        outcome: RequestOutcome::Interrupted,
        error: None,
        server_timing: None,
        flags: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ServerInfo;
    use async_trait::async_trait;
    use futures_util::future::join_all;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A server that is back at the second look.
    #[derive(Default)]
    struct Restarting {
        looks: AtomicUsize,
    }

    #[async_trait]
    impl InferenceClient for Restarting {
        fn id(&self) -> &'static str {
            "restarting"
        }

        fn base_url(&self) -> &str {
            "http://127.0.0.1:1"
        }

        async fn health(&self) -> Result<(), ClientError> {
            match self.looks.fetch_add(1, Ordering::SeqCst) {
                0 => Err(ClientError::UnknownClient("not yet".to_owned())),
                _ => Ok(()),
            }
        }

        async fn prepare(&self) -> Result<ServerInfo, ClientError> {
            unreachable!("nobody prepares it")
        }

        async fn open_connections(&self, _count: usize) {}

        async fn stream_chat_completion(&self, _prompt: &str) -> Exchange {
            unreachable!("nobody asks it")
        }
    }

    fn sender(client: Arc<Restarting>) -> Sender {
        Sender {
            client,
            retries: 0,
            segment: SegmentClock { index: 0, anchor: ClockAnchor::now() },
            items: mpsc::channel(1).0,
            needed: Needed::default(),
            stop: CancellationToken::new(),
            looked: Mutex::default(),
        }
    }

    #[tokio::test]
    async fn of_several_that_miss_the_server_one_looks_for_it() {
        let client = Arc::new(Restarting::default());
        let sender = sender(Arc::clone(&client));
        let came = join_all((0..8).map(|_| sender.comes_back())).await;
        assert_eq!(came, [true; 8]);
        assert_eq!(client.looks.load(Ordering::SeqCst), 2);
        assert!(sender.comes_back().await);
        assert_eq!(client.looks.load(Ordering::SeqCst), 3, "it may have gone again since");
    }

    #[tokio::test]
    async fn a_run_that_is_stopped_looks_for_no_server() {
        let client = Arc::new(Restarting::default());
        let sender = sender(Arc::clone(&client));
        sender.stop.cancel();
        assert!(!sender.comes_back().await);
        assert_eq!(client.looks.load(Ordering::SeqCst), 0);
    }
}
