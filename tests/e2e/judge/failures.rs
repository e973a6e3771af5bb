//! What goes wrong with a judge: what is tried again, what ends all, and that no key is told.

use std::time::Duration;

use e2e::fake_judge::{Act, Behaviour, FakeJudge, answer};
use e2e::fake_server::{Fault, closed_url};
use ipw::evaluation::judge::server::{Judge, JudgeConfig};
use ipw::evaluation::judge::{JudgeError, Ruling};
use secrecy::SecretString;

use super::{case, config, judge, rule, rule_on, start};

const KEY: &str = "s3cret-key";

fn failing(fault: Fault) -> FakeJudge {
    start(Behaviour { then: Act::Fail(fault), ..Behaviour::default() })
}

fn failing_first(fault: Fault) -> FakeJudge {
    start(Behaviour { first: vec![Act::Fail(fault)], ..Behaviour::default() })
}

/// An answer whose body ends before it should.
fn cut() -> Fault {
    Fault::Raw("HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{\"choices\": [{\"mess".to_owned())
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    for fault in [
        answer(408, &[], ""),
        answer(503, &["Retry-After: 0"], "{\"error\": \"busy\"}"),
        answer(502, &["Retry-After: soon"], "<html>"),
        answer(200, &[], "{\"error\": {\"message\": \"upstream\"}}"),
        answer(200, &[], "no JSON"),
        Fault::InternalError,
        Fault::Loading,
        cut(),
    ] {
        let fake = failing_first(fault.clone());
        let ruled = rule_on(&judge(&fake), "4").await.unwrap();
        let seen = (ruled.ruling, ruled.attempts, fake.requests());
        assert_eq!(seen, (Ruling::Correct, 2, 2), "{fault:?}");
    }
}

#[tokio::test]
async fn the_servers_wish_to_be_left_alone_is_kept() {
    let fake = failing_first(Fault::TooManyRequests(2));
    let ruled = rule_on(&judge(&fake), "4").await.unwrap();
    assert_eq!((ruled.ruling, ruled.attempts), (Ruling::Correct, 2));
    let [refused, answered] = fake.log().try_into().unwrap();
    assert!(answered.received.since(refused.received) >= Duration::from_secs(2));
}

#[tokio::test]
async fn three_attempts_are_all() {
    for (fault, words) in [
        (answer(503, &[], "{\"error\": \"busy\"}"), "HTTP 503): busy; finish later"),
        (answer(200, &[], "[]"), "no chat completion"),
        (cut(), "lost the connection"),
    ] {
        let fake = failing(fault);
        let error = rule_on(&judge(&fake), "4").await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.is_retryable() && !error.is_fatal());
        assert_eq!(fake.requests(), 3);
    }
}

#[tokio::test]
async fn nonsense_beside_other_failures_decides_nothing() {
    let nonsense = || Act::Say("Well.".to_owned());
    let first = vec![nonsense(), Act::Fail(answer(500, &[], "")), nonsense()];
    let fake = start(Behaviour { first, ..Behaviour::default() });
    let error = rule_on(&judge(&fake), "4").await.unwrap_err();
    assert!(matches!(error, JudgeError::Unavailable { status: 500, .. }), "{error}");
    assert_eq!(fake.requests(), 3);
}

#[tokio::test]
async fn what_does_not_pass_is_not_tried_again() {
    let huge = "x".repeat((1 << 20) + 1);
    for (fault, words) in [
        (answer(400, &[], "{\"error\": {\"message\": \"too long\"}}"), "HTTP 400): too long"),
        (answer(400, &[], ""), "HTTP 400): no message"),
        (answer(422, &[], "{\"detail\": \"what?\"}"), "what?"),
        (answer(200, &[], &huge), "more than 1048576 bytes"),
    ] {
        let fake = failing(fault);
        let error = rule_on(&judge(&fake), "4").await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.is_retryable() && !error.is_fatal());
        assert_eq!(fake.requests(), 1);
    }
}

#[tokio::test]
async fn a_refused_form_is_known_by_its_name_in_the_message_too() {
    for message in ["response_format.type must be 'text'", "json_schema isn't supported here"] {
        let body = format!("{{\"message\": \"{message}\"}}");
        let fake = failing_first(answer(422, &[], &body));
        let ruled = rule_on(&judge(&fake), "4").await.unwrap();
        assert_eq!((ruled.ruling, ruled.attempts, fake.requests()), (Ruling::Correct, 1, 2));
        assert_eq!(fake.bodies()[1]["response_format"]["type"], "json_object");
    }
}

#[tokio::test]
async fn what_every_case_would_meet_ends_all() {
    let elsewhere = start(Behaviour::default());
    let location = format!("Location: {}/v1/chat/completions", elsewhere.url());
    let no_credit = "{\"error\": {\"message\": \"no more\", \"code\": \"insufficient_quota\"}}";
    for (fault, words) in [
        (answer(401, &[], "{\"error\": \"no\"}"), "set IPW_EVAL_API_KEY"),
        (answer(403, &[], ""), "set IPW_EVAL_API_KEY"),
        (answer(402, &[], ""), "nothing left (HTTP 402)"),
        (answer(429, &[], no_credit), "nothing left (HTTP 429): no more"),
        (answer(404, &[], "{\"error\": \"no such model\"}"), "no judge `judge` (HTTP 404)"),
        (answer(405, &[], ""), "check --eval-model and --eval-base-url"),
        (answer(307, &[&location], ""), "redirects (HTTP 307) to http://127.0.0.1"),
        (Fault::WebPage, "a web page"),
    ] {
        let fake = failing(fault);
        let (results, end) = rule(&judge(&fake), &vec![case("4"); 20]).await;
        let error = end.unwrap_err();
        assert!(error.is_fatal() && !error.is_retryable(), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!((results.len(), fake.requests()), (0, 1), "{error}");
    }
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test]
async fn a_judge_that_only_fails_is_given_up() {
    let fake = failing(answer(400, &[], "{\"error\": \"never\"}"));
    let (results, end) = rule(&judge(&fake), &vec![case("4"); 40]).await;
    let error = end.unwrap_err();
    assert!(matches!(error, JudgeError::GivenUp { failures: 10, .. }), "{error}");
    assert!(error.is_fatal() && error.to_string().contains("the last time: the judge at http://"));
    assert_eq!((results.len(), fake.requests()), (10, 10));

    let once_in_ten = (0..40).map(|at| match at % 10 {
        9 => Act::Rule,
        _ => Act::Fail(answer(400, &[], "")),
    });
    let fake = start(Behaviour { first: once_in_ten.collect(), ..Behaviour::default() });
    let (results, end) = rule(&judge(&fake), &vec![case("4"); 40]).await;
    assert_eq!((results.len(), end), (40, Ok(())));
}

#[tokio::test]
async fn nobody_there_is_told_as_that() {
    let config = JudgeConfig::new(&closed_url().unwrap(), "judge", None);
    let error = rule_on(&Judge::new(config).unwrap(), "4").await.unwrap_err();
    assert!(matches!(error, JudgeError::Unreachable { .. }), "{error}");
    assert!(error.is_retryable() && error.to_string().contains("--eval-base-url"), "{error}");
}

#[tokio::test]
async fn waits_are_bounded_and_tried_again() {
    let fake = failing(Fault::HangBeforeHead);
    let short = Duration::from_millis(200);
    let patient = JudgeConfig { attempts: 1, timeout: short, ..config(&fake) };
    let error = rule_on(&Judge::new(patient).unwrap(), "4").await.unwrap_err();
    assert!(matches!(error, JudgeError::Timeout { after, .. } if after == short), "{error}");

    let fake = failing_first(Fault::HangBeforeHead);
    let patient = JudgeConfig { timeout: Duration::from_secs(2), ..config(&fake) };
    let ruled = rule_on(&Judge::new(patient).unwrap(), "4").await.unwrap();
    assert_eq!((ruled.ruling, ruled.attempts, fake.requests()), (Ruling::Correct, 2, 2));
}

#[tokio::test]
async fn a_body_that_never_ends_is_waited_for_no_longer() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{";
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let silent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    });
    let config = JudgeConfig {
        attempts: 1,
        timeout: Duration::from_millis(200),
        ..JudgeConfig::new(&url, "judge", None)
    };
    let error = rule_on(&Judge::new(config).unwrap(), "4").await.unwrap_err();
    assert!(matches!(error, JudgeError::Timeout { .. }), "{error}");
    silent.abort();
}

#[tokio::test]
async fn a_connection_that_died_while_idle_costs_no_attempt() {
    let first = vec![Act::Rule, Act::Fail(Fault::CloseBeforeHead)];
    let fake = start(Behaviour { first, ..Behaviour::default() });
    let judge = judge(&fake);
    for requests in [1, 3] {
        let ruled = rule_on(&judge, "4").await.unwrap();
        assert_eq!((ruled.ruling, ruled.attempts), (Ruling::Correct, 1));
        assert_eq!(fake.requests(), requests);
    }
    let fake = start(Behaviour { keep_alive: Duration::from_millis(100), ..Behaviour::default() });
    let judge = super::judge(&fake);
    for _ in 0..3 {
        assert_eq!(rule_on(&judge, "4").await.unwrap().attempts, 1);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test]
async fn a_connection_that_always_dies_is_lost_in_the_end() {
    let fake = failing(Fault::CloseBeforeHead);
    let error = rule_on(&judge(&fake), "4").await.unwrap_err();
    let lost = matches!(error, JudgeError::ConnectionLost { after_first_byte: false, .. });
    assert!(lost, "{error}");
    assert_eq!(fake.requests(), 4);
}

fn with_key(url: &str, key: &str) -> Result<Judge, JudgeError> {
    Judge::new(JudgeConfig::new(url, "judge", Some(SecretString::from(key))))
}

#[tokio::test]
async fn a_key_opens_the_door_and_a_wrong_one_does_not() {
    let fake = start(Behaviour { key: Some(KEY.to_owned()), ..Behaviour::default() });
    let ruled = rule_on(&with_key(&fake.url(), KEY).unwrap(), "4").await.unwrap();
    assert_eq!(ruled.ruling, Ruling::Correct);
    for keyless in [with_key(&fake.url(), "wrong"), with_key(&fake.url(), "")] {
        let error = rule_on(&keyless.unwrap(), "4").await.unwrap_err();
        assert!(matches!(error, JudgeError::Unauthorized { status: 401, .. }), "{error}");
    }
}

#[tokio::test]
async fn a_key_shows_nowhere_even_if_the_server_repeats_it() {
    let padded = format!("{}{KEY}", "x".repeat(295));
    let at = format!("Location: http://elsewhere.example/?key={KEY}");
    for fault in [
        answer(401, &[], &format!("{{\"error\": {{\"message\": \"Wrong key: {KEY}\"}}}}")),
        answer(400, &[], &format!("{{\"error\": \"{padded}\"}}")),
        answer(307, &[&at], ""),
        answer(200, &[], &format!("{{\"oops\": \"{KEY}\"}}")),
    ] {
        let fake = failing(fault.clone());
        let judge = with_key(&fake.url(), KEY).unwrap();
        let error = rule_on(&judge, "4").await.unwrap_err();
        let shown = format!("{error} {error:?} {judge:?}");
        assert!(!shown.contains("s3cr"), "{fault:?}: {shown}");
    }
    let then = Act::Say(format!("{{\"reason\": \"{padded}\", \"verdict\": \"correct\"}}"));
    let fake = start(Behaviour { then, ..Behaviour::default() });
    let ruled = rule_on(&with_key(&fake.url(), KEY).unwrap(), "4").await.unwrap();
    assert!(!format!("{ruled:?}").contains("s3cr"), "{ruled:?}");
    let config = JudgeConfig::new(&fake.url(), "judge", Some(SecretString::from(KEY)));
    assert!(!format!("{config:?}").contains("s3cr"));
}

#[test]
fn what_cannot_be_asked_safely_is_refused_before_anything_is_sent() {
    let error = with_key("http://judge.example", KEY).unwrap_err();
    assert!(matches!(error, JudgeError::KeyOverPlainHttp { .. }), "{error}");
    let odd = with_key("http://localhost:1", "line\nbreak").unwrap_err();
    assert!(matches!(odd, JudgeError::UnusableKey { .. }), "{odd}");
    assert!(!format!("{odd} {odd:?}").contains("break"));
    let password = with_key("http://me:hunter2@localhost:1", KEY).unwrap_err();
    assert!(password.to_string().contains("IPW_EVAL_API_KEY"), "{password}");
    for error in [error, odd, password, with_key("ftp://x", KEY).unwrap_err()] {
        assert!(error.is_usage() && error.is_fatal(), "{error}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("s3cr") && !shown.contains("hunter2"), "{shown}");
    }
    assert!(with_key("http://[::1]:1", KEY).is_ok());
    assert!(with_key("https://judge.example/v1", KEY).is_ok());
}
