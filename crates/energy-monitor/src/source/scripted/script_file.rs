//! A script of sensors and readings as JSON, written by hand or by a program:
//!
//! ```json
//! {"recorded_by": "bench",
//!  "sensors": [{"kind": "gpu", "name": "H100", "uuid": "GPU-1", "measures": ["energy", "power"]}],
//!  "readings": [
//!    {"offset_ms": 0, "sensors": [{"sensor": 0, "energy_microjoules": 1000000, "power_watts": 90}]},
//!    {"offset_ms": 50, "sensors": [{"sensor": 0, "energy_microjoules": 5500000, "epoch": 0}]},
//!    {"offset_ms": 100, "sensors": [{"sensor": 0, "status": "lost"}]}]}
//! ```
//!
//! A sensor's number is its place in the list. Offsets are milliseconds, with fractions, and never go
//! back; the times of a reading are its offset, or offsets of their own (`read_start_ms`,
//! `read_end_ms`, `changed_after_ms`, `changed_before_ms`, `power_at_ms`). The other figures are named
//! as on the wire; what is left out isn't known. It is read as a whole, so it has to be of some size
//! only, and of no more than a million readings. What isn't understood is refused, since a typing error would be a figure that is missing.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use energy_proto::{Nanos, SensorInfo, SensorKind, SensorReading, Status, Throttle, Watts};
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use super::trace::{MAX_SENSORS, Tick, Trace, positions, read_bounded};

/// About 300,000 readings with all of their figures.
const MAX_SCRIPT_BYTES: u64 = 64 << 20;

/// In memory a reading takes many times the thirteen bytes that the shortest one takes in a script.
const MAX_READINGS: usize = 1_000_000;

/// More than there are names of figures.
const MAX_MEASURES: usize = 64;

/// Where offset 0 lies on the trace's axis of time: what changed before it has a time too.
const ORIGIN: Nanos = Nanos(1 << 60);

/// The largest offset either way: a year.
const MAX_OFFSET_MS: f64 = 366.0 * 86_400_000.0;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    #[serde(default = "by_hand")]
    recorded_by: String,
    sensors: AtMost<Sensor, MAX_SENSORS>,
    readings: Bounded,
}

fn by_hand() -> String {
    "hand".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sensor {
    kind: SensorKind,
    #[serde(default)]
    name: String,
    #[serde(default)]
    uuid: String,
    measures: AtMost<String, MAX_MEASURES>,
    /// Instead of the script's `recorded_by`.
    source: Option<String>,
    update_period_nanos: Option<u64>,
    quantum_microjoules: Option<u64>,
    gain_error_pct: Option<f64>,
    power_limit_watts: Option<f64>,
    wrap_microjoules: Option<u64>,
    power_window_nanos: Option<u64>,
    publication_lag_nanos: Option<u64>,
    #[serde(default = "ok")]
    status: Status,
    #[serde(default)]
    remedy: String,
    #[serde(default)]
    note: String,
}

fn ok() -> Status {
    Status::Ok
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptTick {
    offset_ms: f64,
    sensors: AtMost<ScriptReading, MAX_SENSORS>,
}

/// A list that is refused as soon as it is longer than this.
#[derive(Debug)]
struct AtMost<T, const MOST: usize>(Vec<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for AtMost<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Counting { weight: |_| 1, most: MOST }).map(Self)
    }
}

/// Readings in their ticks, refused as soon as they are too many; a tick of none counts as one.
#[derive(Debug)]
struct Bounded(Vec<ScriptTick>);

impl<'de> Deserialize<'de> for Bounded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let weight = |tick: &ScriptTick| tick.sensors.0.len().max(1);
        deserializer.deserialize_seq(Counting { weight, most: MAX_READINGS }).map(Self)
    }
}

/// Reads a list until its entries weigh more than `most` together.
struct Counting<T> {
    weight: fn(&T) -> usize,
    most: usize,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Counting<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {}", self.most)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let (mut entries, mut weight) = (Vec::new(), 0_usize);
        while let Some(entry) = list.next_element()? {
            weight = weight.saturating_add((self.weight)(&entry));
            if weight > self.most {
                return Err(A::Error::custom(format_args!("more than {}", self.most)));
            }
            entries.push(entry);
        }
        Ok(entries)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptReading {
    sensor: u32,
    energy_microjoules: Option<u64>,
    #[serde(default)]
    epoch: u32,
    read_start_ms: Option<f64>,
    read_end_ms: Option<f64>,
    changed_after_ms: Option<f64>,
    changed_before_ms: Option<f64>,
    power_watts: Option<f64>,
    power_at_ms: Option<f64>,
    temperature_celsius: Option<f64>,
    memory_used_bytes: Option<u64>,
    memory_total_bytes: Option<u64>,
    compute_utilization_pct: Option<f64>,
    memory_utilization_pct: Option<f64>,
    tensor_utilization_pct: Option<f64>,
    process_count: Option<u32>,
    compute_clock_mhz: Option<u32>,
    memory_clock_mhz: Option<u32>,
    throttle_reasons: Option<u32>,
    #[serde(default = "ok")]
    status: Status,
}

/// Reads a script.
pub(super) fn read(path: &Path) -> Result<Trace, String> {
    parse(&read_bounded(path, MAX_SCRIPT_BYTES)?)
}

fn parse(text: &[u8]) -> Result<Trace, String> {
    let script: Script = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let by = &script.recorded_by;
    let sensors: Vec<_> =
        (0..).zip(script.sensors.0).map(|(id, sensor)| sensor.info(id, by)).collect();
    positions(&sensors)?;
    let mut ticks = Vec::with_capacity(script.readings.0.len());
    let mut last = Nanos(0);
    for (number, tick) in script.readings.0.into_iter().enumerate() {
        let tick =
            tick.on_the_axis(sensors.len()).map_err(|what| format!("reading {number}: {what}"))?;
        if tick.at < last {
            return Err(format!("reading {number}: its offset_ms is before that of the last"));
        }
        last = tick.at;
        ticks.push(tick);
    }
    if ticks.is_empty() {
        return Err("it has no readings".to_owned());
    }
    Ok(Trace { sensors, ticks: Box::new(ticks.into_iter().map(Ok)) })
}

impl Sensor {
    fn info(self, id: u32, recorded_by: &str) -> SensorInfo {
        let time = |nanos: Option<u64>| nanos.map(Duration::from_nanos);
        SensorInfo {
            name: self.name,
            uuid: self.uuid,
            measures: self.measures.0,
            update_period: time(self.update_period_nanos),
            quantum_microjoules: self.quantum_microjoules,
            gain_error_pct: self.gain_error_pct,
            power_limit: self.power_limit_watts.map(Watts),
            wrap_microjoules: self.wrap_microjoules,
            power_window: time(self.power_window_nanos),
            publication_lag: time(self.publication_lag_nanos),
            status: self.status,
            remedy: self.remedy,
            note: self.note,
            ..SensorInfo::new(id, self.kind, self.source.as_deref().unwrap_or(recorded_by))
        }
    }
}

impl ScriptTick {
    fn on_the_axis(self, sensors: usize) -> Result<Tick, String> {
        let at = time(self.offset_ms)?;
        let mut readings = Vec::with_capacity(self.sensors.0.len());
        for reading in self.sensors.0 {
            let sensor = reading.sensor;
            if sensor as usize >= sensors {
                return Err(format!("there is no sensor {sensor}"));
            }
            if readings.iter().any(|earlier: &SensorReading| earlier.sensor == sensor) {
                return Err(format!("sensor {sensor} is in it twice"));
            }
            readings.push(reading.on_the_axis(at)?);
        }
        Ok(Tick { at, readings })
    }
}

impl ScriptReading {
    fn on_the_axis(self, at: Nanos) -> Result<SensorReading, String> {
        let own = |offset: Option<f64>| offset.map(time).transpose();
        let read_end = own(self.read_end_ms)?.unwrap_or(at);
        let read_start = own(self.read_start_ms)?.unwrap_or(read_end.min(at));
        if read_start > read_end || read_end > at {
            return Err(format!(
                "sensor {}: read_start_ms <= read_end_ms <= offset_ms",
                self.sensor
            ));
        }
        Ok(SensorReading {
            energy_microjoules: self.energy_microjoules,
            epoch: self.epoch,
            changed_after: own(self.changed_after_ms)?,
            changed_before: own(self.changed_before_ms)?,
            power: self.power_watts.map(Watts),
            power_at: own(self.power_at_ms)?,
            temperature_celsius: self.temperature_celsius,
            memory_used_bytes: self.memory_used_bytes,
            memory_total_bytes: self.memory_total_bytes,
            compute_utilization_pct: self.compute_utilization_pct,
            memory_utilization_pct: self.memory_utilization_pct,
            tensor_utilization_pct: self.tensor_utilization_pct,
            process_count: self.process_count,
            compute_clock_mhz: self.compute_clock_mhz,
            memory_clock_mhz: self.memory_clock_mhz,
            throttle: self.throttle_reasons.map(Throttle),
            ..SensorReading::empty(self.sensor, read_start, read_end, self.status)
        })
    }
}

fn time(offset_ms: f64) -> Result<Nanos, String> {
    if !(-MAX_OFFSET_MS..=MAX_OFFSET_MS).contains(&offset_ms) {
        return Err(format!("an offset of {offset_ms} ms"));
    }
    let nanos = (offset_ms * 1e6).round() as i64;
    Ok(Nanos(ORIGIN.0.saturating_add_signed(nanos)))
}

#[cfg(test)]
mod tests;
