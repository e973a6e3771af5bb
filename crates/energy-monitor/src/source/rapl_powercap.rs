//! CPU packages, their memory and the platform through `class/powercap/intel-rapl` (which is what AMD
//! processors use too).
//!
//! Microjoules; the counters move about every millisecond and wrap. Domains nest: psys contains the
//! packages, a package its cores and its graphics, which therefore are left out; `intel-rapl-mmio`
//! shows the same packages again.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use energy_proto::{Nanos, SensorInfo, SensorKind, SensorReading, Status, Watts};

use super::{Source, Unavailable, epoch_of_this_start, perfmon_remedy, shell_word, timed};
use crate::counter::{Counter, PACKAGE_FULL_POWER, PLATFORM_FULL_POWER, longest_unread};

/// The hardware's own period of about 1/1024 s.
pub(super) const UPDATE_PERIOD: Duration = Duration::from_micros(976);

/// The RAPL domains of one powercap tree.
#[derive(Debug)]
pub struct PowercapSource {
    domains: Vec<Domain>,
}

#[derive(Debug)]
struct Domain {
    info: SensorInfo,
    /// Nothing if it couldn't be opened.
    energy: Option<File>,
    counter: Counter,
    longest_unread: Duration,
}

impl PowercapSource {
    /// Opens the domains under a sysfs.
    ///
    /// # Errors
    /// If there is no RAPL domain.
    pub fn open(sysfs_root: &Path) -> Result<Self, Unavailable> {
        let class = sysfs_root.join("class/powercap");
        let mut domains: Vec<Domain> =
            zones(&class).iter().filter_map(|zone| Domain::open(zone)).collect();
        for (id, domain) in (0..).zip(&mut domains) {
            domain.info.id = id;
        }
        if domains.is_empty() {
            return Err(Unavailable::new(
                format!("{} has no intel-rapl domain", class.display()),
                "on a physical machine: `sudo modprobe intel_rapl_msr`; a virtual machine has none",
            ));
        }
        Ok(Self { domains })
    }

    /// Whether any counter can be read.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.domains.iter().any(|domain| domain.energy.is_some())
    }

    /// How often it has to be read for no wrap to be missed.
    #[must_use]
    pub fn read_at_least_every(&self) -> Option<Duration> {
        self.domains.iter().map(|domain| domain.longest_unread).min()
    }
}

impl Source for PowercapSource {
    fn describe(&self) -> Vec<SensorInfo> {
        self.domains.iter().map(|domain| domain.info.clone()).collect()
    }

    fn read(&mut self, readings: &mut Vec<SensorReading>) {
        readings.extend(self.domains.iter_mut().map(Domain::read));
    }
}

impl Domain {
    /// Opens a zone, unless it is of a kind that is part of another.
    fn open(zone: &Path) -> Option<Self> {
        let name = read_trimmed(&zone.join("name")).ok()?;
        let kind = kind_of(&name)?;
        let range: u64 = read_trimmed(&zone.join("max_energy_range_uj")).ok()?.parse().ok()?;
        let modulus = range.checked_add(1)?;
        let path = zone.join("energy_uj");
        let opened = File::open(&path).and_then(|file| read_microjoules(&file).map(|_| file));
        let status = opened.as_ref().map_or_else(status_of, |_| Status::Ok);
        let info = SensorInfo {
            name: full_name(zone, &name),
            uuid: path.display().to_string(),
            measures: vec!["energy".to_owned()],
            update_period: Some(UPDATE_PERIOD),
            wrap_microjoules: Some(modulus),
            status,
            remedy: remedy_for(status, &path),
            ..SensorInfo::new(0, kind, "rapl_powercap")
        };
        let full_power = full_power(kind);
        Some(Self {
            info,
            energy: opened.ok(),
            counter: Counter::wrapping(modulus, full_power).from_epoch(epoch_of_this_start()),
            longest_unread: longest_unread(modulus, full_power),
        })
    }

    fn read(&mut self) -> SensorReading {
        let Some(file) = &self.energy else {
            let now = energy_proto::monotonic_now();
            return SensorReading::empty(self.info.id, now, now, self.info.status);
        };
        let (raw, start, end) = timed(|| read_microjoules(file));
        self.reading(raw, start, end)
    }

    /// What a read of the counter tells.
    fn reading(&mut self, raw: io::Result<u64>, start: Nanos, end: Nanos) -> SensorReading {
        let counted = raw.map(|raw| self.counter.observe(raw, end));
        let status = match &counted {
            Ok(counted) if counted.reset => Status::Reset,
            Ok(_) => Status::Ok,
            Err(error) => status_of(error),
        };
        SensorReading {
            energy_microjoules: counted.ok().map(|counted| counted.microjoules),
            epoch: self.counter.epoch(),
            ..SensorReading::empty(self.info.id, start, end, status)
        }
    }
}

/// The zones of `intel-rapl`, packages and their subzones, in the order of their numbers.
fn zones(class: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(class) else { return Vec::new() };
    let mut zones: Vec<(Vec<u32>, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| Some((zone_number(entry.file_name().to_str()?)?, entry.path())))
        .collect();
    zones.sort();
    zones.into_iter().map(|(_, path)| path).collect()
}

/// `intel-rapl:0:1` -> [0, 1]; nothing for another control type or the type itself.
fn zone_number(directory: &str) -> Option<Vec<u32>> {
    directory.strip_prefix("intel-rapl:")?.split(':').map(|part| part.parse().ok()).collect()
}

fn kind_of(name: &str) -> Option<SensorKind> {
    match name {
        "dram" => Some(SensorKind::Dram),
        "psys" => Some(SensorKind::Psys),
        _ if name.starts_with("package") => Some(SensorKind::CpuPackage),
        _ => None,
    }
}

/// The most power that a domain can take.
pub(super) fn full_power(kind: SensorKind) -> Watts {
    if kind == SensorKind::Psys { PLATFORM_FULL_POWER } else { PACKAGE_FULL_POWER }
}

/// A zone's name after that of the zone it is in: `package-1 dram`.
fn full_name(zone: &Path, name: &str) -> String {
    let directory = zone.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    directory
        .rsplit_once(':')
        .and_then(|(parent, _)| read_trimmed(&zone.with_file_name(parent).join("name")).ok())
        .map_or_else(|| name.to_owned(), |parent| format!("{parent} {name}"))
}

fn read_trimmed(path: &Path) -> io::Result<String> {
    Ok(fs::read_to_string(path)?.trim().to_owned())
}

/// Reads a counter anew through a file that stays open: sysfs makes its text at each read from the
/// start.
fn read_microjoules(file: &File) -> io::Result<u64> {
    // Twenty digits, the most that 64 bits have, and a line's end.
    let mut buffer = [0; 24];
    let length = file.read_at(&mut buffer, 0)?;
    microjoules(&buffer[..length])
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a number"))
}

fn microjoules(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

fn status_of(error: &io::Error) -> Status {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Status::PermissionDenied,
        io::ErrorKind::InvalidData => Status::Implausible,
        _ => Status::Lost,
    }
}

fn remedy_for(status: Status, path: &Path) -> String {
    match status {
        Status::PermissionDenied => {
            format!(
                "{}, or install packaging/60-energy-monitor.rules for the group `energy`, or `sudo chmod a+r {}` for all users until the next boot",
                perfmon_remedy(),
                shell_word(path)
            )
        }
        Status::Ok => String::new(),
        _ => format!("{} should hold a number of microjoules", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tempfile::TempDir;

    const RANGE: u64 = 262_143_328_850;

    fn tree(zones: &[(&str, &str, u64)]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for (directory, name, energy) in zones {
            let zone = root.path().join("class/powercap").join(directory);
            fs::create_dir_all(&zone).unwrap();
            fs::write(zone.join("name"), format!("{name}\n")).unwrap();
            fs::write(zone.join("max_energy_range_uj"), format!("{RANGE}\n")).unwrap();
            fs::write(zone.join("energy_uj"), format!("{energy}\n")).unwrap();
        }
        root
    }

    #[test]
    fn packages_memory_and_platform_count_and_their_parts_and_repeats_do_not() {
        let root = tree(&[
            ("intel-rapl:10", "package-10", 6),
            ("intel-rapl:0", "package-0", 1),
            ("intel-rapl:0:0", "core", 2),
            ("intel-rapl:0:1", "uncore", 3),
            ("intel-rapl:0:2", "dram", 4),
            ("intel-rapl:1", "psys", 5),
            ("intel-rapl-mmio:0", "package-0", 7),
        ]);
        let mut source = PowercapSource::open(root.path()).unwrap();
        let sensors: Vec<_> = source
            .describe()
            .into_iter()
            .map(|info| (info.id, info.kind, info.name, info.status))
            .collect();
        assert_eq!(
            sensors,
            [
                (0, SensorKind::CpuPackage, "package-0".to_owned(), Status::Ok),
                (1, SensorKind::Dram, "package-0 dram".to_owned(), Status::Ok),
                (2, SensorKind::Psys, "psys".to_owned(), Status::Ok),
                (3, SensorKind::CpuPackage, "package-10".to_owned(), Status::Ok),
            ]
        );
        let mut readings = Vec::new();
        source.read(&mut readings);
        let energies: Vec<_> = readings.iter().map(|reading| reading.energy_microjoules).collect();
        assert_eq!(energies, [Some(1), Some(4), Some(5), Some(6)]);
    }

    #[test]
    fn a_wrap_between_two_reads_is_unwrapped_by_the_range_plus_one() {
        let root = tree(&[("intel-rapl:0", "package-0", RANGE - 9)]);
        let mut source = PowercapSource::open(root.path()).unwrap();
        let mut readings = Vec::new();
        source.read(&mut readings);
        fs::write(root.path().join("class/powercap/intel-rapl:0/energy_uj"), "20\n").unwrap();
        source.read(&mut readings);
        assert_eq!(readings[1].energy_microjoules, Some(RANGE + 21));
        assert_eq!((readings[1].epoch, readings[1].status), (readings[0].epoch, Status::Ok));
    }

    /// A package whose counter wraps at `modulus`, and the time in which it does at full power.
    struct Package {
        domain: Domain,
        modulus: u64,
        true_microjoules: u64,
    }

    /// `count` packages of two makes, each somewhere in its range.
    fn packages(count: u64) -> Vec<Package> {
        let root = tree(&[]);
        (0..count)
            .map(|number| {
                // The ranges of units of 2^-14 J and 2^-16 J.
                let modulus = [RANGE + 1, 65_532_610_988][(number % 2) as usize];
                let zone = root.path().join(format!("intel-rapl:{number}"));
                fs::create_dir_all(&zone).unwrap();
                fs::write(zone.join("name"), format!("package-{number}\n")).unwrap();
                fs::write(zone.join("max_energy_range_uj"), format!("{}\n", modulus - 1)).unwrap();
                fs::write(zone.join("energy_uj"), "0\n").unwrap();
                Package {
                    domain: Domain::open(&zone).unwrap(),
                    modulus,
                    true_microjoules: number * 7_654_321_001 % modulus,
                }
            })
            .collect()
    }

    #[test]
    fn a_thousand_wraps_of_one_to_eight_packages_are_exact_to_the_microjoule() {
        for count in 1..=8 {
            let mut packages = packages(count);
            let (mut now, mut steps) = (Nanos(1_000_000_000), 0_u64);
            let mut firsts = Vec::new();
            let mut measured = Vec::new();
            while packages.iter().any(|package| package.true_microjoules / package.modulus < 1_000)
            {
                measured.clear();
                for (package, number) in packages.iter_mut().zip(1_u64..) {
                    let shown = format!("{}\n", package.true_microjoules % package.modulus);
                    let raw = microjoules(shown.as_bytes()).unwrap();
                    let reading = package.domain.reading(Ok(raw), now, now);
                    assert_eq!(reading.status, Status::Ok);
                    let energy = reading.energy_microjoules.unwrap();
                    if steps == 0 {
                        firsts.push((energy, package.true_microjoules));
                    }
                    measured.push((energy, package.true_microjoules));
                    // As long as a read may be away, at up to full power.
                    let milliwatts = (steps * 7_919 + number * 104_729) % 2_000_000;
                    package.true_microjoules += milliwatts * 8 * 1_000;
                }
                now = now + Duration::from_secs(8);
                steps += 1;
            }
            // Each on its own, and so their sum.
            for ((first, true_first), (last, true_last)) in firsts.iter().zip(&measured) {
                assert_eq!(last - first, true_last - true_first, "{count} packages");
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_in_place_of_a_counter_makes_it_panic(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let number = microjoules(&text);
            let digits: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
            if number.is_some() {
                prop_assert!(digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'+' || !byte.is_ascii()));
            }
        }
    }

    #[test]
    fn a_counter_opened_again_is_in_another_epoch() {
        // What it had unwrapped before is not known any more.
        let root = tree(&[("intel-rapl:0", "package-0", 5)]);
        let mut readings = Vec::new();
        for _ in 0..2 {
            PowercapSource::open(root.path()).unwrap().read(&mut readings);
        }
        assert_ne!(readings[0].epoch, readings[1].epoch);
    }

    #[test]
    fn a_counter_that_is_no_number_is_withheld_and_the_others_are_read() {
        let root = tree(&[("intel-rapl:0", "package-0", 5), ("intel-rapl:1", "package-1", 6)]);
        let mut source = PowercapSource::open(root.path()).unwrap();
        fs::write(root.path().join("class/powercap/intel-rapl:0/energy_uj"), "??\n").unwrap();
        let mut readings = Vec::new();
        source.read(&mut readings);
        assert_eq!(
            (readings[0].energy_microjoules, readings[0].status),
            (None, Status::Implausible)
        );
        assert_eq!((readings[1].energy_microjoules, readings[1].status), (Some(6), Status::Ok));
    }

    #[test]
    fn a_counter_that_may_not_be_read_says_what_gives_the_right() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(status_of(&denied), Status::PermissionDenied);
        let remedy = remedy_for(Status::PermissionDenied, Path::new("/sys/x/energy_uj"));
        assert!(remedy.contains("sudo setcap cap_perfmon=ep /"));
        assert!(remedy.contains("sudo chmod a+r /sys/x/energy_uj"));
    }

    #[test]
    fn a_zone_with_an_absurd_range_is_left_out() {
        let root = tree(&[("intel-rapl:0", "package-0", 5)]);
        let range = root.path().join("class/powercap/intel-rapl:0/max_energy_range_uj");
        fs::write(range, format!("{}\n", u64::MAX)).unwrap();
        assert!(PowercapSource::open(root.path()).is_err());
    }

    #[test]
    fn a_tree_without_rapl_says_so() {
        let root = tempfile::tempdir().unwrap();
        let error = PowercapSource::open(root.path()).unwrap_err();
        assert!(error.reason.contains("no intel-rapl domain"), "{error}");
    }
}
