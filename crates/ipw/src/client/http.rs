//! HTTP to one inference server: a connection for each query in flight, kept open, bounded waits and
//! sizes, arrival times taken before anything is parsed, failures told apart.
//!
//! Knows nothing of the two protocols but how they answer errors. Times are monotonic nanoseconds.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use energy_proto::{Nanos, monotonic_now};
use futures_util::future::join_all;
use reqwest::header::CONNECTION;
use reqwest::{Client, Method, Request, Response, Url};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::error::Awaited;
use super::exchange::{self, Draft};
use super::reply::Reply;
use super::setup::{authorization, build_client};
use super::transport::{NoHead, is_cut, no_head, root_cause};
use super::url::{root, text};
use super::{ClientConfig, ClientError, ClientKind, Exchange, Outcome, Timeouts};

/// A request on a connection that had been closed fails within this time.
const DEAD_AT_ONCE: Duration = Duration::from_millis(100);
/// A connection idle for longer is tried with a cheap request before a query's clock starts.
const SURELY_OPEN: Duration = Duration::from_secs(2);
/// The pool takes a connection back a moment after the answer's end; a request before that would
/// open a second one inside its own clock.
const BACK_IN_POOL: Duration = Duration::from_millis(2);
/// Servers answer what they know of themselves at once, or are stuck.
const METADATA_WAIT: Duration = Duration::from_secs(30);
/// For what may follow an end mark, so that the connection can be used again.
const DRAIN_WAIT: Duration = Duration::from_secs(1);
/// No wait is longer: beyond, adding it to the clock would overflow.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 86_400);
/// Largest answer taken.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// Largest answer about the server or its models taken.
const MAX_METADATA_BYTES: usize = 16 << 20;
/// Most that is read of an error.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// Reads one answer's protocol out of its bytes.
pub(super) trait AnswerReader: Send {
    /// Takes in bytes that arrived at `at`; true once the end mark has come.
    fn take(&mut self, at: Nanos, bytes: &[u8], draft: &mut Draft) -> Result<bool, ClientError>;
    /// The body ended by HTTP's rules at `at`, without an end mark so far.
    fn close(&mut self, at: Nanos, draft: &mut Draft) -> Result<Outcome, ClientError>;
    /// What an answer is that came up to its end mark.
    fn ended(&self, draft: &Draft) -> Outcome;
}

/// One server.
#[derive(Debug)]
pub(super) struct Http {
    root: String,
    client: Client,
    timeouts: Timeouts,
    /// The connections that no request uses, by when each was seen to be good for a further one. The
    /// pool gives out the latest first, and so is it here.
    idle: Mutex<Vec<Nanos>>,
}

impl Http {
    /// A client for the server of `config`, or where servers of this kind usually are.
    ///
    /// # Errors
    /// A missing or unusable URL, a key that would go over the network in the clear.
    pub(super) fn new(kind: &ClientKind, config: &ClientConfig) -> Result<Self, ClientError> {
        let example = kind.default_url.unwrap_or("http://localhost:8000");
        let given =
            config.base_url.as_deref().or(kind.default_url).ok_or_else(|| ClientError::BadUrl {
                reason: format!(
                    "--client {} has no usual one, --client-base-url is needed",
                    kind.id
                ),
                example: example.to_owned(),
            })?;
        let url = root(given, example)?;
        let headers = authorization(&url, config.api_key.as_ref())?;
        let root = text(&url);
        let timeouts = bounded(config.timeouts);
        let client = build_client(&url, headers, timeouts).map_err(|error| ClientError::Setup {
            url: root.clone(),
            reason: root_cause(&error),
        })?;
        Ok(Self { root, client, timeouts, idle: Mutex::default() })
    }

    /// The server's root, without trailing slash.
    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// What is at `path`, whatever the status.
    pub(super) async fn get(&self, path: &str) -> Result<Reply, ClientError> {
        let wait = METADATA_WAIT.min(self.timeouts.first_byte).min(self.timeouts.total);
        self.ask(Method::GET, path, None, wait).await
    }

    /// The answer to a JSON body, whatever the status. May take as long as a first byte may.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Reply, ClientError> {
        self.ask(Method::POST, path, Some(body), self.timeouts.first_byte).await
    }

    /// Opens so many connections, or sees that they are open. `probe` is as for a query, which tells if
    /// it fails.
    pub(super) async fn open_connections(&self, probe: &str, count: usize) {
        // Each is asked for before one of them can be given back, so none serves two.
        join_all((0..count).map(|_| self.get(probe))).await;
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        wait: Duration,
    ) -> Result<Reply, ClientError> {
        let request = self.request(method, path, body)?;
        let deadline = Instant::now() + wait;
        let again = request.try_clone();
        self.take_any();
        let response = match (self.head(request, deadline, wait).await, again) {
            // The usual case: the server had closed the connection while it was idle.
            (Err(NoHead::Died(_)), Some(again)) => {
                self.take_any();
                self.head(again, deadline, wait).await?
            }
            (result, _) => result?,
        };
        self.whole(response, MAX_METADATA_BYTES, deadline, wait).await
    }

    /// Sends `body` and lets `reader` take the answer as it comes. `probe` is a path that costs the
    /// server nothing.
    pub(super) async fn stream(
        &self,
        probe: &str,
        path: &str,
        body: &Value,
        reader: &mut dyn AnswerReader,
    ) -> Exchange {
        let mut draft = Draft::new(monotonic_now());
        let total = Instant::now() + self.timeouts.total;
        let response = match self.open(probe, path, body, total, &mut draft).await {
            Ok(response) => response,
            Err(error) => return draft.end(monotonic_now(), Outcome::Failed(error)),
        };
        if !response.status().is_success() {
            let error = self.refusal(response).await;
            return draft.end(monotonic_now(), Outcome::Failed(error));
        }
        self.read(response, reader, total, draft).await
    }

    /// Sends the request on an open connection, once more if that turns out to be dead.
    async fn open(
        &self,
        probe: &str,
        path: &str,
        body: &Value,
        total: Instant,
        draft: &mut Draft,
    ) -> Result<Response, ClientError> {
        let request = self.request(Method::POST, path, Some(body))?;
        let again = request.try_clone();
        // A server that closes after each answer has the next query open its connection itself, within
        // its clock.
        if !self.connect(probe).await? {
            draft.flag(exchange::OPENED_IN_QUERY);
        }
        let result = self.start(request, total, draft).await;
        // A connection that the server had closed while idle dies at once. One that dies later took
        // the query's work with it: that is for the runner to decide, and to write down.
        let at_once = monotonic_now().since(draft.start) < DEAD_AT_ONCE;
        match (result, again) {
            (Err(NoHead::Died(_)), Some(again)) if at_once => {
                draft.flag(exchange::RESENT);
                self.connect(probe).await?;
                Ok(self.start(again, total, draft).await?)
            }
            (result, _) => Ok(result?),
        }
    }

    async fn start(
        &self,
        request: Request,
        total: Instant,
        draft: &mut Draft,
    ) -> Result<Response, NoHead> {
        let deadline = total.min(Instant::now() + self.timeouts.first_byte);
        let wait = deadline.saturating_duration_since(Instant::now());
        draft.start = monotonic_now();
        let response = self.head(request, deadline, wait).await?;
        draft.first_byte = Some(monotonic_now());
        Ok(response)
    }

    /// Sees to it that a connection is open before a query's clock starts, and takes it; false if the
    /// server keeps none open. What the server says to the probe doesn't matter; if it doesn't answer
    /// it, the query will tell why.
    async fn connect(&self, probe: &str) -> Result<bool, ClientError> {
        let mut open = self.take_open();
        if open.is_none() {
            if let Err(unreachable @ ClientError::Unreachable { .. }) = self.get(probe).await {
                return Err(unreachable);
            }
            open = self.take_open();
        }
        let Some(since) = open else { return Ok(false) };
        if let Some(rest) = BACK_IN_POOL.checked_sub(monotonic_now().since(since)) {
            tokio::time::sleep(rest).await;
        }
        Ok(true)
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Request, ClientError> {
        let request = self.client.request(method, format!("{}{path}", self.root));
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        request.build().map_err(|error| ClientError::Setup {
            url: format!("{}{path}", self.root),
            reason: root_cause(&error),
        })
    }

    async fn head(
        &self,
        request: Request,
        deadline: Instant,
        wait: Duration,
    ) -> Result<Response, NoHead> {
        let url = request.url().to_string();
        match timeout_at(deadline, self.client.execute(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(no_head(url, &error)),
            Err(_) => Err(NoHead::Failed(ClientError::Timeout {
                url,
                awaited: Awaited::FirstByte,
                after: wait,
            })),
        }
    }

    async fn read(
        &self,
        mut response: Response,
        reader: &mut dyn AnswerReader,
        total: Instant,
        mut draft: Draft,
    ) -> Exchange {
        if let Some(error) = super::reply::web_page(&response) {
            return draft.end(monotonic_now(), Outcome::Failed(error));
        }
        let (end, outcome) = match self.take_all(&mut response, reader, total, &mut draft).await {
            Ok(End::Mark(at)) => (at, reader.ended(&draft)),
            Ok(End::Body(at, outcome)) => (at, outcome),
            Err(error) => (monotonic_now(), Outcome::Failed(error)),
        };
        let exchange = draft.end(end, outcome);
        if !matches!(exchange.outcome, Outcome::Failed(_)) {
            self.drain(response).await;
        }
        exchange
    }

    async fn take_all(
        &self,
        response: &mut Response,
        reader: &mut dyn AnswerReader,
        total: Instant,
        draft: &mut Draft,
    ) -> Result<End, ClientError> {
        let mut received = 0_usize;
        loop {
            let arrival = self.next(response, total).await;
            let at = monotonic_now();
            match arrival? {
                Arrival::Bytes(bytes) => {
                    received += bytes.len();
                    if received > MAX_ANSWER_BYTES {
                        return Err(too_large(response.url(), "an answer", MAX_ANSWER_BYTES));
                    }
                    if reader.take(at, &bytes, draft)? {
                        return Ok(End::Mark(at));
                    }
                }
                Arrival::End => return Ok(End::Body(at, reader.close(at, draft)?)),
                Arrival::Cut => {
                    draft.flag(exchange::CLOSED_EARLY);
                    return Ok(End::Body(at, Outcome::Truncated));
                }
            }
        }
    }

    async fn next(&self, response: &mut Response, total: Instant) -> Result<Arrival, ClientError> {
        let stall = Instant::now() + self.timeouts.stall;
        let (deadline, awaited, after) = if stall < total {
            (stall, Awaited::NextPiece, self.timeouts.stall)
        } else {
            (total, Awaited::End, self.timeouts.total)
        };
        match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(bytes))) => Ok(Arrival::Bytes(bytes)),
            Ok(Ok(None)) => Ok(Arrival::End),
            Ok(Err(error)) if is_cut(&error) => Ok(Arrival::Cut),
            Ok(Err(error)) => Err(ClientError::ConnectionLost {
                url: response.url().to_string(),
                after_first_byte: true,
                reason: root_cause(&error),
            }),
            Err(_) => Err(ClientError::Timeout { url: response.url().to_string(), awaited, after }),
        }
    }

    /// Reads what follows the end mark, outside the clock: only a connection whose answer was taken
    /// whole can be used again.
    async fn drain(&self, mut response: Response) {
        let deadline = Instant::now() + DRAIN_WAIT;
        let mut left = MAX_ERROR_BYTES;
        while let Ok(Ok(next)) = timeout_at(deadline, response.chunk()).await {
            match next {
                None => return self.note_open(&response),
                Some(bytes) if bytes.len() <= left => left -= bytes.len(),
                Some(_) => return,
            }
        }
    }

    async fn refusal(&self, response: Response) -> ClientError {
        let deadline = Instant::now() + METADATA_WAIT.min(self.timeouts.stall);
        match self.whole(response, MAX_ERROR_BYTES, deadline, self.timeouts.stall).await {
            Ok(reply) => reply.failure(),
            Err(error) => error,
        }
    }

    /// The whole body, up to `limit_bytes`: of an error just as much, of another answer no more.
    async fn whole(
        &self,
        mut response: Response,
        limit_bytes: usize,
        deadline: Instant,
        wait: Duration,
    ) -> Result<Reply, ClientError> {
        let mut reply = Reply::new(&response);
        let url = response.url().clone();
        loop {
            match timeout_at(deadline, response.chunk()).await {
                Ok(Ok(Some(bytes))) if reply.body.len() + bytes.len() <= limit_bytes => {
                    reply.body.extend_from_slice(&bytes);
                }
                Ok(Ok(None)) => {
                    self.note_open(&response);
                    return Ok(reply);
                }
                // What has come of an error is enough to say what it was.
                _ if !reply.is_success() => return Ok(reply),
                Ok(Ok(Some(_))) => return Err(too_large(&url, "an answer", limit_bytes)),
                Ok(Err(error)) => {
                    return Err(ClientError::ConnectionLost {
                        url: url.to_string(),
                        after_first_byte: true,
                        reason: root_cause(&error),
                    });
                }
                Err(_) => {
                    return Err(ClientError::Timeout {
                        url: url.to_string(),
                        awaited: Awaited::End,
                        after: wait,
                    });
                }
            }
        }
    }

    fn note_open(&self, response: &Response) {
        let closes = response
            .headers()
            .get(CONNECTION)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
        if !closes {
            self.idle().push(monotonic_now());
        }
    }

    /// Takes the connection that the pool will give out next, if it is surely open: since when.
    fn take_open(&self) -> Option<Nanos> {
        let mut idle = self.idle();
        let now = monotonic_now();
        idle.pop_if(|since| now.since(*since) <= SURELY_OPEN)
    }

    /// The same in whatever state it is.
    fn take_any(&self) {
        self.idle().pop();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Nanos>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Arrival {
    Bytes(tokio_util::bytes::Bytes),
    /// The body's end by HTTP's rules.
    End,
    /// The connection closed before that.
    Cut,
}

enum End {
    Mark(Nanos),
    Body(Nanos, Outcome),
}

fn bounded(timeouts: Timeouts) -> Timeouts {
    Timeouts {
        connect: timeouts.connect.min(LONGEST_WAIT),
        first_byte: timeouts.first_byte.min(LONGEST_WAIT),
        stall: timeouts.stall.min(LONGEST_WAIT),
        total: timeouts.total.min(LONGEST_WAIT),
    }
}

fn too_large(url: &Url, what: &'static str, limit_bytes: usize) -> ClientError {
    ClientError::TooLarge { url: url.to_string(), what, limit_bytes }
}
