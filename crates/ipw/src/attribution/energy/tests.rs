//! Tests of the energy of one sensor in one window.

use super::*;
use crate::attribution::basis::tests::sensor;
use crate::attribution::load::Load;
use crate::attribution::measure::Window;
use energy_proto::{SensorKind, Status, Watts};
use proptest::prelude::*;

const MS: u64 = 1_000_000;

fn gpu() -> SensorInfo {
    sensor(0, SensorKind::Gpu, "nvml")
}

/// What a monitor that reads every `read_ms` would tell of a counter that is refreshed every
/// `refresh_ms` and counts a load of `watts(ms)`.
pub(in crate::attribution) fn counter(
    read_ms: u64,
    refresh_ms: u64,
    until_ms: u64,
    energy_uj: impl Fn(u64) -> u64,
) -> Vec<SensorReading> {
    let mut reads: Vec<SensorReading> = Vec::new();
    let mut at = 0;
    while at <= until_ms {
        let value = energy_uj(at / refresh_ms * refresh_ms);
        let mut read = SensorReading::empty(0, Nanos(at * MS), Nanos(at * MS + 1_000), Status::Ok);
        read.energy_microjoules = Some(value);
        match reads.last() {
            Some(last) if last.energy_microjoules == Some(value) => {
                read.changed_after = last.changed_after;
                read.changed_before = last.changed_before;
            }
            Some(last) => {
                read.changed_after = Some(last.read_start);
                read.changed_before = Some(read.read_end);
            }
            None => read.changed_before = Some(read.read_end),
        }
        reads.push(read);
        at += read_ms;
    }
    reads
}

fn constant(watts: u64) -> impl Fn(u64) -> u64 {
    move |ms| 5_000_000 + watts * ms * 1_000
}

fn energy(reads: &[SensorReading], from_ms: u64, to_ms: u64) -> Result<EnergyEstimate, NoEnergy> {
    window_energy(&gpu(), reads, Nanos(from_ms * MS), Nanos(to_ms * MS), Sampling::default())
}

#[test]
fn constant_power_is_found_exactly_but_for_the_place_of_the_updates() {
    let reads = counter(50, 100, 5_000, constant(300));
    let estimate = energy(&reads, 1_030, 2_030).unwrap();
    assert!((estimate.energy.0 - 300.0).abs() < 0.1, "{estimate:?}");
    assert!(estimate.lower.0 <= 300.0 && 300.0 <= estimate.upper.0, "{estimate:?}");
    assert_eq!(estimate.method, Method::Counter);
    assert_eq!(estimate.coverage, 1.0);
}

#[test]
fn a_bound_is_what_the_counter_counted_to_the_last_bit() {
    // But for the one on the window's start, all steps are 1/64 J: without a remainder in binary, so that
    // rounding down to the grid changes nothing of their sum.
    let load = |ms| ms * 15_625 / 20 + if ms > 1_000 { 4_321 } else { 0 };
    let reads = counter(10, 20, 60_000, load);
    for end in (2..50).map(|seconds| seconds * 1_000) {
        let estimate = energy(&reads, 1_000, end).unwrap();
        assert_eq!((estimate.lower.0 * 64.0).fract(), 0.0, "{estimate:?}");
    }
}

#[test]
fn a_window_without_a_reading_after_it_is_not_bracketed() {
    let reads = counter(50, 100, 2_000, constant(300));
    assert_eq!(energy(&reads, 1_000, 1_990), Err(NoEnergy::NotBracketed));
    assert_eq!(energy(&[], 1_000, 1_990), Err(NoEnergy::NoReadings));
}

#[test]
fn a_window_inside_one_step_of_the_counter_is_refused() {
    let reads = counter(50, 100, 5_000, constant(300));
    assert_eq!(energy(&reads, 1_010, 1_040), Err(NoEnergy::TooShort));
}

#[test]
fn a_reset_in_the_window_is_refused_and_outside_is_none_of_its_business() {
    let mut reads = counter(50, 100, 5_000, constant(300));
    for read in &mut reads[60..] {
        read.epoch = 1;
        read.energy_microjoules = read.energy_microjoules.map(|value| value - 5_000_000);
    }
    assert_eq!(energy(&reads, 2_500, 3_500), Err(NoEnergy::CounterReset));
    assert!(energy(&reads, 500, 1_500).is_ok());
    assert!(energy(&reads, 3_500, 4_500).is_ok());
}

#[test]
fn a_fall_without_a_new_epoch_is_refused_too() {
    let mut reads = counter(50, 100, 5_000, constant(300));
    for read in &mut reads[60..] {
        read.energy_microjoules = read.energy_microjoules.map(|value| value - 800_000_000);
    }
    assert_eq!(energy(&reads, 2_500, 3_500), Err(NoEnergy::CounterReset));
}

#[test]
fn missing_reads_lose_no_joule_but_coverage() {
    let mut reads = counter(50, 100, 10_000, constant(300));
    reads.retain(|read| read.read_end.0 < 3_000 * MS || read.read_end.0 > 6_000 * MS);
    // The first read after the gap knows only that the value changed since the last before it.
    let after = reads.iter().position(|read| read.read_end.0 > 6_000 * MS).unwrap();
    let before = reads[after - 1].read_start;
    let value = reads[after].energy_microjoules;
    for read in reads[after..].iter_mut().take_while(|read| read.energy_microjoules == value) {
        read.changed_after = Some(before);
    }
    let estimate = energy(&reads, 2_000, 8_000).unwrap();
    assert!((estimate.energy.0 - 1_800.0).abs() < 1.0, "{estimate:?}");
    assert!((estimate.coverage - 0.5).abs() < 0.02, "{estimate:?}");
}

#[test]
fn a_monitor_started_again_keeps_the_bounds_true_across_its_absence() {
    // 300 W until 4 s, then 500 W; nobody reads from 3 s to 6 s.
    let load = |ms: u64| 5_000_000 + 300_000 * ms.min(4_000) + 500_000 * ms.saturating_sub(4_000);
    let mut reads = counter(50, 100, 10_000, load);
    reads.retain(|read| read.read_end.0 < 3_000 * MS || read.read_end.0 > 6_000 * MS);
    let first = reads.iter().position(|read| read.read_end.0 > 6_000 * MS).unwrap();
    let value = reads[first].energy_microjoules;
    let seen = reads[first].read_end;
    for read in reads[first..].iter_mut().take_while(|read| read.energy_microjoules == value) {
        (read.changed_after, read.changed_before) = (None, Some(seen));
    }
    for (from, to) in [(2_000, 5_000), (3_500, 5_500), (5_000, 8_000)] {
        let truth = (load(to) - load(from)) as f64 * 1e-6;
        match energy(&reads, from, to) {
            Ok(estimate) => assert!(
                estimate.lower.0 <= truth && truth <= estimate.upper.0,
                "{from}-{to}: {truth} not in {estimate:?}"
            ),
            Err(reason) => assert_eq!(reason, NoEnergy::TooShort, "{from}-{to}"),
        }
    }
    let all = energy(&reads, 2_000, 8_000).unwrap();
    let truth = (load(8_000) - load(2_000)) as f64 * 1e-6;
    // An update is placed up to 25 ms beside its instant; the two ends differ by 200 W.
    assert!((all.energy.0 - truth).abs() <= 200.0 * 0.025 + 0.1, "no joule lost: {all:?} {truth}");
}

#[test]
fn a_monitor_that_contradicts_itself_gives_no_energy_and_no_panic() {
    let read = |at: u64, after: u64, before: u64| SensorReading {
        energy_microjoules: Some(7),
        changed_after: Some(Nanos(after * MS)),
        changed_before: Some(Nanos(before * MS)),
        ..SensorReading::empty(0, Nanos(at * MS), Nanos(at * MS), Status::Ok)
    };
    let reads = [read(900, 1_500, 900), read(2_100, 2_050, 2_060)];
    assert_eq!(energy(&reads, 1_000, 2_000), Err(NoEnergy::TooShort));
}

#[test]
fn more_power_than_the_board_is_allowed_is_refused() {
    let reads = counter(50, 100, 5_000, constant(3_000));
    let limited = SensorInfo { power_limit: Some(Watts(700.0)), ..gpu() };
    let energy =
        window_energy(&limited, &reads, Nanos(1_000 * MS), Nanos(2_000 * MS), Sampling::default());
    assert_eq!(energy, Err(NoEnergy::AbovePowerLimit));
}

#[test]
fn a_fast_counter_is_placed_where_it_was_read() {
    // Refreshed every 1 ms, read every 50: the value is as of just before the read.
    let reads = counter(50, 1, 5_000, |ms| if ms < 2_000 { 0 } else { (ms - 2_000) * 100_000 });
    let known = SensorInfo { update_period: Some(Duration::from_millis(1)), ..gpu() };
    let window = |info: &SensorInfo| {
        window_energy(info, &reads, Nanos(2_100 * MS), Nanos(3_100 * MS), Sampling::default())
    };
    let placed = window(&known).unwrap().energy.0;
    assert!((placed - 100.0).abs() < 0.06, "{placed}");
}

#[test]
fn power_alone_is_integrated_over_measured_times() {
    let reads: Vec<SensorReading> = (0..100)
        .map(|index| SensorReading {
            power: Some(Watts(if index < 50 { 100.0 } else { 300.0 })),
            ..SensorReading::empty(0, Nanos(index * 50 * MS), Nanos(index * 50 * MS), Status::Ok)
        })
        .collect();
    let estimate = energy(&reads, 1_000, 2_000).unwrap();
    assert!((estimate.energy.0 - 100.0).abs() < 1e-9, "{estimate:?}");
    assert_eq!(estimate.method, Method::Integrated);
    let across = energy(&reads, 2_000, 3_000).unwrap();
    assert!(across.lower.0 < across.energy.0 && across.energy.0 < across.upper.0, "{across:?}");
    assert_eq!(energy(&reads, 4_000, 6_000), Err(NoEnergy::NotBracketed));
}

#[test]
fn a_gap_in_power_readings_is_refused() {
    let reads: Vec<SensorReading> = [0, 500, 2_000, 2_500]
        .map(|ms| SensorReading {
            power: Some(Watts(100.0)),
            ..SensorReading::empty(0, Nanos(ms * MS), Nanos(ms * MS), Status::Ok)
        })
        .to_vec();
    assert_eq!(energy(&reads, 200, 2_200), Err(NoEnergy::Gap));
}

#[test]
fn an_unknown_clock_offset_widens_the_bounds_and_keeps_the_estimate() {
    let reads = counter(50, 100, 5_000, constant(300));
    let with = |clock_uncertainty| {
        let sampling = Sampling { clock_uncertainty, ..Sampling::default() };
        window_energy(&gpu(), &reads, Nanos(1_030 * MS), Nanos(2_030 * MS), sampling).unwrap()
    };
    let (sure, unsure) = (with(Duration::ZERO), with(Duration::from_millis(120)));
    assert_eq!(sure.energy, unsure.energy);
    assert!(unsure.lower < sure.lower && unsure.upper > sure.upper);
}

#[test]
fn what_an_estimate_source_counts_is_an_estimate() {
    let reads = counter(50, 100, 5_000, constant(30));
    let source = SensorInfo { source: "estimate".into(), ..gpu() };
    let estimate =
        window_energy(&source, &reads, Nanos(1_000 * MS), Nanos(2_000 * MS), Sampling::default());
    assert_eq!(estimate.unwrap().method, Method::Estimated);
}

#[test]
fn a_value_that_is_as_old_as_the_declared_lag_keeps_the_truth_inside() {
    // 100 W until 2 s, then 500 W; the counter shows what was true 100 ms before.
    let load = |ms: u64| 100_000 * ms.min(2_000) + 500_000 * ms.saturating_sub(2_000);
    let reads = counter(10, 20, 5_000, |ms| load(ms.saturating_sub(100)));
    let within = |publication_lag| {
        let lagging = SensorInfo { publication_lag, ..gpu() };
        [(1_500, 2_100), (2_000, 3_000), (2_150, 2_900)].map(|(from, to)| {
            let (start, end) = (Nanos(from * MS), Nanos(to * MS));
            let estimate =
                window_energy(&lagging, &reads, start, end, Sampling::default()).unwrap();
            assert!(estimate.lower <= estimate.energy && estimate.energy <= estimate.upper);
            let truth = (load(to) - load(from)) as f64 * 1e-6;
            estimate.lower.0 <= truth && truth <= estimate.upper.0
        })
    };
    assert_eq!(within(None), [false, false, true], "constant power is the same at any time");
    assert_eq!(within(Some(Duration::from_millis(100))), [true; 3]);
}

#[test]
fn a_window_needs_a_change_that_the_lag_does_not_put_before_it() {
    let reads = counter(10, 20, 5_000, constant(300));
    let window = |lag: u64, end: u64| {
        let sensor = SensorInfo { publication_lag: Some(Duration::from_millis(lag)), ..gpu() };
        let (start, end) = (Nanos(4_000 * MS), Nanos(end * MS));
        window_energy(&sensor, &reads, start, end, Sampling::default()).map(|_| ())
    };
    assert_eq!(window(100, 4_500), Ok(()));
    assert_eq!(window(100, 4_100), Err(NoEnergy::TooShort));
    assert_eq!(window(600, 4_500), Err(NoEnergy::NotBracketed));
    assert_eq!(window(u64::MAX, 4_500), Err(NoEnergy::NotBracketed));
}

/// Cumulative microjoules at each millisecond of random steps of power.
fn load() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec((20u64..700, 5u64..400), 20..60).prop_map(|steps| {
        let mut total = 1_000;
        let mut energy = vec![total];
        for (watts, ms) in steps {
            for _ in 0..ms {
                total += watts * 1_000;
                energy.push(total);
            }
        }
        energy
    })
}

proptest! {
    #[test]
    fn the_truth_and_the_estimate_lie_inside_the_bounds(
        energy_at in load(),
        read_ms in 1u64..120,
        refresh_ms in 1u64..120,
        start in 0.1f64..0.4,
        length in 0.1f64..0.4,
    ) {
        let until = energy_at.len() as u64 - 1;
        let reads = counter(read_ms, refresh_ms, until, |ms| energy_at[ms as usize]);
        let from = (until as f64 * start) as u64;
        let to = from + 1 + (until as f64 * length) as u64;
        let truth = (energy_at[to as usize] - energy_at[from as usize]) as f64 * 1e-6;
        // Reads last 1 us, so what is read at an edge may be that much later.
        let slack = 1e-6 * 700.0;
        if let Ok(estimate) = energy(&reads, from, to) {
            prop_assert!(estimate.lower.0 - slack <= truth, "{estimate:?} {truth}");
            prop_assert!(truth <= estimate.upper.0 + slack, "{estimate:?} {truth}");
            prop_assert!(estimate.lower.0 <= estimate.energy.0 + 1e-9);
            prop_assert!(estimate.energy.0 <= estimate.upper.0 + 1e-9);
        }
    }

    #[test]
    fn parts_of_a_window_add_up_to_the_whole(
        energy_at in load(),
        start in 0.1f64..0.3,
        cut in 0.3f64..0.6,
        end in 0.6f64..0.9,
    ) {
        let until = energy_at.len() as u64 - 1;
        let reads = counter(50, 100, until, |ms| energy_at[ms as usize]);
        let at = |share: f64| (until as f64 * share) as u64;
        let parts = (energy(&reads, at(start), at(cut)), energy(&reads, at(cut), at(end)));
        let whole = energy(&reads, at(start), at(end));
        if let ((Ok(a), Ok(b)), Ok(whole)) = (parts, whole) {
            prop_assert!((a.energy.0 + b.energy.0 - whole.energy.0).abs() < 1e-9 * whole.energy.0);
        }
    }

    #[test]
    fn shares_of_queries_at_once_add_up_to_the_whole(
        energy_at in load(),
        queries in prop::collection::vec((0.0f64..1.0, 0.0f64..1.0), 0..256),
    ) {
        let until = energy_at.len() as u64 - 1;
        let reads = counter(3, 1, until, |ms| energy_at[ms as usize]);
        let (from, to) = (until / 10, until * 9 / 10);
        let at = |share: f64| Nanos((from + ((to - from) as f64 * share) as u64) * MS);
        // One is under way all the time, so that nothing is idle.
        let others = queries.iter().map(|(a, b)| Window::whole(at(a.min(*b)), at(a.max(*b))));
        let all: Vec<Window> = std::iter::once(Window::whole(at(0.0), at(1.0)))
            .chain(others.filter(|query| query.end.since(query.start) > Duration::from_millis(20)))
            .collect();
        let load = Load::of(all.iter().copied());
        let share = |query: &Window| {
            let shares = load.shares(query.start, query.end);
            let found = shared_energy(&gpu(), &reads, &shares, Sampling::default(), None).unwrap();
            assert!(found.lower <= found.energy && found.energy <= found.upper, "{found:?}");
            found.energy.0
        };
        let sum: f64 = all.iter().map(share).sum();
        let whole = energy(&reads, from, to).unwrap().energy.0;
        prop_assert!((sum - whole).abs() <= 1e-9 * whole + 256.0 / GRID, "{sum} {whole}");
    }

    #[test]
    fn more_readings_never_widen_the_bounds(
        energy_at in load(),
        read_ms in 1u64..60,
        start in 0.2f64..0.4,
        length in 0.1f64..0.4,
    ) {
        let until = energy_at.len() as u64 - 1;
        let limited = SensorInfo { power_limit: Some(Watts(700.0)), ..gpu() };
        let bounds = |read_ms: u64| {
            let reads = counter(read_ms, 100, until, |ms| energy_at[ms as usize]);
            let from = (until as f64 * start) as u64;
            let to = from + 1 + (until as f64 * length) as u64;
            let (start, end) = (Nanos(from * MS), Nanos(to * MS));
            window_energy(&limited, &reads, start, end, Sampling::default())
        };
        if let (Ok(more), Ok(less)) = (bounds(read_ms), bounds(2 * read_ms)) {
            prop_assert!(less.lower <= more.lower && more.upper <= less.upper, "{more:?} {less:?}");
        }
    }

    #[test]
    fn who_trusts_the_limit_has_closer_bounds_that_hold_the_truth(
        energy_at in load(),
        start in 0.2f64..0.4,
        length in 0.1f64..0.4,
    ) {
        let until = energy_at.len() as u64 - 1;
        let reads = counter(47, 100, until, |ms| energy_at[ms as usize]);
        let limited = SensorInfo { power_limit: Some(Watts(700.0)), ..gpu() };
        let from = (until as f64 * start) as u64;
        let to = from + 1 + (until as f64 * length) as u64;
        let truth = (energy_at[to as usize] - energy_at[from as usize]) as f64 * 1e-6;
        let (start, end) = (Nanos(from * MS), Nanos(to * MS));
        if let Ok(found) = window_energy(&limited, &reads, start, end, Sampling::default()) {
            let (lower, upper) = found.limited.expect("the limit is kept");
            // Reads last 1 us.
            let slack = 1e-6 * 2.0 * 770.0;
            prop_assert!(found.lower <= lower && upper <= found.upper, "{found:?}");
            prop_assert!(lower.0 - slack <= truth && truth <= upper.0 + slack, "{truth} {found:?}");
        }
    }

    #[test]
    fn shifting_all_clocks_changes_nothing(energy_at in load(), shift in 0u64..1 << 50) {
        let until = energy_at.len() as u64 - 1;
        let reads = counter(50, 100, until, |ms| energy_at[ms as usize]);
        let shifted: Vec<SensorReading> = reads
            .iter()
            .map(|read| {
                let later = |at: Nanos| Nanos(at.0 + shift);
                SensorReading {
                    read_start: later(read.read_start),
                    read_end: later(read.read_end),
                    changed_after: read.changed_after.map(later),
                    changed_before: read.changed_before.map(later),
                    ..*read
                }
            })
            .collect();
        let (from, to) = (until / 4 * MS, until / 2 * MS);
        let window = |reads: &[SensorReading], shift: u64| {
            window_energy(&gpu(), reads, Nanos(from + shift), Nanos(to + shift), Sampling::default())
        };
        match (window(&reads, 0), window(&shifted, shift)) {
            (Ok(a), Ok(b)) => {
                prop_assert!((a.energy.0 - b.energy.0).abs() < 1e-6);
                prop_assert_eq!((a.lower, a.upper), (b.lower, b.upper));
            }
            (a, b) => prop_assert_eq!(a.is_err(), b.is_err()),
        }
    }
}

#[test]
fn a_gpu_whose_counter_stands_still_at_no_power_is_a_fault_and_not_zero() {
    let still = |power| {
        let mut reads = counter(50, 100, 5_000, constant(0));
        reads.iter_mut().for_each(|read| read.power = Some(Watts(power)));
        reads
    };
    let window = |sensor: &SensorInfo, power| {
        let (start, end) = (Nanos(1_000 * MS), Nanos(2_000 * MS));
        window_energy(sensor, &still(power), start, end, Sampling::default())
    };
    let ane = sensor(0, SensorKind::Ane, "apple");
    assert!(window(&gpu(), 0.0).is_err());
    assert_eq!(window(&ane, 0.0).map(|estimate| estimate.energy), Ok(Joules(0.0)));
    assert!(window(&ane, 0.5).is_err(), "power without energy is no rest");
}

#[test]
fn power_counts_from_the_drivers_own_time_and_a_sample_told_twice_counts_once() {
    // 100 W until 1 s, then 300 W: the driver refreshes every 100 ms and tells 80 ms later.
    let read = |index: u64| {
        let at = Nanos((index * 50 + 80) * MS);
        let sampled = index / 2 * 100;
        SensorReading {
            power: Some(Watts(if sampled < 1_000 { 100.0 } else { 300.0 })),
            power_at: Some(Nanos(sampled * MS)),
            ..SensorReading::empty(0, at, at, Status::Ok)
        }
    };
    let reads: Vec<SensorReading> = (0..60).map(read).collect();
    let of = |from: u64, to: u64| {
        window_energy(&gpu(), &reads, Nanos(from * MS), Nanos(to * MS), Sampling::default())
            .unwrap()
    };
    assert!((of(300, 900).energy.0 - 60.0).abs() < 1e-6);
    assert!((of(1_000, 2_000).energy.0 - 300.0).abs() < 1e-6, "not 80 ms late");
    assert!(of(900, 1_000).energy.0.is_finite());
}

#[test]
fn a_sensor_that_is_read_slowly_by_its_own_schedule_has_no_gaps_for_that() {
    let reads = counter(1_500, 1_500, 12_000, constant(100));
    let slow = SensorInfo { read_period: Some(Duration::from_millis(1_500)), ..gpu() };
    let coverage = |sensor: &SensorInfo| {
        let (start, end) = (Nanos(2_000 * MS), Nanos(9_000 * MS));
        window_energy(sensor, &reads, start, end, Sampling::default()).unwrap().coverage
    };
    assert_eq!(coverage(&slow), 1.0);
    assert!(coverage(&gpu()) < 0.1);
}

#[test]
fn reads_as_far_apart_as_the_sampling_interval_leave_no_gap() {
    let interval = Duration::from_secs(5);
    let power = |mut read: SensorReading| {
        (read.energy_microjoules, read.power) = (None, Some(Watts(100.0)));
        read
    };
    let counted = counter(5_000, 20, 60_000, constant(100));
    let powered: Vec<SensorReading> = counted.iter().copied().map(power).collect();
    let window = |reads: &[SensorReading], interval| {
        let (start, end) = (Nanos(12_000 * MS), Nanos(47_000 * MS));
        let sampling = Sampling { interval, ..Sampling::default() };
        window_energy(&gpu(), reads, start, end, sampling)
    };
    assert_eq!(window(&counted, interval).unwrap().coverage, 1.0);
    assert!(window(&counted, Duration::ZERO).unwrap().coverage < 0.1);
    assert!((window(&powered, interval).unwrap().energy.0 - 3_500.0).abs() < 1e-6);
    assert_eq!(window(&powered, Duration::from_millis(1_000)), Err(NoEnergy::Gap));
}
