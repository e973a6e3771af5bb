//! A fake inference server: real TCP, real HTTP/1.1, the bytes of llama.cpp's server, vLLM or Ollama,
//! with set delays and faults.
//!
//! Blocking threads, one a connection, so that its delays and its clock depend on no runtime under
//! test. It logs when each request was whole and when each token was written, in nanoseconds of
//! `CLOCK_MONOTONIC`: the truth that a client's times are held against.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use energy_proto::Nanos;
use serde_json::Value;

mod chat;
mod connection;
mod flavour;
mod llama_cpp;
mod ollama;
mod power;
mod vllm;
mod wire;

pub use flavour::Flavour;
pub use power::{Load, Power};

/// What a chat request asks.
#[derive(Debug, Clone)]
pub struct ChatRequest {
    /// How many chat requests came before it.
    pub index: usize,
    /// The last message's content, or the prompt.
    pub prompt: String,
    /// The whole body.
    pub body: Value,
}

/// How one chat request is answered. Times are waited for from when the request was whole.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// Before the first token.
    pub prefill: Duration,
    /// Between two tokens.
    pub per_token: Duration,
    /// Pieces of reasoning, before the answer.
    pub reasoning: Vec<String>,
    /// Pieces of the answer. The request's token limit cuts them.
    pub tokens: Vec<String>,
    /// What the prompt counts; `None`: its words.
    pub prompt_tokens: Option<u64>,
    /// How many of these come from a cache.
    pub cached_tokens: u64,
    /// What it does with `stream_options`.
    pub stream_options: StreamOptions,
    /// How many tokens go into one write.
    pub tokens_per_write: usize,
    /// How many pings precede the first token.
    pub pings: usize,
    /// What it makes a fake GPU take.
    pub power: Option<Power>,
    /// What goes wrong.
    pub fault: Option<Fault>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self::saying("The answer is B.")
    }
}

impl Behaviour {
    /// Answers with this text, a word a token, at once.
    #[must_use]
    pub fn saying(text: &str) -> Self {
        Self {
            prefill: Duration::ZERO,
            per_token: Duration::ZERO,
            reasoning: Vec::new(),
            tokens: words(text),
            prompt_tokens: None,
            cached_tokens: 0,
            stream_options: StreamOptions::Continuous,
            tokens_per_write: 1,
            pings: 0,
            power: None,
            fault: None,
        }
    }

    /// The same with these delays.
    #[must_use]
    pub fn timed(mut self, prefill: Duration, per_token: Duration) -> Self {
        self.prefill = prefill;
        self.per_token = per_token;
        self
    }

    /// The same with this fault.
    #[must_use]
    pub fn failing(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }
}

/// Words with the space before each, as tokens mostly are.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for character in text.chars() {
        match words.last_mut() {
            Some(word) if character != ' ' => word.push(character),
            _ => words.push(character.to_string()),
        }
    }
    words
}

/// What a server does with `stream_options`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamOptions {
    /// Takes both.
    Continuous,
    /// Answers 400 to `continuous_usage_stats`.
    Final,
    /// Answers 400 to all of it.
    Refused,
    /// Takes and ignores it: no usage.
    Ignored,
}

/// What goes wrong with a chat request. Numbers count tokens that are still sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Closes the connection instead of answering.
    CloseBeforeHead,
    /// Never answers.
    HangBeforeHead,
    /// 404 for the path.
    NotFound,
    /// 429 with `Retry-After` in seconds.
    TooManyRequests(u32),
    /// 503 while the model loads.
    Loading,
    /// 500.
    InternalError,
    /// A page for people.
    WebPage,
    /// 307 to another server.
    Redirect(String),
    /// Falls silent, with the connection open.
    HangAfter(usize),
    /// Resets the connection (RST).
    ResetAfter(usize),
    /// Closes the connection (FIN) without the end of the body.
    CloseAfter(usize),
    /// Ends the body by HTTP's rules, without finish reason and end mark.
    EndAfter(usize),
    /// Says all but the end mark.
    NoEndMark,
    /// Reports an error within the stream.
    ErrorAfter(usize),
    /// Sends an event that is no JSON.
    GarbageAfter(usize),
    /// Sends one line of so many bytes.
    LongLine(usize),
    /// Sends this body as an error of 400.
    BadRequest(String),
    /// Sends these bytes instead of an answer, head and all, and closes the connection.
    Raw(String),
}

/// What stands before the whole server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Front {
    /// The server itself.
    Open,
    /// 404 everywhere, as of an unrelated server.
    NotFound,
    /// A web page everywhere.
    WebPage,
    /// A redirect everywhere.
    Redirect(String),
    /// 503 to so many requests.
    Loading(usize),
    /// 401 without this key.
    Key(String),
    /// 404 to the list of models alone.
    NoModelList,
    /// 404 to `/health` alone.
    NoHealth,
}

/// A server to be.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Whose bytes it speaks.
    pub flavour: Flavour,
    /// The name of its one model.
    pub model: String,
    /// Tokens that prompt and answer may have.
    pub context: u64,
    /// How long an idle connection stays open.
    pub keep_alive: Duration,
    /// What stands before it.
    pub front: Front,
    /// Where it listens; 0: a free port.
    pub port: u16,
}

impl Setup {
    /// A server of this flavour with the model `fake:1b`.
    #[must_use]
    pub fn new(flavour: Flavour) -> Self {
        Self {
            flavour,
            model: "fake:1b".to_owned(),
            context: 2_048,
            keep_alive: Duration::from_secs(5),
            front: Front::Open,
            port: 0,
        }
    }
}

/// What came, and when it was answered.
#[derive(Debug, Clone)]
pub struct RequestLog {
    /// Number of its connection, from 0.
    pub connection: usize,
    /// Method and path.
    pub target: String,
    /// The body.
    pub body: Vec<u8>,
    /// When the last byte of it had come.
    pub received: Nanos,
    /// Just before each write with a token.
    pub token_writes: Vec<Nanos>,
    /// When the last byte of the answer had been written; `None`: it wasn't.
    pub ended: Option<Nanos>,
}

type Script = Box<dyn Fn(&ChatRequest) -> Behaviour + Send + Sync>;

/// What its threads share.
struct Shared {
    setup: Setup,
    script: Script,
    log: Mutex<Vec<RequestLog>>,
    chats: AtomicUsize,
    requests: AtomicUsize,
    /// A handle of each open connection, by its number, to end it from outside.
    connections: Mutex<HashMap<usize, TcpStream>>,
    stopping: AtomicBool,
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Vec<RequestLog>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<usize, TcpStream>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}

/// A running fake; stops when dropped.
pub struct FakeServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl FakeServer {
    /// Starts a server that answers each chat request as `script` says.
    ///
    /// # Errors
    /// The port is taken.
    pub fn start(
        setup: Setup,
        script: impl Fn(&ChatRequest) -> Behaviour + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", setup.port))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            setup,
            script: Box::new(script),
            log: Mutex::default(),
            chats: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            connections: Mutex::default(),
            stopping: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        let acceptor = thread::Builder::new()
            .name("fake-server".to_owned())
            .spawn(move || accept(&listener, &accepting))?;
        Ok(Self { address, shared, acceptor: Some(acceptor) })
    }

    /// Starts a server that answers every chat request alike.
    ///
    /// # Errors
    /// The port is taken.
    pub fn always(flavour: Flavour, behaviour: Behaviour) -> io::Result<Self> {
        Self::start(Setup::new(flavour), move |_| behaviour.clone())
    }

    /// Its root.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has come so far, in the order of arrival.
    #[must_use]
    pub fn log(&self) -> Vec<RequestLog> {
        self.shared.log().clone()
    }

    /// The chat requests among them.
    #[must_use]
    pub fn chats(&self) -> Vec<RequestLog> {
        let mut log = self.log();
        log.retain(|request| chat::is_chat(&request.target));
        log
    }

    /// The most chat requests that were answered at once, each from its arrival to its last token: no
    /// longer than it was in flight for the client.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        let chats = self.chats();
        let is_answered = |chat: &RequestLog, at: Nanos| {
            chat.received <= at && chat.token_writes.last().is_some_and(|last| *last >= at)
        };
        let at_arrival =
            |new: &RequestLog| chats.iter().filter(|chat| is_answered(chat, new.received)).count();
        chats.iter().map(at_arrival).max().unwrap_or(0)
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the acceptor; if that fails it has ended already.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            // It ends with its connections; a panic in one has been printed.
            let _ = acceptor.join();
        }
    }
}

/// A URL at which nothing listens.
///
/// # Errors
/// No port is free.
pub fn closed_url() -> io::Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    Ok(format!("http://{}", listener.local_addr()?))
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut threads = Vec::new();
    for (number, stream) in listener.incoming().enumerate() {
        if shared.is_stopping() {
            break;
        }
        let Ok(stream) = stream else { continue };
        if let Ok(handle) = stream.try_clone() {
            shared.connections().insert(number, handle);
        }
        let shared = Arc::clone(shared);
        threads.push(thread::spawn(move || connection::serve(stream, number, &shared)));
    }
    for (_, stream) in shared.connections().drain() {
        // A connection that is gone needs no closing.
        let _ = stream.shutdown(Shutdown::Both);
    }
    for thread in threads {
        let _ = thread.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_every_character() {
        assert_eq!(words("The answer  is B."), ["The", " answer", " ", " is", " B."]);
        assert!(words("").is_empty());
    }
}
