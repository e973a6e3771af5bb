//! The source on trees that look like what the drivers show (tests/data/hwmon).

use std::fs;
use std::path::{Path, PathBuf};

use energy_proto::{Nanos, SensorInfo, SensorKind, SensorReading, Status, Watts};
use tempfile::TempDir;

use super::HwmonSource;
use crate::source::{Source, Unavailable};

const CARD: &str = "class/drm/card1/device";

/// A sysfs of one of the recorded shapes.
struct Tree {
    root: TempDir,
}

impl Tree {
    fn of(names: &[&str]) -> Self {
        let tree = Self { root: tempfile::tempdir().unwrap() };
        for name in names {
            let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/hwmon");
            let text = fs::read_to_string(data.join(format!("{name}.tree"))).unwrap();
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                let (path, value) = line.split_once(" = ").unwrap();
                tree.write(path, &value.replace("\\0", "\0").replace("\\n", "\n"));
            }
        }
        tree
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn write(&self, path: &str, value: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{value}\n")).unwrap();
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    fn open(&self) -> Result<HwmonSource, Unavailable> {
        HwmonSource::open(self.root.path())
    }
}

/// What a tree shows at once.
fn seen(names: &[&str]) -> (Vec<SensorInfo>, Vec<SensorReading>, Vec<Unavailable>) {
    let mut source = Tree::of(names).open().unwrap();
    let readings = read(&mut source);
    (source.describe(), readings, source.left_out().to_vec())
}

fn read(source: &mut HwmonSource) -> Vec<SensorReading> {
    let mut readings = Vec::new();
    source.read(&mut readings);
    readings
}

fn reason(names: &[&str]) -> String {
    Tree::of(names).open().unwrap_err().reason
}

#[test]
fn a_radeon_gives_power_and_all_that_its_driver_shows() {
    let (sensors, readings, _) = seen(&["rx7900xtx"]);
    let info = &sensors[0];
    assert_eq!((info.kind, info.source.as_str()), (SensorKind::Gpu, "hwmon_amd"));
    assert_eq!(info.name, "AMD GPU 1002:744c");
    assert_eq!(info.uuid, "amdgpu:6a1f4e2b90c35d77");
    assert_eq!(info.measures, ["power", "temperature", "memory", "utilization", "clocks"]);
    assert_eq!((info.power_limit, info.power_window), (Some(Watts(339.0)), None));
    assert_eq!((info.status, info.note.as_str()), (Status::Ok, ""));
    let reading = &readings[0];
    assert_eq!((reading.power, reading.energy_microjoules), (Some(Watts(142.0)), None));
    assert_eq!(reading.status, Status::Ok);
    assert_eq!(reading.temperature_celsius, Some(51.0), "of the edge");
    assert_eq!(reading.memory_used_bytes, Some(1_342_177_280));
    assert_eq!(reading.memory_total_bytes, Some(25_753_026_560));
    assert_eq!(reading.compute_utilization_pct, Some(37.0));
    assert_eq!(reading.memory_utilization_pct, Some(12.0));
    assert_eq!((reading.compute_clock_mhz, reading.memory_clock_mhz), (Some(2_482), Some(1_249)));
}

#[test]
fn every_mi300x_gives_power_of_now_and_its_hottest_point() {
    let (sensors, readings, _) = seen(&["mi300x"]);
    let names: Vec<_> = sensors.iter().map(|info| (info.id, info.name.as_str())).collect();
    assert_eq!(names, [(0, "AMD Instinct MI300X OAM"), (1, "AMD Instinct MI300X OAM")]);
    assert_eq!(sensors[0].power_window, Some(std::time::Duration::ZERO));
    let powers: Vec<_> = readings.iter().map(|reading| reading.power).collect();
    assert_eq!(powers, [Some(Watts(131.0)), Some(Watts(132.0))]);
    assert_eq!(readings[0].temperature_celsius, Some(41.0));
}

#[test]
fn the_second_dies_of_mi250s_are_inside_the_first() {
    let (sensors, readings, left_out) = seen(&["mi250x"]);
    assert_eq!(sensors.len(), 2);
    assert!(sensors.iter().all(|info| info.note.starts_with("power of both dies")));
    let powers: Vec<_> = readings.iter().map(|reading| reading.power).collect();
    assert_eq!(powers, [Some(Watts(81.0)), Some(Watts(83.0))]);
    assert_eq!(left_out.len(), 2);
    assert!(left_out[0].reason.contains("pci:0000:c6:00.0 is the second die"), "{}", left_out[0]);
}

#[test]
fn a_second_die_without_its_first_is_a_gpu_that_nothing_is_known_of() {
    let tree = Tree::of(&["mi250x"]);
    for first in [1, 3] {
        fs::remove_dir_all(tree.path(&format!("class/drm/card{first}"))).unwrap();
    }
    let mut source = tree.open().unwrap();
    let infos = source.describe();
    assert_eq!(infos.len(), 2);
    assert!(infos.iter().all(|info| info.status == Status::Unsupported));
    assert!(infos.iter().all(|info| info.kind == SensorKind::Gpu && !info.measures_energy()));
    assert!(infos[0].remedy.contains("first die"), "{}", infos[0].remedy);
    let reading = &read(&mut source)[0];
    assert_eq!((reading.power, reading.energy_microjoules), (None, None));
    assert_eq!(reading.status, Status::Unsupported);
    assert_eq!(reading.temperature_celsius, Some(35.0));
}

#[test]
fn an_apu_is_one_number_for_cpu_and_gpu() {
    let (sensors, readings, _) = seen(&["apu"]);
    let info = &sensors[0];
    assert_eq!((info.kind, info.uuid.as_str()), (SensorKind::Soc, "pci:0000:c4:00.0"));
    assert_eq!(info.name, "AMD APU 1002:15bf");
    assert_eq!(info.note, "power of the whole APU, with its CPU");
    assert!(!info.gives("memory"), "what is set aside says little");
    assert_eq!((readings[0].power, readings[0].memory_used_bytes), (Some(Watts(11.132)), None));
}

#[test]
fn an_apu_beside_a_discrete_gpu_is_left_out() {
    let tree = Tree::of(&["apu"]);
    tree.write("bus/pci/devices/0000:01:00.0/vendor", "0x10de");
    tree.write("bus/pci/devices/0000:01:00.0/class", "0x030000");
    assert!(tree.open().unwrap_err().reason.contains("a discrete GPU is here"));
    let (sensors, _, left_out) = seen(&["apu", "b580"]);
    assert_eq!(sensors.len(), 1);
    assert_eq!((sensors[0].kind, left_out.len()), (SensorKind::Gpu, 1));
}

#[test]
fn an_arc_counts_the_energy_of_the_card() {
    let (sensors, readings, _) = seen(&["b580"]);
    let info = &sensors[0];
    assert_eq!((info.source.as_str(), info.uuid.as_str()), ("hwmon_intel", "pci:0000:04:00.0"));
    assert_eq!(info.measures, ["energy", "temperature"]);
    assert_eq!((info.power_limit, info.note.as_str()), (Some(Watts(380.0)), ""));
    assert_eq!(readings[0].energy_microjoules, Some(5_123_456_789));
    assert_eq!((readings[0].power, readings[0].temperature_celsius), (None, Some(48.0)));
}

#[test]
fn the_package_of_an_arc_says_that_the_card_takes_more() {
    let (sensors, readings, _) = seen(&["a770"]);
    assert!(sensors[0].note.contains("package"), "{}", sensors[0].note);
    assert_eq!(readings[0].energy_microjoules, Some(4_765_432_100), "not that of its tile");
}

#[test]
fn integrated_graphics_are_left_out_and_a_discrete_card_without_figures_is_not() {
    assert!(reason(&["intel_igpu"]).contains("is integrated"));
    let (sensors, _, left_out) = seen(&["intel_igpu", "rx7900xtx"]);
    assert_eq!((sensors.len(), left_out.len()), (1, 1));
    let tree = Tree::of(&["a770"]);
    tree.remove(&format!("{CARD}/hwmon/hwmon3/energy1_input"));
    let infos = tree.open().unwrap().describe();
    assert_eq!(infos[0].status, Status::Unsupported);
    assert!(infos[0].remedy.contains("Linux 6.2"), "{}", infos[0].remedy);
}

#[test]
fn what_has_no_part_in_this_is_nothing() {
    assert!(reason(&["unknown"]).contains("no AMD or Intel GPU and no Jetson"));
    let empty = tempfile::tempdir().unwrap();
    assert!(HwmonSource::open(empty.path()).is_err());
}

#[test]
fn a_jetson_is_its_input_rail() {
    let (sensors, readings, _) = seen(&["jetson_orin_nano"]);
    let info = &sensors[0];
    assert_eq!((info.kind, info.source.as_str()), (SensorKind::Soc, "hwmon_jetson"));
    assert_eq!(info.name, "NVIDIA Jetson Orin Nano Developer Kit");
    assert_eq!((info.uuid.as_str(), sensors.len()), ("VDD_IN", 1));
    assert_eq!(readings[0].power, Some(Watts(5_334_272.0 * 1e-6)));
    assert_eq!(readings[0].temperature_celsius, Some(49.5));
}

#[test]
fn an_agx_orin_is_the_sum_of_its_inputs() {
    let (sensors, readings, _) = seen(&["jetson_agx_orin"]);
    assert_eq!(sensors[0].uuid, "VDD_GPU_SOC+VDD_CPU_CV+VIN_SYS_5V0");
    let watts = readings[0].power.unwrap().0;
    assert!((watts - (19.832 * 0.4 + 5.064 * 0.832)).abs() < 1e-9, "{watts}");
}

#[test]
fn an_agx_thor_is_its_ina238() {
    let (sensors, readings, _) = seen(&["jetson_agx_thor"]);
    assert_eq!((sensors[0].uuid.as_str(), readings[0].power), ("VIN", Some(Watts(23.14))));
}

#[test]
fn a_jetson_whose_rails_are_not_known_is_refused_by_name() {
    let reason = reason(&["jetson_agx_xavier"]);
    assert!(reason.contains("AGX Xavier"), "{reason}");
    assert!(reason.contains("GPU, CPU, SOC, CV, VDDRQ, SYS5V"), "{reason}");
}

#[test]
fn a_jetson_that_lacks_one_rail_has_no_power() {
    let tree = Tree::of(&["jetson_agx_orin"]);
    let mut source = tree.open().unwrap();
    tree.write("class/hwmon/hwmon3/curr2_input", "?");
    let reading = &read(&mut source)[0];
    assert_eq!((reading.power, reading.status), (None, Status::Implausible));
}

#[test]
fn a_power_that_can_not_be_is_withheld_and_costs_nothing_else() {
    let tree = Tree::of(&["rx7900xtx"]);
    let mut source = tree.open().unwrap();
    // Zero; an error that was printed as an unsigned number; what no number is.
    for value in ["0", "4294967274", "65535000000", "-1", "N/A", ""] {
        tree.write(&format!("{CARD}/hwmon/hwmon4/power1_average"), value);
        let reading = &read(&mut source)[0];
        assert_eq!((reading.power, reading.status), (None, Status::Implausible), "{value:?}");
        assert_eq!(reading.temperature_celsius, Some(51.0));
    }
    tree.write(&format!("{CARD}/hwmon/hwmon4/power1_average"), "90000000");
    assert_eq!(read(&mut source)[0].power, Some(Watts(90.0)));
}

#[test]
fn a_card_that_sleeps_is_not_woken_and_counts_anew_afterwards() {
    let tree = Tree::of(&["a770"]);
    let mut source = tree.open().unwrap();
    let before = read(&mut source)[0];
    tree.write(&format!("{CARD}/power/runtime_status"), "suspended");
    let asleep = read(&mut source)[0];
    assert_eq!((asleep.energy_microjoules, asleep.status), (None, Status::Stale));
    tree.write(&format!("{CARD}/power/runtime_status"), "active");
    // A register that was cut off from its supply looks like a wrap, which the driver adds.
    tree.write(&format!("{CARD}/hwmon/hwmon3/energy1_input"), "4765432200");
    let after = read(&mut source)[0];
    assert_eq!((after.energy_microjoules, after.status), (Some(4_765_432_200), Status::Reset));
    assert_eq!(after.epoch, before.epoch + 1);
    assert_eq!(read(&mut source)[0].status, Status::Ok);
}

#[test]
fn a_card_that_sleeps_when_the_monitor_starts_is_read_when_it_wakes() {
    let tree = Tree::of(&["rx7900xtx"]);
    tree.write(&format!("{CARD}/power/runtime_status"), "suspended");
    let mut source = tree.open().unwrap();
    let info = &source.describe()[0];
    assert_eq!((info.status, info.power_limit), (Status::Ok, None), "asking would wake it");
    assert_eq!(read(&mut source)[0].status, Status::Stale);
    tree.write(&format!("{CARD}/power/runtime_status"), "active");
    assert_eq!(read(&mut source)[0].power, Some(Watts(142.0)));
}

#[test]
fn a_counter_that_falls_is_a_reset_and_one_of_zero_is_withheld() {
    let tree = Tree::of(&["b580"]);
    let mut source = tree.open().unwrap();
    let before = read(&mut source)[0];
    let counter = format!("{}/hwmon/hwmon3/energy1_input", CARD.replace('1', "0"));
    tree.write(&counter, "0");
    let zero = read(&mut source)[0];
    assert_eq!((zero.energy_microjoules, zero.status), (None, Status::Implausible));
    tree.write(&counter, "1000");
    let after = read(&mut source)[0];
    assert_eq!((after.energy_microjoules, after.status), (Some(1_000), Status::Reset));
    assert_eq!(after.epoch, before.epoch + 1);
}

#[test]
fn an_arc_left_alone_for_as_long_as_its_register_may_take_to_wrap_counts_anew() {
    let counted = |name: &str, seconds: u64, interrupted: bool| {
        let mut source = Tree::of(&[name]).open().unwrap();
        let gpu = &mut source.gpus[0];
        let at = |seconds: u64| Nanos((1_000 + seconds) * 1_000_000_000);
        gpu.count(5_000_000_000, at(0), None).unwrap();
        if interrupted {
            gpu.interrupt();
            gpu.count(5_000_000_000, at(0), None).unwrap();
        }
        gpu.count(5_001_000_000, at(seconds), None).unwrap()
    };
    for name in ["b580", "a770"] {
        for interrupted in [false, true] {
            assert_eq!(counted(name, 52, interrupted), (5_001_000_000, Status::Ok), "{name}");
            assert_eq!(counted(name, 53, interrupted), (5_001_000_000, Status::Reset), "{name}");
        }
    }
    // Read four times as often as that.
    let unread = Tree::of(&["b580"]).open().unwrap().read_at_least_every();
    assert_eq!(unread, Some(std::time::Duration::from_micros(13_107_200)));
}

#[test]
fn a_start_of_the_monitor_is_an_epoch_since_wraps_before_it_are_missing() {
    let tree = Tree::of(&["b580"]);
    let epochs = [(); 2].map(|()| read(&mut tree.open().unwrap())[0].epoch);
    assert_ne!(epochs[0], epochs[1]);
}

#[test]
fn a_counter_beside_power_is_withheld_until_they_have_agreed() {
    let tree = Tree::of(&["rx7900xtx"]);
    tree.write(&format!("{CARD}/hwmon/hwmon4/energy1_input"), "77000000");
    let mut source = tree.open().unwrap();
    assert!(source.describe()[0].note.contains("agreed with power"));
    let reading = &read(&mut source)[0];
    assert_eq!((reading.energy_microjoules, reading.power), (None, Some(Watts(142.0))));
    assert_eq!(reading.status, Status::Implausible);
}

#[test]
fn cards_that_share_an_id_are_told_apart_by_their_places() {
    let tree = Tree::of(&["mi300x"]);
    tree.write("class/drm/card2/device/unique_id", "4e0c6b2a7d31f901");
    let uuids: Vec<_> = tree.open().unwrap().describe().into_iter().map(|it| it.uuid).collect();
    assert_eq!(uuids, ["pci:0000:04:00.0", "pci:0000:08:00.0"]);
}

#[test]
fn reading_allocates_nothing_once_it_is_warm() {
    for name in ["rx7900xtx", "b580", "jetson_agx_orin"] {
        let mut source = Tree::of(&[name]).open().unwrap();
        let mut readings = Vec::with_capacity(16);
        source.read(&mut readings);
        readings.clear();
        let allocations = allocation_counter::measure(|| source.read(&mut readings));
        assert_eq!(allocations.count_total, 0, "{name}");
    }
}

#[test]
fn no_tree_makes_it_panic() {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};
    const NAMES: [&str; 6] =
        ["rx7900xtx", "mi250x", "apu", "b580", "jetson_agx_orin", "jetson_agx_thor"];
    let garbage = prop::collection::vec(any::<u8>(), 0..80);
    let choice = (prop::sample::select(&NAMES[..]), any::<prop::sample::Index>(), garbage);
    let config = Config { cases: 256, failure_persistence: None, ..Config::default() };
    let run = TestRunner::new(config).run(&choice, |(name, file, garbage)| {
        let tree = Tree::of(&[name]);
        let files = files(tree.root.path());
        fs::write(file.get(&files), garbage).unwrap();
        if let Ok(mut source) = tree.open() {
            for reading in read(&mut source) {
                prop_assert!(reading.power.is_none_or(|power| power.0 > 0.0));
            }
        }
        Ok(())
    });
    run.unwrap();
}

fn files(directory: &Path) -> Vec<PathBuf> {
    super::card::children(directory)
        .into_iter()
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}
