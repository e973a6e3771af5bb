//! What failed when a request or its answer did not come through. Pure.

use std::error::Error as StdError;
use std::io::ErrorKind;

use super::ClientError;
use super::error::quote;

/// Why no head came.
pub(super) enum NoHead {
    /// The connection opened, then died.
    Died(ClientError),
    /// Anything else.
    Failed(ClientError),
}

impl From<NoHead> for ClientError {
    fn from(no_head: NoHead) -> Self {
        match no_head {
            NoHead::Died(error) | NoHead::Failed(error) => error,
        }
    }
}

/// What it means that a request got no head.
pub(super) fn no_head(url: String, error: &reqwest::Error) -> NoHead {
    let reason = root_cause(error);
    if error.is_connect() {
        return NoHead::Failed(ClientError::Unreachable { url, reason });
    }
    if is_no_http(error) {
        let reason = format!("no HTTP answer ({reason})");
        return NoHead::Failed(ClientError::Malformed { url, reason });
    }
    NoHead::Died(ClientError::ConnectionLost { url, after_first_byte: false, reason })
}

/// Whether the peer closed the connection in an orderly way, though the body wasn't at its end.
pub(super) fn is_cut(error: &reqwest::Error) -> bool {
    innermost::<hyper::Error>(error).is_some_and(hyper::Error::is_incomplete_message)
        || innermost::<std::io::Error>(error)
            .is_some_and(|error| error.kind() == ErrorKind::UnexpectedEof)
}

/// Whether the peer said something, but nothing of HTTP.
fn is_no_http(error: &reqwest::Error) -> bool {
    let died = |error: &hyper::Error| {
        error.is_incomplete_message()
            || error.is_canceled()
            || error.is_closed()
            || error.is_body_write_aborted()
    };
    innermost::<std::io::Error>(error).is_none()
        && innermost::<hyper::Error>(error).is_some_and(|error| !died(error))
}

fn innermost<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut found = None;
    let mut next = Some(error);
    while let Some(error) = next {
        found = error.downcast_ref().or(found);
        next = error.source();
    }
    found
}

/// The innermost cause, which is what a user can act on.
pub(crate) fn root_cause(error: &(dyn StdError + 'static)) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    quote(&innermost.to_string())
}
