//! From samples to energy that never falls: one counter for each rail, with an epoch for every break
//! in its continuity, and a judgement on zeros: macOS 27 shows none of the CPU's energy while its cores
//! run (exelban/stats, issue 3336).
//!
//! The energy of a sample is that of its own elapsed time, however long that was; time between two
//! samples that none of them covers is a break. Pure: times are passed in.

use std::time::Duration;

use energy_proto::{Joules, Nanos, SensorReading, Status, Watts};

use super::sample::{Sample, Taken};

/// The number of rails: CPU, GPU, neural engine, in this order.
pub(super) const RAILS: usize = 3;
const CPU: usize = 0;
const GPU: usize = 1;

/// The step of the energies is 1 mJ. What ran for so long took more: 20 mW, and an efficiency core at
/// its lowest clock takes more than that.
const BUSY: Duration = Duration::from_millis(50);

/// So many samples in a row without energy of the CPU are a fault even if no core was busy: over a
/// second, less than a milliwatt, while powermetrics itself runs ten times.
const ZERO_RUN: u32 = 10;

/// No rail takes more: the largest machine is specified for 480 W as a whole.
const FULL_POWER: Watts = Watts(1_000.0);

/// A sample may come so late; beyond this the time before it is taken as not measured.
const LATEST: Duration = Duration::from_secs(1);

/// What was counted of every rail.
#[derive(Debug)]
pub(super) struct Rails {
    rails: [Rail; RAILS],
    /// When the last sample came.
    last: Option<Nanos>,
    /// Samples in a row in which the CPU took nothing.
    zero_run: u32,
}

#[derive(Debug, Clone, Copy)]
struct Rail {
    /// In whole numbers as far as the samples are: exact up to 2^53 uJ, which is 9 GJ.
    microjoules: f64,
    epoch: u32,
    /// Whether energy was taken that isn't counted.
    broken: bool,
}

/// A rail's energy in a sample, or why it isn't shown.
type Shown = Result<Joules, Status>;

impl Rails {
    /// Rails that have taken nothing, in this epoch.
    pub(super) fn from_epoch(epoch: u32) -> Self {
        let rail = Rail { microjoules: 0.0, epoch, broken: false };
        Self { rails: [rail; RAILS], last: None, zero_run: 0 }
    }

    /// Takes a sample that came at a time.
    pub(super) fn observe(
        &mut self,
        sample: &Sample,
        came: Nanos,
        readings: &mut Vec<SensorReading>,
    ) {
        let began = Nanos(came.0.saturating_sub(sample.elapsed.as_nanos() as u64));
        if self.last.is_some_and(|last| began.since(last) > LATEST) {
            self.break_off();
        }
        self.last = Some(came);
        let shown = self.judge(sample);
        let from = readings.len();
        for ((id, rail), shown) in (0..).zip(&mut self.rails).zip(shown) {
            let empty = SensorReading::empty(id, began, came, Status::Ok);
            readings.push(rail.reading(shown, sample.elapsed, empty));
        }
        let told = &mut readings[from..];
        if told[CPU].power == Some(Watts(0.0)) {
            // Less than the step of the energy, and surely not nothing.
            told[CPU].power = None;
        }
        told[GPU].compute_utilization_pct = sample.gpu_active.map(|share| share * 100.0);
        told[GPU].compute_clock_mhz = sample.gpu_clock_mhz;
    }

    /// Says why there are no figures.
    pub(super) fn withhold(
        &self,
        status: Status,
        since: Nanos,
        now: Nanos,
        readings: &mut Vec<SensorReading>,
    ) {
        readings.extend((0..).zip(&self.rails).map(|(id, rail)| SensorReading {
            epoch: rail.epoch,
            ..SensorReading::empty(id, since, now, status)
        }));
    }

    /// From now on energy is taken that isn't counted.
    pub(super) fn break_off(&mut self) {
        for rail in &mut self.rails {
            rail.broken = true;
        }
    }

    /// Which of a sample's energies can be true.
    fn judge(&mut self, sample: &Sample) -> [Shown; RAILS] {
        let is_zero = |taken| matches!(taken, Taken::Known { energy: Joules(0.0), .. });
        self.zero_run = if is_zero(sample.cpu) { self.zero_run.saturating_add(1) } else { 0 };
        let cpu_is_wrong =
            is_zero(sample.cpu) && (sample.cores_active >= BUSY || self.zero_run >= ZERO_RUN);
        let gpu_ran = sample.elapsed.mul_f64(sample.gpu_active.unwrap_or(0.0));
        let is_wrong = |taken, ran: Duration| {
            // Rails go to zero together; where the CPU's did, nobody knows of another's zero.
            is_zero(taken) && (cpu_is_wrong || ran >= BUSY)
        };
        let shown = |taken, is_wrong: bool| match taken {
            Taken::Absent => Err(Status::Unsupported),
            Taken::Known { energy, .. } if !is_wrong && energy.0 <= most(sample.elapsed).0 => {
                Ok(energy)
            }
            Taken::Known { .. } | Taken::Impossible => Err(Status::Implausible),
        };
        [
            shown(sample.cpu, cpu_is_wrong),
            shown(sample.gpu, is_wrong(sample.gpu, gpu_ran)),
            shown(sample.ane, is_wrong(sample.ane, Duration::ZERO)),
        ]
    }
}

impl Rail {
    /// Counts what the rail took; `empty` has the times of the sample.
    fn reading(&mut self, shown: Shown, elapsed: Duration, empty: SensorReading) -> SensorReading {
        let energy = match shown {
            Ok(energy) => energy,
            Err(status) => {
                self.broken = true;
                return SensorReading { epoch: self.epoch, status, ..empty };
            }
        };
        let resumed = std::mem::take(&mut self.broken);
        self.epoch += u32::from(resumed);
        self.microjoules += energy.0 * 1e6;
        SensorReading {
            energy_microjoules: Some(self.microjoules.round() as u64),
            epoch: self.epoch,
            // The value came to be at some time of the sample's own.
            changed_after: Some(empty.read_start),
            changed_before: Some(empty.read_end),
            power: Some(energy / elapsed),
            status: if resumed { Status::Reset } else { Status::Ok },
            ..empty
        }
    }
}

fn most(elapsed: Duration) -> Joules {
    FULL_POWER * elapsed
}

#[cfg(test)]
mod tests;
