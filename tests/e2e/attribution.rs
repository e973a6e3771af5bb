//! How far attribution is from a truth that is known: `cargo xtask bench attribution` measures the same on
//! more queries.

use e2e::simulated::{BACK_TO_BACK, Counter, PAUSES, Trace};
use fastrand::Rng;

/// Over several phases of the counter, in percent of the truth.
struct Errors {
    mean: f64,
    bias: f64,
    line: f64,
    /// Share of the truths inside the 95 % interval.
    within: f64,
}

fn errors(period: f64, jitter: f64, length: f64, pauses: (f64, f64)) -> Errors {
    let mut rng = Rng::with_seed(5);
    let (mut sizes, mut signed, mut lines, mut within, mut count) = (0.0, 0.0, 0.0, 0_u32, 0_u32);
    for _phase in 0..6 {
        let counter = Counter { period, jitter };
        let phase = counter.phase(&mut rng);
        let trace = Trace::of_queries(120, length, pauses, &mut rng);
        let reads = counter.read(&trace, phase, &mut rng);
        let solved = reads.solved(&trace.load());
        for query in &trace.queries {
            let truth = trace.energy(query.start, query.end);
            let found = reads.energy(&solved, query.start, query.end).expect("it is told");
            let off = found.energy.0 - truth;
            assert!(found.lower.0 <= truth && truth <= found.upper.0, "{truth} {found:?}");
            sizes += (off / truth).abs();
            signed += off / truth;
            lines += ((reads.line(query.start, query.end) - truth) / truth).abs();
            within += u32::from(off.abs() <= found.ci95().expect("it is solved").0);
            count += 1;
        }
    }
    let percent = |sum: f64| 100.0 * sum / f64::from(count);
    Errors {
        mean: percent(sizes),
        bias: percent(signed),
        line: percent(lines),
        within: percent(f64::from(within)),
    }
}

#[track_caller]
fn assert_at_most(limit: f64, Errors { mean, bias, line, within }: &Errors) {
    let figures = format!("mean {mean} %, bias {bias} %, line {line} %, {within} % within");
    assert!(*mean <= limit && mean < line && bias.abs() <= limit / 3.0, "{figures}");
    assert!((90.0..=99.5).contains(within), "{figures}");
}

#[test]
fn queries_with_pauses_are_found_although_they_are_shorter_than_the_counters_steps() {
    assert_at_most(0.3, &errors(0.1, 0.0, 1.0, PAUSES));
    assert_at_most(1.2, &errors(0.1, 0.0, 0.3, PAUSES));
    assert_at_most(1.0, &errors(0.1, 0.0, 0.1, PAUSES));
}

#[test]
fn queries_back_to_back_are_told_from_each_other() {
    assert_at_most(0.4, &errors(0.1, 0.0, 1.0, BACK_TO_BACK));
    assert_at_most(2.0, &errors(0.1, 0.0, 0.3, BACK_TO_BACK));
}

#[test]
fn slower_faster_and_unsteady_counters_do_as_well_as_they_can() {
    assert_at_most(1.0, &errors(0.2, 0.0, 1.0, PAUSES));
    assert_at_most(0.2, &errors(0.02, 0.0, 1.0, PAUSES));
    assert_at_most(0.45, &errors(0.1, 0.05, 1.0, PAUSES));
}
