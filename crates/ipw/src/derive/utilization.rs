//! Shares of the hardware's peaks: MFU of a whole query, MBU of its decode, and what the decode computes
//! for a byte. A share above 1 isn't one: something that it was made from isn't true.
//!
//! MFU is the query's FLOPs over what all counted devices could have done in its time (Chowdhery et al.
//! 2022, arXiv 2204.02311, appendix B, without the attention term). MBU is the bytes that a token reads
//! over what their memories could have moved in the time that a token took (Databricks, "LLM Inference
//! Performance Engineering: Best Practices", 2023). Both are the query's own: of queries at once, each
//! has a part of the devices' MFU, and its MBU leaves the keys and values of the others out.

use super::{ModelFacts, count, ratio};
use crate::record::{DerivedUtilization, ModelMetrics, ProfilingRecord, TokenMetrics};

/// What every warning of [`impossible`] has in it.
pub const IMPOSSIBLE: &str = "above 1, which can't be";

/// A share of a peak.
struct Share {
    name: &'static str,
    of: fn(&DerivedUtilization) -> Option<f64>,
    /// What isn't true if it comes out above 1.
    doubt: &'static str,
}

const SHARES: [Share; 2] = [
    Share {
        name: "MFU",
        of: |raw| raw.mfu,
        doubt: "the number of parameters or peak_tflops isn't true, or prompt tokens came from a cache \
                that the server doesn't tell of",
    },
    Share {
        name: "MBU",
        of: |raw| raw.mbu,
        doubt: "weight_bytes, kv_bytes_per_token or peak_gb_per_s isn't true, or the server decodes \
                several tokens in a step",
    },
];

/// What follows for a query, without shares above 1.
pub(super) fn possible(metrics: &ModelMetrics, facts: &ModelFacts) -> DerivedUtilization {
    let raw = raw(metrics, facts);
    let share = |value: Option<f64>| value.filter(|value| *value <= 1.0);
    DerivedUtilization { mfu: share(raw.mfu), mbu: share(raw.mbu), ..raw }
}

/// What the user should know of shares that came out above 1.
#[must_use]
pub fn impossible(records: &[ProfilingRecord], facts: &ModelFacts) -> Vec<String> {
    let raws: Vec<DerivedUtilization> =
        records.iter().map(|record| raw(&record.metrics, facts)).collect();
    let warning = |Share { name, of, doubt }: &Share| {
        let above: Vec<f64> = raws.iter().filter_map(of).filter(|share| *share > 1.0).collect();
        let most = above.iter().copied().reduce(f64::max)?;
        Some(format!(
            "{name} of {} of {} queries came out {IMPOSSIBLE}, and is left null (the largest: \
             {most:.2}): {doubt}",
            above.len(),
            records.len()
        ))
    };
    SHARES.iter().filter_map(warning).collect()
}

fn raw(metrics: &ModelMetrics, facts: &ModelFacts) -> DerivedUtilization {
    let compute = &metrics.compute_metrics;
    let seconds = metrics.latency_metrics.total_query_seconds;
    let seconds_per_token = metrics.latency_metrics.tpot_ms.map(|millis| millis * 1e-3);
    let bytes = bytes_per_token(facts, &metrics.token_metrics);
    DerivedUtilization {
        mfu: ratio(ratio(compute.flops_per_request, seconds), facts.peak_flops_per_second),
        mbu: ratio(ratio(bytes, seconds_per_token), facts.peak_bytes_per_second),
        arithmetic_intensity: ratio(compute.flops_per_token, bytes),
    }
}

/// Bytes that are read to decode a token: the weights, and keys and values of the tokens before it.
/// These are counted as their mean over the tokens that TPOT is the mean of, the second to the last:
/// before the n-th stand the prompt and n - 1 others.
fn bytes_per_token(facts: &ModelFacts, tokens: &TokenMetrics) -> Option<f64> {
    let output = count(tokens.output.filter(|output| *output > 1))?;
    let context = count(tokens.input)? + output / 2.0;
    Some(facts.weight_bytes? + facts.kv_bytes_per_token? * context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ComputeMetrics, LatencyMetrics, QueryStatus};

    /// Llama 3.1 8B in BF16 on one H100 SXM: 32 layers of 8 key-value heads of 128 values each.
    const FACTS: ModelFacts = ModelFacts {
        parameters: Some(8e9),
        weight_bytes: Some(16e9),
        kv_bytes_per_token: Some(131_072.0),
        peak_flops_per_second: Some(989.5e12),
        peak_bytes_per_second: Some(3.35e12),
        price_input: None,
        price_output: None,
        price_kwh: None,
        carbon_g_per_kwh: None,
    };

    /// 1,000 prompt tokens, 200 generated at 8 ms each, 1.65 s in all.
    fn query() -> ModelMetrics {
        ModelMetrics {
            compute_metrics: ComputeMetrics {
                flops_per_request: Some(1_200.0 * 16e9),
                flops_per_token: Some(16e9),
                ..ComputeMetrics::default()
            },
            latency_metrics: LatencyMetrics {
                total_query_seconds: Some(1.65),
                tpot_ms: Some(8.0),
                ..LatencyMetrics::default()
            },
            token_metrics: TokenMetrics {
                input: Some(1_000),
                output: Some(200),
                ..TokenMetrics::default()
            },
            ..ModelMetrics::default()
        }
    }

    fn record(metrics: ModelMetrics) -> ProfilingRecord {
        ProfilingRecord {
            problem: String::new(),
            answer: String::new(),
            subject: String::new(),
            dataset_metadata: "{}".to_owned(),
            query_index: 0,
            status: QueryStatus::Ok,
            finish_reason: None,
            error: None,
            started_at_nanos: 0,
            first_token_at_nanos: None,
            ended_at_nanos: 0,
            response: String::new(),
            metrics,
        }
    }

    #[test]
    fn the_shares_of_a_known_model_on_a_known_board() {
        let found = possible(&query(), &FACTS);
        // 19.2 TFLOP in 1.65 s of 989.5 TFLOP/s.
        let mfu = 19.2 / 1.65 / 989.5;
        // 16 GB and 1,100 tokens of 131,072 bytes in 8 ms: 2.018 TB/s of 3.35.
        let bytes = 16e9 + 144_179_200.0;
        let mbu = bytes / 0.008 / 3.35e12;
        for (found, expected, digits) in [
            (found.mfu, mfu, 0.011_76),
            (found.mbu, mbu, 0.602_4),
            (found.arithmetic_intensity, 16e9 / bytes, 0.991_1),
        ] {
            let found = found.expect("all is known");
            assert!((found / expected - 1.0).abs() < 1e-12, "{found} {expected}");
            assert!((found / digits - 1.0).abs() < 1e-3, "{found} {digits}");
        }
    }

    #[test]
    fn two_tokens_have_one_decode_step_and_it_reads_one_of_them() {
        let mut metrics = query();
        metrics.token_metrics.output = Some(2);
        let bytes = bytes_per_token(&FACTS, &metrics.token_metrics);
        assert_eq!(bytes, Some(16e9 + 131_072.0 * 1_001.0));
    }

    type Change = fn(&mut ModelMetrics, &mut ModelFacts);

    /// Whether MFU, MBU and arithmetic intensity are known.
    fn known(change: Change) -> [bool; 3] {
        let (mut metrics, mut facts) = (query(), FACTS);
        change(&mut metrics, &mut facts);
        let found = possible(&metrics, &facts);
        [found.mfu, found.mbu, found.arithmetic_intensity].map(|value| value.is_some())
    }

    #[test]
    fn what_is_made_from_something_unknown_is_unknown() {
        let cases: [(&str, Change, [bool; 3]); 12] = [
            ("nothing", |_, _| (), [true, true, true]),
            ("weight bytes", |_, facts| facts.weight_bytes = None, [true, false, false]),
            ("KV bytes", |_, facts| facts.kv_bytes_per_token = None, [true, false, false]),
            ("peak FLOPS", |_, facts| facts.peak_flops_per_second = None, [false, true, true]),
            (
                "peak of zero",
                |_, facts| facts.peak_flops_per_second = Some(0.0),
                [false, true, true],
            ),
            ("peak bytes", |_, facts| facts.peak_bytes_per_second = None, [true, false, true]),
            (
                "parameters",
                |query, _| query.compute_metrics = ComputeMetrics::default(),
                [false, true, false],
            ),
            (
                "seconds",
                |query, _| query.latency_metrics.total_query_seconds = None,
                [false, true, true],
            ),
            ("TPOT", |query, _| query.latency_metrics.tpot_ms = None, [true, false, true]),
            ("input", |query, _| query.token_metrics.input = None, [true, false, false]),
            ("output", |query, _| query.token_metrics.output = None, [true, false, false]),
            ("a decode", |query, _| query.token_metrics.output = Some(1), [true, false, false]),
        ];
        for (missing, change, expected) in cases {
            assert_eq!(known(change), expected, "without {missing}");
        }
    }

    #[test]
    fn a_share_above_one_is_null_and_warned_of() {
        let slow = ModelFacts {
            peak_flops_per_second: Some(1e13),
            peak_bytes_per_second: Some(1e12),
            ..FACTS
        };
        let found = possible(&query(), &slow);
        assert_eq!((found.mfu, found.mbu), (None, None));
        assert!(found.arithmetic_intensity.is_some(), "it is no share");

        let mut slower = query();
        slower.latency_metrics.total_query_seconds = Some(3.3);
        let records = [record(query()), record(slower), record(ModelMetrics::default())];
        let warnings = impossible(&records, &slow);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        let mfu = "MFU of 1 of 3 queries came out above 1, which can't be, and is left null (the \
                   largest: 1.16): the number of parameters";
        let mbu = "MBU of 2 of 3 queries came out above 1, which can't be, and is left null (the \
                   largest: 2.02): weight_bytes";
        assert!(warnings[0].starts_with(mfu), "{warnings:?}");
        assert!(warnings[1].starts_with(mbu), "{warnings:?}");
        assert_eq!(impossible(&records, &FACTS), Vec::<String>::new());
    }
}
