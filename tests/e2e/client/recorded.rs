//! Recorded streams of real servers, replayed through the clients.

use std::collections::HashMap;
use std::time::Duration;

use ipw::client::{ClientError, Exchange, ServerInfo, Usage, build};
use serde_json::Value;

use super::{client, config, failure, outcome, report};
use crate::replay::{Finish, Frames, Recording, Replay};
use crate::transcripts::transcript;

const COMPLETIONS: &str = "POST /v1/chat/completions";
const CHAT: &str = "POST /api/chat";
const SKY: &str = "The sky blue is a result of the Earth's atmosphere scattering sunlight, primarily \
                   blue, allowing it to appear blue.";

fn usage(input: i64, output: i64, cached: Option<i64>) -> Usage {
    Usage { input: Some(input), output: Some(output), cached, reasoning: None }
}

async fn ask(id: &str, url: &str) -> Exchange {
    client(id, url).stream_chat_completion("Why is the sky blue?").await
}

async fn ask_recording(id: &str, target: &'static str, recording: Recording) -> Exchange {
    let replay = Replay::start(HashMap::from([(target, recording)]));
    ask(id, &replay.url()).await
}

#[tokio::test]
async fn recorded_streams_are_read_alike_in_whatever_frames_they_come() {
    for (name, text, usage, finish) in [
        ("llama-server-openai-stream.txt", SKY, usage(40, 24, Some(0)), "stop"),
        (
            "llama-server-openai-stream-nousage.txt",
            "hey there, welcome",
            usage(31, 4, Some(30)),
            "length",
        ),
        ("llama-server-openai-stream-ping.txt", "\n\n\n", usage(1_791, 3, Some(0)), "length"),
        ("llama-server-openai-stream-progress.txt", "\n\n\n", usage(1_631, 3, Some(0)), "length"),
        ("vllm-openai-stream.txt", SKY, usage(40, 24, None), "stop"),
        ("vllm-openai-stream-nousage.txt", "Hello there! How", Usage::default(), "length"),
        (
            "vllm-openai-stream-continuous-usage.txt",
            "Hello there! How",
            usage(31, 4, None),
            "length",
        ),
        ("guidellm-mock-stream.txt", "Score each ", usage(3, 4, None), "stop"),
    ] {
        for frames in [Frames::AnEventEach, Frames::AByteEach, Frames::AllAtOnce] {
            let recording = Recording::of(&transcript(name), frames, Finish::Properly);
            let exchange = ask_recording("openai", COMPLETIONS, recording).await;
            let context = format!("{name} {frames:?}");
            assert_eq!(outcome(&exchange), "complete", "{context}");
            assert_eq!(exchange.text, text, "{context}");
            assert_eq!(exchange.reasoning, "", "{context}");
            assert_eq!(exchange.usage, usage, "{context}");
            assert_eq!(exchange.finish_reason.as_deref(), Some(finish), "{context}");
            assert!(exchange.first_byte.unwrap() >= exchange.start, "{context}");
            assert!(exchange.first_token.unwrap() >= exchange.first_byte.unwrap(), "{context}");
            assert!(exchange.end >= *exchange.pieces.last().unwrap(), "{context}");
        }
    }
}

#[tokio::test]
async fn times_of_a_server_that_are_longer_than_the_exchange_are_dropped_and_flagged() {
    // The recording says 426 ms; replayed at once, that can't be.
    let text = transcript("llama-server-openai-stream.txt");
    let recording = Recording::of(&text, Frames::AnEventEach, Finish::Properly);
    let exchange = ask_recording("openai", COMPLETIONS, recording).await;
    assert_eq!(exchange.server_timing, None);
    assert!(
        exchange.flags.contains(&"server_timing_phases_longer_than_the_whole".to_owned()),
        "{:?}",
        exchange.flags
    );
}

#[tokio::test]
async fn usage_out_of_timings_is_flagged() {
    let text = transcript("llama-server-openai-stream-nousage.txt");
    let recording = Recording::of(&text, Frames::AnEventEach, Finish::Properly);
    let exchange = ask_recording("openai", COMPLETIONS, recording).await;
    assert!(exchange.flags.contains(&"usage_from_timings".to_owned()), "{:?}", exchange.flags);
}

#[tokio::test]
async fn a_killed_llama_cpp_leaves_a_truncated_answer() {
    let text = transcript("llama-server-openai-stream-killed.txt");
    for (finish, cut) in [(Finish::Cut, true), (Finish::Properly, false)] {
        let recording = Recording::of(&text, Frames::AnEventEach, finish);
        let exchange = ask_recording("openai", COMPLETIONS, recording).await;
        assert_eq!(outcome(&exchange), "truncated", "{finish:?}");
        assert!(exchange.text.starts_with("In the year 22"), "{}", exchange.text);
        assert!(exchange.text.ends_with("spent months studying the"), "{}", exchange.text);
        assert_eq!(exchange.usage, Usage::default());
        let flag = "connection_closed_in_the_answer".to_owned();
        assert_eq!(exchange.flags.contains(&flag), cut, "{:?}", exchange.flags);
    }
}

#[tokio::test]
async fn a_dead_vllm_engine_is_an_error_in_the_stream_and_what_had_come_is_kept() {
    let text = transcript("vllm-openai-stream-engine-killed.txt");
    let recording = Recording::of(&text, Frames::AnEventEach, Finish::Properly);
    let exchange = ask_recording("openai", COMPLETIONS, recording).await;
    assert!(exchange.text.ends_with("that could learn"), "{}", exchange.text);
    let error = failure(exchange);
    assert!(
        matches!(&error, ClientError::ErrorInStream { message, .. }
            if message.starts_with("EngineCore encountered an issue.")),
        "{error}"
    );
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn recorded_refusals_say_what_is_wrong() {
    let kind = |error: &ClientError| match error {
        ClientError::Rejected { status: 400, .. } => "rejected",
        ClientError::ContextTooLong { .. } => "too long",
        ClientError::ModelMissing { .. } => "no model",
        ClientError::WrongServer { .. } => "wrong server",
        ClientError::Malformed { .. } => "malformed",
        _ => "another",
    };
    for (name, id, target, expected, words) in [
        ("llama-server-openai-badjson.txt", "openai", COMPLETIONS, "rejected", "parse error"),
        ("vllm-openai-badjson.txt", "openai", COMPLETIONS, "rejected", "json_invalid"),
        ("llama-server-openai-toolong.txt", "openai", COMPLETIONS, "too long", "5031 tokens"),
        ("vllm-openai-toolong.txt", "openai", COMPLETIONS, "too long", "2048 tokens"),
        ("vllm-openai-unknown-model.txt", "openai", COMPLETIONS, "no model", "fake:1b"),
        ("llama-server-openai-unknown-model.txt", "openai", COMPLETIONS, "malformed", "stream"),
        ("llama-server-openai-nonstream.txt", "openai", COMPLETIONS, "malformed", "stream"),
        ("vllm-openai-nonstream.txt", "openai", COMPLETIONS, "malformed", "stream"),
        ("llama-server-api-chat.txt", "ollama", CHAT, "wrong server", "File Not Found"),
        ("vllm-api-tags-404.txt", "ollama", CHAT, "wrong server", "uvicorn"),
        ("ollama-proxy-api-chat-stream.txt", "ollama", CHAT, "malformed", "`response` where"),
        ("ollama-proxy-api-generate.txt", "ollama", CHAT, "malformed", "`response` where"),
    ] {
        let recording = Recording::of(&transcript(name), Frames::AllAtOnce, Finish::Properly);
        let exchange = ask_recording(id, target, recording).await;
        assert_eq!((exchange.text.as_str(), exchange.first_token), ("", None), "{name}");
        let error = failure(exchange);
        assert_eq!(kind(&error), expected, "{name}: {error}");
        assert!(error.to_string().contains(words), "{name}: {error}");
        assert!(error.to_string().contains("http://127.0.0.1:"), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_bad_imitation_of_ollama_gets_no_further_than_its_list_of_models() {
    let recording =
        |name: &str| Recording::of(&transcript(name), Frames::AllAtOnce, Finish::Properly);
    let version = "HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n{\"version\":\"0.1\"}";
    let replay = Replay::start(HashMap::from([
        ("GET /api/version", Recording::of(version, Frames::AllAtOnce, Finish::Properly)),
        ("GET /api/tags", recording("ollama-proxy-api-tags.txt")),
    ]));
    let error = client("ollama", &replay.url()).prepare().await.unwrap_err();
    let ClientError::ModelMissing { available, remedy, .. } = &error else { panic!("{error}") };
    assert_eq!(available, &["smollm2:135m"]);
    assert!(remedy.contains("ollama pull fake:1b"), "{remedy}");
}

#[tokio::test]
async fn recorded_lists_of_models_tell_server_version_parameters_and_context() {
    let recording =
        |name: &str| Recording::of(&transcript(name), Frames::AllAtOnce, Finish::Properly);
    let vllm = Replay::start(HashMap::from([
        ("GET /v1/models", recording("vllm-models.txt")),
        ("GET /version", recording("vllm-version.txt")),
        (COMPLETIONS, recording("vllm-openai-stream.txt")),
    ]));
    let mut asked = config(&vllm.url());
    asked.model = "smollm2-135m".to_owned();
    let info = build("vllm", asked).unwrap().prepare().await.unwrap();
    let expected = ServerInfo {
        server: Some("vllm".to_owned()),
        version: Some("0.32.0".to_owned()),
        context_length: Some(2_048),
        ..ServerInfo::default()
    };
    assert_eq!(info, expected);

    let llama = Replay::start(HashMap::from([
        ("GET /v1/models", recording("llama-server-models.txt")),
        ("GET /health", recording("llama-server-health.txt")),
        (COMPLETIONS, recording("llama-server-openai-stream.txt")),
    ]));
    let mut asked = config(&llama.url());
    asked.model = "smollm2:135m".to_owned();
    let client = build("vllm", asked).unwrap();
    client.health().await.unwrap();
    let mut info = client.prepare().await.unwrap();
    assert!(info.warnings.remove(0).contains("is llama.cpp, not vLLM"));
    let expected = ServerInfo {
        server: Some("llama.cpp".to_owned()),
        parameter_count: Some(134_515_008),
        quantization: Some("Q4_1".to_owned()),
        context_length: Some(4_096),
        ..ServerInfo::default()
    };
    assert_eq!(info, expected);
}

/// An answer of this body.
fn whole(body: &str) -> Recording {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    Recording::of(&(head + body), Frames::AllAtOnce, Finish::Properly)
}

#[tokio::test]
async fn ollama_tells_a_mixture_of_experts_from_a_dense_model() {
    for (experts, expected) in [("", None), (",\"llama.expert_count\":8", Some(8))] {
        let show = format!(
            "{{\"model_info\":{{\"general.architecture\":\"llama\",\
             \"general.parameter_count\":46702792704{experts}}}}}"
        );
        let replay = Replay::start(HashMap::from([
            ("GET /api/version", whole("{\"version\":\"0.12.6\"}")),
            ("GET /api/tags", whole("{\"models\":[{\"name\":\"fake:1b\"}]}")),
            ("POST /api/show", whole(&show)),
            ("POST /api/generate", whole("{\"done\":true}")),
        ]));
        let info = client("ollama", &replay.url()).prepare().await.unwrap();
        assert_eq!(info.parameter_count, Some(46_702_792_704));
        assert_eq!(info.expert_count, expected);
    }
}

#[tokio::test]
async fn ollama_is_known_behind_its_openai_protocol() {
    let list = "{\"object\":\"list\",\"data\":[{\"id\":\"fake:1b\",\"owned_by\":\"library\"}]}";
    let stream = transcript("guidellm-mock-stream.txt");
    let replay = Replay::start(HashMap::from([
        ("GET /v1/models", whole(list)),
        ("GET /api/version", whole("{\"version\":\"0.12.6\"}")),
        (COMPLETIONS, Recording::of(&stream, Frames::AnEventEach, Finish::Properly)),
    ]));
    let info = client("openai", &replay.url()).prepare().await.unwrap();
    assert_eq!(info.server.as_deref(), Some("ollama"));
    assert_eq!(info.version.as_deref(), Some("0.12.6"));
    assert!(info.warnings.is_empty(), "{:?}", info.warnings);
}

#[tokio::test]
async fn a_server_that_answers_nothing_is_not_prepared() {
    // The replay answers 200 without a body to what it has no recording of.
    let models = transcript("llama-server-models.txt").replace("smollm2:135m", "fake_name:1b");
    let recording = Recording::of(&models, Frames::AllAtOnce, Finish::Properly);
    let replay = Replay::start(HashMap::from([("GET /v1/models", recording)]));
    let mut asked = config(&replay.url());
    asked.model = "fake_name:1b".to_owned();
    let error = build("openai", asked).unwrap().prepare().await.unwrap_err();
    assert!(matches!(error, ClientError::Malformed { .. }), "{error}");
}

/// The writes of each request in a timed recording, and when its first content came.
fn timed(name: &str) -> Vec<Vec<(Duration, Vec<u8>)>> {
    let mut requests: Vec<Vec<(Duration, Vec<u8>)>> = Vec::new();
    for line in transcript(name).lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let number = usize::try_from(entry["req"].as_u64().unwrap()).unwrap();
        requests.resize_with(requests.len().max(number + 1), Vec::new);
        let due = Duration::from_secs_f64(entry["t_ms"].as_f64().unwrap() / 1e3);
        requests[number].push((due, entry["line"].as_str().unwrap().as_bytes().to_vec()));
    }
    requests
}

/// Which of the writes ends an event with content.
fn content_writes(parts: &[(Duration, Vec<u8>)]) -> Vec<usize> {
    let has_content = |bytes: &[u8]| {
        let data = bytes.strip_prefix(b"data: ").and_then(|data| serde_json::from_slice(data).ok());
        let content =
            |chunk: Value| Some(!chunk.pointer("/choices/0/delta/content")?.as_str()?.is_empty());
        data.and_then(content).unwrap_or(false)
    };
    // The event is whole with the blank line behind it.
    (0..parts.len()).filter(|index| has_content(&parts[*index].1)).map(|index| index + 1).collect()
}

async fn replay_timed(name: &'static str, head: &'static str, with_timing: bool) {
    let mut lags = Vec::new();
    let mut replays = tokio::task::JoinSet::new();
    for parts in timed(name) {
        let head = transcript(head);
        replays.spawn(async move {
            let recording = Recording::timed(&head, parts.clone());
            let replay = Replay::start(HashMap::from([(COMPLETIONS, recording)]));
            let exchange = ask("openai", &replay.url()).await;
            (exchange, replay.written(), parts)
        });
    }
    while let Some(result) = replays.join_next().await {
        let (exchange, written, parts) = result.unwrap();
        assert_eq!(outcome(&exchange), "complete", "{name}");
        assert_eq!(exchange.server_timing.is_some(), with_timing, "{:?}", exchange.flags);
        assert_eq!(exchange.flags, Vec::<String>::new(), "{name}");
        let content = content_writes(&parts);
        assert_eq!(exchange.pieces.len(), content.len(), "{name}");
        assert_eq!(exchange.first_token, exchange.pieces.first().copied());
        for (piece, write) in exchange.pieces.iter().zip(&content) {
            assert!(*piece >= written[*write], "{name}: a piece before it was written");
            lags.push(piece.since(written[*write]));
        }
        let recorded = parts[content[0]].0;
        let ttft = exchange.first_token.unwrap().since(exchange.start);
        assert!(ttft >= recorded && ttft < recorded + Duration::from_millis(500), "{ttft:?}");
    }
    report(&format!("{name}: lag of pieces"), &mut lags);
    assert!(lags[lags.len() / 2] < Duration::from_millis(5), "{:?}", lags[lags.len() / 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timed_replay_of_llama_cpp_gives_its_times() {
    let name = "llama-server-openai-stream-timed.jsonl";
    replay_timed(name, "llama-server-openai-stream.txt", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timed_replay_of_vllm_gives_its_times() {
    replay_timed("vllm-openai-stream-timed.jsonl", "vllm-openai-stream.txt", false).await;
}
