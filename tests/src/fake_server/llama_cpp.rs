//! llama.cpp's server, as recorded from build 11549.

use std::fmt::Write as _;

use serde_json::Value;

use super::Setup;
use super::flavour::{Dialect, Ending, Facts, Refusal, Token, Usage, quoted, status_line};

pub(super) struct LlamaCpp;

impl LlamaCpp {
    /// A chunk with the given choices, and what follows the constant fields.
    fn chunk(facts: &Facts, choices: &str, rest: &str) -> String {
        format!(
            "data: {{\"choices\":[{choices}],\"created\":{},\"id\":\"chatcmpl-{:032x}\",\
             \"model\":{},\"system_fingerprint\":\"b0-unknown\",\
             \"object\":\"chat.completion.chunk\"{rest}}}\n\n",
            facts.created,
            facts.number,
            quoted(&facts.model)
        )
    }

    fn choice(finish: &str, delta: &str) -> String {
        format!("{{\"finish_reason\":{finish},\"index\":0,\"delta\":{{{delta}}}}}")
    }

    fn usage(facts: &Facts, ending: &Ending) -> String {
        format!(
            "{{\"completion_tokens\":{},\"prompt_tokens\":{},\"total_tokens\":{},\
             \"prompt_tokens_details\":{{\"cached_tokens\":{}}}}}",
            ending.output_tokens,
            facts.prompt_tokens,
            facts.prompt_tokens + ending.output_tokens,
            facts.cached_tokens
        )
    }

    fn timings(facts: &Facts, ending: &Ending) -> String {
        let processed = facts.prompt_tokens - facts.cached_tokens;
        let mut text = format!("{{\"cache_n\":{},", facts.cached_tokens);
        phase(&mut text, "prompt", processed, processed, ending.prefill);
        text.push(',');
        // The first token comes out of the prompt's processing.
        let steps = ending.output_tokens.saturating_sub(1).max(1);
        phase(&mut text, "predicted", ending.output_tokens, steps, ending.decode);
        text.push('}');
        text
    }
}

fn phase(text: &mut String, name: &str, count: u64, steps: u64, time: std::time::Duration) {
    // A phase always takes some time; microseconds are what it prints.
    let ms = (time.as_micros().max(1)) as f64 / 1e3;
    let per_token = ms / steps.max(1) as f64;
    write!(
        text,
        "\"{name}_n\":{count},\"{name}_ms\":{ms},\"{name}_per_token_ms\":{per_token},\
         \"{name}_per_second\":{}",
        1e3 / per_token
    )
    .expect("writing to a string can't fail");
}

impl Dialect for LlamaCpp {
    fn stream_head(&self) -> String {
        "HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nAccess-Control-Allow-Origin: \r\n\
         X-Accel-Buffering: no\r\nContent-Type: text/event-stream\r\n\
         Transfer-Encoding: chunked\r\nKeep-Alive: timeout=5, max=100\r\n\r\n"
            .to_owned()
    }

    fn sends_head_at_once(&self) -> bool {
        false
    }

    fn whole_head(&self, status: u16, content_type: &str, length: usize, extra: &str) -> String {
        let connection = if self.closes_after(status) {
            "Connection: close"
        } else {
            "Keep-Alive: timeout=5, max=100"
        };
        format!(
            "{}Server: llama.cpp\r\nAccess-Control-Allow-Origin: \r\nContent-Type: {content_type}\r\n\
             Content-Length: {length}\r\n{extra}{connection}\r\n\r\n",
            status_line(status)
        )
    }

    fn json_type(&self) -> &'static str {
        "application/json; charset=utf-8"
    }

    fn closes_after(&self, status: u16) -> bool {
        status >= 400
    }

    fn refusal(&self, refusal: &Refusal) -> (&'static str, String) {
        let (message, kind, rest) = match refusal {
            Refusal::UnknownPath => {
                let body = "{\"error\":{\"message\":\"File Not Found\",\"type\":\"not_found_error\",\"code\":404}}";
                return (self.json_type(), body.to_owned());
            }
            Refusal::TooLong { prompt, context } => (
                format!(
                    "request ({prompt} tokens) exceeds the available context size ({context} \
                     tokens), try increasing it"
                ),
                "exceed_context_size_error",
                format!(",\"n_prompt_tokens\":{prompt},\"n_ctx\":{context}"),
            ),
            Refusal::BadRequest(message) => {
                (message.clone(), "invalid_request_error", String::new())
            }
            Refusal::UnknownModel { asked, .. } => {
                (format!("model '{asked}' not found"), "not_found_error", String::new())
            }
            Refusal::Unauthorized => {
                ("Invalid API Key".to_owned(), "authentication_error", String::new())
            }
            Refusal::Busy => ("no slot available".to_owned(), "unavailable_error", String::new()),
            Refusal::Loading => ("Loading model".to_owned(), "unavailable_error", String::new()),
            Refusal::Internal => ("Compute error.".to_owned(), "server_error", String::new()),
        };
        let body = format!(
            "{{\"error\":{{\"code\":{},\"message\":{},\"type\":\"{kind}\"{rest}}}}}",
            refusal.status(),
            quoted(&message)
        );
        (self.json_type(), body)
    }

    fn about(&self, target: &str, _body: &Value, setup: &Setup) -> Option<Result<String, Refusal>> {
        let model = quoted(&setup.model);
        let context = setup.context;
        let body = match target {
            "GET /health" => "{\"status\":\"ok\"}".to_owned(),
            "GET /v1/models" => format!(
                "{{\"models\":[{{\"name\":{model},\"model\":{model},\"modified_at\":\"\",\"size\":\"\",\
                 \"digest\":\"\",\"type\":\"model\",\"description\":\"\",\"tags\":[\"\"],\
                 \"capabilities\":[\"completion\"],\"parameters\":\"\",\"details\":{{\
                 \"parent_model\":\"\",\"format\":\"gguf\",\"family\":\"\",\"families\":[\"\"],\
                 \"parameter_size\":\"\",\"quantization_level\":\"\"}}}}],\"object\":\"list\",\
                 \"data\":[{{\"id\":{model},\"aliases\":[{model}],\"tags\":[],\"object\":\"model\",\
                 \"architecture\":{{\"input_modalities\":[\"text\"],\"output_modalities\":[\"text\"]}},\
                 \"created\":{},\"owned_by\":\"llamacpp\",\"meta\":{{\"vocab_type\":2,\
                 \"n_vocab\":49152,\"n_ctx\":{context},\"n_ctx_train\":8192,\"n_embd\":576,\
                 \"n_params\":134515008,\"size\":96576768,\"ftype\":\"Q4_1\"}}}}]}}",
                jiff::Timestamp::now().as_second()
            ),
            "GET /props" => format!(
                "{{\"default_generation_settings\":{{\"n_ctx\":{context}}},\"total_slots\":1,\
                 \"model_alias\":{model},\"build_info\":\"b11549-0a1b2c3\"}}"
            ),
            _ => return None,
        };
        Some(Ok(body))
    }

    fn takes_any_model(&self) -> bool {
        true
    }

    fn opening(&self, facts: &Facts) -> Option<String> {
        let choice = Self::choice("null", "\"role\":\"assistant\",\"content\":null");
        Some(Self::chunk(facts, &choice, ""))
    }

    fn token(&self, facts: &Facts, token: Token<'_>) -> String {
        let field = if token.is_reasoning { "reasoning_content" } else { "content" };
        let delta = format!("\"{field}\":{}", quoted(token.text));
        Self::chunk(facts, &Self::choice("null", &delta), "")
    }

    fn ending(&self, facts: &Facts, ending: &Ending) -> Vec<String> {
        let choice = Self::choice(&quoted(ending.reason), "");
        let timings = format!(",\"timings\":{}", Self::timings(facts, ending));
        if facts.usage == Usage::None {
            return vec![Self::chunk(facts, &choice, &timings)];
        }
        let usage = format!(",\"usage\":{}{timings}", Self::usage(facts, ending));
        vec![Self::chunk(facts, &choice, ""), Self::chunk(facts, "", &usage)]
    }

    fn end_mark(&self) -> Option<&'static str> {
        Some("data: [DONE]\n\n")
    }

    fn ping(&self) -> Option<&'static str> {
        Some(":\n\n")
    }

    fn raw(&self, payload: &str) -> String {
        format!("data: {payload}\n\n")
    }

    fn stream_error(&self, message: &str) -> String {
        let message = quoted(message);
        self.raw(&format!(
            "{{\"error\":{{\"code\":500,\"message\":{message},\"type\":\"server_error\"}}}}"
        ))
    }

    fn whole(&self, facts: &Facts, text: &str, reasoning: &str, ending: &Ending) -> String {
        let reasoning = if reasoning.is_empty() {
            String::new()
        } else {
            format!(",\"reasoning_content\":{}", quoted(reasoning))
        };
        format!(
            "{{\"choices\":[{{\"finish_reason\":\"{}\",\"index\":0,\"message\":{{\
             \"role\":\"assistant\",\"content\":{}{reasoning}}}}}],\"created\":{},\"model\":{},\
             \"system_fingerprint\":\"b0-unknown\",\"object\":\"chat.completion\",\"usage\":{},\
             \"id\":\"chatcmpl-{:032x}\",\"timings\":{}}}",
            ending.reason,
            quoted(text),
            facts.created,
            quoted(&facts.model),
            Self::usage(facts, ending),
            facts.number,
            Self::timings(facts, ending)
        )
    }
}
