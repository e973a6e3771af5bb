//! What a figure came to, held against its target, and the table of all figures. Pure.
//!
//! A figure without a target is there to judge the others by. What isn't known misses its target.

use comfy_table::{Cell, CellAlignment, Table, presets};
use ipw::analysis::stats::summarize;
use ipw::record::Stats;

/// Whether a target was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Reached.
    Pass,
    /// Missed, or not known.
    Fail,
    /// There was none.
    NotJudged,
}

impl Verdict {
    pub(crate) fn of(reached: bool) -> Self {
        if reached { Self::Pass } else { Self::Fail }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "FAIL",
            Self::NotJudged => "",
        }
    }
}

/// What is promised of a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    /// So much or less.
    AtMost(f64),
    /// So much or more.
    AtLeast(f64),
    /// Nothing.
    None,
}

impl Target {
    fn verdict(self, value: Option<f64>) -> Verdict {
        match self {
            Self::AtMost(most) => Verdict::of(value.is_some_and(|value| value <= most)),
            Self::AtLeast(least) => Verdict::of(value.is_some_and(|value| value >= least)),
            Self::None => Verdict::NotJudged,
        }
    }

    fn words(self, unit: &str) -> String {
        match self {
            Self::AtMost(most) => format!("<= {most} {unit}"),
            Self::AtLeast(least) => format!(">= {least} {unit}"),
            Self::None => String::new(),
        }
    }
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    figure: String,
    target: String,
    measured: String,
    verdict: Verdict,
    others_pct: Option<f64>,
}

impl Finding {
    /// A figure of one value a round: the median counts, and may be `at_most` so much.
    pub(crate) fn median(figure: &str, unit: &str, at_most: Option<f64>, rounds: &[f64]) -> Self {
        Self::of(figure, unit, at_most.map_or(Target::None, Target::AtMost), rounds)
    }

    /// A figure of one value a round, whose median is held against the target.
    pub(crate) fn of(figure: &str, unit: &str, target: Target, rounds: &[f64]) -> Self {
        let over_rounds = summarize(rounds);
        let verdict = target.verdict(over_rounds.median);
        Self::stated(figure, target.words(unit), median_and_extremes(&over_rounds, unit), verdict)
    }

    /// A figure that is put in the caller's own words.
    pub(crate) fn stated(figure: &str, target: String, measured: String, verdict: Verdict) -> Self {
        Self { figure: figure.to_owned(), target, measured, verdict, others_pct: None }
    }

    /// A figure whose measuring failed.
    pub(crate) fn failed(figure: &str) -> Self {
        Self::stated(figure, "measured".to_owned(), "failed".to_owned(), Verdict::Fail)
    }

    /// The same with the share of all cores that other programs took meanwhile, in percent.
    pub(crate) fn beside_others(self, pct: f64) -> Self {
        Self { others_pct: Some(pct), ..self }
    }

    pub(crate) fn is_missed(&self) -> bool {
        self.verdict == Verdict::Fail
    }
}

fn median_and_extremes(over_rounds: &Stats, unit: &str) -> String {
    match (over_rounds.median, over_rounds.min, over_rounds.max) {
        (Some(median), Some(min), Some(max)) => {
            format!("{} {unit} ({}..{})", shown(median), shown(min), shown(max))
        }
        _ => "unknown".to_owned(),
    }
}

/// Three digits that tell something.
pub(crate) fn shown(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.9995 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

/// All findings.
pub(crate) fn table(findings: &[Finding]) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["figure", "target", "median (min..max)", "others' CPU", ""]);
    for finding in findings {
        let others = finding.others_pct.map_or(String::new(), |pct| format!("{pct:.0} %"));
        table.add_row([
            Cell::new(&finding.figure),
            Cell::new(&finding.target),
            Cell::new(&finding.measured),
            Cell::new(others).set_alignment(CellAlignment::Right),
            Cell::new(finding.verdict.word()),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn median(at_most: Option<f64>, rounds: &[f64]) -> Finding {
        Finding::median("x", "ms", at_most, rounds)
    }

    #[test]
    fn the_median_decides_and_a_value_at_the_limit_passes() {
        let rounds = [9.0, 2.0, 1.0];
        assert!(!median(Some(2.0), &rounds).is_missed());
        assert!(median(Some(1.9), &rounds).is_missed());
        assert_eq!(median(None, &rounds).measured, "2.00 ms (1.00..9.00)");
    }

    #[test]
    fn a_target_may_be_the_least_that_is_enough() {
        let rate = |rounds: &[f64]| Finding::of("x", "/s", Target::AtLeast(995.0), rounds);
        assert!(!rate(&[900.0, 995.0, 1_000.0]).is_missed());
        assert!(rate(&[900.0, 994.9, 1_000.0]).is_missed());
        assert!(rate(&[]).is_missed());
        assert_eq!(rate(&[995.0]).target, ">= 995 /s");
    }

    #[test]
    fn what_is_not_known_misses_its_target_and_shows_no_number() {
        for rounds in [&[][..], &[1.0, f64::NAN]] {
            let unknown = median(Some(2.0), rounds);
            assert!(unknown.is_missed());
            assert_eq!(unknown.measured, "unknown");
        }
        assert!(!median(None, &[]).is_missed());
    }

    #[test]
    fn three_digits_are_shown_whatever_the_size() {
        let sizes = [(0.0421, "0.042"), (-1.234, "-1.23"), (9.996, "10.0"), (123.4, "123")];
        for (value, text) in sizes {
            assert_eq!(shown(value), text);
        }
    }

    #[test]
    fn the_table_has_a_line_for_each_finding_with_its_verdict() {
        let text =
            table(&[median(Some(2.0), &[1.0]).beside_others(12.4), median(Some(2.0), &[3.0])]);
        for part in ["<= 2 ms", "1.00 ms (1.00..1.00)", "12 %", "pass", "FAIL"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }
}
