//! AMD and Intel GPUs through DRM and hwmon, and a Jetson's power rails: files of sysfs alone, no
//! vendor's library.
//!
//! What each is the energy of is in its sensor's note. An integrated GPU is no sensor of its own where its
//! energy is inside the CPU package's; it is left out with the reason. All are read by one thread: a read
//! asks the device's firmware and may block. Units are told by each module below.

mod agreement;
mod attribute;
mod card;
mod gpu;
mod jetson;

use std::path::Path;
use std::time::Duration;

use energy_proto::{GpuInfo, SensorInfo, SensorReading, Status};

use self::card::{Card, Vendor};
use self::gpu::{Gpu, add_note};
use self::jetson::Jetson;
use super::{Source, Unavailable};
use crate::counter::{GPU_FULL_POWER, longest_unread};

/// No two reads should be closer: amdgpu's firmware answers in about a millisecond.
pub const CLOSEST: Duration = Duration::from_millis(10);
/// xe and i915 add up a register of 32 bits in units of 2^-14 J whenever they are asked, and miss the
/// wraps in between (`xe_hwmon_energy_get`).
const REGISTER_MICROJOULES: u64 = (1 << (32 - 14)) * 1_000_000;

/// The GPUs and the Jetson of one sysfs.
#[derive(Debug)]
pub struct HwmonSource {
    gpus: Vec<Gpu>,
    jetson: Option<Jetson>,
    left_out: Vec<Unavailable>,
}

impl HwmonSource {
    /// Opens all that is there.
    ///
    /// # Errors
    /// If there is nothing, or nothing that can be used.
    pub fn open(sysfs_root: &Path) -> Result<Self, Unavailable> {
        let cards = card::find(sysfs_root);
        let mut found = Self { gpus: Vec::new(), jetson: None, left_out: Vec::new() };
        found.open_cards(sysfs_root, &cards);
        match Jetson::open(sysfs_root) {
            Ok(jetson) => found.jetson = jetson,
            Err(unavailable) => found.left_out.push(unavailable),
        }
        if found.gpus.is_empty() && found.jetson.is_none() {
            return Err(nothing(sysfs_root, found.left_out));
        }
        found.number();
        Ok(found)
    }

    /// What is there and isn't used, and why.
    #[must_use]
    pub fn left_out(&self) -> &[Unavailable] {
        &self.left_out
    }

    /// The first GPU, in the original monitor's words.
    #[must_use]
    pub fn first_gpu(&self) -> Option<GpuInfo> {
        let jetson = self.jetson.as_ref().map(|jetson| (&jetson.info, "NVIDIA"));
        let gpu = self
            .gpus
            .first()
            .map(|gpu| (&gpu.info, if gpu.info.source == "hwmon_amd" { "AMD" } else { "Intel" }));
        let (info, vendor) = gpu.or(jetson)?;
        Some(GpuInfo {
            name: info.name.clone(),
            vendor: vendor.to_owned(),
            device_id: 0,
            device_type: "GPU".to_owned(),
            backend: "hwmon".to_owned(),
        })
    }

    /// How often it has to be read for no wrap to be missed; nothing without a counter.
    #[must_use]
    pub fn read_at_least_every(&self) -> Option<Duration> {
        self.gpus
            .iter()
            .any(Gpu::has_counter)
            .then(|| longest_unread(REGISTER_MICROJOULES, GPU_FULL_POWER))
    }

    fn open_cards(&mut self, sysfs_root: &Path, cards: &[Card]) {
        let second_dies = SecondDies::among(cards);
        for card in cards {
            if second_dies.are_covered && card.is_second_die() {
                self.left_out.push(second_die(card));
                continue;
            }
            let mut gpu = Gpu::open(card);
            if gpu.info.status == Status::Unsupported && is_integrated(card) {
                self.left_out.push(integrated(card));
            } else if card.is_apu() && has_discrete(sysfs_root, cards) {
                self.left_out.push(beside_discrete(card));
            } else {
                let same = |other: &&Card| other.uuid() == card.uuid();
                if cards.iter().filter(same).count() > 1 {
                    gpu.info.uuid = card.place();
                }
                if card.is_apu() {
                    gpu.becomes_soc();
                } else if card.is_die() {
                    note_die(card, &mut gpu);
                }
                self.gpus.push(gpu);
            }
        }
    }

    fn number(&mut self) {
        let infos = self.gpus.iter_mut().map(|gpu| &mut gpu.info);
        let infos = infos.chain(self.jetson.as_mut().map(|jetson| &mut jetson.info));
        for (id, info) in (0..).zip(infos) {
            info.id = id;
        }
    }
}

impl Source for HwmonSource {
    fn describe(&self) -> Vec<SensorInfo> {
        let gpus = self.gpus.iter().map(|gpu| &gpu.info);
        gpus.chain(self.jetson.as_ref().map(|jetson| &jetson.info)).cloned().collect()
    }

    fn read(&mut self, readings: &mut Vec<SensorReading>) {
        readings.extend(self.gpus.iter_mut().map(Gpu::read));
        readings.extend(self.jetson.as_mut().map(Jetson::read));
    }
}

/// The dies of MI250s that show no power, since the other die of their board shows that of both.
struct SecondDies {
    /// Whether there is a first die for each. sysfs doesn't tell which belongs to which; with as many
    /// firsts their sum is that of all.
    are_covered: bool,
}

impl SecondDies {
    fn among(cards: &[Card]) -> Self {
        let dies = cards.iter().filter(|card| card.is_die());
        let (second, first): (Vec<_>, Vec<_>) = dies.partition(|card| card.is_second_die());
        Self { are_covered: second.len() <= first.len() }
    }
}

fn note_die(card: &Card, gpu: &mut Gpu) {
    if card.is_second_die() {
        gpu.has_no_power(
            "its power is inside that of the board's first die, which isn't visible here: give this host or container both",
        );
    } else {
        let note = "power of both dies of its board; memory, clocks and use are of the first die";
        add_note(&mut gpu.info, note);
    }
}

/// Whether its energy is inside the CPU package's. i915 and xe have a hwmon for discrete cards only.
fn is_integrated(card: &Card) -> bool {
    match card.vendor {
        Vendor::Intel => card.is_on_root_bus(),
        // Without amdgpu's hwmon nothing tells; old APUs show a hwmon without power.
        Vendor::Amd => card.hwmon.is_none() || card.is_apu(),
    }
}

/// Whether a GPU with an energy of its own is there, which then does the work.
fn has_discrete(sysfs_root: &Path, cards: &[Card]) -> bool {
    card::has_nvidia(sysfs_root) || cards.iter().any(|card| !card.is_apu() && !is_integrated(card))
}

fn second_die(card: &Card) -> Unavailable {
    Unavailable::new(
        format!(
            "{} at {} is the second die of its board: its power is inside that of the first",
            card.name(),
            card.place()
        ),
        "",
    )
}

fn integrated(card: &Card) -> Unavailable {
    Unavailable::new(
        format!(
            "{} at {} is integrated or without its driver's hwmon: it has no energy of its own",
            card.name(),
            card.place()
        ),
        "an integrated GPU's energy is inside the CPU package's (--sources rapl)",
    )
}

fn beside_discrete(card: &Card) -> Unavailable {
    Unavailable::new(
        format!(
            "{} at {} is the CPU's own GPU: its power is the whole APU's, and a discrete GPU is here",
            card.name(),
            card.place()
        ),
        "the APU's energy is that of the CPU package (--sources rapl)",
    )
}

fn nothing(sysfs_root: &Path, left_out: Vec<Unavailable>) -> Unavailable {
    if left_out.is_empty() {
        let root = sysfs_root.display();
        return Unavailable::new(
            format!("{root} has no AMD or Intel GPU and no Jetson"),
            "with such a GPU: `sudo modprobe amdgpu`, xe or i915",
        );
    }
    let reasons: Vec<&str> = left_out.iter().map(|it| it.reason.as_str()).collect();
    let mut remedies = left_out.iter().map(|it| it.remedy.as_str());
    let remedy = remedies.find(|remedy| !remedy.is_empty()).unwrap_or_default();
    Unavailable::new(reasons.join("; "), remedy)
}

#[cfg(test)]
mod tests;
