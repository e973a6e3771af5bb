//! What is shown of the windows of a case. Pure.

use super::stream;
use super::watch::{Case, Watched};
use crate::finding::{Finding, Target};

/// A figure and what is promised of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Figure {
    /// At most so many percent of a core.
    Cpu(Option<f64>),
    /// A peak of at most so many MB.
    Memory(f64),
    /// At most so many ms, p99 of all readings of all subscribers.
    FromRead(Option<f64>),
    /// A part of that.
    FromComposed,
    /// At least so many readings a second, to each.
    Rate(f64),
    /// At most so many ms, p99.
    Deadline(f64),
    /// Not one.
    Lost,
}

/// A case's lines of the table.
pub(super) fn findings(case: &Case, figures: &[Figure], rounds: &[Watched]) -> Vec<Finding> {
    let finding = |figure: &Figure| {
        let values: Vec<f64> = rounds.iter().map(|round| figure.of(case, round)).collect();
        let (what, unit) = figure.words();
        Finding::of(&format!("{case}: {what}"), unit, figure.target(), &values)
    };
    figures.iter().map(finding).collect()
}

impl Figure {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Cpu(_) => ("CPU", "% of a core"),
            Self::Memory(_) => ("peak resident memory", "MB"),
            Self::FromRead(_) => ("p99 from read to receipt", "ms"),
            Self::FromComposed => ("p99 from composed to receipt", "ms"),
            Self::Rate(_) => ("readings a second", "/s"),
            Self::Deadline(_) => ("p99 behind the deadline", "ms"),
            Self::Lost => ("readings lost by anybody", "readings"),
        }
    }

    fn target(self) -> Target {
        match self {
            Self::Cpu(most) | Self::FromRead(most) => most.map_or(Target::None, Target::AtMost),
            Self::Memory(most) | Self::Deadline(most) => Target::AtMost(most),
            Self::Rate(least) => Target::AtLeast(least),
            Self::Lost => Target::AtMost(0.0),
            Self::FromComposed => Target::None,
        }
    }

    /// Its value in a round; not a number if the round doesn't tell it.
    fn of(self, case: &Case, round: &Watched) -> f64 {
        let Watched { cpu_pct, memory_bytes, received, window } = round;
        let value = match self {
            Self::Cpu(_) => Some(*cpu_pct),
            Self::Memory(_) => Some(*memory_bytes as f64 / 1e6),
            Self::FromRead(_) => stream::from_read(received),
            Self::FromComposed => stream::from_composed(received),
            Self::Rate(_) => received.iter().map(|one| one.rate(*window)).reduce(f64::min),
            Self::Deadline(_) => received.iter().find_map(|one| one.deadline_error(case.interval)),
            Self::Lost => Some(received.iter().map(|one| one.lost).sum::<u64>() as f64),
        };
        value.unwrap_or(f64::NAN)
    }
}
