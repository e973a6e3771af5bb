//! The columns of the rows: names and types as other programs rely on them. Every field may be null.

use arrow2::datatypes::{DataType, Field, Schema};

/// The column that holds the answer, below the model's name.
pub(super) const ANSWERS: &str = "model_answers";
/// The column that holds the measurements, below the model's name.
pub(super) const METRICS: &str = "model_metrics";

/// The columns of a run on `model`.
pub(super) fn rows_schema(model: &str) -> Schema {
    Schema::from(vec![
        text("problem"),
        text("answer"),
        text("subject"),
        text("dataset_metadata"),
        group(ANSWERS, vec![text(model)]),
        group(METRICS, vec![group(model, model_metrics())]),
        integer("query_index"),
        text("status"),
        text("finish_reason"),
        text("error"),
        integer("started_at_nanos"),
        integer("first_token_at_nanos"),
        integer("ended_at_nanos"),
    ])
}

/// The model whose rows have this schema: the only name below both columns of the model's.
pub(super) fn model_of(schema: &Schema) -> Option<&str> {
    let only_child = |column: &str| {
        let field = schema.fields.iter().find(|field| field.name == column)?;
        match &field.data_type {
            DataType::Struct(children) if children.len() == 1 => Some(children[0].name.as_str()),
            _ => None,
        }
    };
    only_child(ANSWERS).filter(|model| only_child(METRICS) == Some(model))
}

fn model_metrics() -> Vec<Field> {
    vec![
        group("compute_metrics", compute_metrics()),
        group("energy_metrics", energy_metrics()),
        group("latency_metrics", latency_metrics()),
        group("memory_metrics", vec![stats("cpu_mb"), stats("gpu_mb")]),
        stats("temperature_metrics"),
        group("power_metrics", ["gpu", "cpu", "ane", "soc"].map(power_pair).into()),
        group("token_metrics", token_metrics()),
        group("phase_metrics", phase_metrics()),
        group("hardware_utilization", hardware_utilization()),
        group("efficiency", efficiency()),
        group("cost", cost()),
        group("gpu_info", gpu_info()),
        group("system_info", system_info()),
        boolean("lm_correctness"),
        text("lm_response"),
        group("evaluation", vec![boolean("is_correct"), text("method"), text("metadata")]),
    ]
}

fn compute_metrics() -> Vec<Field> {
    floats(&["flops_per_request", "macs_per_request", "total_flops", "flops_per_token"])
}

fn energy_metrics() -> Vec<Field> {
    let mut fields = floats(&[
        "per_query_joules",
        "total_joules",
        "cpu_per_query_joules",
        "cpu_total_joules",
        "ane_per_query_joules",
        "ane_total_joules",
        "soc_per_query_joules",
        "soc_total_joules",
        "dram_per_query_joules",
        "system_per_query_joules",
        "energy_per_output_token_joules",
        "energy_per_total_token_joules",
        "per_query_joules_lower",
        "per_query_joules_upper",
        "per_query_joules_ci95",
    ]);
    fields.push(text("basis"));
    fields.extend(floats(&[
        "basis_joules",
        "basis_joules_lower",
        "basis_joules_upper",
        "basis_joules_lower_limited",
        "basis_joules_upper_limited",
        "basis_joules_ci95",
        "net_basis_joules",
    ]));
    fields.push(text("method"));
    fields.extend(floats(&["coverage", "sensor_gain_error_pct"]));
    fields.push(text("status"));
    fields.push(devices());
    fields
}

fn devices() -> Field {
    let mut device = vec![text("sensor"), text("host")];
    device.extend(floats(&["joules", "lower", "upper"]));
    Field::new("devices", DataType::List(Box::new(group("item", device))), true)
}

fn latency_metrics() -> Vec<Field> {
    floats(&[
        "per_token_ms",
        "throughput_tokens_per_sec",
        "time_to_first_token_seconds",
        "time_to_first_content_seconds",
        "total_query_seconds",
        "tpot_ms",
        "median_itl_ms",
        "p90_itl_ms",
        "p95_itl_ms",
        "p99_itl_ms",
        "itl_std_ms",
    ])
}

fn power_pair(name: &str) -> Field {
    group(name, vec![stats("per_query_watts"), stats("total_watts")])
}

fn stats(name: &str) -> Field {
    group(name, floats(&["avg", "max", "median", "min"]))
}

fn token_metrics() -> Vec<Field> {
    ["input", "output", "total", "cached", "reasoning"].map(integer).into()
}

fn phase_metrics() -> Vec<Field> {
    let mut fields = floats(&[
        "prefill_energy_j",
        "decode_energy_j",
        "prefill_duration_ms",
        "decode_duration_ms",
        "prefill_power_avg_w",
        "decode_power_avg_w",
        "prefill_energy_per_input_token_j",
        "decode_energy_per_output_token_j",
    ]);
    fields.push(text("basis"));
    fields
}

fn hardware_utilization() -> Vec<Field> {
    let gpu = floats(&[
        "compute_utilization_pct",
        "memory_bandwidth_utilization_pct",
        "tensor_core_utilization_pct",
        "memory_used_gb",
        "memory_total_gb",
    ]);
    vec![group("gpu", gpu), group("derived", floats(&["mfu", "mbu", "arithmetic_intensity"]))]
}

fn efficiency() -> Vec<Field> {
    floats(&["throughput_per_watt", "flops_per_joule", "flops_per_watt"])
}

fn cost() -> Vec<Field> {
    floats(&[
        "input_cost_usd",
        "output_cost_usd",
        "total_cost_usd",
        "energy_cost_usd",
        "carbon_grams",
    ])
}

fn gpu_info() -> Vec<Field> {
    vec![
        text("name"),
        text("vendor"),
        Field::new("device_id", DataType::UInt64, true),
        text("device_type"),
        text("backend"),
    ]
}

fn system_info() -> Vec<Field> {
    vec![
        text("os_name"),
        text("os_version"),
        text("kernel_version"),
        text("host_name"),
        Field::new("cpu_count", DataType::UInt32, true),
        text("cpu_brand"),
    ]
}

fn group(name: &str, children: Vec<Field>) -> Field {
    Field::new(name, DataType::Struct(children), true)
}

fn floats(names: &[&str]) -> Vec<Field> {
    names.iter().map(|name| Field::new(*name, DataType::Float64, true)).collect()
}

fn integer(name: &str) -> Field {
    Field::new(name, DataType::Int64, true)
}

fn boolean(name: &str) -> Field {
    Field::new(name, DataType::Boolean, true)
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}
