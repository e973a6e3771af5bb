//! Power as steps between the times at which load changes, solved from a whole run at once.
//!
//! What is known: between two updates of a counter the energy is exactly what the counter says; power
//! jumps where a query starts, has its first token and ends, and hardly elsewhere; stretches of a kind
//! (idle, prefill, decode) are like each other. That is a linear model with normal noise: unknown are
//! the power of each piece of time and how far each update was from where it is taken to be. Its
//! parameters (mean and spread of each kind, and how much power wanders within a stretch) are those
//! that make the run most likely, found by expectation and maximisation.

use super::envelope::{Envelope, Factors};
use super::locate::Located;
use super::middle;

/// A change of the counter, in joules since the first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// When it was.
    pub instant: Located,
    /// The energy counted since the first.
    pub joules: f64,
}

/// A stretch of time in which the load stays what it is; stretches follow each other without a gap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    /// Seconds.
    pub from: f64,
    /// Seconds.
    pub to: f64,
    /// Those of a kind are expected to take about the same power. Kinds count from zero.
    pub kind: usize,
}

/// Rounds of expectation and maximisation.
const ROUNDS: usize = 12;
/// Of more points than these, the parameters are learnt from the middle: more would cost time and change
/// little.
const LEARNING: usize = 2048;
/// A stretch that is shorter than this share of the counter's step is one piece: how its power changes
/// meanwhile doesn't matter.
const SHORT: f64 = 0.25;
/// What an interval's energy may differ by from that of steps: power isn't quite constant in a piece.
const NOISE: f64 = 0.001;
/// Steps between pieces, as a share of the mean, from which on pieces are cut shorter; and how short, in
/// steps of the counter.
const RESTLESS: f64 = 0.12;
const RESTLESS_PIECE: f64 = 0.34;
/// Intervals from which something can be told.
const ENOUGH: usize = 8;
/// How far the run may correct the model's own idea of its errors.
const LEAST_SCALE: f64 = 0.7;
const MOST_SCALE: f64 = 5.0;
/// The least spread, in watts and as a share of the mean: more certainty than this isn't believed.
const LEAST_SPREAD: (f64, f64) = (0.5, 0.01);
const LEAST_WANDERING: (f64, f64) = (0.2, 0.004);

#[derive(Debug, Clone, Copy)]
struct Piece {
    from: f64,
    to: f64,
    kind: usize,
    /// Whether a stretch begins with it.
    begins: bool,
    /// Its number among the unknowns.
    unknown: usize,
}

impl Piece {
    fn overlap(&self, from: f64, to: f64) -> f64 {
        (self.to.min(to) - self.from.max(from)).max(0.0)
    }
}

/// What is expected of a kind of stretch, in watts.
#[derive(Debug, Clone, Copy)]
struct Kind {
    mean: f64,
    spread: f64,
    /// Standard deviation of the step from a piece to the next within a stretch.
    wandering: f64,
}

impl Kind {
    /// Whether power changes so much from piece to piece that it will within one, too.
    fn is_restless(&self) -> bool {
        self.wandering > RESTLESS * self.mean.abs()
    }

    /// The weight of its mean in what the power of a stretch is taken to be.
    fn weight(&self) -> f64 {
        1.0 / (self.spread * self.spread)
    }
}

/// A run's power.
#[derive(Debug, Clone)]
pub struct Fit {
    points: Vec<Point>,
    /// Numbers of the points' shifts among the unknowns.
    shifts: Vec<usize>,
    /// Power at each point, in watts.
    at_points: Vec<f64>,
    pieces: Vec<Piece>,
    /// Power of each piece, in watts.
    powers: Vec<f64>,
    /// Joules from the first point to each piece's start, and to the last one's end.
    cumulative: Vec<f64>,
    /// At each point, those joules, and what the counter and the point's own shift say they are. Each
    /// interval's noise is small, but over a run their sum isn't: power is scaled to what is between.
    anchors: Vec<(f64, f64)>,
    covariance: Envelope,
    means: Means,
    scale: f64,
}

impl Fit {
    /// Solves for the power between the first point and the last, with a counter whose smallest step is
    /// `quantum` joules. `None` if points or stretches are no time and energy that go on without a gap,
    /// or if there are fewer than three points.
    #[must_use]
    pub fn solve(points: Vec<Point>, stretches: &[Stretch], quantum: f64) -> Option<Self> {
        let (first, last) = (points.first()?, points.last()?);
        if points.len() < 3 || !rise(&points) {
            return None;
        }
        let (from, to) = (first.instant.at, last.instant.at);
        if !cover(stretches, from, to) {
            return None;
        }
        let spacing = (to - from) / (points.len() - 1) as f64;
        let sample = middle(&points, LEARNING);
        let coarse = Model::of(sample.to_vec(), stretches, |_| spacing, quantum)?;
        let (mut model, mut solution) = coarse.learnt(ROUNDS)?;
        let kinds = model.kinds.clone();
        let length = |kind: usize| {
            if kinds[kind].is_restless() { RESTLESS_PIECE * spacing } else { spacing }
        };
        if kinds.iter().any(Kind::is_restless) {
            let fine = Model::of(sample.to_vec(), stretches, length, quantum)?;
            (model, solution) = fine.learnt(ROUNDS)?;
        }
        if sample.len() < points.len() {
            let kinds = model.kinds;
            let whole = Model::of(points, stretches, length, quantum)?;
            (model, solution) = Model { kinds, ..whole }.learnt(0)?;
        }
        let scale = model.misjudgement(&solution);
        Some(Self { scale, ..model.into_fit(solution) })
    }

    /// The instants of the first point and the last.
    pub(super) fn span(&self) -> (f64, f64) {
        (self.points[0].instant.at, self.points[self.points.len() - 1].instant.at)
    }

    /// Joules from the first point to an instant, in seconds; outside the points' span nothing is known.
    pub(super) fn until(&self, at: f64) -> f64 {
        let next = self
            .points
            .partition_point(|point| point.instant.at < at)
            .clamp(1, self.points.len() - 1);
        let ((from, start), (to, end)) = (self.anchors[next - 1], self.anchors[next]);
        let steps = self.on_steps(at).clamp(from, to);
        if to > from { start + (end - start) * (steps - from) / (to - from) } else { start }
    }

    /// The same from the steps of power alone.
    fn on_steps(&self, at: f64) -> f64 {
        let place = self.piece_at(at);
        let piece = &self.pieces[place];
        self.cumulative[place]
            + self.powers[place] * (at - piece.from).clamp(0.0, piece.to - piece.from)
    }

    /// The stretches of constant power between two instants.
    pub(super) fn steps(&self, from: f64, to: f64) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.pieces[self.piece_at(from)..=self.piece_at(to)]
            .iter()
            .map(move |piece| (piece.from.max(from), piece.to.min(to)))
            .filter(|(from, to)| from < to)
    }

    fn piece_at(&self, at: f64) -> usize {
        self.pieces.partition_point(|piece| piece.from <= at).max(1) - 1
    }

    /// Standard deviation of the error of a sum of shares of the energy between instants, in joules. What is
    /// uncertain of a stretch is what lies between either edge and its next update inside: the energy
    /// between two updates is known.
    pub(super) fn sd(&self, shares: &[(f64, f64, f64)]) -> f64 {
        let mut terms: Vec<(usize, f64)> = Vec::new();
        for (from, to, share) in shares.iter().copied() {
            let inside = self.points.partition_point(|point| point.instant.at < from);
            let after = self.points.partition_point(|point| point.instant.at <= to);
            if inside >= after {
                self.add_pieces(&mut terms, from, to, share);
                continue;
            }
            let (left, right) = (inside, after - 1);
            self.add_pieces(&mut terms, from, self.points[left].instant.at, share);
            self.add_pieces(&mut terms, self.points[right].instant.at, to, share);
            if left != right {
                for (point, sign) in [(left, share), (right, -share)] {
                    let weight = self.at_points[point] * self.points[point].instant.sd;
                    terms.push((self.shifts[point], sign * weight));
                }
            }
        }
        let variance: f64 = terms
            .iter()
            .flat_map(|a| terms.iter().map(move |b| (a, b)))
            .map(|(a, b)| a.1 * b.1 * self.covariance.get(a.0, b.0))
            .sum();
        self.scale * (variance.max(0.0) + self.means.variance(&terms)).sqrt()
    }

    fn add_pieces(&self, terms: &mut Vec<(usize, f64)>, from: f64, to: f64, share: f64) {
        for piece in &self.pieces[self.piece_at(from)..] {
            if piece.from >= to {
                break;
            }
            let time = piece.overlap(from, to);
            if time > 0.0 {
                terms.push((piece.unknown, share * time));
            }
        }
    }
}

/// Whether time goes on and energy never falls.
fn rise(points: &[Point]) -> bool {
    let is_known = |point: &Point| {
        point.instant.at.is_finite() && point.joules.is_finite() && point.instant.sd > 0.0
    };
    points.iter().all(is_known)
        && points
            .windows(2)
            .all(|pair| pair[0].instant.at < pair[1].instant.at && pair[0].joules <= pair[1].joules)
}

/// Whether stretches follow each other from `from` or before it to `to` or after it.
fn cover(stretches: &[Stretch], from: f64, to: f64) -> bool {
    stretches.first().is_some_and(|first| first.from <= from)
        && stretches.last().is_some_and(|last| last.to >= to)
        && stretches.windows(2).all(|pair| pair[0].to == pair[1].from)
        && stretches.iter().all(|stretch| stretch.from < stretch.to)
}

/// Stretches cut into pieces about as long as the counter's steps, so that power may wander.
fn pieces(stretches: &[Stretch], from: f64, to: f64, length: impl Fn(usize) -> f64) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for stretch in stretches {
        let (from, to) = (stretch.from.max(from), stretch.to.min(to));
        if to <= from {
            continue;
        }
        let spacing = length(stretch.kind);
        let least = if to - from > SHORT * spacing { 2.0 } else { 1.0 };
        let count = ((to - from) / spacing).round().max(least);
        let edge = |n: f64| if n == count { to } else { from + (to - from) * n / count };
        for n in 0..count as usize {
            let n = n as f64;
            let (from, to) = (edge(n), edge(n + 1.0));
            pieces.push(Piece { from, to, kind: stretch.kind, begins: n == 0.0, unknown: 0 });
        }
    }
    pieces
}

struct Model {
    points: Vec<Point>,
    shifts: Vec<usize>,
    at_points: Vec<f64>,
    pieces: Vec<Piece>,
    /// For each interval between points, its first piece and the one after its last.
    spans: Vec<(usize, usize)>,
    kinds: Vec<Kind>,
    /// A matrix with room for what is coupled.
    zeros: Envelope,
    /// Joules.
    quantum: f64,
    /// Power of the whole run, in watts.
    mean: f64,
    /// Of what is assumed of a kind's mean before anything is known.
    least_precision: f64,
}

#[derive(Debug)]
struct Solution {
    x: Vec<f64>,
    /// Of the unknowns, if the kinds' means were known.
    covariance: Envelope,
    means: Means,
}

/// What isn't known of the kinds' means. Where stretches are short against the counter's steps, that is
/// more than what isn't known of a single one.
#[derive(Debug, Clone)]
struct Means {
    /// For each kind, how much the unknowns rise with its mean.
    rise: Vec<Vec<f64>>,
    /// The inverse of the means' covariance.
    precision: Factors,
}

impl Means {
    /// How far the means are from the most likely ones, given how far the stretches of each kind are from
    /// its mean, weighted.
    fn step(&self, mut off: Vec<f64>) -> Vec<f64> {
        self.precision.solve(&mut off);
        off
    }

    /// What they add to the variance of a sum of unknowns.
    fn variance(&self, terms: &[(usize, f64)]) -> f64 {
        let rise: Vec<f64> = self
            .rise
            .iter()
            .map(|rise| terms.iter().map(|(unknown, weight)| weight * rise[*unknown]).sum())
            .collect();
        self.step(rise.clone()).iter().zip(&rise).map(|(a, b)| a * b).sum()
    }
}

impl Model {
    /// Pieces of each kind of stretch are to be about as long as `length` says.
    fn of(
        points: Vec<Point>,
        stretches: &[Stretch],
        length: impl Fn(usize) -> f64,
        quantum: f64,
    ) -> Option<Self> {
        let (from, to) = (points.first()?.instant.at, points.last()?.instant.at);
        let count = stretches.iter().map(|stretch| stretch.kind + 1).max()?;
        Self::new(points, pieces(stretches, from, to, length), count, quantum)
    }

    fn new(points: Vec<Point>, mut pieces: Vec<Piece>, kinds: usize, quantum: f64) -> Option<Self> {
        // Unknowns in the order of time, so that what an interval couples lies together.
        let (mut unknowns, mut shifts) = (0, Vec::with_capacity(points.len()));
        let mut next = pieces.iter_mut().peekable();
        for point in &points {
            while let Some(piece) = next.next_if(|piece| piece.from <= point.instant.at) {
                piece.unknown = unknowns;
                unknowns += 1;
            }
            shifts.push(unknowns);
            unknowns += 1;
        }
        for piece in next {
            piece.unknown = unknowns;
            unknowns += 1;
        }
        let mut from = 0;
        let spans: Vec<(usize, usize)> = points
            .windows(2)
            .map(|pair| {
                let (start, end) = (pair[0].instant.at, pair[1].instant.at);
                while from + 1 < pieces.len() && pieces[from].to <= start {
                    from += 1;
                }
                let mut to = from;
                while to < pieces.len() && pieces[to].from < end {
                    to += 1;
                }
                (from, to)
            })
            .collect();
        let mut first: Vec<usize> = (0..unknowns).collect();
        let mut reach = |row: usize, column: usize| first[row] = first[row].min(column);
        // A window with an update in it needs the covariances of what two intervals hold.
        let mut before = 0;
        for (interval, (from, to)) in spans.iter().enumerate() {
            let own = pieces.get(*from)?.unknown.min(shifts[interval]);
            let start = std::mem::replace(&mut before, own);
            for piece in &pieces[*from..*to] {
                reach(piece.unknown, start);
            }
            reach(shifts[interval], start);
            reach(shifts[interval + 1], start);
        }
        for pair in pieces.windows(2) {
            reach(pair[1].unknown, pair[0].unknown);
        }
        let seconds = points.last()?.instant.at - points.first()?.instant.at;
        let mean = (points.last()?.joules - points.first()?.joules) / seconds;
        let rates = points.windows(2).map(|pair| {
            let time = pair[1].instant.at - pair[0].instant.at;
            (time, (pair[1].joules - pair[0].joules) / time)
        });
        let variance: f64 =
            rates.map(|(time, rate)| time * (rate - mean) * (rate - mean)).sum::<f64>() / seconds;
        let spread = variance.sqrt().max(0.1 * mean);
        let kind = Kind { mean, spread, wandering: 0.3 * spread };
        let mut model = Self {
            at_points: Vec::new(),
            points,
            shifts,
            pieces,
            spans,
            kinds: vec![kind; kinds],
            zeros: Envelope::new(first),
            quantum,
            mean,
            least_precision: 0.25 / (mean * mean).max(1e-12),
        };
        model.at_points = model.rates();
        Some(model)
    }

    /// Power around each point, as the counter alone has it.
    fn rates(&self) -> Vec<f64> {
        let rate = |a: usize, b: usize| {
            let (a, b) = (self.points[a], self.points[b]);
            (b.joules - a.joules) / (b.instant.at - a.instant.at)
        };
        let last = self.points.len() - 1;
        (0..=last).map(|n| rate(n.saturating_sub(1), (n + 1).min(last))).collect()
    }

    /// The unknowns of an interval and their weights in its energy.
    fn terms(&self, interval: usize, terms: &mut Vec<(usize, f64)>) {
        terms.clear();
        let (start, end) = (self.points[interval].instant.at, self.points[interval + 1].instant.at);
        let (from, to) = self.spans[interval];
        terms.extend(
            self.pieces[from..to].iter().map(|piece| (piece.unknown, piece.overlap(start, end))),
        );
        for (point, sign) in [(interval, -1.0), (interval + 1, 1.0)] {
            let weight = self.at_points[point] * self.points[point].instant.sd;
            terms.push((self.shifts[point], sign * weight));
        }
    }

    /// The model with the parameters that make the run most likely, and its solution.
    fn learnt(mut self, rounds: usize) -> Option<(Self, Solution)> {
        let mut solution = self.solve()?;
        for _ in 0..rounds {
            self.learn(&solution);
            solution = self.solve()?;
        }
        Some((self, solution))
    }

    fn solve(&self) -> Option<Solution> {
        let mut matrix = self.zeros.clone();
        let mut x = vec![0.0; matrix.len()];
        let mut terms = Vec::new();
        for interval in 0..self.spans.len() {
            self.terms(interval, &mut terms);
            let joules = self.points[interval + 1].joules - self.points[interval].joules;
            let noise = self.noise(joules);
            let weight = 1.0 / (noise * noise);
            for (n, a) in terms.iter().enumerate() {
                x[a.0] += weight * a.1 * joules;
                for b in &terms[n..] {
                    matrix.add(a.0, b.0, weight * a.1 * b.1);
                }
            }
        }
        for shift in &self.shifts {
            matrix.add(*shift, *shift, 1.0);
        }
        for (n, piece) in self.pieces.iter().enumerate() {
            let kind = self.kinds[piece.kind];
            if piece.begins {
                let weight = kind.weight();
                matrix.add(piece.unknown, piece.unknown, weight);
                x[piece.unknown] += weight * kind.mean;
            } else {
                let before = self.pieces[n - 1].unknown;
                let weight = 1.0 / (kind.wandering * kind.wandering);
                matrix.add(piece.unknown, piece.unknown, weight);
                matrix.add(before, before, weight);
                matrix.add(piece.unknown, before, -weight);
            }
        }
        let factors = matrix.factorize()?;
        factors.solve(&mut x);
        let means = self.means(&factors)?;
        Some(Solution { x, covariance: factors.inverse(), means })
    }

    fn means(&self, factors: &Factors) -> Option<Means> {
        let count = self.kinds.len();
        let begins = |kind: usize| {
            self.pieces.iter().filter(move |piece| piece.begins && piece.kind == kind)
        };
        let mut rise = vec![vec![0.0; self.zeros.len()]; count];
        for (kind, rise) in rise.iter_mut().enumerate() {
            let weight = self.kinds[kind].weight();
            if begins(kind).next().is_some() {
                begins(kind).for_each(|piece| rise[piece.unknown] = weight);
                factors.solve(rise);
            }
        }
        let mut precision = Envelope::new(vec![0; count]);
        for a in 0..count {
            let weight = self.kinds[a].weight();
            // Nothing is known of the mean of a kind that isn't there but that it is some power.
            precision.add(a, a, begins(a).count() as f64 * weight + self.least_precision);
            for (b, rise) in rise.iter().enumerate().take(a + 1) {
                let shared: f64 = begins(a).map(|piece| rise[piece.unknown]).sum();
                precision.add(a, b, -weight * shared);
            }
        }
        Some(Means { rise, precision: precision.factorize()? })
    }

    /// Takes the parameters that make what was found most likely.
    fn learn(&mut self, solution: &Solution) {
        let Solution { x, covariance, means } = solution;
        let mut off: Vec<f64> =
            self.kinds.iter().map(|kind| self.least_precision * (self.mean - kind.mean)).collect();
        for piece in self.pieces.iter().filter(|piece| piece.begins) {
            let kind = self.kinds[piece.kind];
            off[piece.kind] += kind.weight() * (x[piece.unknown] - kind.mean);
        }
        for (kind, step) in self.kinds.iter_mut().zip(means.step(off)) {
            kind.mean += step;
        }
        let mut levels = vec![(0.0, 0.0); self.kinds.len()];
        for piece in self.pieces.iter().filter(|piece| piece.begins) {
            let (count, squares) = &mut levels[piece.kind];
            let off = x[piece.unknown] - self.kinds[piece.kind].mean;
            *count += 1.0;
            *squares += off * off + covariance.get(piece.unknown, piece.unknown);
        }
        let mut steps = vec![(0.0, 0.0); self.kinds.len()];
        for pair in self.pieces.windows(2).filter(|pair| !pair[1].begins) {
            let (a, b) = (pair[0].unknown, pair[1].unknown);
            let (count, squares) = &mut steps[pair[1].kind];
            let step = x[b] - x[a];
            *count += 1.0;
            *squares += step * step + covariance.get(a, a) + covariance.get(b, b)
                - 2.0 * covariance.get(a, b);
        }
        for ((kind, level), step) in self.kinds.iter_mut().zip(levels).zip(steps) {
            let (count, squares) = level;
            // Of few stretches little is learnt.
            if count >= 3.0 {
                let least = LEAST_SPREAD.0.max(LEAST_SPREAD.1 * kind.mean.abs());
                kind.spread = (squares / count).sqrt().max(least);
            }
            let (count, squares) = step;
            if count >= 3.0 {
                let least = LEAST_WANDERING.0.max(LEAST_WANDERING.1 * kind.mean.abs());
                kind.wandering = (squares / count).sqrt().max(least);
            }
        }
        for (point, power) in self.points.iter().zip(&mut self.at_points) {
            let place = self.pieces.partition_point(|piece| piece.from <= point.instant.at);
            *power = x[self.pieces[place.max(1) - 1].unknown];
        }
    }

    /// By how much errors are larger than the model has it. Each interval is left out in turn and foretold
    /// from all the others, in closed form; the ratio of what that is off by to what it should be off by
    /// is 1 if the model is right. Intervals in which load changes are those that matter, if there are any.
    fn misjudgement(&self, solution: &Solution) -> f64 {
        let changes = |(from, to): (usize, usize)| {
            to > from && self.pieces[from + 1..to].iter().any(|piece| piece.begins)
        };
        let ratios = |only_changes: bool| -> Vec<f64> {
            (0..self.spans.len())
                .filter(|interval| !only_changes || changes(self.spans[*interval]))
                .filter_map(|interval| self.ratio_if_left_out(solution, interval))
                .collect()
        };
        let mut squares = ratios(true);
        if squares.len() < ENOUGH {
            squares = ratios(false);
        }
        if squares.len() < ENOUGH {
            return 1.0;
        }
        (squares.iter().sum::<f64>() / squares.len() as f64).sqrt().clamp(LEAST_SCALE, MOST_SCALE)
    }

    /// The square of what an interval's energy is off from what all others foretell, over its variance.
    fn ratio_if_left_out(&self, solution: &Solution, interval: usize) -> Option<f64> {
        let Solution { x, covariance, .. } = solution;
        let mut terms = Vec::new();
        self.terms(interval, &mut terms);
        let joules = self.points[interval + 1].joules - self.points[interval].joules;
        let noise = self.noise(joules);
        let found: f64 = terms.iter().map(|(unknown, weight)| weight * x[*unknown]).sum();
        let variance: f64 = terms
            .iter()
            .flat_map(|a| terms.iter().map(move |b| a.1 * b.1 * covariance.get(a.0, b.0)))
            .sum();
        let left = 1.0 - variance / (noise * noise);
        let off = (joules - found) / noise;
        // What the others say nothing about tells nothing.
        (left > 1e-9).then_some(off * off / left)
    }

    fn noise(&self, joules: f64) -> f64 {
        (NOISE * joules).max(self.quantum).max(1e-9)
    }

    fn into_fit(self, solution: Solution) -> Fit {
        let powers: Vec<f64> =
            self.pieces.iter().map(|piece| solution.x[piece.unknown].max(0.0)).collect();
        let mut joules = 0.0;
        let mut cumulative = vec![0.0];
        for (piece, power) in self.pieces.iter().zip(&powers) {
            joules += power * (piece.to - piece.from);
            cumulative.push(joules);
        }
        let shifted = |point: usize| {
            let weight = self.at_points[point] * self.points[point].instant.sd;
            weight * solution.x[self.shifts[point]]
        };
        let first = self.points.first().map_or(0.0, |point| point.joules) - shifted(0);
        let counted: Vec<f64> = self
            .points
            .iter()
            .enumerate()
            .map(|(index, point)| point.joules - shifted(index) - first)
            .collect();
        let mut fit = Fit {
            points: self.points,
            shifts: self.shifts,
            at_points: self.at_points,
            pieces: self.pieces,
            powers,
            cumulative,
            anchors: Vec::new(),
            covariance: solution.covariance,
            means: solution.means,
            scale: 1.0,
        };
        let mut most = 0.0_f64;
        fit.anchors = fit
            .points
            .iter()
            .zip(counted)
            .map(|(point, counted)| {
                // Shifts are guesses, and energy never falls.
                most = most.max(counted);
                (fit.on_steps(point.instant.at), most)
            })
            .collect();
        fit
    }
}

#[cfg(test)]
#[path = "fit/tests.rs"]
mod tests;
