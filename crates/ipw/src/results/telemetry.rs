//! The telemetry of a run: a row for each sensor of each reading, columns named as on the wire.
//! Appended by the same commits as the rows, and with them all that energies are made from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow2::array::{Array, PrimitiveArray, Utf8Array};
use arrow2::datatypes::{DataType, Field, Schema};
use arrow2::types::NativeType;
use energy_proto::{Nanos, Reading, SensorReading, Status, Throttle, Watts};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as UnknownStatus, StrDeserializer};

use super::stream::{Batch, BatchReader, GrowingStream, batch_message, guarded};
use super::{Result, ResultsError, TELEMETRY_FILE};

/// The most rows of one batch: about 8 MiB.
const BATCH_ROWS: usize = 1 << 16;

/// What one sensor told in one reading.
#[derive(Debug, Clone, PartialEq)]
pub struct TelemetryRow {
    /// Index into the summary's segments: times compare only within one.
    pub segment: u32,
    /// The monitor's host.
    pub host: Arc<str>,
    /// Which start of which monitor it was.
    pub instance: u64,
    /// The monitor's sampling tick.
    pub sequence: u64,
    /// When the tick composed the reading.
    pub at: Nanos,
    /// Readings lost so far for slowness, as the monitor counts them.
    pub dropped: u64,
    /// What the sensor told.
    pub reading: SensorReading,
}

/// Appends telemetry to a run. Rows are pushed and then committed together: readers see all rows of
/// a commit or none.
#[derive(Debug)]
pub struct TelemetryWriter {
    path: PathBuf,
    schema: Schema,
    stream: GrowingStream,
    pending: Vec<TelemetryRow>,
    /// The end and the status of the last read that was kept, by segment and sensor.
    kept: BTreeMap<(u32, u32), (Nanos, Status)>,
    /// The host of the last push, shared by its rows.
    host: Arc<str>,
    /// Whether rows are visible that aren't known to be durable.
    is_unsynced: bool,
}

impl TelemetryWriter {
    /// Begins the telemetry of a run.
    ///
    /// # Errors
    /// The directory can't be written.
    pub fn create(dir: &Path) -> Result<Self> {
        let path = dir.join(TELEMETRY_FILE);
        let schema = telemetry_schema();
        let stream = GrowingStream::create(&path, &schema)?;
        Ok(Self::on(path, schema, stream))
    }

    /// Goes on behind the committed telemetry of an earlier process; begins it if it had none.
    ///
    /// # Errors
    /// The file is of another program version, or damaged, or can't be written.
    pub fn append_to(dir: &Path) -> Result<Self> {
        let path = dir.join(TELEMETRY_FILE);
        if !path.exists() {
            return Self::create(dir);
        }
        let schema = telemetry_schema();
        let stream = GrowingStream::open(&path, &schema)?
            .ok_or_else(|| ResultsError::damaged(&path, "it has other columns than telemetry"))?;
        Ok(Self::on(path, schema, stream))
    }

    fn on(path: PathBuf, schema: Schema, stream: GrowingStream) -> Self {
        let host = Arc::from("");
        let (pending, kept) = (Vec::new(), BTreeMap::new());
        Self { path, schema, stream, pending, kept, host, is_unsynced: false }
    }

    /// Keeps a reading, of the monitor on `host`, for the next commit. A read that was kept already
    /// (a sensor that is read less often than the monitor ticks is told again with each tick) leaves
    /// no row, unless its status has changed meanwhile.
    pub fn push(&mut self, segment: u32, host: &str, reading: &Reading) {
        if *self.host != *host {
            self.host = Arc::from(host);
        }
        let kept = &mut self.kept;
        let new = reading.sensors.iter().filter(|sensor| {
            let now = (sensor.read_end, sensor.status);
            kept.insert((segment, sensor.sensor), now) != Some(now)
        });
        self.pending.extend(new.map(|sensor| TelemetryRow {
            segment,
            host: Arc::clone(&self.host),
            instance: reading.instance,
            sequence: reading.sequence,
            at: reading.at,
            dropped: reading.dropped,
            reading: *sensor,
        }));
    }

    /// Rows that wait for a commit.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Makes the pending rows part of the file, durably. The cost depends on these rows alone.
    ///
    /// # Errors
    /// The disk is full or fails. Earlier rows stay readable; rows that didn't get into the file stay
    /// pending, so the commit may be tried again.
    pub fn commit(&mut self) -> Result<()> {
        if !self.pending.is_empty() {
            let messages = self.encode_pending()?;
            self.stream.append(&messages).map_err(ResultsError::writing(&self.path))?;
            self.pending.clear();
            self.is_unsynced = true;
        }
        if self.is_unsynced {
            self.stream.sync().map_err(ResultsError::writing(&self.path))?;
            self.is_unsynced = false;
        }
        Ok(())
    }

    fn encode_pending(&self) -> Result<Vec<u8>> {
        let mut messages = Vec::new();
        for rows in self.pending.chunks(BATCH_ROWS) {
            let message = batch_message(&self.schema, &encode(rows))
                .map_err(|source| ResultsError::unencodable(&self.path, source))?;
            messages.extend(message);
        }
        Ok(messages)
    }
}

/// The committed telemetry of a run, one batch in memory at a time.
///
/// # Errors
/// The file can't be read, or isn't telemetry.
pub fn read_telemetry(dir: &Path) -> Result<TelemetryRows> {
    let batches = read_telemetry_batches(dir)?;
    Ok(TelemetryRows { batches, rows: Vec::new().into_iter() })
}

/// The same, batch by batch.
///
/// # Errors
/// The file can't be read, or isn't telemetry.
pub fn read_telemetry_batches(dir: &Path) -> Result<TelemetryBatches> {
    let batches = BatchReader::open(&dir.join(TELEMETRY_FILE))?;
    if batches.schema().fields != telemetry_schema().fields {
        return Err(ResultsError::damaged(batches.path(), "it has other columns than telemetry"));
    }
    Ok(TelemetryBatches { batches })
}

/// The committed telemetry of a run, row by row. Ends after the first error.
pub struct TelemetryRows {
    batches: TelemetryBatches,
    rows: std::vec::IntoIter<TelemetryRow>,
}

impl Iterator for TelemetryRows {
    type Item = Result<TelemetryRow>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.rows.next() {
                return Some(Ok(row));
            }
            match self.batches.next()? {
                Ok(rows) => self.rows = rows.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The committed telemetry of a run, batch by batch. Ends after the first error.
pub struct TelemetryBatches {
    batches: BatchReader,
}

impl Iterator for TelemetryBatches {
    type Item = Result<Vec<TelemetryRow>>;

    fn next(&mut self) -> Option<Self::Item> {
        let decoded = match self.batches.next()? {
            Ok(batch) => guarded(|| decode(&batch))
                .map_err(|what| ResultsError::damaged(self.batches.path(), what)),
            Err(error) => Err(error),
        };
        if decoded.is_err() {
            self.batches.stop();
        }
        Some(decoded)
    }
}

fn telemetry_schema() -> Schema {
    let fields = [
        ("segment", DataType::UInt32),
        ("host", DataType::Utf8),
        ("instance", DataType::UInt64),
        ("sequence", DataType::UInt64),
        ("monotonic_nanos", DataType::UInt64),
        ("dropped", DataType::UInt64),
        ("sensor", DataType::UInt32),
        ("energy_microjoules", DataType::UInt64),
        ("epoch", DataType::UInt32),
        ("read_start_nanos", DataType::UInt64),
        ("read_end_nanos", DataType::UInt64),
        ("changed_after_nanos", DataType::UInt64),
        ("changed_before_nanos", DataType::UInt64),
        ("power_watts", DataType::Float64),
        ("temperature_celsius", DataType::Float64),
        ("memory_used_bytes", DataType::UInt64),
        ("memory_total_bytes", DataType::UInt64),
        ("compute_utilization_pct", DataType::Float64),
        ("memory_utilization_pct", DataType::Float64),
        ("process_count", DataType::UInt32),
        ("tensor_utilization_pct", DataType::Float64),
        ("compute_clock_mhz", DataType::UInt32),
        ("memory_clock_mhz", DataType::UInt32),
        ("throttle_reasons", DataType::UInt32),
        ("power_at_nanos", DataType::UInt64),
        ("status", DataType::Utf8),
    ];
    Schema::from(fields.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec())
}

/// The columns of `rows`, in the order of the schema.
fn encode(rows: &[TelemetryRow]) -> Batch {
    Batch::new(vec![
        primitive(rows, |row| Some(row.segment)),
        text(rows, |row| &row.host),
        primitive(rows, |row| Some(row.instance)),
        primitive(rows, |row| Some(row.sequence)),
        primitive(rows, |row| Some(row.at.0)),
        primitive(rows, |row| Some(row.dropped)),
        primitive(rows, |row| Some(row.reading.sensor)),
        primitive(rows, |row| row.reading.energy_microjoules),
        primitive(rows, |row| Some(row.reading.epoch)),
        primitive(rows, |row| Some(row.reading.read_start.0)),
        primitive(rows, |row| Some(row.reading.read_end.0)),
        primitive(rows, |row| row.reading.changed_after.map(|at| at.0)),
        primitive(rows, |row| row.reading.changed_before.map(|at| at.0)),
        primitive(rows, |row| finite(row.reading.power.map(|power| power.0))),
        primitive(rows, |row| finite(row.reading.temperature_celsius)),
        primitive(rows, |row| row.reading.memory_used_bytes),
        primitive(rows, |row| row.reading.memory_total_bytes),
        primitive(rows, |row| finite(row.reading.compute_utilization_pct)),
        primitive(rows, |row| finite(row.reading.memory_utilization_pct)),
        primitive(rows, |row| row.reading.process_count),
        primitive(rows, |row| finite(row.reading.tensor_utilization_pct)),
        primitive(rows, |row| row.reading.compute_clock_mhz),
        primitive(rows, |row| row.reading.memory_clock_mhz),
        primitive(rows, |row| row.reading.throttle.map(|throttle| throttle.0)),
        primitive(rows, |row| row.reading.power_at.map(|at| at.0)),
        text(rows, |row| row.reading.status.as_str()),
    ])
}

/// What isn't a number isn't known.
fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}

fn primitive<T: NativeType>(
    rows: &[TelemetryRow],
    cell: impl Fn(&TelemetryRow) -> Option<T>,
) -> Box<dyn Array> {
    PrimitiveArray::from_iter(rows.iter().map(cell)).boxed()
}

fn text(rows: &[TelemetryRow], cell: impl Fn(&TelemetryRow) -> &str) -> Box<dyn Array> {
    Utf8Array::<i32>::from_iter_values(rows.iter().map(cell)).boxed()
}

/// Why a batch isn't telemetry.
#[derive(Debug, thiserror::Error)]
enum NotTelemetry {
    #[error("a row has no `{0}`")]
    Absent(&'static str),
    #[error(transparent)]
    Status(#[from] UnknownStatus),
}

/// A batch whose columns are those of the schema.
fn decode(batch: &Batch) -> std::result::Result<Vec<TelemetryRow>, NotTelemetry> {
    let mut cells = Cells { columns: batch.arrays().iter() };
    let segment = cells.primitive::<u32>();
    let host = cells.text();
    let instance = cells.primitive::<u64>();
    let sequence = cells.primitive::<u64>();
    let at = cells.primitive::<u64>();
    let dropped = cells.primitive::<u64>();
    let readings = decode_readings(&mut cells, batch.len())?;
    let mut last_host: Arc<str> = Arc::from("");
    let row = |(row, reading)| {
        let name = host.get(row).ok_or(NotTelemetry::Absent("host"))?;
        if *last_host != *name {
            last_host = Arc::from(name);
        }
        Ok(TelemetryRow {
            segment: known(segment, row, "segment")?,
            host: Arc::clone(&last_host),
            instance: known(instance, row, "instance")?,
            sequence: known(sequence, row, "sequence")?,
            at: Nanos(known(at, row, "monotonic_nanos")?),
            dropped: known(dropped, row, "dropped")?,
            reading,
        })
    };
    readings.into_iter().enumerate().map(row).collect()
}

fn decode_readings(
    cells: &mut Cells<'_>,
    rows: usize,
) -> std::result::Result<Vec<SensorReading>, NotTelemetry> {
    let sensor = cells.primitive::<u32>();
    let energy_microjoules = cells.primitive::<u64>();
    let epoch = cells.primitive::<u32>();
    let read_start = cells.primitive::<u64>();
    let read_end = cells.primitive::<u64>();
    let changed_after = cells.primitive::<u64>();
    let changed_before = cells.primitive::<u64>();
    let power = cells.primitive::<f64>();
    let temperature_celsius = cells.primitive::<f64>();
    let memory_used_bytes = cells.primitive::<u64>();
    let memory_total_bytes = cells.primitive::<u64>();
    let compute_utilization_pct = cells.primitive::<f64>();
    let memory_utilization_pct = cells.primitive::<f64>();
    let process_count = cells.primitive::<u32>();
    let tensor_utilization_pct = cells.primitive::<f64>();
    let compute_clock_mhz = cells.primitive::<u32>();
    let memory_clock_mhz = cells.primitive::<u32>();
    let throttle = cells.primitive::<u32>();
    let power_at = cells.primitive::<u64>();
    let status = cells.text();
    let reading = |row| {
        Ok(SensorReading {
            sensor: known(sensor, row, "sensor")?,
            energy_microjoules: energy_microjoules.get(row),
            epoch: known(epoch, row, "epoch")?,
            read_start: Nanos(known(read_start, row, "read_start_nanos")?),
            read_end: Nanos(known(read_end, row, "read_end_nanos")?),
            changed_after: changed_after.get(row).map(Nanos),
            changed_before: changed_before.get(row).map(Nanos),
            power: finite(power.get(row)).map(Watts),
            temperature_celsius: finite(temperature_celsius.get(row)),
            memory_used_bytes: memory_used_bytes.get(row),
            memory_total_bytes: memory_total_bytes.get(row),
            compute_utilization_pct: finite(compute_utilization_pct.get(row)),
            memory_utilization_pct: finite(memory_utilization_pct.get(row)),
            process_count: process_count.get(row),
            tensor_utilization_pct: finite(tensor_utilization_pct.get(row)),
            compute_clock_mhz: compute_clock_mhz.get(row),
            memory_clock_mhz: memory_clock_mhz.get(row),
            throttle: throttle.get(row).map(Throttle),
            power_at: power_at.get(row).map(Nanos),
            status: status_named(status.get(row).ok_or(NotTelemetry::Absent("status"))?)?,
        })
    };
    (0..rows).map(reading).collect()
}

/// The columns of a batch, taken one after the other in the order of the schema.
struct Cells<'a> {
    columns: std::slice::Iter<'a, Box<dyn Array>>,
}

impl<'a> Cells<'a> {
    fn primitive<T: NativeType>(&mut self) -> &'a PrimitiveArray<T> {
        self.take()
    }

    fn text(&mut self) -> &'a Utf8Array<i32> {
        self.take()
    }

    fn take<A: Array>(&mut self) -> &'a A {
        let column = self.columns.next().expect("the schema was compared");
        column.as_any().downcast_ref().expect("the schema was compared")
    }
}

fn known<T: NativeType>(
    column: &PrimitiveArray<T>,
    row: usize,
    name: &'static str,
) -> std::result::Result<T, NotTelemetry> {
    column.get(row).ok_or(NotTelemetry::Absent(name))
}

fn status_named(name: &str) -> std::result::Result<Status, UnknownStatus> {
    let name: StrDeserializer<'_, UnknownStatus> = name.into_deserializer();
    Status::deserialize(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn sensor(sensor: u32) -> SensorReading {
        SensorReading::empty(sensor, Nanos(1), Nanos(2), Status::Ok)
    }

    fn full_sensor() -> SensorReading {
        SensorReading {
            sensor: u32::MAX,
            energy_microjoules: Some(u64::MAX),
            epoch: 3,
            read_start: Nanos(4),
            read_end: Nanos(5),
            changed_after: Some(Nanos(6)),
            changed_before: Some(Nanos(7)),
            power: Some(Watts(0.1 + 0.2)),
            temperature_celsius: Some(-0.0),
            memory_used_bytes: Some(8),
            memory_total_bytes: Some(9),
            compute_utilization_pct: Some(10.0),
            memory_utilization_pct: Some(11.0),
            process_count: Some(0),
            tensor_utilization_pct: Some(12.0),
            compute_clock_mhz: Some(13),
            memory_clock_mhz: Some(14),
            throttle: Some(Throttle::THERMAL),
            power_at: Some(Nanos(15)),
            status: Status::PermissionDenied,
        }
    }

    fn reading(sequence: u64, sensors: Vec<SensorReading>) -> Reading {
        Reading { sequence, instance: u64::MAX, dropped: 2, at: Nanos(sequence * 50), sensors }
    }

    fn read_back(dir: &Path) -> Vec<TelemetryRow> {
        read_telemetry(dir).unwrap().collect::<Result<_>>().unwrap()
    }

    #[test]
    fn a_reading_comes_back_as_a_row_for_each_sensor() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = TelemetryWriter::create(dir.path()).unwrap();
        writer.push(1, "node", &reading(7, vec![full_sensor(), sensor(0)]));
        assert_eq!(writer.pending(), 2);
        writer.commit().unwrap();
        let expected = |reading| TelemetryRow {
            segment: 1,
            host: "node".into(),
            instance: u64::MAX,
            sequence: 7,
            at: Nanos(350),
            dropped: 2,
            reading,
        };
        assert_eq!(read_back(dir.path()), [expected(full_sensor()), expected(sensor(0))]);
    }

    #[test]
    fn every_status_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = TelemetryWriter::create(dir.path()).unwrap();
        let all = [
            Status::Ok,
            Status::Unsupported,
            Status::PermissionDenied,
            Status::Stale,
            Status::Reset,
            Status::Lost,
            Status::Implausible,
        ];
        let sensors = all.map(|status| SensorReading { status, ..sensor(0) });
        writer.push(0, "", &reading(0, sensors.to_vec()));
        writer.commit().unwrap();
        let found: Vec<_> = read_back(dir.path()).iter().map(|row| row.reading.status).collect();
        assert_eq!(found, all);
    }

    #[test]
    fn what_is_not_a_number_is_not_known() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = TelemetryWriter::create(dir.path()).unwrap();
        let odd = SensorReading { power: Some(Watts(f64::NAN)), ..sensor(0) };
        writer.push(0, "", &reading(0, vec![odd]));
        writer.commit().unwrap();
        assert_eq!(read_back(dir.path())[0].reading.power, None);
    }

    #[test]
    fn telemetry_goes_on_behind_what_a_crash_left_and_keeps_its_hosts_apart() {
        let dir = tempfile::tempdir().unwrap();
        for (segment, host) in ["a", "b", "a"].into_iter().enumerate() {
            let mut writer = TelemetryWriter::append_to(dir.path()).unwrap();
            writer.push(segment as u32, host, &reading(segment as u64, vec![sensor(0)]));
            writer.push(segment as u32, "both", &reading(segment as u64, vec![sensor(1)]));
            writer.commit().unwrap();
            writer.push(9, "never committed", &reading(9, vec![sensor(0)]));
        }
        let hosts: Vec<_> =
            read_back(dir.path()).iter().map(|row| (row.segment, row.host.to_string())).collect();
        let pairs = [(0, "a"), (0, "both"), (1, "b"), (1, "both"), (2, "a"), (2, "both")];
        assert_eq!(hosts, pairs.map(|(segment, host)| (segment, host.to_owned())));
    }

    #[test]
    fn many_rows_are_split_into_batches() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = TelemetryWriter::create(dir.path()).unwrap();
        let total = BATCH_ROWS + 5;
        let read = |n| SensorReading { read_end: Nanos(n + 2), ..sensor(0) };
        (0..total as u64).for_each(|n| writer.push(0, "h", &reading(n, vec![read(n)])));
        writer.commit().unwrap();
        let lengths: Vec<_> =
            read_telemetry_batches(dir.path()).unwrap().map(|rows| rows.unwrap().len()).collect();
        assert_eq!(lengths, [BATCH_ROWS, 5]);
        assert!(read_back(dir.path()).iter().map(|row| row.sequence).eq(0..total as u64));
    }

    #[test]
    fn a_read_that_is_told_again_leaves_one_row_unless_its_status_changed() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = TelemetryWriter::create(dir.path()).unwrap();
        let stale = SensorReading { status: Status::Stale, ..sensor(0) };
        let later = SensorReading { read_end: Nanos(3), ..sensor(0) };
        for (tick, read) in [sensor(0), sensor(0), stale, stale, later, later].iter().enumerate() {
            writer.push(0, "h", &reading(tick as u64, vec![*read, sensor(1)]));
        }
        writer.commit().unwrap();
        let rows = read_back(dir.path());
        let of = |id| {
            let rows = rows.iter().filter(move |row| row.reading.sensor == id);
            rows.map(|row| row.sequence).collect::<Vec<_>>()
        };
        assert_eq!((of(0), of(1)), (vec![0, 2, 4], vec![0]));
    }

    #[test]
    fn an_unknown_status_is_damage_and_ends_the_rows() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = TelemetryWriter::create(dir.path()).unwrap();
        let unsupported = SensorReading { status: Status::Unsupported, ..sensor(0) };
        writer.push(0, "h", &reading(0, vec![unsupported]));
        writer.commit().unwrap();
        let path = dir.path().join(TELEMETRY_FILE);
        let mut bytes = fs::read(&path).unwrap();
        let name = bytes.windows(11).position(|window| window == b"unsupported").unwrap();
        bytes[name] = b'x';
        fs::write(&path, bytes).unwrap();
        let mut rows = read_telemetry(dir.path()).unwrap();
        assert!(matches!(rows.next(), Some(Err(ResultsError::Damaged { .. }))));
        assert!(rows.next().is_none());
    }

    #[test]
    fn rows_of_queries_are_not_telemetry() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(TELEMETRY_FILE);
        GrowingStream::create(&path, &super::super::schema::rows_schema("m")).unwrap();
        assert!(matches!(read_telemetry(dir.path()), Err(ResultsError::Damaged { .. })));
        assert!(matches!(
            TelemetryWriter::append_to(dir.path()),
            Err(ResultsError::Damaged { .. })
        ));
    }
}
