//! A run's `telemetry.arrow` as a trace: an Arrow IPC stream with a row for each sensor of each
//! reading. The only place of this program that knows Arrow.
//!
//! Of a run in several segments, whose times don't compare, the first with readings is replayed, and
//! of several hosts the first. One batch is in memory at a time. Foreign bytes are not trusted: the
//! columns' message must be ours byte by byte, lengths and buffers are checked against the file before
//! the decoder sees them, and its panics are caught.

use std::collections::HashMap;
use std::fs::File;
use std::io::Cursor;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow_format::ipc::planus::ReadAsRoot;
use arrow_format::ipc::{MessageHeaderRef, MessageRef, RecordBatchRef};
use arrow2::array::{Array, PrimitiveArray, Utf8Array};
use arrow2::chunk::Chunk;
use arrow2::datatypes::{DataType, Field, Schema};
use arrow2::io::ipc::read::{StreamMetadata, StreamReader, StreamState, read_stream_metadata};
use arrow2::io::ipc::write::{StreamWriter, WriteOptions};
use arrow2::types::NativeType;
use energy_proto::{Nanos, SensorInfo, SensorReading, Status, Throttle, Watts};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as UnknownStatus, StrDeserializer};
use tracing::{info, warn};

use super::trace::{Tick, put, read_bounded};

type Batch = Chunk<Box<dyn Array>>;

/// How an Arrow stream begins; no JSON does.
pub(super) const FIRST_BYTE: u8 = 0xff;

/// The file that describes the sensors, beside the telemetry.
const SUMMARY_FILE: &str = "summary.json";
const MAX_SUMMARY_BYTES: u64 = 64 << 20;

/// The bytes that end a stream: a message of no length.
const END_OF_STREAM: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// The header of a batch has about 2,000 bytes. In a forged one, parts may be referred to many times
/// over; this bounds what they can grow to.
const MAX_HEADER_BYTES: u32 = 1 << 16;

/// A run commits at most 65,536 rows in a batch: about 12 MiB.
const MAX_BODY_BYTES: u64 = 64 << 20;

/// The columns, as a run writes them.
const COLUMNS: [(&str, DataType); 26] = [
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

/// The sensors of a segment, from the summary beside the telemetry.
pub(super) fn sensors_beside(path: &Path, segment: u32) -> Result<Vec<SensorInfo>, String> {
    #[derive(Deserialize)]
    struct Summary {
        segments: Vec<Segment>,
    }
    #[derive(Deserialize)]
    struct Segment {
        sensors: Vec<SensorInfo>,
    }
    let summary = path.with_file_name(SUMMARY_FILE);
    let text = read_bounded(&summary, MAX_SUMMARY_BYTES)
        .map_err(|error| format!("its sensors, in the {SUMMARY_FILE} beside it: {error}"))?;
    let mut summary: Summary = serde_json::from_slice(&text)
        .map_err(|error| format!("its sensors, in the {SUMMARY_FILE} beside it: {error}"))?;
    let index = segment as usize;
    if index >= summary.segments.len() {
        return Err(format!("the {SUMMARY_FILE} beside it has no segment {segment}"));
    }
    Ok(summary.segments.swap_remove(index).sensors)
}

/// The ticks of a run's telemetry.
pub(super) struct TraceFile {
    file: File,
    /// Where the next message begins.
    position: u64,
    metadata: StreamMetadata,
    batch: Option<Batch>,
    /// The next row of the batch.
    row: usize,
    /// What is replayed: the segment and the host of the first row.
    replayed: Option<(u32, Box<str>)>,
    /// Each sensor's place in the list by its recorded number.
    positions: HashMap<u32, u32>,
    reported: bool,
    is_done: bool,
}

impl TraceFile {
    /// Opens a stream of these columns.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let (schema, metadata) = guarded(own_schema)?;
        let opened = Self {
            file,
            position: schema.len() as u64,
            metadata,
            batch: None,
            row: 0,
            replayed: None,
            positions: HashMap::new(),
            reported: false,
            is_done: false,
        };
        if opened.read(0, schema.len() as u64).ok() != Some(schema) {
            return Err("its columns are not those of the telemetry of this version".to_owned());
        }
        Ok(opened)
    }

    /// The segment to be replayed.
    pub(super) fn first_segment(&mut self) -> Result<u32, String> {
        guarded(|| {
            self.load()?;
            let row = self.next_row().ok_or("it has no readings")?;
            let (segment, host) = (row.known_u32("segment")?, row.known_text("host")?.into());
            self.replayed = Some((segment, host));
            Ok::<_, String>(segment)
        })
    }

    /// Says which sensors are replayed, and by which numbers.
    pub(super) fn number(&mut self, positions: HashMap<u32, u32>) {
        self.positions = positions;
    }

    fn next_tick(&mut self) -> Result<Option<Tick>, String> {
        let mut tick = None::<(TickId, Tick)>;
        while self.load()? {
            match self.look()? {
                Seen::OtherSegment(segment) => {
                    info!(segment, "the trace goes on in another segment, which is not replayed");
                    break;
                }
                Seen::Other(why) => self.skip(why),
                Seen::Reading(id, ..) if tick.as_ref().is_some_and(|(first, _)| *first != id) => {
                    break;
                }
                Seen::Reading(id, at, reading) => {
                    self.row += 1;
                    let (_, tick) = tick.get_or_insert((id, Tick { at, readings: Vec::new() }));
                    put(&mut tick.readings, reading);
                }
            }
        }
        Ok(tick.map(|(_, tick)| tick))
    }

    /// What the next row is.
    fn look(&self) -> Result<Seen, String> {
        let row = self.next_row().ok_or("it has no readings")?;
        let segment = row.known_u32("segment")?;
        if let Some((replayed, host)) = &self.replayed {
            if *replayed != segment {
                return Ok(Seen::OtherSegment(segment));
            }
            if **host != *row.known_text("host")? {
                return Ok(Seen::Other("readings of other hosts are not replayed"));
            }
        }
        let reading = row.reading()?;
        let Some(sensor) = self.positions.get(&reading.sensor).copied() else {
            return Ok(Seen::Other("readings of sensors without a description are not replayed"));
        };
        let id = (row.known_u64("instance")?, row.known_u64("sequence")?);
        let at = Nanos(row.known_u64("monotonic_nanos")?);
        Ok(Seen::Reading(id, at, SensorReading { sensor, ..reading }))
    }

    fn skip(&mut self, why: &str) {
        self.row += 1;
        if !std::mem::replace(&mut self.reported, true) {
            info!("{why}");
        }
    }

    /// Sees to it that there is a next row; says whether there is one.
    fn load(&mut self) -> Result<bool, String> {
        while self.next_row().is_none() {
            // The old batch goes first: only one is in memory at a time.
            self.batch = None;
            self.row = 0;
            match self.next_batch()? {
                Some(batch) => self.batch = Some(batch),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn next_row(&self) -> Option<Row<'_>> {
        let batch = self.batch.as_ref()?;
        (self.row < batch.len()).then_some(Row { batch, row: self.row })
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, String> {
        let start = self.position;
        let damaged = |what: &str| format!("{what} (at byte {start})");
        let prefix = self.read(start, END_OF_STREAM.len() as u64)?;
        if prefix == END_OF_STREAM {
            return Ok(None);
        }
        let length = u32::from_le_bytes([prefix[4], prefix[5], prefix[6], prefix[7]]);
        let is_message = prefix[..4] == END_OF_STREAM[..4];
        if !is_message || length > MAX_HEADER_BYTES || !length.is_multiple_of(8) {
            return Err(damaged("no message begins here"));
        }
        let header = self.read(start + 8, u64::from(length))?;
        let body = body_length(&header).ok_or_else(|| damaged("this is no batch of telemetry"))?;
        let message = self.read(start, 8 + u64::from(length) + body)?;
        self.position = start + message.len() as u64;
        let metadata = self.metadata.clone();
        let mut reader = StreamReader::new(message.as_slice(), metadata, None);
        match reader.next() {
            Some(Ok(StreamState::Some(batch))) => Ok(Some(batch)),
            Some(Err(error)) => Err(damaged(&error.to_string())),
            Some(Ok(StreamState::Waiting)) | None => Err(damaged("this is no batch")),
        }
    }

    fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>, String> {
        // Asked each time: the run may still be going on.
        let present = self.file.metadata().map_err(|error| error.to_string())?.len();
        if offset.saturating_add(length) > present {
            return Err(format!("it was cut inside the message at byte {offset}"));
        }
        // Bounded by the file's own length and by the limits on a header and a body.
        let mut bytes = vec![0; length as usize];
        self.file.read_exact_at(&mut bytes, offset).map_err(|error| error.to_string())?;
        Ok(bytes)
    }
}

impl Iterator for TraceFile {
    type Item = Result<Tick, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let next = guarded(|| self.next_tick()).transpose();
        // Behind a damaged message nothing can be found any more.
        self.is_done = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Which tick of which start of the monitor.
type TickId = (u64, u64);

/// What a row is.
#[expect(clippy::large_enum_variant, reason = "one at a time, and nearly every row is a reading")]
enum Seen {
    /// Of this segment: the trace ends before it.
    OtherSegment(u32),
    /// Not to be replayed, for this reason.
    Other(&'static str),
    /// A sensor's reading in a tick of this time.
    Reading(TickId, Nanos, SensorReading),
}

/// The message of our columns, and what it says.
fn own_schema() -> arrow2::error::Result<(Vec<u8>, StreamMetadata)> {
    let fields = COLUMNS.map(|(name, data_type)| Field::new(name, data_type, true));
    let mut writer = StreamWriter::new(Cursor::new(Vec::new()), WriteOptions { compression: None });
    writer.start(&Schema::from(fields.to_vec()), None)?;
    let bytes = writer.into_inner().into_inner();
    let metadata = read_stream_metadata(&mut bytes.as_slice())?;
    Ok((bytes, metadata))
}

/// The length of a batch's body, if the batch is without compression and its buffers lie in its body
/// and are together no longer: then decoding it takes memory in proportion to its bytes in the file.
fn body_length(header: &[u8]) -> Option<u64> {
    let message = MessageRef::read_as_root(header).ok()?;
    let length = u64::try_from(message.body_length().ok()?).ok()?;
    let MessageHeaderRef::RecordBatch(batch) = message.header().ok()?? else { return None };
    let is_plain = batch.compression().ok()?.is_none();
    let fits = length <= MAX_BODY_BYTES && length.is_multiple_of(8) && buffers_fit(&batch, length)?;
    (is_plain && fits).then_some(length)
}

fn buffers_fit(batch: &RecordBatchRef<'_>, body_length: u64) -> Option<bool> {
    let mut total = 0_u64;
    for buffer in batch.buffers().ok()?? {
        let offset = u64::try_from(buffer.offset()).ok()?;
        let length = u64::try_from(buffer.length()).ok()?;
        total = total.checked_add(length)?;
        if offset.checked_add(length)? > body_length {
            return Some(false);
        }
    }
    Some(total <= body_length)
}

/// What `decode` gives; its panics are errors. The decoder is known to panic on some damaged input.
fn guarded<T, E: std::fmt::Display>(decode: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => {
            warn!("the decoder of Arrow panicked on a trace: the trace is damaged");
            Err("its content can't be decoded".to_owned())
        }
    }
}

/// A row of a batch whose columns are those of the schema.
#[derive(Clone, Copy)]
struct Row<'a> {
    batch: &'a Batch,
    row: usize,
}

impl<'a> Row<'a> {
    fn column<A: Array>(self, name: &str) -> Option<&'a A> {
        let index = COLUMNS.iter().position(|(known, _)| *known == name)?;
        self.batch.arrays().get(index)?.as_any().downcast_ref()
    }

    fn number<T: NativeType>(self, name: &str) -> Option<T> {
        self.column::<PrimitiveArray<T>>(name)?.get(self.row)
    }

    fn known_u32(self, name: &str) -> Result<u32, String> {
        self.number(name).ok_or_else(|| format!("a row has no `{name}`"))
    }

    fn known_u64(self, name: &str) -> Result<u64, String> {
        self.number(name).ok_or_else(|| format!("a row has no `{name}`"))
    }

    fn known_text(self, name: &str) -> Result<&'a str, String> {
        let text = self.column::<Utf8Array<i32>>(name).and_then(|column| column.get(self.row));
        text.ok_or_else(|| format!("a row has no `{name}`"))
    }

    fn time(self, name: &str) -> Option<Nanos> {
        self.number(name).map(Nanos)
    }

    /// What isn't a number isn't known.
    fn real(self, name: &str) -> Option<f64> {
        self.number(name).filter(|value: &f64| value.is_finite())
    }

    fn reading(self) -> Result<SensorReading, String> {
        Ok(SensorReading {
            sensor: self.known_u32("sensor")?,
            energy_microjoules: self.number("energy_microjoules"),
            epoch: self.known_u32("epoch")?,
            read_start: Nanos(self.known_u64("read_start_nanos")?),
            read_end: Nanos(self.known_u64("read_end_nanos")?),
            changed_after: self.time("changed_after_nanos"),
            changed_before: self.time("changed_before_nanos"),
            power: self.real("power_watts").map(Watts),
            temperature_celsius: self.real("temperature_celsius"),
            memory_used_bytes: self.number("memory_used_bytes"),
            memory_total_bytes: self.number("memory_total_bytes"),
            compute_utilization_pct: self.real("compute_utilization_pct"),
            memory_utilization_pct: self.real("memory_utilization_pct"),
            process_count: self.number("process_count"),
            tensor_utilization_pct: self.real("tensor_utilization_pct"),
            compute_clock_mhz: self.number("compute_clock_mhz"),
            memory_clock_mhz: self.number("memory_clock_mhz"),
            throttle: self.number("throttle_reasons").map(Throttle),
            power_at: self.time("power_at_nanos"),
            status: status_named(self.known_text("status")?)?,
        })
    }
}

fn status_named(name: &str) -> Result<Status, String> {
    let name: StrDeserializer<'_, UnknownStatus> = name.into_deserializer();
    Status::deserialize(name).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
