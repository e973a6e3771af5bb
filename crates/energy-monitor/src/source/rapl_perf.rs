//! CPU packages, their memory and the platform through perf's `power` PMU, whose counters the kernel
//! unwraps to 64 bits.
//!
//! A count times the scale of sysfs is joules. A counter starts at zero when it is opened. It needs
//! CAP_PERFMON or `perf_event_paranoid` of 0 or less. Virtual machines show counters that they haven't
//! got: they stay at zero, which is no measurement, and are left out.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use energy_proto::{Joules, SensorInfo, SensorKind, SensorReading, Status};
use perf_event::{Builder, Counter as PerfCounter};

use super::rapl_powercap::{UPDATE_PERIOD, full_power};
use super::{Source, Unavailable, epoch_of_this_start, perfmon_remedy, timed};
use crate::counter::Counter;

/// A list of CPUs longer than this is not a list of packages.
const MOST_CPUS: usize = 4_096;

/// A real counter moves every millisecond.
const SIGN_OF_LIFE: Duration = Duration::from_millis(50);

/// The events that are counted; cores and graphics are within the package.
const EVENTS: [(&str, SensorKind); 3] = [
    ("energy-pkg", SensorKind::CpuPackage),
    ("energy-ram", SensorKind::Dram),
    ("energy-psys", SensorKind::Psys),
];

/// The counters of the `power` PMU.
#[derive(Debug)]
pub struct PerfSource {
    domains: Vec<Domain>,
}

#[derive(Debug)]
struct Domain {
    info: SensorInfo,
    scale: Joules,
    /// Nothing if it couldn't be opened.
    perf: Option<PerfCounter>,
    counter: Counter,
}

/// An event of the PMU, as sysfs describes it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Event {
    name: &'static str,
    kind: SensorKind,
    config: u64,
    /// Energy of one count.
    scale: Joules,
}

impl PerfSource {
    /// Opens a counter for each event and package of the `power` PMU that a sysfs describes.
    ///
    /// # Errors
    /// If there is no such PMU, or this process may not use any of it.
    pub fn open(sysfs_root: &Path) -> Result<Self, Unavailable> {
        let pmu = sysfs_root.join("bus/event_source/devices/power");
        let kind: u32 = read_trimmed(&pmu.join("type"))
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| no_pmu(&pmu))?;
        let cpus = read_trimmed(&pmu.join("cpumask"))
            .and_then(|mask| cpu_list(&mask))
            .ok_or_else(|| no_pmu(&pmu))?;
        let packages = one_cpu_of_each_package(&cpus, sysfs_root);
        let events: Vec<Event> =
            EVENTS.into_iter().filter_map(|(name, kind)| event(&pmu, name, kind)).collect();
        let opened: Vec<(Domain, Option<io::Error>)> = (0..)
            .zip(counted(&events, &packages))
            .map(|(id, (event, package))| Domain::open(id, kind, event, package))
            .collect();
        if opened.iter().all(|(domain, _)| domain.perf.is_none()) {
            return Err(refused(&pmu, opened.into_iter().find_map(|(_, error)| error)));
        }
        let mut domains: Vec<Domain> = opened.into_iter().map(|(domain, _)| domain).collect();
        leave_out_the_dead(&mut domains);
        if domains.iter().all(|domain| domain.perf.is_none()) {
            return Err(Unavailable::new(DEAD, "on a physical machine they move"));
        }
        Ok(Self { domains })
    }
}

impl Source for PerfSource {
    fn describe(&self) -> Vec<SensorInfo> {
        self.domains.iter().map(|domain| domain.info.clone()).collect()
    }

    fn read(&mut self, readings: &mut Vec<SensorReading>) {
        readings.extend(self.domains.iter_mut().map(Domain::read));
    }
}

impl Domain {
    fn open(id: u32, pmu: u32, event: Event, package: Package) -> (Self, Option<io::Error>) {
        let opened = open_counter(pmu, event.config, package.cpu);
        let status = opened.as_ref().map_or_else(status_of, |_| Status::Ok);
        let info = SensorInfo {
            name: domain_name(event.kind, package),
            uuid: format!("perf:power/{}/cpu{}", event.name, package.cpu),
            measures: vec!["energy".to_owned()],
            update_period: Some(UPDATE_PERIOD),
            status,
            remedy: if status == Status::PermissionDenied { remedy() } else { String::new() },
            ..SensorInfo::new(id, event.kind, "rapl_perf")
        };
        let (perf, error) = match opened {
            Ok(perf) => (Some(perf), None),
            Err(error) => (None, Some(error)),
        };
        (
            Self {
                info,
                scale: event.scale,
                perf,
                counter: Counter::unwrapped(full_power(event.kind))
                    .from_epoch(epoch_of_this_start()),
            },
            error,
        )
    }

    fn read(&mut self) -> SensorReading {
        let Some(perf) = &mut self.perf else {
            let now = energy_proto::monotonic_now();
            return SensorReading::empty(self.info.id, now, now, self.info.status);
        };
        let (count, start, end) = timed(|| perf.read());
        let counted = count.map(|count| self.counter.observe(microjoules(count, self.scale), end));
        let status = match &counted {
            Ok(counted) if counted.reset => Status::Reset,
            Ok(_) => Status::Ok,
            // A package that was taken offline reads as the end of the file.
            Err(_) => Status::Lost,
        };
        SensorReading {
            energy_microjoules: counted.ok().map(|counted| counted.microjoules),
            epoch: self.counter.epoch(),
            ..SensorReading::empty(self.info.id, start, end, status)
        }
    }
}

const DEAD: &str = "perf's counter stays at zero: virtual machines show RAPL without having it";

/// Closes the counters that don't move.
fn leave_out_the_dead(domains: &mut [Domain]) {
    let began = Instant::now();
    while domains.iter_mut().any(is_dead) && began.elapsed() < SIGN_OF_LIFE {
        thread::sleep(UPDATE_PERIOD);
    }
    for domain in domains.iter_mut() {
        if is_dead(domain) {
            domain.perf = None;
            domain.info.status = Status::Unsupported;
            domain.info.note = DEAD.to_owned();
        }
    }
}

fn is_dead(domain: &mut Domain) -> bool {
    domain.perf.as_mut().is_some_and(|perf| perf.read().is_ok_and(|count| count == 0))
}

/// A CPU that stands for its package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Package {
    cpu: usize,
    /// The package's number, where sysfs tells it.
    number: Option<u32>,
}

/// Which event is counted on which package. The platform is one, whichever package is asked.
fn counted(events: &[Event], packages: &[Package]) -> Vec<(Event, Package)> {
    events
        .iter()
        .flat_map(|event| {
            let count = if event.kind == SensorKind::Psys { 1 } else { packages.len() };
            packages.iter().take(count).map(|package| (*event, *package))
        })
        .collect()
}

/// The kernel lists one CPU for each package, or for each die where a die has its own counter.
fn one_cpu_of_each_package(cpus: &[usize], sysfs_root: &Path) -> Vec<Package> {
    let mut seen = HashSet::new();
    cpus.iter()
        .filter(|cpu| seen.insert(**cpu))
        .map(|cpu| {
            let topology = format!("devices/system/cpu/cpu{cpu}/topology/physical_package_id");
            let number =
                read_trimmed(&sysfs_root.join(topology)).and_then(|text| text.parse().ok());
            Package { cpu: *cpu, number }
        })
        .collect()
}

fn domain_name(kind: SensorKind, package: Package) -> String {
    let place = match package.number {
        Some(number) => format!("package-{number}"),
        None => format!("package of CPU {}", package.cpu),
    };
    match kind {
        SensorKind::Dram => format!("{place} dram"),
        SensorKind::Psys => "psys".to_owned(),
        _ => place,
    }
}

fn open_counter(pmu: u32, config: u64, cpu: usize) -> io::Result<PerfCounter> {
    let mut builder = Builder::new().any_pid().one_cpu(cpu);
    let attributes = builder.attrs_mut();
    attributes.type_ = pmu;
    attributes.config = config;
    // The PMU counts a whole package, whoever runs on it, and refuses any exclusion.
    attributes.set_exclude_kernel(0);
    attributes.set_exclude_hv(0);
    let mut counter = builder.build()?;
    counter.enable()?;
    Ok(counter)
}

fn event(pmu: &Path, name: &'static str, kind: SensorKind) -> Option<Event> {
    let events = pmu.join("events");
    let config = event_config(&read_trimmed(&events.join(name))?)?;
    let scale: f64 = read_trimmed(&events.join(format!("{name}.scale")))?.parse().ok()?;
    let unit = read_trimmed(&events.join(format!("{name}.unit")));
    let in_joules = unit.is_none_or(|unit| unit == "Joules");
    (in_joules && scale.is_finite() && scale > 0.0).then_some(Event {
        name,
        kind,
        config,
        scale: Joules(scale),
    })
}

/// `event=0x02` -> 2.
fn event_config(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("event=0x")?, 16).ok()
}

/// A kernel's list of CPUs, `0,18` or `0-3,8`; nothing if it isn't one.
fn cpu_list(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last - first >= MOST_CPUS {
            return None;
        }
        cpus.extend(first..=last);
        if cpus.len() > MOST_CPUS {
            return None;
        }
    }
    Some(cpus)
}

/// The energy of a count. A float holds it to better than 1 in 10^15, and never falls when the
/// count rises.
fn microjoules(count: u64, scale: Joules) -> u64 {
    (count as f64 * scale.0 * 1e6) as u64
}

fn read_trimmed(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn status_of(error: &io::Error) -> Status {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Status::PermissionDenied,
        _ => Status::Unsupported,
    }
}

/// The second lets every user of the host read them; a container's runtime refuses the call by itself.
fn remedy() -> String {
    format!(
        "{}, or `sudo sysctl kernel.perf_event_paranoid=0` for all users until the next boot; in a container also allow CAP_PERFMON and the call perf_event_open",
        perfmon_remedy()
    )
}

fn no_pmu(pmu: &Path) -> Unavailable {
    Unavailable::new(
        format!("{} is not there: this kernel or processor has no RAPL in perf", pmu.display()),
        "on a physical machine: `sudo modprobe rapl`; a virtual machine has none",
    )
}

fn refused(pmu: &Path, error: Option<io::Error>) -> Unavailable {
    match error {
        Some(error) if error.kind() == io::ErrorKind::PermissionDenied => Unavailable::denied(
            "perf's RAPL counters need CAP_PERFMON or kernel.perf_event_paranoid of 0 or less",
            remedy(),
        ),
        Some(error) => {
            Unavailable::new(format!("perf's RAPL counters don't open: {error}"), String::new())
        }
        None => Unavailable::new(format!("{} has no energy event in joules", pmu.display()), ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_cpus_is_read_and_a_strange_one_is_refused() {
        assert_eq!(cpu_list("0"), Some(vec![0]));
        assert_eq!(cpu_list("0,18"), Some(vec![0, 18]));
        assert_eq!(cpu_list("0-2,8"), Some(vec![0, 1, 2, 8]));
        for bad in ["", ",", "a", "3-1", "0-99999999999", "-1", "0-4000,0-4000"] {
            assert_eq!(cpu_list(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn an_event_is_its_hexadecimal_number() {
        assert_eq!(event_config("event=0x02"), Some(2));
        assert_eq!(event_config("event=2"), None);
        assert_eq!(event_config("event=0x02,umask=0x1"), None);
    }

    #[test]
    fn a_count_times_the_scale_is_energy() {
        let scale = Joules(2.328_306_436_538_696_3e-10);
        assert_eq!(microjoules(1 << 32, scale), 1_000_000);
        assert_eq!(microjoules(u64::MAX, scale), 4_294_967_296_000_000);
    }

    #[test]
    fn packages_and_memory_are_counted_on_each_package_and_the_platform_once() {
        let events = EVENTS.map(|(name, kind)| Event { name, kind, config: 1, scale: Joules(1.0) });
        let packages = [Package { cpu: 0, number: Some(0) }, Package { cpu: 18, number: Some(1) }];
        let names: Vec<String> = counted(&events, &packages)
            .into_iter()
            .map(|(event, package)| domain_name(event.kind, package))
            .collect();
        assert_eq!(names, ["package-0", "package-1", "package-0 dram", "package-1 dram", "psys"]);
    }

    #[test]
    fn an_event_in_another_unit_or_with_a_strange_scale_is_left_out() {
        let pmu = tempfile::tempdir().unwrap();
        let events = pmu.path().join("events");
        fs::create_dir_all(&events).unwrap();
        fs::write(events.join("energy-pkg"), "event=0x02\n").unwrap();
        let found = || event(pmu.path(), "energy-pkg", SensorKind::CpuPackage);
        for (scale, unit, there) in [
            ("2.3e-10", "Joules", true),
            ("2.3e-10", "Watts", false),
            ("NaN", "Joules", false),
            ("-1", "Joules", false),
        ] {
            fs::write(events.join("energy-pkg.scale"), scale).unwrap();
            fs::write(events.join("energy-pkg.unit"), unit).unwrap();
            assert_eq!(found().is_some(), there, "{scale} {unit}");
        }
    }

    #[test]
    fn the_lack_of_a_right_names_the_command_that_gives_it() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = refused(Path::new("/sys/x"), Some(denied));
        assert!(error.denied);
        let error = error.to_string();
        assert!(error.contains("sudo setcap cap_perfmon=ep /"), "{error}");
        assert!(error.contains("sudo sysctl kernel.perf_event_paranoid=0"), "{error}");
        assert!(error.contains("CAP_PERFMON"), "{error}");
    }

    #[test]
    fn a_sysfs_without_the_power_pmu_says_so() {
        let root = tempfile::tempdir().unwrap();
        let error = PerfSource::open(root.path()).unwrap_err();
        assert!(error.reason.contains("no RAPL in perf"), "{error}");
    }
}
