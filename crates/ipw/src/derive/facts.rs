//! What derived numbers are made from beside what was measured: the model's size, prices, and the
//! peaks of the counted devices. All of it stands in a run's summary, so that the final pass makes the
//! same numbers from the run's directory alone.

use std::collections::BTreeSet;

use energy_proto::{SensorInfo, SensorKind};
use serde_json::Value;

use super::peaks::{self, Peaks};
use crate::attribution::basis::{self, BasisKind};
use crate::client::ServerInfo;
use crate::hardware::is_replayed;
use crate::results::{Segment, Summary};
use crate::telemetry::original;

/// Names of the client parameters that are facts for us and no fields for the server.
pub const FACTS: [&str; 10] = [
    "parameters",
    "active_parameters",
    "weight_bytes",
    "kv_bytes_per_token",
    "peak_tflops",
    "peak_gb_per_s",
    "price_input",
    "price_output",
    "price_kwh",
    "carbon_g_per_kwh",
];

/// A fact's value: a number that isn't negative.
#[must_use]
pub fn fact(value: &Value) -> Option<f64> {
    value.as_f64().filter(|number| *number >= 0.0)
}

/// What is known beside what was measured. `None`: neither the user, the server nor a data sheet says.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ModelFacts {
    /// Number of parameters that a token is computed with.
    pub parameters: Option<f64>,
    /// Bytes of weights that are read to decode a token.
    pub weight_bytes: Option<f64>,
    /// Bytes of keys and values that are kept of a token, over all layers.
    pub kv_bytes_per_token: Option<f64>,
    /// Peak of all counted devices together, in FLOP/s.
    pub peak_flops_per_second: Option<f64>,
    /// Peak of the memories of all counted devices together, in bytes/s.
    pub peak_bytes_per_second: Option<f64>,
    /// US dollars for a million prompt tokens.
    pub price_input: Option<f64>,
    /// US dollars for a million generated tokens.
    pub price_output: Option<f64>,
    /// US dollars for a kWh of electricity.
    pub price_kwh: Option<f64>,
    /// Grams of CO2e for a kWh of electricity.
    pub carbon_g_per_kwh: Option<f64>,
}

impl ModelFacts {
    /// The facts of a run. What the user gave goes before what the server told and data sheets say.
    #[must_use]
    pub fn of(summary: &Summary) -> Self {
        let params = summary.profiler_config.get("client_params");
        Self::known(params, &summary.client_info, &summary.segments)
    }

    fn known(params: Option<&Value>, server: &ServerInfo, segments: &[Segment]) -> Self {
        let given = |name: &str| fact(params?.get(name)?);
        // Of a mixture of experts a server tells all parameters, and a token takes only some of them.
        let is_dense = server.expert_count.is_none();
        let told = server.parameter_count.filter(|_| is_dense).map(|count| count as f64);
        let devices = common(segments);
        let peak = |name: &str, unit: f64, of_boards: fn(Peaks) -> f64| {
            let devices = devices?;
            let of_all = given(name).map(|of_one| of_one * unit * devices.count as f64);
            of_all.or(devices.peaks.map(of_boards))
        };
        Self {
            parameters: given("active_parameters").or(given("parameters")).or(told),
            weight_bytes: given("weight_bytes"),
            kv_bytes_per_token: given("kv_bytes_per_token"),
            peak_flops_per_second: peak("peak_tflops", 1e12, |peaks| peaks.flops_per_second),
            peak_bytes_per_second: peak("peak_gb_per_s", 1e9, |peaks| peaks.bytes_per_second),
            price_input: given("price_input"),
            price_output: given("price_output"),
            price_kwh: given("price_kwh"),
            carbon_g_per_kwh: given("carbon_g_per_kwh"),
        }
    }
}

/// The counted devices that compute.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Devices {
    count: usize,
    /// Of all of them together; `None` if one isn't in the table.
    peaks: Option<Peaks>,
}

/// The devices of a run, if all its segments had the same.
fn common(segments: &[Segment]) -> Option<Devices> {
    let mut devices = segments.iter().map(devices);
    let first = devices.next()??;
    devices.all(|other| other == Some(first)).then_some(first)
}

/// Counted GPUs; where none is, the processors or the chip that the energy is of.
fn devices(segment: &Segment) -> Option<Devices> {
    // A trace's devices are not the server's, and an original monitor doesn't say how many it sums.
    let is_original = |sensor: &SensorInfo| sensor.source == original::SOURCE;
    if is_replayed(&segment.sensors) || segment.sensors.iter().any(is_original) {
        return None;
    }
    let counted: BTreeSet<u32> = segment.counted.iter().copied().collect();
    let basis = basis::choose(&segment.sensors, &counted).ok();
    // The rails of one chip are several members.
    if basis.as_ref().is_some_and(|basis| basis.kind == BasisKind::Soc) {
        return Some(Devices { count: 1, peaks: None });
    }
    let boards = || {
        let counted = segment.sensors.iter().filter(|sensor| counted.contains(&sensor.id));
        counted.filter(|sensor| sensor.kind == SensorKind::Gpu)
    };
    let count = boards().count();
    if count > 0 {
        return Some(Devices { count, peaks: together(boards()) });
    }
    let members = basis?.members;
    let computes =
        |sensor: &&SensorInfo| members.contains(&sensor.id) && sensor.kind != SensorKind::Dram;
    let count = segment.sensors.iter().filter(computes).count();
    Some(Devices { count, peaks: None })
}

/// The peaks of several boards together, which need not be of one kind.
fn together<'a>(boards: impl Iterator<Item = &'a SensorInfo>) -> Option<Peaks> {
    let none = Peaks { flops_per_second: 0.0, bytes_per_second: 0.0 };
    boards.map(|board| peaks::of_board(&board.name)).try_fold(none, |sum, board| {
        let board = board?;
        Some(Peaks {
            flops_per_second: sum.flops_per_second + board.flops_per_second,
            bytes_per_second: sum.bytes_per_second + board.bytes_per_second,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use energy_proto::{ClockAnchor, Nanos};
    use serde_json::json;

    fn sensor(id: u32, kind: SensorKind, source: &str, name: &str) -> SensorInfo {
        SensorInfo {
            name: name.into(),
            measures: vec!["energy".into()],
            ..SensorInfo::new(id, kind, source)
        }
    }

    fn board(id: u32, name: &str) -> SensorInfo {
        sensor(id, SensorKind::Gpu, "nvml", name)
    }

    fn segment(sensors: Vec<SensorInfo>, counted: &[u32]) -> Segment {
        Segment {
            started_at: String::new(),
            boot_id: None,
            anchor: ClockAnchor { monotonic: Nanos(0), unix_nanos: 0 },
            idle: None,
            sensors,
            counted: counted.to_vec(),
            no_energy: None,
            clock_uncertainty_nanos: 0,
        }
    }

    /// Peaks in TFLOPS and GB/s with what the user gave, on the devices of one segment.
    fn peaks(
        given: Value,
        sensors: Vec<SensorInfo>,
        counted: &[u32],
    ) -> (Option<f64>, Option<f64>) {
        let segments = [segment(sensors, counted)];
        let facts = ModelFacts::known(Some(&given), &ServerInfo::default(), &segments);
        let tera = |peak: f64| (peak / 1e10).round() / 100.0;
        let giga = |peak: f64| (peak / 1e9).round();
        (facts.peak_flops_per_second.map(tera), facts.peak_bytes_per_second.map(giga))
    }

    const H100: &str = "NVIDIA H100 80GB HBM3";
    const A100: &str = "NVIDIA A100-SXM4-80GB";

    #[test]
    fn peaks_are_those_of_all_counted_boards_together() {
        let two = || vec![board(0, H100), board(1, H100)];
        assert_eq!(peaks(json!({}), two(), &[0, 1]), (Some(1_979.0), Some(6_700.0)));
        assert_eq!(peaks(json!({}), two(), &[1]), (Some(989.5), Some(3_350.0)));
        let mixed = vec![board(0, H100), board(1, A100)];
        assert_eq!(peaks(json!({}), mixed, &[0, 1]), (Some(1_301.5), Some(5_389.0)));
        let unknown = vec![board(0, H100), board(1, "FAKE GPU")];
        assert_eq!(peaks(json!({}), unknown, &[0, 1]), (None, None));
    }

    #[test]
    fn what_the_user_gives_is_of_one_device_and_goes_before_the_data_sheet() {
        let two = || vec![board(0, H100), board(1, H100)];
        let given = json!({"peak_tflops": 1_979.0});
        assert_eq!(peaks(given, two(), &[0, 1]), (Some(3_958.0), Some(6_700.0)));
        let given = json!({"peak_tflops": 10, "peak_gb_per_s": 100});
        let unknown = vec![board(0, "FAKE GPU"), board(1, "FAKE GPU")];
        assert_eq!(peaks(given, unknown, &[0, 1]), (Some(20.0), Some(200.0)));
    }

    #[test]
    fn processors_and_chips_have_the_peaks_that_the_user_gives_and_no_others() {
        use SensorKind::{Ane, CpuPackage, Dram, Gpu, Module, Soc};
        let given = || json!({"peak_tflops": 3.0, "peak_gb_per_s": 200.0});
        let cpu = |source| {
            let packages = [0, 1].map(|id| sensor(id, CpuPackage, source, "EPYC"));
            let memory = [2, 3].map(|id| sensor(id, Dram, source, "dram"));
            packages.into_iter().chain(memory).collect::<Vec<SensorInfo>>()
        };
        let apple = || {
            let rails = [(0, CpuPackage), (1, Gpu), (2, Ane)];
            rails.map(|(id, kind)| sensor(id, kind, "apple", "Apple M4")).to_vec()
        };
        let jetson = || {
            let mut orin = board(0, "Orin (nvgpu)");
            orin.measures.clear();
            vec![orin, sensor(1, Soc, "hwmon_jetson", "NVIDIA Jetson AGX Orin")]
        };
        let module = || vec![sensor(0, Module, "nvml", "NVIDIA GH200 480GB")];
        let cases: [(&str, Vec<SensorInfo>, f64); 4] = [
            ("two packages with memory", cpu("rapl_perf"), 2.0),
            ("an Apple chip", apple(), 1.0),
            ("a Jetson", jetson(), 1.0),
            ("a module", module(), 1.0),
        ];
        for (name, sensors, count) in cases {
            let counted: Vec<u32> = sensors.iter().map(|sensor| sensor.id).collect();
            assert_eq!(peaks(json!({}), sensors.clone(), &counted), (None, None), "{name}");
            let expected = (Some(3.0 * count), Some(200.0 * count));
            assert_eq!(peaks(given(), sensors, &counted), expected, "{name}");
        }
    }

    #[test]
    fn devices_that_are_not_the_servers_or_not_to_be_counted_have_no_peaks() {
        let given = || json!({"peak_tflops": 3.0, "peak_gb_per_s": 200.0});
        for source in ["scripted", "original"] {
            let sum = vec![sensor(0, SensorKind::Gpu, source, H100)];
            assert_eq!(peaks(given(), sum, &[0]), (None, None), "{source}");
        }
        assert_eq!(peaks(given(), vec![board(0, H100)], &[]), (None, None), "none is counted");
        assert_eq!(peaks(given(), Vec::new(), &[]), (None, None), "no telemetry");
    }

    #[test]
    fn a_run_that_went_on_with_other_devices_has_no_peaks() {
        let one = segment(vec![board(0, H100)], &[0]);
        let other = segment(vec![board(0, "NVIDIA H100 PCIe")], &[0]);
        let peak = |segments: &[Segment]| {
            ModelFacts::known(None, &ServerInfo::default(), segments).peak_flops_per_second
        };
        assert_eq!(peak(&[one.clone(), one.clone()]), Some(989.5e12));
        assert_eq!(peak(&[one, other]), None);
        assert_eq!(peak(&[]), None);
    }

    #[test]
    fn the_user_knows_the_parameters_better_than_the_server_and_active_ones_count() {
        let told = ServerInfo { parameter_count: Some(8), ..ServerInfo::default() };
        let experts = ServerInfo { expert_count: Some(64), ..told.clone() };
        let cases = [
            (json!({}), &told, Some(8.0)),
            (json!({"parameters": 7}), &told, Some(7.0)),
            (json!({"parameters": 7, "active_parameters": 3}), &told, Some(3.0)),
            (json!({"active_parameters": 3}), &experts, Some(3.0)),
            (json!({"parameters": 7}), &experts, Some(7.0)),
            (json!({}), &experts, None),
        ];
        for (given, server, parameters) in cases {
            let facts = ModelFacts::known(Some(&given), server, &[]);
            assert_eq!(facts.parameters, parameters, "{given} {server:?}");
        }
        assert_eq!(ModelFacts::known(None, &ServerInfo::default(), &[]), ModelFacts::default());
    }

    #[test]
    fn every_fact_is_read_and_only_numbers_that_are_not_negative() {
        let segments = [segment(vec![board(0, "FAKE GPU")], &[0])];
        let known = |value: Value, name: &str| {
            let given = json!({name: value});
            ModelFacts::known(Some(&given), &ServerInfo::default(), &segments)
        };
        for name in FACTS {
            assert_ne!(known(json!(1.5), name), ModelFacts::default(), "{name}");
            for bad in [json!(-1), json!("much"), Value::Null] {
                assert_eq!(known(bad, name), ModelFacts::default(), "{name}");
            }
        }
    }
}
