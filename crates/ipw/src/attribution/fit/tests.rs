//! On a device whose power is known exactly; `tests/e2e/attribution.rs` has noisy ones and thousands of
//! queries.

use super::*;

/// A device that idles at 50 W and works at 250 W from 1 s to 2 s and from 2.33 s to 3.33 s, seen by a
/// counter that moves every 100 ms, at 20 ms past each tenth of a second.
fn example() -> (Vec<Point>, Vec<Stretch>) {
    let busy = |time: f64| (time - 1.0).clamp(0.0, 1.0) + (time - 2.33).clamp(0.0, 1.0);
    let points = (0..50)
        .map(|n| 0.02 + 0.1 * f64::from(n))
        .map(|at| Point {
            instant: Located { at, sd: 1e-4 },
            joules: 50.0 * (at - 0.02) + 200.0 * busy(at),
        })
        .collect();
    let edges = [0.0, 1.0, 2.0, 2.33, 3.33, 5.0];
    let stretches = edges.windows(2).zip([0, 1, 0, 1, 0]);
    let stretch = |(edge, kind): (&[f64], usize)| Stretch { from: edge[0], to: edge[1], kind };
    (points, stretches.map(stretch).collect())
}

fn between(fit: &Fit, from: f64, to: f64) -> f64 {
    fit.until(to) - fit.until(from)
}

#[test]
fn energy_is_found_where_power_jumps_between_two_updates() {
    let (points, stretches) = example();
    let fit = Fit::solve(points, &stretches, 1e-3).unwrap();
    for (from, to, joules) in [(1.0, 2.0, 250.0), (2.33, 3.33, 250.0), (2.0, 2.33, 16.5)] {
        let found = between(&fit, from, to);
        assert!((found - joules).abs() < 0.01 * joules, "{found} of {joules}");
        let sd = fit.sd(&[(from, to, 1.0)]);
        assert!(sd > 0.0 && sd < 0.05 * joules, "{sd} of {joules}");
    }
}

#[test]
fn parts_add_up_to_the_whole() {
    let (points, stretches) = example();
    let fit = Fit::solve(points, &stretches, 1e-3).unwrap();
    let joules = |from, to| between(&fit, from, to);
    for cut in [1.0, 1.234, 2.5, 3.999] {
        assert!((joules(0.5, cut) + joules(cut, 4.5) - joules(0.5, 4.5)).abs() < 1e-9);
    }
}

#[test]
fn the_time_from_which_is_counted_changes_nothing() {
    let (points, stretches) = example();
    let by = 40_000.0;
    let later = |point: &Point| {
        let instant = Located { at: point.instant.at + by, ..point.instant };
        Point { instant, ..*point }
    };
    let moved: Vec<Stretch> = stretches
        .iter()
        .map(|one| Stretch { from: one.from + by, to: one.to + by, kind: one.kind })
        .collect();
    let there = Fit::solve(points.iter().map(later).collect(), &moved, 1e-3).unwrap();
    let here = Fit::solve(points, &stretches, 1e-3).unwrap();
    for (from, to) in [(1.0, 2.0), (2.33, 3.33), (0.7, 4.1)] {
        let a = between(&here, from, to);
        let b = between(&there, from + by, to + by);
        assert!((a - b).abs() < 1e-4 * a, "{a} {b}");
    }
}

#[test]
fn what_can_not_be_solved_is_refused() {
    let (points, stretches) = example();
    let refused =
        |points: Vec<Point>, stretches: &[Stretch]| Fit::solve(points, stretches, 1e-3).is_none();
    assert!(refused(points[..2].to_vec(), &stretches), "two points");
    assert!(refused(points.clone(), &stretches[1..]), "a time of unknown load");
    let mut gap = stretches.clone();
    gap.remove(2);
    assert!(refused(points.clone(), &gap), "a gap");
    let spoilt = |spoil: fn(&mut Vec<Point>)| {
        let mut points = points.clone();
        spoil(&mut points);
        refused(points, &stretches)
    };
    assert!(spoilt(|points| points[7].joules = points[3].joules), "energy never falls");
    assert!(spoilt(|points| points[7].instant.at = points[6].instant.at), "no time between");
    assert!(spoilt(|points| points[7].joules = f64::NAN), "not a number");
    assert!(spoilt(|points| points.iter_mut().for_each(|point| point.joules = 0.0)), "no energy");
}

#[test]
fn what_is_known_ends_with_the_counters_updates() {
    let (points, stretches) = example();
    let (from, to) = (points[0].instant.at, points[points.len() - 1].instant.at);
    let fit = Fit::solve(points, &stretches, 1e-3).unwrap();
    assert_eq!(fit.span(), (from, to));
    assert_eq!((fit.until(from - 1.0), fit.until(to + 1.0)), (0.0, fit.until(to)));
}
