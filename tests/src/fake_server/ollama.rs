//! Ollama, by its documented API; no recording of it exists. The official Python client is the
//! oracle.

use serde_json::{Value, json};

use super::Setup;
use super::flavour::{Dialect, Ending, Facts, Refusal, Token, http_date, quoted, status_line};

pub(super) struct Ollama;

impl Ollama {
    fn line(facts: &Facts, text: &str, thinking: &str, rest: &str) -> String {
        let now = jiff::Timestamp::now();
        let thinking = match thinking {
            "" => String::new(),
            words => format!(",\"thinking\":{}", quoted(words)),
        };
        let payload = if facts.is_generate {
            format!("\"response\":{}{thinking}", quoted(text))
        } else {
            format!("\"message\":{{\"role\":\"assistant\",\"content\":{}{thinking}}}", quoted(text))
        };
        format!("{{\"model\":{},\"created_at\":\"{now}\",{payload},{rest}}}", quoted(&facts.model))
    }

    fn last(facts: &Facts, text: &str, thinking: &str, ending: &Ending) -> String {
        let rest = format!(
            "\"done\":true,\"done_reason\":\"{}\",\"total_duration\":{},\"load_duration\":{},\
             \"prompt_eval_count\":{},\"prompt_eval_duration\":{},\"eval_count\":{},\
             \"eval_duration\":{}",
            ending.reason,
            ending.total.as_nanos(),
            (ending.total.saturating_sub(ending.prefill + ending.decode)).as_nanos(),
            facts.prompt_tokens,
            ending.prefill.as_nanos(),
            ending.output_tokens,
            ending.decode.as_nanos()
        );
        Self::line(facts, text, thinking, &rest)
    }

    fn details() -> Value {
        json!({
            "parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"],
            "parameter_size": "134.52M", "quantization_level": "Q4_1",
        })
    }

    fn show(setup: &Setup) -> String {
        json!({
            "license": "Apache License", "modelfile": "FROM fake", "parameters": "stop \"<|im_end|>\"",
            "template": "{{ .Prompt }}", "details": Self::details(),
            "model_info": {
                "general.architecture": "llama", "general.file_type": 3,
                "general.parameter_count": 134_515_008_u64, "llama.context_length": setup.context,
                "llama.embedding_length": 576,
            },
            "capabilities": ["completion"], "modified_at": "2026-11-24T02:10:00.5Z",
        })
        .to_string()
    }

    fn tags(setup: &Setup) -> String {
        json!({"models": [{
            "name": setup.model, "model": setup.model, "modified_at": "2026-11-24T02:10:00.5Z",
            "size": 96_576_768, "digest": "a".repeat(64), "details": Self::details(),
        }]})
        .to_string()
    }
}

impl Dialect for Ollama {
    fn stream_head(&self) -> String {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nDate: {}\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
            http_date()
        )
    }

    fn sends_head_at_once(&self) -> bool {
        false
    }

    fn whole_head(&self, status: u16, content_type: &str, length: usize, extra: &str) -> String {
        format!(
            "{}Content-Type: {content_type}\r\nDate: {}\r\n{extra}Content-Length: {length}\r\n\r\n",
            status_line(status),
            http_date()
        )
    }

    fn json_type(&self) -> &'static str {
        "application/json; charset=utf-8"
    }

    fn closes_after(&self, _status: u16) -> bool {
        false
    }

    fn refusal(&self, refusal: &Refusal) -> (&'static str, String) {
        let message = match refusal {
            Refusal::UnknownPath => return ("text/plain", "404 page not found".to_owned()),
            Refusal::UnknownModel { asked, .. } => format!("model '{asked}' not found"),
            Refusal::BadRequest(message) => message.clone(),
            Refusal::TooLong { .. } => "input length exceeds maximum context length".to_owned(),
            Refusal::Unauthorized => "unauthorized".to_owned(),
            Refusal::Busy | Refusal::Loading => {
                "server busy, please try again. maximum pending requests exceeded".to_owned()
            }
            Refusal::Internal => "llama runner process has terminated".to_owned(),
        };
        (self.json_type(), format!("{{\"error\":{}}}", quoted(&message)))
    }

    fn about(&self, target: &str, body: &Value, setup: &Setup) -> Option<Result<String, Refusal>> {
        let asked = body.get("model").and_then(Value::as_str).unwrap_or_default();
        let unknown =
            || Refusal::UnknownModel { asked: asked.to_owned(), there: setup.model.clone() };
        match target {
            "GET /api/version" => Some(Ok("{\"version\":\"0.12.6\"}".to_owned())),
            "GET /api/tags" => Some(Ok(Self::tags(setup))),
            "POST /api/show" if asked != setup.model => Some(Err(unknown())),
            "POST /api/show" => Some(Ok(Self::show(setup))),
            _ => None,
        }
    }

    fn takes_any_model(&self) -> bool {
        false
    }

    fn opening(&self, _facts: &Facts) -> Option<String> {
        None
    }

    fn token(&self, facts: &Facts, token: Token<'_>) -> String {
        let (text, thinking) = if token.is_reasoning { ("", token.text) } else { (token.text, "") };
        Self::line(facts, text, thinking, "\"done\":false") + "\n"
    }

    fn ending(&self, facts: &Facts, ending: &Ending) -> Vec<String> {
        vec![Self::last(facts, "", "", ending) + "\n"]
    }

    fn end_mark(&self) -> Option<&'static str> {
        None
    }

    fn ping(&self) -> Option<&'static str> {
        None
    }

    fn raw(&self, payload: &str) -> String {
        format!("{payload}\n")
    }

    fn stream_error(&self, message: &str) -> String {
        format!("{{\"error\":{}}}\n", quoted(message))
    }

    fn whole(&self, facts: &Facts, text: &str, reasoning: &str, ending: &Ending) -> String {
        if ending.reason == "load" {
            return Self::line(facts, "", "", "\"done\":true,\"done_reason\":\"load\"");
        }
        Self::last(facts, text, reasoning, ending)
    }
}
