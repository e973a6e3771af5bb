//! How often the answers are right, and how much of that a joule and a watt buy.
//!
//! Answers: the content of `analysis/accuracy.json`. Accuracy is correct / (correct + incorrect +
//! unparsed). Intelligence per joule (IPJ) is accuracy / mean joules of a query, intelligence per watt
//! (IPW) accuracy / mean watts of a query, each over the same rows above and below the line: those that
//! are ok, scored and have basis energy. It does not know how a verdict or an energy came about; a
//! missing one is missing, nothing is imputed. Joules and watts are those of the run's energy basis.

use std::collections::BTreeMap;

use super::stats::{mean, ratio_ci95, summarize, wilson_ci95};
use crate::evaluation::Verdict;
use crate::record::QueryStatus;

mod report;
mod rows;
mod warnings;

pub use report::{
    AccuracyData, AccuracyReport, AccuracySummary, EfficiencySummary, ModelAccuracy, QueryAccuracy,
    Tally,
};
pub use rows::ScoredQuery;
use rows::{Counts, EnergyRows, is_scored};
use warnings::warnings;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AccuracyOptions {
    /// The least share of scored queries with energy, 0 to 1, for IPJ and IPW to be given.
    pub min_energy_coverage: f64,
}

impl Default for AccuracyOptions {
    fn default() -> Self {
        Self { min_energy_coverage: 0.5 }
    }
}

/// Judges a run. The rows may come in any order; each is one query.
#[must_use]
pub fn analyze(model: &str, queries: &[ScoredQuery], options: AccuracyOptions) -> AccuracyReport {
    let counts = Counts::of(queries);
    let energy = EnergyRows::of(queries);
    let summary = summary(model, &counts, &energy, options);
    let per_model = BTreeMap::from([(model.to_owned(), model_accuracy(&summary, queries))]);
    AccuracyReport {
        analysis: "accuracy".to_owned(),
        warnings: warnings(queries, &counts, &energy, options),
        data: AccuracyData {
            per_model,
            records: queries.iter().map(query_accuracy).collect(),
            efficiency: efficiency(queries, &energy),
        },
        summary,
    }
}

fn summary(
    model: &str,
    counts: &Counts,
    energy: &EnergyRows,
    options: AccuracyOptions,
) -> AccuracySummary {
    let scored = counts.scored();
    let (joules, watts) = (energy.joules(), energy.watts());
    let known =
        |rows: &[(bool, f64)]| share(rows.len(), scored) >= Some(options.min_energy_coverage);
    let (joules_known, watts_known) = (known(&joules), known(&watts));
    AccuracySummary {
        model: model.to_owned(),
        correct: counts.correct,
        incorrect: counts.incorrect,
        unparsed: counts.unparsed,
        unevaluated: counts.unevaluated,
        failed: counts.failed,
        total_scored: scored,
        accuracy: share(counts.correct, scored),
        accuracy_parsed: share(counts.correct, counts.correct + counts.incorrect),
        accuracy_ci95: wilson_ci95(counts.correct, scored).filter(|_| scored >= 2),
        intelligence_per_joule: intelligence(&joules).filter(|_| joules_known),
        intelligence_per_joule_ci95: ratio_ci95(&joules).filter(|_| joules_known),
        intelligence_per_watt: intelligence(&watts).filter(|_| watts_known),
        intelligence_per_watt_ci95: ratio_ci95(&watts).filter(|_| watts_known),
        avg_per_query_energy_joules: mean_cost(&joules),
        avg_per_query_power_watts: mean_cost(&watts),
        energy_sample_count: joules.len(),
        power_sample_count: watts.len(),
        energy_basis: energy.basis(),
    }
}

/// Accuracy of these rows / their mean cost.
fn intelligence(rows: &[(bool, f64)]) -> Option<f64> {
    Some(accuracy(rows)? / mean_cost(rows)?).filter(|value| value.is_finite())
}

fn accuracy(rows: &[(bool, f64)]) -> Option<f64> {
    share(rows.iter().filter(|(correct, _)| *correct).count(), rows.len())
}

fn mean_cost(rows: &[(bool, f64)]) -> Option<f64> {
    mean(&costs(rows))
}

fn costs(rows: &[(bool, f64)]) -> Vec<f64> {
    rows.iter().map(|(_, cost)| *cost).collect()
}

/// A part of a whole; `None` of nothing.
fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn model_accuracy(summary: &AccuracySummary, queries: &[ScoredQuery]) -> ModelAccuracy {
    ModelAccuracy {
        accuracy: summary.accuracy,
        intelligence_per_joule: summary.intelligence_per_joule,
        intelligence_per_watt: summary.intelligence_per_watt,
        by_subject: tallies(queries, |query| Some(query.subject.as_str())),
        by_method: tallies(queries, |query| query.method.as_deref()),
    }
}

/// Scored queries by a property of theirs.
fn tallies<'a>(
    queries: &'a [ScoredQuery],
    property: impl Fn(&'a ScoredQuery) -> Option<&'a str>,
) -> BTreeMap<String, Tally> {
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for query in queries.iter().filter(|query| is_scored(query)) {
        let Some(property) = property(query) else { continue };
        let tally = tallies.entry(property.to_owned()).or_default();
        tally.scored += 1;
        tally.correct += usize::from(query.verdict == Verdict::Correct);
    }
    for tally in tallies.values_mut() {
        tally.accuracy = share(tally.correct, tally.scored);
        tally.accuracy_ci95 =
            wilson_ci95(tally.correct, tally.scored).filter(|_| tally.scored >= 2);
    }
    tallies
}

fn query_accuracy(query: &ScoredQuery) -> QueryAccuracy {
    QueryAccuracy {
        query_index: query.query_index,
        status: query.status,
        verdict: (query.status == QueryStatus::Ok).then_some(query.verdict),
        method: query.method.clone(),
        basis_joules: query.basis_joules,
        seconds: query.seconds,
    }
}

fn efficiency(queries: &[ScoredQuery], energy: &EnergyRows) -> EfficiencySummary {
    let (joules, watts) = (energy.joules(), energy.watts());
    let of_ok = |value: fn(&ScoredQuery) -> Option<f64>| {
        let ok = queries.iter().filter(|query| query.status == QueryStatus::Ok);
        summarize(&ok.filter_map(value).collect::<Vec<f64>>())
    };
    let total: f64 = costs(&joules).iter().sum();
    let per = |count: Option<f64>| {
        count.filter(|count| *count > 0.0).map(|count| total / count).filter(|_| !joules.is_empty())
    };
    let correct = joules.iter().filter(|(correct, _)| *correct).count();
    // A server may claim any number: their sum must not overflow.
    let tokens: Option<f64> =
        energy.rows.iter().map(|(query, _)| query.output_tokens.map(|count| count as f64)).sum();
    EfficiencySummary {
        accuracy_of_energy_rows: accuracy(&joules),
        joules_per_correct_answer: per(Some(correct as f64)),
        joules_per_output_token: per(tokens),
        joules: summarize(&costs(&joules)),
        watts: summarize(&costs(&watts)),
        seconds: of_ok(|query| query.seconds),
        time_to_first_token_seconds: of_ok(|query| query.time_to_first_token_seconds),
        tokens_per_second: of_ok(|query| query.tokens_per_second),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::record::Stats;

    fn query(query_index: i64, verdict: Verdict, joules: Option<f64>) -> ScoredQuery {
        ScoredQuery {
            query_index,
            subject: if query_index % 2 == 0 { "even" } else { "odd" }.to_owned(),
            status: QueryStatus::Ok,
            cut_off: false,
            verdict,
            method: Some("letter:answer_is".to_owned()),
            basis: Some("gpu".to_owned()),
            energy_method: Some("counter".to_owned()),
            energy_status: Some(if joules.is_some() { "ok" } else { "gap" }.to_owned()),
            basis_joules: joules,
            seconds: Some(2.0),
            time_to_first_token_seconds: Some(0.5),
            output_tokens: Some(10),
            tokens_per_second: Some(5.0),
            joules_per_output_token: None,
        }
    }

    fn report(queries: &[ScoredQuery]) -> AccuracyReport {
        analyze("m:1b", queries, AccuracyOptions::default())
    }

    use Verdict::{Correct, Incorrect, Unevaluated, Unparsed};

    #[test]
    fn the_headline_is_computed_from_the_rows_by_hand() {
        let mut failed = query(5, Correct, Some(1e6));
        failed.status = QueryStatus::Truncated;
        let queries = [
            query(0, Correct, Some(10.0)),
            query(1, Incorrect, Some(30.0)),
            query(2, Correct, Some(20.0)),
            query(3, Unparsed, Some(20.0)),
            query(4, Unevaluated, Some(1e6)),
            failed,
        ];
        let summary = report(&queries).summary;
        assert_eq!((summary.correct, summary.incorrect, summary.unparsed), (2, 1, 1));
        assert_eq!((summary.unevaluated, summary.failed, summary.total_scored), (1, 1, 4));
        assert_eq!((summary.accuracy, summary.accuracy_parsed), (Some(0.5), Some(2.0 / 3.0)));
        assert_eq!(summary.accuracy_ci95, wilson_ci95(2, 4));
        // Mean of 10, 30, 20 and 20 J is 20 J; each took 2 s.
        assert_eq!(summary.avg_per_query_energy_joules, Some(20.0));
        assert_eq!(summary.avg_per_query_power_watts, Some(10.0));
        assert_eq!(summary.intelligence_per_joule, Some(0.025));
        assert_eq!(summary.intelligence_per_watt, Some(0.05));
        let [low, high] = summary.intelligence_per_joule_ci95.unwrap();
        assert!(0.0 < low && low < 0.025 && 0.025 < high, "{low} {high}");
        assert_eq!((summary.energy_sample_count, summary.power_sample_count), (4, 4));
        assert_eq!(summary.energy_basis.as_deref(), Some("gpu"));
    }

    #[test]
    fn accuracy_and_energy_are_of_the_same_rows() {
        let mut queries: Vec<ScoredQuery> =
            (0..6).map(|index| query(index, Correct, Some(10.0))).collect();
        queries.extend((6..10).map(|index| query(index, Incorrect, None)));
        let report = report(&queries);
        assert_eq!(report.summary.accuracy, Some(0.6));
        // All six rows with energy are right: 1 / 10 J, not 0.6 / 10 J.
        assert_eq!(report.summary.intelligence_per_joule, Some(0.1));
        assert_eq!(report.data.efficiency.accuracy_of_energy_rows, Some(1.0));
        assert_eq!(
            report.warnings,
            [
                "6 of 10 scored queries have energy (gap): intelligence per joule and per watt hold for these alone"
            ]
        );
    }

    #[test]
    fn too_little_energy_gives_no_intelligence_and_says_so() {
        let mut queries = vec![query(0, Correct, Some(10.0))];
        queries.extend((1..4).map(|index| query(index, Correct, None)));
        let strict = report(&queries);
        assert_eq!(
            (strict.summary.intelligence_per_joule, strict.summary.intelligence_per_watt),
            (None, None)
        );
        assert_eq!(
            (strict.summary.intelligence_per_joule_ci95, strict.summary.intelligence_per_watt_ci95),
            (None, None)
        );
        assert!(
            strict.warnings[0].contains("1 of 4")
                && strict.warnings[0].contains("under --min-energy-coverage 0.5")
        );
        let lenient = analyze("m", &queries, AccuracyOptions { min_energy_coverage: 0.25 });
        assert_eq!(lenient.summary.intelligence_per_joule, Some(0.1));
        assert_eq!(lenient.summary.intelligence_per_joule_ci95, None, "one row has no interval");
    }

    #[test]
    fn a_run_without_energy_has_accuracy_and_the_reason() {
        let queries: Vec<ScoredQuery> = (0..3).map(|index| query(index, Correct, None)).collect();
        for min_energy_coverage in [0.0, 0.5] {
            let report = analyze("m", &queries, AccuracyOptions { min_energy_coverage });
            assert_eq!(report.summary.accuracy, Some(1.0));
            assert_eq!(report.summary.intelligence_per_joule, None);
            assert_eq!(report.summary.avg_per_query_energy_joules, None);
            assert_eq!(report.summary.energy_basis, None);
            assert_eq!(
                report.warnings,
                [
                    "0 of 3 scored queries have energy (gap): intelligence per joule and per watt are unknown"
                ]
            );
        }
    }

    #[test]
    fn energy_that_cannot_be_is_left_out_with_a_warning() {
        let bad = [0.0, -1.0, f64::NAN, f64::INFINITY];
        let mut queries: Vec<ScoredQuery> =
            (0..100).map(|index| query(index, Correct, Some(4.0))).collect();
        queries.extend(bad.iter().map(|joules| query(200, Correct, Some(*joules))));
        let report = report(&queries);
        assert_eq!(report.summary.energy_sample_count, 100);
        assert_eq!(report.summary.intelligence_per_joule, Some(0.25));
        assert!(
            report.warnings[0].starts_with("4 queries have an energy that can't be"),
            "{:?}",
            report.warnings
        );
        assert!(serde_json::to_string(&report).is_ok());
    }

    #[test]
    fn a_duration_that_cannot_be_costs_the_watts_but_not_the_joules() {
        let mut queries: Vec<ScoredQuery> =
            (0..10).map(|index| query(index, Correct, Some(4.0))).collect();
        for (query, seconds) in
            queries.iter_mut().zip([None, Some(0.0), Some(-1.0), Some(f64::NAN)])
        {
            query.seconds = seconds;
        }
        let AccuracyReport { summary, warnings, .. } = report(&queries);
        assert_eq!((summary.energy_sample_count, summary.power_sample_count), (10, 6));
        assert_eq!(summary.intelligence_per_watt, Some(0.5));
        assert!(warnings[0].starts_with("6 of the 10 queries with energy have a duration"));
    }

    #[test]
    fn joules_of_different_bases_are_not_averaged() {
        let mut queries: Vec<ScoredQuery> =
            (0..4).map(|index| query(index, Correct, Some(4.0))).collect();
        queries[3].basis = Some("cpu".to_owned());
        let report = report(&queries);
        assert_eq!(report.summary.avg_per_query_energy_joules, None);
        assert_eq!(
            (report.summary.intelligence_per_joule, report.summary.energy_basis),
            (None, None)
        );
        assert!(report.warnings[0].contains("different bases (cpu, gpu)"), "{:?}", report.warnings);
    }

    #[test]
    fn an_estimate_is_never_shown_without_the_word() {
        let mut queries: Vec<ScoredQuery> =
            (0..4).map(|index| query(index, Correct, Some(4.0))).collect();
        assert_eq!(report(&queries).warnings, [""; 0]);
        queries[0].energy_method = Some("estimated".to_owned());
        assert!(report(&queries).warnings[0].starts_with("ESTIMATED"));
        for query in &mut queries {
            query.basis = Some("cpu_estimated".to_owned());
        }
        let report = report(&queries);
        assert!(report.warnings[0].starts_with("ESTIMATED"));
        assert_eq!(report.summary.energy_basis.as_deref(), Some("cpu_estimated"));
    }

    #[test]
    fn nothing_scored_is_unknown_and_not_zero() {
        for queries in [vec![], vec![query(0, Unevaluated, Some(1.0))]] {
            let report = report(&queries);
            assert_eq!((report.summary.accuracy, report.summary.accuracy_parsed), (None, None));
            assert_eq!(
                (report.summary.accuracy_ci95, report.summary.intelligence_per_joule),
                (None, None)
            );
            assert!(report.warnings[0].starts_with("no query was scored"), "{:?}", report.warnings);
        }
    }

    #[test]
    fn answers_cut_off_before_the_answer_come_with_the_remedy() {
        let mut queries: Vec<ScoredQuery> =
            (0..10).map(|index| query(index, Correct, Some(4.0))).collect();
        queries[0].verdict = Unparsed;
        queries[0].cut_off = true;
        let warnings = report(&queries).warnings;
        assert!(
            warnings[0].starts_with("in 1 of 10 answers")
                && warnings[0].ends_with("1 of them ended at the token limit: raise --max-tokens"),
            "{warnings:?}"
        );
    }

    #[test]
    fn details_are_by_subject_and_rule_and_query() {
        let queries = [
            query(0, Correct, Some(1.0)),
            query(1, Incorrect, Some(3.0)),
            query(2, Incorrect, None),
        ];
        let data = report(&queries).data;
        let model = &data.per_model["m:1b"];
        assert_eq!((model.by_subject["even"].correct, model.by_subject["even"].scored), (1, 2));
        assert_eq!(model.by_subject["odd"].accuracy, Some(0.0));
        assert_eq!(model.by_method["letter:answer_is"].scored, 3);
        assert_eq!(data.records.len(), 3);
        assert_eq!(
            data.efficiency.joules,
            Stats { avg: Some(2.0), max: Some(3.0), median: Some(2.0), min: Some(1.0) }
        );
        assert_eq!(data.efficiency.joules_per_correct_answer, Some(4.0));
        assert_eq!(data.efficiency.joules_per_output_token, Some(0.2));
        assert_eq!(data.efficiency.time_to_first_token_seconds.median, Some(0.5));
    }

    #[test]
    fn the_file_has_the_contracts_fields() {
        let mut failed = query(1, Correct, None);
        failed.status = QueryStatus::Timeout;
        let value = serde_json::to_value(report(&[query(0, Correct, Some(1.0)), failed])).unwrap();
        let keys =
            |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
        assert_eq!(keys(&value), ["analysis", "summary", "warnings", "data"]);
        assert_eq!(
            keys(&value["summary"]),
            [
                "model",
                "correct",
                "incorrect",
                "unparsed",
                "unevaluated",
                "failed",
                "total_scored",
                "accuracy",
                "accuracy_parsed",
                "accuracy_ci95",
                "intelligence_per_joule",
                "intelligence_per_joule_ci95",
                "intelligence_per_watt",
                "intelligence_per_watt_ci95",
                "avg_per_query_energy_joules",
                "avg_per_query_power_watts",
                "energy_sample_count",
                "power_sample_count",
                "energy_basis",
            ]
        );
        assert_eq!(keys(&value["data"]), ["per_model", "records", "efficiency"]);
        assert_eq!(
            value["data"]["records"],
            json!([
                {"query_index": 0, "status": "ok", "verdict": "correct", "method": "letter:answer_is", "basis_joules": 1.0, "seconds": 2.0},
                {"query_index": 1, "status": "timeout", "verdict": null, "method": "letter:answer_is", "basis_joules": null, "seconds": 2.0},
            ])
        );
        assert_eq!(value["summary"]["accuracy_ci95"], Value::Null, "one row has no interval");
        let back: AccuracyReport = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(back).unwrap(), value);
    }

    fn any_query() -> impl Strategy<Value = ScoredQuery> {
        let verdicts = prop::sample::select(vec![Correct, Incorrect, Unparsed, Unevaluated]);
        let statuses =
            prop::sample::select(vec![QueryStatus::Ok, QueryStatus::Ok, QueryStatus::Error]);
        let figure = || prop::option::of(prop_oneof![any::<f64>(), 0.1_f64..100.0]);
        (verdicts, statuses, figure(), figure(), any::<Option<i32>>()).prop_map(
            |(verdict, status, joules, seconds, tokens)| ScoredQuery {
                status,
                seconds,
                output_tokens: tokens.map(i64::from),
                ..query(0, verdict, joules)
            },
        )
    }

    proptest! {
        #[test]
        fn counts_add_up_and_no_figure_is_negative_or_not_finite(
            queries in prop::collection::vec(any_query(), 0..40),
        ) {
            let summary = report(&queries).summary;
            let all = summary.total_scored + summary.unevaluated + summary.failed;
            prop_assert_eq!(all, queries.len());
            prop_assert_eq!(summary.correct + summary.incorrect + summary.unparsed, summary.total_scored);
            prop_assert!(summary.power_sample_count <= summary.energy_sample_count);
            prop_assert!(summary.energy_sample_count <= summary.total_scored);
            let figures = [
                summary.accuracy, summary.accuracy_parsed, summary.intelligence_per_joule,
                summary.intelligence_per_watt, summary.avg_per_query_energy_joules,
                summary.avg_per_query_power_watts,
            ];
            prop_assert!(figures.iter().flatten().all(|figure| figure.is_finite() && *figure >= 0.0));
        }
    }
}
