//! Whose bytes a fake speaks: the seam between when something is said, and how.

use std::time::Duration;

use serde_json::Value;

use super::{Setup, llama_cpp, ollama, vllm};

/// Whose bytes a fake speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// llama.cpp's server, as of build 11549.
    LlamaCpp,
    /// vLLM 0.32.
    Vllm,
    /// Ollama, by its documented API.
    Ollama,
}

impl Flavour {
    pub(super) fn dialect(self) -> &'static dyn Dialect {
        match self {
            Self::LlamaCpp => &llama_cpp::LlamaCpp,
            Self::Vllm => &vllm::Vllm,
            Self::Ollama => &ollama::Ollama,
        }
    }
}

/// What usage is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    None,
    AtEnd,
    InEachChunk,
}

/// What is true of one answer from its start.
#[derive(Debug)]
pub(super) struct Facts {
    /// Differs between answers.
    pub(super) number: u64,
    /// Unix time in seconds.
    pub(super) created: i64,
    pub(super) model: String,
    pub(super) prompt_tokens: u64,
    pub(super) cached_tokens: u64,
    pub(super) usage: Usage,
    /// Whether the path is Ollama's `/api/generate`.
    pub(super) is_generate: bool,
}

/// One token on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) is_reasoning: bool,
    /// How many there are with this one.
    pub(super) count: u64,
    /// Whether the token limit ends the answer with this one.
    pub(super) hits_limit: bool,
}

/// What is true of an answer at its end.
#[derive(Debug)]
pub(super) struct Ending {
    /// `stop` or `length`.
    pub(super) reason: &'static str,
    /// All tokens, the end-of-text token included.
    pub(super) output_tokens: u64,
    pub(super) prefill: Duration,
    pub(super) decode: Duration,
    pub(super) total: Duration,
}

/// Why a request isn't served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    BadRequest(String),
    TooLong { prompt: u64, context: u64 },
    UnknownModel { asked: String, there: String },
    UnknownPath,
    Unauthorized,
    Busy,
    Loading,
    Internal,
}

impl Refusal {
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::BadRequest(_) | Self::TooLong { .. } => 400,
            Self::Unauthorized => 401,
            Self::UnknownModel { .. } | Self::UnknownPath => 404,
            Self::Busy => 429,
            Self::Loading => 503,
            Self::Internal => 500,
        }
    }
}

/// How one kind of server puts things. All texts are bodies or their parts, without chunk frames.
pub(super) trait Dialect: Sync {
    /// The head of a streamed answer.
    fn stream_head(&self) -> String;
    /// Whether that is sent before the prompt has been processed.
    fn sends_head_at_once(&self) -> bool;
    /// The head of a whole answer.
    fn whole_head(&self, status: u16, content_type: &str, length: usize, extra: &str) -> String;
    /// The type of JSON bodies.
    fn json_type(&self) -> &'static str;
    /// Whether the connection ends with this answer.
    fn closes_after(&self, status: u16) -> bool;
    /// Content type and body of a refusal.
    fn refusal(&self, refusal: &Refusal) -> (&'static str, String);
    /// The answer to a request that isn't a chat; `None`: no such path.
    fn about(&self, target: &str, body: &Value, setup: &Setup) -> Option<Result<String, Refusal>>;
    /// Whether any model name will do.
    fn takes_any_model(&self) -> bool;
    /// What a stream opens with.
    fn opening(&self, facts: &Facts) -> Option<String>;
    /// A token.
    fn token(&self, facts: &Facts, token: Token<'_>) -> String;
    /// What a stream ends with, but for the end mark.
    fn ending(&self, facts: &Facts, ending: &Ending) -> Vec<String>;
    /// The end mark, where there is one of its own.
    fn end_mark(&self) -> Option<&'static str>;
    /// A comment that keeps the connection alive.
    fn ping(&self) -> Option<&'static str>;
    /// A piece of stream with these words as payload.
    fn raw(&self, payload: &str) -> String;
    /// An error in mid-stream.
    fn stream_error(&self, message: &str) -> String;
    /// The whole answer, not streamed.
    fn whole(&self, facts: &Facts, text: &str, reasoning: &str, ending: &Ending) -> String;
}

/// Text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Status and reason of a response's first line.
pub(super) fn status_line(status: u16) -> String {
    let reason = match status {
        200 => "OK",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    };
    format!("HTTP/1.1 {status} {reason}\r\n")
}

/// The present time as HTTP writes it.
pub(super) fn http_date() -> String {
    jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
