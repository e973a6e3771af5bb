//! One GPU: what it can give and whose that is, found out once, and then its readings.
//!
//! **Superchips.** `nvmlDeviceGetTotalEnergyConsumption` and `nvmlDeviceGetPowerUsage` name no scope.
//! On a GH200 the counter was found to count the whole module, CPU and memory with it (ml-energy/zeus
//! pull request 172). So beside an NVIDIA CPU neither is believed: power is that of a field whose scope
//! is named, and the counter is left out, for the GPU and for the module. A GPU is on a superchip if it
//! answers for the module's scope, or is called so.
//!
//! **A GPU that goes away.** NVML stays initialised: it is the same library, and it holds the driver's
//! devices open, so that the driver can't be unloaded below it. A GPU that is lost (off the bus, reset)
//! is asked for a new handle by its UUID each second; the old one is never used again. What it counts
//! after that is a new epoch, whatever the counter shows.

use std::time::Duration;

use energy_proto::{Nanos, SensorInfo, SensorKind, SensorReading, Status, monotonic_now};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

use super::fields::{Scope, power_instant};
use super::figures::Figures;
use super::power::{Measured, Meter, PowerMeter, watts};
use super::{is_never, may_pass, remedy_for, status_of};
use crate::counter::{Counted, Counter};
use crate::source::{Paced, timed};

/// How often a GPU that can't be opened is tried again.
const RETRY_PERIOD: Duration = Duration::from_secs(1);
/// One count of the counter.
const QUANTUM_MICROJOULES: u64 = 1_000;
/// Found per board on A100 and H100 (Yang et al., SC'24).
const GAIN_ERROR_PCT: f64 = 5.0;

/// A description is made once, at the start.
const LATE_REMEDY: &str = "once it opens it is read; restart the monitor then to have its name and \
                           figures described";

const MIG_NOTE: &str = "MIG is on: energy and power are the whole GPU's";
const SUPERCHIP_NOTE: &str = "power is the GPU's alone; the energy counter is left out, since beside \
                              an NVIDIA CPU it counts the module";
const MODULE_NOTE: &str = "contains the CPU and its GPUs: each GPU of a module shows the same, so never \
                           add it up";

/// A GPU, whether it can be opened or not.
pub(super) struct Gpu {
    nvml: &'static Nvml,
    index: u32,
    pub(super) info: SensorInfo,
    /// The module it is a part of, where that is a sensor of its own.
    pub(super) module: Option<Module>,
    /// Nothing if the driver hasn't opened it yet.
    board: Option<Board>,
    /// Whether its handle is dead.
    lost: bool,
    /// The last try to open it, and how it failed.
    opened: Paced<Option<Status>>,
    counter: Counter,
    /// Whether the counter's next value can't be compared with its last.
    counts_anew: bool,
}

/// The power of a whole module.
pub(super) struct Module {
    pub(super) info: SensorInfo,
    meter: PowerMeter,
}

/// A GPU that was opened, and what it was found to give.
struct Board {
    device: Device<'static>,
    /// Whether the counter is worth asking for, and is the GPU's own.
    counts_energy: bool,
    meter: Option<PowerMeter>,
    figures: Figures,
}

impl Gpu {
    pub(super) fn open(nvml: &'static Nvml, index: u32) -> Self {
        let opened = nvml.device_by_index(index).and_then(|device| Board::probe(device, index));
        let (board, info, module) = match opened {
            Ok((board, info, module)) => (Some(board), info, module),
            Err(error) => (None, unopened_info(index, status_of(&error)), None),
        };
        let mut gpu = Self {
            nvml,
            index,
            info,
            module,
            board,
            lost: false,
            opened: Paced::every(RETRY_PERIOD),
            counter: Counter::of_gpu(),
            counts_anew: false,
        };
        // It was just tried.
        let status = gpu.info.status;
        gpu.opened.get(monotonic_now(), || Some(status));
        gpu
    }

    /// Reads it.
    pub(super) fn read(&mut self) -> SensorReading {
        let away = self.reopen_if_away();
        let Some(board) = self.board.as_mut().filter(|_| away.is_none()) else {
            let now = monotonic_now();
            return SensorReading::empty(self.info.id, now, now, away.unwrap_or(Status::Lost));
        };
        let (millijoules, start, end) =
            timed(|| board.counts_energy.then(|| board.device.total_energy_consumption()));
        let back = self.counts_anew && !matches!(millijoules, Some(Err(_)));
        if back {
            self.counter = Counter::of_gpu().from_epoch(self.counter.epoch() + 1);
            self.counts_anew = false;
        }
        let counter = &mut self.counter;
        let energy =
            millijoules.map(|answer| answer.map(|millijoules| count(counter, millijoules, end)));
        let power = board.meter.as_mut().map(|meter| meter.read(&board.device));
        let status = status(energy.as_ref(), power.as_ref(), self.info.gives("energy"));
        let mut reading = SensorReading::empty(self.info.id, start, end, status);
        reading.epoch = counter.epoch();
        if status == Status::Lost {
            self.lost = true;
            return reading;
        }
        if back && status == Status::Ok {
            reading.status = Status::Reset;
        }
        reading.energy_microjoules =
            energy.and_then(Result::ok).flatten().map(|counted| counted.microjoules);
        if let Some(measured) = power.and_then(Result::ok).flatten() {
            fill_power(&mut reading, measured);
        }
        board.figures.fill(&board.device, end, &mut reading);
        reading
    }

    /// Why there is nothing to be read now, if so. Tries now and then to open a GPU that is away.
    fn reopen_if_away(&mut self) -> Option<Status> {
        if self.board.is_some() && !self.lost {
            return None;
        }
        let (nvml, index, info, board) = (self.nvml, self.index, &mut self.info, &mut self.board);
        let mut tried = false;
        let failed = self.opened.get(monotonic_now(), || {
            tried = true;
            reopen(nvml, index, info, board).err()
        });
        if tried && failed.is_none() {
            self.counts_anew = std::mem::take(&mut self.lost);
            return None;
        }
        // Between two tries it is as away as it was.
        Some(failed.unwrap_or(Status::Lost))
    }

    /// Reads the power of its module, where that is a sensor of its own.
    pub(super) fn read_module(&mut self) -> Option<SensorReading> {
        let module = self.module.as_mut()?;
        let id = module.info.id;
        let board = self.board.as_ref().filter(|_| !self.lost);
        let Some(board) = board else {
            let now = monotonic_now();
            return Some(SensorReading::empty(id, now, now, Status::Lost));
        };
        let (power, start, end) = timed(|| module.meter.read(&board.device));
        let status = power_status(&power);
        let mut reading = SensorReading::empty(id, start, end, status);
        if let Some(measured) = power.ok().flatten() {
            fill_power(&mut reading, measured);
        }
        Some(reading)
    }
}

/// Opens a GPU again, by its UUID where that is known: an index may be another's after a while.
fn reopen(
    nvml: &'static Nvml,
    index: u32,
    info: &mut SensorInfo,
    board: &mut Option<Board>,
) -> Result<(), Status> {
    if let Some(board) = board {
        let device = nvml.device_by_uuid(info.uuid.as_str());
        board.device = device.map_err(|error| status_of(&error))?;
        board.figures.restart();
        return Ok(());
    }
    let opened = nvml.device_by_index(index).and_then(|device| Board::probe(device, index));
    let (found, found_info, _) = opened.map_err(|error| status_of(&error))?;
    if found_info.kind != info.kind {
        // It was described as a GPU when nothing was known of it, and is a module.
        return Err(Status::Unsupported);
    }
    // Its number is its place among its source's sensors, which is none of NVML's indices.
    (*board, *info) = (Some(found), SensorInfo { id: info.id, ..found_info });
    Ok(())
}

impl Board {
    /// Finds out what a GPU gives.
    ///
    /// # Errors
    /// If the driver can't say now what a scope holds: then nothing may be called the GPU's.
    fn probe(
        device: Device<'static>,
        index: u32,
    ) -> Result<(Self, SensorInfo, Option<Module>), NvmlError> {
        let name = device.name().unwrap_or_else(|_| blank_name(index));
        let module = answers(&device, Scope::Module)?;
        let superchip = module || is_named_as_superchip(&name);
        let energy = device.total_energy_consumption();
        let (meter, power) = find_meter(&device, superchip, module)?;
        let kind = match meter {
            Some(Meter::Field(Scope::Module)) => SensorKind::Module,
            _ => SensorKind::Gpu,
        };
        let counts_energy = !superchip && !energy.as_ref().is_err_and(is_never);
        let meter = meter.map(PowerMeter::new);
        let window = meter.as_ref().and_then(|meter| meter.window(&device));
        let (figures, names) = Figures::probe(&device);
        let energy = Some(energy).filter(|_| counts_energy);
        let own =
            [("energy", energy.as_ref().is_some_and(Result::is_ok)), ("power", power.is_ok())];
        let status = overall(energy.as_ref(), &power);
        let mut info = SensorInfo { name, kind, ..blank_info(index, status) };
        info.uuid = device.uuid().unwrap_or(info.uuid);
        let own = own.into_iter().filter(|(_, there)| *there).map(|(figure, _)| figure);
        info.measures = own.chain(names).map(str::to_owned).collect();
        info.quantum_microjoules = info.gives("energy").then_some(QUANTUM_MICROJOULES);
        info.gain_error_pct = Some(GAIN_ERROR_PCT);
        info.power_limit = device.enforced_power_limit().ok().map(f64::from).and_then(watts);
        info.power_window = window;
        info.note = note(&device, superchip, kind);
        let sensor = (module && kind == SensorKind::Gpu).then(|| Module::beside(&info));
        Ok((Self { device, counts_energy, meter, figures }, info, sensor))
    }
}

impl Module {
    fn beside(gpu: &SensorInfo) -> Self {
        let info = SensorInfo {
            name: format!("{} module", gpu.name),
            uuid: format!("{}/module", gpu.uuid),
            measures: vec!["power".to_owned()],
            gain_error_pct: None,
            power_window: Some(Duration::ZERO),
            note: MODULE_NOTE.to_owned(),
            ..SensorInfo::new(gpu.id, SensorKind::Module, "nvml")
        };
        Self { info, meter: PowerMeter::new(Meter::Field(Scope::Module)) }
    }
}

/// Whether a GPU answers for a scope.
///
/// # Errors
/// If the driver can't say now.
fn answers(device: &Device<'_>, scope: Scope) -> Result<bool, NvmlError> {
    match power_instant(device, scope) {
        Ok(field) => Ok(watts(field.milliwatts).is_some()),
        Err(error) if may_pass(&error) => Err(error),
        Err(_) => Ok(false),
    }
}

/// How power is best asked for, and how that was answered; nothing if it isn't given, or if its scope
/// wouldn't be certain.
fn find_meter(
    device: &Device<'_>,
    superchip: bool,
    module: bool,
) -> Result<(Option<Meter>, Result<(), NvmlError>), NvmlError> {
    if answers(device, Scope::Gpu)? {
        return Ok((Some(Meter::Field(Scope::Gpu)), Ok(())));
    }
    if superchip {
        let answer = module.then_some(()).ok_or(NvmlError::NotSupported);
        return Ok((module.then_some(Meter::Field(Scope::Module)), answer));
    }
    let answer = device.power_usage().map(|_| ());
    let meter = (!answer.as_ref().is_err_and(is_never)).then_some(Meter::Usage);
    Ok((meter, answer))
}

/// The products that put a GPU beside an NVIDIA CPU: `NVIDIA GH200 480GB`, `NVIDIA GB200`.
fn is_named_as_superchip(name: &str) -> bool {
    ["Grace", "GH200", "GB200", "GB300"].iter().any(|product| name.contains(product))
}

fn note(device: &Device<'_>, superchip: bool, kind: SensorKind) -> String {
    let mig = device.mig_mode().is_ok_and(|mode| mode.current == 1);
    let scope = match kind {
        SensorKind::Module => Some(MODULE_NOTE),
        _ if superchip => Some(SUPERCHIP_NOTE),
        _ => None,
    };
    let notes: Vec<&str> = mig.then_some(MIG_NOTE).into_iter().chain(scope).collect();
    notes.join("; ")
}

/// Takes a value of the counter. Zero is what an over-polled driver answers, and what the counter
/// shows for an instant after a reload: no GPU has used nothing. Nor has one used what doesn't fit
/// into 64 bits of microjoules.
fn count(counter: &mut Counter, millijoules: u64, at: Nanos) -> Option<Counted> {
    let microjoules = millijoules.checked_mul(1_000).filter(|energy| *energy > 0)?;
    Some(counter.observe(microjoules, at))
}

fn fill_power(reading: &mut SensorReading, measured: Measured) {
    reading.power = Some(measured.power);
    reading.power_at = measured.at;
}

/// The status of a read: that of the energy, or of power where there is no counter.
fn status(
    energy: Option<&Result<Option<Counted>, NvmlError>>,
    power: Option<&Result<Option<Measured>, NvmlError>>,
    gives_energy: bool,
) -> Status {
    match energy {
        Some(Ok(Some(counted))) if counted.reset => Status::Reset,
        Some(Ok(Some(_))) => Status::Ok,
        Some(Ok(None)) => Status::Implausible,
        Some(Err(error)) if gives_energy => passing_status(error),
        _ => power.map_or(Status::Unsupported, power_status),
    }
}

fn power_status(power: &Result<Option<Measured>, NvmlError>) -> Status {
    match power {
        Ok(Some(_)) => Status::Ok,
        Ok(None) => Status::Implausible,
        Err(error) => passing_status(error),
    }
}

/// The status of a figure that was there when it was asked for first: a driver that is asked too
/// often answers `NotSupported` for a while.
fn passing_status(error: &NvmlError) -> Status {
    match status_of(error) {
        Status::Unsupported => Status::Stale,
        status => status,
    }
}

/// The status of a GPU as a whole.
fn overall(energy: Option<&Result<u64, NvmlError>>, power: &Result<(), NvmlError>) -> Status {
    match (energy, power) {
        (Some(Ok(_)), _) | (_, Ok(())) => Status::Ok,
        (Some(Err(error)), _) | (None, Err(error)) => status_of(error),
    }
}

fn blank_name(index: u32) -> String {
    format!("NVIDIA GPU {index}")
}

/// The description of a GPU that doesn't open.
fn unopened_info(index: u32, status: Status) -> SensorInfo {
    let info = blank_info(index, status);
    SensorInfo { remedy: format!("{}; {LATE_REMEDY}", info.remedy), ..info }
}

/// What is known of a GPU that says nothing of itself.
fn blank_info(index: u32, status: Status) -> SensorInfo {
    SensorInfo {
        name: blank_name(index),
        uuid: format!("nvml:{index}"),
        status,
        remedy: remedy_for(status).to_owned(),
        ..SensorInfo::new(index, SensorKind::Gpu, "nvml")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_of_zero_is_withheld_and_leaves_no_trace() {
        let mut counter = Counter::of_gpu();
        assert_eq!(count(&mut counter, 0, Nanos(1)), None);
        assert_eq!(
            count(&mut counter, 7, Nanos(2)).map(|counted| counted.microjoules),
            Some(7_000)
        );
        assert_eq!(count(&mut counter, 0, Nanos(3)), None);
        assert_eq!(count(&mut counter, u64::MAX, Nanos(3)), None);
        assert_eq!(counter.epoch(), 0);
    }

    #[test]
    fn a_figure_that_was_there_and_is_not_supported_now_is_stale() {
        let over_polled = Err(NvmlError::NotSupported);
        assert_eq!(status(Some(&over_polled), None, true), Status::Stale);
        assert_eq!(power_status(&Err(NvmlError::NotSupported)), Status::Stale);
        assert_eq!(power_status(&Err(NvmlError::GpuLost)), Status::Lost);
    }

    #[test]
    fn superchips_are_known_by_their_names() {
        for name in ["NVIDIA GH200 480GB", "NVIDIA GB200", "NVIDIA Grace Hopper"] {
            assert!(is_named_as_superchip(name), "{name}");
        }
        for name in ["NVIDIA H200", "NVIDIA B200", "NVIDIA GB10", "NVIDIA H100 80GB HBM3"] {
            assert!(!is_named_as_superchip(name), "{name}");
        }
    }
}
