//! How time, energy and power go with the tokens: lines, and what a prompt token and a generated token
//! cost.
//!
//! Answers: the content of `analysis/regression.json`. Fits are by least squares, with a robust fit beside
//! where outliers change what is told. It does not know why a query took what it took: a line describes
//! these queries on this server, and nothing beyond the lengths that they had. A figure that isn't
//! determined is `None`; energies of more than one basis are not fitted. Joules and watts are those of the
//! run's energy basis, times are in seconds.

mod energy_model;
mod least_squares;
mod report;
mod robust;
mod rows;
mod sentence;
mod warnings;

use least_squares::Points;
pub use report::{
    EnergyModel, LineFit, RegressionData, RegressionReport, RegressionSummary, Regressions,
    RobustEnergyModel, RobustLine,
};
use robust::Robust;
use rows::OkRows;
pub use rows::RegressionRow;
pub(super) use rows::is_estimated;

use super::stats::mean;

/// Fits a run's queries. The rows may come in any order; each is one query.
#[must_use]
pub fn analyze(model: &str, rows: &[RegressionRow]) -> RegressionReport {
    let rows = OkRows::of(rows);
    let (energy_model, energy_model_status) = match energy_model::fit(&rows) {
        Ok(model) => (Some(model), "ok".to_owned()),
        Err(reason) => (None, reason),
    };
    RegressionReport {
        analysis: "regression".to_owned(),
        summary: RegressionSummary {
            model: model.to_owned(),
            total_samples: rows.rows.len(),
            energy_basis: rows.basis(),
            energy_is_estimated: rows.is_estimated,
        },
        warnings: warnings::warnings(&rows, energy_model.as_ref()),
        data: RegressionData { regressions: regressions(&rows), energy_model, energy_model_status },
    }
}

fn regressions(rows: &OkRows) -> Regressions {
    use RegressionRow as Row;
    let energy = |row: &Row| rows.energy(row);
    let power = |row: &Row| rows.power(row);
    Regressions {
        input_tokens_vs_ttft: line(rows, Row::input, Row::first_token),
        total_tokens_vs_energy: line(rows, Row::total, energy),
        total_tokens_vs_latency: line(rows, Row::total, Row::latency),
        total_tokens_vs_power: line(rows, Row::total, power),
        total_tokens_vs_power_log: line(rows, Row::total_log, power),
        input_tokens_vs_energy: line(rows, Row::input, energy),
        output_tokens_vs_energy: line(rows, Row::output, energy),
        input_tokens_vs_power: line(rows, Row::input, power),
        output_tokens_vs_latency: line(rows, Row::output, Row::latency),
    }
}

/// The line through the rows that have both.
fn line(
    rows: &OkRows,
    x: impl Fn(&RegressionRow) -> Option<f64>,
    y: impl Fn(&RegressionRow) -> Option<f64>,
) -> LineFit {
    let point = |row: &&RegressionRow| Some(([x(row)?], y(row)?));
    let (x, y): (Vec<[f64; 1]>, Vec<f64>) = rows.rows.iter().filter_map(point).unzip();
    let points = Points { x, y };
    let ols = points.ols();
    let robust = ols.as_ref().and_then(|ols| Robust::if_it_differs(&points, ols));
    LineFit {
        count: points.len(),
        slope: ols.as_ref().map(|ols| ols.plane.slopes[0]),
        intercept: ols.as_ref().map(|ols| ols.plane.intercept()),
        r2: ols.as_ref().and_then(|ols| ols.r2),
        avg_y: mean(&points.y),
        slope_ci95: ols.as_ref().and_then(|ols| ols.ci95.slopes[0]),
        robust: robust.map(|robust| RobustLine {
            slope: robust.plane.slopes[0],
            intercept: robust.plane.intercept(),
            slope_ci95: robust.ci95.slopes[0],
            outliers: robust.outliers,
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::record::QueryStatus;

    /// A query that costs 2 J, 1 mJ a prompt token and 50 mJ a generated one, and `off` joules more.
    fn row(input: i64, output: i64, off: f64) -> RegressionRow {
        RegressionRow {
            status: QueryStatus::Ok,
            input_tokens: Some(input),
            cached_tokens: Some(0),
            output_tokens: Some(output),
            total_tokens: Some(input + output),
            basis: Some("gpu".to_owned()),
            energy_method: Some("counter".to_owned()),
            basis_joules: Some(2.0 + 0.001 * input as f64 + 0.05 * output as f64 + off),
            seconds: Some(0.2 + 0.01 * output as f64),
            time_to_first_token_seconds: Some(0.1 + 0.0002 * input as f64),
        }
    }

    fn rows(count: i64, noise: f64) -> Vec<RegressionRow> {
        let mut rng = fastrand::Rng::with_seed(5);
        (0..count)
            .map(|_| row(rng.i64(10..800), rng.i64(1..400), noise * (rng.f64() - 0.5)))
            .collect()
    }

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= 1e-9 * expected.abs().max(1e-3)
    }

    #[test]
    fn exact_rows_give_back_what_they_were_made_from() {
        let report = analyze("m:1b", &rows(100, 0.0));
        let model = report.data.energy_model.as_ref().unwrap();
        assert!(close(model.joules_per_input_token, 0.001), "{model:?}");
        assert!(close(model.joules_per_output_token, 0.05) && close(model.intercept_joules, 2.0));
        assert_eq!((model.count, model.basis.as_deref(), &model.robust), (100, Some("gpu"), &None));
        let lines = &report.data.regressions;
        assert!(close(lines.input_tokens_vs_ttft.slope.unwrap(), 0.0002));
        assert!(close(lines.output_tokens_vs_latency.slope.unwrap(), 0.01));
        assert!(close(lines.output_tokens_vs_latency.intercept.unwrap(), 0.2));
        assert!(close(lines.output_tokens_vs_latency.r2.unwrap(), 1.0));
        assert_eq!(report.data.energy_model_status, "ok");
        assert_eq!(report.warnings, [] as [&str; 0]);
    }

    #[test]
    fn the_report_has_the_names_of_the_contract() {
        let report = serde_json::to_value(analyze("m:1b", &rows(30, 0.0))).unwrap();
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&report), ["analysis", "summary", "warnings", "data"]);
        assert_eq!(
            (&report["analysis"], &report["summary"]["total_samples"]),
            (&json!("regression"), &json!(30))
        );
        let lines = &report["data"]["regressions"];
        assert_eq!(
            names(lines),
            [
                "input_tokens_vs_ttft",
                "total_tokens_vs_energy",
                "total_tokens_vs_latency",
                "total_tokens_vs_power",
                "total_tokens_vs_power_log",
                "input_tokens_vs_energy",
                "output_tokens_vs_energy",
                "input_tokens_vs_power",
                "output_tokens_vs_latency",
            ]
        );
        let fields = ["count", "slope", "intercept", "r2", "avg_y", "slope_ci95"];
        assert_eq!(names(&lines["input_tokens_vs_ttft"]), fields);
        assert!(names(&report["data"]).contains(&"energy_model".to_owned()));
    }

    #[test]
    fn a_report_comes_back_from_its_json() {
        let mut outlier = rows(60, 0.5);
        outlier.push(row(20, 390, 4_000.0));
        for report in [analyze("m", &outlier), analyze("m", &[])] {
            let text = serde_json::to_string(&report).unwrap();
            assert_eq!(serde_json::from_str::<RegressionReport>(&text).unwrap(), report);
        }
    }

    #[test]
    fn fewer_than_two_points_or_one_distinct_x_give_no_line() {
        let lines = |rows: &[RegressionRow]| analyze("m", rows).data.regressions;
        let none = lines(&[]).total_tokens_vs_energy;
        assert_eq!((none.count, none.slope, none.avg_y), (0, None, None));
        let one = lines(&[row(10, 5, 0.0)]).total_tokens_vs_energy;
        assert_eq!(
            (one.count, one.slope, one.intercept, one.r2, one.slope_ci95),
            (1, None, None, None, None)
        );
        assert!(close(one.avg_y.unwrap(), 2.26));
        let alike =
            lines(&[row(10, 5, 0.0), row(10, 5, 1.0), row(10, 5, 2.0)]).total_tokens_vs_energy;
        assert_eq!((alike.count, alike.slope, alike.slope_ci95), (3, None, None));
        assert!(close(alike.avg_y.unwrap(), 3.26));
    }

    #[test]
    fn what_is_missing_or_cannot_be_is_left_out_of_its_fits_alone() {
        let mut some = rows(50, 0.0);
        some[0].basis_joules = None;
        some[1].basis_joules = Some(f64::NAN);
        some[2].basis_joules = Some(-1.0);
        some[3].seconds = Some(f64::INFINITY);
        some[4].output_tokens = None;
        some[4].total_tokens = None;
        some[5].total_tokens = None;
        some[6].status = QueryStatus::Truncated;
        let report = analyze("m", &some);
        let lines = &report.data.regressions;
        assert_eq!(report.summary.total_samples, 49);
        assert_eq!(lines.input_tokens_vs_ttft.count, 49);
        assert_eq!(lines.input_tokens_vs_energy.count, 46);
        assert_eq!(lines.total_tokens_vs_energy.count, 45);
        assert_eq!(lines.input_tokens_vs_power.count, 45);
        assert_eq!(lines.output_tokens_vs_latency.count, 47);
        assert_eq!(report.data.energy_model.unwrap().count, 45);
        assert!(report.warnings[0].starts_with("2 queries have an energy that can't be"));
    }

    #[test]
    fn energies_of_two_bases_are_not_fitted() {
        let mut mixed = rows(50, 0.0);
        mixed[7].basis = Some("cpu".to_owned());
        let report = analyze("m", &mixed);
        assert_eq!(report.data.energy_model, None);
        assert!(report.data.energy_model_status.contains("different bases"));
        let lines = &report.data.regressions;
        for line in [&lines.total_tokens_vs_energy, &lines.input_tokens_vs_power] {
            assert_eq!((line.count, line.slope, line.avg_y), (0, None, None));
        }
        assert!(lines.input_tokens_vs_ttft.slope.is_some());
        assert!(report.warnings[0].contains("cpu, gpu"), "{:?}", report.warnings);
        assert!(report.sentence().starts_with("What a token costs is not known"));
    }

    #[test]
    fn tokens_that_cannot_be_told_apart_have_no_costs_of_their_own() {
        let together: Vec<RegressionRow> = (1..60).map(|i| row(3 * i, 2 * i, 0.0)).collect();
        let report = analyze("m", &together);
        assert_eq!(report.data.energy_model, None);
        assert!(report.data.energy_model_status.contains("rise or fall together"));
        let alike: Vec<RegressionRow> = (1..60).map(|i| row(12, i, 0.0)).collect();
        let status = analyze("m", &alike).data.energy_model_status;
        assert!(status.contains("every query has 12 prompt tokens"), "{status}");
        let few = analyze("m", &rows(3, 0.0)).data.energy_model_status;
        assert!(few.starts_with("3 queries have tokens and energy"), "{few}");
    }

    #[test]
    fn an_outlier_brings_the_robust_fit_and_its_sentence() {
        let mut queries = rows(100, 0.2);
        queries.push(row(20, 399, 5_000.0));
        let report = analyze("m", &queries);
        let model = report.data.energy_model.as_ref().unwrap();
        let robust = model.robust.as_ref().unwrap();
        assert!((robust.joules_per_output_token - 0.05).abs() < 0.001, "{robust:?}");
        assert_eq!(robust.outliers, 1);
        assert!(report.data.regressions.output_tokens_vs_energy.robust.is_some());
        assert_eq!(report.data.regressions.input_tokens_vs_ttft.robust, None);
        assert!(
            report.sentence().contains("1 of the 101 queries lie far off"),
            "{}",
            report.sentence()
        );
    }

    #[test]
    fn the_sentence_says_what_a_token_costs_and_where_that_holds() {
        let sentence = analyze("m", &rows(200, 0.4)).sentence();
        assert!(sentence.starts_with("A generated token costs 50."), "{sentence}");
        assert!(
            sentence.contains("gpu energy, with 95 % intervals over 200 queries"),
            "{sentence}"
        );
        assert!(sentence.contains("costs about as much as"), "{sentence}");
        assert!(sentence.contains("says nothing beyond"), "{sentence}");
        let mut estimated = rows(200, 0.4);
        estimated.iter_mut().for_each(|row| row.energy_method = Some("estimated".to_owned()));
        let report = analyze("m", &estimated);
        assert!(report.sentence().starts_with("ESTIMATED: A generated token"));
        assert!(report.warnings[0].starts_with("ESTIMATED"));
    }

    #[test]
    fn a_cost_within_its_error_is_not_told_as_one() {
        let mut rng = fastrand::Rng::with_seed(9);
        let noise: Vec<RegressionRow> = rows(100, 0.0)
            .into_iter()
            .map(|row| RegressionRow { basis_joules: Some(5.0 + rng.f64()), ..row })
            .collect();
        let sentence = analyze("m", &noise).sentence();
        assert!(
            sentence.contains("a prompt token nothing that can be told from zero"),
            "{sentence}"
        );
        assert!(!sentence.contains("costs about as much as"), "{sentence}");
    }

    #[test]
    fn prompt_tokens_from_the_cache_are_mentioned() {
        let mut cached = rows(40, 0.1);
        cached
            .iter_mut()
            .for_each(|row| row.cached_tokens = row.input_tokens.map(|input| input / 2));
        let warnings = analyze("m", &cached).warnings;
        assert!(
            warnings[0].contains("of the prompt tokens came from the server's cache"),
            "{warnings:?}"
        );
    }

    fn any_row() -> impl Strategy<Value = RegressionRow> {
        let tokens = || prop::option::weighted(0.9, 0_i64..2_000);
        let odd = || prop::sample::select(vec![f64::NAN, f64::INFINITY, -1.0, 0.0, 1e-300, 1e150]);
        let value =
            move || prop::option::weighted(0.9, prop_oneof![9 => 1e-3_f64..1e4, 1 => odd()]);
        (tokens(), tokens(), value(), value(), value()).prop_map(
            |(input, output, joules, seconds, first)| RegressionRow {
                input_tokens: input,
                output_tokens: output,
                total_tokens: None,
                basis_joules: joules,
                seconds,
                time_to_first_token_seconds: first,
                ..row(0, 0, 0.0)
            },
        )
    }

    /// The figures of a report, `None` where it has null.
    fn figures(report: &RegressionReport) -> Vec<Option<f64>> {
        let lines = &report.data.regressions;
        let of_line = |line: &LineFit| [line.slope, line.intercept, line.r2, line.avg_y];
        let model = report.data.energy_model.as_ref();
        [
            &lines.total_tokens_vs_energy,
            &lines.input_tokens_vs_ttft,
            &lines.total_tokens_vs_power_log,
        ]
        .into_iter()
        .flat_map(of_line)
        .chain([model.map(|model| model.joules_per_input_token)])
        .collect()
    }

    fn alike(found: &[Option<f64>], expected: &[Option<f64>]) -> bool {
        found.iter().zip(expected).all(|pair| match pair {
            (Some(found), Some(expected)) => {
                (found - expected).abs() <= 1e-6 * (1.0 + expected.abs())
            }
            (found, expected) => found == expected,
        })
    }

    proptest! {
        #[test]
        fn the_order_of_the_rows_does_not_matter(rows in prop::collection::vec(any_row(), 0..40), seed: u64) {
            // Values beyond all measure have sums whose rounding depends on the order.
            let rows: Vec<RegressionRow> = rows.into_iter().filter(|row| {
                [row.basis_joules, row.seconds, row.time_to_first_token_seconds].iter().flatten().all(|value| {
                    !value.is_normal() || (1e-3..1e4).contains(value)
                })
            }).collect();
            let mut shuffled = rows.clone();
            fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
            let (one, other) = (analyze("m", &rows), analyze("m", &shuffled));
            prop_assert!(alike(&figures(&one), &figures(&other)), "{one:?}\n{other:?}");
        }

        #[test]
        fn what_is_not_known_never_becomes_a_number(rows in prop::collection::vec(any_row(), 0..40)) {
            let report = analyze("m", &rows);
            let has = |value: Option<f64>| value.is_some_and(|value| value.is_finite() && value > 0.0);
            let with_first = rows.iter().filter(|row| {
                row.input_tokens.is_some() && has(row.time_to_first_token_seconds)
            }).count();
            let with_energy = rows.iter().filter(|row| {
                row.input_tokens.is_some() && row.output_tokens.is_some() && has(row.basis_joules)
            }).count();
            let lines = &report.data.regressions;
            prop_assert_eq!(lines.input_tokens_vs_ttft.count, with_first);
            prop_assert_eq!(lines.total_tokens_vs_energy.count, with_energy);
            prop_assert_eq!(lines.total_tokens_vs_energy.avg_y.is_none(), with_energy == 0);
            prop_assert!(figures(&report).iter().flatten().all(|figure| figure.is_finite()));
            prop_assert!(!report.sentence().contains("NaN"));
        }

        #[test]
        fn slopes_follow_the_units(
            joules in prop::collection::vec(1.0_f64..100.0, 12..40), factor in 1e-3_f64..1e3, shift in 0.0_f64..100.0,
        ) {
            let mut rng = fastrand::Rng::with_seed(joules.len() as u64);
            let plain: Vec<RegressionRow> = joules.iter().map(|joules| {
                RegressionRow { basis_joules: Some(*joules), ..row(rng.i64(1..500), rng.i64(1..500), 0.0) }
            }).collect();
            let moved: Vec<RegressionRow> = plain.iter().map(|row| {
                RegressionRow { basis_joules: row.basis_joules.map(|joules| shift + factor * joules), ..row.clone() }
            }).collect();
            let (plain, moved) = (analyze("m", &plain).data, analyze("m", &moved).data);
            let near = |found: f64, expected: f64, size: f64| (found - expected).abs() <= 1e-9 * (expected.abs() + size);
            let (a, b) = (plain.energy_model.unwrap(), moved.energy_model.unwrap());
            let noise = 1e-3 * (shift + 100.0 * factor);
            prop_assert!(near(b.joules_per_output_token, factor * a.joules_per_output_token, noise));
            prop_assert!(near(b.intercept_joules, shift + factor * a.intercept_joules, noise * 1e3));
            let (a, b) = (plain.regressions.total_tokens_vs_energy, moved.regressions.total_tokens_vs_energy);
            prop_assert!(near(b.slope.unwrap(), factor * a.slope.unwrap(), noise));
            prop_assert!(near(b.r2.unwrap(), a.r2.unwrap(), 1.0 + shift / factor));
            // The robust fit is there in both units or in none.
            prop_assert_eq!(a.robust.is_some(), b.robust.is_some());
        }
    }
}
