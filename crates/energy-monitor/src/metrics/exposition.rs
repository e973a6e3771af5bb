//! The accounts as OpenMetrics text, in base units and with Prometheus' names.
//!
//! A figure that isn't known now has no sample: neither 0 nor its last value. That holds for the
//! energy too, whose count goes on where it was once its counter can be read again: a flat line would
//! read as 0 W.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use energy_proto::{API, Joules, Nanos, SensorInfo, SensorReading, Status, Throttle};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::{Account, Accounts};

/// The media type of this text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const PREFIX: &str = "energy_monitor";

/// What the monitor knows of itself; nothing where it doesn't.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vitals {
    /// Sampling ticks so far that came too late to be made.
    pub missed_ticks: Option<u64>,
    /// Streams that are open now.
    pub subscribers: Option<u64>,
}

/// Writes the text. A read that is older than `stale_after` isn't shown: whoever should have read
/// again hasn't.
///
/// # Errors
/// None that a `String` could give.
pub fn render(
    sensors: &[SensorInfo],
    accounts: &Accounts,
    vitals: Vitals,
    now: Nanos,
    stale_after: Duration,
) -> Result<String, fmt::Error> {
    let fresh = |account: &Account| {
        account.latest.filter(|latest| now.since(latest.read_end) <= stale_after)
    };
    let rows = sensors
        .iter()
        .zip(names(sensors))
        .zip(&accounts.sensors)
        .map(|((info, name), account)| Row {
            labels: labels(info, name),
            counts_energy: info.gives("energy"),
            power_limit_watts: info.power_limit.map(|limit| limit.0),
            counted: Joules::from_microjoules(account.counted_microjoules),
            resets: account.resets,
            now: fresh(account),
        })
        .collect();
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Scrape { rows, vitals }));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

type Labels = [(&'static str, String); 5];

/// Each sensor's name; where all that is known of several is the same, with the number of each, since
/// two samples with the same labels are an error.
fn names(sensors: &[SensorInfo]) -> Vec<String> {
    let mut taken = HashSet::new();
    sensors
        .iter()
        .map(|info| {
            let SensorInfo { id, name, kind, source, uuid, host, .. } = info;
            if taken.insert((name.clone(), *kind, source, uuid, host)) {
                return name.clone();
            }
            let numbered = format!("{name} ({id})");
            taken.insert((numbered.clone(), *kind, source, uuid, host));
            numbered
        })
        .collect()
}

fn labels(info: &SensorInfo, name: String) -> Labels {
    [
        ("sensor", name),
        ("kind", info.kind.as_str().to_owned()),
        ("source", info.source.clone()),
        ("uuid", info.uuid.clone()),
        ("host", info.host.clone()),
    ]
}

/// A sensor's part of a scrape.
#[derive(Debug)]
struct Row {
    labels: Labels,
    counts_energy: bool,
    power_limit_watts: Option<f64>,
    counted: Joules,
    resets: u64,
    /// Nothing if it is too old or never was.
    now: Option<SensorReading>,
}

impl Row {
    fn energy_joules(&self) -> Option<f64> {
        self.now?.energy_microjoules.map(|_| self.counted.0)
    }

    fn is_up(&self) -> bool {
        self.now.is_some_and(|now| matches!(now.status, Status::Ok | Status::Reset))
    }
}

/// A figure of a sensor as a gauge.
struct Gauge {
    name: &'static str,
    unit: Option<&'static str>,
    help: &'static str,
    value: fn(&Row) -> Option<f64>,
}

const GAUGES: [Gauge; 12] = [
    Gauge {
        name: "sensor_up",
        unit: None,
        help: "Whether the sensor could be read just now.",
        value: |row| Some(f64::from(u8::from(row.is_up()))),
    },
    Gauge {
        name: "sensor_power",
        unit: Some("watts"),
        help: "Power as the device reports it.",
        value: |row| Some(row.now?.power?.0),
    },
    Gauge {
        name: "sensor_power_limit",
        unit: Some("watts"),
        help: "The most power that the device is allowed to take.",
        value: |row| row.power_limit_watts,
    },
    Gauge {
        name: "sensor_temperature",
        unit: Some("celsius"),
        help: "Temperature of the device.",
        value: |row| row.now?.temperature_celsius,
    },
    Gauge {
        name: "sensor_memory_used",
        unit: Some("bytes"),
        help: "Occupied memory.",
        value: |row| row.now?.memory_used_bytes.map(|bytes| bytes as f64),
    },
    Gauge {
        name: "sensor_memory_total",
        unit: Some("bytes"),
        help: "All memory.",
        value: |row| row.now?.memory_total_bytes.map(|bytes| bytes as f64),
    },
    Gauge {
        name: "sensor_compute_utilization",
        unit: Some("ratio"),
        help: "Share of time in which the device computed, 0 to 1.",
        value: |row| ratio(row.now?.compute_utilization_pct),
    },
    Gauge {
        name: "sensor_memory_utilization",
        unit: Some("ratio"),
        help: "Share of time in which the device's memory was read or written, 0 to 1.",
        value: |row| ratio(row.now?.memory_utilization_pct),
    },
    Gauge {
        name: "sensor_tensor_utilization",
        unit: Some("ratio"),
        help: "Share of time in which tensor cores were busy, 0 to 1.",
        value: |row| ratio(row.now?.tensor_utilization_pct),
    },
    Gauge {
        name: "sensor_compute_clock",
        unit: Some("hertz"),
        help: "Clock of the compute units.",
        value: |row| hertz(row.now?.compute_clock_mhz),
    },
    Gauge {
        name: "sensor_memory_clock",
        unit: Some("hertz"),
        help: "Clock of the device's memory.",
        value: |row| hertz(row.now?.memory_clock_mhz),
    },
    Gauge {
        name: "sensor_processes",
        unit: None,
        help: "Processes that hold memory on the device.",
        value: |row| row.now?.process_count.map(f64::from),
    },
];

fn ratio(percent: Option<f64>) -> Option<f64> {
    percent.map(|percent| percent / 100.0)
}

fn hertz(megahertz: Option<u32>) -> Option<f64> {
    megahertz.map(|megahertz| f64::from(megahertz) * 1e6)
}

/// All that one scrape tells.
#[derive(Debug)]
struct Scrape {
    rows: Vec<Row>,
    vitals: Vitals,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        self.energy(&mut encoder)?;
        self.resets(&mut encoder)?;
        for gauge in &GAUGES {
            self.gauge(&mut encoder, gauge)?;
        }
        self.throttling(&mut encoder)?;
        self.vitals(&mut encoder)?;
        build_info(&mut encoder)
    }
}

impl Scrape {
    fn energy(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let known = self.rows.iter().filter_map(|row| Some((row, row.energy_joules()?)));
        family(
            encoder,
            ("sensor_energy", Some("joules")),
            "Energy counted since the monitor's start; what was used across a reset is missing.",
            known.map(|(row, joules)| (row.labels.clone(), ConstCounter::new(joules))),
        )
    }

    fn resets(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let counting = self.rows.iter().filter(|row| row.counts_energy);
        family(
            encoder,
            ("sensor_counter_resets", None),
            "How often the continuity of the energy counter was lost.",
            counting.map(|row| (row.labels.clone(), ConstCounter::new(row.resets))),
        )
    }

    fn gauge(&self, encoder: &mut DescriptorEncoder, gauge: &Gauge) -> fmt::Result {
        let known = self.rows.iter().filter_map(|row| {
            let value = (gauge.value)(row).filter(|value| value.is_finite())?;
            Some((row.labels.clone(), ConstGauge::new(value)))
        });
        family(encoder, (gauge.name, gauge.unit), gauge.help, known)
    }

    /// A sample for each reason that there is, so that one that begins is seen to begin.
    fn throttling(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let known = self.rows.iter().filter_map(|row| Some((row, row.now?.throttle?)));
        let samples = known.flat_map(|(row, throttle)| {
            Throttle(u32::MAX).names().map(move |reason| {
                let [sensor, kind, source, uuid, host] = row.labels.clone();
                let labels = [sensor, kind, source, uuid, host, ("reason", reason.to_owned())];
                let holds = throttle.names().any(|present| present == reason);
                (labels, ConstGauge::new(u64::from(holds)))
            })
        });
        family(
            encoder,
            ("sensor_throttled", None),
            "Whether the device's clocks are held down for this reason.",
            samples,
        )
    }

    fn vitals(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        if let Some(missed) = self.vitals.missed_ticks {
            let help = "Sampling ticks that came too late to be made.";
            single(encoder, "missed_ticks", help, &ConstCounter::new(missed))?;
        }
        if let Some(subscribers) = self.vitals.subscribers {
            let help = "Streams of readings that are open.";
            single(encoder, "subscribers", help, &ConstGauge::new(subscribers))?;
        }
        Ok(())
    }
}

/// Writes a metric without labels.
fn single(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}

/// A gauge, as other exporters have it: a metric of the type info is unknown to older parsers.
fn build_info(encoder: &mut DescriptorEncoder) -> fmt::Result {
    let labels = [("version", env!("CARGO_PKG_VERSION")), ("api", API)];
    family(
        encoder,
        ("build_info", None),
        "Always 1; the labels say which program this is.",
        [(labels, ConstGauge::new(1_u64))],
    )
}

/// Writes a family of metrics, unless it has no sample.
fn family<L, M>(
    encoder: &mut DescriptorEncoder,
    (name, unit): (&str, Option<&str>),
    help: &str,
    samples: impl IntoIterator<Item = (L, M)>,
) -> fmt::Result
where
    L: prometheus_client::encoding::EncodeLabelSet,
    M: EncodeMetric,
{
    let mut samples = samples.into_iter().peekable();
    let Some((_, first)) = samples.peek() else { return Ok(()) };
    let unit = unit.map(|unit| Unit::Other(unit.to_owned()));
    let mut metric = encoder.encode_descriptor(name, help, unit.as_ref(), first.metric_type())?;
    for (labels, sample) in samples {
        sample.encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::CpuDetail;
    use super::*;
    use energy_proto::{SensorKind, Watts};

    const LIMIT: Duration = Duration::from_secs(1);

    fn gpu(id: u32) -> SensorInfo {
        SensorInfo {
            name: "GPU \"X\"\\1".to_owned(),
            host: "here".to_owned(),
            uuid: "GPU-1".to_owned(),
            measures: vec!["energy".to_owned(), "power".to_owned()],
            power_limit: Some(Watts(700.0)),
            ..SensorInfo::new(id, SensorKind::Gpu, "nvml")
        }
    }

    fn read(sensor: u32, energy: u64) -> SensorReading {
        let at = Nanos(energy);
        SensorReading {
            energy_microjoules: Some(energy),
            ..SensorReading::empty(sensor, at, at, Status::Ok)
        }
    }

    fn text(sensors: &[SensorInfo], readings: &[SensorReading], now: Nanos) -> String {
        let mut accounts = Accounts::of(sensors, CpuDetail::Fine);
        for reading in readings {
            accounts.observe(&[*reading]);
        }
        render(sensors, &accounts, Vitals::default(), now, LIMIT).unwrap()
    }

    #[test]
    fn figures_are_in_base_units_under_their_conventional_names() {
        let full = SensorReading {
            power: Some(Watts(312.5)),
            temperature_celsius: Some(61.0),
            memory_used_bytes: Some(1 << 34),
            compute_utilization_pct: Some(87.0),
            compute_clock_mhz: Some(1_980),
            throttle: Some(Throttle::THERMAL),
            ..read(0, 3_250_000)
        };
        let text = text(&[gpu(0)], &[read(0, 1_000_000), full], Nanos(4_000_000));
        let labels = r#"{sensor="GPU \"X\"\\1",kind="gpu",source="nvml",uuid="GPU-1",host="here"}"#;
        for (name, value) in [
            ("energy_joules_total", "2.25"),
            ("counter_resets_total", "0"),
            ("up", "1.0"),
            ("power_watts", "312.5"),
            ("power_limit_watts", "700.0"),
            ("temperature_celsius", "61.0"),
            ("memory_used_bytes", "17179869184.0"),
            ("compute_utilization_ratio", "0.87"),
            ("compute_clock_hertz", "1980000000.0"),
        ] {
            let line = format!("\nenergy_monitor_sensor_{name}{labels} {value}\n");
            assert!(text.contains(&line), "{line} is not in {text}");
        }
        for (reason, holds) in [("thermal", 1), ("power_cap", 0)] {
            let labels = labels.replace('}', &format!(r#",reason="{reason}"}}"#));
            let line = format!("\nenergy_monitor_sensor_throttled{labels} {holds}\n");
            assert!(text.contains(&line), "{line} is not in {text}");
        }
        for absent in ["memory_total", "tensor", "processes", "missed_ticks", "subscribers"] {
            assert!(!text.contains(absent), "{absent} is in {text}");
        }
        assert!(text.contains("# TYPE energy_monitor_sensor_energy_joules counter\n"));
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn what_is_not_known_now_is_absent_and_neither_zero_nor_the_last_value() {
        let lost = SensorReading {
            energy_microjoules: None,
            power: None,
            status: Status::Lost,
            ..read(0, 3_000_000)
        };
        let old = Nanos(2_000_000 + 2 * 1_000_000_000);
        for (readings, now) in [
            (vec![], Nanos(5)),
            (vec![read(0, 1_000_000), read(0, 2_000_000), lost], Nanos(3_000_000)),
            (vec![read(0, 1_000_000), read(0, 2_000_000)], old),
        ] {
            let text = text(&[gpu(0)], &readings, now);
            assert!(!text.contains("energy_joules_total{"), "{text}");
            assert!(!text.contains("power_watts{"), "{text}");
            let up = text.lines().find(|line| line.starts_with("energy_monitor_sensor_up{"));
            assert!(up.is_some_and(|up| up.ends_with(" 0.0")), "{text}");
        }
    }

    #[test]
    fn sensors_of_which_all_is_the_same_are_told_apart_by_their_numbers() {
        let text = text(&[gpu(0), gpu(1)], &[read(0, 1), read(1, 1)], Nanos(2));
        let mut series: Vec<_> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.rsplit_once(' ').unwrap().0)
            .collect();
        assert!(text.contains(r#"sensor="GPU \"X\"\\1 (1)""#), "{text}");
        let all = series.len();
        series.sort_unstable();
        series.dedup();
        assert_eq!(series.len(), all);
    }

    #[test]
    fn a_figure_that_is_no_number_is_absent() {
        let strange = SensorReading {
            power: Some(Watts(f64::NAN)),
            temperature_celsius: Some(f64::INFINITY),
            ..read(0, 1)
        };
        let text = text(&[gpu(0)], &[strange], Nanos(2));
        assert!(!text.contains("temperature") && !text.contains("power_watts"), "{text}");
    }
}
