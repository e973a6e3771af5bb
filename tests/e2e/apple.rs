//! Apple's rails end to end: the real monitor with a `powermetrics` whose truth is known.

use std::time::{Duration, Instant};

use e2e::fake_powermetrics::{
    Fault, Model, elapsed, load_into, millijoules, pid, total_microjoules,
};
use e2e::monitor::{self, Monitor, PATIENCE, command, sensor};
use energy_proto::{SensorKind, Status, monotonic_now, pb};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

const RAILS: [u32; 3] = [0, 1, 2];

/// A monitor of such a powermetrics, read every 20 ms.
fn on_fake(fault: Option<Fault>) -> (Monitor, TempDir) {
    let arguments = ["--port", "0", "--collection-interval-ms", "20", "--sources", "apple"];
    let mut command = command(&arguments);
    let dir = load_into(&mut command, Model { fault });
    (Monitor::start(&mut command), dir)
}

/// The rails of a reading that has all of them.
fn rails(reading: &pb::TelemetryReading) -> [&pb::SensorReading; 3] {
    RAILS.map(|id| sensor(reading, id).expect("every rail is in every reading"))
}

fn statuses(reading: &pb::TelemetryReading) -> [pb::Status; 3] {
    rails(reading).map(pb::SensorReading::status)
}

fn is_withheld(rail: &pb::SensorReading) -> bool {
    rail.energy_microjoules.is_none() && rail.power_watts.is_none()
}

/// Which sample a reading shows, by the energy of the CPU in this epoch.
fn sample_of(microjoules: u64) -> u64 {
    let shows = |sample: &u64| total_microjoules(*sample)[0] == microjoules;
    (0..10_000).find(shows).unwrap_or_else(|| panic!("{microjoules} uJ is the sum of no samples"))
}

#[tokio::test]
async fn three_rails_are_described_as_what_they_are() {
    let (monitor, _dir) = on_fake(None);
    let described = monitor.describe().await;
    assert_eq!(described.platform, "macos");
    let rails = &described.sensors[..3];
    let kinds: Vec<_> = rails.iter().map(|info| info.kind).collect();
    assert_eq!(kinds, [SensorKind::CpuPackage, SensorKind::Gpu, SensorKind::Ane]);
    for info in rails {
        assert_eq!((info.source.as_str(), info.status), ("apple", Status::Ok));
        assert!(info.measures_energy() && info.note.contains("estimated by macOS"), "{info:?}");
    }
}

#[tokio::test]
async fn energy_is_the_sum_of_the_samples_and_power_is_over_their_own_time() {
    let (monitor, _dir) = on_fake(None);
    let mut seen = Vec::new();
    for reading in monitor.readings().await.take(100).await {
        let [cpu, gpu, ane] = rails(&reading);
        let Some(energy) = cpu.energy_microjoules else { continue };
        let sample = sample_of(energy);
        let truth = total_microjoules(sample);
        let told = [cpu, gpu, ane].map(|rail| rail.energy_microjoules);
        assert_eq!(told, truth.map(Some));
        let watts = millijoules(sample)[0] as f64 * 1e-3 / elapsed().as_secs_f64();
        assert!((cpu.power_watts.unwrap() - watts).abs() < 1e-9, "of its 107.9 ms");
        assert_eq!(cpu.read_end_nanos - cpu.read_start_nanos, 107_900_000);
        assert_eq!((gpu.compute_utilization_pct, gpu.compute_clock_mhz), (Some(75.0), Some(713)));
        seen.push(sample);
    }
    assert!(seen.is_sorted() && seen.len() > 50, "{seen:?}");
    // On an idle machine each of them; a busy one may skip some, and no energy with them.
    seen.dedup();
    assert!(seen.len() > 5, "{seen:?}");
}

#[tokio::test]
async fn zeros_while_the_cores_run_are_a_fault_and_never_no_power() {
    let (monitor, _dir) = on_fake(Some(Fault::ZeroRails { from: 15, to: 25 }));
    let mut readings = monitor.readings().await;
    let before = readings.until(|reading| statuses(reading) == [pb::Status::Implausible; 3]).await;
    let epoch = rails(&before[0])[0].epoch;
    let after = readings.until(|reading| statuses(reading) == [pb::Status::Reset; 3]).await;
    for reading in before.iter().chain(&after) {
        for rail in rails(reading) {
            let is_read = matches!(rail.status(), pb::Status::Ok | pb::Status::Reset);
            assert!(is_read || is_withheld(rail), "{rail:?}");
        }
        assert_ne!(rails(reading)[0].power_watts, Some(0.0));
    }
    assert_eq!(rails(&after[after.len() - 1])[0].epoch, epoch + 1);
}

#[tokio::test]
async fn one_that_hangs_makes_its_rails_stale_and_delays_nothing() {
    let (monitor, _dir) = on_fake(Some(Fault::Hang { at: 10 }));
    let mut readings = monitor.readings().await;
    let until_stale = readings.until(|reading| statuses(reading) == [pb::Status::Stale; 3]).await;
    let mut last = monotonic_now();
    for reading in until_stale.iter().skip(1).chain(&readings.take(20).await) {
        let memory = sensor(reading, 3).expect("the host's memory");
        assert_eq!(memory.status(), pb::Status::Ok);
        last.0 = last.0.max(reading.monotonic_nanos);
    }
    for rail in rails(&readings.next().await.unwrap()) {
        assert!(is_withheld(rail), "{rail:?}");
    }
}

#[tokio::test]
async fn one_that_dies_is_started_again_in_a_new_epoch() {
    let (monitor, dir) = on_fake(Some(Fault::Die { at: 12 }));
    let mut readings = monitor.readings().await;
    let lost = readings.until(|reading| statuses(reading) == [pb::Status::Lost; 3]).await;
    let (epoch, first) = (rails(&lost[0])[0].epoch, pid(dir.path()));
    let again = readings.until(|reading| statuses(reading) == [pb::Status::Reset; 3]).await;
    assert_eq!(rails(&again[again.len() - 1])[0].epoch, epoch + 1);
    assert_ne!(pid(dir.path()), first);
}

#[tokio::test]
async fn what_is_no_sample_costs_its_own_energy_only() {
    for fault in [Fault::Garbage { at: 12 }, Fault::Endless { at: 12 }] {
        let (monitor, _dir) = on_fake(Some(fault));
        let mut readings = monitor.readings().await;
        let all = readings.until(|reading| statuses(reading) == [pb::Status::Reset; 3]).await;
        let first = rails(&all[0])[0];
        let last = rails(&all[all.len() - 1])[0];
        assert_eq!(last.epoch, first.epoch + 1, "{fault:?}");
        readings.until(|reading| statuses(reading) == [pb::Status::Ok; 3]).await;
    }
}

#[tokio::test]
async fn without_the_right_it_is_said_what_to_do() {
    let mut asked_for = command(&["--port", "0", "--sources", "apple"]);
    let _dir = load_into(&mut asked_for, Model { fault: Some(Fault::NeedsRoot) });
    let refused = monitor::run(&mut asked_for);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success());
    assert!(said.contains("permission_denied") && said.contains("sudo energy-monitor"), "{said}");

    let mut found = command(&["--port", "0"]);
    let _dir = load_into(&mut found, Model { fault: Some(Fault::NeedsRoot) });
    let described = Monitor::start(&mut found).describe().await;
    let denied: Vec<_> = described.sensors.iter().filter(|info| info.source == "apple").collect();
    assert_eq!(denied.len(), 3);
    for info in denied {
        assert_eq!(info.status, Status::PermissionDenied);
        assert!(info.remedy.contains("sudo energy-monitor"), "{}", info.remedy);
    }
    assert_ne!(described.platform, "macos");
}

#[tokio::test]
async fn no_powermetrics_outlives_its_monitor_however_that_ends() {
    let hangs = Some(Fault::Hang { at: 0 });
    for (signal, fault) in
        [(Signal::SIGTERM, None), (Signal::SIGTERM, hangs), (Signal::SIGKILL, None)]
    {
        let (monitor, dir) = on_fake(fault);
        let child = Pid::from_raw(pid(dir.path()).expect("it has started"));
        assert_eq!(kill(child, None), Ok(()));
        monitor.signal(signal);
        let asked = Instant::now();
        while kill(child, None).is_ok() && !is_zombie(child) {
            assert!(asked.elapsed() < PATIENCE, "{signal}: it goes on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Whether it has ended and only its parent hasn't taken notice.
fn is_zombie(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}
