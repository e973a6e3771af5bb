//! Power over time that is known to the millisecond, and what a counter and its reader see of it: how far
//! attribution is from the truth can be told here and nowhere else.
//!
//! Times in seconds from the start of the trace, energies in joules.

use std::time::Duration;

use energy_proto::{Nanos, SensorInfo, SensorKind, SensorReading, Status};
use fastrand::Rng;
use ipw::attribution::energy::{EnergyEstimate, NoEnergy, Sampling, shared_energy};
use ipw::attribution::fit::Point;
use ipw::attribution::load::{Load, Share};
use ipw::attribution::locate::{Seen, locate};
use ipw::attribution::measure::Window;
use ipw::attribution::solved::Solved;

/// Time step of a trace.
const STEP: f64 = 1e-3;
pub(crate) const IDLE_WATTS: f64 = 90.0;
pub(crate) const PREFILL_WATTS: (f64, f64) = (300.0, 500.0);
pub(crate) const DECODE_WATTS: (f64, f64) = (150.0, 400.0);
/// The part of a query that is prefill.
pub(crate) const PREFILL_SHARE: f64 = 0.15;
/// Up or down from the start of a decode to its end, about its mean.
pub(crate) const SLOPE: f64 = 0.15;
/// Standard deviation of each step's power.
const NOISE: f64 = 0.05;

/// Time between two queries.
pub const PAUSES: (f64, f64) = (0.05, 1.0);
/// The same when one follows at once.
pub const BACK_TO_BACK: (f64, f64) = (0.002, 0.003);

/// A query's times.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "the field's own terms")]
pub struct Query {
    pub start: f64,
    pub first_token: f64,
    pub end: f64,
}

/// A device's power.
#[derive(Debug, Clone)]
pub struct Trace {
    /// What it answered.
    pub queries: Vec<Query>,
    /// Energy since the start, by step.
    energy: Vec<f64>,
}

impl Trace {
    /// Queries of the same length, one after the other: a prefill of 15 % (200 ms at most) and a decode,
    /// each at a power of its own.
    #[must_use]
    pub fn of_queries(count: usize, length: f64, pauses: (f64, f64), rng: &mut Rng) -> Self {
        Self::of(count, length, |end, rng| end + between(pauses, rng), rng)
    }

    /// The same in precise mode: each query is sent 3 to 5 ms after an update of the counter, and the next
    /// one when an update after its end has been seen, within a tenth of a second.
    #[must_use]
    pub fn of_precise_queries(
        count: usize,
        length: f64,
        (phase, period): (f64, f64),
        rng: &mut Rng,
    ) -> Self {
        let next_update = |time: f64| phase + ((time - phase) / period).ceil() * period;
        let next = |end: f64, rng: &mut Rng| {
            let seen = next_update(end) + between((0.0, 0.1), rng);
            next_update(seen) + between((0.003, 0.005), rng)
        };
        Self::of(count, length, next, rng)
    }

    fn of(count: usize, length: f64, next: impl Fn(f64, &mut Rng) -> f64, rng: &mut Rng) -> Self {
        let on_grid = |time: f64| (time / STEP).round() * STEP;
        let (mut queries, mut time) = (Vec::new(), next(2.0, rng));
        for _ in 0..count {
            let start = on_grid(time);
            let prefill = on_grid((PREFILL_SHARE * length).min(0.2)).max(STEP);
            queries.push(Query { start, first_token: start + prefill, end: start + length });
            time = next(start + length, rng);
        }
        let mut power = vec![IDLE_WATTS; steps(0.0, time + 3.0).len()];
        for query in &queries {
            power[steps(query.start, query.first_token)].fill(between(PREFILL_WATTS, rng));
            let (level, slope) =
                (between(DECODE_WATTS, rng), if rng.bool() { SLOPE } else { -SLOPE });
            let decode = &mut power[steps(query.first_token, query.end)];
            let half = decode.len() as f64 / 2.0;
            for (n, power) in decode.iter_mut().enumerate() {
                *power = level * (1.0 + slope * (n as f64 / half - 1.0));
            }
        }
        Self { queries, energy: summed(&power, rng) }
    }

    /// A power that jumps at random times between any two levels and knows nothing of queries, which begin
    /// at random times, too.
    #[must_use]
    pub fn of_random_steps(count: usize, length: f64, rng: &mut Rng) -> Self {
        let seconds = count as f64 * length.max(0.5) + 5.0;
        let mut power = Vec::new();
        while power.len() < steps(0.0, seconds).len() {
            let level = between((IDLE_WATTS, PREFILL_WATTS.1), rng);
            power.resize(power.len() + steps(0.0, between((0.05, 0.5), rng)).len(), level);
        }
        let query = |_| {
            let start = between((1.0, seconds - length - 2.0), rng);
            Query { start, first_token: start + PREFILL_SHARE * length, end: start + length }
        };
        let queries = (0..count).map(query).collect();
        Self { queries, energy: summed(&power, rng) }
    }

    /// The energy that was really taken.
    #[must_use]
    pub fn energy(&self, from: f64, to: f64) -> f64 {
        self.until(to) - self.until(from)
    }

    fn until(&self, time: f64) -> f64 {
        let place = (time / STEP).clamp(0.0, self.energy.len() as f64 - 1.001);
        let before = self.energy[place as usize];
        before + (self.energy[place as usize + 1] - before) * place.fract()
    }

    /// How long it is.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        (self.energy.len() - 1) as f64 * STEP
    }

    /// The requests that make its load, if `queries` are what it follows.
    #[must_use]
    pub fn load(&self) -> Load {
        Load::of(self.queries.iter().map(|query| Window {
            start: nanos(query.start),
            first_token: Some(nanos(query.first_token)),
            end: nanos(query.end),
        }))
    }
}

/// An energy counter and how it is read.
#[derive(Debug, Clone, Copy)]
pub struct Counter {
    /// Time between two refreshes.
    pub period: f64,
    /// How much earlier or later each is at most, as a share of the period.
    pub jitter: f64,
}

/// What reading a counter over a whole trace gave.
#[derive(Debug, Clone)]
pub struct Reads {
    /// Time and value of each read.
    pub values: Vec<(f64, f64)>,
    /// The changes, located.
    points: Vec<Point>,
    /// The same as the monitor would tell of it.
    pub readings: Vec<SensorReading>,
    /// What the monitor would say of it.
    pub sensor: SensorInfo,
}

impl Counter {
    /// A time of its first refresh.
    #[must_use]
    pub fn phase(self, rng: &mut Rng) -> f64 {
        between((0.0, self.period), rng)
    }

    /// Reads it as the monitor does: about every 0.47 of its period, dithered.
    #[must_use]
    pub fn read(self, trace: &Trace, phase: f64, rng: &mut Rng) -> Reads {
        let count = (trace.seconds() / self.period) as usize;
        let off = |rng: &mut Rng| self.jitter * self.period * between((-1.0, 1.0), rng);
        let refreshes: Vec<f64> =
            (0..count).map(|n| (phase + n as f64 * self.period + off(rng)).max(0.0)).collect();
        let (mut seen, mut changes) = (Vec::<Seen>::new(), Vec::<f64>::new());
        let (mut values, mut readings) = (Vec::new(), Vec::new());
        let (mut time, mut last) = (2.0 * self.period, None);
        while time < trace.seconds() {
            let shown = refreshes[refreshes.partition_point(|at| *at <= time).max(1) - 1];
            let value = (trace.until(shown) * 1e3).floor() / 1e3;
            values.push((time, value));
            if let Some((last_time, last_value)) = last
                && last_value != value
            {
                seen.push(Seen { after: last_time, before: time });
                changes.push(value);
            }
            readings.extend(seen.last().map(|seen| reading(time, value, *seen)));
            last = Some((time, value));
            time += 0.47 * self.period * between((0.9, 1.1), rng);
        }
        let base = changes[0];
        let points = locate(&seen, Some(self.period)).into_iter().zip(&changes);
        let points = points.map(|(instant, value)| Point { instant, joules: value - base });
        Reads { sensor: sensor(self.period), points: points.collect(), values, readings }
    }
}

impl Reads {
    /// What the final pass makes of the whole run.
    #[must_use]
    pub fn solved(&self, load: &Load) -> Solved {
        Solved::of(&self.sensor, &self.readings, load, Duration::from_millis(50))
    }

    /// The energy of a final record.
    ///
    /// # Errors
    /// What can't be known is refused.
    pub fn energy(&self, solved: &Solved, from: f64, to: f64) -> Result<EnergyEstimate, NoEnergy> {
        let whole = [Share::whole(nanos(from), nanos(to))];
        shared_energy(&self.sensor, &self.readings, &whole, Sampling::default(), Some(solved))
    }

    /// Straight lines between the changes.
    #[must_use]
    pub fn line(&self, from: f64, to: f64) -> f64 {
        self.on_line(to) - self.on_line(from)
    }

    fn on_line(&self, time: f64) -> f64 {
        let points = &self.points;
        let next =
            points.partition_point(|point| point.instant.at < time).clamp(1, points.len() - 1);
        let (a, b) = (points[next - 1], points[next]);
        a.joules + (b.joules - a.joules) * (time - a.instant.at) / (b.instant.at - a.instant.at)
    }

    /// The difference between the last and the first read inside the window, as the original has it; zero
    /// if there are no two.
    #[must_use]
    pub fn first_and_last(&self, from: f64, to: f64) -> f64 {
        let first = self.values.partition_point(|(time, _)| *time < from);
        let after = self.values.partition_point(|(time, _)| *time <= to);
        if after <= first + 1 { 0.0 } else { self.values[after - 1].1 - self.values[first].1 }
    }
}

fn reading(time: f64, joules: f64, seen: Seen) -> SensorReading {
    SensorReading {
        energy_microjoules: Some((joules * 1e6).round() as u64),
        changed_after: Some(nanos(seen.after)),
        changed_before: Some(nanos(seen.before)),
        ..SensorReading::empty(0, nanos(time), nanos(time), Status::Ok)
    }
}

/// A long run of queries of 400 ms, 70 ms apart, as a counter that moves every 100 ms shows it in so many
/// reads: the queries' windows and the reads.
#[must_use]
pub fn long_run(count: u64) -> (Vec<Window>, SensorInfo, Vec<SensorReading>) {
    const MS: u64 = 1_000_000;
    let (query, round) = (400, 470);
    let microjoules = |ms: u64| {
        let busy = ms / round * query + (ms % round).min(query);
        90_000 * ms + 210_000 * busy
    };
    let mut readings: Vec<SensorReading> = Vec::new();
    for at in (1..=count).map(|n| 47 * n + n % 3) {
        let value = microjoules(at / 100 * 100);
        let last = readings.last();
        let same = last.filter(|last| last.energy_microjoules == Some(value));
        let read = SensorReading::empty(0, Nanos(at * MS), Nanos(at * MS), Status::Ok);
        readings.push(SensorReading {
            energy_microjoules: Some(value),
            changed_after: same.map_or(last.map(|last| last.read_start), |it| it.changed_after),
            changed_before: same.map_or(Some(read.read_end), |it| it.changed_before),
            ..read
        });
    }
    let window = |n: u64| Window {
        start: Nanos(n * round * MS),
        first_token: Some(Nanos((n * round + 50) * MS)),
        end: Nanos((n * round + query) * MS),
    };
    let windows = (1..count * 47 / round - 10).map(window).collect();
    (windows, sensor(0.1), readings)
}

fn sensor(period: f64) -> SensorInfo {
    SensorInfo {
        quantum_microjoules: Some(1_000),
        update_period: Some(Duration::from_secs_f64(period)),
        ..SensorInfo::new(0, SensorKind::Gpu, "simulated")
    }
}

fn nanos(seconds: f64) -> Nanos {
    Nanos((seconds * 1e9).round() as u64)
}

fn steps(from: f64, to: f64) -> std::ops::Range<usize> {
    (from / STEP).round() as usize..(to / STEP).round() as usize
}

fn summed(power: &[f64], rng: &mut Rng) -> Vec<f64> {
    let mut energy = vec![0.0];
    for power in power {
        let joules = power * (1.0 + NOISE * normal(rng)) * STEP;
        energy.push(energy[energy.len() - 1] + joules);
    }
    energy
}

pub(crate) fn between((low, high): (f64, f64), rng: &mut Rng) -> f64 {
    low + (high - low) * rng.f64()
}

/// A normal deviate, by the method of Box and Muller.
fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}
