//! A run's rows as the regressions see them: tokens, times and energy, where they can be.

use std::collections::BTreeSet;

use crate::record::{ProfilingRecord, QueryStatus};

/// What the regressions need of one query.
#[derive(Debug, Clone, PartialEq)]
pub struct RegressionRow {
    /// How the query ended; only `Ok` is looked at.
    pub status: QueryStatus,
    /// Prompt tokens.
    pub input_tokens: Option<i64>,
    /// Those of them that the server had in its cache.
    pub cached_tokens: Option<i64>,
    /// Generated tokens.
    pub output_tokens: Option<i64>,
    /// Both, as the server counts.
    pub total_tokens: Option<i64>,
    /// The energy basis.
    pub basis: Option<String>,
    /// How the energy was had: counter, integrated, estimated.
    pub energy_method: Option<String>,
    /// Energy of the basis in joules.
    pub basis_joules: Option<f64>,
    /// From the request's start to its end.
    pub seconds: Option<f64>,
    /// From the request's start to the first token.
    pub time_to_first_token_seconds: Option<f64>,
}

impl From<&ProfilingRecord> for RegressionRow {
    fn from(record: &ProfilingRecord) -> Self {
        let metrics = &record.metrics;
        let (energy, tokens) = (&metrics.energy_metrics, &metrics.token_metrics);
        Self {
            status: record.status,
            input_tokens: tokens.input,
            cached_tokens: tokens.cached,
            output_tokens: tokens.output,
            total_tokens: tokens.total,
            basis: energy.basis.clone(),
            energy_method: energy.method.clone(),
            basis_joules: energy.basis_joules,
            seconds: metrics.latency_metrics.total_query_seconds,
            time_to_first_token_seconds: metrics.latency_metrics.time_to_first_token_seconds,
        }
    }
}

impl RegressionRow {
    pub(super) fn input(&self) -> Option<f64> {
        count(self.input_tokens)
    }

    pub(super) fn output(&self) -> Option<f64> {
        count(self.output_tokens)
    }

    pub(super) fn total(&self) -> Option<f64> {
        count(self.total_tokens).or_else(|| Some(self.input()? + self.output()?))
    }

    /// The natural logarithm of the tokens; none has no logarithm.
    pub(super) fn total_log(&self) -> Option<f64> {
        self.total().filter(|tokens| *tokens > 0.0).map(f64::ln)
    }

    pub(super) fn latency(&self) -> Option<f64> {
        positive(self.seconds)
    }

    pub(super) fn first_token(&self) -> Option<f64> {
        positive(self.time_to_first_token_seconds)
    }

    fn energy(&self) -> Option<f64> {
        positive(self.basis_joules)
    }
}

fn count(tokens: Option<i64>) -> Option<f64> {
    tokens.filter(|tokens| *tokens >= 0).map(|tokens| tokens as f64)
}

fn positive(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite() && *value > 0.0)
}

/// The rows that ended well, and what was seen while choosing them.
pub(super) struct OkRows<'a> {
    pub(super) rows: Vec<&'a RegressionRow>,
    pub(super) bases: BTreeSet<Option<&'a str>>,
    /// Whether an energy was estimated, and not measured.
    pub(super) is_estimated: bool,
    /// Rows whose energy is zero, negative or not finite: no query costs that.
    pub(super) impossible: usize,
}

impl<'a> OkRows<'a> {
    pub(super) fn of(rows: &'a [RegressionRow]) -> Self {
        let rows: Vec<_> = rows.iter().filter(|row| row.status == QueryStatus::Ok).collect();
        let with_energy = || rows.iter().filter(|row| row.energy().is_some());
        let bases = with_energy().map(|row| row.basis.as_deref()).collect();
        let is_estimated = with_energy()
            .any(|row| is_estimated(row.basis.as_deref(), row.energy_method.as_deref()));
        let all = rows.iter().filter(|row| row.basis_joules.is_some()).count();
        let impossible = all - with_energy().count();
        Self { rows, bases, is_estimated, impossible }
    }

    /// Energy in joules. Joules of different things lie on no common line: none if there is more than
    /// one basis.
    pub(super) fn energy(&self, row: &RegressionRow) -> Option<f64> {
        row.energy().filter(|_| self.bases.len() == 1)
    }

    /// Mean watts of the query.
    pub(super) fn power(&self, row: &RegressionRow) -> Option<f64> {
        positive(Some(self.energy(row)? / row.latency()?))
    }

    /// The one basis.
    pub(super) fn basis(&self) -> Option<String> {
        let one = self.bases.first().filter(|_| self.bases.len() == 1);
        one.copied().flatten().map(str::to_owned)
    }

    /// Share of the prompt tokens that came from the server's cache, of the rows with energy.
    pub(super) fn cached_share(&self) -> Option<f64> {
        let with_energy = || self.rows.iter().filter(|row| self.energy(row).is_some());
        let cached: f64 = with_energy().filter_map(|row| count(row.cached_tokens)).sum();
        let all: f64 = with_energy().filter_map(|row| row.input()).sum();
        (all > 0.0).then(|| cached / all)
    }
}

/// Whether an energy of this basis and method is an estimate from load, and no measurement.
pub(in crate::analysis) fn is_estimated(basis: Option<&str>, method: Option<&str>) -> bool {
    basis == Some("cpu_estimated") || method == Some("estimated")
}
