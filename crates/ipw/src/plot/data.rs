//! A run as figures see it: its queries in plain numbers, and what must be said beside all of them.
//! What isn't known, or isn't a number, is `None`.

use std::path::{Path, PathBuf};

use super::axis::is_plottable;
use super::figure::Caption;
use super::number::count;
use crate::analysis::accuracy::ScoredQuery;
use crate::analysis::provenance;
use crate::analysis::regression::RegressionRow;
use crate::record::{ProfilingRecord, QueryStatus};
use crate::results::{
    RequestEntry, Result, RunStatus, Summary, read_requests, read_rows, read_summary,
};

/// A run.
#[derive(Debug)]
pub struct RunData {
    /// Where it is, for what is read only by one figure.
    pub directory: PathBuf,
    /// What it was.
    pub summary: Summary,
    /// Its queries, in the order of the rows.
    pub queries: Vec<Query>,
    /// The same queries as the analysis of accuracy sees them.
    pub scored: Vec<ScoredQuery>,
    /// And as the regressions do.
    pub fitted: Vec<RegressionRow>,
    /// What was sent, or why that can't be read: only figures over time need it.
    pub requests: std::result::Result<Vec<RequestEntry>, String>,
}

/// A query.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names say it, with their units")]
pub struct Query {
    pub status: QueryStatus,
    pub started_at_nanos: i64,
    pub input_tokens: Option<f64>,
    pub output_tokens: Option<f64>,
    pub total_tokens: Option<f64>,
    /// Energy of the basis.
    pub joules: Option<f64>,
    pub joules_lower: Option<f64>,
    pub joules_upper: Option<f64>,
    /// Half of the interval's width.
    pub joules_ci95: Option<f64>,
    pub seconds: Option<f64>,
    pub first_token_seconds: Option<f64>,
    pub seconds_per_output_token: Option<f64>,
    pub joules_per_output_token: Option<f64>,
    pub joules_per_total_token: Option<f64>,
    pub prefill_joules_per_input_token: Option<f64>,
    pub decode_joules_per_output_token: Option<f64>,
}

impl Query {
    /// Whether it was answered to the end.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.status == QueryStatus::Ok
    }

    /// Its energy by its time.
    #[must_use]
    pub fn watts(&self) -> Option<f64> {
        positive(Some(positive(self.joules)? / positive(self.seconds)?))
    }

    /// Its hard bounds.
    #[must_use]
    pub fn bounds(&self) -> Option<[f64; 2]> {
        Some([self.joules_lower?, self.joules_upper?])
    }

    /// Its 95 % interval.
    #[must_use]
    pub fn interval(&self) -> Option<[f64; 2]> {
        let (joules, half) = (self.joules?, self.joules_ci95?);
        Some([joules - half, joules + half])
    }
}

impl From<&ProfilingRecord> for Query {
    fn from(record: &ProfilingRecord) -> Self {
        let metrics = &record.metrics;
        let (energy, latency) = (&metrics.energy_metrics, &metrics.latency_metrics);
        let (tokens, phases) = (&metrics.token_metrics, &metrics.phase_metrics);
        let known = |value: Option<f64>| value.filter(|value| is_plottable(*value));
        let tokens_of = |tokens: Option<i64>| tokens.map(|tokens| tokens as f64);
        let both =
            tokens.input.zip(tokens.output).and_then(|(input, output)| input.checked_add(output));
        Self {
            status: record.status,
            started_at_nanos: record.started_at_nanos,
            input_tokens: tokens_of(tokens.input),
            output_tokens: tokens_of(tokens.output),
            total_tokens: tokens_of(tokens.total.or(both)),
            joules: known(energy.basis_joules),
            joules_lower: known(energy.basis_joules_lower),
            joules_upper: known(energy.basis_joules_upper),
            joules_ci95: known(energy.basis_joules_ci95),
            seconds: known(latency.total_query_seconds),
            first_token_seconds: known(latency.time_to_first_token_seconds),
            seconds_per_output_token: known(latency.tpot_ms).map(|ms| ms / 1e3),
            joules_per_output_token: known(energy.energy_per_output_token_joules),
            joules_per_total_token: known(energy.energy_per_total_token_joules),
            prefill_joules_per_input_token: known(phases.prefill_energy_per_input_token_j),
            decode_joules_per_output_token: known(phases.decode_energy_per_output_token_j),
        }
    }
}

impl RunData {
    /// Reads the run in `directory`.
    ///
    /// # Errors
    /// It isn't a run, or can't be read.
    pub fn read(directory: &Path) -> Result<Self> {
        Self::read_with(directory, |_| ())
    }

    /// Reads the run in `directory`, and shows `each` row to who needs more of it than numbers.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn read_with(directory: &Path, mut each: impl FnMut(&ProfilingRecord)) -> Result<Self> {
        let summary = read_summary(directory)?;
        let requests = read_requests(directory).map_err(|error| error.to_string());
        let (mut queries, mut scored, mut fitted) = (Vec::new(), Vec::new(), Vec::new());
        for record in read_rows(directory)? {
            let record = record?;
            queries.push(Query::from(&record));
            scored.push(ScoredQuery::from(&record));
            fitted.push(RegressionRow::from(&record));
            each(&record);
        }
        Ok(Self { directory: directory.to_owned(), summary, queries, scored, fitted, requests })
    }

    /// The queries that were answered to the end.
    pub fn answered(&self) -> impl Iterator<Item = &Query> {
        self.queries.iter().filter(|query| query.is_ok())
    }

    /// A figure of each answered query that has it.
    pub fn values(&self, figure: impl Fn(&Query) -> Option<f64>) -> Vec<f64> {
        self.answered().filter_map(figure).collect()
    }

    /// Why queries have no energy.
    #[must_use]
    pub fn why_no_energy(&self) -> String {
        let energy = &self.summary.energy;
        let reason = match energy.status.as_str() {
            "" | "ok" => "no query has one",
            status => status,
        };
        let remedy = energy.remedy.as_ref().map(|text| format!("; {text}")).unwrap_or_default();
        format!("no energy: {reason}{remedy}")
    }

    /// What must be said beside all of its numbers.
    #[must_use]
    pub fn caption(&self) -> Caption {
        let summary = &self.summary;
        let mut about = vec![provenance::hardware(summary), format!("dataset {}", summary.dataset)];
        about.extend(provenance::server(summary));
        about.push(energy(summary));
        about.push(queries(summary));
        // A date is enough: what was when is in the summary.
        about.extend(summary.start_time.split('T').next().map(str::to_owned));
        Caption { subject: summary.model.clone(), about, mark: summary.mark() }
    }
}

/// Of what can't be zero a zero is no value.
#[must_use]
pub fn positive(value: Option<f64>) -> Option<f64> {
    value.filter(|value| is_plottable(*value) && *value > 0.0)
}

fn energy(summary: &Summary) -> String {
    match provenance::energy(summary) {
        Ok(source) => format!("energy basis {source}"),
        Err(reason) => format!("energy not measured ({reason})"),
    }
}

fn queries(summary: &Summary) -> String {
    let [ok, all] =
        [summary.queries.ok, summary.total_queries].map(|number| count(number as usize));
    let end = if summary.status == RunStatus::Complete { "" } else { " (the run is not complete)" };
    format!("{ok} of {all} queries ok{end}")
}
