//! The sampler's threads on sources that count their reads and hang when they are told to.

use super::*;
use crate::compose::Composer;
use crate::hub::{self, Found, Subscriber};
use crate::metrics::CpuDetail;
use crate::source::Source;
use bytes::BytesMut;
use energy_proto::{
    ClockAnchor, Message, Nanos, SensorKind, SensorReading, Status, monotonic_now, pb,
};

const CLOSEST: Duration = Duration::from_millis(2);
/// More than anything here takes, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(10);

fn info(id: u32, kind: SensorKind) -> SensorInfo {
    SensorInfo { measures: vec!["energy".to_owned()], ..SensorInfo::new(id, kind, "test") }
}

/// Counts its reads as microjoules, and hangs while it is told to.
struct CountsReads {
    reads: Arc<AtomicU64>,
    hanging: Arc<AtomicBool>,
}

impl Source for CountsReads {
    fn describe(&self) -> Vec<SensorInfo> {
        vec![info(0, SensorKind::Gpu)]
    }

    fn read(&mut self, readings: &mut Vec<SensorReading>) {
        let start = monotonic_now();
        while self.hanging.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(1));
        }
        let mut reading = SensorReading::empty(0, start, monotonic_now(), Status::Ok);
        reading.energy_microjoules = Some(self.reads.fetch_add(1, Ordering::Relaxed) + 1);
        readings.push(reading);
    }
}

struct Bench {
    sampler: Sampler,
    sensors: Sensors,
    messages: Subscriber,
    reads: Vec<Arc<AtomicU64>>,
    hanging: Vec<Arc<AtomicBool>>,
}

impl Bench {
    fn start(paces: &[Pace], interval: Duration, gap: Option<Duration>) -> Self {
        Self::start_with(paces, interval, gap, Clocks::of_this_host())
    }

    fn start_with(
        paces: &[Pace],
        interval: Duration,
        gap: Option<Duration>,
        clocks: Clocks,
    ) -> Self {
        let reads: Vec<_> = paces.iter().map(|_| Arc::<AtomicU64>::default()).collect();
        let hanging: Vec<_> = paces.iter().map(|_| Arc::<AtomicBool>::default()).collect();
        let infos: Vec<_> = (0..).zip(paces).map(|(id, _)| info(id, SensorKind::Gpu)).collect();
        let sensors = Sensors::new(infos.clone());
        let lanes = (0..)
            .zip(paces.iter().zip(reads.iter().zip(&hanging)))
            .map(|(id, (pace, (reads, hanging)))| Lane {
                name: "test",
                pace: *pace,
                sources: vec![(
                    id,
                    Box::new(CountsReads { reads: Arc::clone(reads), hanging: Arc::clone(hanging) })
                        as Box<dyn Source>,
                )],
                read_at_least_every: gap,
            })
            .collect();
        let (publisher, hub) = hub::channel();
        let messages = hub.subscribe().unwrap();
        let composer = Composer::new(1, "test", ClockAnchor::now(), &infos);
        let outlets = Outlets::new(composer, publisher, CpuDetail::Fine, &infos);
        let sampler = Sampler::start_with(lanes, &sensors, interval, outlets, clocks).unwrap();
        Self { sampler, sensors, messages, reads, hanging }
    }

    fn next(&mut self) -> pb::TelemetryReading {
        let began = Instant::now();
        let mut message = BytesMut::new();
        while self.messages.take(&mut message, |_| true) == Found::Nothing {
            assert!(began.elapsed() < PATIENCE, "no reading");
            thread::sleep(Duration::from_micros(200));
        }
        pb::TelemetryReading::decode(message).unwrap()
    }

    fn until(&mut self, condition: impl Fn(&pb::TelemetryReading) -> bool) -> pb::TelemetryReading {
        let began = Instant::now();
        loop {
            let message = self.next();
            if condition(&message) {
                return message;
            }
            assert!(began.elapsed() < PATIENCE, "never: {message:?}");
        }
    }
}

fn status(message: &pb::TelemetryReading, sensor: u32) -> Option<pb::Status> {
    let reading = message.sensors.iter().find(|reading| reading.sensor == sensor)?;
    Some(reading.status())
}

#[test]
fn what_cannot_block_is_read_at_each_tick() {
    let mut bench = Bench::start(&[Pace::Tick], Duration::from_millis(20), None);
    let messages: Vec<_> = (0..5).map(|_| bench.next()).collect();
    for pair in messages.windows(2) {
        let (before, after) = (&pair[0].sensors[0], &pair[1].sensors[0]);
        assert!(after.read_start_nanos > pair[0].monotonic_nanos);
        assert_eq!(after.changed_after_nanos, Some(before.read_start_nanos));
        assert_eq!(after.changed_before_nanos, Some(after.read_end_nanos));
    }
    bench.sampler.stop();
}

#[test]
fn a_source_that_hangs_becomes_stale_and_delays_nothing() {
    let paces = [Pace::Own { closest: CLOSEST }, Pace::Tick];
    let mut bench = Bench::start(&paces, Duration::from_millis(10), None);
    bench.until(|message| status(message, 0) == Some(pb::Status::Ok));
    bench.hanging[0].store(true, Ordering::Relaxed);
    let mut last_at = None::<u64>;
    let stale = loop {
        let message = bench.next();
        assert_eq!(status(&message, 1), Some(pb::Status::Ok));
        if let Some(last_at) = last_at {
            // Twenty ticks, on a machine that does other things too.
            assert!(message.monotonic_nanos - last_at < 200_000_000, "a tick was late");
        }
        last_at = Some(message.monotonic_nanos);
        if status(&message, 0) == Some(pb::Status::Stale) {
            break message;
        }
    };
    assert_eq!(stale.sensors[0].energy_microjoules, None);
    bench.hanging[0].store(false, Ordering::Relaxed);
    bench.until(|message| status(message, 0) == Some(pb::Status::Ok));
    bench.sampler.stop();
}

#[test]
fn a_counter_that_could_wrap_is_read_between_ticks_that_are_far_apart() {
    let gap = Duration::from_millis(5);
    let mut bench = Bench::start(&[Pace::Tick], Duration::from_secs(60), Some(gap));
    bench.next();
    let reads = Arc::clone(&bench.reads[0]);
    let before = reads.load(Ordering::Relaxed);
    let waited = Instant::now();
    while reads.load(Ordering::Relaxed) < before + 4 {
        assert!(waited.elapsed() < PATIENCE, "not read");
        thread::sleep(gap);
    }
    bench.sampler.stop();
}

#[test]
fn it_stops_at_once_even_between_ticks_and_in_a_hung_driver() {
    let paces = [Pace::Own { closest: CLOSEST }, Pace::Tick];
    let mut bench = Bench::start(&paces, Duration::from_secs(60), None);
    bench.next();
    bench.hanging[0].store(true, Ordering::Relaxed);
    let asked = Instant::now();
    bench.sampler.stop();
    assert!(asked.elapsed() < Duration::from_millis(500));
    assert_eq!(bench.messages.take(&mut BytesMut::new(), |_| true), Found::End);
    bench.hanging[0].store(false, Ordering::Relaxed);
}

#[test]
fn what_moves_at_every_read_is_settled_without_a_period() {
    let paces = [Pace::Own { closest: CLOSEST }, Pace::Tick];
    let mut bench = Bench::start(&paces, Duration::from_millis(20), None);
    let sensors = bench.sensors.clone();
    bench.until(|_| sensors.are_settled());
    let infos = bench.sensors.now();
    assert!(infos.iter().all(|info| info.update_period.is_none() && !info.characterized));
    assert!(infos.iter().all(|info| info.read_latency_p99.is_some()));
    assert_eq!(sensors.missed_ticks(), 0, "the search is no missed tick");
    bench.until(|_| sensors.now()[0].read_period.is_some());
    assert_eq!(sensors.now()[1].read_period, None, "that of the tick");
    bench.sampler.stop();
}

#[test]
fn after_a_suspension_counters_are_of_a_new_epoch() {
    let suspended = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&suspended);
    let clocks = Clocks::telling(move || Duration::from_secs(told.load(Ordering::Relaxed)));
    let paces = [Pace::Own { closest: CLOSEST }, Pace::Tick];
    let mut bench = Bench::start_with(&paces, Duration::from_millis(10), None, clocks);
    let both_ok = |message: &pb::TelemetryReading| {
        (0..2).all(|sensor| status(message, sensor) == Some(pb::Status::Ok))
    };
    let before = bench.until(both_ok);
    suspended.store(3_600, Ordering::Relaxed);
    let reset = bench.until(|message| status(message, 1) == Some(pb::Status::Reset));
    assert_ne!(status(&reset, 0), Some(pb::Status::Ok), "its last read may be of before");
    let after = bench.until(both_ok);
    for (before, after) in before.sensors.iter().zip(&after.sensors) {
        assert_eq!(after.epoch, before.epoch + 1);
    }
    bench.sampler.stop();
}

#[test]
fn who_may_not_see_the_cpu_closely_gets_older_readings_of_it_and_of_nothing_else() {
    let infos = [info(0, SensorKind::Gpu), info(1, SensorKind::CpuPackage)];
    let outlets = |detail| {
        let (publisher, hub) = hub::channel();
        let composer = Composer::new(1, "test", ClockAnchor::now(), &infos);
        (Outlets::new(composer, publisher, detail, &infos), hub.subscribe().unwrap())
    };
    let mut seen = [Vec::new(), Vec::new()];
    for (seen, detail) in seen.iter_mut().zip([CpuDetail::Fine, CpuDetail::Coarse]) {
        let (mut outlets, mut subscriber) = outlets(detail);
        for tick in 0..40_u64 {
            let now = Nanos(1_000_000_000 + tick * 3_000_000);
            let readings = [0, 1].map(|sensor| {
                let mut reading = SensorReading::empty(sensor, now, now, Status::Ok);
                reading.energy_microjoules = Some(1_000 * tick);
                reading
            });
            outlets.tell(tick, now, &readings);
            let mut message = BytesMut::new();
            assert_eq!(subscriber.take(&mut message, |_| true), Found::Reading { tick });
            let message = pb::TelemetryReading::decode(message).unwrap();
            let energy = |index: usize| message.sensors[index].energy_microjoules.unwrap();
            assert_eq!(energy(0), 1_000 * tick, "GPUs tell nothing of other programs' secrets");
            let cpu = &message.sensors[1];
            seen.push((cpu.read_end_nanos, cpu.energy_microjoules, message.cpu_energy_joules));
        }
    }
    let [mut fine, mut coarse] = seen;
    fine.dedup();
    coarse.dedup();
    assert_eq!(fine.len(), 40);
    assert_eq!(coarse.len(), 10, "every fourth of 3 ms");
    assert!(coarse.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 10_000_000));
}

#[test]
fn a_late_tick_and_a_punctual_one_after_it_show_no_more_of_the_cpu() {
    let infos = [info(0, SensorKind::CpuPackage)];
    let (publisher, hub) = hub::channel();
    let mut subscriber = hub.subscribe().unwrap();
    let composer = Composer::new(1, "test", ClockAnchor::now(), &infos);
    let mut outlets = Outlets::new(composer, publisher, CpuDetail::Coarse, &infos);
    let mut reads = Vec::new();
    for (tick, millis) in [(0, 0), (1, 95), (2, 100), (3, 150)] {
        let now = Nanos(1_000_000_000 + millis * 1_000_000);
        let mut reading = SensorReading::empty(0, now, now, Status::Ok);
        reading.energy_microjoules = Some(millis);
        outlets.tell(tick, now, &[reading]);
        let mut message = BytesMut::new();
        subscriber.take(&mut message, |_| true);
        reads.push(pb::TelemetryReading::decode(message).unwrap().sensors[0].energy_microjoules);
    }
    assert_eq!(reads, [Some(0), Some(95), Some(95), Some(150)]);
}

#[test]
fn after_warming_up_a_tick_costs_no_allocation() {
    let root = tempfile::tempdir().unwrap();
    let zone = root.path().join("class/powercap/intel-rapl:0");
    std::fs::create_dir_all(&zone).unwrap();
    for (file, text) in
        [("name", "package-0"), ("max_energy_range_uj", "262143328850"), ("energy_uj", "7")]
    {
        std::fs::write(zone.join(file), text).unwrap();
    }
    let rapl = crate::source::rapl_powercap::PowercapSource::open(root.path()).unwrap();
    let memory = crate::source::memory::MemorySource::open(std::path::Path::new("/proc")).unwrap();
    let infos = [info(0, SensorKind::CpuPackage), info(1, SensorKind::Memory)];
    let sources: Vec<(u32, Box<dyn Source>)> = vec![(0, Box::new(rapl)), (1, Box::new(memory))];
    let lane = Lane { name: "kernel", pace: Pace::Tick, sources, read_at_least_every: None };
    let (publisher, hub) = hub::channel();
    let _subscriber = hub.subscribe().unwrap();
    let composer = Composer::new(1, "test", ClockAnchor::now(), &infos);
    let outlets = Outlets::new(composer, publisher, CpuDetail::Fine, &infos);
    let mut tick = Tick::new(
        vec![lane],
        Vec::new(),
        &Sensors::new(infos.to_vec()),
        Duration::from_millis(1),
        outlets,
        Clocks::of_this_host(),
        Arc::default(),
    );
    tick.find_out();
    (0..hub::CAPACITY).for_each(|_| tick.tick());
    // Long enough for the figures that are read more rarely.
    let counted = allocation_counter::measure(|| {
        let until = Instant::now() + Duration::from_millis(250);
        while Instant::now() < until {
            tick.tick();
        }
    });
    assert_eq!(counted.count_total, 0);
}
