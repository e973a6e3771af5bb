//! Symmetric positive definite systems whose entries lie near the diagonal: what couples only
//! neighbours in time. Work and memory grow linearly with the number of unknowns.

/// A symmetric matrix of which each row is stored from its first entry to the diagonal. No row begins
/// before the row above it does, so that a column's entries are contiguous, too.
#[derive(Debug, Clone)]
pub(super) struct Envelope {
    /// The column of each row's first entry.
    first: Vec<usize>,
    /// Where each row is in `entries`, and where the last one ends.
    rows: Vec<usize>,
    entries: Vec<f64>,
}

impl Envelope {
    /// A matrix of zeros with room for what couples each unknown to those from `first` on.
    pub(super) fn new(mut first: Vec<usize>) -> Self {
        for row in (1..first.len()).rev() {
            first[row - 1] = first[row - 1].min(first[row]).min(row - 1);
        }
        let mut rows = Vec::with_capacity(first.len() + 1);
        rows.push(0);
        for (row, first) in first.iter().enumerate() {
            rows.push(rows[row] + row + 1 - first);
        }
        let entries = vec![0.0; rows.last().copied().unwrap_or(0)];
        Self { first, rows, entries }
    }

    pub(super) fn len(&self) -> usize {
        self.first.len()
    }

    pub(super) fn clear(&mut self) {
        self.entries.fill(0.0);
    }

    /// The entry of a pair of unknowns, in either order; zero if they are too far apart to be stored.
    pub(super) fn get(&self, a: usize, b: usize) -> f64 {
        let (row, column) = (a.max(b), a.min(b));
        if column < self.first[row] { 0.0 } else { self.entries[self.place(row, column)] }
    }

    /// Adds to the entry of a pair that there is room for.
    pub(super) fn add(&mut self, a: usize, b: usize, value: f64) {
        let (row, column) = (a.max(b), a.min(b));
        let place = self.place(row, column);
        self.entries[place] += value;
    }

    fn place(&self, row: usize, column: usize) -> usize {
        self.rows[row] + column - self.first[row]
    }

    fn row(&self, row: usize) -> &[f64] {
        &self.entries[self.rows[row]..self.rows[row + 1]]
    }

    /// Factorises it as L D Lᵀ in place; `None` if it isn't positive definite.
    pub(super) fn factorize(mut self) -> Option<Factors> {
        for row in 0..self.len() {
            let first = self.first[row];
            for column in first..row {
                let from = first.max(self.first[column]);
                // So far the row holds L D, whose product with a row of L is what to take off.
                let done: f64 = {
                    let a = &self.row(row)[from - first..column - first];
                    let b = &self.row(column)[from - self.first[column]..];
                    a.iter().zip(b).map(|(a, b)| a * b).sum()
                };
                let place = self.place(row, column);
                self.entries[place] -= done;
            }
            let mut pivot = self.get(row, row);
            for column in first..row {
                let place = self.place(row, column);
                let scaled = self.entries[place];
                let entry = scaled / self.get(column, column);
                pivot -= scaled * entry;
                self.entries[place] = entry;
            }
            if !(pivot > 0.0 && pivot.is_finite()) {
                return None;
            }
            let place = self.place(row, row);
            self.entries[place] = pivot;
        }
        Some(Factors(self))
    }
}

/// L below the diagonal, whose own diagonal is one, and D on it.
#[derive(Debug, Clone)]
pub(super) struct Factors(Envelope);

impl Factors {
    /// Solves for a right-hand side, in place.
    pub(super) fn solve(&self, x: &mut [f64]) {
        let Self(l) = self;
        for row in 0..l.len() {
            let first = l.first[row];
            let done: f64 = l.row(row).iter().zip(&x[first..row]).map(|(l, x)| l * x).sum();
            x[row] -= done;
        }
        for (row, x) in x.iter_mut().enumerate() {
            *x /= l.get(row, row);
        }
        for row in (0..l.len()).rev() {
            let (first, value) = (l.first[row], x[row]);
            for (x, l) in x[first..row].iter_mut().zip(l.row(row)) {
                *x -= l * value;
            }
        }
    }

    /// The entries of the inverse that lie within the envelope: variances, and covariances of
    /// neighbours. (Takahashi, Fagan and Chin 1973; Erisman and Tinney 1975.)
    pub(super) fn inverse(&self) -> Envelope {
        let Self(l) = self;
        let mut inverse = l.clone();
        inverse.clear();
        let mut last = l.len().saturating_sub(1);
        let mut below = Vec::new();
        for column in (0..l.len()).rev() {
            // No row begins before the one above it.
            while l.first[last] > column {
                last -= 1;
            }
            below.clear();
            below.extend((column + 1..=last).map(|row| l.get(row, column)));
            let mut own = 1.0 / l.get(column, column);
            for row in (column + 1..=last).rev() {
                let to_row = &inverse.row(row)[column + 1 - l.first[row]..];
                let before: f64 = below.iter().zip(to_row).map(|(l, entry)| l * entry).sum();
                let after: f64 = (row + 1..=last)
                    .map(|other| below[other - column - 1] * inverse.get(other, row))
                    .sum();
                let value = -(before + after);
                own -= below[row - column - 1] * value;
                inverse.add(row, column, value);
            }
            inverse.add(column, column, own);
        }
        inverse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of a small matrix with couplings of different reach.
    fn example() -> (Envelope, Vec<Vec<f64>>) {
        let first = vec![0, 0, 1, 0, 3, 2, 5, 5];
        let mut envelope = Envelope::new(first.clone());
        let n = first.len();
        let mut dense = vec![vec![0.0; n]; n];
        let mut add = |envelope: &mut Envelope, a: usize, b: usize, value: f64| {
            envelope.add(a, b, value);
            dense[a][b] += value;
            if a != b {
                dense[b][a] += value;
            }
        };
        for (row, first) in first.into_iter().enumerate() {
            add(&mut envelope, row, row, 4.0 + row as f64);
            for column in first..row {
                add(
                    &mut envelope,
                    column,
                    row,
                    0.3 * (1.0 + (row * 3 + column) as f64 % 5.0) - 0.8,
                );
            }
        }
        (envelope, dense)
    }

    #[test]
    fn what_it_solves_solves_the_equations() {
        let (envelope, dense) = example();
        let b: Vec<f64> = (0..dense.len()).map(|n| (n as f64 - 3.0) * 1.5).collect();
        let mut x = b.clone();
        envelope.factorize().unwrap().solve(&mut x);
        for (row, b) in dense.iter().zip(b) {
            let product: f64 = row.iter().zip(&x).map(|(a, x)| a * x).sum();
            assert!((product - b).abs() < 1e-12, "{product} {b}");
        }
    }

    #[test]
    fn the_inverse_is_right_wherever_it_is_stored() {
        let (envelope, dense) = example();
        let factors = envelope.clone().factorize().unwrap();
        let inverse = factors.inverse();
        for column in 0..dense.len() {
            let mut unit = vec![0.0; dense.len()];
            unit[column] = 1.0;
            factors.solve(&mut unit);
            let first = envelope.first[column];
            for (row, entry) in unit.iter().enumerate().take(column + 1).skip(first) {
                assert!((inverse.get(row, column) - entry).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn what_is_not_positive_definite_is_refused() {
        let mut envelope = Envelope::new(vec![0, 0]);
        envelope.add(0, 0, 1.0);
        envelope.add(0, 1, 2.0);
        envelope.add(1, 1, 1.0);
        assert!(envelope.factorize().is_none());
    }
}
