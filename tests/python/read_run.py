"""Reads a run's directory the way other programs do, with pyarrow and HuggingFace datasets.

    read_run.py MODEL DIRECTORY...

Checks the columns against the contract, spelled out here a second time, and that the rows are the
same by both roads. Prints one JSON object a directory, one a line: `rows` and `telemetry` (each row
as a dict; telemetry is None without the file), `fingerprint` (that by which `datasets` caches) and
`mapped` (a column made by `Dataset.map`, through its cache). What breaks the contract is a failed
assertion.
"""

import json
import pathlib
import sys

import datasets
import pyarrow as pa

STATS = ["avg", "max", "median", "min"]


def group(*fields):
    return pa.struct(list(fields))


def floats(*names):
    return [pa.field(name, pa.float64()) for name in names]


def texts(*names):
    return [pa.field(name, pa.utf8()) for name in names]


def stats(name):
    return pa.field(name, group(*floats(*STATS)))


def power(name):
    return pa.field(name, group(stats("per_query_watts"), stats("total_watts")))


def model_metrics():
    device = group(*texts("sensor", "host"), *floats("joules", "lower", "upper"))
    compute = floats("flops_per_request", "macs_per_request", "total_flops", "flops_per_token")
    energy = [
        *floats(
            "per_query_joules", "total_joules", "cpu_per_query_joules", "cpu_total_joules",
            "ane_per_query_joules", "ane_total_joules", "soc_per_query_joules", "soc_total_joules",
            "dram_per_query_joules", "system_per_query_joules", "energy_per_output_token_joules",
            "energy_per_total_token_joules", "per_query_joules_lower", "per_query_joules_upper",
            "per_query_joules_ci95",
        ),
        *texts("basis"),
        *floats(
            "basis_joules", "basis_joules_lower", "basis_joules_upper",
            "basis_joules_lower_limited", "basis_joules_upper_limited", "basis_joules_ci95",
            "net_basis_joules",
        ),
        *texts("method"),
        *floats("coverage", "sensor_gain_error_pct"),
        *texts("status"),
        pa.field("devices", pa.list_(pa.field("item", device))),
    ]
    latency = floats(
        "per_token_ms", "throughput_tokens_per_sec", "time_to_first_token_seconds",
        "time_to_first_content_seconds", "total_query_seconds", "tpot_ms", "median_itl_ms",
        "p90_itl_ms", "p95_itl_ms", "p99_itl_ms", "itl_std_ms",
    )
    tokens = [
        pa.field(name, pa.int64()) for name in ["input", "output", "total", "cached", "reasoning"]
    ]
    phases = [
        *floats(
            "prefill_energy_j", "decode_energy_j", "prefill_duration_ms", "decode_duration_ms",
            "prefill_power_avg_w", "decode_power_avg_w", "prefill_energy_per_input_token_j",
            "decode_energy_per_output_token_j",
        ),
        *texts("basis"),
    ]
    gpu = floats(
        "compute_utilization_pct", "memory_bandwidth_utilization_pct",
        "tensor_core_utilization_pct", "memory_used_gb", "memory_total_gb",
    )
    derived = floats("mfu", "mbu", "arithmetic_intensity")
    efficiency = floats("throughput_per_watt", "flops_per_joule", "flops_per_watt")
    cost = floats(
        "input_cost_usd", "output_cost_usd", "total_cost_usd", "energy_cost_usd", "carbon_grams"
    )
    gpu_info = [
        *texts("name", "vendor"),
        pa.field("device_id", pa.uint64()),
        *texts("device_type", "backend"),
    ]
    system_info = [
        *texts("os_name", "os_version", "kernel_version", "host_name"),
        pa.field("cpu_count", pa.uint32()),
        *texts("cpu_brand"),
    ]
    evaluation = [pa.field("is_correct", pa.bool_()), *texts("method", "metadata")]
    return group(
        pa.field("compute_metrics", group(*compute)),
        pa.field("energy_metrics", group(*energy)),
        pa.field("latency_metrics", group(*latency)),
        pa.field("memory_metrics", group(stats("cpu_mb"), stats("gpu_mb"))),
        stats("temperature_metrics"),
        pa.field("power_metrics", group(*map(power, ["gpu", "cpu", "ane", "soc"]))),
        pa.field("token_metrics", group(*tokens)),
        pa.field("phase_metrics", group(*phases)),
        pa.field(
            "hardware_utilization",
            group(pa.field("gpu", group(*gpu)), pa.field("derived", group(*derived))),
        ),
        pa.field("efficiency", group(*efficiency)),
        pa.field("cost", group(*cost)),
        pa.field("gpu_info", group(*gpu_info)),
        pa.field("system_info", group(*system_info)),
        pa.field("lm_correctness", pa.bool_()),
        *texts("lm_response"),
        pa.field("evaluation", group(*evaluation)),
    )


def rows_schema(model):
    return pa.schema([
        *texts("problem", "answer", "subject", "dataset_metadata"),
        pa.field("model_answers", group(pa.field(model, pa.utf8()))),
        pa.field("model_metrics", group(pa.field(model, model_metrics()))),
        pa.field("query_index", pa.int64()),
        *texts("status", "finish_reason", "error"),
        pa.field("started_at_nanos", pa.int64()),
        pa.field("first_token_at_nanos", pa.int64()),
        pa.field("ended_at_nanos", pa.int64()),
    ])


def read_stream(path):
    with pa.ipc.open_stream(path) as stream:
        batches = list(stream)
        return stream.schema, batches


def check_state(directory):
    state = json.loads((directory / "state.json").read_text())
    fingerprint = state.pop("_fingerprint")
    assert len(fingerprint) == 16 and int(fingerprint, 16) >= 0, fingerprint
    assert state == {
        "_data_files": [{"filename": "data-00000-of-00001.arrow"}],
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }, state
    assert "features" not in json.loads((directory / "dataset_info.json").read_text())


def read_rows(directory, model):
    schema, batches = read_stream(directory / "data-00000-of-00001.arrow")
    assert schema.equals(rows_schema(model)), schema
    for batch in batches:
        batch.validate(full=True)
        assert batch.num_rows <= 1024, batch.num_rows
        assert batch.num_rows == 1 or batch.nbytes <= 64 << 20, batch.nbytes
    return [row for batch in batches for row in batch.to_pylist()]


def read_telemetry(directory):
    path = directory / "telemetry.arrow"
    if not path.exists():
        return None
    _, batches = read_stream(path)
    return [row for batch in batches for row in batch.to_pylist()]


def read_run(directory, model):
    check_state(directory)
    rows = read_rows(directory, model)
    dataset = datasets.load_from_disk(str(directory))
    assert list(dataset) == rows, "datasets and pyarrow disagree"
    mapped = []
    if rows:
        mapped = list(dataset.map(lambda row: {"twice": row["query_index"] * 2})["twice"])
    return {
        "rows": rows,
        "fingerprint": dataset._fingerprint,
        "mapped": mapped,
        "telemetry": read_telemetry(directory),
    }


def main(model, *directories):
    datasets.disable_progress_bars()
    for directory in directories:
        print(json.dumps(read_run(pathlib.Path(directory), model)))


if __name__ == "__main__":
    main(*sys.argv[1:])
