//! Ollama's own protocol: `/api/chat` as one JSON text a line, and its account of models.
//!
//! Ends at the first line with `done: true`; a stream that ends without one is truncated.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::exchange::TimingCheck;
use super::http::Http;
use super::ollama_stream::ChatReader;
use super::params::{check, option_fields};
use super::reply::Reply;
use super::{
    ClientConfig, ClientError, ClientKind, Exchange, InferenceClient, Outcome, ServerInfo, models,
};

const CHAT: &str = "/api/chat";
const VERSION: &str = "/api/version";
const RESERVED: [&str; 3] = ["model", "messages", "stream"];
/// Fields of the request itself: among `options` Ollama would ignore them without a word.
const TOP_LEVEL: [&str; 3] = ["format", "keep_alive", "think"];
const SERVER: &str = "Ollama";

/// A client of one model of one Ollama.
pub(super) struct Ollama {
    kind: &'static ClientKind,
    http: Http,
    config: ClientConfig,
    timing: TimingCheck,
}

impl Ollama {
    /// # Errors
    /// An unusable URL or parameter.
    pub(super) fn new(
        kind: &'static ClientKind,
        config: ClientConfig,
    ) -> Result<Self, ClientError> {
        check(&config, &RESERVED, &option_fields(&config, "num_predict"))?;
        let http = Http::new(kind, &config)?;
        Ok(Self { kind, http, config, timing: TimingCheck::default() })
    }

    /// A request's fields, but for what it asks. The same options for each, as other ones would have
    /// Ollama load the model again.
    fn body(&self) -> Value {
        let mut options = Map::new();
        let mut body = json!({"model": self.config.model});
        if let Some(temperature) = self.config.temperature {
            options.insert("temperature".to_owned(), temperature.into());
        }
        if let Some(seed) = self.config.seed {
            options.insert("seed".to_owned(), seed.into());
        }
        if let Some(most) = self.config.max_tokens {
            options.insert("num_predict".to_owned(), most.into());
        }
        for (name, value) in &self.config.params {
            if TOP_LEVEL.contains(&name.as_str()) {
                body[name] = value.clone();
            } else {
                options.insert(name.clone(), value.clone());
            }
        }
        if !options.is_empty() {
            body["options"] = Value::Object(options);
        }
        body
    }

    async fn version(&self) -> Result<String, ClientError> {
        let reply = self.http.get(VERSION).await?;
        let version = reply.json().filter(|_| reply.is_success());
        match version.as_ref().and_then(|json| json.get("version")).and_then(Value::as_str) {
            Some(version) => Ok(super::error::quote(version)),
            None => Err(self.explain(&reply).await),
        }
    }

    /// Says what answers where Ollama should.
    async fn explain(&self, reply: &Reply) -> ClientError {
        let error = if reply.is_success() { reply.not_like(SERVER) } else { reply.failure() };
        let ClientError::WrongServer { url, found, .. } = error else { return error };
        let is_openai = match self.http.get("/v1/models").await {
            Ok(reply) => reply.is_success() && reply.json().is_some(),
            Err(_) => false,
        };
        let advice = if is_openai {
            "it speaks the OpenAI protocol: use --client openai or --client vllm"
        } else {
            "give Ollama's root as --client-base-url"
        };
        ClientError::WrongServer { url, expected: SERVER, found, advice: advice.to_owned() }
    }

    async fn find_model(&self) -> Result<(), ClientError> {
        let reply = self.http.get("/api/tags").await?;
        let tags = reply.expect_json(SERVER)?;
        let Some(entries) = tags.get("models").and_then(Value::as_array) else {
            return Err(reply.not_like(SERVER));
        };
        let name = |entry: &Value| {
            let name = entry.get("name").or_else(|| entry.get("model"));
            name.and_then(Value::as_str).map(str::to_owned)
        };
        let listed: Vec<String> = entries.iter().filter_map(name).collect();
        if listed.iter().any(|listed| models::is_same(listed, &self.config.model)) {
            return Ok(());
        }
        Err(models::missing(self.http.root(), &self.config.model, listed, &self.remedy()))
    }

    fn remedy(&self) -> String {
        format!(
            "run `ollama pull {}`, or give one of the server's models as --model",
            self.config.model
        )
    }

    async fn describe(&self, version: String) -> Result<ServerInfo, ClientError> {
        let reply = self.http.post("/api/show", &json!({"model": self.config.model})).await?;
        let show = reply.expect_json(SERVER)?;
        let number = |key: &str| show.get("model_info")?.get(key)?.as_u64().filter(|n| *n > 0);
        let architecture = show.pointer("/model_info/general.architecture").and_then(Value::as_str);
        let of_model = |key: &str| architecture.and_then(|name| number(&format!("{name}.{key}")));
        let trained = of_model("context_length");
        let asked = self.config.params.get("num_ctx").and_then(Value::as_u64);
        Ok(ServerInfo {
            server: Some("ollama".to_owned()),
            version: Some(version),
            parameter_count: number("general.parameter_count"),
            expert_count: of_model("expert_count"),
            quantization: show
                .pointer("/details/quantization_level")
                .and_then(Value::as_str)
                .filter(|level| !level.is_empty() && *level != "unknown")
                .map(super::error::quote),
            context_length: match (asked, trained) {
                (Some(asked), Some(trained)) => Some(asked.min(trained)),
                (asked, trained) => asked.or(trained),
            },
            warnings: if asked.is_none() { vec![context_warning(trained)] } else { Vec::new() },
        })
    }

    /// A request without a prompt has the model loaded and nothing generated.
    async fn load(&self) -> Result<(), ClientError> {
        let mut body = self.body();
        body["stream"] = false.into();
        let reply = self.http.post("/api/generate", &body).await?;
        let answer = reply.expect_json(SERVER)?;
        match answer.get("error") {
            Some(error) => Err(ClientError::ServerFailed {
                url: reply.url.clone(),
                status: reply.status,
                message: super::reply::error_text(error),
            }),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl InferenceClient for Ollama {
    fn id(&self) -> &'static str {
        self.kind.id
    }

    fn base_url(&self) -> &str {
        self.http.root()
    }

    async fn health(&self) -> Result<(), ClientError> {
        self.version().await.map(drop)
    }

    async fn prepare(&self) -> Result<ServerInfo, ClientError> {
        let version = self.version().await?;
        self.find_model().await?;
        let info = self.describe(version).await?;
        self.load().await?;
        Ok(info)
    }

    async fn open_connections(&self, count: usize) {
        self.http.open_connections(VERSION, count).await;
    }

    async fn stream_chat_completion(&self, prompt: &str) -> Exchange {
        let mut body = self.body();
        body["messages"] = json!([{"role": "user", "content": prompt}]);
        body["stream"] = true.into();
        let mut reader = ChatReader::new(format!("{}{CHAT}", self.http.root()));
        let mut exchange = self.http.stream(VERSION, CHAT, &body, &mut reader).await;
        if let Outcome::Failed(error) = exchange.outcome {
            let (root, model) = (self.http.root(), &self.config.model);
            exchange.outcome =
                Outcome::Failed(models::told_from_path(error, root, model, &self.remedy()));
        }
        self.timing.apply(exchange)
    }
}

fn context_warning(trained: Option<u64>) -> String {
    let most = trained.map(|most| format!(" (the model takes {most})")).unwrap_or_default();
    format!(
        "Ollama's default context is small, and longer prompts are cut without a word: give \
         --client-param num_ctx=8192 or what your prompts need{most}"
    )
}
