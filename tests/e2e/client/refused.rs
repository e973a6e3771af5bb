//! What goes wrong before any answer: no server, the wrong one, no model, no key.

use std::io::{Read, Write};
use std::net::TcpListener;

use e2e::fake_server::{Behaviour, FakeServer, Flavour, Front, Setup, closed_url};
use ipw::client::{ClientError, build};
use secrecy::SecretString;

use super::{client, config, failure, outcome};

#[tokio::test]
async fn a_missing_model_is_told_before_any_query_with_what_is_there() {
    for (flavour, id) in
        [(Flavour::LlamaCpp, "openai"), (Flavour::Vllm, "vllm"), (Flavour::Ollama, "ollama")]
    {
        let server = FakeServer::always(flavour, Behaviour::default()).unwrap();
        let mut asked = config(&server.url());
        asked.model = "fake:2b".to_owned();
        let client = build(id, asked).unwrap();
        let error = client.prepare().await.unwrap_err();
        let ClientError::ModelMissing { available, total, .. } = &error else { panic!("{error}") };
        assert_eq!((available.as_slice(), *total), (&["fake:1b".to_owned()][..], Some(1)));
        assert!(error.is_unavailable() && !error.is_retryable());
        assert!(server.chats().is_empty(), "{flavour:?}: nothing was to be sent");
    }
}

#[tokio::test]
async fn a_model_that_vanishes_during_the_run_is_told_from_a_wrong_path() {
    for (flavour, id) in [(Flavour::Vllm, "vllm"), (Flavour::Ollama, "ollama")] {
        let server = FakeServer::always(flavour, Behaviour::default()).unwrap();
        let mut asked = config(&server.url());
        asked.model = "gone".to_owned();
        let error = failure(build(id, asked).unwrap().stream_chat_completion("hi").await);
        assert!(matches!(error, ClientError::ModelMissing { .. }), "{error}");
    }
}

#[tokio::test]
async fn nobody_there_is_unreachable_and_may_be_tried_again() {
    for id in ["openai", "vllm", "ollama"] {
        let client = client(id, &closed_url().unwrap());
        for error in [
            client.health().await.unwrap_err(),
            client.prepare().await.unwrap_err(),
            failure(client.stream_chat_completion("hi").await),
        ] {
            assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
            assert!(error.is_retryable() && error.is_unavailable());
            assert!(error.to_string().to_lowercase().contains("refused"), "{error}");
        }
    }
}

#[tokio::test]
async fn wrong_servers_are_named_with_what_to_try() {
    let fronted = |flavour, front| {
        let setup = Setup { front, ..Setup::new(flavour) };
        FakeServer::start(setup, |_| Behaviour::default()).unwrap()
    };
    let vllm = fronted(Flavour::Vllm, Front::Open);
    let ollama = fronted(Flavour::Ollama, Front::Open);
    let page = fronted(Flavour::Vllm, Front::WebPage);
    let nothing = fronted(Flavour::Vllm, Front::NotFound);
    for (id, server, words) in [
        ("ollama", &vllm, "--client openai"),
        ("openai", &ollama, "--client ollama"),
        ("vllm", &ollama, "--client ollama"),
        ("openai", &page, "a web page"),
        ("ollama", &page, "a web page"),
        ("openai", &nothing, "--client-base-url"),
        ("ollama", &nothing, "--client-base-url"),
    ] {
        let error = client(id, &server.url()).prepare().await.unwrap_err();
        assert!(matches!(error, ClientError::WrongServer { .. }), "{id}: {error}");
        assert!(error.to_string().contains(words), "{id}: {error}");
        assert!(error.is_unavailable());
    }
    assert!(client("openai", &page.url()).health().await.is_err());
    assert!(client("ollama", &vllm.url()).health().await.is_err());
}

#[tokio::test]
async fn a_redirect_is_not_followed_but_named() {
    let target = FakeServer::always(Flavour::Vllm, Behaviour::default()).unwrap();
    let front = Front::Redirect(format!("{}/elsewhere", target.url()));
    let setup = Setup { front, ..Setup::new(Flavour::Vllm) };
    let server = FakeServer::start(setup, |_| Behaviour::default()).unwrap();
    let client = client("openai", &server.url());
    for error in
        [client.prepare().await.unwrap_err(), failure(client.stream_chat_completion("hi").await)]
    {
        assert!(matches!(error, ClientError::Redirected { status: 307, .. }), "{error}");
        assert!(error.to_string().contains(&format!("{}/elsewhere", target.url())), "{error}");
    }
    assert!(target.log().is_empty());
}

#[tokio::test]
async fn a_loading_server_is_not_ready_and_then_is() {
    let setup = Setup { front: Front::Loading(3), ..Setup::new(Flavour::LlamaCpp) };
    let server = FakeServer::start(setup, |_| Behaviour::default()).unwrap();
    let client = client("openai", &server.url());
    for _ in 0..3 {
        let error = client.health().await.unwrap_err();
        assert!(matches!(error, ClientError::NotReady { .. }), "{error}");
        assert!(error.is_retryable());
    }
    client.health().await.unwrap();
    client.prepare().await.unwrap();
}

#[tokio::test]
async fn a_server_without_a_list_of_models_is_tried_and_warned_of() {
    let setup = Setup { front: Front::NoModelList, ..Setup::new(Flavour::Vllm) };
    let server = FakeServer::start(setup, |_| Behaviour::default()).unwrap();
    let info = client("openai", &server.url()).prepare().await.unwrap();
    assert!(info.warnings[0].contains("can't be checked"), "{:?}", info.warnings);
    assert_eq!(server.chats().len(), 1);
}

#[tokio::test]
async fn a_key_is_sent_on_the_loopback_and_shown_nowhere() {
    let setup = Setup { front: Front::Key("s3cret-key".to_owned()), ..Setup::new(Flavour::Vllm) };
    let server = FakeServer::start(setup, |_| Behaviour::default()).unwrap();
    let mut asked = config(&server.url());
    asked.api_key = Some(SecretString::from("s3cret-key"));
    let with_key = build("openai", asked.clone()).unwrap();
    assert_eq!(outcome(&with_key.stream_chat_completion("hi").await), "complete");
    assert!(!format!("{asked:?}").contains("s3cret-key"));

    asked.api_key = Some(SecretString::from("wrong-key"));
    let error = failure(build("openai", asked.clone()).unwrap().stream_chat_completion("hi").await);
    assert!(matches!(error, ClientError::Unauthorized { status: 401, .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("wrong-key"));

    asked.base_url = Some("http://example.com".to_owned());
    let error = build("openai", asked.clone()).err().unwrap();
    assert!(matches!(error, ClientError::KeyOverPlainHttp { .. }) && error.is_usage(), "{error}");
    asked.base_url = Some(server.url());
    asked.api_key = Some(SecretString::from("line\nbreak"));
    let error = build("openai", asked).err().unwrap();
    assert!(matches!(error, ClientError::UnusableKey { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("break"));
}

#[test]
fn unknown_clients_and_unusable_urls_are_usage_errors() {
    assert!(build("nope", config("localhost:1")).err().unwrap().is_usage());
    for url in ["ftp://x", "http://me:pw@x", ""] {
        assert!(build("openai", config(url)).err().unwrap().is_usage(), "{url}");
    }
    let mut asked = config("");
    asked.base_url = None;
    assert!(build("openai", asked.clone()).err().unwrap().is_usage());
    assert_eq!(build("ollama", asked).unwrap().base_url(), "http://localhost:11434");
    assert_eq!(client("openai", "localhost:8000/v1/").base_url(), "http://localhost:8000");
}

#[tokio::test]
async fn what_speaks_no_http_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").unwrap();
            // Until the client has gone, however it goes.
            let _ = stream.read(&mut [0; 4096]);
        }
    });
    for id in ["openai", "ollama"] {
        let error = client(id, &url).prepare().await.unwrap_err();
        assert!(matches!(error, ClientError::Malformed { .. }), "{error}");
        assert!(error.to_string().contains("no HTTP answer"), "{error}");
    }
}
