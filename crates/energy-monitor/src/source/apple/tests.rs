//! The source on a real child process: a program of the shell that writes what powermetrics would.

use super::*;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

const SAMPLE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/powermetrics/m1_pro.plist");

/// A directory with a program of the shell under the name of powermetrics.
fn program(script: &str) -> tempfile::TempDir {
    stand_in::program(&format!("SAMPLE={SAMPLE}\n{script}")).0
}

fn open(dir: &Path) -> AppleSource {
    AppleSource::open(dir.as_os_str()).unwrap()
}

fn read(source: &mut AppleSource) -> Vec<SensorReading> {
    let mut readings = Vec::new();
    source.read(&mut readings);
    assert_eq!(readings.iter().map(|reading| reading.sensor).collect::<Vec<_>>(), [0, 1, 2]);
    readings
}

/// Reads until the CPU has this status; the readings of all before it.
fn read_until(source: &mut AppleSource, status: Status) -> Vec<SensorReading> {
    for _ in 0..200 {
        let readings = read(source);
        if readings[0].status == status {
            return readings;
        }
    }
    panic!("never {status:?}");
}

#[test]
fn three_rails_are_described_and_counted() {
    let dir = program("while cat $SAMPLE; do sleep 0.02; printf '\\0'; done");
    let mut source = open(dir.path());
    read_until(&mut source, Status::Ok);
    let kinds: Vec<_> = source.describe().iter().map(|info| info.kind).collect();
    assert_eq!(kinds, [SensorKind::CpuPackage, SensorKind::Gpu, SensorKind::Ane]);
    let first = read(&mut source)[0].energy_microjoules.unwrap();
    for sample in 1..5 {
        let readings = read(&mut source);
        assert_eq!(readings[0].energy_microjoules, Some(first + sample * 1_923_000));
        assert_eq!(readings[0].status, Status::Ok);
    }
}

#[test]
fn a_cpu_without_energy_under_load_is_withheld_and_a_gpu_with_some_is_not() {
    let dir = program("cat ${SAMPLE%m1_pro.plist}cpu_zero_under_load.plist; exec sleep 60");
    let mut source = open(dir.path());
    let readings = read_until(&mut source, Status::Implausible);
    assert_eq!(readings[0].power, None);
    assert_eq!((readings[1].status, readings[1].energy_microjoules), (Status::Ok, Some(284_000)));
    assert_eq!(readings[2].status, Status::Implausible);
}

#[test]
fn without_the_right_it_says_what_to_do_and_does_not_try_again() {
    for to in ["", ">&2"] {
        let script = format!(
            "echo started >> $0.log; echo 'powermetrics must be invoked as the superuser' {to}; exit 1"
        );
        let dir = program(&script);
        let mut source = open(dir.path());
        let readings = read(&mut source);
        assert_eq!(readings[0].status, Status::PermissionDenied);
        assert_eq!(read(&mut source)[2].status, Status::PermissionDenied);
        let infos = source.describe();
        assert_eq!(infos[1].status, Status::PermissionDenied);
        assert!(infos[1].remedy.contains("sudo energy-monitor"), "{}", infos[1].remedy);
        let starts = fs::read_to_string(dir.path().join("powermetrics.log")).unwrap();
        assert_eq!(starts, "started\n");
    }
}

#[test]
fn one_that_hangs_is_stale_within_its_patience() {
    let dir = program("cat $SAMPLE; exec sleep 60");
    let mut source = open(dir.path());
    read_until(&mut source, Status::Ok);
    let asked = monotonic_now();
    let readings = read(&mut source);
    assert_eq!((readings[0].status, readings[0].energy_microjoules), (Status::Stale, None));
    assert!(monotonic_now().since(asked) < PATIENCE * 3);
}

#[test]
fn one_that_dies_is_started_again_in_a_new_epoch() {
    let dir = program("cat $SAMPLE; sleep 0.3");
    let mut source = open(dir.path());
    let first = read_until(&mut source, Status::Ok);
    read_until(&mut source, Status::Lost);
    let again = read_until(&mut source, Status::Reset);
    assert_eq!(again[0].epoch, first[0].epoch + 1);
}

#[test]
fn garbage_and_endless_samples_cost_their_own_energy_and_nothing_else() {
    let endless = "head -c 3000000 /dev/zero | tr '\\0' x";
    for garbage in ["printf 'no sample'", endless] {
        let script = format!(
            "cat $SAMPLE; printf '\\0'; {garbage}; while printf '\\0'; do cat $SAMPLE; sleep 0.02; done"
        );
        let dir = program(&script);
        let mut source = open(dir.path());
        let first = read_until(&mut source, Status::Ok);
        let spoilt = read_until(&mut source, Status::Implausible);
        assert_eq!(spoilt[1].energy_microjoules, None);
        let again = read_until(&mut source, Status::Reset);
        assert_eq!(again[0].epoch, first[0].epoch + 1);
        read_until(&mut source, Status::Ok);
    }
}

#[test]
fn a_run_of_spoilt_samples_is_told_once_and_the_next_run_again() {
    let spoilt = "for each in 1 2 3; do printf 'no sample\\0'; done";
    let good = "cat $SAMPLE; printf '\\0'";
    let dir = program(&format!("{spoilt}; {good}; {spoilt}; {good}; exec sleep 60"));
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        let mut source = open(dir.path());
        for _ in 0..2 {
            read_until(&mut source, Status::Implausible);
            while read(&mut source)[1].energy_microjoules.is_none() {}
        }
    });
    assert_eq!(log.text().matches("can't be read").count(), 2, "{}", log.text());
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn without_the_program_there_is_no_source() {
    let dir = tempfile::tempdir().unwrap();
    let missing = AppleSource::open(dir.path().as_os_str()).err().unwrap();
    assert!(missing.reason.contains("no program powermetrics in PATH"), "{missing}");
}

#[test]
fn a_child_that_keeps_dying_is_started_ever_more_seldom() {
    let pauses: Vec<_> = (0..9).map(|failures| pause_after(failures).as_millis()).collect();
    assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    assert_eq!(pause_after(u32::MAX), PAUSE.1);
}
