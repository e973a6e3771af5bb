//! A whole HTTP answer, and what it says went wrong. Pure but for its making.

use std::time::Duration;

use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER, SERVER};
use serde_json::Value;

use super::ClientError;
use super::error::quote;

/// A server that asks for more than a day is as good as gone; the number would only overflow.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(86_400);

/// The answer to a request that isn't streamed.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(super) url: String,
    pub(crate) status: u16,
    pub(super) server: Option<String>,
    pub(crate) body: Vec<u8>,
    content_type: String,
    pub(crate) location: Option<String>,
    pub(crate) retry_after: Option<Duration>,
}

impl Reply {
    /// The head of an answer whose body is still to be read.
    pub(crate) fn new(response: &Response) -> Self {
        let headers = response.headers();
        Self {
            url: response.url().to_string(),
            status: response.status().as_u16(),
            server: header(headers, SERVER.as_str()),
            body: Vec::new(),
            content_type: header(headers, CONTENT_TYPE.as_str()).unwrap_or_default(),
            location: header(headers, LOCATION.as_str()),
            retry_after: header(headers, RETRY_AFTER.as_str()).and_then(|value| seconds(&value)),
        }
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(crate) fn is_web_page(&self) -> bool {
        is_html(&self.content_type)
    }

    /// The body as JSON, if it is that.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The body of a success as JSON; else the error that this answer is.
    pub(super) fn expect_json(&self, expected: &'static str) -> Result<Value, ClientError> {
        if !self.is_success() {
            return Err(self.failure());
        }
        self.json().ok_or_else(|| self.not_like(expected))
    }

    /// The error of an answer from which something else was expected.
    pub(super) fn not_like(&self, expected: &'static str) -> ClientError {
        ClientError::WrongServer {
            url: self.url.clone(),
            expected,
            found: self.description(),
            advice: "check --client and --client-base-url".to_owned(),
        }
    }

    /// What answered, in a few words.
    pub(super) fn description(&self) -> String {
        let server =
            self.server.as_ref().map(|name| format!(" from `{}`", quote(name))).unwrap_or_default();
        if self.is_web_page() {
            return format!("a web page (HTTP {}){server}", self.status);
        }
        match self.message().as_str() {
            "" => format!("HTTP {}{server}", self.status),
            message => format!("HTTP {}{server}: {message}", self.status),
        }
    }

    /// What kind of failure a status outside 2xx means.
    pub(super) fn failure(&self) -> ClientError {
        let (url, status, message) = (self.url.clone(), self.status, self.message());
        match self.status {
            300..=399 => ClientError::Redirected {
                url,
                status,
                target: self.location.as_deref().map_or("nowhere".to_owned(), quote),
            },
            401 | 403 => ClientError::Unauthorized { url, status, message },
            404 | 405 => self.not_like("an inference server"),
            429 => ClientError::Overloaded { url, status, message, retry_after: self.retry_after },
            503 if self.is_loading() => ClientError::NotReady { url, message },
            503 => ClientError::Overloaded { url, status, message, retry_after: self.retry_after },
            400..=499 if self.is_too_long() => ClientError::ContextTooLong { url, message },
            400..=499 => ClientError::Rejected { url, status, message },
            _ => ClientError::ServerFailed { url, status, message },
        }
    }

    /// What the server says, shortened; empty if it says nothing to be read by people.
    pub(crate) fn message(&self) -> String {
        if self.is_web_page() {
            return "a web page".to_owned();
        }
        match self.json() {
            Some(json) => error_text(&json),
            None => quote(&String::from_utf8_lossy(&self.body)),
        }
    }

    fn is_loading(&self) -> bool {
        self.message().to_lowercase().contains("loading")
    }

    fn is_too_long(&self) -> bool {
        let body = String::from_utf8_lossy(&self.body).to_lowercase();
        ["exceed_context_size", "context_length_exceeded", "maximum context length", "context size"]
            .iter()
            .any(|sign| body.contains(sign))
    }
}

/// The words in the JSON of an error: `error.message`, `error`, `message` or `detail`.
pub(super) fn error_text(json: &Value) -> String {
    let error = json.get("error").unwrap_or(json);
    let words = [error.get("message"), Some(error), json.get("message"), json.get("detail")];
    match words.into_iter().flatten().find_map(Value::as_str) {
        Some(words) => quote(words),
        None => quote(&json.to_string()),
    }
}

/// The error of a web page where a stream was expected.
pub(super) fn web_page(response: &Response) -> Option<ClientError> {
    let reply = Reply::new(response);
    reply.is_web_page().then(|| reply.not_like("an inference server"))
}

fn is_html(content_type: &str) -> bool {
    content_type.trim_start().to_ascii_lowercase().starts_with("text/html")
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// `Retry-After` in seconds. Its other form, a date, would need the server's clock to be right.
fn seconds(value: &str) -> Option<Duration> {
    let seconds = value.trim().parse::<f64>().ok()?;
    let wait = Duration::try_from_secs_f64(seconds).ok()?;
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            url: "http://x/y".to_owned(),
            status,
            server: None,
            body: body.as_bytes().to_vec(),
            content_type: "application/json".to_owned(),
            location: None,
            retry_after: seconds("7"),
        }
    }

    #[test]
    fn statuses_become_what_the_caller_can_act_on() {
        let loading = r#"{"error":{"message":"Loading model","type":"unavailable_error"}}"#;
        assert!(matches!(reply(503, loading).failure(), ClientError::NotReady { .. }));
        let busy = reply(503, "{}").failure();
        assert_eq!(busy.retry_after(), Some(Duration::from_secs(7)));
        assert!(matches!(reply(429, "").failure(), ClientError::Overloaded { .. }));
        assert!(matches!(reply(401, "").failure(), ClientError::Unauthorized { .. }));
        assert!(matches!(reply(302, "").failure(), ClientError::Redirected { .. }));
        assert!(matches!(reply(404, "").failure(), ClientError::WrongServer { .. }));
        assert!(matches!(reply(500, "").failure(), ClientError::ServerFailed { .. }));
        assert!(matches!(reply(422, "{}").failure(), ClientError::Rejected { .. }));
    }

    #[test]
    fn the_words_are_found_wherever_servers_put_them() {
        for (body, words) in [
            (r#"{"error":{"message":"a"}}"#, "a"),
            (r#"{"error":"b"}"#, "b"),
            (r#"{"detail":"Not Found"}"#, "Not Found"),
            (r#"{"message":"c"}"#, "c"),
            ("plain\nwords", "plain words"),
            ("", ""),
        ] {
            assert_eq!(reply(400, body).message(), words);
        }
    }

    #[test]
    fn a_retry_after_that_is_no_time_is_none() {
        assert_eq!(seconds("1.5"), Some(Duration::from_millis(1_500)));
        assert_eq!(seconds("1e300"), None);
        for odd in ["-1", "NaN", "soon", "", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert_eq!(seconds(odd), None, "{odd}");
        }
        assert_eq!(seconds("9999999"), Some(MAX_RETRY_AFTER));
    }
}
