//! vLLM, as recorded from 0.32.0.

use serde_json::Value;

use super::Setup;
use super::flavour::{
    Dialect, Ending, Facts, Refusal, Token, Usage, http_date, quoted, status_line,
};

const FINGERPRINT: &str = "vllm-0.32.0-015fbf1a";

pub(super) struct Vllm;

impl Vllm {
    fn chunk(facts: &Facts, choices: &str, rest: &str) -> String {
        format!(
            "data: {{\"id\":\"chatcmpl-{:016x}\",\"object\":\"chat.completion.chunk\",\
             \"created\":{},\"model\":{},\"choices\":[{choices}]{rest}}}\n\n",
            facts.number,
            facts.created,
            quoted(&facts.model)
        )
    }

    /// The usage so far, where it is wanted in each chunk.
    fn running_usage(facts: &Facts, output: u64) -> String {
        if facts.usage != Usage::InEachChunk {
            return String::new();
        }
        format!(",\"usage\":{{{},\"completion_tokens_details\":null}}", Self::counts(facts, output))
    }

    fn counts(facts: &Facts, output: u64) -> String {
        format!(
            "\"prompt_tokens\":{},\"total_tokens\":{},\"completion_tokens\":{output}",
            facts.prompt_tokens,
            facts.prompt_tokens + output
        )
    }

    /// The chunk with the finish reason, which may hold the last token.
    fn last_choice(facts: &Facts, delta: &str, reason: &str, output: u64) -> String {
        let choice = format!(
            "{{\"index\":0,\"delta\":{{{delta}}},\"logprobs\":null,\"finish_reason\":\"{reason}\",\
             \"stop_reason\":null,\"token_ids\":null}}"
        );
        let fingerprint = if facts.usage == Usage::None {
            format!(",\"system_fingerprint\":\"{FINGERPRINT}\"")
        } else {
            String::new()
        };
        let rest = Self::running_usage(facts, output) + &fingerprint;
        Self::chunk(facts, &choice, &rest)
    }
}

impl Dialect for Vllm {
    fn stream_head(&self) -> String {
        format!(
            "HTTP/1.1 200 OK\r\ndate: {}\r\nserver: uvicorn\r\n\
             content-type: text/event-stream; charset=utf-8\r\nvary: Origin\r\n\
             transfer-encoding: chunked\r\n\r\n",
            http_date()
        )
    }

    fn sends_head_at_once(&self) -> bool {
        true
    }

    fn whole_head(&self, status: u16, content_type: &str, length: usize, extra: &str) -> String {
        format!(
            "{}date: {}\r\nserver: uvicorn\r\ncontent-length: {length}\r\n\
             content-type: {content_type}\r\n{extra}vary: Origin\r\n\r\n",
            status_line(status),
            http_date()
        )
    }

    fn json_type(&self) -> &'static str {
        "application/json"
    }

    fn closes_after(&self, _status: u16) -> bool {
        false
    }

    fn refusal(&self, refusal: &Refusal) -> (&'static str, String) {
        let (message, kind, param) = match refusal {
            Refusal::UnknownPath => {
                return (self.json_type(), "{\"detail\":\"Not Found\"}".to_owned());
            }
            Refusal::Unauthorized => {
                return (self.json_type(), "{\"error\":\"Unauthorized\"}".to_owned());
            }
            Refusal::TooLong { context, .. } => (
                format!(
                    "This model's maximum context length is {context} tokens. However, your prompt \
                     contains at least {0} input tokens, which exceeds this limit even without any \
                     output tokens. Please reduce the length of the input prompt. \
                     (parameter=input_tokens, value={0})",
                    context + 1
                ),
                "BadRequestError",
                "\"input_tokens\"",
            ),
            Refusal::UnknownModel { asked, there } => (
                format!("The model `{asked}` does not exist. Valid aliases: {there}."),
                "NotFoundError",
                "\"model\"",
            ),
            Refusal::BadRequest(message) => (message.clone(), "BadRequestError", "null"),
            Refusal::Busy => ("too many requests".to_owned(), "RateLimitError", "null"),
            Refusal::Loading => ("loading".to_owned(), "ServiceUnavailable", "null"),
            Refusal::Internal => ("EngineCore died".to_owned(), "InternalServerError", "null"),
        };
        let body = format!(
            "{{\"error\":{{\"message\":{},\"type\":\"{kind}\",\"param\":{param},\"code\":{}}}}}",
            quoted(&message),
            refusal.status()
        );
        (self.json_type(), body)
    }

    fn about(&self, target: &str, _body: &Value, setup: &Setup) -> Option<Result<String, Refusal>> {
        let created = jiff::Timestamp::now().as_second();
        let body = match target {
            "GET /health" => String::new(),
            "GET /version" => "{\"version\":\"0.32.0\"}".to_owned(),
            "GET /v1/models" => format!(
                "{{\"object\":\"list\",\"data\":[{{\"id\":{},\"object\":\"model\",\"created\":{created},\
                 \"owned_by\":\"vllm\",\"root\":\"/models/smollm2-hf\",\"parent\":null,\
                 \"max_model_len\":{},\"permission\":[{{\"id\":\"modelperm-{created:016x}\",\
                 \"object\":\"model_permission\",\"created\":{created},\"allow_create_engine\":false,\
                 \"allow_sampling\":true,\"allow_logprobs\":true,\"allow_search_indices\":false,\
                 \"allow_view\":true,\"allow_fine_tuning\":false,\"organization\":\"*\",\
                 \"group\":null,\"is_blocking\":false}}]}}]}}",
                quoted(&setup.model),
                setup.context
            ),
            _ => return None,
        };
        Some(Ok(body))
    }

    fn takes_any_model(&self) -> bool {
        false
    }

    fn opening(&self, facts: &Facts) -> Option<String> {
        let choice = "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\
                      \"logprobs\":null,\"finish_reason\":null}";
        let rest =
            Self::running_usage(facts, 0) + ",\"prompt_token_ids\":null,\"prompt_text\":null";
        Some(Self::chunk(facts, choice, &rest))
    }

    fn token(&self, facts: &Facts, token: Token<'_>) -> String {
        let field = if token.is_reasoning { "reasoning" } else { "content" };
        let delta = format!("\"{field}\":{}", quoted(token.text));
        if token.hits_limit {
            return Self::last_choice(facts, &delta, "length", token.count);
        }
        let choice = format!(
            "{{\"index\":0,\"delta\":{{{delta}}},\"logprobs\":null,\"finish_reason\":null,\
             \"token_ids\":null}}"
        );
        Self::chunk(facts, &choice, &Self::running_usage(facts, token.count))
    }

    fn ending(&self, facts: &Facts, ending: &Ending) -> Vec<String> {
        let mut chunks = Vec::new();
        if ending.reason == "stop" {
            chunks.push(Self::last_choice(facts, "\"content\":\"\"", "stop", ending.output_tokens));
        }
        if facts.usage != Usage::None {
            let rest = format!(
                ",\"usage\":{{{}}},\"system_fingerprint\":\"{FINGERPRINT}\"",
                Self::counts(facts, ending.output_tokens)
            );
            chunks.push(Self::chunk(facts, "", &rest));
        }
        chunks
    }

    fn end_mark(&self) -> Option<&'static str> {
        Some("data: [DONE]\n\n")
    }

    fn ping(&self) -> Option<&'static str> {
        Some(": ping\n\n")
    }

    fn raw(&self, payload: &str) -> String {
        format!("data: {payload}\n\n")
    }

    fn stream_error(&self, message: &str) -> String {
        self.raw(&format!(
            "{{\"error\": {{\"message\": {}, \"type\": \"InternalServerError\", \"param\": null, \
             \"code\": 500}}}}",
            quoted(message)
        ))
    }

    fn whole(&self, facts: &Facts, text: &str, reasoning: &str, ending: &Ending) -> String {
        let reasoning = if reasoning.is_empty() { "null".to_owned() } else { quoted(reasoning) };
        format!(
            "{{\"id\":\"chatcmpl-{:016x}\",\"object\":\"chat.completion\",\"created\":{},\"model\":{},\
             \"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":{},\
             \"refusal\":null,\"annotations\":null,\"audio\":null,\"function_call\":null,\
             \"reasoning\":{reasoning}}},\"logprobs\":null,\"finish_reason\":\"{}\",\
             \"stop_reason\":null,\"token_ids\":null,\"routed_experts\":null}}],\
             \"service_tier\":null,\"system_fingerprint\":\"{FINGERPRINT}\",\"usage\":{{{},\
             \"prompt_tokens_details\":null,\"completion_tokens_details\":null}},\
             \"prompt_logprobs\":null,\"prompt_token_ids\":null,\"prompt_text\":null,\
             \"kv_transfer_params\":null,\"ec_transfer_params\":null,\"metrics\":null}}",
            facts.number,
            facts.created,
            quoted(&facts.model),
            quoted(text),
            ending.reason,
            Self::counts(facts, ending.output_tokens)
        )
    }
}
