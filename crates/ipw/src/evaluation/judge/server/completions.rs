//! Chat completions of one server: what is sent, what comes back, and which failure it is.
//!
//! Sizes and times are bounded. What a server says is quoted without the key, should it repeat it. The
//! form of a reply is asked for as strictly as the server takes it, which is learnt from its refusals.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use reqwest::Client;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::JudgeConfig;
use crate::client::url::{root, text};
use crate::client::{ClientError, Reply, Timeouts, authorization, build_client, quote, root_cause};
use crate::evaluation::judge::format::Format;
use crate::evaluation::judge::{JudgeError, Ruling, parse};

/// Largest answer taken. A verdict is a sentence; the reasoning that some send beside it has some 100 kB.
const MOST_BYTES: usize = 1 << 20;
/// The code with which a 429 means that waiting doesn't help.
const NO_CREDIT: &str = "insufficient_quota";

/// The verdict of one answer, and what it says of itself.
#[derive(Debug)]
pub(super) struct Completion {
    pub(super) ruling: Ruling,
    /// The reason, or what was said instead of a verdict.
    pub(super) words: Option<String>,
    pub(super) model: Option<String>,
    pub(super) input_tokens: Option<u64>,
    pub(super) output_tokens: Option<u64>,
}

/// One model of one server.
#[derive(Debug)]
pub(super) struct Completions {
    client: Client,
    url: String,
    model: String,
    key: Option<SecretString>,
    timeout: Duration,
    /// The strictest [`Format`] that the server hasn't refused.
    format: AtomicU8,
}

impl Completions {
    /// # Errors
    /// An unusable URL or key, a key that would go over the network in the clear.
    pub(super) fn new(config: JudgeConfig) -> Result<Self, JudgeError> {
        let key = config.api_key.filter(|key| !key.expose_secret().is_empty());
        let at = root(&config.base_url, "").map_err(unusable)?;
        let headers = authorization(&at, key.as_ref()).map_err(unusable)?;
        let client = build_client(&at, headers, Timeouts::default())
            .map_err(|error| JudgeError::Setup { url: text(&at), reason: root_cause(&error) })?;
        Ok(Self {
            client,
            url: format!("{}/v1/chat/completions", text(&at)),
            model: config.model,
            key,
            timeout: config.timeout,
            format: AtomicU8::new(Format::Schema as u8),
        })
    }

    pub(super) fn model(&self) -> &str {
        &self.model
    }

    /// Sends a request, and with less in it if the server refuses a field.
    pub(super) async fn ask(&self, messages: &Value) -> Result<Completion, JudgeError> {
        loop {
            let format = Format::of(self.format.load(Ordering::Relaxed));
            let reply = self.exchange(&self.body(messages, format)).await?;
            if reply.is_success() {
                return self.completion(&reply);
            }
            let Some(weaker) = format.after(&reply) else { return Err(self.failure(&reply)) };
            // Of several in flight that learn this together none may go back, or a step too far.
            self.format.fetch_max(weaker as u8, Ordering::Relaxed);
        }
    }

    /// No temperature and no limit of tokens: hosted models refuse the one or the other.
    fn body(&self, messages: &Value, format: Format) -> Value {
        let mut body = json!({"model": self.model, "messages": messages, "stream": false});
        if let Some(field) = format.field() {
            body["response_format"] = field;
        }
        body
    }

    async fn exchange(&self, body: &Value) -> Result<Reply, JudgeError> {
        let exchanged = tokio::time::timeout(self.timeout, self.unbounded(body)).await;
        exchanged.unwrap_or_else(|_| {
            Err(JudgeError::Timeout { url: self.url.clone(), after: self.timeout })
        })
    }

    async fn unbounded(&self, body: &Value) -> Result<Reply, JudgeError> {
        let sent = self.client.post(&self.url).json(body).send().await;
        let mut response = sent.map_err(|error| self.lost(&error, false))?;
        let mut reply = Reply::new(&response);
        loop {
            match response.chunk().await {
                Ok(Some(bytes)) if reply.body.len() + bytes.len() <= MOST_BYTES => {
                    reply.body.extend_from_slice(&bytes);
                }
                Ok(None) => return Ok(reply),
                // What has come of an error is enough to say what it was.
                _ if !reply.is_success() => return Ok(reply),
                Ok(Some(_)) => {
                    return Err(JudgeError::TooLarge {
                        url: self.url.clone(),
                        limit_bytes: MOST_BYTES,
                    });
                }
                Err(error) => return Err(self.lost(&error, true)),
            }
        }
    }

    fn lost(&self, error: &reqwest::Error, after_first_byte: bool) -> JudgeError {
        let (url, reason) = (self.url.clone(), root_cause(error));
        if error.is_connect() {
            return JudgeError::Unreachable { url, reason };
        }
        JudgeError::ConnectionLost { url, after_first_byte, reason }
    }

    fn completion(&self, reply: &Reply) -> Result<Completion, JudgeError> {
        if reply.is_web_page() {
            return Err(JudgeError::WebPage { url: self.url.clone() });
        }
        let json = reply.json().unwrap_or_default();
        let Some(message) = json.pointer("/choices/0/message").filter(|it| it.is_object()) else {
            return Err(JudgeError::Malformed { url: self.url.clone(), reason: self.words(reply) });
        };
        // Where the model refuses to answer there is none.
        let content = message.get("content").and_then(Value::as_str).unwrap_or_default();
        let (ruling, words) = match parse(content) {
            Some(opinion) if opinion.is_correct => (Ruling::Correct, opinion.reason),
            Some(opinion) => (Ruling::Incorrect, opinion.reason),
            None => (Ruling::Unparsed, Some(content.to_owned())),
        };
        let tokens = |name: &str| json.get("usage")?.get(name)?.as_u64();
        Ok(Completion {
            ruling,
            words: words.map(|words| self.line(&words)).filter(|line| !line.is_empty()),
            model: json.get("model").and_then(Value::as_str).map(|model| self.line(model)),
            input_tokens: tokens("prompt_tokens"),
            output_tokens: tokens("completion_tokens"),
        })
    }

    /// What kind of failure a status outside 2xx means.
    fn failure(&self, reply: &Reply) -> JudgeError {
        let (url, status, message) = (self.url.clone(), reply.status, self.words(reply));
        match status {
            300..=399 => {
                let target = self.line(reply.location.as_deref().unwrap_or("nowhere"));
                JudgeError::Redirected { url, status, target }
            }
            401 | 403 => JudgeError::Unauthorized { url, status, message },
            402 => JudgeError::OutOfCredit { url, status, message },
            429 if is_out_of_credit(reply) => JudgeError::OutOfCredit { url, status, message },
            404 | 405 => JudgeError::NotFound { url, model: self.model.clone(), status, message },
            408 | 429 | 500..=599 => {
                JudgeError::Unavailable { url, status, message, retry_after: reply.retry_after }
            }
            _ => JudgeError::Rejected { url, status, message },
        }
    }

    /// A server's words on its failure, shortened.
    fn words(&self, reply: &Reply) -> String {
        let mut reply = reply.clone();
        // Before it is shortened: half a key is no key that would be found.
        reply.body = self.without_key(&String::from_utf8_lossy(&reply.body)).into_bytes();
        match self.without_key(&reply.message()).as_str() {
            "" => "no message".to_owned(),
            words => words.to_owned(),
        }
    }

    /// A server's words as one line, shortened.
    fn line(&self, words: &str) -> String {
        quote(&self.without_key(words))
    }

    fn without_key(&self, words: &str) -> String {
        match &self.key {
            Some(key) => words.replace(key.expose_secret(), "[key]"),
            None => words.to_owned(),
        }
    }
}

/// Why the client could not be made, in words that name the judge's settings.
fn unusable(error: ClientError) -> JudgeError {
    match error {
        ClientError::KeyOverPlainHttp { url } => JudgeError::KeyOverPlainHttp { url },
        ClientError::UnusableKey { url } => JudgeError::UnusableKey { url },
        ClientError::BadUrl { reason, .. } => JudgeError::BadUrl { reason },
        other => JudgeError::BadUrl { reason: other.to_string() },
    }
}

fn is_out_of_credit(reply: &Reply) -> bool {
    let json = reply.json().unwrap_or_default();
    let says = |name: &str| json["error"][name] == NO_CREDIT;
    says("code") || says("type")
}
