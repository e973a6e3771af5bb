//! One row of a run: a query, its answer, and all that was measured of it. Plain data; the names of
//! the fields are the names in the Arrow file, and every field that isn't known is `None`.
//!
//! Units are in the names. `per_query_` is this query's share of a device, `total_` the device's
//! whole over the same window.

use energy_proto::{GpuInfo, SystemInfo};
use serde::{Deserialize, Serialize};

/// How a query ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryStatus {
    /// Answered to the end; a stop at the token limit (`finish_reason` `length`) is one.
    Ok,
    /// The server answered with an error, or the connection broke before the first token.
    Error,
    /// No answer, or no further token, within the time allowed.
    Timeout,
    /// The stream ended without saying that it was done.
    Truncated,
}

/// One query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProfilingRecord {
    /// The prompt.
    pub problem: String,
    /// The reference answer.
    pub answer: String,
    /// What the prompt is about.
    pub subject: String,
    /// JSON text: how the answer is scored (`scoring`), the row's id, and what else the dataset says.
    pub dataset_metadata: String,
    /// Position in the dataset.
    pub query_index: i64,
    /// How it ended.
    pub status: QueryStatus,
    /// The server's word for why generation stopped: `stop`, `length`, ...
    pub finish_reason: Option<String>,
    /// What went wrong, if something did.
    pub error: Option<String>,
    /// Unix time: just before the request was handed to an open connection.
    pub started_at_nanos: i64,
    /// Unix time: the first content or reasoning arrived.
    pub first_token_at_nanos: Option<i64>,
    /// Unix time: `[DONE]` or `done: true` arrived, or the query was given up.
    pub ended_at_nanos: i64,
    /// The response, whole or as far as it came.
    pub response: String,
    /// What was measured.
    pub metrics: ModelMetrics,
}

/// All that was measured of one query.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it, with their units")]
pub struct ModelMetrics {
    pub compute_metrics: ComputeMetrics,
    pub energy_metrics: EnergyMetrics,
    pub latency_metrics: LatencyMetrics,
    pub memory_metrics: MemoryMetrics,
    pub temperature_metrics: Stats,
    pub power_metrics: PowerMetrics,
    pub token_metrics: TokenMetrics,
    pub phase_metrics: PhaseMetrics,
    pub hardware_utilization: HardwareUtilization,
    pub efficiency: Efficiency,
    pub cost: Cost,
    pub gpu_info: Option<GpuInfo>,
    pub system_info: Option<SystemInfo>,
    /// Whether the answer is right; `None` until it is scored.
    pub lm_correctness: Option<bool>,
    /// The scored text: the response without its reasoning.
    pub lm_response: Option<String>,
    /// How it was scored.
    pub evaluation: Option<EvaluationMetrics>,
}

/// FLOPs by 2 x parameters x tokens, `None` unless the parameter count is known.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ComputeMetrics {
    pub flops_per_request: Option<f64>,
    pub macs_per_request: Option<f64>,
    pub total_flops: Option<f64>,
    pub flops_per_token: Option<f64>,
}

/// Energy of the query's window. `per_query_joules` is GPU energy; `basis` names what every derived
/// number is made from. Bounds hold for what the counter counts; `sensor_gain_error_pct` stands beside
/// them and is never inside.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it, with their units")]
pub struct EnergyMetrics {
    pub per_query_joules: Option<f64>,
    pub total_joules: Option<f64>,
    pub cpu_per_query_joules: Option<f64>,
    pub cpu_total_joules: Option<f64>,
    pub ane_per_query_joules: Option<f64>,
    pub ane_total_joules: Option<f64>,
    pub soc_per_query_joules: Option<f64>,
    pub soc_total_joules: Option<f64>,
    pub dram_per_query_joules: Option<f64>,
    pub system_per_query_joules: Option<f64>,
    pub energy_per_output_token_joules: Option<f64>,
    pub energy_per_total_token_joules: Option<f64>,
    pub per_query_joules_lower: Option<f64>,
    pub per_query_joules_upper: Option<f64>,
    pub per_query_joules_ci95: Option<f64>,
    /// gpu | soc | module | cpu | cpu_estimated
    pub basis: Option<String>,
    pub basis_joules: Option<f64>,
    pub basis_joules_lower: Option<f64>,
    pub basis_joules_upper: Option<f64>,
    /// Bounds that trust power not to exceed the devices' limits by more than a tenth.
    pub basis_joules_lower_limited: Option<f64>,
    pub basis_joules_upper_limited: Option<f64>,
    pub basis_joules_ci95: Option<f64>,
    pub net_basis_joules: Option<f64>,
    /// counter | integrated | estimated
    pub method: Option<String>,
    /// Share of the window in which every member of the basis was observed, 0 to 1.
    pub coverage: Option<f64>,
    pub sensor_gain_error_pct: Option<f64>,
    /// `ok`, or why a figure is missing.
    pub status: Option<String>,
    pub devices: Vec<DeviceEnergy>,
}

/// One device's whole energy in the query's window, counted in the basis or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it, with their units")]
pub struct DeviceEnergy {
    pub sensor: String,
    pub host: String,
    pub joules: Option<f64>,
    pub lower: Option<f64>,
    pub upper: Option<f64>,
}

/// Times of the query. Inter-token latency is per chunk: servers may put several tokens in one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it, with their units")]
pub struct LatencyMetrics {
    pub per_token_ms: Option<f64>,
    pub throughput_tokens_per_sec: Option<f64>,
    pub time_to_first_token_seconds: Option<f64>,
    pub time_to_first_content_seconds: Option<f64>,
    pub total_query_seconds: Option<f64>,
    pub tpot_ms: Option<f64>,
    pub median_itl_ms: Option<f64>,
    pub p90_itl_ms: Option<f64>,
    pub p95_itl_ms: Option<f64>,
    pub p99_itl_ms: Option<f64>,
    pub itl_std_ms: Option<f64>,
}

/// A figure over the query's window.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Stats {
    pub avg: Option<f64>,
    pub max: Option<f64>,
    pub median: Option<f64>,
    pub min: Option<f64>,
}

/// Occupied memory in MiB.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it, with their units")]
pub struct MemoryMetrics {
    pub cpu_mb: Stats,
    pub gpu_mb: Stats,
}

/// Power of one group of devices.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it, with their units")]
pub struct PowerPair {
    pub per_query_watts: Stats,
    pub total_watts: Stats,
}

/// Power by group of devices.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct PowerMetrics {
    pub gpu: PowerPair,
    pub cpu: PowerPair,
    pub ane: PowerPair,
    pub soc: PowerPair,
}

/// Tokens, as the server counts them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct TokenMetrics {
    pub input: Option<i64>,
    pub output: Option<i64>,
    pub total: Option<i64>,
    pub cached: Option<i64>,
    pub reasoning: Option<i64>,
}

/// The window split at the first token; both parts sum to the whole.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it, with their units")]
pub struct PhaseMetrics {
    pub prefill_energy_j: Option<f64>,
    pub decode_energy_j: Option<f64>,
    pub prefill_duration_ms: Option<f64>,
    pub decode_duration_ms: Option<f64>,
    pub prefill_power_avg_w: Option<f64>,
    pub decode_power_avg_w: Option<f64>,
    pub prefill_energy_per_input_token_j: Option<f64>,
    pub decode_energy_per_output_token_j: Option<f64>,
    /// The energy basis of this group, or why there is none.
    pub basis: Option<String>,
}

/// How busy the hardware was.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct HardwareUtilization {
    pub gpu: GpuUtilization,
    pub derived: DerivedUtilization,
}

/// Means over the window and the counted GPUs; memory is their sum, in GiB.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it, with their units")]
pub struct GpuUtilization {
    pub compute_utilization_pct: Option<f64>,
    pub memory_bandwidth_utilization_pct: Option<f64>,
    pub tensor_core_utilization_pct: Option<f64>,
    pub memory_used_gb: Option<f64>,
    pub memory_total_gb: Option<f64>,
}

/// Ratios to the hardware's peaks.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the field's own terms")]
pub struct DerivedUtilization {
    pub mfu: Option<f64>,
    pub mbu: Option<f64>,
    pub arithmetic_intensity: Option<f64>,
}

/// Work per joule and per watt, from the basis.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it, with their units")]
pub struct Efficiency {
    pub throughput_per_watt: Option<f64>,
    pub flops_per_joule: Option<f64>,
    pub flops_per_watt: Option<f64>,
}

/// Money and carbon, where the user gave prices.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it, with their units")]
pub struct Cost {
    pub input_cost_usd: Option<f64>,
    pub output_cost_usd: Option<f64>,
    pub total_cost_usd: Option<f64>,
    pub energy_cost_usd: Option<f64>,
    pub carbon_grams: Option<f64>,
}

/// How the answer was scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationMetrics {
    /// `None`: could not be decided (no evaluator for it yet).
    pub is_correct: Option<bool>,
    /// The evaluator and the rule that fired, e.g. `letter:answer_is`.
    pub method: String,
    /// JSON text: `verdict` (correct | incorrect | unparsed | unevaluated) and what was extracted.
    pub metadata: String,
}
