//! Connections: kept, tried after a pause, replaced when they have died, one for each query in flight.

use std::time::Duration;

use e2e::fake_server::{Behaviour, FakeServer, Fault, Flavour, Front, Setup};
use ipw::client::ClientError;

use super::{client, failure, outcome};

const COMPLETIONS: &str = "POST /v1/chat/completions";

#[tokio::test]
async fn a_connection_that_dies_before_the_first_byte_is_replaced_once() {
    for (dying, expected) in [(1..2, "complete"), (1..3, "failed")] {
        let server = FakeServer::start(Setup::new(Flavour::LlamaCpp), move |request| {
            let fault = dying.contains(&request.index).then_some(Fault::CloseBeforeHead);
            Behaviour { fault, ..Behaviour::default() }
        })
        .unwrap();
        let client = client("openai", &server.url());
        let first = client.stream_chat_completion("hi").await;
        assert_eq!((outcome(&first), first.flags.len()), ("complete", 0), "{:?}", first.flags);
        let second = client.stream_chat_completion("hi").await;
        assert_eq!(outcome(&second), expected);
        assert_eq!(second.flags, ["resent_after_dead_connection"]);
        assert_eq!(server.chats().len(), 3);
        if expected == "complete" {
            // The clock is that of the request that was answered.
            assert!(second.start >= server.chats()[1].received);
        } else {
            let error = failure(second);
            assert!(
                matches!(error, ClientError::ConnectionLost { after_first_byte: false, .. }),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn a_connection_closed_while_idle_costs_no_query() {
    let setup = Setup { keep_alive: Duration::from_millis(100), ..Setup::new(Flavour::LlamaCpp) };
    let server = FakeServer::start(setup, |_| Behaviour::default()).unwrap();
    let client = client("openai", &server.url());
    for _ in 0..3 {
        assert_eq!(outcome(&client.stream_chat_completion("hi").await), "complete");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(server.chats().len(), 3);
}

#[tokio::test]
async fn after_a_pause_the_connection_is_tried_before_the_clock_starts() {
    // llama.cpp closes the connection after a 404, so a probe must be of what is there.
    for (front, probe, asked_first) in [
        (Front::Open, "GET /health", vec!["GET /health"]),
        (Front::NoHealth, "GET /v1/models", vec!["GET /health", "GET /v1/models"]),
    ] {
        let setup = Setup { front, ..Setup::new(Flavour::LlamaCpp) };
        let server = FakeServer::start(setup, |_| Behaviour::default()).unwrap();
        let client = client("openai", &server.url());
        client.health().await.unwrap();
        tokio::time::sleep(Duration::from_millis(2_300)).await;
        let exchange = client.stream_chat_completion("hi").await;
        assert_eq!(outcome(&exchange), "complete");
        let log = server.log();
        let targets: Vec<&str> = log.iter().map(|entry| entry.target.as_str()).collect();
        assert_eq!(targets, [asked_first, vec![probe, COMPLETIONS]].concat());
        let [.., tried, query] = log.as_slice() else { panic!("{log:?}") };
        assert_eq!(query.connection, tried.connection);
        assert!(exchange.start >= tried.received && query.received >= exchange.start);
    }
}

#[tokio::test]
async fn each_query_in_flight_has_a_connection_from_before_its_clock_starts() {
    let behaviour = Behaviour::default().timed(Duration::from_millis(300), Duration::ZERO);
    let server = FakeServer::always(Flavour::LlamaCpp, behaviour).unwrap();
    let client = client("openai", &server.url());
    client.open_connections(4).await;
    // They are back in the pool a moment after their answers.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let query = || client.stream_chat_completion("hi");
    let exchanges: [_; 4] = tokio::join!(query(), query(), query(), query()).into();
    for exchange in exchanges {
        assert_eq!(outcome(&exchange), "complete");
        assert!(!exchange.flags.iter().any(|flag| flag == "connection_opened_in_query"));
    }
    let mut used: Vec<usize> = server.chats().iter().map(|chat| chat.connection).collect();
    used.sort_unstable();
    assert_eq!((used, server.most_at_once()), (vec![0, 1, 2, 3], 4));
}
