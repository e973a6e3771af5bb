//! Which AMD and Intel graphics cards a sysfs has, and what kind each is.
//!
//! It reads identities only. The kernel has no word for "integrated": what tells is said at each place.

use std::fs;
use std::path::{Path, PathBuf};

use super::attribute::{parse_id, read_number, read_text};

const NVIDIA: u16 = 0x10de;
/// Instinct MI250 and MI250X, whose two dies are two cards (pci.ids).
const TWO_DIES: [u16; 2] = [0x7408, 0x740c];
/// Instinct MI300A (pci.ids), the one APU without a northbridge voltage.
const MI300A: u16 = 0x74a0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vendor {
    Amd,
    Intel,
}

impl Vendor {
    fn of(id: u16) -> Option<Self> {
        match id {
            0x1002 => Some(Self::Amd),
            0x8086 => Some(Self::Intel),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Amd => "AMD",
            Self::Intel => "Intel",
        }
    }

    /// What the name of the card's own hwmon is. i915 has more of them, one for each tile (`i915_gt0`).
    fn drivers(self) -> &'static [&'static str] {
        match self {
            Self::Amd => &["amdgpu"],
            Self::Intel => &["xe", "i915"],
        }
    }
}

/// A card of one of these vendors.
#[derive(Debug, Clone)]
pub(super) struct Card {
    /// `card0`.
    pub(super) node: String,
    pub(super) device: PathBuf,
    pub(super) vendor: Vendor,
    pub(super) device_id: u16,
    /// `0000:03:00.0`.
    pub(super) pci_address: Option<String>,
    pub(super) hwmon: Option<PathBuf>,
}

impl Card {
    fn open(node: &Path) -> Option<Self> {
        let name = node.file_name()?.to_str()?;
        // Not `card0-DP-1`, which is a connector.
        name.strip_prefix("card")?.parse::<u32>().ok()?;
        let device = node.join("device");
        let vendor = Vendor::of(parse_id(&read_text(&device.join("vendor"))?)?)?;
        Some(Self {
            node: name.to_owned(),
            vendor,
            device_id: parse_id(&read_text(&device.join("device"))?)?,
            pci_address: pci_address(&device),
            hwmon: own_hwmon(&device, vendor),
            device,
        })
    }

    /// What a person would call it.
    pub(super) fn name(&self) -> String {
        let vendor = self.vendor.name();
        match read_text(&self.device.join("product_name")) {
            Some(product) if product.starts_with(vendor) => product,
            Some(product) => format!("{vendor} {product}"),
            None if self.is_apu() => format!("{vendor} APU {}", self.pci_id()),
            None => format!("{vendor} GPU {}", self.pci_id()),
        }
    }

    fn pci_id(&self) -> String {
        let vendor = match self.vendor {
            Vendor::Amd => 0x1002,
            Vendor::Intel => 0x8086,
        };
        format!("{vendor:04x}:{:04x}", self.device_id)
    }

    /// What tells it from any other, also after the next boot.
    pub(super) fn uuid(&self) -> String {
        self.unique_id().unwrap_or_else(|| self.place())
    }

    /// amdgpu has it for most discrete cards.
    pub(super) fn unique_id(&self) -> Option<String> {
        let id = read_text(&self.device.join("unique_id"))?;
        id.bytes().any(|byte| byte != b'0').then(|| format!("amdgpu:{id}"))
    }

    pub(super) fn place(&self) -> String {
        self.pci_address
            .as_ref()
            .map_or_else(|| format!("drm:{}", self.node), |address| format!("pci:{address}"))
    }

    /// Whether CPU and GPU are one chip with one power.
    ///
    /// The kernel shows `vddnb`, a northbridge's voltage, for APUs alone and for all of them but the
    /// MI300A (`hwmon_attributes_visible` in amdgpu_pm.c).
    pub(super) fn is_apu(&self) -> bool {
        let northbridge =
            || read_text(&self.hwmon.as_ref()?.join("in1_label")).filter(|label| label == "vddnb");
        self.vendor == Vendor::Amd && (self.device_id == MI300A || northbridge().is_some())
    }

    /// Whether it is one of two dies of one board.
    pub(super) fn is_die(&self) -> bool {
        self.vendor == Vendor::Amd && TWO_DIES.contains(&self.device_id)
    }

    /// Whether the driver says that this die isn't the one with the board's power: it shows 0 there, as
    /// power and as limit, and shows no other card so (aldebaran_ppt.c, "Only primary die supports power
    /// data").
    pub(super) fn is_second_die(&self) -> bool {
        let Some(hwmon) = self.hwmon.as_ref().filter(|_| self.is_die()) else { return false };
        let shown = |file: &str| read_number(&hwmon.join(file)).unwrap_or(0);
        ["power1_average", "power1_input", "power1_cap"].into_iter().all(|file| shown(file) == 0)
    }

    /// Whether it sits on the first bus, that of the chipset: a card in a slot is behind a bridge.
    pub(super) fn is_on_root_bus(&self) -> bool {
        self.pci_address.as_ref().is_some_and(|address| address.split(':').nth(1) == Some("00"))
    }
}

/// The cards in the order of their places.
pub(super) fn find(sysfs_root: &Path) -> Vec<Card> {
    let mut cards: Vec<Card> = children(&sysfs_root.join("class/drm"))
        .iter()
        .filter_map(|node| Card::open(node))
        .collect();
    cards.sort_by_cached_key(|card| (card.pci_address.clone(), card.node.clone()));
    cards
}

/// Whether there is an NVIDIA graphics device, whether or not its driver is loaded.
pub(super) fn has_nvidia(sysfs_root: &Path) -> bool {
    // PCI's class of display controllers.
    const DISPLAY: &str = "0x03";
    children(&sysfs_root.join("bus/pci/devices")).iter().any(|device| {
        let vendor = read_text(&device.join("vendor")).and_then(|text| parse_id(&text));
        let class = read_text(&device.join("class"));
        vendor == Some(NVIDIA) && class.is_some_and(|class| class.starts_with(DISPLAY))
    })
}

/// What a directory holds, by name; nothing if it isn't there.
pub(super) fn children(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn own_hwmon(device: &Path, vendor: Vendor) -> Option<PathBuf> {
    children(&device.join("hwmon")).into_iter().find(|hwmon| {
        read_text(&hwmon.join("name")).is_some_and(|name| vendor.drivers().contains(&&*name))
    })
}

fn pci_address(device: &Path) -> Option<String> {
    let uevent = read_text(&device.join("uevent"))?;
    uevent.lines().find_map(|line| line.strip_prefix("PCI_SLOT_NAME=")).map(str::to_owned)
}
