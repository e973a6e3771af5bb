//! What a sensor is found to be by watching it: how often its value moves, in what steps, and how
//! long a read takes.
//!
//! Pure: it sees reads and no clock. It doesn't find a publication lag (that needs a second
//! instrument), nor a period below twice the distance of the reads that it sees: then every read
//! shows a change, and nothing is claimed. Energy in microjoules.

use std::collections::VecDeque;
use std::time::Duration;

use energy_proto::{Nanos, SensorInfo, SensorReading};

/// Changes that make a period certain enough.
const ENOUGH_CHANGES: usize = 12;
/// Changes that are kept: more add nothing.
const MOST_CHANGES: usize = 64;
/// Reads whose duration is kept.
const MOST_LATENCIES: usize = 512;
/// RAPL counts in fractions of a joule by powers of two, 2^-10 (1 mJ) to 2^-18 (3.8 uJ), which
/// powercap shows rounded to microjoules.
const UNIT_EXPONENTS: std::ops::RangeInclusive<i32> = 10..=18;

/// What was found of a sensor; nothing where it could not be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Character {
    /// Mean time between two changes of its value.
    pub update_period: Option<Duration>,
    /// The greatest step of which all rises of its counter are multiples.
    pub quantum_microjoules: Option<u64>,
    /// Median time of a read.
    pub read_latency_p50: Option<Duration>,
    /// All but one in a hundred reads take no longer.
    pub read_latency_p99: Option<Duration>,
}

impl Character {
    /// Writes what was found into a sensor's description. What is documented of it stays where
    /// nothing was found; a documented step stays in any case, since rises that happen to be multiples
    /// of more prove nothing.
    pub fn describe(&self, info: &mut SensorInfo) {
        info.characterized = self.update_period.is_some();
        info.update_period = self.update_period.or(info.update_period);
        info.quantum_microjoules = info.quantum_microjoules.or(self.quantum_microjoules);
        info.read_latency_p50 = self.read_latency_p50;
        info.read_latency_p99 = self.read_latency_p99;
    }
}

/// Watches the reads of one sensor.
#[derive(Debug)]
pub struct Watch {
    last: Option<(Shown, Nanos)>,
    /// Reads since the last change.
    unchanged: u32,
    changes: VecDeque<Change>,
    latencies: Vec<Duration>,
}

/// What a sensor shows: its counter, or its power where it has none.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shown {
    epoch: u32,
    energy: Option<u64>,
    power: Option<f64>,
}

/// A change of what is shown.
#[derive(Debug, Clone, Copy)]
struct Change {
    /// The middle of the interval in which it happened.
    at: Nanos,
    /// By how much the counter rose, within an epoch.
    rise: Option<u64>,
    /// Whether the read just before still showed the value that was replaced *and* had shown it
    /// before: only then was the change slower than the reads.
    resolved: bool,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            last: None,
            unchanged: 0,
            changes: VecDeque::with_capacity(MOST_CHANGES),
            latencies: Vec::with_capacity(MOST_LATENCIES),
        }
    }
}

impl Watch {
    /// Takes a read. One without figures interrupts what was seen of the rhythm.
    pub fn observe(&mut self, read: &SensorReading) {
        let energy = read.energy_microjoules;
        let power = read.power.map(|power| power.0).filter(|_| energy.is_none());
        if energy.is_none() && power.is_none() {
            self.last = None;
            self.changes.clear();
            return;
        }
        if self.latencies.len() < MOST_LATENCIES {
            self.latencies.push(read.read_end.since(read.read_start));
        }
        let shown = Shown { epoch: read.epoch, energy, power };
        match self.last {
            Some((last, at)) if last != shown => self.changed(last, shown, at, read.read_end),
            Some(_) => self.unchanged += 1,
            None => {}
        }
        self.last = Some((shown, read.read_start));
    }

    fn changed(&mut self, from: Shown, to: Shown, after: Nanos, before: Nanos) {
        if from.epoch != to.epoch {
            self.changes.clear();
        }
        if self.changes.len() == MOST_CHANGES {
            self.changes.pop_front();
        }
        let rise = match (from.energy, to.energy) {
            (Some(from), Some(to)) => to.checked_sub(from),
            _ => None,
        };
        let resolved = std::mem::take(&mut self.unchanged) > 0;
        self.changes.push_back(Change { at: after.midpoint(before), rise, resolved });
    }

    /// Whether watching on would tell nothing new.
    #[must_use]
    pub fn has_seen_enough(&self) -> bool {
        self.changes.len() >= ENOUGH_CHANGES && self.update_period().is_some()
    }

    /// What has been found so far.
    #[must_use]
    pub fn character(&self) -> Character {
        let mut latencies = self.latencies.clone();
        latencies.sort_unstable();
        let at = |share: f64| {
            let index = (latencies.len() as f64 * share) as usize;
            latencies.get(index.min(latencies.len().saturating_sub(1))).copied()
        };
        Character {
            update_period: self.update_period(),
            quantum_microjoules: self.quantum(),
            read_latency_p50: at(0.5),
            read_latency_p99: at(0.99),
        }
    }

    /// The mean time between changes. A change that brought no new value (an idle device) leaves a gap
    /// of several periods, which is counted as so many.
    fn update_period(&self) -> Option<Duration> {
        if self.changes.len() < ENOUGH_CHANGES / 2 {
            return None;
        }
        // The first change follows reads that the watch didn't see.
        let resolved = self.changes.iter().skip(1).filter(|change| change.resolved).count();
        if resolved * 4 < (self.changes.len() - 1) * 3 {
            return None;
        }
        let gaps = || self.changes.iter().zip(self.changes.iter().skip(1));
        let mut sorted: Vec<u64> = gaps().map(|(a, b)| b.at.0.saturating_sub(a.at.0)).collect();
        sorted.sort_unstable();
        let usual = sorted[sorted.len() / 2];
        if usual == 0 {
            return None;
        }
        let periods: u64 =
            sorted.iter().map(|gap| ((*gap as f64 / usual as f64).round() as u64).max(1)).sum();
        let (first, last) = (self.changes.front()?, self.changes.back()?);
        Some(last.at.since(first.at) / u32::try_from(periods).ok()?)
    }

    fn quantum(&self) -> Option<u64> {
        let mut rises: Vec<u64> =
            self.changes.iter().filter_map(|change| change.rise).filter(|rise| *rise > 0).collect();
        rises.sort_unstable();
        rises.dedup();
        // Equal rises of a constant power are multiples of themselves and prove nothing.
        if rises.len() < ENOUGH_CHANGES / 2 {
            return None;
        }
        let divisor = rises.iter().copied().fold(0, greatest_common_divisor);
        if divisor > 1 { Some(divisor) } else { binary_fraction_of_a_joule(&rises).or(Some(1)) }
    }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// The largest 2^-n J of which all rises are multiples, give or take the microjoule to which either
/// end was rounded.
fn binary_fraction_of_a_joule(rises: &[u64]) -> Option<u64> {
    UNIT_EXPONENTS.map(|exponent| 1e6 * 0.5_f64.powi(exponent)).find_map(|unit| {
        let is_multiple = |rise: &u64| {
            let steps = (*rise as f64 / unit).round();
            (*rise as f64 - steps * unit).abs() <= 1.0
        };
        // Below eight microjoules the tolerance would let half of all numbers pass.
        (unit >= 8.0 && rises.iter().all(is_multiple)).then_some(unit.round() as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use energy_proto::{SensorKind, Status, Watts};
    use proptest::prelude::*;

    fn read(at_micros: u64, energy: Option<u64>) -> SensorReading {
        let start = Nanos(at_micros * 1_000);
        let mut read = SensorReading::empty(0, start, start + Duration::from_micros(3), Status::Ok);
        read.energy_microjoules = energy;
        read
    }

    /// Reads of a counter that moves every `period` by `rise(n)`.
    fn watch(period: u64, every: u64, until: u64, rise: impl Fn(u64) -> u64) -> Watch {
        let mut watch = Watch::default();
        let mut shown = (0, 1_000_000_u64);
        let mut at = 10_000_000;
        while at < 10_000_000 + until {
            while shown.0 < at / period {
                shown.0 += 1;
                shown.1 += rise(shown.0);
            }
            watch.observe(&read(at, Some(shown.1)));
            // Not quite regular, as real reads are.
            at += every + at % 7;
        }
        watch
    }

    #[test]
    fn the_period_of_a_staircase_is_found_to_a_hundredth() {
        for period in [10_000, 20_000, 100_000, 106_000] {
            let watch = watch(period, 3_000, 2_000_000, |n| 30_000_000 + n % 17 * 1_000);
            let found = watch.character().update_period.unwrap().as_secs_f64() * 1e6;
            assert!((found / period as f64 - 1.0).abs() < 0.01, "{found} of {period}");
            assert!(watch.has_seen_enough());
        }
    }

    #[test]
    fn a_counter_that_moves_at_every_read_has_no_period_that_could_be_told() {
        let watch = watch(1_000, 3_000, 500_000, |n| 5_000 + n % 13);
        assert_eq!(watch.character().update_period, None);
        assert!(!watch.has_seen_enough());
    }

    #[test]
    fn updates_without_a_new_value_do_not_lengthen_the_period() {
        let watch = watch(20_000, 3_000, 2_000_000, |n| if n % 5 == 0 { 0 } else { 7_000 + n });
        let found = watch.character().update_period.unwrap();
        assert!((found.as_secs_f64() / 0.02 - 1.0).abs() < 0.02, "{found:?}");
    }

    #[test]
    fn the_step_of_a_counter_in_millijoules_is_found() {
        let watch = watch(20_000, 5_000, 2_000_000, |n| 1_000 * (300 + n * n % 97));
        assert_eq!(watch.character().quantum_microjoules, Some(1_000));
    }

    #[test]
    fn the_unit_of_rapl_is_found_through_the_rounding_to_microjoules() {
        for (exponent, unit) in [(14, 61), (16, 15)] {
            let mut watch = Watch::default();
            let joules = |count: u64| (count as f64 * 1e6 * 0.5_f64.powi(exponent)) as u64;
            let mut count = 123_457;
            for n in 0..40 {
                count += 500 + n * n % 91;
                watch.observe(&read(1_000_000 + n * 1_000, Some(joules(count))));
                watch.observe(&read(1_000_500 + n * 1_000, Some(joules(count))));
            }
            assert_eq!(watch.character().quantum_microjoules, Some(unit));
        }
    }

    #[test]
    fn equal_rises_prove_no_step_and_a_documented_one_stays() {
        let watch = watch(100_000, 5_000, 2_000_000, |_| 30_000_000);
        assert_eq!(watch.character().quantum_microjoules, None);
        let mut info = SensorInfo {
            quantum_microjoules: Some(1_000),
            ..SensorInfo::new(0, SensorKind::Gpu, "nvml")
        };
        watch.character().describe(&mut info);
        assert_eq!(info.quantum_microjoules, Some(1_000));
        assert!(info.characterized && info.read_latency_p50 == Some(Duration::from_micros(3)));
    }

    #[test]
    fn power_alone_has_a_period_and_no_step() {
        let mut watch = Watch::default();
        for n in 0..300_u64 {
            let at = 1_000_000 + n * 5_000;
            let power = Some(Watts((at / 50_000 % 3) as f64));
            watch.observe(&SensorReading { power, ..read(at, None) });
        }
        let character = watch.character();
        let found = character.update_period.unwrap().as_secs_f64();
        assert!((found / 0.05 - 1.0).abs() < 0.02, "{found}");
        assert_eq!(character.quantum_microjoules, None);
    }

    #[test]
    fn what_does_not_move_has_no_period_and_keeps_a_documented_one() {
        let watch = watch(100_000, 5_000, 2_000_000, |_| 0);
        let documented = Some(Duration::from_micros(976));
        let mut info = SensorInfo {
            update_period: documented,
            ..SensorInfo::new(0, SensorKind::CpuPackage, "rapl_perf")
        };
        watch.character().describe(&mut info);
        assert_eq!((info.update_period, info.characterized), (documented, false));
    }

    #[test]
    fn a_new_epoch_begins_the_rhythm_anew() {
        let mut watch = watch(20_000, 5_000, 1_000_000, |n| 9_000 + n);
        assert!(watch.has_seen_enough());
        let mut restarted = read(90_000_000, Some(5));
        restarted.epoch = 1;
        watch.observe(&restarted);
        assert!(!watch.has_seen_enough());
    }

    proptest! {
        #[test]
        fn no_sequence_of_reads_makes_it_panic(
            reads in proptest::collection::vec((0_u64..1 << 40, proptest::option::of(0_u64..), 0_u32..3), 0..200),
        ) {
            let mut watch = Watch::default();
            for (at, energy, epoch) in reads {
                let mut read = read(at, energy);
                read.epoch = epoch;
                watch.observe(&read);
                let _ = watch.has_seen_enough();
            }
            let _ = watch.character();
        }
    }
}
