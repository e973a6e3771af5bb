//! What a difference means, in words that say no more than the queries show.

use super::proportions::Agreement;
use super::report::AccuracyDifference;
use crate::analysis::words::{counted, percent, percent_range, points, probability, three_digits};

/// Below this probability of so uneven a split two accuracies are taken to differ.
const SIGNIFICANT: f64 = 0.05;
/// From so many times as much on it is said in times and not in percent.
const TIMES: f64 = 2.0;

/// How a figure is spoken of: A *takes* less *energy*.
pub(super) struct Words {
    pub(super) noun: &'static str,
    pub(super) verb: &'static str,
    /// Less or fewer.
    pub(super) less: &'static str,
    pub(super) more_is_better: bool,
}

/// What A's figure by B's means that lies in this range, over so many queries. It is told of the better one.
pub(super) fn on_ratio(
    words: &Words,
    [a, b]: [&str; 2],
    pairs: usize,
    [low, high]: [f64; 2],
) -> String {
    let Words { noun, verb, less, more_is_better } = words;
    if low <= 1.0 && 1.0 <= high {
        return format!(
            "no difference in {noun} that {} could show: {a}'s is between {} below and {} above {b}'s",
            counted(pairs, "query", "queries"),
            percent(1.0 - low),
            percent(high - 1.0)
        );
    }
    let is_more = low > 1.0;
    let (better, other) = if is_more == *more_is_better { (a, b) } else { (b, a) };
    // The better one's by the other's.
    let range = if better == a { [low, high] } else { [1.0 / high, 1.0 / low] };
    match range {
        [low, high] if *more_is_better && low >= TIMES => format!(
            "{better} {verb} {} to {} times the {noun} of {other}",
            three_digits(low),
            three_digits(high)
        ),
        [low, high] if *more_is_better => {
            format!(
                "{better} {verb} {} more {noun} than {other}",
                percent_range([low - 1.0, high - 1.0])
            )
        }
        [low, high] => {
            format!(
                "{better} {verb} {} {less} {noun} than {other}",
                percent_range([1.0 - high, 1.0 - low])
            )
        }
    }
}

/// The accuracies of two runs and what their difference means.
pub(super) fn on_accuracy([a, b]: [&str; 2], agreement: Agreement) -> AccuracyDifference {
    let accuracies = agreement.accuracies();
    let difference_ci95 = agreement.difference_ci95();
    let p_value = agreement.p_value();
    let verdict = match (accuracies, difference_ci95, p_value) {
        (Some(accuracies), Some(interval), Some(p)) => {
            accuracy_verdict([a, b], agreement.pairs(), accuracies, interval, p)
        }
        _ => "not compared: no query is scored in both runs".to_owned(),
    };
    AccuracyDifference {
        pairs: agreement.pairs(),
        a: accuracies.map(|[a, _]| a),
        b: accuracies.map(|[_, b]| b),
        difference: accuracies.map(|[a, b]| a - b),
        difference_ci95,
        both: agreement.both,
        only_a: agreement.only_a,
        only_b: agreement.only_b,
        neither: agreement.neither,
        p_value,
        verdict,
    }
}

fn accuracy_verdict(
    [a, b]: [&str; 2],
    pairs: usize,
    [of_a, of_b]: [f64; 2],
    [low, high]: [f64; 2],
    p: f64,
) -> String {
    let queries = counted(pairs, "query", "queries");
    // Both have to say so: the test, and the interval.
    let [by_test, by_interval] = [p < SIGNIFICANT, low > 0.0 || high < 0.0];
    if !(by_test && by_interval) {
        let told = if by_test || by_interval {
            format!(
                "not sure to differ in accuracy over {queries}, since interval and test disagree"
            )
        } else {
            format!("no difference in accuracy that {queries} could show")
        };
        return format!(
            "{told}: {a}'s less {b}'s is between {} and {} points (exact McNemar p {})",
            points(low),
            points(high),
            p_text(p)
        );
    }
    let a_is_better = of_a > of_b;
    let (better, other) = if a_is_better { (a, b) } else { (b, a) };
    let (of_better, of_other) = if a_is_better { (of_a, of_b) } else { (of_b, of_a) };
    let [low, high] = if a_is_better { [low, high] } else { [-high, -low] };
    format!(
        "{better} is right more often than {other}: {} against {} of {queries}, {} to {} points more (exact \
         McNemar p {})",
        percent(of_better),
        percent(of_other),
        points(low).trim_start_matches('+'),
        points(high).trim_start_matches('+'),
        p_text(p)
    )
}

fn p_text(p: f64) -> String {
    match probability(p) {
        small if small.starts_with("under") => small,
        other => format!("= {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENERGY: Words =
        Words { noun: "energy", verb: "takes", less: "less", more_is_better: false };
    const PER_JOULE: Words =
        Words { noun: "intelligence per joule", verb: "gives", less: "less", more_is_better: true };

    #[test]
    fn a_difference_is_told_of_the_better_run() {
        let energy = |range| on_ratio(&ENERGY, ["A", "B"], 200, range);
        assert_eq!(energy([0.82, 0.88]), "A takes 12 to 18 % less energy than B");
        assert_eq!(energy([1.25, 2.0]), "B takes 20 to 50 % less energy than A");
        let intelligence = |range| on_ratio(&PER_JOULE, ["A", "B"], 200, range);
        assert_eq!(
            intelligence([1.12, 1.18]),
            "A gives 12 to 18 % more intelligence per joule than B"
        );
        assert_eq!(
            intelligence([0.1, 0.4]),
            "B gives 2.50 to 10.0 times the intelligence per joule of A"
        );
    }

    #[test]
    fn a_range_that_holds_one_is_no_difference() {
        for range in [[0.97, 1.05], [1.0, 1.05], [0.97, 1.0]] {
            let verdict = on_ratio(&ENERGY, ["A", "B"], 1, range);
            assert!(
                verdict.starts_with("no difference in energy that 1 query could show"),
                "{verdict}"
            );
        }
        let verdict = on_ratio(&ENERGY, ["A", "B"], 200, [0.97, 1.05]);
        assert!(verdict.ends_with("A's is between 3.0 % below and 5.0 % above B's"), "{verdict}");
    }

    #[test]
    fn accuracy_differs_only_if_test_and_interval_say_so() {
        let verdict = |both, only_a, only_b, neither| {
            on_accuracy(["A", "B"], Agreement { both, only_a, only_b, neither }).verdict
        };
        assert!(
            verdict(50, 5, 4, 41)
                .starts_with("no difference in accuracy that 100 queries could show")
        );
        let disagree = verdict(42, 5, 0, 13);
        assert!(
            disagree.starts_with("not sure to differ in accuracy over 60 queries")
                && disagree.contains("is between +0.5 and +16.5 points (exact McNemar p = 0.062)"),
            "{disagree}"
        );
        let a_better = verdict(50, 20, 4, 26);
        assert!(
            a_better
                .starts_with("A is right more often than B: 70.0 % against 54.0 % of 100 queries")
        );
        assert!(a_better.contains("points more (exact McNemar p = 0.002)"), "{a_better}");
        assert_eq!(
            verdict(50, 4, 20, 26),
            a_better.replace("A is", "X is").replace("than B", "than A").replace("X is", "B is")
        );
        assert!(verdict(0, 0, 0, 0).starts_with("not compared"));
    }
}
