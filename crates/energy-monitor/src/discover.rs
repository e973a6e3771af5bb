//! Which sources exist on this host, what each reports, and why others were left out.
//!
//! It asks each source once, when the monitor starts; a device that comes later isn't seen.

use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use energy_proto::{GpuInfo, SensorInfo, SensorKind, SkippedSource, Status};

use crate::config::{Probe, Selection, SourceName};
use crate::source::apple::AppleSource;
use crate::source::estimate::EstimateSource;
use crate::source::hwmon::{self, HwmonSource};
use crate::source::memory::MemorySource;
use crate::source::nvml::NvmlSource;
#[cfg(target_os = "linux")]
use crate::source::rapl_perf::PerfSource;
use crate::source::rapl_powercap::PowercapSource;
use crate::source::scripted::ScriptedSource;
use crate::source::{Pace, Source, Unavailable};

/// How long a driver has to open its devices. Without its persistence mode NVIDIA's initialises each
/// board first, which takes seconds.
const OPENING: Duration = Duration::from_secs(15);

/// The quickest counters of GPUs move every 10 ms; more reads than this tell nothing, and make some
/// consumer cards lose energy.
const NVML_CLOSEST: Duration = Duration::from_millis(4);

/// A source that was asked for and isn't there.
#[derive(Debug, thiserror::Error)]
#[error("the source `{source_name}` was asked for with --sources and can't be used: {reasons}")]
pub struct AskedForAndNotThere {
    source_name: SourceName,
    reasons: String,
}

/// Sources that share a thread, since what blocks one blocks the others.
pub struct Lane {
    /// The thread's name.
    pub name: &'static str,
    /// When they are read.
    pub pace: Pace,
    /// The sources, each with the number of its first sensor.
    pub sources: Vec<(u32, Box<dyn Source>)>,
    /// How often they have to be read, whatever the interval is.
    pub read_at_least_every: Option<Duration>,
}

impl Lane {
    fn new(name: &'static str, pace: Pace) -> Self {
        Self { name, pace, sources: Vec::new(), read_at_least_every: None }
    }
}

/// What was found on this host.
pub struct Discovery {
    /// The sources by the thread that reads them.
    pub lanes: Vec<Lane>,
    /// All sensors; each one's id is its index.
    pub sensors: Vec<SensorInfo>,
    /// Sources that aren't used.
    pub skipped: Vec<SkippedSource>,
    /// Those of them that are there and only may not be read.
    pub denied: Vec<String>,
    /// The first GPU.
    pub gpu_info: Option<GpuInfo>,
    /// The original's word for what gives the energy.
    pub platform: &'static str,
}

/// Looks for every selected source.
///
/// # Errors
/// If a source that was asked for by name can't be used.
pub fn discover(probe: &Probe, host: &str) -> Result<Discovery, AskedForAndNotThere> {
    let mut search = Search::new(host);
    if wanted(probe, SourceName::Nvml) {
        search.nvml(probe);
        search.check(probe, SourceName::Nvml)?;
    }
    if wanted(probe, SourceName::Rapl) {
        search.rapl(probe);
        search.check(probe, SourceName::Rapl)?;
    }
    if wanted(probe, SourceName::Hwmon) {
        search.hwmon(probe);
        search.check(probe, SourceName::Hwmon)?;
    }
    if wanted(probe, SourceName::Apple) {
        search.apple();
        search.check(probe, SourceName::Apple)?;
    }
    if probe.selection.names(SourceName::Scripted) {
        search.scripted(probe);
        search.check(probe, SourceName::Scripted)?;
        // A recorded host has a recorded memory.
        return Ok(search.finish());
    }
    search.estimate(probe);
    search.check(probe, SourceName::Estimate)?;
    search.memory(probe);
    Ok(search.finish())
}

fn wanted(probe: &Probe, name: SourceName) -> bool {
    probe.selection == Selection::Auto || probe.selection.names(name)
}

/// A discovery under way.
struct Search<'a> {
    host: &'a str,
    /// Drivers of GPUs, which may hang in a call.
    gpu: Lane,
    /// Files of GPUs' drivers, which may hang too.
    hwmon: Lane,
    /// Files of the kernel, which don't.
    kernel: Lane,
    /// Sources that share nothing with others.
    others: Vec<Lane>,
    sensors: Vec<SensorInfo>,
    skipped: Vec<SkippedSource>,
    denied: Vec<String>,
    gpu_info: Option<GpuInfo>,
}

impl<'a> Search<'a> {
    fn new(host: &'a str) -> Self {
        Self {
            host,
            gpu: Lane::new("nvml", Pace::Own { closest: NVML_CLOSEST }),
            hwmon: Lane::new("hwmon", Pace::Own { closest: hwmon::CLOSEST }),
            kernel: Lane::new("kernel", Pace::Tick),
            others: Vec::new(),
            sensors: Vec::new(),
            skipped: Vec::new(),
            denied: Vec::new(),
            gpu_info: None,
        }
    }

    fn nvml(&mut self, probe: &Probe) {
        let library = probe.nvml_library.clone();
        match in_time("nvml", OPENING, move || NvmlSource::open(library.as_deref())) {
            Ok(source) => {
                self.gpu_info = source.first_gpu();
                for gpu in source.each() {
                    let first = self.number(&gpu);
                    self.gpu.sources.push((first, Box::new(gpu)));
                }
            }
            Err(error) => self.skip("nvml", error),
        }
    }

    fn hwmon(&mut self, probe: &Probe) {
        let sysfs_root = probe.sysfs_root.clone();
        match in_time("hwmon", OPENING, move || HwmonSource::open(&sysfs_root)) {
            Ok(source) => {
                for left_out in source.left_out() {
                    self.skip("hwmon", left_out.clone());
                }
                self.gpu_info = self.gpu_info.take().or_else(|| source.first_gpu());
                self.hwmon.read_at_least_every = source.read_at_least_every();
                let first = self.number(&source);
                self.hwmon.sources.push((first, Box::new(source)));
            }
            Err(error) => self.skip("hwmon", error),
        }
    }

    /// perf, which the kernel unwraps, then powercap.
    fn rapl(&mut self, probe: &Probe) {
        #[cfg(target_os = "linux")]
        match PerfSource::open(&probe.sysfs_root) {
            Ok(source) => return self.add_kernel(source, None),
            Err(error) => self.skip("rapl_perf", error),
        }
        match PowercapSource::open(&probe.sysfs_root) {
            Ok(source) => {
                let gap = source.is_readable().then(|| source.read_at_least_every()).flatten();
                self.add_kernel(source, gap);
            }
            Err(error) => self.skip("rapl_powercap", error),
        }
    }

    fn apple(&mut self) {
        match AppleSource::open(&std::env::var_os("PATH").unwrap_or_default()) {
            Ok(source) => {
                self.gpu_info = self.gpu_info.take().or_else(|| source.gpu());
                self.add_lane("apple", Pace::Stream, source);
            }
            Err(error) => self.skip("apple", error),
        }
    }

    fn scripted(&mut self, probe: &Probe) {
        let Some((file, speed)) = &probe.script else { return };
        match ScriptedSource::open(file, *speed) {
            Ok(source) => self.add_lane("scripted", source.pace(), source),
            Err(error) => self.skip("scripted", error),
        }
    }

    fn add_lane(&mut self, name: &'static str, pace: Pace, source: impl Source + 'static) {
        let first = self.number(&source);
        let sources: Vec<(u32, Box<dyn Source>)> = vec![(first, Box::new(source))];
        self.others.push(Lane { sources, ..Lane::new(name, pace) });
    }

    fn estimate(&mut self, probe: &Probe) {
        let Some(tdp) = probe.tdp else {
            if probe.selection == Selection::Auto {
                self.skip("estimate", never_by_itself());
            }
            return;
        };
        match EstimateSource::open(&probe.proc_root, tdp) {
            Ok(source) => self.add_kernel(source, None),
            Err(error) => self.skip("estimate", error),
        }
    }

    fn memory(&mut self, probe: &Probe) {
        match MemorySource::open(&probe.proc_root) {
            Ok(source) => self.add_kernel(source, None),
            Err(error) => self.skip("procfs", error),
        }
    }

    fn add_kernel(&mut self, source: impl Source + 'static, read_at_least_every: Option<Duration>) {
        let first = self.number(&source);
        self.kernel.sources.push((first, Box::new(source)));
        let gaps = [self.kernel.read_at_least_every, read_at_least_every];
        self.kernel.read_at_least_every = gaps.into_iter().flatten().min();
    }

    /// Adds a source's sensors to the list and returns the number of its first.
    fn number(&mut self, source: &dyn Source) -> u32 {
        let first = u32::try_from(self.sensors.len()).expect("a host has fewer sensors than 2^32");
        self.sensors.extend(source.describe().into_iter().map(|info| SensorInfo {
            id: first + info.id,
            host: self.host.to_owned(),
            ..info
        }));
        first
    }

    fn skip(&mut self, source: &str, Unavailable { reason, remedy, denied }: Unavailable) {
        if denied {
            self.denied.push(source.to_owned());
        }
        self.skipped.push(SkippedSource { source: source.to_owned(), reason, remedy });
    }

    /// Refuses to go on without a source that was asked for by name.
    fn check(&self, probe: &Probe, name: SourceName) -> Result<(), AskedForAndNotThere> {
        let mut own = self.sensors.iter().filter(|info| is_of(&info.source, name)).peekable();
        let usable = own.clone().any(|info| info.status == Status::Ok && info.measures_energy());
        if !probe.selection.names(name) || usable {
            return Ok(());
        }
        let skipped = self.skipped.iter().filter(|skipped| is_of(&skipped.source, name));
        let reasons = if own.peek().is_some() {
            own.map(|info| format!("{}: {}: {}", info.name, info.status.as_str(), info.remedy))
                .collect::<Vec<_>>()
        } else {
            skipped
                .map(|skipped| Unavailable {
                    reason: skipped.reason.clone(),
                    remedy: skipped.remedy.clone(),
                    denied: false,
                })
                .map(|unavailable| unavailable.to_string())
                .collect()
        };
        Err(AskedForAndNotThere { source_name: name, reasons: reasons.join("; ") })
    }

    fn finish(self) -> Discovery {
        let lanes = [self.gpu, self.hwmon, self.kernel].into_iter().chain(self.others);
        Discovery {
            platform: platform(&self.sensors),
            lanes: lanes.filter(|lane| !lane.sources.is_empty()).collect(),
            sensors: self.sensors,
            skipped: self.skipped,
            denied: self.denied,
            gpu_info: self.gpu_info,
        }
    }
}

/// Opens a source whose driver may hang, on a thread of its own, which is left behind if it does.
fn in_time<T: Send + 'static>(
    name: &'static str,
    limit: Duration,
    open: impl FnOnce() -> Result<T, Unavailable> + Send + 'static,
) -> Result<T, Unavailable> {
    let (sender, opened) = sync_channel(1);
    let opening = thread::Builder::new().name(format!("open {name}")).spawn(move || {
        // An error means that nobody waits any more.
        let _ = sender.send(open());
    });
    if let Err(error) = opening {
        return Err(Unavailable::new(format!("no thread to open it: {error}"), ""));
    }
    opened.recv_timeout(limit).unwrap_or_else(|_| {
        Err(Unavailable::new(
            format!("its driver has not answered for {} s", limit.as_secs()),
            "see the kernel's log; for NVIDIA, `nvidia-smi` shows whether the driver hangs. Start the monitor again when it answers",
        ))
    })
}

/// Whether a source's own name belongs to a name of the command line: `rapl_perf` to `rapl`.
fn is_of(source: &str, name: SourceName) -> bool {
    source.split('_').next() == Some(name.as_str())
}

fn never_by_itself() -> Unavailable {
    Unavailable {
        reason: "figures made up from the CPU's busy share are never chosen by themselves"
            .to_owned(),
        remedy: "to have them all the same: --sources estimate --tdp-watts W".to_owned(),
        denied: false,
    }
}

/// The original's word for what gives the GPU's energy, else the CPU's.
fn platform(sensors: &[SensorInfo]) -> &'static str {
    let gives = |kind: SensorKind, source: &str| {
        sensors.iter().any(|info| {
            info.kind == kind
                && info.source.starts_with(source)
                && info.status == Status::Ok
                && info.measures_energy()
        })
    };
    if sensors.iter().any(|info| info.source == "scripted") {
        // It is the only source, whatever it has recorded.
        "scripted"
    } else if gives(SensorKind::Gpu, "nvml") || gives(SensorKind::Module, "nvml") {
        "nvidia"
    } else if gives(SensorKind::Gpu, "hwmon_amd") || gives(SensorKind::Soc, "hwmon_amd") {
        "amd"
    } else if gives(SensorKind::Gpu, "hwmon_intel") {
        "intel"
    } else if gives(SensorKind::Gpu, "apple") {
        "macos"
    } else if gives(SensorKind::Soc, "hwmon_jetson") {
        "jetson"
    } else if gives(SensorKind::CpuPackage, "rapl") {
        "rapl"
    } else if gives(SensorKind::CpuPackage, "estimate") {
        "estimate"
    } else {
        "null"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use energy_proto::Watts;
    use std::path::{Path, PathBuf};

    fn probe(selection: Selection, sysfs_root: &Path) -> Probe {
        Probe {
            selection,
            tdp: None,
            script: None,
            nvml_library: Some(PathBuf::from("/nonexistent/libnvidia-ml.so.1")),
            sysfs_root: sysfs_root.to_owned(),
            proc_root: PathBuf::from("/proc"),
        }
    }

    fn powercap(energy: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let zone = root.path().join("class/powercap/intel-rapl:0");
        std::fs::create_dir_all(&zone).unwrap();
        std::fs::write(zone.join("name"), "package-0\n").unwrap();
        std::fs::write(zone.join("max_energy_range_uj"), "262143328850\n").unwrap();
        std::fs::write(zone.join("energy_uj"), energy).unwrap();
        root
    }

    #[test]
    fn a_host_without_any_counter_still_has_memory_and_says_what_is_missing() {
        let empty = tempfile::tempdir().unwrap();
        let found = discover(&probe(Selection::Auto, empty.path()), "here").unwrap();
        assert_eq!(found.platform, "null");
        assert_eq!(found.sensors.len(), 1);
        assert_eq!(
            (found.sensors[0].kind, found.sensors[0].host.as_str()),
            (SensorKind::Memory, "here")
        );
        let skipped: Vec<_> = found.skipped.iter().map(|skipped| skipped.source.as_str()).collect();
        assert_eq!(skipped, ["nvml", "rapl_perf", "rapl_powercap", "hwmon", "apple", "estimate"]);
    }

    #[test]
    fn a_driver_that_hangs_while_it_opens_costs_only_its_own_source() {
        let hung = in_time("test", Duration::from_millis(5), || {
            thread::sleep(Duration::from_secs(5));
            Ok(())
        });
        assert!(hung.unwrap_err().reason.contains("has not answered"));
        assert_eq!(in_time("test", Duration::from_secs(5), || Ok(7)), Ok(7));
    }

    #[test]
    fn powercap_stands_in_for_a_perf_that_is_not_there() {
        let root = powercap("77\n");
        let found = discover(&probe(Selection::Auto, root.path()), "").unwrap();
        assert_eq!(found.platform, "rapl");
        assert_eq!(found.sensors[0].source, "rapl_powercap");
        assert_eq!(found.sensors[1].id, 1);
        let wrap_over_four = Duration::from_secs_f64(262_143.328_851 / 2_000.0 / 4.0);
        assert_eq!(found.lanes[0].read_at_least_every, Some(wrap_over_four));
    }

    #[test]
    fn a_source_that_was_asked_for_and_is_not_there_is_an_error_with_its_remedy() {
        let empty = tempfile::tempdir().unwrap();
        for name in [SourceName::Nvml, SourceName::Rapl, SourceName::Hwmon] {
            let asked = discover(&probe(Selection::Only(vec![name]), empty.path()), "");
            let error = asked.err().unwrap().to_string();
            assert!(error.contains(name.as_str()), "{error}");
            assert!(error.contains("--nvml-library") || error.contains("modprobe"), "{error}");
        }
    }

    #[test]
    fn a_source_that_was_asked_for_and_can_not_be_read_is_an_error_too() {
        let root = powercap("no number\n");
        let only = probe(Selection::Only(vec![SourceName::Rapl]), root.path());
        let error = discover(&only, "").err().unwrap().to_string();
        assert!(error.contains("package-0: implausible"), "{error}");
    }

    #[test]
    fn the_estimate_is_used_when_it_is_asked_for() {
        let empty = tempfile::tempdir().unwrap();
        let mut only = probe(Selection::Only(vec![SourceName::Estimate]), empty.path());
        only.tdp = Some(Watts(65.0));
        let found = discover(&only, "").unwrap();
        assert_eq!(found.platform, "estimate");
        assert_eq!(found.sensors[0].name, "CPU estimate (busy share x 65 W)");
        assert_eq!(found.skipped, []);
    }
}
