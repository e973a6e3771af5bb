//! What goes wrong with a query: refusals, broken streams, waits and sizes without end.

use std::time::Duration;

use e2e::fake_server::{Behaviour, FakeServer, Fault, Flavour};
use ipw::client::{Awaited, ClientConfig, ClientError, Outcome, Timeouts, build};

use super::{client_of, config, failure, outcome};

#[tokio::test]
async fn faults_before_the_first_token_leave_no_times_and_a_clear_error() {
    for (fault, retryable, words) in [
        (Fault::NotFound, false, "HTTP 404"),
        (Fault::TooManyRequests(3), true, "HTTP 429"),
        (Fault::Loading, true, "not ready"),
        (Fault::InternalError, false, "HTTP 500"),
        (Fault::WebPage, false, "a web page"),
        (Fault::Redirect("http://elsewhere.example/".to_owned()), false, "elsewhere.example"),
        (Fault::BadRequest("temperature must be 1".to_owned()), false, "temperature must be 1"),
    ] {
        for flavour in [Flavour::LlamaCpp, Flavour::Vllm] {
            let server =
                FakeServer::always(flavour, Behaviour::default().failing(fault.clone())).unwrap();
            let exchange = client_of(flavour, &server).stream_chat_completion("hi").await;
            assert_eq!((exchange.first_token, exchange.pieces.len()), (None, 0), "{fault:?}");
            assert!(exchange.end >= exchange.start);
            let error = failure(exchange);
            assert_eq!(error.is_retryable(), retryable, "{fault:?}: {error}");
            assert!(error.to_string().contains(words), "{fault:?}: {error}");
            let wait = error.retry_after();
            let expected =
                matches!(fault, Fault::TooManyRequests(_)).then_some(Duration::from_secs(3));
            assert_eq!(wait, expected, "{fault:?}");
        }
    }
}

#[tokio::test]
async fn faults_within_the_answer_keep_what_had_come() {
    for flavour in [Flavour::LlamaCpp, Flavour::Vllm, Flavour::Ollama] {
        for (fault, expected) in [
            (Fault::CloseAfter(2), "truncated"),
            (Fault::EndAfter(2), "truncated"),
            (Fault::ResetAfter(2), "lost"),
            (Fault::ErrorAfter(2), "reported"),
            (Fault::GarbageAfter(2), "malformed"),
        ] {
            let server =
                FakeServer::always(flavour, Behaviour::default().failing(fault.clone())).unwrap();
            let exchange = client_of(flavour, &server).stream_chat_completion("hi").await;
            assert_eq!(exchange.text, "The answer", "{flavour:?} {fault:?}");
            assert_eq!(exchange.pieces.len(), 2, "{flavour:?} {fault:?}");
            assert_eq!(exchange.finish_reason, None, "{flavour:?} {fault:?}");
            assert_eq!(exchange.server_timing, None, "{flavour:?} {fault:?}");
            let seen = match &exchange.outcome {
                Outcome::Complete => "complete",
                Outcome::Truncated => "truncated",
                Outcome::Failed(ClientError::ConnectionLost { after_first_byte: true, .. }) => {
                    "lost"
                }
                Outcome::Failed(ClientError::ErrorInStream { .. }) => "reported",
                Outcome::Failed(ClientError::Malformed { .. }) => "malformed",
                Outcome::Failed(other) => panic!("{other}"),
            };
            assert_eq!(seen, expected, "{flavour:?} {fault:?}");
            if let Outcome::Failed(error) = &exchange.outcome {
                assert!(!error.is_retryable(), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_missing_end_mark_after_a_finish_reason_is_complete_and_flagged() {
    let behaviour = Behaviour::default().failing(Fault::NoEndMark);
    let server = FakeServer::always(Flavour::Vllm, behaviour.clone()).unwrap();
    let exchange = client_of(Flavour::Vllm, &server).stream_chat_completion("hi").await;
    assert_eq!((outcome(&exchange), exchange.flags), ("complete", vec!["no_end_mark".to_owned()]));
    // For Ollama the end mark is the finish reason.
    let server = FakeServer::always(Flavour::Ollama, behaviour).unwrap();
    let exchange = client_of(Flavour::Ollama, &server).stream_chat_completion("hi").await;
    assert_eq!(outcome(&exchange), "truncated");
}

#[tokio::test]
async fn waits_are_bounded_and_say_what_for() {
    let timeouts = Timeouts {
        connect: Duration::from_secs(5),
        first_byte: Duration::from_millis(150),
        stall: Duration::from_millis(200),
        total: Duration::from_secs(5),
    };
    let short =
        Timeouts { stall: Duration::from_secs(5), total: Duration::from_millis(300), ..timeouts };
    for (fault, timeouts, awaited, text) in [
        (Fault::HangBeforeHead, timeouts, Awaited::FirstByte, ""),
        (Fault::HangAfter(2), timeouts, Awaited::NextPiece, "The answer"),
        (Fault::HangAfter(2), short, Awaited::End, "The answer"),
    ] {
        let server =
            FakeServer::always(Flavour::LlamaCpp, Behaviour::default().failing(fault)).unwrap();
        let asked = ClientConfig { timeouts, ..config(&server.url()) };
        let exchange = build("openai", asked).unwrap().stream_chat_completion("hi").await;
        assert_eq!(exchange.text, text, "{awaited}");
        let took = exchange.end.since(exchange.start);
        assert!(took >= Duration::from_millis(140) && took < Duration::from_secs(3), "{took:?}");
        let error = failure(exchange);
        assert!(
            matches!(error, ClientError::Timeout { awaited: seen, .. } if seen == awaited),
            "{error}"
        );
        assert!(error.is_timeout() && !error.is_retryable());
    }
}

#[tokio::test]
async fn waits_without_end_are_allowed() {
    let forever = Duration::MAX;
    let timeouts =
        Timeouts { connect: forever, first_byte: forever, stall: forever, total: forever };
    let server = FakeServer::always(Flavour::LlamaCpp, Behaviour::default()).unwrap();
    let asked = ClientConfig { timeouts, ..config(&server.url()) };
    let exchange = build("openai", asked).unwrap().stream_chat_completion("hi").await;
    assert_eq!(outcome(&exchange), "complete");
}

#[tokio::test]
async fn a_line_beyond_all_measure_is_given_up() {
    for (flavour, bytes, taken) in [
        (Flavour::Vllm, 10 << 20, false),
        (Flavour::Vllm, 17 << 20, true),
        (Flavour::Ollama, 17 << 20, true),
    ] {
        let behaviour = Behaviour::default().failing(Fault::LongLine(bytes));
        let server = FakeServer::always(flavour, behaviour).unwrap();
        let error = failure(client_of(flavour, &server).stream_chat_completion("hi").await);
        assert_eq!(matches!(error, ClientError::TooLarge { .. }), taken, "{error}");
        assert!(error.to_string().len() < 600, "{error}");
    }
}

#[tokio::test]
async fn a_long_error_is_read_in_part_and_quoted_shorter_still() {
    let message = format!("\u{1b}[31mno{}", "x".repeat(1 << 20));
    let behaviour = Behaviour::default().failing(Fault::BadRequest(message));
    let server = FakeServer::always(Flavour::Vllm, behaviour).unwrap();
    let error = failure(client_of(Flavour::Vllm, &server).stream_chat_completion("hi").await);
    let text = error.to_string();
    assert!(matches!(error, ClientError::Rejected { status: 400, .. }), "{text}");
    assert!(text.len() < 600 && !text.contains('\u{1b}'), "{text}");
}

#[tokio::test]
async fn pings_and_several_tokens_in_a_write_change_no_text() {
    let behaviour = Behaviour {
        pings: 3,
        tokens_per_write: 8,
        ..Behaviour::saying(&" word".repeat(32))
            .timed(Duration::from_millis(10), Duration::from_millis(2))
    };
    let server = FakeServer::always(Flavour::LlamaCpp, behaviour).unwrap();
    let exchange = client_of(Flavour::LlamaCpp, &server).stream_chat_completion("hi").await;
    assert_eq!(exchange.text, " word".repeat(32));
    assert_eq!(exchange.pieces.len(), 32);
    assert!(exchange.flags.contains(&"pieces_arrived_together".to_owned()), "{:?}", exchange.flags);
    let chats = server.chats();
    assert!(exchange.first_token.unwrap() >= chats[0].token_writes[0], "a ping is no token");
}
