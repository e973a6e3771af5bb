//! The content of `analysis/regression.json`, field by field.

use serde::{Deserialize, Serialize};

/// `analysis/regression.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegressionReport {
    /// `regression`.
    pub analysis: String,
    /// What was looked at.
    pub summary: RegressionSummary,
    /// What a reader of the figures has to know, each with what to do about it.
    pub warnings: Vec<String>,
    /// The fits.
    pub data: RegressionData,
}

/// What was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegressionSummary {
    /// The model.
    pub model: String,
    /// Queries that ended well.
    pub total_samples: usize,
    /// gpu | soc | module | cpu | cpu_estimated; `None`: no energy, or more than one basis.
    pub energy_basis: Option<String>,
    /// Whether the energy is an estimate from load, and no measurement.
    pub energy_is_estimated: bool,
}

/// The fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegressionData {
    /// Lines.
    pub regressions: Regressions,
    /// Energy on both kinds of tokens together; `None` with the reason in `energy_model_status`.
    pub energy_model: Option<EnergyModel>,
    /// `ok`, or why there is no energy model.
    pub energy_model_status: String,
}

/// Lines by least squares. Energy is joules of the basis, power that by seconds, tokens are counted by the
/// server, times are in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Regressions {
    /// Seconds to the first token on prompt tokens.
    pub input_tokens_vs_ttft: LineFit,
    /// Joules on all tokens.
    pub total_tokens_vs_energy: LineFit,
    /// Seconds of the query on all tokens.
    pub total_tokens_vs_latency: LineFit,
    /// Watts on all tokens.
    pub total_tokens_vs_power: LineFit,
    /// Watts on the natural logarithm of all tokens.
    pub total_tokens_vs_power_log: LineFit,
    /// Joules on prompt tokens.
    pub input_tokens_vs_energy: LineFit,
    /// Joules on generated tokens.
    pub output_tokens_vs_energy: LineFit,
    /// Watts on prompt tokens.
    pub input_tokens_vs_power: LineFit,
    /// Seconds of the query on generated tokens.
    pub output_tokens_vs_latency: LineFit,
}

impl Regressions {
    /// The lines with what they are of, those of time first.
    #[must_use]
    pub fn named(&self) -> [(&'static str, &LineFit); 9] {
        [
            ("Time to first token (s) on prompt tokens", &self.input_tokens_vs_ttft),
            ("Latency (s) on generated tokens", &self.output_tokens_vs_latency),
            ("Latency (s) on all tokens", &self.total_tokens_vs_latency),
            ("Energy (J) on prompt tokens", &self.input_tokens_vs_energy),
            ("Energy (J) on generated tokens", &self.output_tokens_vs_energy),
            ("Energy (J) on all tokens", &self.total_tokens_vs_energy),
            ("Power (W) on prompt tokens", &self.input_tokens_vs_power),
            ("Power (W) on all tokens", &self.total_tokens_vs_power),
            ("Power (W) on log of all tokens", &self.total_tokens_vs_power_log),
        ]
    }
}

/// One line. Slope and all that follows from it are `None` of fewer than two points and of one distinct x.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LineFit {
    /// Points.
    pub count: usize,
    /// By how much y rises with one more of x.
    pub slope: Option<f64>,
    /// y of no x.
    pub intercept: Option<f64>,
    /// Share of the variance of y that the line explains; `None` if y doesn't vary, either.
    pub r2: Option<f64>,
    /// Mean of y.
    pub avg_y: Option<f64>,
    /// Student's 95 % interval of the slope, for errors that are alike; from three points on.
    pub slope_ci95: Option<[f64; 2]>,
    /// Huber's fit, where it tells something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub robust: Option<RobustLine>,
}

/// A line on which single points far off have little pull.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RobustLine {
    /// By how much y rises with one more of x.
    pub slope: f64,
    /// y of no x.
    pub intercept: f64,
    /// 95 % interval of the slope.
    pub slope_ci95: Option<[f64; 2]>,
    /// Points over five robust standard deviations off.
    pub outliers: usize,
}

/// joules = intercept + joules per input token x input tokens + joules per output token x output tokens.
///
/// A `_ci95` is Student's interval, for errors that are alike; a `_ci95_hc3` holds though they may grow
/// with the tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnergyModel {
    /// The energy basis.
    pub basis: Option<String>,
    /// Queries that have both counts of tokens and energy.
    pub count: usize,
    /// What one more prompt token costs.
    pub joules_per_input_token: f64,
    /// Its interval.
    pub joules_per_input_token_ci95: Option<[f64; 2]>,
    /// Its interval for errors of any size.
    pub joules_per_input_token_ci95_hc3: Option<[f64; 2]>,
    /// What one more generated token costs.
    pub joules_per_output_token: f64,
    /// Its interval.
    pub joules_per_output_token_ci95: Option<[f64; 2]>,
    /// Its interval for errors of any size.
    pub joules_per_output_token_ci95_hc3: Option<[f64; 2]>,
    /// What a query costs beside its tokens.
    pub intercept_joules: f64,
    /// Its interval.
    pub intercept_joules_ci95: Option<[f64; 2]>,
    /// Its interval for errors of any size.
    pub intercept_joules_ci95_hc3: Option<[f64; 2]>,
    /// Share of the energies' variance that the tokens explain; `None` if the energies are all equal.
    pub r2: Option<f64>,
    /// Pearson's correlation of prompt and generated tokens: near 1 or -1 their costs are hard to tell
    /// apart.
    pub token_correlation: Option<f64>,
    /// The fewest and the most prompt tokens.
    pub input_tokens: [f64; 2],
    /// The fewest and the most generated tokens.
    pub output_tokens: [f64; 2],
    /// Huber's fit, where it tells something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub robust: Option<RobustEnergyModel>,
}

/// The energy model on which single queries far off have little pull.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RobustEnergyModel {
    /// What one more prompt token costs.
    pub joules_per_input_token: f64,
    /// Its interval.
    pub joules_per_input_token_ci95: Option<[f64; 2]>,
    /// What one more generated token costs.
    pub joules_per_output_token: f64,
    /// Its interval.
    pub joules_per_output_token_ci95: Option<[f64; 2]>,
    /// What a query costs beside its tokens.
    pub intercept_joules: f64,
    /// Its interval.
    pub intercept_joules_ci95: Option<[f64; 2]>,
    /// Queries over five robust standard deviations off.
    pub outliers: usize,
}
