//! Tests of what an original monitor's messages are taken to mean.

use super::*;
use proptest::prelude::*;

const MS: u64 = 1_000_000;
/// Its wall clock when ours shows zero.
const WALL: i64 = 1_700_000_000_000_000_000;

/// What one sends that sums its GPUs: 100 W, read every 50 ms.
fn message(index: u64) -> pb::TelemetryReading {
    pb::TelemetryReading {
        power_watts: Some(100.0),
        energy_joules: Some(5.0 * index as f64).filter(|joules| *joules > 0.0),
        temperature_celsius: Some(50.0),
        gpu_memory_usage_mb: Some(1024.0),
        cpu_memory_usage_mb: Some(2048.0),
        platform: "nvidia".into(),
        timestamp_nanos: WALL + (index * 50 * MS) as i64,
        cpu_power_watts: Some(-1.0),
        cpu_energy_joules: Some(-1.0),
        ane_power_watts: Some(-1.0),
        ane_energy_joules: Some(-1.0),
        gpu_compute_utilization_pct: None,
        gpu_memory_bandwidth_utilization_pct: Some(30.0),
        gpu_tensor_core_utilization_pct: Some(-1.0),
        gpu_memory_total_mb: Some(4096.0),
        system_info: Some(pb::SystemInfo { host_name: "old".into(), ..Default::default() }),
        gpu_info: Some(pb::GpuInfo { name: "NVIDIA H100".into(), ..Default::default() }),
        ..Default::default()
    }
}

fn apple(index: u64) -> pb::TelemetryReading {
    pb::TelemetryReading {
        platform: "macos".into(),
        cpu_power_watts: Some(8.0),
        cpu_energy_joules: Some(1.0 + 0.4 * index as f64),
        ane_power_watts: None,
        ane_energy_joules: None,
        ..message(index)
    }
}

fn told(messages: &[pb::TelemetryReading]) -> Description {
    description(messages).unwrap()
}

fn original() -> Original {
    Original::new(&told(&[message(0), message(1)]), Duration::from_millis(1))
}

fn kinds(description: &Description) -> Vec<SensorKind> {
    description.sensors.iter().map(|sensor| sensor.kind).collect()
}

#[test]
fn its_sums_become_sensors_that_say_where_they_are_from() {
    let told = told(&[message(0), message(1), message(2), message(4)]);
    assert_eq!(kinds(&told), [SensorKind::Gpu, SensorKind::Memory], "-1 W is no CPU");
    let gpu = &told.sensors[0];
    assert_eq!((gpu.name.as_str(), gpu.source.as_str()), ("NVIDIA H100", "original"));
    assert_eq!(gpu.measures, ["energy", "power", "temperature", "memory", "utilization"]);
    assert!(gpu.note.contains("all GPUs"), "{}", gpu.note);
    assert_eq!(told.interval, Duration::from_millis(50));
    assert_eq!(told.sensors[1].host, "old");
    assert!(description(&[]).is_none());
}

#[test]
fn a_platform_that_does_not_say_whose_power_it_is_gives_none() {
    let message = pb::TelemetryReading { platform: "linux".into(), ..message(1) };
    let told = told(&[message]);
    assert_eq!(kinds(&told), [SensorKind::Memory]);
    assert!(told.skipped[0].reason.contains("`linux`"), "{:?}", told.skipped);
}

#[test]
fn all_rails_of_an_apple_chip_are_sensors_and_a_resting_one_takes_nothing() {
    let description = told(&[apple(0), apple(1)]);
    assert_eq!(
        kinds(&description),
        [SensorKind::Gpu, SensorKind::CpuPackage, SensorKind::Ane, SensorKind::Memory]
    );
    let reading =
        Original::new(&description, Duration::ZERO).read(&apple(1), Nanos(50 * MS)).unwrap();
    let ane = &reading.sensors[2];
    assert_eq!((ane.energy_microjoules, ane.power), (Some(0), Some(Watts(0.0))));

    let blind = |index| pb::TelemetryReading {
        ane_power_watts: Some(-1.0),
        ane_energy_joules: Some(-1.0),
        ..apple(index)
    };
    let description = told(&[blind(0), blind(1)]);
    assert_eq!(description.sensors[2].status, Status::Unsupported);
    assert!(!description.sensors[2].measures_energy());
}

#[test]
fn a_zero_is_taken_only_where_its_message_shows_that_it_is_one() {
    let read = |message: &pb::TelemetryReading| {
        original().read(message, Nanos(50 * MS)).unwrap().sensors[0]
    };
    let begun = read(&message(0));
    assert_eq!(begun.energy_microjoules, Some(0), "it takes power and has counted nothing yet");
    assert_eq!(begun.compute_utilization_pct, Some(0.0), "it has the neighbouring fields");
    let powerless = pb::TelemetryReading { power_watts: Some(-1.0), ..message(0) };
    assert_eq!(read(&powerless).energy_microjoules, None);
    let zero_watts = pb::TelemetryReading { power_watts: None, ..message(0) };
    assert_eq!((read(&zero_watts).energy_microjoules, read(&zero_watts).power), (None, None));
    let earlier = pb::TelemetryReading {
        gpu_compute_utilization_pct: None,
        gpu_memory_bandwidth_utilization_pct: None,
        gpu_tensor_core_utilization_pct: None,
        gpu_memory_total_mb: None,
        ..message(1)
    };
    assert_eq!(read(&earlier).compute_utilization_pct, None, "a version without the field");
    let odd = pb::TelemetryReading {
        power_watts: Some(f64::NAN),
        energy_joules: Some(f64::INFINITY),
        gpu_compute_utilization_pct: Some(4_000.0),
        ..message(1)
    };
    let read = read(&odd);
    assert_eq!(
        (read.power, read.energy_microjoules, read.compute_utilization_pct),
        (None, None, None)
    );
}

#[test]
fn a_reading_stands_at_its_wall_time_whatever_its_delay() {
    let mut original = original();
    let delays = [7, 5, 40, 9, 300];
    let placed: Vec<u64> = (1..)
        .zip(delays)
        .filter_map(|(index, delay)| {
            let arrival = Nanos((index * 50 + delay) * MS);
            original.read(&message(index), arrival).map(|reading| reading.at.0 / MS)
        })
        .collect();
    assert_eq!(placed, [57, 105, 155, 205, 255], "moved by the least delay so far");
    assert_eq!(original.uncertainty(), Duration::from_millis(300 - 5 + 1));
}

#[test]
fn a_value_appeared_between_the_reads_that_lack_and_have_it() {
    let mut original = original();
    let mut read =
        |index: u64| original.read(&message(index), Nanos(index * 50 * MS)).unwrap().sensors[0];
    let first = read(1);
    assert_eq!((first.changed_after, first.changed_before), (None, Some(Nanos(50 * MS))));
    let second = read(2);
    assert_eq!(second.changed_after, Some(Nanos(50 * MS)));
    assert_eq!(second.changed_before, Some(Nanos(100 * MS)));
}

#[test]
fn a_value_that_comes_after_one_that_is_not_known_may_have_appeared_before_that() {
    let mut original = original();
    let mut read = |index: u64, joules: f64| {
        let message = pb::TelemetryReading { energy_joules: Some(joules), ..message(index) };
        original.read(&message, Nanos(index * 50 * MS)).unwrap().sensors[0]
    };
    read(1, 100.0);
    assert_eq!(read(2, -1.0).energy_microjoules, None);
    let known_again = read(3, 200.0);
    assert_eq!(known_again.changed_after, Some(Nanos(50 * MS)));
    assert_eq!(known_again.changed_before, Some(Nanos(150 * MS)));
}

#[test]
fn a_reading_that_is_sent_again_is_no_new_one() {
    let mut original = original();
    assert!(original.read(&message(1), Nanos(50 * MS)).is_some());
    assert!(original.read(&message(1), Nanos(70 * MS)).is_none());
}

#[test]
fn a_decrease_and_a_lost_connection_are_new_epochs() {
    let mut original = original();
    let read = |original: &mut Original, index: u64, joules: f64| {
        let message = pb::TelemetryReading { energy_joules: Some(joules), ..message(index) };
        original.read(&message, Nanos(index * 50 * MS)).unwrap().sensors[0]
    };
    assert_eq!(read(&mut original, 1, 9.0).epoch, 0);
    let reset = read(&mut original, 2, 1.0);
    assert_eq!((reset.epoch, reset.status), (1, Status::Reset));
    assert_eq!(reset.changed_after, None, "since when isn't known");
    assert_eq!(read(&mut original, 3, 2.0).epoch, 1);
    original.reconnected(Duration::from_millis(3));
    assert_eq!(read(&mut original, 4, 50.0).epoch, 2, "more, but of which monitor?");
}

#[test]
fn a_wall_clock_that_is_set_begins_a_new_epoch_and_moves_no_reading() {
    for step in [-5_000_i64, 5_000] {
        let mut original = original();
        for index in 1..10_u64 {
            let shift = if index < 5 { 0 } else { step * MS as i64 };
            let mut message = message(index);
            message.timestamp_nanos += shift;
            let arrival = Nanos((10_000 + index * 50) * MS);
            let reading = original.read(&message, arrival).unwrap();
            assert_eq!(reading.at, arrival, "{step} {index}");
            assert_eq!(reading.sensors[0].epoch, u32::from(index >= 5), "{step} {index}");
        }
        assert_eq!(original.uncertainty(), Duration::from_millis(1));
    }
}

fn any_double() -> impl Strategy<Value = Option<f64>> {
    prop::option::of(prop::num::f64::ANY)
}

proptest! {
    #[test]
    fn no_message_panics_or_gives_a_negative_or_endless_figure(
        doubles in prop::collection::vec(any_double(), 13),
        stamps in prop::collection::vec(any::<i64>(), 1..4),
        arrivals in prop::collection::vec(any::<u64>(), 4),
        platform in prop::sample::select(vec!["nvidia", "macos", "", "x"]),
    ) {
        let messages: Vec<pb::TelemetryReading> = stamps.iter().map(|stamp| pb::TelemetryReading {
            power_watts: doubles[0],
            energy_joules: doubles[1],
            temperature_celsius: doubles[2],
            gpu_memory_usage_mb: doubles[3],
            cpu_memory_usage_mb: doubles[4],
            cpu_power_watts: doubles[5],
            cpu_energy_joules: doubles[6],
            ane_power_watts: doubles[7],
            ane_energy_joules: doubles[8],
            gpu_compute_utilization_pct: doubles[9],
            gpu_memory_bandwidth_utilization_pct: doubles[10],
            gpu_tensor_core_utilization_pct: doubles[11],
            gpu_memory_total_mb: doubles[12],
            platform: platform.to_owned(),
            timestamp_nanos: *stamp,
            ..Default::default()
        }).collect();
        let mut original = Original::new(&told(&messages), Duration::ZERO);
        let mut last = None;
        for (message, arrival) in messages.iter().zip(arrivals) {
            let Some(reading) = original.read(message, Nanos(arrival)) else { continue };
            prop_assert!(last < Some(reading.at));
            last = Some(reading.at);
            for read in &reading.sensors {
                let known = [read.power.map(|power| power.0), read.temperature_celsius,
                    read.compute_utilization_pct, read.memory_utilization_pct];
                prop_assert!(known.iter().flatten().all(|value| value.is_finite() && *value >= 0.0));
                prop_assert!(read.changed_after <= read.changed_before);
            }
        }
        original.uncertainty();
    }
}
