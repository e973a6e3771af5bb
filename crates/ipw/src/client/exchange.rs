//! An exchange while it runs: what has come so far, with the times at which it came.
//!
//! Pure: times are handed in, in monotonic nanoseconds, stamped before anything was parsed. Decides
//! what in an exchange can't be true; changes no number for it.

use std::sync::Mutex;
use std::time::Duration;

use energy_proto::Nanos;
use serde_json::Value;

use super::{ClientError, Exchange, Outcome, ServerTiming, Usage};

/// The server keeps no connection open: opening one is inside the query's times.
pub(super) const OPENED_IN_QUERY: &str = "connection_opened_in_query";
/// The connection had died before the answer's first byte, and the request was sent once more.
pub(super) const RESENT: &str = "resent_after_dead_connection";
/// Most pieces came practically together: something between us and the model holds them back, so
/// times between pieces, and perhaps the first token's, are not the model's.
pub(super) const TOGETHER: &str = "pieces_arrived_together";
/// The first token came when nearly all was over.
pub(super) const LATE_FIRST_TOKEN: &str = "first_token_near_the_end";
/// The stream ended by HTTP's rules, after a finish reason, without the protocol's end mark.
pub(super) const NO_END_MARK: &str = "no_end_mark";
/// The end mark came without a reason.
pub(super) const NO_FINISH_REASON: &str = "no_finish_reason";
/// The connection closed in the middle of the answer.
pub(super) const CLOSED_EARLY: &str = "connection_closed_in_the_answer";
/// The answer calls tools; what it calls them with is not in the text.
pub(super) const TOOL_CALLS: &str = "tool_calls";
/// Token counts are those of llama.cpp's `timings`, as there was no `usage`.
pub(super) const USAGE_FROM_TIMINGS: &str = "usage_from_timings";
/// No context is this long; sums of such counts can't overflow.
const MOST_TOKENS: i64 = 1 << 40;
/// A token count was no count, and is left out.
pub(super) const ODD_COUNT: &str = "impossible_token_count";
/// A line outside the protocol was skipped.
pub(super) const STRAY_LINE: &str = "stray_line_skipped";

/// Pieces nearer to each other than this were not generated one after the other.
const TOGETHER_WITHIN: Duration = Duration::from_micros(100);
/// So few pieces may come together by chance.
const TOGETHER_AT_LEAST: u32 = 8;
/// No server generates one answer faster than this.
const FASTEST_TOKEN: Duration = Duration::from_micros(100);
/// Rounding in what servers print.
const ROUNDING: Duration = Duration::from_millis(1);
/// Durations that are all multiples of this were made up: true ones have nanoseconds or microseconds.
const ROUND_NANOS: u128 = 100_000_000;

/// What one event adds to the answer.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Piece<'a> {
    /// Of the answer itself.
    pub(super) content: Option<&'a str>,
    /// Of the reasoning before it.
    pub(super) reasoning: Option<&'a str>,
    /// Whether it holds part of a tool call.
    pub(super) tool_call: bool,
}

/// What has come so far.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) start: Nanos,
    pub(super) first_byte: Option<Nanos>,
    pub(super) usage: Usage,
    pub(super) finish_reason: Option<String>,
    pub(super) server_timing: Option<ServerTiming>,
    first_token: Option<Nanos>,
    first_content: Option<Nanos>,
    pieces: Vec<Nanos>,
    together: u32,
    text: String,
    reasoning: String,
    flags: Vec<String>,
}

impl Draft {
    pub(super) fn new(start: Nanos) -> Self {
        Self {
            start,
            first_byte: None,
            usage: Usage::default(),
            finish_reason: None,
            server_timing: None,
            first_token: None,
            first_content: None,
            pieces: Vec::new(),
            together: 0,
            text: String::new(),
            reasoning: String::new(),
            flags: Vec::new(),
        }
    }

    /// Notes what is odd, once.
    pub(super) fn flag(&mut self, flag: &str) {
        if !self.flags.iter().any(|known| known == flag) {
            self.flags.push(flag.to_owned());
        }
    }

    /// Adds what arrived at `at`. An empty piece adds nothing: role chunks are not tokens.
    pub(super) fn add(&mut self, at: Nanos, piece: Piece<'_>) {
        let content = piece.content.unwrap_or_default();
        let reasoning = piece.reasoning.unwrap_or_default();
        if piece.tool_call {
            self.flag(TOOL_CALLS);
        }
        if content.is_empty() && reasoning.is_empty() && !piece.tool_call {
            return;
        }
        self.text.push_str(content);
        self.reasoning.push_str(reasoning);
        if !content.is_empty() {
            self.first_content.get_or_insert(at);
        }
        if !content.is_empty() || !reasoning.is_empty() {
            self.first_token.get_or_insert(at);
        }
        if self.pieces.last().is_some_and(|last| at.since(*last) < TOGETHER_WITHIN) {
            self.together += 1;
        }
        self.pieces.push(at);
    }

    /// A token count as the server wrote it; what is no count is left out and flagged.
    pub(super) fn count(&mut self, value: Option<&Value>) -> Option<i64> {
        let value = value.filter(|value| !value.is_null())?;
        let count = value.as_i64().filter(|count| (0..=MOST_TOKENS).contains(count));
        if count.is_none() {
            self.flag(ODD_COUNT);
        }
        count
    }

    /// The exchange is over, at `end`.
    pub(super) fn end(mut self, end: Nanos, outcome: Outcome) -> Exchange {
        self.flag_impossible(end);
        Exchange {
            start: self.start,
            first_byte: self.first_byte,
            first_token: self.first_token,
            first_content: self.first_content,
            end,
            pieces: self.pieces,
            text: self.text,
            reasoning: self.reasoning,
            usage: self.usage,
            finish_reason: self.finish_reason,
            server_timing: self.server_timing,
            flags: self.flags,
            outcome,
        }
    }

    fn flag_impossible(&mut self, end: Nanos) {
        if self.piece_count() >= TOGETHER_AT_LEAST && 2 * self.together > self.piece_count() {
            self.flag(TOGETHER);
        }
        if self.first_token.is_some_and(|first| self.is_too_late(first, end)) {
            self.flag(LATE_FIRST_TOKEN);
        }
    }

    fn piece_count(&self) -> u32 {
        u32::try_from(self.pieces.len()).unwrap_or(u32::MAX)
    }

    /// Whether the first token came in the last twentieth, and the rest faster than any model speaks.
    fn is_too_late(&self, first: Nanos, end: Nanos) -> bool {
        let tokens = self.usage.output.and_then(|count| u32::try_from(count).ok());
        let tokens = tokens.unwrap_or_default().max(self.piece_count());
        tokens >= TOGETHER_AT_LEAST
            && 20 * first.since(self.start) >= 19 * end.since(self.start)
            && end.since(first) < FASTEST_TOKEN.saturating_mul(tokens)
    }
}

/// The last server timing, to tell a server that always says the same.
#[derive(Debug, Default)]
pub(super) struct TimingCheck(Mutex<Option<ServerTiming>>);

impl TimingCheck {
    /// Drops the server's times from an exchange, and flags it, where they can't be true.
    pub(super) fn apply(&self, mut exchange: Exchange) -> Exchange {
        let Some(timing) = exchange.server_timing else { return exchange };
        let previous =
            self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).replace(timing);
        if let Some(reason) = doubt(&timing, exchange.end.since(exchange.start), previous.as_ref())
        {
            exchange.server_timing = None;
            exchange.flags.push(format!("server_timing_{reason}"));
        }
        exchange
    }
}

/// Why these times can't be true, given our own clock and what the server said last.
fn doubt(
    timing: &ServerTiming,
    ours: Duration,
    previous: Option<&ServerTiming>,
) -> Option<&'static str> {
    let phases = [timing.prefill, timing.decode];
    let known: Vec<Duration> = phases.into_iter().chain([timing.total]).flatten().collect();
    let within = timing.total.unwrap_or(ours).min(ours) + ROUNDING;
    let sum = phases.into_iter().flatten().try_fold(Duration::ZERO, Duration::checked_add);
    if known.is_empty() || known.contains(&Duration::ZERO) {
        Some("zero")
    } else if timing.total.is_some_and(|total| total > ours + ROUNDING) {
        Some("longer_than_the_exchange")
    } else if sum.is_none_or(|sum| sum > within) {
        Some("phases_longer_than_the_whole")
    } else if known.iter().all(|time| time.as_nanos() % ROUND_NANOS == 0) {
        Some("invented")
    } else if previous == Some(timing) {
        Some("constant")
    } else {
        None
    }
}

/// The error that stands for a line beyond all measure.
pub(super) fn line_too_long(url: &str) -> ClientError {
    ClientError::TooLarge {
        url: url.to_owned(),
        what: "a line",
        limit_bytes: super::lines::MAX_LINE_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn timing(prefill_us: u64, decode_us: u64, total_us: Option<u64>) -> ServerTiming {
        ServerTiming {
            prefill: Some(Duration::from_micros(prefill_us)),
            decode: Some(Duration::from_micros(decode_us)),
            total: total_us.map(Duration::from_micros),
            load: None,
        }
    }

    fn content(text: &str) -> Piece<'_> {
        Piece { content: Some(text), ..Piece::default() }
    }

    #[test]
    fn the_first_token_may_be_reasoning_and_a_role_chunk_is_none() {
        let mut draft = Draft::new(Nanos(0));
        draft.add(Nanos(10 * MS), content(""));
        draft.add(Nanos(20 * MS), Piece { reasoning: Some("hm"), ..Piece::default() });
        draft.add(Nanos(30 * MS), content("yes"));
        let exchange = draft.end(Nanos(60 * MS), Outcome::Complete);
        assert_eq!(exchange.first_token, Some(Nanos(20 * MS)));
        assert_eq!(exchange.first_content, Some(Nanos(30 * MS)));
        assert_eq!(exchange.pieces, [Nanos(20 * MS), Nanos(30 * MS)]);
        assert_eq!((exchange.text.as_str(), exchange.reasoning.as_str()), ("yes", "hm"));
        assert!(exchange.flags.is_empty());
    }

    #[test]
    fn a_tool_call_is_a_piece_but_no_first_token() {
        let mut draft = Draft::new(Nanos(0));
        draft.add(Nanos(5), Piece { tool_call: true, ..Piece::default() });
        let exchange = draft.end(Nanos(10), Outcome::Complete);
        assert_eq!((exchange.first_token, exchange.pieces.len()), (None, 1));
        assert_eq!(exchange.flags, [TOOL_CALLS]);
    }

    #[test]
    fn pieces_that_come_at_once_near_the_end_are_flagged() {
        let mut draft = Draft::new(Nanos(0));
        for index in 0..20 {
            draft.add(Nanos(100 * MS + index * 1_000), content("x"));
        }
        let exchange = draft.end(Nanos(101 * MS), Outcome::Complete);
        assert_eq!(exchange.flags, [TOGETHER, LATE_FIRST_TOKEN]);
    }

    #[test]
    fn steady_pieces_are_not_flagged() {
        let mut draft = Draft::new(Nanos(0));
        for index in 1..=20 {
            draft.add(Nanos(index * 10 * MS), content("x"));
        }
        assert!(draft.end(Nanos(201 * MS), Outcome::Complete).flags.is_empty());
    }

    #[test]
    fn what_is_no_count_is_left_out() {
        let mut draft = Draft::new(Nanos(0));
        assert_eq!(draft.count(Some(&Value::from(7))), Some(7));
        assert_eq!(draft.count(Some(&Value::Null)), None);
        assert_eq!(draft.count(None), None);
        assert!(draft.flags.is_empty());
        for odd in [Value::from(-1), Value::from("7"), Value::from(1.5)] {
            assert_eq!(draft.count(Some(&odd)), None);
        }
        assert_eq!(draft.flags, [ODD_COUNT]);
    }

    #[test]
    fn server_times_that_cannot_be_true_are_doubted() {
        let ours = Duration::from_millis(2_000);
        assert_eq!(doubt(&timing(179_200, 246_812, None), ours, None), None);
        assert_eq!(doubt(&timing(179_200, 246_812, Some(430_000)), ours, None), None);
        for (timing, reason) in [
            (timing(0, 246_812, None), "zero"),
            (ServerTiming::default(), "zero"),
            (timing(1_500_001, 700_001, None), "phases_longer_than_the_whole"),
            (timing(200_001, 300_001, Some(400_001)), "phases_longer_than_the_whole"),
            (timing(1_001, 1_001, Some(3_000_000)), "longer_than_the_exchange"),
            (timing(500_000, 500_000, Some(1_000_000)), "invented"),
        ] {
            assert_eq!(doubt(&timing, ours, None), Some(reason), "{timing:?}");
        }
        let said = timing(123_456, 234_567, None);
        assert_eq!(doubt(&said, ours, Some(&said)), Some("constant"));
        let huge = ServerTiming {
            prefill: Some(Duration::MAX),
            decode: Some(Duration::MAX),
            ..ServerTiming::default()
        };
        assert_eq!(doubt(&huge, ours, None), Some("phases_longer_than_the_whole"));
    }
}
