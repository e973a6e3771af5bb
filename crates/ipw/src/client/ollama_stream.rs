//! What the lines of Ollama's streamed chat say. Pure: bytes and their time in, a draft out.
//!
//! A line with `response` where `message` belongs is another endpoint's: it is refused, not guessed.

use std::time::Duration;

use energy_proto::Nanos;
use serde::Deserialize;
use serde_json::Value;

use super::error::quote;
use super::exchange::{self, Draft, Piece, line_too_long};
use super::http::AnswerReader;
use super::ndjson::JsonLines;
use super::reply::error_text;
use super::{ClientError, Outcome, ServerTiming};

#[derive(Deserialize)]
struct Line {
    error: Option<Value>,
    message: Option<Message>,
    #[serde(default)]
    response: Present,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
    prompt_eval_count: Option<Value>,
    prompt_eval_cached_count: Option<Value>,
    eval_count: Option<Value>,
    /// These four in ns; each may be absent.
    total_duration: Option<u64>,
    load_duration: Option<u64>,
    prompt_eval_duration: Option<u64>,
    eval_duration: Option<u64>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    thinking: Option<String>,
    tool_calls: Option<Vec<serde::de::IgnoredAny>>,
}

/// Whether a field is there, be it null.
#[derive(Default)]
struct Present(bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

/// Reads one streamed chat answer.
pub(super) struct ChatReader {
    url: String,
    lines: JsonLines,
    done: bool,
}

impl ChatReader {
    /// For an answer of `url`, which only errors name.
    pub(super) fn new(url: String) -> Self {
        Self { url, lines: JsonLines::default(), done: false }
    }

    fn line(&mut self, at: Nanos, line: &[u8], draft: &mut Draft) -> Result<(), ClientError> {
        let line: Line = serde_json::from_slice(line).map_err(|error| {
            let start = String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
            self.malformed(format!("a line that is no chat answer ({error}): {}", quote(&start)))
        })?;
        if let Some(error) = &line.error {
            return Err(ClientError::ErrorInStream {
                url: self.url.clone(),
                message: error_text(error),
            });
        }
        match &line.message {
            Some(message) => add_message(at, message, draft),
            None if line.response.0 => {
                return Err(self.malformed("`response` where `message` belongs".to_owned()));
            }
            None if !line.done => return Err(self.malformed("a line without `message`".to_owned())),
            None => (),
        }
        if line.done { self.last(line, draft) } else { Ok(()) }
    }

    fn last(&mut self, line: Line, draft: &mut Draft) -> Result<(), ClientError> {
        if line.done_reason.as_deref() == Some("load") {
            return Err(self.malformed("the model was loaded, and nothing answered".to_owned()));
        }
        self.done = true;
        draft.usage.input = draft.count(line.prompt_eval_count.as_ref());
        draft.usage.cached = draft.count(line.prompt_eval_cached_count.as_ref());
        draft.usage.output = draft.count(line.eval_count.as_ref());
        draft.server_timing = timing(&line);
        draft.finish_reason = line.done_reason;
        if draft.finish_reason.is_none() {
            // Builds of before 2024 say no reason; `done` alone is their end mark.
            draft.flag(exchange::NO_FINISH_REASON);
        }
        Ok(())
    }

    fn malformed(&self, reason: String) -> ClientError {
        ClientError::Malformed { url: self.url.clone(), reason }
    }
}

impl AnswerReader for ChatReader {
    fn take(&mut self, at: Nanos, bytes: &[u8], draft: &mut Draft) -> Result<bool, ClientError> {
        let mut lines = Vec::new();
        let taken = self.lines.take(bytes, |line| lines.push(line.to_vec()));
        for line in lines {
            self.line(at, &line, draft)?;
            if self.done {
                return Ok(true);
            }
        }
        taken.map(|()| false).map_err(|_| line_too_long(&self.url))
    }

    fn close(&mut self, at: Nanos, draft: &mut Draft) -> Result<Outcome, ClientError> {
        // A last line that doesn't parse was cut off with the stream.
        if let Some(last) = self.lines.finish()
            && serde_json::from_slice::<serde::de::IgnoredAny>(&last).is_ok()
        {
            self.line(at, &last, draft)?;
        }
        Ok(if self.done { Outcome::Complete } else { Outcome::Truncated })
    }

    fn ended(&self, _draft: &Draft) -> Outcome {
        Outcome::Complete
    }
}

fn add_message(at: Nanos, message: &Message, draft: &mut Draft) {
    draft.add(
        at,
        Piece {
            content: message.content.as_deref(),
            reasoning: message.thinking.as_deref(),
            tool_call: message.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty()),
        },
    );
}

fn timing(line: &Line) -> Option<ServerTiming> {
    let timing = ServerTiming {
        prefill: line.prompt_eval_duration.map(Duration::from_nanos),
        decode: line.eval_duration.map(Duration::from_nanos),
        total: line.total_duration.map(Duration::from_nanos),
        load: line.load_duration.map(Duration::from_nanos),
    };
    (timing != ServerTiming::default()).then_some(timing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Draft, Result<bool, ClientError>) {
        let mut draft = Draft::new(Nanos(0));
        let done =
            ChatReader::new("http://x".to_owned()).take(Nanos(1), text.as_bytes(), &mut draft);
        (draft, done)
    }

    #[test]
    fn thinking_is_reasoning_and_content_may_ride_on_the_last_line() {
        let (draft, done) = read(
            "{\"message\":{\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"hm\"},\"done\":false}\n\
             {\"message\":{\"content\":\"yes\"},\"done\":true,\"done_reason\":\"stop\",\
             \"prompt_eval_count\":5,\"prompt_eval_cached_count\":2,\"eval_count\":3,\
             \"total_duration\":31,\"eval_duration\":7}\n",
        );
        assert_eq!(done, Ok(true));
        let exchange = draft.end(Nanos(2), Outcome::Complete);
        assert_eq!((exchange.text.as_str(), exchange.reasoning.as_str()), ("yes", "hm"));
        assert_eq!(exchange.finish_reason.as_deref(), Some("stop"));
        let usage = exchange.usage;
        assert_eq!((usage.input, usage.cached, usage.output), (Some(5), Some(2), Some(3)));
        let timing = exchange.server_timing.unwrap();
        assert_eq!(
            (timing.total, timing.decode),
            (Some(Duration::from_nanos(31)), Some(Duration::from_nanos(7)))
        );
        assert_eq!((timing.prefill, timing.load), (None, None));
    }

    #[test]
    fn absent_counts_are_unknown() {
        let (draft, done) =
            read("{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\"}\n");
        assert_eq!(done, Ok(true));
        assert_eq!(draft.usage, super::super::Usage::default());
        assert_eq!(draft.server_timing, None);
    }

    #[test]
    fn an_error_line_ends_it() {
        let (_, done) =
            read("{\"message\":{\"content\":\"a\"},\"done\":false}\n{\"error\":\"died\"}\n");
        assert!(
            matches!(done, Err(ClientError::ErrorInStream { message, .. }) if message == "died")
        );
    }

    #[test]
    fn only_the_first_done_line_counts() {
        let (draft, done) = read(
            "{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"length\"}\n\
             {\"message\":{\"content\":\"x\"},\"done\":true,\"done_reason\":\"stop\"}\n",
        );
        assert_eq!(done, Ok(true));
        let exchange = draft.end(Nanos(2), Outcome::Complete);
        assert_eq!(
            (exchange.finish_reason.as_deref(), exchange.text.as_str()),
            (Some("length"), "")
        );
    }

    #[test]
    fn another_endpoints_lines_and_nonsense_are_refused() {
        for line in [
            "{\"response\":null,\"done\":false}",
            "{\"response\":\"x\",\"done\":true}",
            "{\"done\":false}",
            "{\"message\":\"x\"}",
            "{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"load\"}",
            "nonsense",
            "[]",
        ] {
            let (_, done) = read(&format!("{line}\n"));
            assert!(matches!(done, Err(ClientError::Malformed { .. })), "{line}: {done:?}");
        }
    }

    #[test]
    fn a_stream_cut_inside_a_line_is_truncated() {
        let mut draft = Draft::new(Nanos(0));
        let mut reader = ChatReader::new("http://x".to_owned());
        assert_eq!(reader.take(Nanos(1), b"{\"message\":{\"con", &mut draft), Ok(false));
        assert!(matches!(reader.close(Nanos(2), &mut draft), Ok(Outcome::Truncated)));
    }
}
