//! What can go wrong between us and an inference server, and what the caller may do about it.
//!
//! Every message says what happened, at which URL, and what to do next. What a server said is quoted
//! shortened and without control characters. No variant ever holds a key.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

/// Most characters of a server's own words in an error.
const QUOTE_CHARS: usize = 300;

/// What was awaited when the time was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// The head of the answer.
    FirstByte,
    /// The next piece of an answer that had begun.
    NextPiece,
    /// The end of the whole exchange.
    End,
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstByte => "the first byte of an answer",
            Self::NextPiece => "the next piece of the answer",
            Self::End => "the end of the answer",
        })
    }
}

/// Why an exchange with an inference server failed, or could not be tried.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClientError {
    /// No client has this id.
    #[error("there is no client `{0}`; `ipw list clients` names them")]
    UnknownClient(String),
    /// The base URL can't be used.
    #[error("unusable base URL: {reason}; give the server's root, e.g. {example}")]
    BadUrl {
        /// What is wrong with it.
        reason: String,
        /// What would be right.
        example: String,
    },
    /// The key would cross the network in the clear.
    #[error(
        "refusing to send the API key over plain http to {url}; use https, or unset \
         IPW_CLIENT_API_KEY if the server needs none"
    )]
    KeyOverPlainHttp {
        /// The server's root.
        url: String,
    },
    /// The key has characters that no header can carry.
    #[error(
        "the API key for {url} is not printable ASCII; check IPW_CLIENT_API_KEY for stray characters"
    )]
    UnusableKey {
        /// The server's root.
        url: String,
    },
    /// A client parameter would change what is ours to set.
    #[error("--client-param {name}=... can't be given: {reason}")]
    ReservedParam {
        /// The parameter's name.
        name: String,
        /// Who sets it.
        reason: String,
    },
    /// The HTTP client itself could not be set up.
    #[error(
        "can't set up an HTTP client for {url}: {reason}; check the system's CA certificates and proxy settings"
    )]
    Setup {
        /// The server's root.
        url: String,
        /// What failed.
        reason: String,
    },
    /// No connection.
    #[error("can't reach {url}: {reason}; is the server running, and --client-base-url right?")]
    Unreachable {
        /// What was to be opened.
        url: String,
        /// Why not.
        reason: String,
    },
    /// The connection broke.
    #[error("lost the connection to {url} {}: {reason}; look into the server's log", moment(*.after_first_byte))]
    ConnectionLost {
        /// What had been asked.
        url: String,
        /// Whether the answer had begun.
        after_first_byte: bool,
        /// How it broke.
        reason: String,
    },
    /// Waited too long.
    #[error("waited {}s for {awaited} from {url}; the server may be overloaded or stuck: look into its log, or raise --timeout", .after.as_secs_f64())]
    Timeout {
        /// What had been asked.
        url: String,
        /// What didn't come.
        awaited: Awaited,
        /// How long was waited.
        after: Duration,
    },
    /// The server is there but still loads.
    #[error("{url} is not ready yet: {message}; wait until the model is loaded")]
    NotReady {
        /// What was asked.
        url: String,
        /// The server's words.
        message: String,
    },
    /// 429 or 503: the server has too much to do.
    #[error(
        "{url} is overloaded (HTTP {status}): {message}; try later, or when fewer clients use it"
    )]
    Overloaded {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The server's words.
        message: String,
        /// When to come back, if the server says.
        retry_after: Option<Duration>,
    },
    /// The server has no such model.
    #[error("the server at {url} has no model `{model}`{}; {remedy}", listing(.available, *.total))]
    ModelMissing {
        /// The server's root.
        url: String,
        /// What was asked for.
        model: String,
        /// Some of the models there, the nearest name first.
        available: Vec<String>,
        /// How many there are, if known.
        total: Option<usize>,
        /// What to do.
        remedy: String,
    },
    /// Something answers, but not what was expected there.
    #[error("{url} answered, but not like {expected}: {found}; {advice}")]
    WrongServer {
        /// What was asked.
        url: String,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: String,
        /// What to try.
        advice: String,
    },
    /// The server sends us elsewhere; that is not followed, as time and energy would be another's.
    #[error(
        "{url} redirects (HTTP {status}) to {target}; give that server's root as --client-base-url"
    )]
    Redirected {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Where to.
        target: String,
    },
    /// 401 or 403.
    #[error(
        "{url} refused access (HTTP {status}): {message}; set IPW_CLIENT_API_KEY to a valid key"
    )]
    Unauthorized {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// The prompt and the answer don't fit into the context.
    #[error(
        "the prompt is too long for the model's context at {url}: {message}; serve it with a larger context"
    )]
    ContextTooLong {
        /// What was asked.
        url: String,
        /// The server's words.
        message: String,
    },
    /// Any other 4xx.
    #[error(
        "{url} rejected the request (HTTP {status}): {message}; check --client-param and the model"
    )]
    Rejected {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// Any other 5xx.
    #[error("{url} failed (HTTP {status}): {message}; look into the server's log")]
    ServerFailed {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// The answer began well, then the server reported an error in it.
    #[error(
        "{url} reported an error in the middle of its answer: {message}; look into the server's log"
    )]
    ErrorInStream {
        /// What was asked.
        url: String,
        /// The server's words.
        message: String,
    },
    /// The answer isn't in the protocol.
    #[error("{url} sent what isn't the protocol: {reason}; check that --client fits the server")]
    Malformed {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The answer is beyond all measure.
    #[error(
        "{url} sent {what} of more than {limit_bytes} bytes; given up: check what answers there"
    )]
    TooLarge {
        /// What was asked.
        url: String,
        /// What was too large.
        what: &'static str,
        /// The bound.
        limit_bytes: usize,
    },
}

impl ClientError {
    /// Whether the same request may be sent again: nothing of an answer had come, and the cause may
    /// pass.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::ConnectionLost { after_first_byte: false, .. }
                | Self::NotReady { .. }
                | Self::Overloaded { .. }
        )
    }

    /// When the server asks to come back.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the server or the model isn't there for us, whatever the prompt.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::ConnectionLost { .. }
                | Self::NotReady { .. }
                | Self::Overloaded { .. }
                | Self::ModelMissing { .. }
                | Self::WrongServer { .. }
                | Self::Redirected { .. }
                | Self::Unauthorized { .. }
        )
    }

    /// Whether what the user asked for can't be tried at all.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::UnknownClient(_)
                | Self::BadUrl { .. }
                | Self::KeyOverPlainHttp { .. }
                | Self::UnusableKey { .. }
                | Self::ReservedParam { .. }
        )
    }

    /// Whether time ran out.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }
}

fn moment(after_first_byte: bool) -> &'static str {
    if after_first_byte { "in the middle of its answer" } else { "before it answered" }
}

fn listing(available: &[String], total: Option<usize>) -> String {
    if available.is_empty() {
        return if total == Some(0) { " (it has none)".to_owned() } else { String::new() };
    }
    let names = available.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match total.map(|total| total.saturating_sub(available.len())) {
        Some(others) if others > 0 => format!(" (it has {names} and {others} more)"),
        _ => format!(" (it has {names})"),
    }
}

/// A server's words, fit to stand in an error: one line, no control characters, shortened.
pub(crate) fn quote(words: &str) -> String {
    let mut clean = words
        .split(|character: char| character.is_control() || character.is_whitespace())
        .filter(|word| !word.is_empty())
        .flat_map(|word| [" ", word])
        .skip(1)
        .flat_map(str::chars);
    let mut quoted: String = clean.by_ref().take(QUOTE_CHARS).collect();
    if clean.next().is_some() {
        quoted.push_str("...");
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_one_short_line_without_control_characters() {
        assert_eq!(quote("a\x1b[31m\r\n  b\0c\t"), "a [31m b c");
        assert_eq!(quote(&"x".repeat(500)).chars().count(), QUOTE_CHARS + 3);
        assert_eq!(quote(""), "");
    }

    #[test]
    fn only_what_came_before_the_first_byte_is_sent_again() {
        let lost = |after_first_byte| ClientError::ConnectionLost {
            url: "http://x".to_owned(),
            after_first_byte,
            reason: "reset".to_owned(),
        };
        assert!(lost(false).is_retryable());
        assert!(!lost(true).is_retryable());
        let malformed =
            ClientError::Malformed { url: "http://x".to_owned(), reason: "no".to_owned() };
        assert!(!malformed.is_retryable() && !malformed.is_unavailable());
    }

    #[test]
    fn a_missing_model_names_the_ones_there_and_counts_the_rest() {
        let missing = ClientError::ModelMissing {
            url: "http://x".to_owned(),
            model: "a".to_owned(),
            available: vec!["ab".to_owned(), "b".to_owned()],
            total: Some(5),
            remedy: "give one of these as --model".to_owned(),
        };
        assert_eq!(
            missing.to_string(),
            "the server at http://x has no model `a` (it has `ab`, `b` and 3 more); give one of \
             these as --model"
        );
    }
}
