//! One sample of `powermetrics` as figures. Energies in millijoules over the sample's own elapsed
//! time, as the program writes them; some of its versions write integers and some reals.
//!
//! Its powers are these energies over the elapsed time, so they say nothing more; they stand in where
//! a version writes no energy. Whether a zero can be true is for [`super::rails`] to judge.

use std::io::Cursor;
use std::time::Duration;

use energy_proto::{Joules, Watts};
use plist::{Dictionary, Value};

/// A sample of laptops that slept may be long; beyond this it is no time.
const LONGEST: Duration = Duration::from_secs(86_400);

/// The deepest nesting: a list of a core's clocks is at the sixth level.
const MAX_DEPTH: u32 = 32;

/// What a rail took in a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Taken {
    /// This machine has no such figure.
    Absent,
    /// It isn't an energy: negative, not finite, or no number.
    Impossible,
    /// This energy.
    Known {
        /// The energy.
        energy: Joules,
        /// Whether it was made from the mean power.
        from_power: bool,
    },
}

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    /// The time it covers, by its own clock.
    pub(super) elapsed: Duration,
    /// The machine's model, as `Mac14,12`.
    pub(super) model: Option<String>,
    /// What the CPU, the GPU and the neural engine took.
    pub(super) cpu: Taken,
    pub(super) gpu: Taken,
    pub(super) ane: Taken,
    /// Time in which cores ran, summed over the cores.
    pub(super) cores_active: Duration,
    /// Share of the time in which the GPU ran.
    pub(super) gpu_active: Option<f64>,
    /// The GPU's mean clock while it ran.
    pub(super) gpu_clock_mhz: Option<u32>,
}

/// Why bytes aren't a sample.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotASample {
    #[error("not a property list: {0}")]
    Plist(#[from] plist::Error),
    #[error("nested deeper, or marked up otherwise, than any sample of powermetrics")]
    Shape,
    #[error("without an elapsed time")]
    Elapsed,
}

/// Reads one sample.
pub(super) fn parse(bytes: &[u8]) -> Result<Sample, NotASample> {
    if !is_shallow(bytes) {
        return Err(NotASample::Shape);
    }
    let value = Value::from_reader_xml(Cursor::new(bytes))?;
    let sample = value.as_dictionary().ok_or(NotASample::Elapsed)?;
    let elapsed = elapsed(sample).ok_or(NotASample::Elapsed)?;
    let empty = Dictionary::new();
    let part = |name| sample.get(name).and_then(Value::as_dictionary).unwrap_or(&empty);
    let (processor, gpu) = (part("processor"), part("gpu"));
    Ok(Sample {
        elapsed,
        model: sample.get("hw_model").and_then(Value::as_string).map(str::to_owned),
        cpu: taken(energy(processor, "cpu_energy"), processor, "cpu_power", elapsed),
        gpu: taken(gpu_energy(processor, gpu), processor, "gpu_power", elapsed),
        ane: taken(energy(processor, "ane_energy"), processor, "ane_power", elapsed),
        cores_active: elapsed.mul_f64(cores_active(processor)),
        gpu_active: active_share(gpu),
        gpu_clock_mhz: clock_mhz(gpu),
    })
}

fn elapsed(sample: &Dictionary) -> Option<Duration> {
    let nanos = number(sample.get("elapsed_ns")?).filter(|nanos| *nanos >= 1.0)?;
    Duration::try_from_secs_f64(nanos * 1e-9).ok().filter(|elapsed| *elapsed <= LONGEST)
}

/// A figure that is there, if it is a number that an energy can be.
type Figure = Option<Result<f64, ()>>;

fn energy(part: &Dictionary, key: &str) -> Figure {
    part.get(key).map(|value| number(value).filter(|value| *value >= 0.0).ok_or(()))
}

/// Older versions write it beside the CPU's, newer ones in the GPU's own part, and some have both and
/// fill in one.
fn gpu_energy(processor: &Dictionary, gpu: &Dictionary) -> Figure {
    let own = energy(gpu, "gpu_energy");
    match own {
        Some(Ok(millijoules)) if millijoules > 0.0 => own,
        _ => energy(processor, "gpu_energy").or(own),
    }
}

fn taken(energy: Figure, processor: &Dictionary, power: &str, elapsed: Duration) -> Taken {
    let milli = 1e-3;
    match energy {
        Some(Ok(millijoules)) => {
            Taken::Known { energy: Joules(millijoules * milli), from_power: false }
        }
        Some(Err(())) => Taken::Impossible,
        None => match self::energy(processor, power) {
            Some(Ok(milliwatts)) => {
                Taken::Known { energy: Watts(milliwatts * milli) * elapsed, from_power: true }
            }
            Some(Err(())) => Taken::Impossible,
            None => Taken::Absent,
        },
    }
}

/// How many cores ran, on the mean.
fn cores_active(processor: &Dictionary) -> f64 {
    let list = |part: &Dictionary, key| -> Vec<Dictionary> {
        let items = part.get(key).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(Value::as_dictionary).cloned().collect()
    };
    let cluster = |cluster: &Dictionary| -> f64 {
        let cores = list(cluster, "cpus");
        if cores.is_empty() {
            return active_share(cluster).unwrap_or(0.0);
        }
        cores.iter().filter_map(active_share).sum()
    };
    list(processor, "clusters").iter().map(cluster).sum()
}

/// The share of the time in which a core, a cluster or the GPU was neither idle nor switched off.
fn active_share(part: &Dictionary) -> Option<f64> {
    let ratio = |key| part.get(key).and_then(number).filter(|ratio| (0.0..=1.0).contains(ratio));
    let idle = ratio("idle_ratio")?;
    Some((1.0 - idle - ratio("down_ratio").unwrap_or(0.0)).clamp(0.0, 1.0))
}

/// The GPU's `freq_hz` holds megahertz (338 to 1,600 on the machines known), the clusters' hertz: no
/// GPU is slower than 0.1 MHz or faster than 100 GHz, so the size tells them apart.
fn clock_mhz(gpu: &Dictionary) -> Option<u32> {
    let clock = gpu.get("freq_hz").and_then(number).filter(|clock| *clock >= 0.0)?;
    let megahertz = if clock < 1e5 { clock } else { clock / 1e6 };
    (megahertz < 1e5).then_some(megahertz.round() as u32)
}

fn number(value: &Value) -> Option<f64> {
    let integer = || value.as_signed_integer().map(|number| number as f64);
    let large = || value.as_unsigned_integer().map(|number| number as f64);
    value.as_real().or_else(integer).or_else(large).filter(|number| number.is_finite())
}

/// Whether the lists and dictionaries in it nest within reason: the library builds and drops nested
/// values by recursion, and a megabyte of `<array>` would overflow the stack.
///
/// Within it nothing is let through in which a tag could hide: no comment, no instruction, no
/// attribute. powermetrics writes none of them there.
fn is_shallow(bytes: &[u8]) -> bool {
    let mut depth = 0_u32;
    let mut rest = bytes;
    while let Some(start) = rest.iter().position(|byte| *byte == b'<') {
        rest = &rest[start + 1..];
        let Some(end) = rest.iter().position(|byte| matches!(byte, b'<' | b'>')) else {
            return true;
        };
        let tag = &rest[..end];
        let hides = tag.iter().any(|byte| matches!(byte, b'!' | b'?' | b'"' | b'\'' | b'['));
        let is_within = depth > 0 || is_collection(tag);
        if is_within && (hides || rest[end] == b'<') {
            return false;
        }
        match tag {
            [b'/', name @ ..] if is_collection(name) => depth = depth.saturating_sub(1),
            [.., b'/'] => {}
            name if is_collection(name) => depth += 1,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return false;
        }
    }
    true
}

fn is_collection(name: &[u8]) -> bool {
    // With a prefix or blanks behind it is still one to the library.
    let name = name.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let local = name.rsplit(|byte| *byte == b':').next().unwrap_or_default();
    matches!(local, b"dict" | b"array")
}

#[cfg(test)]
mod tests;
