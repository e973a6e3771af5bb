//! The sums of the original's fields: over GPUs, and over CPU packages and their memory.
//!
//! A sum of which one member is missing is missing. Energy counts from each sensor's first read; once
//! a counter's continuity is lost, its energy since then isn't known any more, and neither is the
//! sum. Psys and module contain other sensors and are in no sum.

use energy_proto::{Joules, Nanos, SensorInfo, SensorKind, SensorReading, Watts};

const MIB: f64 = (1 << 20) as f64;

/// The sums of one reading; nothing where they aren't known.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sums {
    /// Of all GPUs.
    pub gpu_power: Option<Watts>,
    /// Of all GPUs, since their first read.
    pub gpu_energy: Option<Joules>,
    /// Of the hottest GPU.
    pub gpu_temperature_celsius: Option<f64>,
    /// Occupied memory of all GPUs.
    pub gpu_memory_used_mib: Option<f64>,
    /// All memory of all GPUs.
    pub gpu_memory_total_mib: Option<f64>,
    /// Mean over GPUs.
    pub gpu_compute_utilization_pct: Option<f64>,
    /// Mean over GPUs.
    pub gpu_memory_utilization_pct: Option<f64>,
    /// Mean over GPUs.
    pub gpu_tensor_utilization_pct: Option<f64>,
    /// Of all neural engines.
    pub ane_power: Option<Watts>,
    /// Of all neural engines, since their first read.
    pub ane_energy: Option<Joules>,
    /// Of packages and their memory.
    pub cpu_power: Option<Watts>,
    /// Of packages and their memory, since their first read.
    pub cpu_energy: Option<Joules>,
    /// Occupied memory of the host.
    pub host_memory_used_mib: Option<f64>,
}

/// Adds up readings, each after the one before.
#[derive(Debug)]
pub struct Totals {
    gpus: Group,
    cpu: Group,
    ane: Group,
    memory: Group,
}

/// The sensors of one sum.
#[derive(Debug)]
struct Group {
    members: Vec<Member>,
}

/// What is remembered of a sensor.
#[derive(Debug)]
struct Member {
    sensor: u32,
    gives_power: bool,
    first: Option<Point>,
    last: Option<Point>,
    continuous: bool,
    power: Option<Watts>,
    now: Option<SensorReading>,
}

/// A value of a counter, and when it was read.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    microjoules: u64,
    epoch: u32,
    at: Nanos,
}

impl Totals {
    /// Sums over these sensors.
    #[must_use]
    pub fn over(sensors: &[SensorInfo]) -> Self {
        let measured = |sensor: &&SensorInfo| !sensor.is_estimate();
        // The platform marks an estimate only where there is nothing else; beside real counters it
        // would go out unmarked.
        let marked = !sensors.iter().filter(measured).any(SensorInfo::measures_energy);
        let sensors: Vec<SensorInfo> =
            sensors.iter().filter(|sensor| marked || measured(sensor)).cloned().collect();
        let sensors = sensors.as_slice();
        Self {
            gpus: Group::of(sensors, &[SensorKind::Gpu]),
            cpu: Group::of(sensors, &[SensorKind::CpuPackage, SensorKind::Dram]),
            ane: Group::of(sensors, &[SensorKind::Ane]),
            memory: Group::of(sensors, &[SensorKind::Memory]),
        }
    }

    /// Takes the readings of a tick, in the order of their sensors, and gives its sums.
    pub fn observe(&mut self, readings: &[SensorReading]) -> Sums {
        for group in [&mut self.gpus, &mut self.cpu, &mut self.ane, &mut self.memory] {
            group.observe(readings);
        }
        let gpus = &self.gpus;
        Sums {
            gpu_power: gpus.sum(|gpu| Some(gpu.shown_power()?.0)).map(Watts),
            gpu_energy: gpus.energy(),
            gpu_temperature_celsius: gpus.fold(f64::max, |gpu| gpu.now?.temperature_celsius),
            gpu_memory_used_mib: gpus.sum(|gpu| mib(gpu.now?.memory_used_bytes)),
            gpu_memory_total_mib: gpus.sum(|gpu| mib(gpu.now?.memory_total_bytes)),
            gpu_compute_utilization_pct: gpus.mean(|gpu| gpu.now?.compute_utilization_pct),
            gpu_memory_utilization_pct: gpus.mean(|gpu| gpu.now?.memory_utilization_pct),
            gpu_tensor_utilization_pct: gpus.mean(|gpu| gpu.now?.tensor_utilization_pct),
            ane_power: self.ane.power(),
            ane_energy: self.ane.energy(),
            cpu_power: self.cpu.power(),
            cpu_energy: self.cpu.energy(),
            host_memory_used_mib: self.memory.sum(|memory| mib(memory.now?.memory_used_bytes)),
        }
    }
}

fn mib(bytes: Option<u64>) -> Option<f64> {
    bytes.map(|bytes| bytes as f64 / MIB)
}

/// A sensor's reading among those of a tick, which are in the order of their sensors.
#[must_use]
pub fn reading_of(readings: &[SensorReading], sensor: u32) -> Option<&SensorReading> {
    let place = readings.binary_search_by_key(&sensor, |reading| reading.sensor).ok()?;
    readings.get(place)
}

impl Group {
    fn of(sensors: &[SensorInfo], kinds: &[SensorKind]) -> Self {
        let members =
            sensors.iter().filter(|info| kinds.contains(&info.kind)).map(Member::of).collect();
        Self { members }
    }

    fn observe(&mut self, readings: &[SensorReading]) {
        for member in &mut self.members {
            member.observe(reading_of(readings, member.sensor));
        }
    }

    /// A figure of every member, put together; nothing if one lacks it or there is none.
    fn fold(
        &self,
        together: impl Fn(f64, f64) -> f64,
        figure: impl Fn(&Member) -> Option<f64>,
    ) -> Option<f64> {
        let mut figures = self.members.iter().map(figure);
        let first = figures.next()??;
        figures.try_fold(first, |before, figure| Some(together(before, figure?)))
    }

    fn sum(&self, figure: impl Fn(&Member) -> Option<f64>) -> Option<f64> {
        self.fold(|a, b| a + b, figure)
    }

    fn mean(&self, figure: impl Fn(&Member) -> Option<f64>) -> Option<f64> {
        Some(self.sum(figure)? / self.members.len() as f64)
    }

    fn energy(&self) -> Option<Joules> {
        self.sum(|member| Some(member.energy()?.0)).map(Joules)
    }

    fn power(&self) -> Option<Watts> {
        self.sum(|member| Some(member.power?.0)).map(Watts)
    }
}

impl Member {
    fn of(info: &SensorInfo) -> Self {
        Self {
            sensor: info.id,
            gives_power: info.gives("power"),
            first: None,
            last: None,
            continuous: true,
            power: None,
            now: None,
        }
    }

    fn observe(&mut self, reading: Option<&SensorReading>) {
        self.now = reading.copied();
        let point = reading.and_then(|reading| {
            Some(Point {
                microjoules: reading.energy_microjoules?,
                epoch: reading.epoch,
                at: reading.read_start.midpoint(reading.read_end),
            })
        });
        let Some(point) = point else {
            self.power = reading.and_then(|reading| reading.power);
            return;
        };
        if self.last == Some(point) {
            return;
        }
        let same_epoch = self.last.filter(|last| last.epoch == point.epoch);
        self.continuous &= self.last.is_none() || same_epoch.is_some();
        self.power = reading
            .and_then(|reading| reading.power)
            .or_else(|| same_epoch.and_then(|last| point.mean_power_since(last)));
        self.first.get_or_insert(point);
        self.last = Some(point);
    }

    /// The power that it shows; that of its counter if it shows none by itself.
    fn shown_power(&self) -> Option<Watts> {
        if self.gives_power { self.now?.power } else { self.power }
    }

    /// Energy since the first read, if there is a value now and nothing was lost between.
    fn energy(&self) -> Option<Joules> {
        let now = self.now?.energy_microjoules?;
        let since_first = now.checked_sub(self.first?.microjoules)?;
        self.continuous.then(|| Joules::from_microjoules(since_first))
    }
}

impl Point {
    fn mean_power_since(self, before: Self) -> Option<Watts> {
        let time = self.at.since(before.at);
        let rise = self.microjoules.checked_sub(before.microjoules)?;
        (!time.is_zero()).then(|| Joules::from_microjoules(rise) / time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use energy_proto::Status;

    fn info(id: u32, kind: SensorKind) -> SensorInfo {
        SensorInfo { measures: vec!["energy".to_owned()], ..SensorInfo::new(id, kind, "") }
    }

    fn reading(sensor: u32, millis: u64, joules: u64) -> SensorReading {
        let at = Nanos(millis * 1_000_000);
        let mut reading = SensorReading::empty(sensor, at, at, Status::Ok);
        reading.energy_microjoules = Some(joules * 1_000_000);
        reading
    }

    fn gpu(sensor: u32, watts: Option<f64>, celsius: f64) -> SensorReading {
        let mut reading = reading(sensor, 0, 5);
        reading.power = watts.map(Watts);
        reading.temperature_celsius = Some(celsius);
        reading
    }

    #[test]
    fn gpus_are_added_up_and_the_hottest_is_shown() {
        let mut totals = Totals::over(&[info(0, SensorKind::Gpu), info(1, SensorKind::Gpu)]);
        let sums = totals.observe(&[gpu(0, Some(100.0), 40.0), gpu(1, Some(250.0), 71.0)]);
        assert_eq!(sums.gpu_power, Some(Watts(350.0)));
        assert_eq!(sums.gpu_temperature_celsius, Some(71.0));
        assert_eq!(sums.gpu_energy, Some(Joules(0.0)));
    }

    #[test]
    fn a_sum_of_which_a_member_is_missing_is_missing() {
        let mut totals = Totals::over(&[info(0, SensorKind::Gpu), info(1, SensorKind::Gpu)]);
        let sums = totals.observe(&[gpu(0, Some(100.0), 40.0), gpu(1, None, 71.0)]);
        assert_eq!(sums.gpu_power, None);
        let sums = totals.observe(&[gpu(0, Some(100.0), 40.0)]);
        assert_eq!((sums.gpu_power, sums.gpu_energy), (None, None));
    }

    #[test]
    fn a_gpu_that_gives_energy_alone_has_the_power_of_its_counter() {
        let mut totals = Totals::over(&[info(0, SensorKind::Gpu)]);
        totals.observe(&[reading(0, 0, 10)]);
        assert_eq!(totals.observe(&[reading(0, 500, 60)]).gpu_power, Some(Watts(100.0)));
        let mut with_power = info(0, SensorKind::Gpu);
        with_power.measures.push("power".to_owned());
        let mut totals = Totals::over(&[with_power]);
        totals.observe(&[reading(0, 0, 10)]);
        assert_eq!(totals.observe(&[reading(0, 500, 60)]).gpu_power, None, "it failed just now");
    }

    #[test]
    fn a_gpu_without_a_counter_has_power_and_no_energy() {
        let mut totals = Totals::over(&[info(0, SensorKind::Gpu)]);
        let mut counterless = gpu(0, Some(100.0), 40.0);
        counterless.energy_microjoules = None;
        let sums = totals.observe(&[counterless]);
        assert_eq!((sums.gpu_power, sums.gpu_energy), (Some(Watts(100.0)), None));
    }

    #[test]
    fn without_a_gpu_its_sums_are_missing_and_not_zero() {
        assert_eq!(Totals::over(&[]).observe(&[]), Sums::default());
    }

    #[test]
    fn cpu_power_is_energy_over_the_measured_time() {
        let sensors =
            [info(0, SensorKind::CpuPackage), info(1, SensorKind::Dram), info(2, SensorKind::Psys)];
        let mut totals = Totals::over(&sensors);
        let first = totals.observe(&[reading(0, 0, 10), reading(1, 0, 1), reading(2, 0, 30)]);
        assert_eq!((first.cpu_power, first.cpu_energy), (None, Some(Joules(0.0))));
        let second = [reading(0, 500, 60), reading(1, 250, 2), reading(2, 500, 99)];
        let sums = totals.observe(&second);
        assert_eq!(sums.cpu_power, Some(Watts(104.0)));
        assert_eq!(sums.cpu_energy, Some(Joules(51.0)));
        assert_eq!(totals.observe(&second), sums, "the same reading again changes nothing");
    }

    #[test]
    fn after_a_reset_the_energy_since_the_start_is_not_known() {
        let mut totals = Totals::over(&[info(0, SensorKind::CpuPackage)]);
        totals.observe(&[reading(0, 0, 10)]);
        let mut restarted = reading(0, 100, 2);
        restarted.epoch = 1;
        let sums = totals.observe(&[restarted]);
        assert_eq!((sums.cpu_energy, sums.cpu_power), (None, None));
        let mut later = reading(0, 200, 4);
        later.epoch = 1;
        let sums = totals.observe(&[later]);
        assert_eq!((sums.cpu_energy, sums.cpu_power), (None, Some(Watts(20.0))));
    }

    #[test]
    fn a_gap_does_not_bring_back_an_old_power() {
        let mut totals = Totals::over(&[info(0, SensorKind::CpuPackage)]);
        totals.observe(&[reading(0, 0, 10)]);
        totals.observe(&[reading(0, 100, 20)]);
        let gap = SensorReading::empty(0, Nanos(1), Nanos(1), Status::Stale);
        let sums = totals.observe(&[gap]);
        assert_eq!((sums.cpu_power, sums.cpu_energy), (None, None));
        let sums = totals.observe(&[reading(0, 1_100, 120)]);
        assert_eq!((sums.cpu_power, sums.cpu_energy), (Some(Watts(100.0)), Some(Joules(110.0))));
    }
}
