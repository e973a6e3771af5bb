//! A recorded trace, whatever its file's format: sensors, and the ticks at which they were read.
//!
//! Times are those of the recording, which compare among themselves only.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use energy_proto::{Nanos, SensorInfo, SensorReading};

use super::script_file;
use super::trace_file::{self, TraceFile};
use crate::source::Unavailable;

/// The file with a run's telemetry in its directory.
const TELEMETRY_FILE: &str = "telemetry.arrow";

/// The most sensors of a trace.
pub(super) const MAX_SENSORS: usize = 4096;

/// What was read at one time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    /// When these readings were put together.
    pub(super) at: Nanos,
    /// At most one of each sensor; a sensor's number is its place in the trace's list.
    pub(super) readings: Vec<SensorReading>,
}

/// The ticks of a trace; ends after the first error.
pub(super) type Ticks = Box<dyn Iterator<Item = Result<Tick, String>> + Send>;

/// A trace.
pub(super) struct Trace {
    pub(super) sensors: Vec<SensorInfo>,
    pub(super) ticks: Ticks,
}

/// Opens a script, a run's telemetry, or the run's directory.
pub(super) fn open(path: &Path) -> Result<Trace, Unavailable> {
    let path = if path.is_dir() { path.join(TELEMETRY_FILE) } else { path.to_owned() };
    let unreadable = |error: std::io::Error| {
        Unavailable::new(format!("{} can't be read: {error}", path.display()), REMEDY)
    };
    let mut file = File::open(&path).map_err(unreadable)?;
    // A pipe would be read for ever.
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(Unavailable::new(format!("{} is no file", path.display()), REMEDY));
    }
    let mut first = [0; 1];
    let count = file.read(&mut first).map_err(unreadable)?;
    let opened = if count == 1 && first[0] == trace_file::FIRST_BYTE {
        open_telemetry(path.clone())
    } else {
        script_file::read(&path)
    };
    opened.map_err(|what| Unavailable::new(format!("{}: {what}", path.display()), REMEDY))
}

const REMEDY: &str = "--script takes the directory of a run, its telemetry.arrow, or a JSON script of sensors and readings";

fn open_telemetry(path: PathBuf) -> Result<Trace, String> {
    let mut file = TraceFile::open(&path)?;
    let segment = file.first_segment()?;
    let sensors = trace_file::sensors_beside(&path, segment)?;
    file.number(positions(&sensors)?);
    Ok(Trace { sensors, ticks: Box::new(file) })
}

/// Each sensor's place in the list by its recorded number.
pub(super) fn positions(sensors: &[SensorInfo]) -> Result<HashMap<u32, u32>, String> {
    if sensors.is_empty() || sensors.len() > MAX_SENSORS {
        return Err(format!("{} sensors, and not 1 to {MAX_SENSORS}", sensors.len()));
    }
    let positions: HashMap<u32, u32> = (0..).zip(sensors).map(|(at, info)| (info.id, at)).collect();
    if positions.len() < sensors.len() {
        return Err("two of its sensors have the same number".to_owned());
    }
    Ok(positions)
}

/// The whole text of a file that must not be longer than this.
pub(super) fn read_bounded(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let length = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > most {
        return Err(format!("{length} bytes, more than the {most} that are read"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(most).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// Puts a reading in the place of an earlier one of the same sensor, if there is one.
pub(super) fn put(readings: &mut Vec<SensorReading>, reading: SensorReading) {
    match readings.iter_mut().find(|earlier| earlier.sensor == reading.sensor) {
        Some(earlier) => *earlier = reading,
        None => readings.push(reading),
    }
}
