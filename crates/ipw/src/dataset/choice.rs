//! Which of a dataset's usable rows are taken: all, the first, or a random choice by seed.
//!
//! Answers: what `max_samples` and `seed` leave of the rows. A seed chooses the same rows on every machine
//! and in every version of this program.

use sha2::{Digest, Sha256};

use super::{DatasetError, DatasetParams, Sample};

/// The parameters that every dataset has.
pub(super) const PARAMETERS: [&str; 2] = ["max_samples", "seed"];

/// Which of the usable rows are taken.
#[derive(Debug, Clone, Copy)]
pub(super) enum Choice {
    All,
    First(usize),
    Random { count: usize, seed: u64 },
}

impl Choice {
    /// What the parameters ask for.
    pub(super) fn from(params: &DatasetParams) -> Result<Self, DatasetError> {
        let count = number(params, "max_samples")?
            .map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        match (count, number(params, "seed")?) {
            (Some(0), _) => Err(DatasetError::Parameter(
                "max_samples=0 leaves no rows; give 1 or more, or leave it out".to_owned(),
            )),
            (None, Some(_)) => Err(DatasetError::Parameter(
                "seed chooses which rows are taken; say how many with max_samples=N".to_owned(),
            )),
            (None, None) => Ok(Self::All),
            (Some(count), None) => Ok(Self::First(count)),
            (Some(count), Some(seed)) => Ok(Self::Random { count, seed }),
        }
    }

    /// The rows taken, in the dataset's order.
    pub(super) fn of(self, mut samples: Vec<Sample>) -> Vec<Sample> {
        match self {
            Self::All => {}
            Self::First(count) => samples.truncate(count),
            Self::Random { count, seed } => {
                samples.sort_by_cached_key(|sample| lot(seed, sample.index));
                samples.truncate(count);
                samples.sort_by_key(|sample| sample.index);
            }
        }
        samples
    }
}

/// A parameter that is a whole number, if it is given.
pub(super) fn number(params: &DatasetParams, name: &str) -> Result<Option<u64>, DatasetError> {
    let parse = |text: &String| {
        text.parse::<u64>()
            .map_err(|_| DatasetError::Parameter(format!("{name}={text} is not a whole number")))
    };
    params.get(name).map(parse).transpose()
}

/// The row's place in a lottery. A hash and not a generator: the same seed has to choose the same rows
/// in every version of this program, on every machine.
fn lot(seed: u64, index: usize) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update((index as u64).to_le_bytes());
    hash.finalize().into()
}

/// An order of `count` things that belong to `text`, drawn by the same kind of lottery: what stands at a
/// place is the number of the thing that goes there.
pub(super) fn shuffled(seed: u64, text: &str, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_cached_key(|number| -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(seed.to_le_bytes());
        hash.update((*number as u64).to_le_bytes());
        hash.update(text.as_bytes());
        hash.finalize().into()
    });
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Map;

    use super::super::Scoring;
    use super::*;

    fn samples(count: usize) -> Vec<Sample> {
        let sample = |index: usize| Sample {
            index,
            problem: format!("p{index}"),
            answer: String::new(),
            subject: String::new(),
            scoring: Scoring::Exact,
            metadata: Map::new(),
        };
        (0..count).map(sample).collect()
    }

    fn taken(choice: Choice) -> Vec<usize> {
        choice.of(samples(100)).iter().map(|sample| sample.index).collect()
    }

    #[test]
    fn a_seed_chooses_the_same_rows_for_ever() {
        // Anyone can compute them: the three rows from 0 to 99 whose SHA-256 of seed and row, each as
        // eight bytes, is least.
        assert_eq!(taken(Choice::Random { count: 3, seed: 1 }), [2, 29, 56]);
        assert_eq!(taken(Choice::Random { count: 3, seed: 2 }), [42, 83, 97]);
        assert_eq!(taken(Choice::First(3)), [0, 1, 2]);
        assert_eq!(taken(Choice::Random { count: 500, seed: 1 }).len(), 100);
        assert_eq!(taken(Choice::All).len(), 100);
    }

    #[test]
    fn an_order_depends_on_seed_and_text_and_stays_the_same() {
        assert_eq!(shuffled(0, "Which?", 4), [2, 0, 3, 1]);
        let orders: std::collections::BTreeSet<Vec<usize>> =
            (0..200).map(|seed| shuffled(seed, "Which?", 4)).collect();
        assert_eq!(orders.len(), 24, "every order comes up");
        assert_ne!(shuffled(0, "Which?", 10), shuffled(0, "Who?", 10));
    }

    proptest! {
        #[test]
        fn an_order_has_each_thing_once(seed: u64, text: String, count in 0_usize..12) {
            let mut order = shuffled(seed, &text, count);
            order.sort_unstable();
            prop_assert_eq!(order, (0..count).collect::<Vec<_>>());
        }
    }
}
