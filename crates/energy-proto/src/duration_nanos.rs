//! For `#[serde(with = "energy_proto::duration_nanos")]`: an optional duration as whole nanoseconds.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes nanoseconds, or null.
///
/// # Errors
/// What the serializer reports.
pub fn serialize<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    time.and_then(|time| u64::try_from(time.as_nanos()).ok()).serialize(to)
}

/// Reads nanoseconds, or null.
///
/// # Errors
/// What the deserializer reports.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    Ok(Option::<u64>::deserialize(from)?.map(Duration::from_nanos))
}
