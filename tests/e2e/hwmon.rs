//! The monitor on AMD and Intel GPUs and on Jetsons: the real program on trees that look like what their
//! drivers show.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use e2e::monitor::{self, Monitor, command, sensor};
use e2e::sysfs::Sysfs;
use energy_proto::{SensorKind, Status, pb};
use nix::unistd::geteuid;

const NOBODY: u32 = 65_534;
const RADEON_ENERGY: &str = "class/drm/card1/device/hwmon/hwmon4/energy1_input";
const RADEON_POWER: &str = "class/drm/card1/device/hwmon/hwmon4/power1_average";
const ARC_ENERGY: &str = "class/drm/card0/device/hwmon/hwmon3/energy1_input";

fn sysfs_of(tree: &str) -> Sysfs {
    let sysfs = Sysfs::new();
    sysfs.hwmon_tree(tree);
    sysfs
}

fn monitor_command(sysfs: &Sysfs) -> Command {
    let mut command = command(&["--port", "0", "--collection-interval-ms", "20"]);
    command.arg("--sysfs-root").arg(sysfs.root());
    command
}

fn monitor_on(sysfs: &Sysfs) -> Monitor {
    Monitor::start(&mut monitor_command(sysfs))
}

fn energy(reading: &pb::TelemetryReading, id: u32) -> Option<u64> {
    sensor(reading, id)?.energy_microjoules
}

fn status(reading: &pb::TelemetryReading, id: u32) -> Option<pb::Status> {
    Some(sensor(reading, id)?.status())
}

/// Says that a test can't be run here, past the harness that swallows what a passing test prints.
fn say_skipped(reason: &str) {
    writeln!(std::io::stderr(), "SKIPPED: {reason}").expect("standard error is open");
}

#[tokio::test]
async fn a_radeon_is_described_and_its_power_streamed() {
    let sysfs = sysfs_of("rx7900xtx");
    let monitor = monitor_on(&sysfs);
    let described = monitor.describe().await;
    assert_eq!(described.platform, "amd");
    let gpu = described.gpu_info.unwrap();
    assert_eq!((gpu.vendor.as_str(), gpu.backend.as_str()), ("AMD", "hwmon"));
    assert_eq!(described.sensors[0].kind, SensorKind::Gpu);
    assert_eq!(described.sensors[0].measures[0], "power");
    let reading = monitor.readings().await.next().await.unwrap();
    assert_eq!(reading.power_watts, Some(142.0));
    assert_eq!((reading.energy_joules, reading.temperature_celsius), (Some(-1.0), Some(51.0)));
    assert_eq!(reading.gpu_compute_utilization_pct, Some(37.0));
    let own = sensor(&reading, 0).unwrap();
    assert_eq!((own.compute_clock_mhz, own.memory_clock_mhz), (Some(2_482), Some(1_249)));
}

#[tokio::test]
async fn the_boards_of_mi250s_add_up_though_their_second_dies_show_zero() {
    let monitor = monitor_on(&sysfs_of("mi250x"));
    let described = monitor.describe().await;
    let skipped = described.skipped.iter().filter(|skipped| skipped.source == "hwmon");
    assert_eq!(skipped.filter(|skipped| skipped.reason.contains("second die")).count(), 2);
    let reading = monitor.readings().await.next().await.unwrap();
    assert_eq!(reading.power_watts, Some(81.0 + 83.0));
}

#[tokio::test]
async fn the_counter_of_an_arc_is_streamed_as_it_runs() {
    let sysfs = sysfs_of("b580");
    let _running = sysfs.run_counter(ARC_ENERGY, 5_000_000_000, 120e6);
    let monitor = monitor_on(&sysfs);
    assert_eq!(monitor.describe().await.platform, "intel");
    let readings = monitor.readings().await.take(75).await;
    let own: Vec<_> = readings.iter().filter_map(|reading| sensor(reading, 0)).collect();
    let (first, last) = (own[0], own[own.len() - 1]);
    let joules =
        (last.energy_microjoules.unwrap() - first.energy_microjoules.unwrap()) as f64 / 1e6;
    let seconds = (last.read_end_nanos - first.read_end_nanos) as f64 / 1e9;
    // The counter is written every 5 ms, on a busy machine a little later.
    assert!((joules / 120.0 - seconds).abs() < 0.1, "{joules} J in {seconds} s");
    assert!(own.iter().all(|read| read.status() == pb::Status::Ok && read.epoch == first.epoch));
}

#[tokio::test]
async fn a_counter_ten_percent_off_its_power_gives_no_joule_and_a_true_one_does() {
    let sysfs = sysfs_of("rx7900xtx");
    sysfs.write(RADEON_POWER, "200000000");
    let wrong = sysfs.run_counter(RADEON_ENERGY, 1_000_000_000, 220e6);
    let monitor = monitor_on(&sysfs);
    let readings = monitor.readings().await.take(250).await;
    for reading in &readings {
        assert_eq!((energy(reading, 0), reading.power_watts), (None, Some(200.0)));
        assert_eq!(status(reading, 0), Some(pb::Status::Implausible));
    }
    drop((monitor, wrong));
    let _right = sysfs.run_counter(RADEON_ENERGY, 1_000_000_000, 200e6);
    let monitor = monitor_on(&sysfs);
    let until = monitor.readings().await.until(|reading| energy(reading, 0).is_some()).await;
    assert!(until.len() > 50, "believed after {} readings only", until.len());
}

#[tokio::test]
async fn a_jetson_is_one_number_for_the_module() {
    let sysfs = sysfs_of("jetson_orin_nano");
    let mut command = monitor_command(&sysfs);
    let monitor = Monitor::start(command.args(["--sources", "hwmon"]));
    let described = monitor.describe().await;
    assert_eq!(described.platform, "jetson");
    assert_eq!(described.sensors[0].kind, SensorKind::Soc);
    let reading = monitor.readings().await.next().await.unwrap();
    let watts = sensor(&reading, 0).unwrap().power_watts.unwrap();
    assert!((watts - 5.334_272).abs() < 1e-9, "{watts}");
    assert_eq!(reading.power_watts, Some(-1.0), "no GPU of its own");
}

#[tokio::test]
async fn a_driver_that_hangs_makes_its_sensors_stale_and_nothing_else() {
    let sysfs = sysfs_of("b580");
    sysfs.zone("intel-rapl:0", "package-0", 5);
    let mut brake = match sysfs.brake(ARC_ENERGY) {
        Ok(brake) => brake,
        Err(error) => return say_skipped(&format!("reads can't be made to hang here: {error}")),
    };
    let monitor = monitor_on(&sysfs);
    let described = monitor.describe().await;
    let of = |kind| described.sensors.iter().find(|info| info.kind == kind).unwrap().id;
    let (gpu, package) = (of(SensorKind::Gpu), of(SensorKind::CpuPackage));
    let mut readings = monitor.readings().await;
    readings.until(|reading| energy(reading, gpu).is_some()).await;
    brake.hold();
    let until = readings.until(|reading| status(reading, gpu) == Some(pb::Status::Stale)).await;
    let stale = &until[until.len() - 1];
    assert_eq!(energy(stale, gpu), None);
    for reading in &until {
        assert_eq!(energy(reading, package), Some(5));
        assert_ne!(reading.cpu_memory_usage_mb, Some(-1.0));
    }
    for pair in until.windows(2) {
        let gap = pair[1].monotonic_nanos - pair[0].monotonic_nanos;
        assert!(gap < 500_000_000, "a tick was {gap} ns late");
    }
    drop(brake);
    readings.until(|reading| status(reading, gpu) == Some(pb::Status::Ok)).await;
}

#[tokio::test]
async fn a_pipe_in_place_of_a_file_hangs_nothing() {
    let sysfs = sysfs_of("rx7900xtx");
    let path = sysfs.root().join(RADEON_POWER);
    std::fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let monitor = monitor_on(&sysfs);
    let reading = monitor.readings().await.next().await.unwrap();
    assert_eq!((status(&reading, 0), reading.power_watts), (Some(pb::Status::Lost), Some(-1.0)));
}

#[tokio::test]
async fn a_counter_that_only_root_may_read_names_the_file_and_the_command() {
    if !geteuid().is_root() {
        return say_skipped("only root may run a program as another user");
    }
    let sysfs = sysfs_of("b580");
    let path = sysfs.root().join(ARC_ENERGY);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    let monitor = Monitor::start(monitor_command(&sysfs).uid(NOBODY));
    let info = &monitor.describe().await.sensors[0];
    assert_eq!(info.status, Status::PermissionDenied);
    assert!(info.remedy.contains(&format!("sudo chmod a+r {}", path.display())), "{}", info.remedy);
    let reading = monitor.readings().await.next().await.unwrap();
    assert_eq!(status(&reading, 0), Some(pb::Status::PermissionDenied));
}

#[test]
fn without_such_a_device_asking_for_it_is_an_error_with_its_remedy() {
    let (nothing, unknown) = (sysfs_of("unknown"), sysfs_of("jetson_agx_xavier"));
    for (sysfs, said) in [(&nothing, "sudo modprobe amdgpu"), (&unknown, "SYS5V")] {
        let output = monitor::run(monitor_command(sysfs).args(["--sources", "hwmon"]));
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("`hwmon`") && error.contains(said), "{error}");
    }
}
