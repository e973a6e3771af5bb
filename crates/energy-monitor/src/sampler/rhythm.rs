//! The rhythm in which a counter behind a driver is read.
//!
//! A read period that divides the refresh period never learns when the refresh falls: reading a 100 ms
//! counter every 50 ms costs half of the accuracy, every 47 ms is as good as every 2 ms. So the period
//! is 0.47 of the counter's own, and each read is dithered by a tenth. Reading much faster than a
//! counter moves makes some consumer cards lose energy (Dauner et al., HotCarbon'26).
//!
//! Pure: the present time and the dice are passed in.

use std::time::Duration;

use energy_proto::{Nanos, SensorReading};

/// Share of the update period between two reads: no small fraction.
const SHARE: f64 = 0.47;
/// How far a read is moved at random, as a share of the period, either way.
const DITHER: f64 = 0.1;
/// The first distance of reads in a search: a quarter of what most counters take for an update.
const FIRST_SEARCH: Duration = Duration::from_millis(24);
/// New values in a row that show that reads are too far apart to tell the period.
const LONGEST_STREAK: u32 = 4;
/// A driver that doesn't bear to be asked often is asked at least so often.
const SLOWEST: Duration = Duration::from_millis(500);
/// The update period of a sensor that hasn't been seen to move.
const USUAL_UPDATE: Duration = Duration::from_millis(100);

/// A lane's rhythm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rhythm {
    period: Duration,
}

impl Rhythm {
    /// The rhythm for sensors of which the quickest moves every `update`. A subscriber sees no more
    /// than a read each sampling interval, so slow sampling reads slowly too.
    pub(super) fn of(update: Option<Duration>, interval: Duration, closest: Duration) -> Self {
        let update = update.unwrap_or(USUAL_UPDATE).max(interval);
        Self { period: update.mul_f64(SHARE).max(closest) }
    }

    /// Half as slow again as this, up to half a second.
    pub(super) fn slower_than(period: Duration) -> Self {
        Self { period: (period * 3 / 2).min(SLOWEST.max(period)) }
    }

    /// The same with no more than `longest` between two reads: a counter could wrap unseen.
    pub(super) fn at_most(self, longest: Option<Duration>) -> Self {
        let longest = longest.map(|longest| longest.mul_f64(1.0 - DITHER));
        Self { period: longest.map_or(self.period, |longest| self.period.min(longest)) }
    }

    /// Mean time between two reads.
    pub(super) fn period(self) -> Duration {
        self.period
    }

    /// When to read next, after a read that was due at `due`; `dice` is from 0 to 1. A read that is
    /// late already isn't made up for.
    pub(super) fn next(self, due: Nanos, now: Nanos, dice: f64) -> Nanos {
        let step = self.period.mul_f64(1.0 - DITHER + 2.0 * DITHER * dice);
        let next = due + step;
        if next > now { next } else { now + step }
    }
}

/// How fast to read while it isn't known yet how often the sensors move: slowly at first, and twice as
/// fast whenever one shows a new value at each read, since reading much faster than a counter moves may
/// cost it energy.
#[derive(Debug)]
pub(super) struct Search {
    period: Duration,
    closest: Duration,
    /// For each sensor, the reads in a row that showed a new value.
    streaks: Vec<u32>,
}

impl Search {
    pub(super) fn new(closest: Duration) -> Self {
        Self { period: FIRST_SEARCH.max(closest), closest, streaks: Vec::new() }
    }

    /// Takes a read of all sensors.
    pub(super) fn note(&mut self, readings: &[SensorReading]) {
        self.streaks.resize(readings.len(), 0);
        for (streak, reading) in self.streaks.iter_mut().zip(readings) {
            let is_new = reading.energy_microjoules.is_some()
                && reading.changed_before == Some(reading.read_end);
            *streak = if is_new { *streak + 1 } else { 0 };
        }
        if self.streaks.iter().any(|streak| *streak >= LONGEST_STREAK) {
            self.period = (self.period / 2).max(self.closest);
            self.streaks.fill(0);
        }
    }

    pub(super) fn rhythm(&self) -> Rhythm {
        Rhythm { period: self.period.mul_f64(1.0 + DITHER) }
    }
}

/// Puts sources together that may be read together: none is read more often than half as much again
/// as its own period asks for. Returns the places of each group's members; those of which no period is
/// known come first.
pub(super) fn groups(periods: &[Option<Duration>]) -> Vec<Vec<usize>> {
    let mut places: Vec<usize> = (0..periods.len()).collect();
    places.sort_by_key(|place| periods[*place]);
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for place in places {
        let fits = |group: &Vec<usize>| match (periods[group[0]], periods[place]) {
            (Some(shortest), Some(period)) => period <= shortest.mul_f64(1.5),
            (shortest, period) => shortest == period,
        };
        match groups.last_mut().filter(|group| fits(group)) {
            Some(group) => group.push(place),
            None => groups.push(vec![place]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSEST: Duration = Duration::from_millis(4);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_counter_is_read_a_little_more_than_twice_in_its_period() {
        let rhythm = |update, interval| Rhythm::of(update, ms(interval), CLOSEST).period();
        assert_eq!(rhythm(Some(ms(100)), 50), ms(47));
        assert_eq!(rhythm(Some(ms(100)), 1), ms(47), "a fast tick doesn't read it faster");
        assert_eq!(rhythm(None, 1), ms(47));
        assert_eq!(rhythm(Some(ms(20)), 1), Duration::from_micros(9_400));
        assert_eq!(rhythm(Some(ms(5)), 1), CLOSEST, "never faster than is safe");
        assert_eq!(rhythm(Some(ms(100)), 1_000), ms(470));
        let slow = Rhythm::of(None, ms(60_000), CLOSEST).at_most(Some(ms(10_000)));
        assert!(slow.next(Nanos(0), Nanos(0), 1.0) <= Nanos(10_000_000_000), "before it wraps");
    }

    #[test]
    fn reads_are_spread_around_the_period_and_never_closer_than_is_safe() {
        let at = Nanos(1_000_000_000);
        let usual = Rhythm::of(Some(ms(100)), ms(50), CLOSEST);
        let steps = [0.0, 0.5, 1.0].map(|dice| usual.next(at, at, dice).since(at));
        assert!(steps[0] < ms(43) && steps[2] > ms(51), "{steps:?}");
        assert!(steps[1].abs_diff(ms(47)) < Duration::from_micros(1));
    }

    #[test]
    fn a_late_read_does_not_move_the_rhythm_and_a_missed_one_is_not_made_up_for() {
        let rhythm = Rhythm::of(Some(ms(100)), ms(50), CLOSEST);
        let due = Nanos(1_000_000_000);
        assert_eq!(rhythm.next(due, due + ms(5), 0.5), rhythm.next(due, due, 0.5));
        let hung = due + ms(500);
        assert!(rhythm.next(due, hung, 0.5) > hung);
    }

    #[test]
    fn the_reads_of_a_second_fall_on_all_phases_of_the_refresh() {
        let rhythm = Rhythm::of(Some(ms(100)), ms(50), CLOSEST);
        let mut due = Nanos(0);
        let mut phases = [0; 10];
        for n in 0..400_u64 {
            // A poor man's dice, without a pattern of two or five.
            due = rhythm.next(due, due, (n * 617 % 1_000) as f64 / 1_000.0);
            phases[(due.0 / 10_000_000 % 10) as usize] += 1;
        }
        assert!(phases.iter().all(|hits| *hits > 20), "{phases:?}");
    }

    #[test]
    fn sources_of_like_periods_are_read_together_and_slow_ones_not_with_fast_ones() {
        let periods = [100, 20, 102, 0, 98, 21].map(|millis| (millis > 0).then(|| ms(millis)));
        assert_eq!(groups(&periods), [vec![3], vec![1, 5], vec![4, 0, 2]]);
        assert_eq!(groups(&[]), Vec::<Vec<usize>>::new());
    }

    #[test]
    fn a_search_becomes_faster_only_while_every_read_shows_a_new_value() {
        let mut search = Search::new(CLOSEST);
        let read = |at: u64, is_new: bool| {
            let at = Nanos(at);
            let mut read = SensorReading::empty(0, at, at, energy_proto::Status::Ok);
            read.energy_microjoules = Some(at.0);
            read.changed_before = Some(if is_new { at } else { Nanos(0) });
            [read]
        };
        for n in 1..40 {
            search.note(&read(n, n % 4 != 0));
        }
        assert_eq!(search.period, FIRST_SEARCH, "it is resolved");
        for n in 1..40 {
            search.note(&read(n, true));
        }
        assert_eq!(search.period, CLOSEST);
        let at = Nanos(1_000_000_000);
        assert!(search.rhythm().next(at, at, 0.0).since(at) >= CLOSEST.mul_f64(0.98));
    }
}
