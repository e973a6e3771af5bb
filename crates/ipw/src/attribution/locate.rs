//! When a counter's updates were, more closely than the reads that showed them: a counter moves in a
//! rhythm, so that what one read cuts off holds for its neighbours, too.

use super::middle as middle_of;

/// An interval in seconds in which an update was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// It wasn't there yet.
    pub after: f64,
    /// It was there.
    pub before: f64,
}

/// Best guess of an instant, and the standard deviation of its error, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Located {
    /// Seconds.
    pub at: f64,
    /// Seconds.
    pub sd: f64,
}

/// Updates on either side that help to locate one.
const REACH: usize = 24;
/// Of more updates than these, those in the middle tell how steady the rhythm is.
const ENOUGH: usize = 4096;
/// Of a uniform distribution as wide as one.
const UNIFORM: f64 = 0.288_675;
/// No clock is read more exactly.
const LEAST_SD: f64 = 20e-6;

/// Locates each of a counter's updates, in the order of time, that moves about every `period` seconds.
#[must_use]
pub fn locate(seen: &[Seen], period: Option<f64>) -> Vec<Located> {
    let alone: Vec<Seen> = seen.iter().map(|one| narrowed(*one, period)).collect();
    let rhythm = period
        .filter(|period| is_caught(seen, *period))
        .and_then(|period| Rhythm::find(&alone, period));
    match rhythm {
        Some(rhythm) => rhythm.locate(&alone),
        None => alone.iter().map(|one| middle(*one)).collect(),
    }
}

/// A counter that moves more often than it is read was refreshed less than a period before.
fn narrowed(seen: Seen, period: Option<f64>) -> Seen {
    let least = period.map_or(f64::NEG_INFINITY, |period| seen.before - period);
    Seen { after: seen.after.max(least), before: seen.before }
}

fn middle(seen: Seen) -> Located {
    let sd = (UNIFORM * (seen.before - seen.after)).max(LEAST_SD);
    Located { at: f64::midpoint(seen.after, seen.before), sd }
}

/// Whether most updates are seen one by one.
fn is_caught(seen: &[Seen], period: f64) -> bool {
    let caught = seen.iter().filter(|one| one.before - one.after < 0.9 * period).count();
    seen.len() >= 8 && 2 * caught > seen.len()
}

/// Updates that follow each other in a steady period.
struct Rhythm {
    period: f64,
    /// The number of each update, counted in periods.
    numbers: Vec<f64>,
    /// Standard deviation of the updates about the rhythm.
    jitter: f64,
}

impl Rhythm {
    /// `None` if the updates keep to none.
    fn find(seen: &[Seen], period: f64) -> Option<Self> {
        let middles: Vec<f64> = seen.iter().map(|one| middle(*one).at).collect();
        let mut numbers = Vec::with_capacity(seen.len());
        let mut number = 0.0;
        numbers.push(number);
        for pair in middles.windows(2) {
            number += ((pair[1] - pair[0]) / period).round().max(1.0);
            numbers.push(number);
        }
        let period = slope(&numbers, &middles)?;
        let rhythm = Self { period, numbers, jitter: 0.0 };
        let jitter = rhythm.jitter(seen);
        (jitter < 0.2 * period).then_some(Self { jitter, ..rhythm })
    }

    /// How far updates lie outside what their neighbours allow, as the spread that would do that: with
    /// intervals of width w, a spread s puts 0.53 s³/w outside, squared and on average.
    fn jitter(&self, seen: &[Seen]) -> f64 {
        let (mut outside, mut width) = (0.0, 0.0);
        let numbered: Vec<(usize, &Seen)> = seen.iter().enumerate().collect();
        let numbered = middle_of(&numbered, ENOUGH);
        let count = numbered.len() as f64;
        for (index, one) in numbered.iter().copied() {
            let (low, high) = self.agreed(seen, index, (f64::NEG_INFINITY, f64::INFINITY), 0.0);
            let beyond = (one.after - high).max(low - one.before).max(0.0);
            outside += beyond * beyond;
            width += one.before - one.after;
        }
        (outside / count * (width / count) / 0.53).cbrt()
    }

    /// What is left of an interval when its neighbours, moved here and given `slack`, cut it down: as
    /// many of them as agree.
    fn agreed(&self, seen: &[Seen], index: usize, own: (f64, f64), slack: f64) -> (f64, f64) {
        let (mut low, mut high) = own;
        let (mut down, mut up) = (true, true);
        for distance in 1..=REACH {
            for (go, other) in
                [(&mut down, index.checked_sub(distance)), (&mut up, Some(index + distance))]
            {
                let other = other.filter(|other| *other < seen.len());
                let Some(other) = other.filter(|_| *go) else { continue };
                let by = (self.numbers[index] - self.numbers[other]) * self.period;
                let Seen { after, before } = seen[other];
                let cut = (low.max(after + by - slack), high.min(before + by + slack));
                if cut.0 < cut.1 {
                    (low, high) = cut;
                } else {
                    *go = false;
                }
            }
        }
        (low, high)
    }

    fn locate(&self, seen: &[Seen]) -> Vec<Located> {
        let locate = |(index, one): (usize, &Seen)| {
            let (low, high) = self.agreed(seen, index, (one.after, one.before), 2.0 * self.jitter);
            let Located { at, sd } = middle(Seen { after: low, before: high });
            // Neighbours tell where it would be without a jitter of its own.
            Located { at, sd: sd.hypot(self.jitter).min(middle(*one).sd) }
        };
        seen.iter().enumerate().map(locate).collect()
    }
}

/// The slope of a straight line through points.
fn slope(x: &[f64], y: &[f64]) -> Option<f64> {
    let n = x.len() as f64;
    let (mean_x, mean_y) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let both: f64 = x.iter().zip(y).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let own: f64 = x.iter().map(|x| (x - mean_x) * (x - mean_x)).sum();
    (own > 0.0).then(|| both / own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    /// Updates every 100 ms, off by at most `jitter`, as reads about every 47 ms see them; and when they
    /// were.
    fn seen(jitter: f64, rng: &mut Rng) -> (Vec<Seen>, Vec<f64>) {
        let truth: Vec<f64> =
            (0..400).map(|n| f64::from(n) * 0.1 + jitter * (2.0 * rng.f64() - 1.0)).collect();
        let (mut reads, mut time) = (Vec::new(), -0.05);
        while time < 40.1 {
            reads.push(time);
            time += 0.047 * (0.9 + 0.2 * rng.f64());
        }
        let around = |at: &f64| {
            let next = reads.partition_point(|read| read < at);
            Seen { after: reads[next - 1], before: reads[next] }
        };
        (truth.iter().map(around).collect(), truth)
    }

    /// Mean distance in milliseconds, and the share within 1.96 standard deviations.
    fn errors(found: &[Located], truth: &[f64]) -> (f64, f64) {
        let pairs = || found.iter().zip(truth);
        let count = truth.len() as f64;
        let distance: f64 = pairs().map(|(found, truth)| (found.at - truth).abs()).sum();
        let within = pairs().filter(|(found, truth)| (found.at - *truth).abs() <= 1.96 * found.sd);
        (distance / count * 1e3, within.count() as f64 / count)
    }

    #[test]
    fn updates_in_a_steady_rhythm_are_found_to_a_millisecond() {
        let (seen, truth) = seen(0.0, &mut Rng::with_seed(3));
        let (distance, within) = errors(&locate(&seen, Some(0.1)), &truth);
        assert!(distance < 1.0 && within > 0.9, "{distance} ms, {within}");
        let (alone, _) = errors(&locate(&seen, None), &truth);
        assert!(alone > 5.0, "without the rhythm {alone} ms");
    }

    #[test]
    fn updates_that_jitter_are_never_put_outside_what_was_seen() {
        let (seen, truth) = seen(0.005, &mut Rng::with_seed(4));
        let found = locate(&seen, Some(0.1));
        let (distance, within) = errors(&found, &truth);
        assert!(distance < 5.0 && within > 0.85, "{distance} ms, {within}");
        for (found, seen) in found.iter().zip(seen) {
            assert!(seen.after <= found.at && found.at <= seen.before);
        }
    }

    #[test]
    fn a_counter_that_is_read_more_rarely_than_it_moves_was_refreshed_just_before() {
        let read = |n: u32| Seen { after: f64::from(n) - 1.0, before: f64::from(n) };
        let seen: Vec<Seen> = (0..20).map(read).collect();
        let found = locate(&seen, Some(0.001));
        assert!((found[7].at - 6.9995).abs() < 1e-9 && found[7].sd < 0.0003, "{found:?}");
    }

    #[test]
    fn a_single_update_is_in_the_middle_of_where_it_was_seen() {
        let found = locate(&[Seen { after: 3.0, before: 5.0 }], None);
        assert_eq!(found[0].at, 4.0);
        assert!(locate(&[], Some(0.1)).is_empty());
    }
}
