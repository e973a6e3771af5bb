//! What the events of a streamed chat completion say. Pure: bytes and their time in, a draft out.

use std::time::Duration;

use energy_proto::Nanos;
use serde::Deserialize;
use serde_json::Value;

use super::error::quote;
use super::exchange::{self, Draft, Piece, line_too_long};
use super::http::AnswerReader;
use super::reply::error_text;
use super::sse::{Event, EventStream};
use super::{ClientError, Outcome, ServerTiming};

/// Of what can't be read, in an error.
const QUOTED_BYTES: usize = 80;
const END_MARK: &[u8] = b"[DONE]";

#[derive(Deserialize)]
struct Chunk {
    error: Option<Value>,
    choices: Option<Vec<Choice>>,
    usage: Option<WireUsage>,
    /// llama.cpp's account.
    timings: Option<Timings>,
    /// vLLM's account, with `--enable-per-request-metrics`.
    metrics: Option<Metrics>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
    /// vLLM since 2026; before, and elsewhere, `reasoning_content`. Some send both, alike.
    reasoning: Option<String>,
    reasoning_content: Option<String>,
    tool_calls: Option<Vec<serde::de::IgnoredAny>>,
}

#[derive(Deserialize)]
struct WireUsage {
    prompt_tokens: Option<Value>,
    completion_tokens: Option<Value>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<Value>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<Value>,
}

/// Times in ms. `prompt_n` leaves out the `cache_n` tokens taken from the cache.
#[derive(Deserialize)]
struct Timings {
    cache_n: Option<Value>,
    prompt_n: Option<Value>,
    prompt_ms: Option<f64>,
    predicted_n: Option<Value>,
    predicted_ms: Option<f64>,
}

/// Times in ms, from the request's scheduling to its first token, and from there to its last.
#[derive(Deserialize)]
struct Metrics {
    time_to_first_token_ms: Option<f64>,
    generation_time_ms: Option<f64>,
}

/// Reads one streamed completion.
pub(super) struct CompletionReader {
    url: String,
    events: EventStream,
    /// Whether any event has come, and the first line that belongs to none.
    any_event: bool,
    first_stray: Option<String>,
}

impl CompletionReader {
    /// For an answer of `url`, which only errors name.
    pub(super) fn new(url: String) -> Self {
        Self { url, events: EventStream::default(), any_event: false, first_stray: None }
    }

    fn event(&mut self, at: Nanos, event: Event, draft: &mut Draft) -> Result<bool, ClientError> {
        self.any_event |= matches!(event, Event::Data(_));
        match event {
            Event::Data(data) if data.trim_ascii() == END_MARK => Ok(true),
            Event::Data(data) => self.chunk(at, &data, draft).map(|()| false),
            Event::Stray(line) => self.stray(&line, draft).map(|()| false),
        }
    }

    fn chunk(&self, at: Nanos, data: &[u8], draft: &mut Draft) -> Result<(), ClientError> {
        let chunk: Chunk =
            serde_json::from_slice(data).map_err(|error| self.malformed(data, &error))?;
        if let Some(error) = chunk.error {
            return Err(self.reported(&error));
        }
        if let Some(choice) = chunk.choices.and_then(|choices| choices.into_iter().next()) {
            add_choice(at, choice, draft);
        }
        if let Some(usage) = &chunk.usage {
            add_usage(usage, draft);
        }
        if let Some(timings) = &chunk.timings {
            add_timings(timings, draft);
        }
        if let Some(metrics) = &chunk.metrics {
            add_phases(metrics.time_to_first_token_ms, metrics.generation_time_ms, draft);
        }
        Ok(())
    }

    /// A proxy may write its own error, as bare JSON, into the stream it passes on.
    fn stray(&mut self, line: &[u8], draft: &mut Draft) -> Result<(), ClientError> {
        if let Ok(Chunk { error: Some(error), .. }) = serde_json::from_slice(line) {
            return Err(self.reported(&error));
        }
        let start = &line[..line.len().min(QUOTED_BYTES)];
        self.first_stray.get_or_insert_with(|| quote(&String::from_utf8_lossy(start)));
        draft.flag(exchange::STRAY_LINE);
        Ok(())
    }

    fn reported(&self, error: &Value) -> ClientError {
        ClientError::ErrorInStream { url: self.url.clone(), message: error_text(error) }
    }

    fn malformed(&self, data: &[u8], error: &serde_json::Error) -> ClientError {
        let start = quote(&String::from_utf8_lossy(&data[..data.len().min(QUOTED_BYTES)]));
        let reason = format!("an event that is no completion chunk ({error}): {start}");
        ClientError::Malformed { url: self.url.clone(), reason }
    }
}

impl AnswerReader for CompletionReader {
    fn take(&mut self, at: Nanos, bytes: &[u8], draft: &mut Draft) -> Result<bool, ClientError> {
        let mut events = Vec::new();
        let taken = self.events.take(bytes, |event| events.push(event));
        for event in events {
            if self.event(at, event, draft)? {
                return Ok(true);
            }
        }
        taken.map(|()| false).map_err(|_| line_too_long(&self.url))
    }

    fn close(&mut self, at: Nanos, draft: &mut Draft) -> Result<Outcome, ClientError> {
        let marked = match self.events.finish() {
            Some(last) => self.event(at, last, draft)?,
            None => false,
        };
        if let (false, Some(stray)) = (self.any_event, &self.first_stray) {
            let reason = format!("no event stream (was `stream` ignored?): {stray}");
            return Err(ClientError::Malformed { url: self.url.clone(), reason });
        }
        if !marked && draft.finish_reason.is_some() {
            draft.flag(exchange::NO_END_MARK);
        }
        Ok(self.ended(draft))
    }

    fn ended(&self, draft: &Draft) -> Outcome {
        if draft.finish_reason.is_some() { Outcome::Complete } else { Outcome::Truncated }
    }
}

fn add_choice(at: Nanos, choice: Choice, draft: &mut Draft) {
    if let Some(delta) = &choice.delta {
        let reasoning = delta.reasoning.as_deref().filter(|text| !text.is_empty());
        draft.add(
            at,
            Piece {
                content: delta.content.as_deref(),
                reasoning: reasoning.or(delta.reasoning_content.as_deref()),
                tool_call: delta.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty()),
            },
        );
    }
    if draft.finish_reason.is_none() {
        draft.finish_reason = choice.finish_reason;
    }
}

/// The last account counts: with continuous usage each chunk has one. A detail that only an earlier
/// one had is kept.
fn add_usage(usage: &WireUsage, draft: &mut Draft) {
    let input = draft.count(usage.prompt_tokens.as_ref());
    let output = draft.count(usage.completion_tokens.as_ref());
    let details = usage.prompt_tokens_details.as_ref();
    let cached = draft.count(details.and_then(|details| details.cached_tokens.as_ref()));
    let details = usage.completion_tokens_details.as_ref();
    let reasoning = draft.count(details.and_then(|details| details.reasoning_tokens.as_ref()));
    let known = &mut draft.usage;
    known.input = input.or(known.input);
    known.output = output.or(known.output);
    known.cached = cached.or(known.cached);
    known.reasoning = reasoning.or(known.reasoning);
}

fn add_timings(timings: &Timings, draft: &mut Draft) {
    add_phases(timings.prompt_ms, timings.predicted_ms, draft);
    let cached = draft.count(timings.cache_n.as_ref());
    let processed = draft.count(timings.prompt_n.as_ref());
    let output = draft.count(timings.predicted_n.as_ref());
    let input = processed.zip(cached).and_then(|(processed, cached)| processed.checked_add(cached));
    if (draft.usage.input.is_none() && input.is_some())
        || (draft.usage.output.is_none() && output.is_some())
    {
        draft.flag(exchange::USAGE_FROM_TIMINGS);
    }
    let known = &mut draft.usage;
    known.input = known.input.or(input);
    known.output = known.output.or(output);
    known.cached = known.cached.or(cached);
}

fn add_phases(prefill_ms: Option<f64>, decode_ms: Option<f64>, draft: &mut Draft) {
    let timing = ServerTiming {
        prefill: prefill_ms.and_then(milliseconds),
        decode: decode_ms.and_then(milliseconds),
        ..ServerTiming::default()
    };
    if timing != ServerTiming::default() {
        draft.server_timing = Some(timing);
    }
}

fn milliseconds(ms: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(ms / 1e3).ok()
}

#[cfg(test)]
mod tests {
    use super::super::lines::tests::cut;
    use super::*;
    use proptest::prelude::*;

    fn read(parts: &[&[u8]]) -> (Draft, Result<bool, ClientError>) {
        let mut reader = CompletionReader::new("http://x".to_owned());
        let mut draft = Draft::new(Nanos(0));
        let mut done = Ok(false);
        for part in parts {
            done = reader.take(Nanos(1), part, &mut draft);
            if !matches!(done, Ok(false)) {
                break;
            }
        }
        (draft, done)
    }

    #[test]
    fn reasoning_has_two_names_and_a_doubled_one_counts_once() {
        let (draft, _) = read(&[
            b"data:{\"choices\":[{\"delta\":{\"reasoning_content\":\"a\"}}]}\n\n",
            b"data:{\"choices\":[{\"delta\":{\"reasoning\":\"b\",\"reasoning_content\":\"b\"}}]}\n\n",
            b"data:{\"choices\":[{\"delta\":{\"reasoning\":\"\",\"reasoning_content\":\"c\"}}]}\n\n",
        ]);
        let exchange = draft.end(Nanos(9), Outcome::Complete);
        assert_eq!((exchange.reasoning.as_str(), exchange.text.as_str()), ("abc", ""));
        assert_eq!((exchange.first_token, exchange.first_content), (Some(Nanos(1)), None));
    }

    #[test]
    fn vllms_metrics_are_its_prefill_and_decode_times() {
        let (draft, _) =
            read(&[b"data: {\"choices\":[],\"metrics\":{\"time_to_first_token_ms\":85.25,\
              \"generation_time_ms\":1240.5,\"queue_time_ms\":12.3}}\n\n"]);
        let timing = draft.server_timing.unwrap();
        assert_eq!(timing.prefill, Some(Duration::from_micros(85_250)));
        assert_eq!(timing.decode, Some(Duration::from_micros(1_240_500)));
        assert_eq!(timing.total, None);
    }

    #[test]
    fn an_error_may_come_as_an_event_or_as_a_bare_line() {
        for bytes in
            [&b"data: {\"error\":{\"message\":\"died\"}}\n\n"[..], b"{\"error\":\"died\"}\n"]
        {
            let (_, result) = read(&[bytes]);
            assert!(
                matches!(&result, Err(ClientError::ErrorInStream { message, .. }) if message == "died"),
                "{result:?}"
            );
        }
    }

    #[test]
    fn what_is_no_chunk_is_malformed() {
        for data in ["nonsense", "5", "[]x", "{\"choices\":7}"] {
            let (_, result) = read(&[format!("data: {data}\n\n").as_bytes()]);
            assert!(matches!(result, Err(ClientError::Malformed { .. })), "{data}");
        }
    }

    #[test]
    fn an_answer_that_is_not_streamed_is_malformed() {
        let mut reader = CompletionReader::new("http://x".to_owned());
        let mut draft = Draft::new(Nanos(0));
        let whole = b"{\"choices\":[{\"message\":{\"content\":\"hello\"}}]}";
        assert_eq!(reader.take(Nanos(1), whole, &mut draft), Ok(false));
        let closed = reader.close(Nanos(2), &mut draft);
        assert!(matches!(closed, Err(ClientError::Malformed { .. })), "{closed:?}");
    }

    #[test]
    fn what_follows_the_end_mark_is_not_read() {
        let (draft, done) =
            read(&[b"data: [DONE]\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n"]);
        assert_eq!(done, Ok(true));
        assert_eq!(draft.end(Nanos(2), Outcome::Complete).text, "");
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_text(
            words in prop::collection::vec("[a\u{e9}\u{1f600}\"\\\\ ]{0,4}", 0..6),
            cuts in prop::collection::vec(0_usize..300, 0..12),
        ) {
            let events: String = words.iter().map(|word| {
                let chunk = serde_json::json!({"choices": [{"delta": {"content": word}}]});
                format!("data: {chunk}\n\n")
            }).collect();
            let (draft, _) = read(&cut(events.as_bytes(), &cuts));
            prop_assert_eq!(draft.end(Nanos(2), Outcome::Complete).text, words.concat());
        }
    }
}
