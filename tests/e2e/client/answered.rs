//! The fake server answers: times, texts, counts, and what was sent to it.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::fake_server::{Behaviour, FakeServer, Flavour, Setup, StreamOptions};
use ipw::client::build;
use serde_json::{Value, json};

use super::{client, client_of, config, outcome, report};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_to_first_token_is_that_of_the_servers_own_clock() {
    for flavour in [Flavour::LlamaCpp, Flavour::Vllm, Flavour::Ollama] {
        let behaviour = Behaviour::saying("one two three four")
            .timed(Duration::from_millis(20), Duration::from_millis(3));
        let server = FakeServer::always(flavour, behaviour).unwrap();
        let client = client_of(flavour, &server);
        let mut errors = Vec::new();
        for _ in 0..40 {
            let exchange = client.stream_chat_completion("hi").await;
            let chats = server.chats();
            let request = chats.last().unwrap();
            let truth = request.token_writes[0].since(request.received);
            let ours = exchange.first_token.unwrap().since(exchange.start);
            // We start before the server has the request, and see the token after it was written.
            assert!(ours >= truth, "{flavour:?}: {ours:?} but the server says {truth:?}");
            errors.push(ours - truth);
            assert!(exchange.server_timing.is_some() == (flavour != Flavour::Vllm));
            assert_eq!(exchange.flags, Vec::<String>::new());
        }
        report(&format!("{flavour:?}: TTFT beyond the server's"), &mut errors);
        assert!(errors[errors.len() / 2] < Duration::from_millis(20), "{errors:?}");
        let connections = server.log().iter().map(|entry| entry.connection).max();
        // A busy machine may be late in giving one back; that opens another.
        assert!(connections.is_some_and(|last| last < 4), "{connections:?} after 40 queries");
    }
}

#[tokio::test]
async fn every_flavour_gives_text_reasoning_usage_and_finish() {
    for flavour in [Flavour::LlamaCpp, Flavour::Vllm, Flavour::Ollama] {
        let behaviour = Behaviour {
            reasoning: vec!["hm".to_owned(), ", B?".to_owned()],
            prompt_tokens: Some(12),
            ..Behaviour::saying("It is B.")
                .timed(Duration::from_millis(10), Duration::from_millis(2))
        };
        let server = FakeServer::always(flavour, behaviour).unwrap();
        let exchange = client_of(flavour, &server).stream_chat_completion("hi").await;
        assert_eq!(outcome(&exchange), "complete", "{flavour:?}");
        assert_eq!((exchange.text.as_str(), exchange.reasoning.as_str()), ("It is B.", "hm, B?"));
        assert_eq!((exchange.usage.input, exchange.usage.output), (Some(12), Some(6)));
        assert_eq!(exchange.finish_reason.as_deref(), Some("stop"));
        assert_eq!(exchange.pieces.len(), 5, "{flavour:?}");
        assert!(exchange.first_content.unwrap() > exchange.first_token.unwrap());
    }
}

#[tokio::test]
async fn what_was_asked_for_is_sent_and_nothing_else() {
    let server = FakeServer::always(Flavour::Vllm, Behaviour::default()).unwrap();
    client("openai", &server.url()).stream_chat_completion("hi").await;
    let mut asked = config(&server.url());
    asked.temperature = Some(0.0);
    asked.max_tokens = Some(2);
    asked.seed = Some(7);
    asked.params = BTreeMap::from([("cache_prompt".to_owned(), json!(false))]);
    build("openai", asked).unwrap().stream_chat_completion("hi").await;
    let bodies: Vec<Value> =
        server.chats().iter().map(|chat| serde_json::from_slice(&chat.body).unwrap()).collect();
    let plain = json!({
        "model": "fake:1b", "messages": [{"role": "user", "content": "hi"}], "stream": true,
        "stream_options": {"include_usage": true, "continuous_usage_stats": true},
    });
    let mut full = plain.clone();
    full["temperature"] = json!(0.0);
    full["max_tokens"] = json!(2);
    full["seed"] = json!(7);
    full["cache_prompt"] = json!(false);
    assert_eq!(bodies, [plain, full]);
}

#[tokio::test]
async fn ollama_takes_parameters_as_options() {
    let server = FakeServer::always(Flavour::Ollama, Behaviour::default()).unwrap();
    let mut asked = config(&server.url());
    asked.temperature = Some(0.5);
    asked.max_tokens = Some(2);
    asked.seed = Some(7);
    asked.params =
        BTreeMap::from([("num_ctx".to_owned(), json!(4096)), ("think".to_owned(), json!(false))]);
    let exchange = build("ollama", asked).unwrap().stream_chat_completion("hi").await;
    assert_eq!(
        (exchange.text.as_str(), exchange.finish_reason.as_deref()),
        ("The answer", Some("length"))
    );
    let body: Value = serde_json::from_slice(&server.chats()[0].body).unwrap();
    let expected = json!({
        "model": "fake:1b", "messages": [{"role": "user", "content": "hi"}], "stream": true,
        "think": false,
        "options": {"temperature": 0.5, "seed": 7, "num_predict": 2, "num_ctx": 4096},
    });
    assert_eq!(body, expected);
}

#[test]
fn parameters_cannot_override_what_is_ours_or_contradict_an_option() {
    for (id, name) in [
        ("openai", "model"),
        ("openai", "messages"),
        ("vllm", "stream"),
        ("openai", "n"),
        ("ollama", "stream"),
        ("openai", "temperature"),
        ("openai", "max_tokens"),
        ("ollama", "num_predict"),
    ] {
        let mut asked = config("localhost:1");
        asked.temperature = Some(0.0);
        asked.max_tokens = Some(5);
        asked.params = BTreeMap::from([(name.to_owned(), json!(1))]);
        let error = build(id, asked).err().unwrap();
        assert!(error.is_usage() && error.to_string().contains(name), "{error}");
    }
}

#[tokio::test]
async fn stream_options_that_a_server_refuses_are_left_out_and_not_tried_again() {
    for (support, refused, has_usage) in [
        (StreamOptions::Continuous, 0, true),
        (StreamOptions::Final, 1, true),
        (StreamOptions::Refused, 1, false),
        (StreamOptions::Ignored, 0, false),
    ] {
        let behaviour = Behaviour { stream_options: support, ..Behaviour::default() };
        let server = FakeServer::always(Flavour::Vllm, behaviour).unwrap();
        let client = client("openai", &server.url());
        for _ in 0..3 {
            let exchange = client.stream_chat_completion("hi").await;
            assert_eq!(outcome(&exchange), "complete", "{support:?}");
            assert_eq!(exchange.usage.output.is_some(), has_usage, "{support:?}");
        }
        assert_eq!(server.chats().len(), 3 + refused, "{support:?}");
    }
}

#[tokio::test]
async fn preparing_finds_the_model_loads_it_and_describes_the_server() {
    for (flavour, id, server_name, version, quantization) in [
        (Flavour::LlamaCpp, "openai", "llama.cpp", "b11549-0a1b2c3", Some("Q4_1")),
        (Flavour::Vllm, "vllm", "vllm", "0.32.0", None),
        (Flavour::Ollama, "ollama", "ollama", "0.12.6", Some("Q4_1")),
    ] {
        let server = FakeServer::always(flavour, Behaviour::default()).unwrap();
        let client = client(id, &server.url());
        client.health().await.unwrap();
        let info = client.prepare().await.unwrap();
        assert_eq!(info.server.as_deref(), Some(server_name));
        assert_eq!(info.version.as_deref(), Some(version));
        assert_eq!(info.quantization.as_deref(), quantization);
        assert_eq!(info.context_length, Some(2_048));
        assert_eq!(info.parameter_count, (flavour != Flavour::Vllm).then_some(134_515_008));
        let warned = info.warnings.iter().any(|warning| warning.contains("num_ctx"));
        assert_eq!(warned, flavour == Flavour::Ollama, "{:?}", info.warnings);
        let load: Value = serde_json::from_slice(&server.chats()[0].body).unwrap();
        let loads_by_generating = load.get("max_tokens") == Some(&json!(1));
        assert_eq!(loads_by_generating, flavour != Flavour::Ollama, "{load}");
        assert_eq!(server.chats().len(), 1);
    }
}

#[tokio::test]
async fn a_model_without_a_tag_is_ollamas_latest_and_its_context_is_the_one_asked_for() {
    let setup = Setup { model: "llama3:latest".to_owned(), ..Setup::new(Flavour::Ollama) };
    let server = FakeServer::start(setup, |_| Behaviour::default()).unwrap();
    let mut asked = config(&server.url());
    asked.model = "llama3:latest".to_owned();
    asked.params = BTreeMap::from([("num_ctx".to_owned(), json!(1024))]);
    let info = build("ollama", asked).unwrap().prepare().await.unwrap();
    assert_eq!((info.context_length, info.warnings), (Some(1_024), Vec::new()));
}
