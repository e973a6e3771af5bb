//! A Jetson's power from the monitors on its board: Texas Instruments' INA3221, three rails each, and on
//! AGX Thor an INA238.
//!
//! One number for CPU, GPU and memory: the rail that feeds the module, or the sum of those that do. Which
//! rails those are is written nowhere in sysfs; it is known here by name and by board, and a board that
//! isn't known is refused. Millivolts, milliamperes, microwatts. An INA3221 resolves 40 uV of its shunt:
//! on the AGX Orin's 2 milliohms that is 20 mA, 0.4 W at 20 V.

use std::path::{Path, PathBuf};
use std::time::Duration;

use energy_proto::{SensorInfo, SensorKind, SensorReading, Status, Watts};

use super::attribute::{Attribute, Unreadable, read_number, read_text, status_of};
use super::card::children;
use super::gpu::read_celsius;
use crate::source::{Paced, SLOW_FIGURES_PERIOD, Unavailable, timed};

/// No Jetson takes more, nor does its carrier board.
const FULL_POWER_MICROWATTS: i64 = 1_000_000_000;

/// A Jetson that is read.
#[derive(Debug)]
pub(super) struct Jetson {
    pub(super) info: SensorInfo,
    rails: Vec<Measured>,
    temperature: Option<Attribute>,
    celsius: Paced<Option<f64>>,
}

/// A rail by its label.
#[derive(Debug)]
struct Rail {
    label: String,
    chip: Chip,
    window: Option<Duration>,
    measured: Measured,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chip {
    Ina3221,
    Ina238,
}

/// What a rail's power is read from.
#[derive(Debug)]
enum Measured {
    Product { millivolts: Attribute, milliamperes: Attribute },
    Power { microwatts: Attribute },
}

/// What feeds a module.
#[derive(Debug, PartialEq, Eq)]
struct Input {
    /// The rails to add up, by their place in the list.
    rails: Vec<usize>,
    note: &'static str,
}

/// Not the carrier board: what a Jetson's own developer guide calls module power.
const OF_THE_MODULE: &str = "input of the module: the carrier board is not in it";

impl Jetson {
    /// Looks for a Jetson; nothing if this is none.
    ///
    /// # Errors
    /// If it is one whose rails aren't known to add up to its input.
    pub(super) fn open(sysfs_root: &Path) -> Result<Option<Self>, Unavailable> {
        let tree = sysfs_root.join("firmware/devicetree/base");
        let compatible = read_text(&tree.join("compatible")).unwrap_or_default();
        let names: Vec<&str> = compatible.split('\0').collect();
        if !names.iter().any(|name| name.starts_with("nvidia,tegra")) {
            return Ok(None);
        }
        let model = read_text(&tree.join("model")).unwrap_or_default();
        let model = match model.trim_matches(['\0', ' ']) {
            "" => "NVIDIA Jetson",
            model => model,
        };
        let rails = rails(sysfs_root).map_err(|unreadable| {
            Unavailable::new(format!("{model} has a rail that can't be read"), unreadable.remedy())
        })?;
        let known: Vec<(Chip, &str)> =
            rails.iter().map(|rail| (rail.chip, rail.label.as_str())).collect();
        let Some(input) = input_of(&names, &known) else {
            return Err(unknown(model, &known));
        };
        Ok(Some(Self::of(sysfs_root, model, &input, rails)))
    }

    fn of(sysfs_root: &Path, model: &str, input: &Input, rails: Vec<Rail>) -> Self {
        let used: Vec<Rail> = (0..)
            .zip(rails)
            .filter(|(index, _)| input.rails.contains(index))
            .map(|(_, rail)| rail)
            .collect();
        let labels: Vec<&str> = used.iter().map(|rail| rail.label.as_str()).collect();
        let temperature = temperature(sysfs_root);
        let mut measures = vec!["power".to_owned()];
        measures.extend(temperature.as_ref().map(|_| "temperature".to_owned()));
        let info = SensorInfo {
            name: model.to_owned(),
            uuid: labels.join("+"),
            measures,
            power_window: used.iter().filter_map(|rail| rail.window).max(),
            note: input.note.to_owned(),
            ..SensorInfo::new(0, SensorKind::Soc, "hwmon_jetson")
        };
        Self {
            info,
            rails: used.into_iter().map(|rail| rail.measured).collect(),
            temperature,
            celsius: Paced::every(SLOW_FIGURES_PERIOD),
        }
    }

    pub(super) fn read(&mut self) -> SensorReading {
        let (power, start, end) = timed(|| sum(&self.rails));
        let status = power.err().unwrap_or(Status::Ok);
        let mut reading = SensorReading::empty(self.info.id, start, end, status);
        reading.power = power.ok();
        reading.temperature_celsius =
            self.celsius.get(end, || read_celsius(self.temperature.as_ref()));
        reading
    }
}

/// All rails' power; none without each of them.
fn sum(rails: &[Measured]) -> Result<Watts, Status> {
    let mut microwatts: i64 = 0;
    for rail in rails {
        // A rail that is off may show a little less than nothing, its monitor's offset.
        let rail = rail.microwatts()?;
        microwatts = microwatts.checked_add(rail).ok_or(Status::Implausible)?;
    }
    if (1..=FULL_POWER_MICROWATTS).contains(&microwatts) {
        Ok(Watts(microwatts as f64 * 1e-6))
    } else {
        Err(Status::Implausible)
    }
}

impl Measured {
    fn microwatts(&self) -> Result<i64, Status> {
        let read = |file: &Attribute| file.read().map_err(|error| status_of(&error));
        match self {
            Self::Power { microwatts } => read(microwatts),
            Self::Product { millivolts, milliamperes } => {
                read(millivolts)?.checked_mul(read(milliamperes)?).ok_or(Status::Implausible)
            }
        }
    }
}

/// Which rails feed the board with this `compatible`.
fn input_of(compatible: &[&str], rails: &[(Chip, &str)]) -> Option<Input> {
    let is = |name: &str| compatible.iter().any(|known| known.contains(name));
    let only = |label: &str| {
        let mut places = (0..rails.len()).filter(|&place| rails[place].1 == label);
        places.next().filter(|_| places.next().is_none())
    };
    // Orin NX and Nano, Xavier NX, TX2; Nano and TX1 by the other name: the total (NVIDIA's developer
    // guides; the GPU's and the CPU's rails are inside).
    if let Some(rail) = only("VDD_IN").or_else(|| only("POM_5V_IN")) {
        return Some(Input { rails: vec![rail], note: OF_THE_MODULE });
    }
    if is("tegra264") {
        let monitors: Vec<usize> =
            (0..rails.len()).filter(|&place| rails[place].0 == Chip::Ina238).collect();
        // By NVIDIA's carrier design it measures all that comes in.
        let note = "input of the whole board, with all that hangs on it";
        return (monitors.len() == 1).then_some(Input { rails: monitors, note });
    }
    if is("p3701") {
        // The AGX Orin has two inputs: one of 7 to 20 V for GPU and SoC, and CPU and CV; one of 5 V for
        // the rest, of which VDDQ_VDD2_1V8AO, measured at 5 V too, is a part.
        let parts = ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"].map(only);
        let parts: Option<Vec<usize>> = parts.into_iter().collect();
        return Some(Input { rails: parts?, note: OF_THE_MODULE });
    }
    // Not the AGX Xavier: whether its SYS5V has the SOC rail in it is not said anywhere.
    None
}

fn unknown(model: &str, rails: &[(Chip, &str)]) -> Unavailable {
    if rails.is_empty() {
        return Unavailable::new(
            format!("{model} shows no power monitor (INA3221, INA238)"),
            "`sudo modprobe ina3221`, or ina238 on AGX Thor",
        );
    }
    let labels: Vec<&str> = rails.iter().map(|(_, label)| *label).collect();
    let rails = labels.join(", ");
    Unavailable::new(
        format!("{model}: which of its rails ({rails}) add up to its input is not known"),
        "measure its supply with a meter, or have the board added with proof of what its rails feed",
    )
}

/// Every rail of every monitor that has a name.
fn rails(sysfs_root: &Path) -> Result<Vec<Rail>, Unreadable> {
    let mut rails = Vec::new();
    for hwmon in children(&sysfs_root.join("class/hwmon")) {
        match read_text(&hwmon.join("name")).as_deref() {
            Some("ina3221") => {
                for channel in 1..=3 {
                    rails.extend(ina3221_rail(&hwmon, channel)?);
                }
            }
            Some("ina238") => rails.extend(ina238_rail(&hwmon)?),
            _ => {}
        }
    }
    Ok(rails)
}

/// A channel that is wired and switched on. Current and voltage are means over the chip's cycle.
fn ina3221_rail(hwmon: &Path, channel: u32) -> Result<Option<Rail>, Unreadable> {
    let file = |kind: &str, name: &str| hwmon.join(format!("{kind}{channel}_{name}"));
    let label = read_text(&file("in", "label")).filter(|label| label != "NC");
    let off = read_number(&file("in", "enable")) == Some(0);
    let Some(label) = label.filter(|_| !off) else { return Ok(None) };
    let open = |path: PathBuf| Attribute::open(&path);
    let (volts, amperes) = (open(file("in", "input"))?, open(file("curr", "input"))?);
    Ok(volts.zip(amperes).map(|(millivolts, milliamperes)| Rail {
        label,
        chip: Chip::Ina3221,
        window: window(hwmon),
        measured: Measured::Product { millivolts, milliamperes },
    }))
}

/// Its name is hwmon's own `label`, which is the device tree's, where the driver has none.
fn ina238_rail(hwmon: &Path) -> Result<Option<Rail>, Unreadable> {
    let labels = ["power1_label", "in1_label", "label", "device/of_node/label"];
    let label = labels.iter().find_map(|file| read_text(&hwmon.join(file)));
    let label = label.map_or_else(|| "ina238".to_owned(), |it| it.trim_matches('\0').to_owned());
    Ok(Attribute::open(&hwmon.join("power1_input"))?.map(|microwatts| Rail {
        label,
        chip: Chip::Ina238,
        window: window(hwmon),
        measured: Measured::Power { microwatts },
    }))
}

/// `update_interval`: the milliseconds of one cycle, with its averaging.
fn window(hwmon: &Path) -> Option<Duration> {
    let millis = u64::try_from(read_number(&hwmon.join("update_interval"))?).ok()?;
    (millis > 0).then(|| Duration::from_millis(millis))
}

/// The hottest point of the chip: NVIDIA's `tj` zone.
fn temperature(sysfs_root: &Path) -> Option<Attribute> {
    let zone = children(&sysfs_root.join("class/thermal")).into_iter().find(|zone| {
        read_text(&zone.join("type"))
            .is_some_and(|kind| ["tj-thermal", "tj_thermal"].contains(&&*kind))
    })?;
    Attribute::open(&zone.join("temp")).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(compatible: &[&str], labels: &[&str]) -> Option<Vec<usize>> {
        let rails: Vec<_> = labels
            .iter()
            .map(|label| (if *label == "VIN" { Chip::Ina238 } else { Chip::Ina3221 }, *label))
            .collect();
        input_of(compatible, &rails).map(|input| input.rails)
    }

    #[test]
    fn the_input_rail_is_the_module_and_its_parts_are_inside() {
        let nano = ["nvidia,p3768-0000+p3767-0005", "nvidia,p3767-0005", "nvidia,tegra234"];
        assert_eq!(input(&nano, &["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"]), Some(vec![0]));
    }

    #[test]
    fn the_agx_orin_is_the_sum_of_its_two_inputs_and_needs_each_rail() {
        let orin = ["nvidia,p3737-0000+p3701-0005", "nvidia,p3701-0005", "nvidia,tegra234"];
        let labels = ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"];
        assert_eq!(input(&orin, &labels), Some(vec![0, 1, 2]));
        assert_eq!(input(&orin, &labels[..2]), None);
    }

    #[test]
    fn agx_thor_is_what_its_ina238_measures() {
        let thor = ["nvidia,p4071-0000+p3834-0008", "nvidia,tegra264"];
        let labels = ["VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0", "VIN"];
        assert_eq!(input(&thor, &labels), Some(vec![3]));
        assert_eq!(input(&thor, &labels[..3]), None, "without it nothing is known");
    }

    #[test]
    fn a_board_whose_rails_are_not_known_is_refused() {
        let xavier = ["nvidia,p2972-0000", "nvidia,tegra194"];
        assert_eq!(input(&xavier, &["GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"]), None);
        assert_eq!(input(&["nvidia,tegra234"], &["VDD_IN", "VDD_IN"]), None, "which of them?");
    }
}
