//! The fake inference server against its models: recorded streams of llama.cpp and vLLM, and the
//! official Ollama client.

#![expect(clippy::unwrap_used, reason = "a test's parts fail by panicking, like the test")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::fake_server::{Behaviour, FakeServer, Flavour, Setup};
use serde_json::{Value, json};

use crate::transcripts::{content_tokens, transcript};

const CHAT: &str = "POST /v1/chat/completions";
/// Values that differ between two answers that say the same.
const VARYING: [&str; 9] = [
    "created",
    "id",
    "prompt_ms",
    "prompt_per_token_ms",
    "prompt_per_second",
    "predicted_ms",
    "predicted_per_token_ms",
    "predicted_per_second",
    "modified_at",
];

/// A whole answer, head first, its chunks joined.
fn exchange(address: SocketAddr, target: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let length = body.len();
    write!(stream, "{target} HTTP/1.1\r\nHost: fake\r\nContent-Length: {length}\r\n\r\n{body}")
        .unwrap();
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && let Some(body) = whole_body(head, body)
        {
            return format!("{head}\r\n\r\n{body}");
        }
        let mut part = [0; 4096];
        let count = stream.read(&mut part).unwrap();
        assert_ne!(count, 0, "the answer ends too early: {text}");
        bytes.extend_from_slice(&part[..count]);
    }
}

fn whole_body(head: &str, body: &str) -> Option<String> {
    let head = head.to_lowercase();
    if let Some(length) = head.split_once("content-length: ") {
        let length: usize = length.1.lines().next().unwrap().parse().unwrap();
        return (body.len() >= length).then(|| body.to_owned());
    }
    let mut rest = body;
    let mut joined = String::new();
    loop {
        let (length, tail) = rest.split_once("\r\n")?;
        let length = usize::from_str_radix(length, 16).unwrap();
        if length == 0 {
            return (tail == "\r\n").then_some(joined);
        }
        joined.push_str(tail.get(..length)?);
        rest = tail.get(length..)?.strip_prefix("\r\n")?;
    }
}

/// The same text with what varies masked.
fn masked(text: &str) -> String {
    let mut text = text.to_owned();
    for key in VARYING {
        let mark = format!("\"{key}\":");
        let mut parts = text.split(&mark);
        let mut joined = parts.next().unwrap().to_owned();
        for part in parts {
            let end = part.find([',', '}']).unwrap();
            joined.push_str(&format!("{mark}*{}", &part[end..]));
        }
        text = joined;
    }
    let lines = text.split_inclusive('\n').map(|line| {
        if line.starts_with("date: ") { "date: *\r\n".to_owned() } else { line.to_owned() }
    });
    lines.collect()
}

/// The same with the length masked, for answers with times in them.
fn without_length(text: &str) -> String {
    let lines = text.split_inclusive('\n');
    lines.filter(|line| !line.to_lowercase().starts_with("content-length")).collect()
}

fn like(name: &str, flavour: Flavour, prompt_tokens: u64) -> FakeServer {
    let behaviour = Behaviour {
        tokens: content_tokens(name),
        prompt_tokens: Some(prompt_tokens),
        ..Behaviour::default()
    };
    let model = match flavour {
        Flavour::LlamaCpp => "smollm2:135m",
        _ => "smollm2-135m",
    };
    let setup = Setup { model: model.to_owned(), ..Setup::new(flavour) };
    FakeServer::start(setup, move |_| behaviour.clone()).unwrap()
}

fn chat(model: &str, rest: Value) -> String {
    let mut body = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    body.to_string()
}

fn assert_like(name: &str, flavour: Flavour, prompt_tokens: u64, request: Value) {
    let server = like(name, flavour, prompt_tokens);
    let model = if flavour == Flavour::LlamaCpp { "smollm2:135m" } else { "smollm2-135m" };
    let answer = exchange(server.address(), CHAT, &chat(model, request));
    assert_eq!(masked(&answer), masked(&transcript(name)), "{name}");
}

#[test]
fn streams_have_the_bytes_of_llama_cpp() {
    let usage = json!({"stream": true, "stream_options": {"include_usage": true}});
    assert_like("llama-server-openai-stream.txt", Flavour::LlamaCpp, 40, usage);
}

#[test]
fn streams_have_the_bytes_of_vllm() {
    let usage = json!({"stream": true, "stream_options": {"include_usage": true}});
    assert_like("vllm-openai-stream.txt", Flavour::Vllm, 40, usage);
    let no_usage = json!({"stream": true, "max_tokens": 4});
    assert_like("vllm-openai-stream-nousage.txt", Flavour::Vllm, 31, no_usage);
    let options = json!({"include_usage": true, "continuous_usage_stats": true});
    let continuous = json!({"stream": true, "max_tokens": 4, "stream_options": options});
    assert_like("vllm-openai-stream-continuous-usage.txt", Flavour::Vllm, 31, continuous);
}

#[test]
fn a_stream_without_usage_and_with_cached_tokens_has_the_bytes_of_llama_cpp() {
    let name = "llama-server-openai-stream-nousage.txt";
    let behaviour = Behaviour {
        tokens: content_tokens(name),
        prompt_tokens: Some(31),
        cached_tokens: 30,
        ..Behaviour::default()
    };
    let setup = Setup { model: "smollm2:135m".to_owned(), ..Setup::new(Flavour::LlamaCpp) };
    let server = FakeServer::start(setup, move |_| behaviour.clone()).unwrap();
    let body = chat("smollm2:135m", json!({"stream": true, "max_tokens": 4}));
    let answer = exchange(server.address(), CHAT, &body);
    assert_eq!(masked(&answer), masked(&transcript(name)));
}

#[test]
fn whole_answers_have_the_bytes_of_the_real_ones() {
    let server = like("vllm-openai-stream.txt", Flavour::Vllm, 40);
    let answer = exchange(server.address(), CHAT, &chat("smollm2-135m", json!({})));
    assert_eq!(masked(&answer), masked(&transcript("vllm-openai-nonstream.txt")));

    let behaviour = Behaviour {
        tokens: content_tokens("llama-server-openai-stream.txt"),
        prompt_tokens: Some(40),
        cached_tokens: 39,
        ..Behaviour::default()
    };
    let setup = Setup { model: "smollm2:135m".to_owned(), ..Setup::new(Flavour::LlamaCpp) };
    let server = FakeServer::start(setup, move |_| behaviour.clone()).unwrap();
    let answer = exchange(server.address(), CHAT, &chat("any name", json!({})));
    let real = transcript("llama-server-openai-nonstream.txt");
    assert_eq!(without_length(&masked(&answer)), without_length(&masked(&real)));
}

#[test]
fn refusals_and_metadata_have_the_bytes_of_the_real_ones() {
    let vllm = like("vllm-openai-stream.txt", Flavour::Vllm, 5_031);
    let llama = like("llama-server-openai-stream.txt", Flavour::LlamaCpp, 5_031);
    let request = |model| chat(model, json!({}));
    for (server, target, body, name) in [
        (&vllm, CHAT, request("smollm2-135m"), "vllm-openai-toolong.txt"),
        (&vllm, CHAT, request("nope"), "vllm-openai-unknown-model.txt"),
        (&vllm, "GET /v1/models", String::new(), "vllm-models.txt"),
        (&vllm, "GET /version", String::new(), "vllm-version.txt"),
        (&vllm, "GET /api/tags", String::new(), "vllm-api-tags-404.txt"),
        (&llama, CHAT, request("smollm2:135m"), "llama-server-openai-toolong.txt"),
        (&llama, "POST /api/chat", request("smollm2:135m"), "llama-server-api-chat.txt"),
        (&llama, "GET /health", String::new(), "llama-server-health.txt"),
    ] {
        let answer = exchange(server.address(), target, &body);
        assert_eq!(masked(&answer), masked(&transcript(name)), "{name}");
    }
    // The recorded server had a context of 4,096.
    let answer = exchange(llama.address(), "GET /v1/models", "");
    let real = transcript("llama-server-models.txt").replace("\"n_ctx\":4096", "\"n_ctx\":2048");
    assert_eq!(masked(&answer), masked(&real));
}

#[test]
fn the_official_ollama_client_reads_the_fake() {
    let Some(python) = crate::python::interpreter("ollama") else { return };
    let behaviour = Behaviour {
        reasoning: vec!["hm".to_owned()],
        ..Behaviour::saying("It scatters.")
            .timed(Duration::from_millis(5), Duration::from_millis(1))
    };
    let server = FakeServer::always(Flavour::Ollama, behaviour).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/ollama_client.py");
    let output =
        Command::new(python).arg(script).args([&server.url(), "fake:1b"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let total = report.as_object_mut().unwrap().remove("total_duration").unwrap();
    assert!(total.as_u64().unwrap() >= 7_000_000, "{total}");
    assert_eq!(
        report,
        json!({
            "models": ["fake:1b"], "parameter_count": 134_515_008, "quantization": "Q4_1",
            "pieces": ["", "It", " scatters.", ""], "done": [false, false, false, true],
            "thinking": "hm", "eval_count": 4, "whole": "It scatters.",
            "generated": "It scatters.", "load_reason": "load", "missing": 404,
        })
    );
}

#[test]
fn tokens_are_written_when_they_are_due() {
    let behaviour =
        Behaviour::saying("a b c d e").timed(Duration::from_millis(40), Duration::from_millis(10));
    let server = FakeServer::always(Flavour::Vllm, behaviour).unwrap();
    exchange(server.address(), CHAT, &chat("fake:1b", json!({"stream": true})));
    let chats = server.chats();
    let request = &chats[0];
    for (index, written) in request.token_writes.iter().enumerate() {
        let after = written.since(request.received).as_secs_f64() * 1e3;
        let due = 40.0 + 10.0 * index as f64;
        // Never early; late only as far as a busy machine makes it.
        assert!((due..due + 500.0).contains(&after), "token {index} after {after} ms");
    }
    assert_eq!(request.token_writes.len(), 5);
}
