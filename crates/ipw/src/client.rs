//! The seam to inference servers: is it there, has it the model, and what does it answer, when.
//!
//! A client stamps monotonic times as bytes arrive and knows nothing of energy. It sends one request
//! and never retries by itself, but for a connection that dies before the first byte because the
//! server had closed it while idle; what else to do about a failure is the runner's decision.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use energy_proto::Nanos;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod error;
mod exchange;
mod http;
mod lines;
mod models;
mod ndjson;
mod ollama;
mod ollama_stream;
mod openai;
mod openai_stream;
mod params;
mod reply;
mod setup;
mod sse;
mod transport;
pub(crate) mod url;

pub(crate) use error::quote;
pub use error::{Awaited, ClientError};
pub(crate) use reply::Reply;
pub(crate) use setup::builder as http_client_builder;
pub(crate) use setup::{authorization, build_client};
pub(crate) use transport::root_cause;
pub(crate) use url::{is_in_the_clear, origin};

/// What a client needs to know. Temperature, token limit and seed are sent only if given.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// As the user gave it: with or without `/v1` and a trailing slash. `None`: the client's default.
    pub base_url: Option<String>,
    /// Model name as known to the server.
    pub model: String,
    /// Further fields of each request's body (for Ollama, of its `options`).
    pub params: BTreeMap<String, Value>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Most tokens to generate.
    pub max_tokens: Option<u64>,
    /// Sampling seed.
    pub seed: Option<u64>,
    /// Sent as a bearer token; never printed.
    pub api_key: Option<SecretString>,
    /// How long to wait for what.
    pub timeouts: Timeouts,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection.
    pub connect: Duration,
    /// From the request to the first byte of the answer (a full server queues).
    pub first_byte: Duration,
    /// Between two pieces of the answer.
    pub stall: Duration,
    /// For the whole exchange.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(300),
            stall: Duration::from_secs(120),
            total: Duration::from_secs(600),
        }
    }
}

/// What the server says of itself and of the model. `None`: it doesn't say.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ServerInfo {
    /// The server's kind: `ollama`, `vllm`, `llama.cpp`, ...
    pub server: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Exact number of the model's parameters.
    pub parameter_count: Option<u64>,
    /// Of a mixture of experts, how many it has: a token takes only some of its parameters.
    pub expert_count: Option<u64>,
    /// Quantisation, e.g. `Q4_1`.
    pub quantization: Option<String>,
    /// Context length in tokens.
    pub context_length: Option<u64>,
    /// What the user should know before the run, e.g. a context that cuts long prompts.
    pub warnings: Vec<String>,
}

/// Token counts of one exchange, as the server gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Prompt tokens.
    pub input: Option<i64>,
    /// Generated tokens.
    pub output: Option<i64>,
    /// Prompt tokens taken from a cache.
    pub cached: Option<i64>,
    /// Generated tokens that are reasoning.
    pub reasoning: Option<i64>,
}

/// The server's own account of where its time went. Evidence, not truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServerTiming {
    /// Processing the prompt.
    #[serde(rename = "prefill_nanos", with = "energy_proto::duration_nanos", default)]
    pub prefill: Option<Duration>,
    /// Generating the answer.
    #[serde(rename = "decode_nanos", with = "energy_proto::duration_nanos", default)]
    pub decode: Option<Duration>,
    /// The whole, loading included.
    #[serde(rename = "total_nanos", with = "energy_proto::duration_nanos", default)]
    pub total: Option<Duration>,
    /// Loading the model.
    #[serde(rename = "load_nanos", with = "energy_proto::duration_nanos", default)]
    pub load: Option<Duration>,
}

/// How an exchange ended.
#[derive(Debug)]
pub enum Outcome {
    /// To the end: a finish reason and the server's end mark. One of the two may be missing, with a
    /// flag, where the other leaves no doubt: see the protocols' modules.
    Complete,
    /// The stream ended before that.
    Truncated,
    /// It failed; what had come is kept.
    Failed(ClientError),
}

/// One request and what came back, stamped with the host's monotonic clock.
#[derive(Debug)]
pub struct Exchange {
    /// Just before the request was handed to an open connection.
    pub start: Nanos,
    /// Arrival of the answer's head.
    pub first_byte: Option<Nanos>,
    /// Arrival of the first content or reasoning that isn't empty.
    pub first_token: Option<Nanos>,
    /// Arrival of the first content that isn't empty.
    pub first_content: Option<Nanos>,
    /// Arrival of the end mark, or when it was given up.
    pub end: Nanos,
    /// Arrival of each piece with content or reasoning. Pieces are not tokens.
    pub pieces: Vec<Nanos>,
    /// The answer.
    pub text: String,
    /// The reasoning that the server sent apart from the answer.
    pub reasoning: String,
    /// Token counts.
    pub usage: Usage,
    /// The server's word for why it stopped.
    pub finish_reason: Option<String>,
    /// The server's own times; dropped, with a flag, where they can't be true.
    pub server_timing: Option<ServerTiming>,
    /// What can't be true or looks odd, e.g. many pieces in one read.
    pub flags: Vec<String>,
    /// How it ended.
    pub outcome: Outcome,
}

/// An inference server with one model.
#[async_trait]
pub trait InferenceClient: Send + Sync {
    /// The id in the registry.
    fn id(&self) -> &'static str;
    /// The server's root, normalised, without `/v1` and trailing slash.
    fn base_url(&self) -> &str;
    /// The server's host and port.
    fn host(&self) -> (String, u16) {
        let url = reqwest::Url::parse(self.base_url()).ok();
        let host = url.as_ref().and_then(reqwest::Url::host_str).unwrap_or_default().to_owned();
        (host, url.and_then(|url| url.port_or_known_default()).unwrap_or_default())
    }
    /// Whether the server is there and ready. Cheap; changes nothing.
    async fn health(&self) -> Result<(), ClientError>;
    /// Checks that the server has the model, and has it load it.
    async fn prepare(&self) -> Result<ServerInfo, ClientError>;
    /// Opens connections for so many queries at once, before any of their clocks starts. What fails
    /// shows in the queries.
    async fn open_connections(&self, count: usize);
    /// Sends one prompt and takes the answer as it comes.
    async fn stream_chat_completion(&self, prompt: &str) -> Exchange;
}

/// A client that can be asked for by id.
#[derive(Debug, Clone, Copy)]
pub struct ClientKind {
    /// For `--client`.
    pub id: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// Where its server usually is; `None`: a URL must be given.
    pub default_url: Option<&'static str>,
}

/// All clients.
pub const CLIENTS: [ClientKind; 3] = [
    ClientKind {
        id: "ollama",
        help: "Ollama's own API (/api/chat)",
        default_url: Some("http://localhost:11434"),
    },
    ClientKind {
        id: "vllm",
        help: "vLLM's OpenAI-compatible API",
        default_url: Some("http://localhost:8000"),
    },
    ClientKind {
        id: "openai",
        help: "any OpenAI-compatible server (llama.cpp, SGLang, LM Studio, ...); needs --client-base-url",
        default_url: None,
    },
];

/// The client with this id.
///
/// # Errors
/// An unknown id, a missing or unusable base URL.
pub fn build(id: &str, config: ClientConfig) -> Result<Arc<dyn InferenceClient>, ClientError> {
    let kind = CLIENTS
        .iter()
        .find(|kind| kind.id == id)
        .ok_or_else(|| ClientError::UnknownClient(id.to_owned()))?;
    match kind.id {
        "ollama" => Ok(Arc::new(ollama::Ollama::new(kind, config)?)),
        _ => Ok(Arc::new(openai::OpenAi::new(kind, config)?)),
    }
}
