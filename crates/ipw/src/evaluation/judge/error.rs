//! What can go wrong between us and a judge, and what the caller may do about it.
//!
//! Every message says what happened, at which URL, and what to do next. What a server said is quoted
//! shortened and without the key; no variant ever holds one.

use std::time::Duration;

use thiserror::Error;

/// Why a judge gave no verdict, or could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JudgeError {
    /// The base URL can't be used.
    #[error(
        "unusable URL of the judge: {reason}; give its server's root as --eval-base-url, e.g. \
         http://localhost:8000"
    )]
    BadUrl {
        /// What is wrong with it.
        reason: String,
    },
    /// The key would cross the network in the clear.
    #[error(
        "refusing to send the judge's API key over plain http to {url}; use https, or unset \
         IPW_EVAL_API_KEY and OPENAI_API_KEY if the judge needs none"
    )]
    KeyOverPlainHttp {
        /// The server's root.
        url: String,
    },
    /// The key has characters that no header can carry.
    #[error(
        "the API key for the judge at {url} is not printable ASCII; check IPW_EVAL_API_KEY and \
         OPENAI_API_KEY for stray characters"
    )]
    UnusableKey {
        /// The server's root.
        url: String,
    },
    /// The HTTP client itself could not be set up.
    #[error(
        "can't set up an HTTP client for the judge at {url}: {reason}; check the system's CA \
         certificates and proxy settings"
    )]
    Setup {
        /// The server's root.
        url: String,
        /// What failed.
        reason: String,
    },
    /// 401 or 403.
    #[error(
        "the judge at {url} refused access (HTTP {status}): {message}; set IPW_EVAL_API_KEY (or \
         OPENAI_API_KEY) to a valid key, then finish with `ipw analyze`"
    )]
    Unauthorized {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// 402, or 429 for good.
    #[error(
        "the account at the judge {url} has nothing left (HTTP {status}): {message}; top it up, then \
         finish with `ipw analyze`"
    )]
    OutOfCredit {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// 404 or 405: no such model, or no such path.
    #[error(
        "{url} has no judge `{model}` (HTTP {status}): {message}; check --eval-model and \
         --eval-base-url"
    )]
    NotFound {
        /// What was asked.
        url: String,
        /// The model that was asked for.
        model: String,
        /// The HTTP status.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// The server sends us elsewhere; that is not followed, as the key would go there.
    #[error(
        "the judge at {url} redirects (HTTP {status}) to {target}; give that server's root as \
         --eval-base-url if it is to be trusted"
    )]
    Redirected {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Where to.
        target: String,
    },
    /// A page for people.
    #[error("{url} answered with a web page; give the judge's server as --eval-base-url")]
    WebPage {
        /// What was asked.
        url: String,
    },
    /// So many failures in a row that there is no use in going on.
    #[error("the judge failed {failures} times in a row and was given up, the last time: {last}")]
    GivenUp {
        /// How many cases failed.
        failures: usize,
        /// How the last one did.
        last: Box<JudgeError>,
    },
    /// No connection.
    #[error("can't reach the judge at {url}: {reason}; is it running, and --eval-base-url right?")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why not.
        reason: String,
    },
    /// The connection broke.
    #[error(
        "lost the connection to the judge at {url}: {reason}; look into its log, and finish with \
         `ipw analyze`"
    )]
    ConnectionLost {
        /// What was asked.
        url: String,
        /// Whether the answer had begun.
        after_first_byte: bool,
        /// How it broke.
        reason: String,
    },
    /// Waited too long.
    #[error(
        "waited {}s for the judge at {url}; it may be overloaded or stuck: look into its log, and \
         finish with `ipw analyze`",
        .after.as_secs_f64()
    )]
    Timeout {
        /// What was asked.
        url: String,
        /// How long was waited.
        after: Duration,
    },
    /// 408, 429 or 5xx.
    #[error(
        "the judge at {url} can't answer now (HTTP {status}): {message}; finish later with \
         `ipw analyze`"
    )]
    Unavailable {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The server's words.
        message: String,
        /// When to come back, if the server says.
        retry_after: Option<Duration>,
    },
    /// Any other 4xx.
    #[error(
        "the judge at {url} rejected the request (HTTP {status}): {message}; try another \
         --eval-model"
    )]
    Rejected {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// The answer isn't a chat completion.
    #[error(
        "{url} sent what is no chat completion: {reason}; check that --eval-base-url is an \
         OpenAI-compatible server"
    )]
    Malformed {
        /// What was asked.
        url: String,
        /// What came.
        reason: String,
    },
    /// The answer is beyond all measure.
    #[error("{url} sent more than {limit_bytes} bytes for a verdict; check what answers there")]
    TooLarge {
        /// What was asked.
        url: String,
        /// The bound.
        limit_bytes: usize,
    },
}

impl JudgeError {
    /// Whether every other case would fail as well.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.is_usage()
            || matches!(
                self,
                Self::Setup { .. }
                    | Self::Unauthorized { .. }
                    | Self::OutOfCredit { .. }
                    | Self::NotFound { .. }
                    | Self::Redirected { .. }
                    | Self::WebPage { .. }
                    | Self::GivenUp { .. }
            )
    }

    /// Whether what the user asked for can't be tried at all.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::BadUrl { .. } | Self::KeyOverPlainHttp { .. } | Self::UnusableKey { .. }
        )
    }

    /// Whether the same request may be answered if it is sent again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::ConnectionLost { .. }
                | Self::Timeout { .. }
                | Self::Unavailable { .. }
                | Self::Malformed { .. }
        )
    }

    /// When the server asks to come back.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
