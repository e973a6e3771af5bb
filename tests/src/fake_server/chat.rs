//! A chat request's answer in time: head, tokens when they are due, faults where they are set.

use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::connection::{Exchange, Then};
use super::flavour::{Ending, Facts, Refusal, Token, Usage};
use super::wire::{write_chunk, write_last_chunk};
use super::{Behaviour, ChatRequest, Fault, StreamOptions};

const GENERATE: &str = "POST /api/generate";

/// Whether a request is one that is answered by the script.
pub(super) fn is_chat(target: &str) -> bool {
    matches!(target, "POST /v1/chat/completions" | "POST /api/chat" | GENERATE)
}

/// One answer, cut to the request's limit.
struct Plan {
    facts: Facts,
    behaviour: Behaviour,
    /// All tokens, reasoning first, with whether they are that.
    tokens: Vec<(String, bool)>,
    reason: &'static str,
}

/// Answers a chat request.
pub(super) fn answer(exchange: &mut Exchange<'_>, body: Value) -> io::Result<Then> {
    let setup = &exchange.shared.setup;
    let native = exchange.request.target != "POST /v1/chat/completions";
    let Some(asked) = body.get("model").and_then(Value::as_str).map(str::to_owned) else {
        return exchange.refuse(&Refusal::BadRequest("model is required".to_owned()));
    };
    // Only Ollama has its own API, and it has no other here.
    if native != (setup.flavour == super::Flavour::Ollama) {
        return exchange.refuse(&Refusal::UnknownPath);
    }
    if asked != setup.model && !exchange.dialect().takes_any_model() {
        let there = setup.model.clone();
        return exchange.refuse(&Refusal::UnknownModel { asked, there });
    }
    let Some(prompt) = prompt(&body) else { return load(exchange, &body) };
    let index = exchange.shared.chats.fetch_add(1, Ordering::SeqCst);
    let request = ChatRequest { index, prompt, body };
    let behaviour = (exchange.shared.script)(&request);
    if let Some(fault) = &behaviour.fault
        && let Some(result) = exchange.fault_before_head(fault)
    {
        return result;
    }
    let plan = match plan(exchange, &request, behaviour) {
        Ok(plan) => plan,
        Err(refusal) => return exchange.refuse(&refusal),
    };
    exchange.work(plan.behaviour.power.clone());
    // Ollama streams unless told not to, the others only if told to.
    if request.body.get("stream").and_then(Value::as_bool).unwrap_or(native) {
        stream(exchange, &plan)
    } else {
        whole(exchange, &plan)
    }
}

/// The words to answer to; `None`: there are none, as when a model is to be loaded.
fn prompt(body: &Value) -> Option<String> {
    let last = body.get("messages").and_then(Value::as_array).and_then(|all| all.last());
    let words = last.and_then(|message| message.get("content")).or_else(|| body.get("prompt"))?;
    words.as_str().filter(|words| !words.is_empty()).map(str::to_owned)
}

fn plan(
    exchange: &Exchange<'_>,
    request: &ChatRequest,
    behaviour: Behaviour,
) -> Result<Plan, Refusal> {
    let words = request.prompt.split_whitespace().count() as u64;
    let prompt_tokens = behaviour.prompt_tokens.unwrap_or(words);
    let context = exchange.shared.setup.context;
    if prompt_tokens > context {
        return Err(Refusal::TooLong { prompt: prompt_tokens, context });
    }
    let usage = wanted_usage(&request.body, behaviour.stream_options)?;
    let mut tokens: Vec<(String, bool)> = behaviour
        .reasoning
        .iter()
        .map(|text| (text.clone(), true))
        .chain(behaviour.tokens.iter().map(|text| (text.clone(), false)))
        .collect();
    let limit = limit(&request.body).unwrap_or(usize::MAX);
    let reason = if limit <= tokens.len() { "length" } else { "stop" };
    tokens.truncate(limit);
    let facts = Facts {
        number: request.index as u64 + 1,
        created: jiff::Timestamp::now().as_second(),
        model: exchange.shared.setup.model.clone(),
        prompt_tokens,
        cached_tokens: behaviour.cached_tokens.min(prompt_tokens),
        usage,
        is_generate: exchange.request.target == GENERATE,
    };
    Ok(Plan { facts, behaviour, tokens, reason })
}

fn wanted_usage(body: &Value, support: StreamOptions) -> Result<Usage, Refusal> {
    let Some(options) = body.get("stream_options") else { return Ok(Usage::None) };
    let asked = |name: &str| options.get(name).and_then(Value::as_bool).unwrap_or(false);
    let unknown = |name: &str| {
        Err(Refusal::BadRequest(format!("Unknown parameter: 'stream_options{name}'.")))
    };
    match support {
        StreamOptions::Refused => unknown(""),
        StreamOptions::Final if asked("continuous_usage_stats") => {
            unknown(".continuous_usage_stats")
        }
        StreamOptions::Ignored => Ok(Usage::None),
        _ if !asked("include_usage") => Ok(Usage::None),
        _ if asked("continuous_usage_stats") => Ok(Usage::InEachChunk),
        _ => Ok(Usage::AtEnd),
    }
}

fn limit(body: &Value) -> Option<usize> {
    let limit = body
        .get("max_tokens")
        .or_else(|| body.get("max_completion_tokens"))
        .or_else(|| body.get("options")?.get("num_predict"))?;
    usize::try_from(limit.as_u64()?).ok()
}

fn load(exchange: &mut Exchange<'_>, body: &Value) -> io::Result<Then> {
    let facts = Facts {
        number: 0,
        created: 0,
        model: exchange.shared.setup.model.clone(),
        prompt_tokens: 0,
        cached_tokens: 0,
        usage: Usage::None,
        is_generate: exchange.request.target == GENERATE,
    };
    let none = Duration::ZERO;
    let ending =
        Ending { reason: "load", output_tokens: 0, prefill: none, decode: none, total: none };
    let answer = exchange.dialect().whole(&facts, "", "", &ending);
    if body.get("stream").and_then(Value::as_bool).unwrap_or(true) {
        let head = exchange.dialect().stream_head();
        exchange.stream.write_all(head.as_bytes())?;
        write_chunk(exchange.stream, format!("{answer}\n").as_bytes())?;
        write_last_chunk(exchange.stream)?;
        return Ok(Then::Keep);
    }
    exchange.whole(200, exchange.dialect().json_type(), &answer, "")
}

impl Plan {
    /// When a token is due, after the request's arrival.
    fn due(&self, index: usize) -> Duration {
        let index = u32::try_from(index).expect("no answer has so many tokens");
        self.behaviour.prefill + self.behaviour.per_token * index
    }

    fn ending(&self, first_token: Duration, total: Duration) -> Ending {
        // The token that ends the text is generated too, but never shown.
        let hidden = u64::from(self.reason == "stop");
        Ending {
            reason: self.reason,
            output_tokens: self.tokens.len() as u64 + hidden,
            prefill: first_token,
            decode: total.saturating_sub(first_token),
            total,
        }
    }

    fn text(&self, reasoning: bool) -> String {
        let of_kind = self.tokens.iter().filter(|(_, is_reasoning)| *is_reasoning == reasoning);
        of_kind.map(|(text, _)| text.as_str()).collect()
    }
}

fn whole(exchange: &mut Exchange<'_>, plan: &Plan) -> io::Result<Then> {
    let first = plan.due(0);
    let last = plan.due(plan.tokens.len().saturating_sub(1));
    exchange.wait_until(last)?;
    let ending = plan.ending(first, exchange.received.elapsed());
    let answer =
        exchange.dialect().whole(&plan.facts, &plan.text(false), &plan.text(true), &ending);
    exchange.whole(200, exchange.dialect().json_type(), &answer, "")
}

fn stream(exchange: &mut Exchange<'_>, plan: &Plan) -> io::Result<Then> {
    let dialect = exchange.dialect();
    let head = dialect.stream_head();
    let at_once = dialect.sends_head_at_once() || plan.behaviour.pings > 0;
    if at_once {
        exchange.stream.write_all(head.as_bytes())?;
    }
    for _ in 0..plan.behaviour.pings {
        if let Some(ping) = dialect.ping() {
            write_chunk(exchange.stream, ping.as_bytes())?;
        }
    }
    exchange.wait_until(plan.due(0))?;
    let first_token = exchange.received.elapsed();
    if !at_once {
        exchange.stream.write_all(head.as_bytes())?;
    }
    if let Some(opening) = dialect.opening(&plan.facts) {
        write_chunk(exchange.stream, opening.as_bytes())?;
    }
    if let Some(then) = tokens(exchange, plan)? {
        return Ok(then);
    }
    end(exchange, plan, first_token)
}

/// Writes the tokens; what becomes of the connection if a fault strikes among or behind them.
fn tokens(exchange: &mut Exchange<'_>, plan: &Plan) -> io::Result<Option<Then>> {
    let group = plan.behaviour.tokens_per_write.max(1);
    for (number, tokens) in plan.tokens.chunks(group).enumerate() {
        let before = number * group;
        if let Some(then) = strike(exchange, plan, before)? {
            return Ok(Some(then));
        }
        exchange.wait_until(plan.due(before + tokens.len() - 1))?;
        let texts = tokens.iter().enumerate().map(|(offset, (text, is_reasoning))| {
            let count = before + offset + 1;
            exchange.dialect().token(
                &plan.facts,
                Token {
                    text,
                    is_reasoning: *is_reasoning,
                    count: count as u64,
                    hits_limit: plan.reason == "length" && count == plan.tokens.len(),
                },
            )
        });
        let text: String = texts.collect();
        exchange.note_token(before, plan.tokens.len());
        write_chunk(exchange.stream, text.as_bytes())?;
    }
    strike(exchange, plan, plan.tokens.len())
}

/// Carries out a fault that is due after `sent` tokens.
fn strike(exchange: &mut Exchange<'_>, plan: &Plan, sent: usize) -> io::Result<Option<Then>> {
    let dialect = exchange.dialect();
    let then = match plan.behaviour.fault {
        Some(Fault::HangAfter(after)) if after == sent => exchange.hang()?,
        Some(Fault::ResetAfter(after)) if after == sent => {
            // What was written before must have been read, or the reset would discard it.
            exchange.wait_until(exchange.received.elapsed() + Duration::from_millis(200))?;
            Then::Reset
        }
        Some(Fault::CloseAfter(after)) if after == sent => Then::Close,
        Some(Fault::EndAfter(after)) if after == sent => {
            write_last_chunk(exchange.stream)?;
            Then::Keep
        }
        Some(Fault::ErrorAfter(after)) if after == sent => {
            let error =
                dialect.stream_error("the engine died") + dialect.end_mark().unwrap_or_default();
            write_chunk(exchange.stream, error.as_bytes())?;
            write_last_chunk(exchange.stream)?;
            Then::Keep
        }
        Some(Fault::GarbageAfter(after)) if after == sent => {
            write_chunk(exchange.stream, dialect.raw("{\"choices\": garb").as_bytes())?;
            return Ok(None);
        }
        Some(Fault::LongLine(bytes)) if sent == 0 => {
            let line = dialect.raw(&"x".repeat(bytes));
            write_chunk(exchange.stream, line.as_bytes())?;
            return Ok(None);
        }
        _ => return Ok(None),
    };
    Ok(Some(then))
}

fn end(exchange: &mut Exchange<'_>, plan: &Plan, first_token: Duration) -> io::Result<Then> {
    let dialect = exchange.dialect();
    let no_mark = plan.behaviour.fault == Some(Fault::NoEndMark);
    let ending = plan.ending(first_token, Instant::now() - exchange.received);
    let mut last = dialect.ending(&plan.facts, &ending);
    match dialect.end_mark() {
        Some(mark) if !no_mark => last.push(mark.to_owned()),
        None if no_mark => last.clear(),
        _ => (),
    }
    for chunk in last {
        write_chunk(exchange.stream, chunk.as_bytes())?;
    }
    write_last_chunk(exchange.stream)?;
    Ok(Then::Keep)
}
