//! What the rails count, and what they refuse to count.

use super::*;
use proptest::prelude::*;

const ELAPSED: Duration = Duration::from_micros(107_900);

fn known(millijoules: f64) -> Taken {
    Taken::Known { energy: Joules(millijoules * 1e-3), from_power: false }
}

fn sample(cpu: f64, gpu: f64, ane: f64) -> Sample {
    Sample {
        elapsed: ELAPSED,
        model: None,
        cpu: known(cpu),
        gpu: known(gpu),
        ane: known(ane),
        cores_active: ELAPSED,
        gpu_active: Some(0.25),
        gpu_clock_mhz: Some(338),
    }
}

/// Rails and the time of their next sample.
struct Bench {
    rails: Rails,
    now: Nanos,
}

impl Bench {
    fn new() -> Self {
        Self { rails: Rails::from_epoch(7), now: Nanos(1_000_000_000) }
    }

    fn observe(&mut self, sample: &Sample) -> Vec<SensorReading> {
        self.now = self.now + ELAPSED;
        let mut readings = Vec::new();
        self.rails.observe(sample, self.now, &mut readings);
        readings
    }

    fn statuses(&mut self, sample: &Sample) -> [Status; RAILS] {
        let readings = self.observe(sample);
        for reading in &readings {
            let counts = matches!(reading.status, Status::Ok | Status::Reset);
            assert_eq!(reading.energy_microjoules.is_some(), counts);
            assert!(counts || reading.power.is_none());
        }
        [readings[0].status, readings[1].status, readings[2].status]
    }
}

#[test]
fn energy_adds_up_and_power_is_over_the_time_that_passed() {
    let mut bench = Bench::new();
    bench.observe(&sample(100.0, 20.0, 0.0));
    let readings = bench.observe(&sample(1079.0, 20.5, 3.0));
    let energies: Vec<_> = readings.iter().map(|reading| reading.energy_microjoules).collect();
    assert_eq!(energies, [Some(1_179_000), Some(40_500), Some(3_000)]);
    assert!((readings[0].power.unwrap().0 - 10.0).abs() < 1e-9, "not 10.79 W");
    let covered = (readings[0].read_start, readings[0].read_end);
    assert_eq!(covered, (Nanos(bench.now.0 - 107_900_000), bench.now));
    assert_eq!(readings[0].changed_before, Some(bench.now));
    assert_eq!(readings[1].compute_utilization_pct, Some(25.0));
    assert_eq!((readings[1].compute_clock_mhz, readings[0].compute_clock_mhz), (Some(338), None));
}

#[test]
fn a_cpu_that_ran_without_energy_is_a_fault_and_so_are_the_zeros_beside_it() {
    use Status::{Implausible, Ok, Reset};
    let mut bench = Bench::new();
    assert_eq!(bench.statuses(&sample(100.0, 20.0, 0.0)), [Ok, Ok, Ok]);
    assert_eq!(bench.statuses(&sample(0.0, 20.0, 0.0)), [Implausible, Ok, Implausible]);
    assert_eq!(bench.statuses(&sample(0.0, 0.0, 0.0)), [Implausible; 3]);
    let after = bench.observe(&sample(100.0, 20.0, 0.0));
    assert_eq!(after.iter().map(|r| r.status).collect::<Vec<_>>(), [Reset; 3]);
    assert_eq!(after.iter().map(|r| r.epoch).collect::<Vec<_>>(), [8; 3]);
}

#[test]
fn an_idle_cpu_may_take_less_than_a_step_but_not_for_long() {
    let idle = Sample { cores_active: Duration::from_millis(2), ..sample(0.0, 0.0, 0.0) };
    let idle = Sample { gpu_active: Some(0.0), ..idle };
    let mut bench = Bench::new();
    for _ in 1..ZERO_RUN {
        let readings = bench.observe(&idle);
        assert_eq!((readings[0].status, readings[0].power), (Status::Ok, None));
        assert_eq!(readings[1].power, Some(Watts(0.0)), "a GPU is switched off when idle");
    }
    assert_eq!(bench.statuses(&idle), [Status::Implausible; 3]);
}

#[test]
fn a_gpu_that_ran_without_energy_is_a_fault_of_its_own() {
    let busy = Sample { gpu_active: Some(0.9), ..sample(100.0, 0.0, 0.0) };
    let expected = [Status::Ok, Status::Implausible, Status::Ok];
    assert_eq!(Bench::new().statuses(&busy), expected);
}

#[test]
fn more_than_any_machine_takes_is_a_fault() {
    let expected = [Status::Implausible, Status::Ok, Status::Ok];
    assert_eq!(Bench::new().statuses(&sample(200_000.0, 20.0, 0.0)), expected);
}

#[test]
fn a_rail_that_is_not_there_is_unsupported() {
    let without = Sample { ane: Taken::Absent, ..sample(1.0, 1.0, 0.0) };
    let expected = [Status::Ok, Status::Ok, Status::Unsupported];
    assert_eq!(Bench::new().statuses(&without), expected);
}

#[test]
fn a_long_sample_counts_and_a_hole_between_samples_is_a_break() {
    let mut bench = Bench::new();
    bench.observe(&sample(100.0, 20.0, 0.0));
    bench.now = bench.now + Duration::from_millis(3_000 - 108);
    let long = Sample { elapsed: Duration::from_millis(3_000), ..sample(900.0, 20.0, 0.0) };
    let readings = bench.observe(&long);
    assert_eq!((readings[0].status, readings[0].energy_microjoules), (Status::Ok, Some(1_000_000)));
    bench.now = bench.now + Duration::from_millis(3_000);
    assert_eq!(bench.statuses(&sample(100.0, 20.0, 0.0)), [Status::Reset; 3]);
}

proptest! {
    #[test]
    fn within_an_epoch_energy_never_falls_and_is_the_sum_of_what_was_told(
        samples in proptest::collection::vec((0_u32..3_000, 0_u32..3_000, 0_u32..3, 0_u64..200), 1..60),
    ) {
        let mut bench = Bench::new();
        let mut last = [None::<(u32, u64)>; RAILS];
        for (cpu, gpu, ane, late) in samples {
            // Every ninth or so of them comes after a hole.
            bench.now = bench.now + Duration::from_millis(late.saturating_sub(180) * 100);
            let taken = [cpu, gpu, ane];
            let readings = bench.observe(&sample(f64::from(cpu), f64::from(gpu), f64::from(ane)));
            for (rail, reading) in readings.iter().enumerate() {
                let Some(energy) = reading.energy_microjoules else { continue };
                if let Some((epoch, before)) = last[rail] {
                    prop_assert!(reading.epoch >= epoch);
                    if reading.epoch == epoch {
                        prop_assert_eq!(energy, before + u64::from(taken[rail]) * 1_000);
                    }
                }
                last[rail] = Some((reading.epoch, energy));
            }
        }
    }
}
