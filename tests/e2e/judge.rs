//! The judge's client against a fake judge: verdicts, how many at once, and an end in the middle.

#![expect(clippy::unwrap_used, reason = "a test's parts fail by panicking, like the test")]

use std::time::Duration;

use e2e::fake_judge::{Act, Behaviour, FakeJudge, MODEL, Takes};
use e2e::fake_server::Fault;
use e2e::monitor::PATIENCE;
use ipw::evaluation::judge::server::{Judge, JudgeConfig, Ruled};
use ipw::evaluation::judge::{Case, JudgeError, Ruling};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

mod failures;
mod injection;

fn case(answer: &str) -> Case {
    Case {
        problem: "What is 2 + 2?".to_owned(),
        reference: "4".to_owned(),
        answer: answer.to_owned(),
    }
}

fn start(behaviour: Behaviour) -> FakeJudge {
    FakeJudge::start(behaviour).unwrap()
}

fn config(fake: &FakeJudge) -> JudgeConfig {
    JudgeConfig::new(&fake.url(), "judge", None)
}

/// Asks about one case at a time.
fn judge(fake: &FakeJudge) -> Judge {
    Judge::new(JudgeConfig { in_flight: 1, ..config(fake) }).unwrap()
}

/// The results in the order in which they came, and how it ended.
async fn rule(
    judge: &Judge,
    cases: &[Case],
) -> (Vec<(usize, Result<Ruled, JudgeError>)>, Result<(), JudgeError>) {
    let mut results = Vec::new();
    let never = CancellationToken::new();
    let end = judge.rule(cases, &never, |index, result| results.push((index, result))).await;
    (results, end)
}

async fn rule_on(judge: &Judge, answer: &str) -> Result<Ruled, JudgeError> {
    let (mut results, end) = rule(judge, &[case(answer)]).await;
    end?;
    assert_eq!(results.len(), 1);
    results.remove(0).1
}

async fn wait_for_requests(fake: &FakeJudge, count: usize) {
    let there = async {
        while fake.requests() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, there).await.unwrap();
}

#[tokio::test]
async fn a_verdict_comes_with_what_it_took() {
    let fake = start(Behaviour::default());
    let judge = judge(&fake);
    let right = rule_on(&judge, "Let me see.\n4").await.unwrap();
    assert_eq!((right.ruling, right.attempts), (Ruling::Correct, 1));
    assert_eq!(right.reason.as_deref(), Some("It ends in the reference."));
    assert_eq!(right.judge_model.as_deref(), Some(MODEL));
    assert!(right.input_tokens.unwrap() > 20 && right.output_tokens.unwrap() > 3, "{right:?}");
    assert!(right.ended > right.started);
    assert_eq!(right.left_out_chars, 0);
    let wrong = rule_on(&judge, "5").await.unwrap();
    assert_eq!((wrong.ruling, wrong.attempts), (Ruling::Incorrect, 1));
    assert_eq!(judge.model(), "judge");
}

#[tokio::test]
async fn a_request_has_a_schema_and_neither_a_temperature_nor_a_limit() {
    let fake = start(Behaviour::default());
    rule_on(&judge(&fake), "4").await.unwrap();
    let [body] = fake.bodies().try_into().unwrap();
    let Value::Object(fields) = &body else { panic!("{body}") };
    let names: Vec<&str> = fields.keys().map(String::as_str).collect();
    assert_eq!(names, ["model", "messages", "stream", "response_format"]);
    assert_eq!(body["model"], "judge");
    assert_eq!(body["stream"], false);
    assert_eq!(body["response_format"]["json_schema"]["strict"], true);
}

#[tokio::test]
async fn every_way_to_write_the_root_is_understood() {
    let fake = start(Behaviour::default());
    for behind in ["", "/", "/v1", "/v1/"] {
        let base_url = format!("{}{behind}", fake.url());
        let judge = Judge::new(JudgeConfig { base_url, ..config(&fake) }).unwrap();
        assert_eq!(rule_on(&judge, "4").await.unwrap().ruling, Ruling::Correct, "{behind}");
    }
}

#[tokio::test]
async fn what_is_no_verdict_is_asked_again_and_its_tokens_count() {
    let nonsense = || Act::Say("I think that it is correct.".to_owned());
    let fake = start(Behaviour { first: vec![nonsense(), nonsense()], ..Behaviour::default() });
    let judge = judge(&fake);
    let third = rule_on(&judge, "4").await.unwrap();
    assert_eq!((third.ruling, third.attempts, fake.requests()), (Ruling::Correct, 3, 3));
    let first = rule_on(&judge, "4").await.unwrap();
    assert_eq!(first.attempts, 1);
    assert_eq!(third.input_tokens.unwrap(), 3 * first.input_tokens.unwrap());
}

#[tokio::test]
async fn without_a_verdict_in_three_replies_there_is_none() {
    for nonsense in ["", "correct", r#"{"verdict":"correct"} {"verdict":"incorrect"}"#] {
        let then = Act::Say(nonsense.to_owned());
        let fake = start(Behaviour { then, ..Behaviour::default() });
        let ruled = rule_on(&judge(&fake), "4").await.unwrap();
        assert_eq!((ruled.ruling, ruled.attempts, fake.requests()), (Ruling::Unparsed, 3, 3));
        assert_eq!(ruled.reason.unwrap_or_default(), nonsense);
    }
}

#[tokio::test]
async fn a_form_that_is_refused_is_asked_for_no_more() {
    let forms = |fake: &FakeJudge| -> Vec<Value> {
        fake.bodies().iter().map(|body| body["response_format"]["type"].clone()).collect()
    };
    let (schema, object, none) = (json!("json_schema"), json!("json_object"), Value::Null);
    for (takes, seen) in [
        (Takes::Schema, vec![&schema, &schema]),
        (Takes::Object, vec![&schema, &object, &object]),
        (Takes::Nothing, vec![&schema, &object, &none, &none]),
    ] {
        let fake = start(Behaviour { takes, ..Behaviour::default() });
        let judge = judge(&fake);
        for _ in 0..2 {
            let ruled = rule_on(&judge, "4").await.unwrap();
            assert_eq!((ruled.ruling, ruled.attempts), (Ruling::Correct, 1), "{takes:?}");
        }
        assert_eq!(forms(&fake).iter().collect::<Vec<_>>(), seen, "{takes:?}");
    }
}

#[tokio::test]
async fn several_that_learn_of_a_refused_form_together_take_one_step() {
    let fake = start(Behaviour { takes: Takes::Object, ..Behaviour::default() });
    let judge = Judge::new(config(&fake)).unwrap();
    let (results, end) = rule(&judge, &vec![case("4"); 24]).await;
    assert_eq!((results.len(), end), (24, Ok(())));
    let with_none = fake.bodies().iter().filter(|body| body["response_format"].is_null()).count();
    assert_eq!(with_none, 0);
}

#[tokio::test]
async fn eight_are_in_flight_and_never_more() {
    let works = Duration::from_millis(20);
    let fake = start(Behaviour { together: 8, works, ..Behaviour::default() });
    let cases: Vec<Case> = (0..48).map(|number| case(&(number % 6).to_string())).collect();
    let (mut results, end) = rule(&Judge::new(config(&fake)).unwrap(), &cases).await;
    assert_eq!((end, fake.requests(), fake.most_at_once()), (Ok(()), 48, 8));
    results.sort_by_key(|(index, _)| *index);
    for (at, (index, result)) in results.iter().enumerate() {
        let expected = if index % 6 == 4 { Ruling::Correct } else { Ruling::Incorrect };
        assert_eq!((*index, result.as_ref().unwrap().ruling), (at, expected));
    }
    assert_eq!(results.len(), 48);
}

#[tokio::test]
async fn as_many_are_in_flight_as_asked_for() {
    let works = Duration::from_millis(20);
    let fake = start(Behaviour { together: 3, works, ..Behaviour::default() });
    let judge = Judge::new(JudgeConfig { in_flight: 3, ..config(&fake) }).unwrap();
    let (results, _) = rule(&judge, &vec![case("4"); 12]).await;
    assert_eq!((results.len(), fake.most_at_once()), (12, 3));
}

#[tokio::test]
async fn no_cases_ask_nobody() {
    let fake = start(Behaviour::default());
    assert_eq!(rule(&judge(&fake), &[]).await, (vec![], Ok(())));
    assert_eq!(fake.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_its_way_is_dropped_when_stopped() {
    let hangs = Act::Fail(Fault::HangBeforeHead);
    let waits = Act::Fail(Fault::TooManyRequests(60));
    for (then, first) in [(hangs, vec![]), (waits, vec![Act::Rule; 2])] {
        let answered = first.len();
        let fake = start(Behaviour { first, then, ..Behaviour::default() });
        let judge = Judge::new(config(&fake)).unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let ruling = tokio::spawn(async move {
            let mut count = 0;
            let end = judge.rule(&vec![case("4"); 40], &stopped, |_, _| count += 1).await;
            (count, end)
        });
        wait_for_requests(&fake, 8 + answered).await;
        stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, ruling).await.unwrap().unwrap();
        assert_eq!(ended, (answered, Ok(())));
        assert_eq!(fake.requests(), 8 + answered);
    }
}

#[tokio::test]
async fn a_stop_before_the_start_asks_nobody() {
    let fake = start(Behaviour::default());
    let stop = CancellationToken::new();
    stop.cancel();
    let end = judge(&fake).rule(&[case("4")], &stop, |_, _| panic!("nothing was asked")).await;
    assert_eq!((end, fake.requests()), (Ok(()), 0));
}
