//! One AMD or Intel GPU: its counter or power, and what else its driver shows.
//!
//! Energy in microjoules, power in microwatts, temperatures in millidegrees, clocks in hertz, memory in
//! bytes, as the hwmon and amdgpu interfaces have them. Files stay open; a driver that is unloaded is
//! lost until the monitor is started again.

use std::path::Path;
use std::time::Duration;

use energy_proto::{Nanos, SensorInfo, SensorKind, SensorReading, Status, Watts, monotonic_now};

use super::REGISTER_MICROJOULES;
use super::agreement::Agreement;
use super::attribute::{Attribute, Unreadable, read_number, read_text, status_of};
use super::card::{Card, Vendor};
use crate::counter::Counter;
use crate::source::{Paced, SLOW_FIGURES_PERIOD, epoch_of_this_start, timed};

/// No GPU takes more. amdgpu has printed a negative error as an unsigned number here, which reads as
/// 4,295 W, and 65,535 W for what its firmware doesn't know.
const FULL_POWER_MICROWATTS: i64 = 4_000_000_000;
/// More channels than any card has.
const CHANNELS: std::ops::RangeInclusive<u32> = 1..=8;
/// The words of `power/runtime_status` for a device that a read would wake, or that is no more there to
/// be read.
const ASLEEP: [&[u8]; 2] = [b"suspended", b"suspending"];

/// A GPU that is read.
#[derive(Debug)]
pub(super) struct Gpu {
    pub(super) info: SensorInfo,
    runtime_status: Option<Attribute>,
    energy: Option<Attribute>,
    power: Option<Attribute>,
    slow_files: SlowFiles,
    slow: Paced<SlowFigures>,
    counter: Counter,
    /// Of the counter with power, where both are there.
    agreement: Option<Agreement>,
    /// Whether the counter's next value can't be compared with its last.
    interrupted: bool,
}

/// The files of what changes slowly.
#[derive(Debug, Default)]
struct SlowFiles {
    temperature: Option<Attribute>,
    memory_used: Option<Attribute>,
    memory_total: Option<Attribute>,
    compute_busy: Option<Attribute>,
    memory_busy: Option<Attribute>,
    compute_clock: Option<Attribute>,
    memory_clock: Option<Attribute>,
}

#[derive(Debug, Clone, Copy, Default)]
struct SlowFigures {
    temperature_celsius: Option<f64>,
    memory_used_bytes: Option<u64>,
    memory_total_bytes: Option<u64>,
    compute_utilization_pct: Option<f64>,
    memory_utilization_pct: Option<f64>,
    compute_clock_mhz: Option<u32>,
    memory_clock_mhz: Option<u32>,
}

impl Gpu {
    /// Opens what a card's driver shows. Whether it shows energy or power is in `info.status`.
    pub(super) fn open(card: &Card) -> Self {
        let runtime_status = optional(&card.device.join("power/runtime_status"));
        let asleep = runtime_status.as_ref().is_some_and(|status| status.is_one_of(&ASLEEP));
        let none = Files { energy: Ok(None), power: Ok(None), window: None, channel: 1, note: "" };
        let files =
            card.hwmon.as_ref().map_or(none, |hwmon| Files::open(card.vendor, hwmon, asleep));
        let gives = |file: &Attribute| asleep || file.read().is_ok_or_not_unsupported();
        let refused = [files.energy.as_ref().err(), files.power.as_ref().err()];
        let refused: Vec<Unreadable> = refused.into_iter().flatten().cloned().collect();
        let energy = files.energy.ok().flatten().filter(gives);
        let power = files.power.ok().flatten().filter(gives);
        let slow_files = SlowFiles::open(card);
        let mut info = SensorInfo {
            name: card.name(),
            uuid: card.uuid(),
            power_limit: card
                .hwmon
                .as_ref()
                .filter(|_| !asleep)
                .and_then(|hwmon| power_limit(hwmon, files.channel)),
            power_window: power.as_ref().and(files.window),
            note: files.note.to_owned(),
            ..SensorInfo::new(0, SensorKind::Gpu, source_name(card.vendor))
        };
        info.measures = slow_files.measures(energy.is_some(), power.is_some());
        set_status(&mut info, &refused);
        let agreement = (energy.is_some() && power.is_some()).then(Agreement::default);
        if agreement.is_some() {
            add_note(
                &mut info,
                "energy is withheld until its rate has agreed with power for 2 s, and whenever it doesn't",
            );
        }
        Self {
            info,
            runtime_status,
            energy,
            power,
            slow_files,
            slow: Paced::every(SLOW_FIGURES_PERIOD),
            // What a register wrapped while nobody asked is missing, so values from before this start
            // don't compare with later ones.
            counter: counter_of(card.vendor).from_epoch(epoch_of_this_start()),
            agreement,
            interrupted: false,
        }
    }

    /// Whether it has a counter, which then has to be read now and then.
    pub(super) fn has_counter(&self) -> bool {
        self.energy.is_some()
    }

    /// Makes it a GPU of which nothing is known that counts.
    pub(super) fn has_no_power(&mut self, remedy: &str) {
        (self.energy, self.power, self.agreement) = (None, None, None);
        self.info.measures.retain(|figure| figure != "power" && figure != "energy");
        self.info.status = Status::Unsupported;
        remedy.clone_into(&mut self.info.remedy);
    }

    /// Makes it one number for CPU and GPU.
    pub(super) fn becomes_soc(&mut self) {
        self.info.kind = SensorKind::Soc;
        add_note(&mut self.info, "power of the whole APU, with its CPU");
        // What the firmware has set aside of main memory, of which the GPU uses more.
        self.info.measures.retain(|figure| figure != "memory");
        self.slow_files.memory_used = None;
        self.slow_files.memory_total = None;
    }

    /// Reads it, unless that would wake it.
    pub(super) fn read(&mut self) -> SensorReading {
        if self.runtime_status.as_ref().is_some_and(|status| status.is_one_of(&ASLEEP)) {
            // A device without supply forgets its counter, which the driver takes for a wrap.
            self.interrupt();
            let now = monotonic_now();
            return SensorReading::empty(self.info.id, now, now, Status::Stale);
        }
        let (energy, start, energy_end) = timed(|| self.energy.as_ref().map(read_microjoules));
        let (power, _, power_end) = timed(|| self.power.as_ref().map(read_watts));
        let end = if energy.is_some() { energy_end } else { power_end };
        let watts = power.and_then(Result::ok);
        let counted = energy.map(|energy| energy.and_then(|raw| self.count(raw, end, watts)));
        let status = match (&counted, &power) {
            (Some(Ok((_, status))) | Some(Err(status)), _) | (None, Some(Err(status))) => *status,
            (None, Some(Ok(_))) => Status::Ok,
            (None, None) => self.info.status,
        };
        let mut reading = SensorReading::empty(self.info.id, start, end, status);
        reading.epoch = self.counter.epoch();
        if status == Status::Lost {
            return reading;
        }
        reading.energy_microjoules =
            counted.and_then(Result::ok).map(|(microjoules, _)| microjoules);
        reading.power = watts;
        self.slow.get(end, || self.slow_files.read()).put_into(&mut reading);
        reading
    }

    /// Lets the counter's next value begin an epoch.
    pub(super) fn interrupt(&mut self) {
        self.interrupted = true;
    }

    /// Takes a value of the counter; a status if it isn't to be believed.
    pub(super) fn count(
        &mut self,
        raw: u64,
        at: Nanos,
        power: Option<Watts>,
    ) -> Result<(u64, Status), Status> {
        let broken = std::mem::take(&mut self.interrupted);
        if broken {
            self.counter.break_off();
        }
        let counted = self.counter.observe(raw, at);
        let reset = counted.reset || broken;
        if let Some(agreement) = &mut self.agreement {
            let believed = agreement.holds();
            if reset {
                agreement.start_over();
            }
            if let Some(power) = power {
                agreement.observe(at, counted.microjoules, power);
            }
            if !agreement.holds() {
                // What it counts from now on is not to be added to what it had counted.
                self.interrupted = believed;
                return Err(Status::Implausible);
            }
        }
        Ok((counted.microjoules, if reset { Status::Reset } else { Status::Ok }))
    }
}

/// The files of energy and power, as a vendor has them.
struct Files {
    energy: Result<Option<Attribute>, Unreadable>,
    power: Result<Option<Attribute>, Unreadable>,
    /// Over which time power is a mean, where that is known.
    window: Option<Duration>,
    /// The number of the channel, which its limits have too.
    channel: u32,
    note: &'static str,
}

impl Files {
    fn open(vendor: Vendor, hwmon: &Path, asleep: bool) -> Self {
        match vendor {
            Vendor::Amd => Self::of_amd(hwmon, asleep),
            Vendor::Intel => Self::of_intel(hwmon),
        }
    }

    /// amdgpu: `power1_input` is of now, `power1_average` a mean over a time that it doesn't tell.
    fn of_amd(hwmon: &Path, asleep: bool) -> Self {
        let now = Attribute::open(&hwmon.join("power1_input"));
        let usable = now.as_ref().is_ok_and(|file| {
            file.as_ref().is_some_and(|file| asleep || file.read().is_ok_or_not_unsupported())
        });
        let (power, window) = if usable {
            (now, Some(Duration::ZERO))
        } else {
            (Attribute::open(&hwmon.join("power1_average")).or(now), None)
        };
        let energy = Attribute::open(&hwmon.join("energy1_input"));
        Self { energy, power, window, channel: 1, note: "" }
    }

    /// xe and i915: a counter of the card, else one of the package on it. They have no power.
    fn of_intel(hwmon: &Path) -> Self {
        let labelled = |wanted: &str| {
            CHANNELS.into_iter().find(|channel| {
                let label = read_text(&hwmon.join(format!("energy{channel}_label")));
                label.as_deref() == Some(wanted)
            })
        };
        let card = labelled("card");
        let channel = card.or_else(|| labelled("pkg")).unwrap_or(1);
        let note = if card.is_some() {
            ""
        } else {
            "energy of the GPU's package: the rest of the card may not be in it"
        };
        let energy = Attribute::open(&hwmon.join(format!("energy{channel}_input")));
        Self { energy, power: Ok(None), window: None, channel, note }
    }
}

impl SlowFiles {
    fn open(card: &Card) -> Self {
        let device = |file: &str| optional(&card.device.join(file));
        let Some(hwmon) = &card.hwmon else { return Self::default() };
        Self {
            temperature: temperature_channel(hwmon)
                .and_then(|channel| optional(&hwmon.join(format!("temp{channel}_input")))),
            memory_used: device("mem_info_vram_used"),
            memory_total: device("mem_info_vram_total"),
            compute_busy: device("gpu_busy_percent"),
            memory_busy: device("mem_busy_percent"),
            compute_clock: optional(&hwmon.join("freq1_input")),
            memory_clock: optional(&hwmon.join("freq2_input")),
        }
    }

    fn measures(&self, energy: bool, power: bool) -> Vec<String> {
        [
            ("energy", energy),
            ("power", power),
            ("temperature", self.temperature.is_some()),
            ("memory", self.memory_used.is_some()),
            ("utilization", self.compute_busy.is_some()),
            ("clocks", self.compute_clock.is_some()),
        ]
        .into_iter()
        .filter(|(_, there)| *there)
        .map(|(figure, _)| figure.to_owned())
        .collect()
    }

    fn read(&self) -> SlowFigures {
        SlowFigures {
            temperature_celsius: read_celsius(self.temperature.as_ref()),
            memory_used_bytes: read_unsigned(self.memory_used.as_ref()),
            memory_total_bytes: read_unsigned(self.memory_total.as_ref()),
            compute_utilization_pct: read_percent(self.compute_busy.as_ref()),
            memory_utilization_pct: read_percent(self.memory_busy.as_ref()),
            compute_clock_mhz: read_megahertz(self.compute_clock.as_ref()),
            memory_clock_mhz: read_megahertz(self.memory_clock.as_ref()),
        }
    }
}

impl SlowFigures {
    fn put_into(self, reading: &mut SensorReading) {
        reading.temperature_celsius = self.temperature_celsius;
        reading.memory_used_bytes = self.memory_used_bytes;
        reading.memory_total_bytes = self.memory_total_bytes;
        reading.compute_utilization_pct = self.compute_utilization_pct;
        reading.memory_utilization_pct = self.memory_utilization_pct;
        reading.compute_clock_mhz = self.compute_clock_mhz;
        reading.memory_clock_mhz = self.memory_clock_mhz;
    }
}

/// Whether a file shows a figure, or could.
trait Shown {
    fn is_ok_or_not_unsupported(&self) -> bool;
}

impl<T> Shown for std::io::Result<T> {
    fn is_ok_or_not_unsupported(&self) -> bool {
        self.as_ref().map_or_else(|error| status_of(error) != Status::Unsupported, |_| true)
    }
}

fn optional(path: &Path) -> Option<Attribute> {
    Attribute::open(path).ok().flatten()
}

/// Zero is no energy that a GPU can have taken.
fn read_microjoules(file: &Attribute) -> Result<u64, Status> {
    let microjoules = file.read_unsigned().map_err(|error| status_of(&error))?;
    if microjoules > 0 { Ok(microjoules) } else { Err(Status::Implausible) }
}

/// Zero is no power that a GPU can have.
fn read_watts(file: &Attribute) -> Result<Watts, Status> {
    let microwatts = file.read().map_err(|error| status_of(&error))?;
    watts(microwatts).ok_or(Status::Implausible)
}

fn watts(microwatts: i64) -> Option<Watts> {
    (1..=FULL_POWER_MICROWATTS).contains(&microwatts).then_some(Watts(microwatts as f64 * 1e-6))
}

fn read_unsigned(file: Option<&Attribute>) -> Option<u64> {
    file?.read_unsigned().ok()
}

/// A temperature that silicon can have.
pub(super) fn read_celsius(file: Option<&Attribute>) -> Option<f64> {
    let millidegrees = file?.read().ok()?;
    (-60_000..=250_000).contains(&millidegrees).then_some(millidegrees as f64 * 1e-3)
}

fn read_percent(file: Option<&Attribute>) -> Option<f64> {
    let percent = file?.read().ok()?;
    (0..=100).contains(&percent).then_some(percent as f64)
}

fn read_megahertz(file: Option<&Attribute>) -> Option<u32> {
    u32::try_from(file?.read_unsigned().ok()? / 1_000_000).ok()
}

/// amdgpu calls them `edge`, `junction` (the hottest point; some Instincts have no edge) and `mem`, xe
/// `pkg` and `vram`; i915 has one without a name.
fn temperature_channel(hwmon: &Path) -> Option<u32> {
    let label = |channel| read_text(&hwmon.join(format!("temp{channel}_label")));
    ["edge", "junction", "pkg"]
        .into_iter()
        .find_map(|wanted| {
            CHANNELS.into_iter().find(|&channel| label(channel).as_deref() == Some(wanted))
        })
        .or_else(|| label(1).is_none().then_some(1))
}

/// The most that the driver lets it take. Intel's sustained limit (`max`) may be exceeded for seconds, up
/// to the critical one; 0 is a limit that is off.
fn power_limit(hwmon: &Path, channel: u32) -> Option<Watts> {
    let limits = ["cap", "max", "rated_max", "crit"]
        .map(|name| read_number(&hwmon.join(format!("power{channel}_{name}"))));
    limits.into_iter().flatten().filter_map(watts).reduce(
        |one, other| {
            if one.0 > other.0 { one } else { other }
        },
    )
}

/// A vendor's counter. Intel's drivers add up a register of 32 bits.
fn counter_of(vendor: Vendor) -> Counter {
    match vendor {
        Vendor::Amd => Counter::of_gpu(),
        Vendor::Intel => Counter::of_gpu_register(REGISTER_MICROJOULES),
    }
}

fn source_name(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::Amd => "hwmon_amd",
        Vendor::Intel => "hwmon_intel",
    }
}

/// The status of a sensor by what it gives, and by what it would give if it were readable.
fn set_status(info: &mut SensorInfo, refused: &[Unreadable]) {
    match (info.measures_energy(), refused.first()) {
        (true, None) => {}
        (true, Some(unreadable)) => add_note(info, &unreadable.remedy()),
        (false, Some(unreadable)) => {
            info.status = unreadable.status;
            info.remedy = unreadable.remedy();
        }
        (false, None) => {
            info.status = Status::Unsupported;
            "its driver shows neither energy nor power: Linux 6.2 (i915), 6.5 (xe) and later do"
                .clone_into(&mut info.remedy);
        }
    }
}

pub(super) fn add_note(info: &mut SensorInfo, note: &str) {
    if !info.note.is_empty() {
        info.note += "; ";
    }
    info.note += note;
}
