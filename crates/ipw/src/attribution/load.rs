//! What a server had to do, and when, from all requests of a run: where power is likely to jump, and
//! among how many queries a device is divided at each instant.

use energy_proto::Nanos;

use super::fit::Stretch;
use super::measure::Window;

/// The requests under way at each instant.
#[derive(Debug, Clone, Default)]
pub struct Load {
    changes: Vec<Change>,
}

/// What is under way from an instant on.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Change {
    at: Nanos,
    /// Requests without a first token.
    prefilling: u32,
    /// Requests that have one.
    decoding: u32,
    /// Requests that never get one: refused, or failed on the way.
    failing: u32,
}

impl Change {
    fn active(self) -> u32 {
        self.prefilling + self.decoding + self.failing
    }

    /// Stretches of a kind take about the same power: none at work, only requests that fail, or of each
    /// doubling of the others' number, with a prompt among the work or without.
    fn kind(self) -> usize {
        let without_prompt = usize::from(self.prefilling == 0);
        let working = (self.prefilling + self.decoding).checked_ilog2();
        let idle = usize::from(self.failing > 0);
        working.map_or(idle, |log| 2 + 2 * log as usize + without_prompt)
    }
}

/// A part of a window in which a query's share of a device stays what it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// Its start.
    pub from: Nanos,
    /// Its end.
    pub to: Nanos,
    /// Above 0, up to 1.
    pub share: f64,
}

impl Share {
    /// A window in which the device is the query's own.
    #[must_use]
    pub fn whole(from: Nanos, to: Nanos) -> Self {
        Self { from, to, share: 1.0 }
    }

    /// Seconds of the whole device.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.share * self.to.since(self.from).as_secs_f64()
    }
}

/// Shorter stretches, in seconds, don't matter to any counter.
const LEAST: f64 = 0.2e-3;
/// The most stretches for each step of a counter: more of them cost time and tell nothing.
const MOST: f64 = 16.0;

impl Load {
    /// The load of requests, in any order. One that has no length is none; one without a first token
    /// failed.
    pub fn of(requests: impl IntoIterator<Item = Window>) -> Self {
        let mut steps: Vec<(Nanos, [i64; 3])> = Vec::new();
        for Window { start, first_token, end } in requests {
            if end <= start {
                continue;
            }
            match first_token.map(|at| at.clamp(start, end)) {
                Some(at) => {
                    steps.extend([(start, [1, 0, 0]), (at, [-1, 1, 0]), (end, [0, -1, 0])]);
                }
                None => steps.extend([(start, [0, 0, 1]), (end, [0, 0, -1])]),
            }
        }
        steps.sort_unstable_by_key(|step| step.0);
        let (mut changes, mut counts) = (Vec::<Change>::new(), [0_i64; 3]);
        for (at, step) in steps {
            counts.iter_mut().zip(step).for_each(|(count, step)| *count += step);
            if changes.last().is_some_and(|last| last.at == at) {
                changes.pop();
            }
            let [prefilling, decoding, failing] = counts.map(|n| u32::try_from(n).unwrap_or(0));
            changes.push(Change { at, prefilling, decoding, failing });
        }
        Self { changes }
    }

    /// What is under way at an instant, and the changes after it.
    fn since(&self, at: Nanos) -> (Change, &[Change]) {
        let next = self.changes.partition_point(|change| change.at <= at);
        let none = Change { at, prefilling: 0, decoding: 0, failing: 0 };
        (next.checked_sub(1).map_or(none, |last| self.changes[last]), &self.changes[next..])
    }

    /// A query's share of a device from one instant to another, while it is under way: equal shares for
    /// all that are. Where no load is known, all is its own.
    #[must_use]
    pub fn shares(&self, from: Nanos, to: Nanos) -> Vec<Share> {
        let (now, later) = self.since(from);
        let (mut at, mut active) = (from, now.active().max(1));
        let mut shares = Vec::new();
        let mut push = |from, to, active| {
            shares.push(Share { from, to, share: 1.0 / f64::from(active) });
        };
        for change in later.iter().take_while(|change| change.at < to) {
            let next = change.active().max(1);
            if next != active {
                push(at, change.at, active);
                (at, active) = (change.at, next);
            }
        }
        push(at, to, active);
        shares
    }

    /// The stretches between two instants, in seconds since `origin`, for a counter with so many steps
    /// in that time.
    #[must_use]
    pub fn stretches(&self, origin: Nanos, from: Nanos, to: Nanos, steps: usize) -> Vec<Stretch> {
        let (mut now, later) = self.since(from);
        let end = later.partition_point(|change| change.at < to);
        let seconds = |at: Nanos| at.since(origin).as_secs_f64();
        let spacing = seconds(to).max(0.0) - seconds(from);
        let crowded = end as f64 > MOST * steps as f64;
        let least = if crowded { spacing / (MOST * steps as f64) } else { LEAST };
        let mut stretches = Vec::new();
        let mut start = seconds(from);
        for change in &later[..end] {
            let at = seconds(change.at);
            if at - start >= least {
                stretches.push(Stretch { from: start, to: at, kind: now.kind() });
                start = at;
            }
            now = *change;
        }
        if seconds(to) > start {
            stretches.push(Stretch { from: start, to: seconds(to), kind: now.kind() });
        }
        stretches
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn window(start: u64, first_token: Option<u64>, end: u64) -> Window {
        Window { start: Nanos(start), first_token: first_token.map(Nanos), end: Nanos(end) }
    }

    #[test]
    fn a_device_is_divided_among_the_queries_under_way() {
        let load = Load::of([window(10, Some(20), 40), window(30, None, 50)]);
        let shares = load.shares(Nanos(10), Nanos(40));
        assert_eq!(
            shares,
            [
                Share { from: Nanos(10), to: Nanos(30), share: 1.0 },
                Share { from: Nanos(30), to: Nanos(40), share: 0.5 }
            ]
        );
        assert_eq!(Load::default().shares(Nanos(1), Nanos(9)), [Share::whole(Nanos(1), Nanos(9))]);
    }

    #[test]
    fn stretches_tell_idle_prefill_and_decode_apart_and_follow_each_other() {
        const MS: u64 = 1_000_000;
        let load = Load::of([
            window(10 * MS, Some(20 * MS), 40 * MS),
            window(30 * MS, Some(45 * MS), 50 * MS),
            window(54 * MS, None, 57 * MS),
        ]);
        let stretches = load.stretches(Nanos(0), Nanos(0), Nanos(60 * MS), 4);
        let kinds: Vec<usize> = stretches.iter().map(|stretch| stretch.kind).collect();
        assert_eq!(kinds, [0, 2, 3, 4, 2, 3, 0, 1, 0]);
        assert!(stretches.windows(2).all(|pair| pair[0].to == pair[1].from));
        assert_eq!((stretches[0].from, stretches[8].to), (0.0, 0.06));
    }

    #[test]
    fn a_crowd_of_changes_is_thinned_to_what_a_counter_can_resolve() {
        let crowd = (0..10_000_u64).map(|n| window(n * 100_000, None, n * 100_000 + 90_000_000));
        let stretches = Load::of(crowd).stretches(Nanos(0), Nanos(0), Nanos(1_000_000_000), 10);
        assert!((100..=160).contains(&stretches.len()), "{}", stretches.len());
    }

    proptest! {
        #[test]
        fn shares_of_all_and_idle_time_are_the_whole(
            queries in prop::collection::vec((0_u64..1_000_000, 1_u64..400_000), 1..256)
        ) {
            let windows: Vec<Window> =
                queries.iter().map(|(start, length)| window(*start, None, start + length)).collect();
            let load = Load::of(windows.clone());
            let shared: f64 = windows
                .iter()
                .flat_map(|window| load.shares(window.start, window.end))
                .map(|share| share.seconds())
                .sum();
            let mut busy = 0.0;
            let (mut until, mut sorted) = (Nanos(0), windows);
            sorted.sort_by_key(|window| window.start);
            for window in sorted {
                busy += window.end.since(window.start.max(until)).as_secs_f64();
                until = until.max(window.end);
            }
            prop_assert!((shared - busy).abs() <= 1e-9 * busy, "{shared} {busy}");
        }
    }
}
