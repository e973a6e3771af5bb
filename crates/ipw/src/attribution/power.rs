//! Power over a window as steps in time, so that a sum over devices whose reads fall at different
//! instants is a sum at each instant, and an average is weighted by time.

use energy_proto::{Nanos, SensorInfo, SensorReading};

use super::energy::{Sampling, Staircase, gap, neighbourhood, power_points};
use super::load::Share;
use super::solved::Solved;
use crate::record::Stats;

/// Constant power from an instant to another.
pub(super) type Step = (Nanos, Nanos, f64);

/// One device's power over a window: as the run's solution has it, or the counter's mean between updates,
/// or, without a counter, half way between power reads. Empty where it isn't known for the whole of the
/// window.
pub(super) fn steps(
    sensor: &SensorInfo,
    reads: &[SensorReading],
    start: Nanos,
    end: Nanos,
    sampling: Sampling,
    solved: Option<&Solved>,
) -> Vec<Step> {
    if let Some(part) = solved.and_then(|all| all.part(start, end)) {
        return part.steps(start, end);
    }
    let reads = neighbourhood(reads, start, end);
    let gap = gap(sensor, sampling.interval);
    // The offset of the clocks moves all steps together, and changes none of them.
    let sampling = Sampling { clock_uncertainty: Default::default(), ..sampling };
    let whole: Vec<Step> = match Staircase::around(sensor, reads, start, end, sampling) {
        Ok(stairs) => stairs.slopes().collect(),
        Err(_) => match power_points(reads, start, end) {
            Ok(points) if points.windows(2).all(|pair| pair[1].0.since(pair[0].0) <= gap) => points
                .windows(2)
                .map(|pair| (pair[0].0, pair[1].0, f64::midpoint(pair[0].1, pair[1].1)))
                .collect(),
            _ => Vec::new(),
        },
    };
    clip(whole, start, end)
}

fn clip(steps: Vec<Step>, start: Nanos, end: Nanos) -> Vec<Step> {
    steps
        .into_iter()
        .map(|(from, to, watts)| (from.max(start), to.min(end), watts))
        .filter(|(from, to, _)| from < to)
        .collect()
}

/// The sum of several devices' powers; empty if one of them isn't known.
pub(super) fn sum(devices: &[Vec<Step>]) -> Vec<Step> {
    if devices.is_empty() || devices.iter().any(Vec::is_empty) {
        return Vec::new();
    }
    let mut cuts: Vec<Nanos> =
        devices.iter().flatten().flat_map(|(from, to, _)| [*from, *to]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let mut cursors = vec![0; devices.len()];
    cuts.windows(2)
        .map(|pair| {
            let watts = devices
                .iter()
                .zip(&mut cursors)
                .map(|(steps, cursor)| {
                    while *cursor + 1 < steps.len() && steps[*cursor].1 <= pair[0] {
                        *cursor += 1;
                    }
                    steps[*cursor].2
                })
                .sum();
            (pair[0], pair[1], watts)
        })
        .collect()
}

/// A query's shares of a power.
pub(super) fn shared(steps: &[Step], shares: &[Share]) -> Vec<Step> {
    let mut next = 0;
    let mut shared = Vec::with_capacity(steps.len());
    for share in shares {
        while next < steps.len() && steps[next].1 <= share.from {
            next += 1;
        }
        let own = steps[next..].iter().take_while(|step| step.0 < share.to);
        shared.extend(own.map(|(from, to, watts)| {
            ((*from).max(share.from), (*to).min(share.to), watts * share.share)
        }));
    }
    shared
}

/// Average and median weighted by time, and the extremes.
pub(super) fn stats(steps: &[Step]) -> Stats {
    let weight = |step: &Step| step.1.since(step.0).as_secs_f64();
    let total: f64 = steps.iter().map(weight).sum();
    if total <= 0.0 {
        return Stats::default();
    }
    let mut sorted: Vec<&Step> = steps.iter().collect();
    sorted.sort_by(|a, b| a.2.total_cmp(&b.2));
    let mut seen = 0.0;
    let median = sorted.iter().find(|step| {
        seen += weight(step);
        seen >= total / 2.0
    });
    Stats {
        avg: Some(steps.iter().map(|step| step.2 * weight(step)).sum::<f64>() / total),
        max: sorted.last().map(|step| step.2),
        median: median.or(sorted.last()).map(|step| step.2),
        min: sorted.first().map(|step| step.2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_taken_at_each_instant() {
        let a = vec![(Nanos(0), Nanos(10), 1.0), (Nanos(10), Nanos(20), 3.0)];
        let b = vec![(Nanos(0), Nanos(15), 10.0), (Nanos(15), Nanos(20), 20.0)];
        assert_eq!(
            sum(&[a, b]),
            [
                (Nanos(0), Nanos(10), 11.0),
                (Nanos(10), Nanos(15), 13.0),
                (Nanos(15), Nanos(20), 23.0)
            ]
        );
    }

    #[test]
    fn a_sum_with_an_unknown_member_is_unknown() {
        assert!(sum(&[vec![(Nanos(0), Nanos(10), 1.0)], vec![]]).is_empty());
        assert_eq!(stats(&sum(&[])), Stats::default());
    }

    #[test]
    fn a_share_of_a_power_is_taken_at_each_instant() {
        let steps = [(Nanos(0), Nanos(20), 100.0), (Nanos(20), Nanos(40), 300.0)];
        let shares = [
            Share { from: Nanos(0), to: Nanos(10), share: 1.0 },
            Share { from: Nanos(10), to: Nanos(40), share: 0.5 },
        ];
        assert_eq!(
            shared(&steps, &shares),
            [
                (Nanos(0), Nanos(10), 100.0),
                (Nanos(10), Nanos(20), 50.0),
                (Nanos(20), Nanos(40), 150.0)
            ]
        );
    }

    #[test]
    fn statistics_are_weighted_by_time() {
        let stats = stats(&[(Nanos(0), Nanos(30), 100.0), (Nanos(30), Nanos(40), 500.0)]);
        assert_eq!(stats.avg, Some(200.0));
        assert_eq!(stats.median, Some(100.0));
        assert_eq!((stats.min, stats.max), (Some(100.0), Some(500.0)));
    }
}
