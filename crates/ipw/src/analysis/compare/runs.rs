//! Runs as a comparison sees them: how each was made, and its queries.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

use crate::analysis::accuracy::ScoredQuery;
use crate::analysis::provenance;
use crate::analysis::regression::is_estimated;
use crate::derive::FACTS;
use crate::hardware::is_replayed;
use crate::record::ProfilingRecord;
use crate::results::{AttributionState, Segment, Summary};

/// One run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRows {
    /// What the comparison calls it.
    pub name: String,
    /// How it was made.
    pub settings: RunSettings,
    /// Its queries, in any order; of several rows of one query the last counts.
    pub rows: Vec<ComparedRow>,
}

/// What the comparison needs of one query.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparedRow {
    /// Hash of the prompt and the reference answer; compares within one process only.
    pub question: u64,
    /// The query and its verdict.
    pub query: ScoredQuery,
}

impl From<&ProfilingRecord> for ComparedRow {
    fn from(record: &ProfilingRecord) -> Self {
        Self { question: question(record), query: ScoredQuery::from(record) }
    }
}

/// What tells whether two runs asked the same, as [`ComparedRow::question`] has it.
#[must_use]
pub fn question(record: &ProfilingRecord) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&record.problem, &record.answer).hash(&mut hasher);
    hasher.finish()
}

/// How a run was made, as far as that makes its figures differ.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunSettings {
    /// The model.
    pub model: String,
    /// The dataset.
    pub dataset: String,
    /// Its revision.
    pub dataset_revision: String,
    /// A short label of the hardware.
    pub hardware: String,
    /// Devices whose energy is counted, each with its host.
    pub devices: BTreeSet<String>,
    /// The largest gain error of their sensors, in percent either way; `None` if one isn't known.
    pub gain_error_pct: Option<f64>,
    /// The energy basis.
    pub basis: Option<String>,
    /// Why there is no energy, where there is no basis.
    pub no_energy: Option<String>,
    /// How the energy was had: counter, integrated, estimated.
    pub method: Option<String>,
    /// The server's name and version; `None` if it didn't say.
    pub server: Option<String>,
    /// Queries in flight.
    pub concurrency: u64,
    /// What was asked of the server beside the prompt: `temperature`, `max_tokens`, `seed`, and the
    /// fields that the user added.
    pub sampling: BTreeMap<String, Value>,
    /// Whether the readings were replayed from a trace.
    pub is_replayed: bool,
    /// Whether the energies are those of the final pass.
    pub is_final: bool,
}

impl From<&Summary> for RunSettings {
    fn from(summary: &Summary) -> Self {
        let asked = |name: &str| summary.profiler_config.get(name).cloned();
        let mut devices = BTreeSet::new();
        let mut gain_error_pct = Some(0.0_f64);
        for sensor in summary.segments.iter().flat_map(counted) {
            devices.insert(format!("{} on {}", sensor.uuid, sensor.host));
            gain_error_pct = gain_error_pct.zip(sensor.gain_error_pct).map(|(a, b)| a.max(b));
        }
        Self {
            model: summary.model.clone(),
            dataset: summary.dataset.clone(),
            dataset_revision: summary.dataset_revision.clone(),
            hardware: summary.hardware_label.clone(),
            devices,
            gain_error_pct,
            basis: summary.energy.basis.clone(),
            no_energy: no_energy(summary),
            method: summary.energy.method.clone(),
            server: provenance::server(summary),
            // A run of before there was a choice had one.
            concurrency: asked("concurrency").and_then(|value| value.as_u64()).unwrap_or(1),
            sampling: sampling(asked),
            is_replayed: summary.segments.iter().any(|segment| is_replayed(&segment.sensors)),
            is_final: summary.attribution == AttributionState::Final,
        }
    }
}

impl RunSettings {
    /// Whether its energies are estimates from load, and no measurements.
    pub(super) fn is_estimated(&self) -> bool {
        is_estimated(self.basis.as_deref(), self.method.as_deref())
    }
}

fn no_energy(summary: &Summary) -> Option<String> {
    let energy = &summary.energy;
    energy.basis.is_none().then(|| match energy.status.as_str() {
        "" | "ok" => "no basis".to_owned(),
        status => status.to_owned(),
    })
}

fn counted(segment: &Segment) -> impl Iterator<Item = &energy_proto::SensorInfo> {
    segment.sensors.iter().filter(|sensor| segment.counted.contains(&sensor.id))
}

fn sampling(asked: impl Fn(&str) -> Option<Value>) -> BTreeMap<String, Value> {
    let options = ["temperature", "max_tokens", "seed"].map(|name| (name.to_owned(), asked(name)));
    let options = options.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let added = match asked("client_params") {
        Some(Value::Object(added)) => added,
        _ => serde_json::Map::new(),
    };
    // Prices and the like are never sent.
    let sent = added.into_iter().filter(|(name, _)| !FACTS.contains(&name.as_str()));
    options.chain(sent).filter(|(_, value)| !value.is_null()).collect()
}

#[cfg(test)]
mod tests {
    use energy_proto::{ClockAnchor, Nanos, SensorInfo, SensorKind};
    use serde_json::json;

    use super::*;
    use crate::client::ServerInfo;
    use crate::results::{
        EnergySummary, Hardware, OwnCost, QueryCounts, RunStatus, SCHEMA_VERSION, TelemetrySummary,
        Totals,
    };

    fn board(id: u32, gain_error_pct: Option<f64>) -> SensorInfo {
        SensorInfo {
            uuid: format!("GPU-{id}"),
            host: "node".to_owned(),
            gain_error_pct,
            ..SensorInfo::new(id, SensorKind::Gpu, "nvml")
        }
    }

    fn summary(sensors: Vec<SensorInfo>, counted: Vec<u32>) -> Summary {
        let config = json!({
            "temperature": 0.7, "seed": null, "concurrency": 4, "max_queries": 10,
            "client_params": {"top_p": 0.9, "price_input": 2.0},
        });
        let Value::Object(profiler_config) = config else { unreachable!() };
        Summary {
            schema_version: SCHEMA_VERSION,
            model: "m:1b".to_owned(),
            dataset: "ipw".to_owned(),
            dataset_name: "ipw".to_owned(),
            dataset_revision: "1".to_owned(),
            client: "ollama".to_owned(),
            profiler_config,
            hardware: Hardware::default(),
            hardware_label: "H100".to_owned(),
            system_info: None,
            gpu_info: None,
            client_info: ServerInfo::default(),
            start_time: String::new(),
            end_time: None,
            duration_seconds: 1.0,
            generated_at: String::new(),
            status: RunStatus::Complete,
            attribution: AttributionState::Final,
            total_queries: 10,
            queries: QueryCounts::default(),
            totals: Totals::default(),
            energy: EnergySummary {
                basis: Some("gpu".to_owned()),
                method: Some("counter".to_owned()),
                ..EnergySummary::default()
            },
            telemetry: TelemetrySummary::default(),
            own: OwnCost::default(),
            warnings: Vec::new(),
            segments: vec![Segment {
                started_at: String::new(),
                boot_id: None,
                anchor: ClockAnchor { monotonic: Nanos(1), unix_nanos: 1 },
                idle: None,
                sensors,
                counted,
                no_energy: None,
                clock_uncertainty_nanos: 0,
            }],
            versions: BTreeMap::new(),
            output_dir: String::new(),
        }
    }

    #[test]
    fn settings_are_those_that_make_figures_differ() {
        let sensors = vec![board(0, Some(5.0)), board(1, Some(10.0)), board(2, None)];
        let settings = RunSettings::from(&summary(sensors, vec![0, 1]));
        assert_eq!(settings.gain_error_pct, Some(10.0));
        assert_eq!(Vec::from_iter(&settings.devices), ["GPU-0 on node", "GPU-1 on node"]);
        let sampling =
            BTreeMap::from([("temperature".into(), json!(0.7)), ("top_p".into(), json!(0.9))]);
        assert_eq!((settings.sampling, settings.concurrency), (sampling, 4));
        assert_eq!(
            (settings.basis.as_deref(), settings.method.as_deref()),
            (Some("gpu"), Some("counter"))
        );
        assert!(settings.is_final && !settings.is_replayed);
    }

    #[test]
    fn a_gain_error_is_known_if_it_is_of_all_counted_sensors() {
        let sensors = vec![board(0, Some(5.0)), board(1, None)];
        assert_eq!(RunSettings::from(&summary(sensors, vec![0, 1])).gain_error_pct, None);
    }
}
