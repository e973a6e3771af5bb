//! Do runs differ, and by how much?
//!
//! Answers: over the queries that all runs answered, with the same prompt and reference answer, how
//! accuracy, energy, time, tokens, IPJ and IPW of two runs differ, with 95 % intervals, and what that
//! means in words; of more runs the order and the Pareto front of accuracy against energy. The intervals
//! are over queries: what other queries of the kind would show. They don't know how much the same run
//! would differ on another day, nor a sensor's gain error. Joules and watts are those of the runs' energy
//! basis; a difference is A's figure less B's, a ratio A's by B's, A being the first run.

mod bootstrap;
mod figures;
mod pairing;
mod proportions;
mod ranking;
mod report;
mod runs;
mod verdict;
mod warnings;

use figures::{EnergyTrust, Kind, figure};
pub use pairing::Overlap;
use pairing::{Common, verdicts};
use proportions::Agreement;
pub use report::{
    AccuracyDifference, ComparedRun, ComparisonReport, Figure, PairReport, RankedRun, Ranking,
};
pub use runs::{ComparedRow, RunRows, RunSettings, question};

/// Why runs can't be compared at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// Nothing to compare with.
    #[error("there is nothing to compare with: give two runs or more")]
    TooFewRuns,
    /// Other questions.
    #[error("the runs are of different datasets ({0}): their queries can't be paired")]
    OtherDataset(String),
    /// No query is the same.
    #[error(
        "no query ended well in all runs: of {} queries {} are in all of them, {} with the same prompt and \
         reference answer", .0.in_any, .0.in_all, .0.same_question
    )]
    NothingInCommon(Overlap),
}

/// Compares the runs, the first of them with the second if there are two.
///
/// # Errors
/// They have nothing in common that could be compared.
pub fn compare(runs: &[RunRows]) -> Result<ComparisonReport, CompareError> {
    refuse_other_questions(runs)?;
    let common = Common::of(runs);
    if common.answered.is_empty() {
        return Err(CompareError::NothingInCommon(common.overlap));
    }
    let trust = EnergyTrust::of(runs);
    Ok(ComparisonReport {
        analysis: "comparison".to_owned(),
        runs: runs.iter().map(described).collect(),
        queries: common.overlap,
        warnings: warnings::warnings(runs, common.overlap),
        pair: match runs {
            [a, b] => Some(pair([&a.name, &b.name], &common, &trust)),
            _ => None,
        },
        ranking: ranking::ranking(runs, &common, trust.obstacle.is_none()),
    })
}

fn refuse_other_questions(runs: &[RunRows]) -> Result<(), CompareError> {
    let [first, rest @ ..] = runs else { return Err(CompareError::TooFewRuns) };
    if rest.is_empty() {
        return Err(CompareError::TooFewRuns);
    }
    if rest.iter().any(|run| run.settings.dataset != first.settings.dataset) {
        let each = runs.iter().map(|run| format!("{} {}", run.name, run.settings.dataset));
        return Err(CompareError::OtherDataset(each.collect::<Vec<_>>().join(", ")));
    }
    Ok(())
}

fn described(run: &RunRows) -> ComparedRun {
    let settings = &run.settings;
    ComparedRun {
        name: run.name.clone(),
        model: settings.model.clone(),
        dataset: settings.dataset.clone(),
        dataset_revision: settings.dataset_revision.clone(),
        hardware: settings.hardware.clone(),
        energy_basis: settings.basis.clone(),
        concurrency: settings.concurrency,
    }
}

fn pair(names: [&str; 2], common: &Common, trust: &EnergyTrust) -> PairReport {
    let both = |queries: &Vec<_>| <[bool; 2]>::try_from(verdicts(queries)?).ok();
    let agreement = Agreement::of(common.answered.iter().filter_map(both));
    let figure = |kind: &Kind| figure(kind, names, &common.answered, trust);
    PairReport {
        a: names[0].to_owned(),
        b: names[1].to_owned(),
        accuracy: verdict::on_accuracy(names, agreement),
        energy: figure(&figures::ENERGY),
        latency: figure(&figures::LATENCY),
        time_to_first_token: figure(&figures::FIRST_TOKEN),
        output_tokens: figure(&figures::OUTPUT_TOKENS),
        intelligence_per_joule: figure(&figures::PER_JOULE),
        intelligence_per_watt: figure(&figures::PER_WATT),
    }
}

/// Which runs have no energy, and why.
fn without_energy(runs: &[RunRows]) -> Option<String> {
    let reason = |run: &RunRows| Some((run.name.clone(), run.settings.no_energy.clone()?));
    let reasons: Vec<String> = runs
        .iter()
        .filter_map(reason)
        .map(|(name, reason)| format!("{name} has no energy ({reason})"))
        .collect();
    (!reasons.is_empty()).then(|| reasons.join(", "))
}

impl EnergyTrust {
    fn of(runs: &[RunRows]) -> Self {
        let settings: Vec<&RunSettings> = runs.iter().map(|run| &run.settings).collect();
        let all_alike = |alike: fn(&RunSettings, &RunSettings) -> bool| {
            settings.windows(2).all(|neighbours| alike(neighbours[0], neighbours[1]))
        };
        let without = without_energy(runs);
        let obstacle = if let Some(without) = without {
            Some(without)
        } else if !all_alike(|one, other| one.basis == other.basis) {
            Some("the energies are of different bases".to_owned())
        } else if !all_alike(|one, other| one.is_estimated() == other.is_estimated()) {
            Some("one energy is an estimate and the other a measurement".to_owned())
        } else {
            None
        };
        let same_sensors = all_alike(|one, other| one.devices == other.devices);
        // What two sensors read may be off in opposite directions.
        let apart = |percent: f64| (100.0 + percent) / (100.0 - percent);
        let gains = settings.iter().map(|run| run.gain_error_pct);
        let largest = gains.reduce(|one, other| Some(one?.max(other?))).flatten();
        Self {
            obstacle,
            is_estimated: settings.iter().any(|run| run.is_estimated()),
            gain: if same_sensors { Some(1.0) } else { largest.map(apart) },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::analysis::accuracy::ScoredQuery;
    use crate::evaluation::Verdict;
    use crate::record::QueryStatus;

    /// A query that took `joules` and is right or wrong.
    fn row(query_index: i64, is_right: bool, joules: f64) -> ComparedRow {
        let query = ScoredQuery {
            query_index,
            subject: String::new(),
            status: QueryStatus::Ok,
            cut_off: false,
            verdict: if is_right { Verdict::Correct } else { Verdict::Incorrect },
            method: None,
            basis: Some("gpu".to_owned()),
            energy_method: Some("counter".to_owned()),
            energy_status: Some("ok".to_owned()),
            basis_joules: Some(joules),
            seconds: Some(joules / 100.0),
            time_to_first_token_seconds: Some(0.1 + joules / 1e4),
            output_tokens: Some((10.0 * joules) as i64),
            tokens_per_second: None,
            joules_per_output_token: None,
        };
        ComparedRow { question: query_index as u64, query }
    }

    fn run(name: &str, rows: Vec<ComparedRow>) -> RunRows {
        let settings = RunSettings {
            model: format!("model of {name}"),
            dataset: "ipw".to_owned(),
            dataset_revision: "1".to_owned(),
            hardware: "H100".to_owned(),
            devices: ["GPU-1 on node".to_owned()].into(),
            gain_error_pct: Some(5.0),
            basis: Some("gpu".to_owned()),
            method: Some("counter".to_owned()),
            concurrency: 1,
            is_final: true,
            ..RunSettings::default()
        };
        RunRows { name: name.to_owned(), settings, rows }
    }

    /// `count` queries of spread-out costs, `factor` times as much on this run, `right` of ten right.
    fn rows(count: i64, factor: f64, right: i64) -> Vec<ComparedRow> {
        let mut rng = fastrand::Rng::with_seed(2);
        (0..count)
            .map(|index| {
                let length = 5.0 + 50.0 * rng.f64();
                let own = fastrand::Rng::with_seed((1e6 * factor) as u64 + index as u64).f64();
                row(index, index % 10 < right, factor * length * (0.95 + 0.1 * own))
            })
            .collect()
    }

    fn pair_of(a: RunRows, b: RunRows) -> (PairReport, Vec<String>) {
        let report = compare(&[a, b]).unwrap();
        (report.pair.unwrap(), report.warnings)
    }

    #[test]
    fn a_cheaper_run_is_told_with_its_interval() {
        let (pair, warnings) = pair_of(run("A", rows(200, 0.85, 6)), run("B", rows(200, 1.0, 6)));
        assert_eq!(warnings, [] as [&str; 0]);
        let [low, high] = pair.energy.ratio_ci95.unwrap();
        assert!(low < 0.85 && 0.85 < high && high - low < 0.03, "{low} {high}");
        assert!(pair.energy.verdict.starts_with("A takes 1"), "{}", pair.energy.verdict);
        assert!(pair.energy.verdict.ends_with("% less energy than B"), "{}", pair.energy.verdict);
        assert!(pair.intelligence_per_joule.verdict.starts_with("A gives 1"));
        let energy = &pair.energy;
        assert_eq!((energy.pairs, energy.status.as_str()), (200, "ok"));
        assert!((energy.ratio.unwrap() - energy.a.unwrap() / energy.b.unwrap()).abs() < 1e-12);
        // Both ran at 100 W.
        assert!(
            pair.intelligence_per_watt
                .verdict
                .starts_with("no difference in intelligence per watt")
        );
        assert!(pair.accuracy.verdict.starts_with("no difference in accuracy"));
    }

    #[test]
    fn figures_are_means_over_the_same_queries() {
        let mut b = vec![row(0, true, 10.0), row(1, false, 30.0), row(2, true, 1e6)];
        b[2].query.status = QueryStatus::Timeout;
        let mut a =
            vec![row(1, true, 10.0), row(0, true, 20.0), row(2, true, 5.0), row(7, true, 1.0)];
        a[0].query.seconds = None;
        let (pair, warnings) = pair_of(run("A", a), run("B", b));
        assert_eq!((pair.energy.a, pair.energy.b, pair.energy.pairs), (Some(15.0), Some(20.0), 2));
        assert_eq!((pair.energy.difference, pair.energy.ratio), (Some(-5.0), Some(0.75)));
        assert_eq!((pair.latency.a, pair.latency.b, pair.latency.pairs), (Some(0.2), Some(0.1), 1));
        assert_eq!(
            (pair.intelligence_per_joule.a, pair.intelligence_per_joule.b),
            (Some(2.0 / 30.0), Some(1.0 / 40.0))
        );
        assert_eq!(
            (pair.accuracy.a, pair.accuracy.b, pair.accuracy.only_a),
            (Some(1.0), Some(0.5), 1)
        );
        assert_eq!((pair.energy.ratio_ci95, pair.energy.difference_ci95), (None, None));
        assert!(pair.energy.verdict.starts_with("not compared: 2 queries have it in both runs"));
        assert!(warnings.iter().any(|warning| {
            warning.contains("the 2 queries that all runs answered, 50.0 % of the 4")
        }));
        assert!(warnings.iter().any(|warning| warning.contains("2 queries are common")));
    }

    #[test]
    fn another_prompt_is_another_query() {
        let (a, mut b) = (rows(50, 1.0, 5), rows(50, 1.0, 5));
        b[3].question = 1_000;
        let report = compare(&[run("A", a), run("B", b)]).unwrap();
        let overlap =
            Overlap { in_any: 50, in_all: 50, same_question: 49, answered: 49, scored: 49 };
        assert_eq!(report.queries, overlap);
        assert!(
            report.warnings[0].starts_with("1 query has another prompt"),
            "{:?}",
            report.warnings
        );
    }

    #[test]
    fn of_several_rows_of_a_query_the_last_counts() {
        let mut a = rows(20, 1.0, 5);
        a.insert(0, row(4, true, 1e9));
        let (pair, _) = pair_of(run("A", a), run("B", rows(20, 1.0, 5)));
        assert_eq!(pair.energy.ratio, Some(1.0));
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let one = run("A", rows(20, 1.0, 5));
        assert_eq!(compare(&[]), Err(CompareError::TooFewRuns));
        assert_eq!(compare(std::slice::from_ref(&one)), Err(CompareError::TooFewRuns));
        let mut other = run("B", rows(20, 1.0, 5));
        other.settings.dataset = "gpqa".to_owned();
        let refused = compare(&[one.clone(), other]).unwrap_err().to_string();
        assert!(refused.contains("different datasets (A ipw, B gpqa)"), "{refused}");
        let elsewhere = run("B", (0..20).map(|index| row(100 + index, true, 1.0)).collect());
        let refused = compare(&[one, elsewhere]).unwrap_err().to_string();
        assert!(refused.contains("of 40 queries 0 are in all"), "{refused}");
    }

    #[test]
    fn energies_of_different_bases_are_not_compared_and_times_are() {
        let mut b = run("B", rows(50, 1.0, 5));
        b.settings.basis = Some("cpu".to_owned());
        let report = compare(&[run("A", rows(50, 1.0, 5)), b]).unwrap();
        let pair = report.pair.unwrap();
        for figure in [&pair.energy, &pair.intelligence_per_joule, &pair.intelligence_per_watt] {
            assert_eq!((figure.a, figure.ratio, figure.ratio_ci95), (None, None, None));
            assert_eq!(figure.status, "the energies are of different bases");
        }
        assert!(pair.latency.ratio_ci95.is_some());
        assert!(
            report.warnings[0].contains("energy basis (A gpu, B cpu)"),
            "{:?}",
            report.warnings
        );
        assert_eq!(report.ranking.ranked_by.as_deref(), Some("accuracy"));
        assert!(
            report
                .ranking
                .runs
                .iter()
                .all(|run| run.joules.is_none() && run.on_pareto_front.is_none())
        );
    }

    #[test]
    fn what_differs_beside_the_model_is_a_warning() {
        let mut b = run("B", rows(50, 1.0, 5));
        b.rows[7].query.method = Some("judge:strict".to_owned());
        b.settings = RunSettings {
            dataset_revision: "2".to_owned(),
            hardware: "L4".to_owned(),
            devices: ["GPU-2 on node".to_owned()].into(),
            method: Some("integrated".to_owned()),
            concurrency: 8,
            sampling: [("temperature".to_owned(), json!(0.7))].into(),
            is_replayed: true,
            is_final: false,
            ..b.settings
        };
        let warnings = pair_of(run("A", rows(50, 1.0, 5)), b).1;
        for part in [
            "the readings of B were replayed",
            "the energies of B are provisional",
            "differ in energy method (A counter, B integrated)",
            "differ in hardware (A H100, B L4)",
            "gain error of its own (up to 5 %)",
            "differ in concurrency (A 1, B 8)",
            "differ in dataset revision (A 1, B 2)",
            "differ in judge (A none, B strict)",
            "differ in temperature (A the server's default, B 0.7)",
        ] {
            assert!(warnings.iter().any(|warning| warning.contains(part)), "{part}: {warnings:?}");
        }
        assert_eq!(warnings.len(), 9);
    }

    #[test]
    fn estimates_are_marked_in_each_verdict_on_energy() {
        let estimated = |name| {
            let mut run = run(name, rows(50, 1.0, 5));
            run.settings.basis = Some("cpu_estimated".to_owned());
            run.settings.method = Some("estimated".to_owned());
            run
        };
        let (pair, warnings) = pair_of(estimated("A"), estimated("B"));
        assert!(
            pair.energy.verdict.starts_with("ESTIMATED: no difference"),
            "{}",
            pair.energy.verdict
        );
        assert!(!pair.latency.verdict.contains("ESTIMATED"));
        assert!(warnings[0].starts_with("ESTIMATED: the energy of A, B"), "{warnings:?}");
    }

    #[test]
    fn a_difference_within_the_sensors_own_errors_is_none() {
        let other_board = |gain_error_pct| {
            let mut b = run("B", rows(200, 1.0, 5));
            b.settings.devices = ["GPU-2 on node".to_owned()].into();
            b.settings.gain_error_pct = gain_error_pct;
            pair_of(run("A", rows(200, 0.95, 5)), b).0.energy.verdict
        };
        assert!(other_board(Some(5.0)).starts_with("no difference in energy"));
        assert!(
            other_board(Some(0.1)).starts_with("no difference in energy"),
            "A's board has 5 %, too"
        );
        let unknown = other_board(None);
        assert!(
            unknown.starts_with("A takes") && unknown.ends_with("of unknown error have it"),
            "{unknown}"
        );
        let same_board = pair_of(run("A", rows(200, 0.95, 5)), run("B", rows(200, 1.0, 5))).0;
        assert!(same_board.energy.verdict.starts_with("A takes"));
    }

    #[test]
    fn few_right_answers_have_no_interval_of_intelligence() {
        let (pair, _) = pair_of(run("A", rows(30, 1.0, 1)), run("B", rows(30, 1.0, 5)));
        assert_eq!(pair.intelligence_per_joule.ratio_ci95, None);
        assert!(pair.intelligence_per_joule.status.starts_with("3 and 15 right answers"));
        assert!(pair.intelligence_per_joule.ratio.is_some() && pair.energy.ratio_ci95.is_some());
    }

    #[test]
    fn answers_that_were_not_scored_still_compare_in_costs() {
        let unscored = |name| {
            let mut run = run(name, rows(40, 1.0, 5));
            run.rows.iter_mut().for_each(|row| row.query.verdict = Verdict::Unevaluated);
            run
        };
        let report = compare(&[unscored("A"), unscored("B")]).unwrap();
        let pair = report.pair.unwrap();
        assert_eq!((pair.accuracy.pairs, pair.accuracy.a, pair.accuracy.p_value), (0, None, None));
        assert!(pair.energy.ratio_ci95.is_some());
        assert_eq!(pair.intelligence_per_joule.a, None);
        assert_eq!(report.ranking.ranked_by.as_deref(), Some("joules"));
    }

    #[test]
    fn more_runs_are_ranked_and_the_unbeaten_ones_marked() {
        let runs = [
            run("cheap", rows(50, 0.5, 5)),
            run("beaten", rows(50, 1.2, 6)),
            run("good", rows(50, 1.0, 8)),
            run("cheap again", rows(50, 0.5, 5)),
        ];
        let report = compare(&runs).unwrap();
        assert_eq!(report.pair, None);
        let ranking = report.ranking;
        assert_eq!(ranking.ranked_by.as_deref(), Some("intelligence_per_joule"));
        let order: Vec<_> = ranking.runs.iter().map(|run| (run.rank, run.name.as_str())).collect();
        assert_eq!(
            order,
            [(Some(1), "cheap"), (Some(1), "cheap again"), (Some(3), "good"), (Some(4), "beaten")]
        );
        let front: Vec<_> = ranking.runs.iter().map(|run| run.on_pareto_front).collect();
        assert_eq!(front, [Some(true), Some(true), Some(true), Some(false)]);
        assert_eq!(ranking.runs[2].accuracy, Some(0.8));
    }

    #[test]
    fn a_report_comes_back_from_its_json() {
        let report = compare(&[run("A", rows(20, 0.9, 5)), run("B", rows(20, 1.0, 6))]).unwrap();
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<ComparisonReport>(&text).unwrap(), report);
    }

    fn any_rows() -> impl Strategy<Value = Vec<ComparedRow>> {
        let cost =
            || prop::option::weighted(0.9, prop_oneof![9 => 1.0_f64..1e3, 1 => Just(f64::NAN)]);
        let row =
            (any::<bool>(), cost(), cost(), 0..10_u8).prop_map(|(right, joules, seconds, luck)| {
                let mut row = row(0, right, 1.0);
                row.query.basis_joules = joules;
                row.query.seconds = seconds;
                match luck {
                    0 => row.query.status = QueryStatus::Error,
                    1 => row.query.verdict = Verdict::Unevaluated,
                    _ => {}
                }
                row
            });
        prop::collection::vec(row, 12..40).prop_map(|mut rows| {
            for (index, row) in rows.iter_mut().enumerate() {
                row.query.query_index = index as i64;
                row.question = index as u64;
            }
            rows
        })
    }

    fn mirrored(one: Option<[f64; 2]>, other: Option<[f64; 2]>, turn: fn(f64) -> f64) -> bool {
        match (one, other) {
            (Some([low, high]), Some([other_low, other_high])) => {
                let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0);
                near(low, turn(other_high)) && near(high, turn(other_low))
            }
            (one, other) => one == other,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(6))]

        #[test]
        fn swapping_the_runs_turns_every_difference_around(a in any_rows(), b in any_rows()) {
            let (one, other) = (compare(&[run("A", a.clone()), run("B", b.clone())]), compare(&[run("B", b), run("A", a)]));
            let (Ok(one), Ok(other)) = (one, other) else { return Ok(()) };
            let (one, other) = (one.pair.unwrap(), other.pair.unwrap());
            prop_assert_eq!(one.accuracy.p_value, other.accuracy.p_value);
            prop_assert!(mirrored(one.accuracy.difference_ci95, other.accuracy.difference_ci95, |value| -value));
            let figures = |pair: &PairReport| [pair.energy.clone(), pair.latency.clone(), pair.intelligence_per_joule.clone()];
            for (one, other) in figures(&one).iter().zip(figures(&other)) {
                prop_assert_eq!((one.pairs, one.a, one.b), (other.pairs, other.b, other.a));
                prop_assert_eq!(one.difference, other.difference.map(|difference| -difference));
                prop_assert!(mirrored(one.difference_ci95, other.difference_ci95, |value| -value));
                prop_assert!(mirrored(one.ratio_ci95, other.ratio_ci95, |value| 1.0 / value));
                let is_claim = |verdict: &str| !verdict.starts_with("no ") && !verdict.starts_with("not ");
                prop_assert_eq!(is_claim(&one.verdict), is_claim(&other.verdict));
                if is_claim(&one.verdict) {
                    prop_assert_eq!(&one.verdict, &other.verdict);
                }
            }
        }

        #[test]
        fn the_order_of_the_rows_does_not_matter(a in any_rows(), b in any_rows(), seed: u64) {
            let mut shuffled = a.clone();
            fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
            prop_assert_eq!(
                compare(&[run("A", a), run("B", b.clone())]),
                compare(&[run("A", shuffled), run("B", b)])
            );
        }

        #[test]
        fn what_is_not_known_never_becomes_a_number(a in any_rows(), b in any_rows()) {
            let has = |row: &ComparedRow| row.query.status == QueryStatus::Ok && row.query.basis_joules.is_some_and(f64::is_finite);
            let both = a.iter().zip(&b).filter(|(a, b)| has(a) && has(b)).count();
            let Ok(report) = compare(&[run("A", a), run("B", b)]) else { return Ok(()) };
            let energy = report.pair.unwrap().energy;
            prop_assert_eq!((energy.pairs, energy.a.is_none(), energy.ratio.is_none()), (both, both == 0, both == 0));
            prop_assert_eq!(energy.ratio_ci95.is_none(), both < 10);
            prop_assert!(!energy.verdict.contains("NaN"));
        }
    }
}
