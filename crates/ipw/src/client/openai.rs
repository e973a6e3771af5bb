//! The OpenAI-compatible protocol: `/v1/chat/completions` as server-sent events, and what vLLM,
//! llama.cpp and others add to it.
//!
//! Ends at `data: [DONE]`. A stream without it that ended by HTTP's rules after a finish reason is
//! complete too, and flagged. Without a finish reason it is truncated, whatever its end.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::exchange::TimingCheck;
use super::http::Http;
use super::openai_stream::CompletionReader;
use super::params::{check, option_fields};
use super::reply::Reply;
use super::{
    ClientConfig, ClientError, ClientKind, Exchange, InferenceClient, Outcome, ServerInfo, models,
};

const COMPLETIONS: &str = "/v1/chat/completions";
const MODELS: &str = "/v1/models";
const HEALTH: &str = "/health";
/// `n` would have several answers share one query's energy.
const RESERVED: [&str; 4] = ["model", "messages", "stream", "n"];
/// Some models take the limit only under this name; a user gives it as a parameter.
const OTHER_LIMIT: &str = "max_completion_tokens";
const SERVER: &str = "an OpenAI-compatible server";
const REMEDY: &str = "give one of the server's models as --model";
/// What the request that loads the model asks.
const FIRST_PROMPT: &str = "Hi";

/// How much of `stream_options` the server takes: each 400 that names them takes one away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StreamOptions {
    /// Usage in each chunk and at the end.
    Continuous = 0,
    /// Usage at the end.
    Final = 1,
    /// None.
    Unsupported = 2,
}

/// A client of one model of one OpenAI-compatible server.
pub(super) struct OpenAi {
    kind: &'static ClientKind,
    http: Http,
    config: ClientConfig,
    stream_options: AtomicU8,
    /// Whether there is a `/health`, as far as is known.
    has_health: AtomicBool,
    timing: TimingCheck,
}

impl OpenAi {
    /// # Errors
    /// An unusable URL or parameter.
    pub(super) fn new(
        kind: &'static ClientKind,
        config: ClientConfig,
    ) -> Result<Self, ClientError> {
        check(&config, &RESERVED, &option_fields(&config, "max_tokens"))?;
        let http = Http::new(kind, &config)?;
        let stream_options = AtomicU8::new(StreamOptions::Continuous as u8);
        Ok(Self {
            kind,
            http,
            config,
            stream_options,
            has_health: AtomicBool::new(true),
            timing: TimingCheck::default(),
        })
    }

    fn body(&self, prompt: &str, limit: Option<u64>, options: StreamOptions) -> Value {
        let mut body = json!({
            "model": self.config.model,
            "messages": [{"role": "user", "content": prompt}],
            "stream": true,
        });
        match options {
            StreamOptions::Continuous => {
                body["stream_options"] =
                    json!({"include_usage": true, "continuous_usage_stats": true});
            }
            StreamOptions::Final => body["stream_options"] = json!({"include_usage": true}),
            StreamOptions::Unsupported => (),
        }
        if let Some(temperature) = self.config.temperature {
            body["temperature"] = temperature.into();
        }
        if let Some(seed) = self.config.seed {
            body["seed"] = seed.into();
        }
        if let Some(most) = self.config.max_tokens {
            body["max_tokens"] = most.into();
        }
        for (name, value) in &self.config.params {
            body[name] = value.clone();
        }
        if let Some(limit) = limit {
            let name = if body.get(OTHER_LIMIT).is_some() { OTHER_LIMIT } else { "max_tokens" };
            body[name] = limit.into();
        }
        body
    }

    /// Sends a prompt, with less of `stream_options` if the server objects to them.
    async fn complete(&self, prompt: &str, limit: Option<u64>) -> Exchange {
        loop {
            let options = self.stream_options();
            let exchange = self.send(&self.body(prompt, limit, options)).await;
            let Outcome::Failed(ClientError::Rejected { message, .. }) = &exchange.outcome else {
                return exchange;
            };
            let Some(fewer) = fewer_options(options, message) else { return exchange };
            self.stream_options.store(fewer as u8, Ordering::Relaxed);
        }
    }

    async fn send(&self, body: &Value) -> Exchange {
        let mut reader = CompletionReader::new(format!("{}{COMPLETIONS}", self.http.root()));
        let mut exchange = self.http.stream(self.probe(), COMPLETIONS, body, &mut reader).await;
        if let Outcome::Failed(error) = exchange.outcome {
            let (root, model) = (self.http.root(), &self.config.model);
            exchange.outcome = Outcome::Failed(models::told_from_path(error, root, model, REMEDY));
        }
        self.timing.apply(exchange)
    }

    /// A path that costs the server nothing, and isn't refused: some close the connection after a
    /// refusal.
    fn probe(&self) -> &'static str {
        if self.has_health.load(Ordering::Relaxed) { HEALTH } else { MODELS }
    }

    fn stream_options(&self) -> StreamOptions {
        match self.stream_options.load(Ordering::Relaxed) {
            0 => StreamOptions::Continuous,
            1 => StreamOptions::Final,
            _ => StreamOptions::Unsupported,
        }
    }

    /// The server's account of the model, from its list; `None` if it has no list.
    async fn listed(&self) -> Result<Option<Listed>, ClientError> {
        let reply = self.http.get(MODELS).await?;
        if matches!(reply.status, 404 | 405) {
            return Ok(None);
        }
        if reply.is_web_page() {
            return Err(reply.not_like(SERVER));
        }
        let list = reply.expect_json(SERVER)?;
        let Some(entries) = list.get("data").and_then(Value::as_array) else {
            return Err(reply.not_like(SERVER));
        };
        let model = entries
            .iter()
            .find(|entry| names(entry).any(|listed| models::is_same(listed, &self.config.model)))
            .cloned()
            .ok_or_else(|| {
                let listed = entries.iter().flat_map(names).map(str::to_owned).collect();
                models::missing(self.http.root(), &self.config.model, listed, REMEDY)
            })?;
        Ok(Some(Listed { model, server_header: reply.server }))
    }

    async fn describe(&self, listed: &Listed) -> ServerInfo {
        let mut info = listed.info();
        match info.server.as_deref() {
            Some("vllm") => info.version = self.text_at("/version", "/version").await,
            Some("ollama") => info.version = self.text_at("/api/version", "/version").await,
            Some("llama.cpp") => self.describe_llama_cpp(&mut info).await,
            _ => (),
        }
        info
    }

    /// llama.cpp's list has the context the model was trained with; the one it serves is elsewhere.
    async fn describe_llama_cpp(&self, info: &mut ServerInfo) {
        let Some(props) = self.json_at("/props").await else { return };
        // A build outside its repository doesn't know its version.
        info.version = text_in(&props, "/build_info").filter(|build| !build.ends_with("unknown"));
        let served = props.pointer("/default_generation_settings/n_ctx").and_then(Value::as_u64);
        info.context_length = served.or(info.context_length);
    }

    async fn text_at(&self, path: &str, pointer: &str) -> Option<String> {
        text_in(&self.json_at(path).await?, pointer)
    }

    async fn json_at(&self, path: &str) -> Option<Value> {
        let reply = self.http.get(path).await.ok()?;
        if reply.is_success() { reply.json() } else { None }
    }

    /// Has the model loaded, and sees that it answers.
    async fn load(&self) -> Result<(), ClientError> {
        let exchange = self.complete(FIRST_PROMPT, Some(1)).await;
        match exchange.outcome {
            Outcome::Truncated if exchange.pieces.is_empty() => Err(ClientError::Malformed {
                url: format!("{}{COMPLETIONS}", self.http.root()),
                reason: "an answer without anything in it".to_owned(),
            }),
            Outcome::Complete | Outcome::Truncated => Ok(()),
            Outcome::Failed(error) => Err(self.explain(error).await),
        }
    }

    /// Says what to try where completions aren't to be found.
    async fn explain(&self, error: ClientError) -> ClientError {
        let ClientError::WrongServer { url, found, .. } = error else { return error };
        let advice = if self.json_at("/api/version").await.is_some() {
            "that is Ollama: use --client ollama".to_owned()
        } else {
            "give the root of an OpenAI-compatible server as --client-base-url".to_owned()
        };
        ClientError::WrongServer { url, expected: SERVER, found, advice }
    }

    fn is_other_than_asked(&self, info: &ServerInfo) -> Option<String> {
        let server = info.server.as_deref().unwrap_or("a server that doesn't name itself");
        (self.kind.id == "vllm" && server != "vllm").then(|| {
            format!(
                "{} is {server}, not vLLM; it is used as an OpenAI-compatible server, as with \
                 --client openai",
                self.http.root()
            )
        })
    }
}

#[async_trait]
impl InferenceClient for OpenAi {
    fn id(&self) -> &'static str {
        self.kind.id
    }

    fn base_url(&self) -> &str {
        self.http.root()
    }

    async fn health(&self) -> Result<(), ClientError> {
        let reply = self.http.get(HEALTH).await?;
        if reply.is_success() && !reply.is_web_page() {
            return Ok(());
        }
        if !matches!(reply.status, 200..=299 | 400..=499) {
            return Err(failure(&reply));
        }
        self.has_health.store(false, Ordering::Relaxed);
        let reply = self.http.get(MODELS).await?;
        match reply.status {
            // Without a list it may still complete: only `prepare` can tell.
            404 | 405 => Ok(()),
            _ if reply.is_web_page() => Err(reply.not_like(SERVER)),
            _ if reply.is_success() => Ok(()),
            _ => Err(failure(&reply)),
        }
    }

    async fn prepare(&self) -> Result<ServerInfo, ClientError> {
        let mut info = match self.listed().await? {
            Some(listed) => self.describe(&listed).await,
            None => ServerInfo {
                warnings: vec![format!(
                    "{} has no {MODELS}: whether it has `{}` can't be checked, it answers to any \
                     name it likes",
                    self.http.root(),
                    self.config.model
                )],
                ..ServerInfo::default()
            },
        };
        self.load().await?;
        if self.stream_options() == StreamOptions::Unsupported {
            info.warnings.push(format!(
                "{} takes no stream_options: token counts are unknown unless it sends them anyway",
                self.http.root()
            ));
        }
        info.warnings.extend(self.is_other_than_asked(&info));
        Ok(info)
    }

    async fn open_connections(&self, count: usize) {
        self.http.open_connections(self.probe(), count).await;
    }

    async fn stream_chat_completion(&self, prompt: &str) -> Exchange {
        self.complete(prompt, None).await
    }
}

/// A health answer of 503 means that the server is there but not ready, whatever its words.
fn failure(reply: &Reply) -> ClientError {
    match reply.failure() {
        ClientError::Overloaded { url, status: 503, message, .. } => {
            ClientError::NotReady { url, message }
        }
        other => other,
    }
}

/// What to leave out after a 400 that names stream options, if anything is left.
fn fewer_options(options: StreamOptions, message: &str) -> Option<StreamOptions> {
    let names = |name| message.contains(name);
    match options {
        StreamOptions::Continuous if names("continuous_usage_stats") => Some(StreamOptions::Final),
        StreamOptions::Continuous | StreamOptions::Final
            if names("stream_options") || names("include_usage") =>
        {
            Some(StreamOptions::Unsupported)
        }
        _ => None,
    }
}

/// The model's entry in the server's list.
struct Listed {
    model: Value,
    server_header: Option<String>,
}

impl Listed {
    fn info(&self) -> ServerInfo {
        let number = |pointer| self.model.pointer(pointer).and_then(Value::as_u64);
        ServerInfo {
            server: self.server(),
            version: None,
            parameter_count: number("/meta/n_params").filter(|count| *count > 0),
            expert_count: None,
            quantization: text_in(&self.model, "/meta/ftype"),
            context_length: number("/max_model_len")
                .or_else(|| number("/meta/n_ctx"))
                .or_else(|| number("/meta/n_ctx_train")),
            warnings: Vec::new(),
        }
    }

    /// The engine, where it says who it is: by the model's owner, else by the `Server` header.
    fn server(&self) -> Option<String> {
        let header = self.server_header.as_deref();
        let engine = match self.model.get("owned_by").and_then(Value::as_str) {
            Some("vllm") => "vllm",
            Some("sglang") => "sglang",
            Some("library") => "ollama",
            Some("llamacpp") => "llama.cpp",
            _ if header.is_some_and(|name| name.starts_with("llama.cpp")) => "llama.cpp",
            _ => return header.map(super::error::quote),
        };
        Some(engine.to_owned())
    }
}

/// All names of a listed model: its id, and llama.cpp's aliases.
fn names(entry: &Value) -> impl Iterator<Item = &str> {
    let id = entry.get("id").and_then(Value::as_str);
    let aliases = entry.get("aliases").and_then(Value::as_array).into_iter().flatten();
    id.into_iter().chain(aliases.filter_map(Value::as_str).filter(move |alias| Some(*alias) != id))
}

fn text_in(json: &Value, pointer: &str) -> Option<String> {
    json.pointer(pointer).and_then(Value::as_str).map(super::error::quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_options_go_one_by_one_and_only_if_named() {
        use StreamOptions::{Continuous, Final, Unsupported};
        let unknown = "Unknown parameter: 'stream_options.continuous_usage_stats'";
        assert_eq!(fewer_options(Continuous, unknown), Some(Final));
        assert_eq!(fewer_options(Final, "stream_options: extra inputs"), Some(Unsupported));
        assert_eq!(fewer_options(Continuous, "stream_options not allowed"), Some(Unsupported));
        assert_eq!(fewer_options(Unsupported, "stream_options"), None);
        assert_eq!(fewer_options(Continuous, "temperature must be 1"), None);
    }
}
