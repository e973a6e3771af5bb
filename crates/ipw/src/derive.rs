//! Numbers of a record that follow from others in it: per token, per joule, per watt, FLOPs, shares of
//! the hardware's peaks, cost. Each is `None` when something it needs is.

use energy_proto::Nanos;

use crate::analysis::stats::{mean, quantile, std_dev};
use crate::attribution::measure::{Measured, Window};
use crate::client::{Exchange, Usage};
use crate::record::{ComputeMetrics, Cost, Efficiency, LatencyMetrics, ModelMetrics, TokenMetrics};

mod facts;
mod peaks;
mod utilization;

pub use facts::{FACTS, ModelFacts, fact};
pub use utilization::{IMPOSSIBLE, impossible};

const JOULES_PER_KWH: f64 = 3.6e6;

impl ModelMetrics {
    /// Puts what telemetry knows into the record, and makes all that follows from it, from what the
    /// record says of tokens and times, and from the run's facts.
    pub fn set_measured(&mut self, measured: Measured, facts: &ModelFacts) {
        self.energy_metrics = measured.energy;
        self.memory_metrics = measured.memory;
        self.temperature_metrics = measured.temperature;
        self.power_metrics = measured.power;
        self.phase_metrics = measured.phases;
        self.hardware_utilization.gpu = measured.gpu_utilization;

        let energy = &mut self.energy_metrics;
        energy.energy_per_output_token_joules =
            ratio(energy.basis_joules, count(self.token_metrics.output));
        energy.energy_per_total_token_joules =
            ratio(energy.basis_joules, count(self.token_metrics.total));
        let phases = &mut self.phase_metrics;
        phases.prefill_energy_per_input_token_j =
            ratio(phases.prefill_energy_j, count(self.token_metrics.input));
        phases.decode_energy_per_output_token_j =
            ratio(phases.decode_energy_j, count(self.token_metrics.output));
        self.compute_metrics = compute(facts, &self.token_metrics);
        self.hardware_utilization.derived = utilization::possible(self, facts);
        self.cost = cost(facts, &self.token_metrics, self.energy_metrics.basis_joules);
        self.efficiency = self.efficiency();
    }

    fn efficiency(&self) -> Efficiency {
        let joules = self.energy_metrics.basis_joules;
        let seconds = self.latency_metrics.total_query_seconds;
        let watts = ratio(joules, seconds);
        let flops = self.compute_metrics.flops_per_request;
        Efficiency {
            throughput_per_watt: ratio(self.latency_metrics.throughput_tokens_per_sec, watts),
            flops_per_joule: ratio(flops, joules),
            flops_per_watt: ratio(ratio(flops, seconds), watts),
        }
    }
}

/// Token counts; the total only if both parts are known.
#[must_use]
pub fn tokens(usage: Usage) -> TokenMetrics {
    TokenMetrics {
        input: usage.input,
        output: usage.output,
        total: usage.input.zip(usage.output).map(|(input, output)| input + output),
        cached: usage.cached,
        reasoning: usage.reasoning,
    }
}

/// FLOPs of a forward pass, 2 for each parameter and token (Kaplan et al. 2020, arXiv 2001.08361,
/// section 2.1, without the attention term). Prompt tokens taken from a cache are not computed.
fn compute(facts: &ModelFacts, tokens: &TokenMetrics) -> ComputeMetrics {
    let flops_per_token = facts.parameters.map(|parameters| 2.0 * parameters);
    // A cache that holds more than the prompt is a server's mistake.
    let cached = tokens.cached.filter(|cached| tokens.input.is_none_or(|input| *cached <= input));
    let computed = tokens.total.map(|total| (total - cached.unwrap_or(0)) as f64);
    let flops = flops_per_token.zip(computed).map(|(flops, computed)| flops * computed);
    ComputeMetrics {
        flops_per_request: flops,
        macs_per_request: flops.map(|flops| flops / 2.0),
        total_flops: flops,
        flops_per_token,
    }
}

/// Prices per million tokens and per kWh, and the grid's carbon, applied.
fn cost(facts: &ModelFacts, tokens: &TokenMetrics, joules: Option<f64>) -> Cost {
    let dollars = |price: Option<f64>, tokens: Option<i64>| {
        price.zip(tokens).map(|(price, tokens)| price * tokens as f64 / 1e6)
    };
    let of_energy = |per_kwh: Option<f64>| {
        per_kwh.zip(joules).map(|(per_kwh, joules)| per_kwh * joules / JOULES_PER_KWH)
    };
    let input = dollars(facts.price_input, tokens.input);
    let output = dollars(facts.price_output, tokens.output);
    Cost {
        input_cost_usd: input,
        output_cost_usd: output,
        total_cost_usd: input.zip(output).map(|(input, output)| input + output),
        energy_cost_usd: of_energy(facts.price_kwh),
        carbon_grams: of_energy(facts.carbon_g_per_kwh),
    }
}

/// The times of an exchange. TPOT is (total - TTFT) / (output tokens - 1); inter-token latencies are
/// those between pieces, which need not be single tokens.
#[must_use]
pub fn latency(exchange: &Exchange) -> LatencyMetrics {
    let since_start = |at: Option<Nanos>| at.map(|at| at.since(exchange.start).as_secs_f64());
    let total = exchange.end.since(exchange.start).as_secs_f64();
    let output = count(exchange.usage.output);
    let ttft = since_start(exchange.first_token);
    let mut gaps: Vec<f64> =
        exchange.pieces.windows(2).map(|pair| pair[1].since(pair[0]).as_secs_f64() * 1e3).collect();
    let itl_std_ms = std_dev(&gaps);
    gaps.sort_by(f64::total_cmp);
    LatencyMetrics {
        per_token_ms: ratio(Some(total * 1e3), output),
        throughput_tokens_per_sec: ratio(output, Some(total)),
        time_to_first_token_seconds: ttft,
        time_to_first_content_seconds: since_start(exchange.first_content),
        total_query_seconds: Some(total),
        tpot_ms: ratio(ttft.map(|ttft| (total - ttft) * 1e3), output.map(|output| output - 1.0)),
        median_itl_ms: quantile(&gaps, 0.5),
        p90_itl_ms: quantile(&gaps, 0.9),
        p95_itl_ms: quantile(&gaps, 0.95),
        p99_itl_ms: quantile(&gaps, 0.99),
        itl_std_ms,
    }
}

/// The window of an exchange.
#[must_use]
pub fn window(exchange: &Exchange) -> Window {
    Window { start: exchange.start, first_token: exchange.first_token, end: exchange.end }
}

fn count(tokens: Option<i64>) -> Option<f64> {
    tokens.map(|tokens| tokens as f64)
}

/// A quotient, unless something is missing or the divisor isn't positive.
pub(crate) fn ratio(dividend: Option<f64>, divisor: Option<f64>) -> Option<f64> {
    let divisor = divisor.filter(|divisor| *divisor > 0.0)?;
    dividend.map(|dividend| dividend / divisor)
}

/// The mean of what is known; `None` if nothing is.
#[must_use]
pub fn mean_known(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let known: Vec<f64> = values.flatten().collect();
    mean(&known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Outcome;

    fn exchange(first_token: Option<u64>, end: u64, output: Option<i64>) -> Exchange {
        Exchange {
            start: Nanos(0),
            first_byte: None,
            first_token: first_token.map(Nanos),
            first_content: first_token.map(Nanos),
            end: Nanos(end),
            pieces: vec![Nanos(100_000_000), Nanos(110_000_000), Nanos(130_000_000)],
            text: String::new(),
            reasoning: String::new(),
            usage: Usage { input: Some(10), output, ..Usage::default() },
            finish_reason: None,
            server_timing: None,
            flags: Vec::new(),
            outcome: Outcome::Complete,
        }
    }

    #[test]
    fn tpot_is_the_time_after_the_first_token_over_the_tokens_after_it() {
        let latency = latency(&exchange(Some(100_000_000), 500_000_000, Some(5)));
        assert_eq!(latency.time_to_first_token_seconds, Some(0.1));
        assert_eq!(latency.tpot_ms, Some(100.0));
        assert_eq!(latency.throughput_tokens_per_sec, Some(10.0));
        assert_eq!(latency.median_itl_ms, Some(15.0));
    }

    #[test]
    fn a_single_token_has_no_tpot_and_no_tokens_no_rate() {
        assert_eq!(latency(&exchange(Some(1), 2, Some(1))).tpot_ms, None);
        assert_eq!(latency(&exchange(Some(1), 2, None)).throughput_tokens_per_sec, None);
        assert_eq!(latency(&exchange(None, 2, Some(3))).time_to_first_token_seconds, None);
    }

    #[test]
    fn flops_are_two_for_each_parameter_and_computed_token() {
        let facts = ModelFacts { parameters: Some(1e9), ..ModelFacts::default() };
        let usage = Usage { input: Some(10), output: Some(5), cached: Some(4), reasoning: None };
        let compute = compute(&facts, &tokens(usage));
        assert_eq!(compute.flops_per_request, Some(2e9 * 11.0));
        assert_eq!(compute.macs_per_request, Some(1e9 * 11.0));
    }

    #[test]
    fn without_a_parameter_count_or_a_price_nothing_is_made_up() {
        let tokens = tokens(Usage { input: Some(10), output: None, ..Usage::default() });
        assert_eq!(tokens.total, None);
        let nothing = ModelFacts::default();
        assert_eq!(compute(&nothing, &tokens), ComputeMetrics::default());
        assert_eq!(cost(&nothing, &tokens, Some(1.0)), Cost::default());
    }

    #[test]
    fn a_price_is_applied_to_what_is_known_of_what_it_is_for() {
        let all = ModelFacts {
            price_input: Some(2.0),
            price_output: Some(6.0),
            price_kwh: Some(0.25),
            carbon_g_per_kwh: Some(400.0),
            ..ModelFacts::default()
        };
        let usage = Usage { input: Some(1_000), output: Some(500), ..Usage::default() };
        // 1,800 J are half a thousandth of a kWh.
        let whole = Cost {
            input_cost_usd: Some(0.002),
            output_cost_usd: Some(0.003),
            total_cost_usd: Some(0.005),
            energy_cost_usd: Some(0.000_125),
            carbon_grams: Some(0.2),
        };
        let no_output = Usage { output: None, ..usage };
        let cases = [
            (all, usage, Some(1_800.0), whole.clone()),
            (all, usage, None, Cost { energy_cost_usd: None, carbon_grams: None, ..whole.clone() }),
            (
                all,
                no_output,
                Some(1_800.0),
                Cost { output_cost_usd: None, total_cost_usd: None, ..whole.clone() },
            ),
            (
                ModelFacts { price_kwh: None, price_input: None, ..all },
                usage,
                Some(1_800.0),
                Cost {
                    input_cost_usd: None,
                    total_cost_usd: None,
                    energy_cost_usd: None,
                    ..whole.clone()
                },
            ),
        ];
        for (facts, usage, joules, expected) in cases {
            let found = cost(&facts, &tokens(usage), joules);
            assert_eq!(found, expected, "{facts:?} {usage:?} {joules:?}");
        }
    }

    #[test]
    fn all_that_follows_from_the_basis_is_made_anew_with_it() {
        let mut metrics = ModelMetrics {
            token_metrics: TokenMetrics {
                output: Some(4),
                total: Some(10),
                ..TokenMetrics::default()
            },
            ..ModelMetrics::default()
        };
        let facts = ModelFacts { price_kwh: Some(0.36), ..ModelFacts::default() };
        let mut measured = Measured::default();
        measured.energy.basis_joules = Some(20.0);
        metrics.set_measured(measured, &facts);
        assert_eq!(metrics.energy_metrics.energy_per_output_token_joules, Some(5.0));
        assert_eq!(metrics.energy_metrics.energy_per_total_token_joules, Some(2.0));
        assert_eq!(metrics.cost.energy_cost_usd, Some(2e-6));
        assert_eq!(metrics.efficiency, Efficiency::default());

        metrics.set_measured(Measured::default(), &facts);
        assert_eq!(metrics.energy_metrics.energy_per_output_token_joules, None);
        assert_eq!(metrics.cost, Cost::default());
    }
}
