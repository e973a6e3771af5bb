//! Which of a run's answers are right: the rules first, then a judge's verdicts where rules can't tell.
//!
//! Answers: each row's evaluation, which answers wait for a judge, and, asking one, what it says of them.
//! Every verdict is kept in the run's directory by what the judge was asked, so that scoring again calls
//! nobody. It does not know what a query cost.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::analysis::accuracy::AccuracyOptions;
use crate::dataset::Scoring;
use crate::evaluation::judge::server::{Judge, Ruled};
use crate::evaluation::judge::{Case, JudgeError, Ruling};
use crate::evaluation::{Evaluation, Question, Verdict, evaluate, without_reasoning};
use crate::record::{EvaluationMetrics, ProfilingRecord, QueryStatus};
use crate::results::{ResultsError, RunDirectory, VerdictEntry, VerdictLog, read_verdicts};

/// How a run's answers are scored.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScoreOptions {
    /// For the figures made of the scores.
    pub accuracy: AccuracyOptions,
    /// Whose verdicts count, as the judge's model is asked for; `None`: the last that was asked.
    pub judge: Option<String>,
}

/// All that judges have said in a run.
#[derive(Debug, Default)]
pub struct Verdicts {
    by_key: HashMap<String, VerdictEntry>,
    last_judge: Option<String>,
}

impl Verdicts {
    /// Those of the run in `dir`.
    ///
    /// # Errors
    /// They can't be read.
    pub fn read(dir: &Path) -> Result<Self, ResultsError> {
        let entries = read_verdicts(dir)?;
        let last_judge = entries.last().map(|entry| entry.judge.clone());
        let by_key = entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
        Ok(Self { by_key, last_judge })
    }

    /// The judge that was asked last.
    #[must_use]
    pub fn last_judge(&self) -> Option<&str> {
        self.last_judge.as_deref()
    }
}

/// What scoring an answer came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Scored {
    /// The row isn't what it was.
    pub(crate) changed: bool,
    /// The rules can't tell: it is a judge's to decide, whether or not one has.
    pub(crate) undecided: bool,
}

/// Scores an answer anew. How it is scored stands in the row's metadata; one without that stays as it is.
pub(crate) fn score(
    record: &mut ProfilingRecord,
    verdicts: &Verdicts,
    judge: Option<&str>,
) -> Scored {
    let Some(by_rule) = by_rule(record) else { return Scored::default() };
    let undecided = by_rule.undecided;
    let said = judge
        .or(verdicts.last_judge())
        .filter(|_| undecided)
        .and_then(|judge| verdicts.by_key.get(&case(record).key(judge)));
    let evaluation = match said {
        Some(said) => judged(said, &by_rule),
        None => EvaluationMetrics::from(by_rule),
    };
    let text = without_reasoning(&record.response);
    let metrics = &mut record.metrics;
    let changed = metrics.lm_response.as_deref() != Some(&*text)
        || metrics.lm_correctness != evaluation.is_correct
        || metrics.evaluation.as_ref() != Some(&evaluation);
    if changed {
        metrics.lm_response = Some(text.into_owned());
        metrics.lm_correctness = evaluation.is_correct;
        metrics.evaluation = Some(evaluation);
    }
    Scored { changed, undecided }
}

/// What the rules say of an answer; `None` of a query that failed, or if there is no telling how it is
/// scored.
fn by_rule(record: &ProfilingRecord) -> Option<Evaluation> {
    if record.status != QueryStatus::Ok {
        return None;
    }
    let (scoring, metadata) = scoring(&record.dataset_metadata)?;
    let question = Question { scoring, reference: &record.answer, metadata: &metadata };
    Some(evaluate(question, &record.response))
}

/// What `judge` still has to be asked, each question once.
///
/// # Errors
/// A row is an error itself.
pub fn waiting(
    rows: impl Iterator<Item = Result<ProfilingRecord, ResultsError>>,
    verdicts: &Verdicts,
    judge: &str,
) -> Result<Vec<Case>, ResultsError> {
    let (mut seen, mut cases) = (HashSet::new(), Vec::new());
    for record in rows {
        let record = record?;
        if by_rule(&record).is_some_and(|evaluation| evaluation.undecided) {
            let case = case(&record);
            let key = case.key(judge);
            if !verdicts.by_key.contains_key(&key) && seen.insert(key) {
                cases.push(case);
            }
        }
    }
    Ok(cases)
}

/// How asking a judge went.
#[derive(Debug, Default)]
pub struct Asked {
    /// Verdicts that were given.
    pub ruled: usize,
    /// Why the first was that was asked about in vain, or why no more were.
    pub error: Option<JudgeError>,
}

/// Asks `judge` about all cases and keeps each verdict as it comes, so that stopping loses none.
///
/// # Errors
/// A verdict can't be kept; the rest isn't asked for then.
pub async fn ask(
    directory: &RunDirectory,
    judge: &Judge,
    cases: &[Case],
    stop: &CancellationToken,
    mut progress: impl FnMut(bool) + Send,
) -> Result<Asked, ResultsError> {
    let mut log = VerdictLog::open(directory.path())?;
    let mut asked = Asked::default();
    let mut broken = None;
    let stop = stop.child_token();
    let each = |index: usize, outcome: Result<Ruled, JudgeError>| {
        progress(outcome.is_ok());
        match outcome {
            Ok(ruled) => {
                asked.ruled += 1;
                let entry = entry(cases[index].key(judge.model()), judge.model(), ruled);
                if let Err(error) = log.push(&entry) {
                    broken = Some(error);
                    stop.cancel();
                }
            }
            Err(error) => {
                asked.error.get_or_insert(error);
            }
        }
    };
    let ended = judge.rule(cases, &stop, each).await;
    if let Err(error) = ended {
        asked.error.get_or_insert(error);
    }
    match broken {
        Some(error) => Err(error),
        None => log.sync().map(|()| asked),
    }
}

fn entry(key: String, judge: &str, ruled: Ruled) -> VerdictEntry {
    VerdictEntry {
        key,
        judge: judge.to_owned(),
        judge_model: ruled.judge_model,
        verdict: match ruled.ruling {
            Ruling::Correct => Verdict::Correct,
            Ruling::Incorrect => Verdict::Incorrect,
            Ruling::Unparsed => Verdict::Unparsed,
        },
        reason: ruled.reason,
        attempts: ruled.attempts,
        input_tokens: ruled.input_tokens,
        output_tokens: ruled.output_tokens,
        left_out_chars: ruled.left_out_chars,
        ruled_at: jiff::Timestamp::now().to_string(),
    }
}

/// A judge's verdict as a row keeps it. The rule that couldn't tell is kept beside it.
fn judged(said: &VerdictEntry, by_rule: &Evaluation) -> EvaluationMetrics {
    let metadata = json!({
        "verdict": said.verdict,
        "extracted": by_rule.extracted,
        "rule": by_rule.method,
        "judge_model": said.judge_model,
        "reason": said.reason,
        "left_out_chars": said.left_out_chars,
        "ruled_at": said.ruled_at,
    });
    EvaluationMetrics {
        is_correct: Some(said.verdict == Verdict::Correct),
        method: format!("judge:{}", said.judge),
        metadata: metadata.to_string(),
    }
}

fn case(record: &ProfilingRecord) -> Case {
    Case {
        problem: record.problem.clone(),
        reference: record.answer.clone(),
        answer: without_reasoning(&record.response).into_owned(),
    }
}

fn scoring(metadata: &str) -> Option<(Scoring, Map<String, Value>)> {
    let metadata: Map<String, Value> = serde_json::from_str(metadata).ok()?;
    let scoring = Scoring::deserialize(metadata.get("scoring")?).ok()?;
    Some((scoring, metadata))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ModelMetrics;

    fn record(scoring: &str, answer: &str, response: &str) -> ProfilingRecord {
        ProfilingRecord {
            problem: "What is two and two?".to_owned(),
            answer: answer.to_owned(),
            subject: String::new(),
            dataset_metadata: json!({ "scoring": scoring }).to_string(),
            query_index: 0,
            status: QueryStatus::Ok,
            finish_reason: None,
            error: None,
            started_at_nanos: 0,
            first_token_at_nanos: None,
            ended_at_nanos: 1,
            response: response.to_owned(),
            metrics: ModelMetrics::default(),
        }
    }

    fn said(record: &ProfilingRecord, judge: &str, verdict: Verdict) -> VerdictEntry {
        VerdictEntry {
            key: case(record).key(judge),
            judge: judge.to_owned(),
            judge_model: Some("served".to_owned()),
            verdict,
            reason: None,
            attempts: 1,
            input_tokens: None,
            output_tokens: None,
            left_out_chars: 0,
            ruled_at: "2026-01-01T00:00:00Z".to_owned(),
        }
    }

    fn verdicts(entries: &[VerdictEntry]) -> Verdicts {
        let dir = tempfile::tempdir().unwrap();
        let mut log = VerdictLog::open(dir.path()).unwrap();
        entries.iter().for_each(|entry| log.push(entry).unwrap());
        Verdicts::read(dir.path()).unwrap()
    }

    fn score_all(records: &mut [ProfilingRecord], verdicts: &Verdicts, judge: Option<&str>) {
        for record in records {
            score(record, verdicts, judge);
        }
    }

    fn waiting_of(records: &[ProfilingRecord], verdicts: &Verdicts) -> Vec<Case> {
        waiting(records.iter().cloned().map(Ok), verdicts, "j").unwrap()
    }

    fn correctness(records: &[ProfilingRecord]) -> Vec<Option<bool>> {
        records.iter().map(|record| record.metrics.lm_correctness).collect()
    }

    #[test]
    fn a_verdict_counts_for_the_answer_it_was_given_on_and_for_no_other() {
        let mut records =
            [record("judge", "4", "four"), record("judge", "4", "five"), record("exact", "4", "5")];
        let verdicts = verdicts(&[
            said(&records[0], "j", Verdict::Correct),
            // What the rules decide no judge can overturn.
            said(&records[2], "j", Verdict::Correct),
        ]);
        score_all(&mut records, &verdicts, None);
        assert_eq!(correctness(&records), [Some(true), None, Some(false)]);
        let evaluation = records[0].metrics.evaluation.as_ref().unwrap();
        assert_eq!(evaluation.method, "judge:j");
        assert!(evaluation.metadata.contains(r#""judge_model":"served""#));
        assert_eq!(waiting_of(&records, &verdicts).len(), 1);
    }

    #[test]
    fn the_judge_asked_last_counts_unless_another_is_named() {
        let mut records = [record("judge", "4", "four")];
        let verdicts = verdicts(&[
            said(&records[0], "a", Verdict::Correct),
            said(&records[0], "b", Verdict::Incorrect),
        ]);
        for (judge, expected) in [(None, Some(false)), (Some("a"), Some(true)), (Some("c"), None)] {
            score_all(&mut records, &verdicts, judge);
            assert_eq!(correctness(&records), [expected], "{judge:?}");
        }
    }

    #[test]
    fn the_same_answer_is_asked_about_once_and_a_failed_query_never() {
        let mut records = [(); 3].map(|()| record("judge", "4", "<think>2 + 2</think>four"));
        records[2].status = QueryStatus::Truncated;
        let cases = waiting_of(&records, &Verdicts::default());
        assert_eq!(cases.len(), 1);
        assert_eq!(cases[0].answer, "four");
    }

    #[test]
    fn scoring_says_whether_the_row_changed_and_whether_the_rules_can_tell() {
        let none = Verdicts::default();
        let scored = |record: &mut ProfilingRecord| {
            let scored = score(record, &none, None);
            (scored.changed, scored.undecided)
        };
        let mut records = [
            record("exact", "4", "<think>2 + 2</think>4"),
            record("judge", "4", "four"),
            record("no such rule", "4", "4"),
        ];
        records[2].metrics.lm_correctness = Some(true);
        assert_eq!(records.each_mut().map(scored), [(true, false), (true, true), (false, false)]);
        assert_eq!(records.each_mut().map(scored), [(false, false), (false, true), (false, false)]);
        assert_eq!(records[0].metrics.lm_response.as_deref(), Some("4"));
        assert_eq!(records[2].metrics.lm_correctness, Some(true));
        for spoil in [
            |metrics: &mut ModelMetrics| metrics.lm_response = None,
            |metrics: &mut ModelMetrics| metrics.lm_correctness = Some(false),
            |metrics: &mut ModelMetrics| metrics.evaluation = None,
        ] {
            spoil(&mut records[0].metrics);
            assert_eq!(scored(&mut records[0]), (true, false));
        }
    }
}
