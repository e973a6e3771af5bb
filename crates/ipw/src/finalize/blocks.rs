//! A run's readings in blocks of time, each with the requests that end in it, so that the final pass
//! over a run of a day takes no more memory than one over some minutes.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use energy_proto::{Nanos, SensorInfo};

use crate::attribution::energy::NEIGHBOURHOOD;
use crate::attribution::load::Load;
use crate::attribution::measure::{Meter, Window};
use crate::attribution::solved::Solved;
use crate::results::{RequestEntry, ResultsError, read_telemetry};
use crate::telemetry::Timeline;

/// Ten minutes of eight GPUs at 50 ms, with what lies around them, are about 60 MB.
pub(super) const BLOCK: Duration = Duration::from_secs(600);

/// Times that can't be true must not make more of them than these: two months of such blocks.
const MOST: u32 = 10_000;

/// A segment of a run.
pub(super) struct Part<'a> {
    /// How its readings are read.
    pub(super) meter: Meter,
    /// Its idle window.
    pub(super) idle: Option<(Nanos, Nanos)>,
    /// All its requests.
    pub(super) requests: Vec<&'a RequestEntry>,
}

/// A block of a segment, with the readings around it.
pub(super) struct Block<'a> {
    /// Index of the segment.
    pub(super) segment: usize,
    pub(super) from: Nanos,
    pub(super) to: Nanos,
    /// Those that end in it, whenever they began.
    pub(super) requests: Vec<&'a RequestEntry>,
    pub(super) timeline: Timeline,
    pub(super) meter: Meter,
}

/// A block that is to come.
struct Plan<'a> {
    from: Nanos,
    to: Nanos,
    /// Readings from here on are needed.
    needed: Nanos,
    requests: Vec<&'a RequestEntry>,
}

/// The window of a request.
pub(super) fn window(entry: &RequestEntry) -> Window {
    Window { start: entry.start, first_token: entry.first_token, end: entry.end }
}

/// Shows each block of each segment of the run in `dir`, in the order of time.
///
/// # Errors
/// Its telemetry can't be read.
pub(super) fn each(
    dir: &Path,
    parts: &[Part<'_>],
    length: Duration,
    mut look: impl FnMut(&Block<'_>),
) -> Result<(), ResultsError> {
    let mut rows = read_telemetry(dir)?.peekable();
    for (segment, part) in parts.iter().enumerate() {
        let load = Load::of(part.requests.iter().map(|entry| window(entry)));
        let (mut timeline, mut idle) = (Timeline::default(), None);
        for plan in plan(part, length) {
            timeline.forget_before(plan.needed);
            let enough = plan.to + NEIGHBOURHOOD;
            // An error is taken, too, and ends it.
            while let Some(row) = rows.next_if(|row| {
                row.as_ref().map_or(true, |row| {
                    (row.segment as usize) < segment
                        || (row.segment as usize == segment && row.at <= enough)
                })
            }) {
                let row = row?;
                if row.segment as usize == segment {
                    timeline.push_read(row.reading);
                }
            }
            let mut meter = Meter {
                solved: solve(&part.meter, &timeline, &load),
                load: load.clone(),
                ..part.meter.clone()
            };
            idle = idle.or_else(|| meter.idle_power(&timeline, part.idle?));
            meter.idle = idle;
            let Plan { from, to, requests, .. } = plan;
            let block = Block { segment, from, to, requests, timeline, meter };
            look(&block);
            timeline = block.timeline;
        }
    }
    // What nothing asks for may be damaged, too, and has to be said.
    rows.try_for_each(|row| row.map(drop))
}

/// The counters' energy, each solved on its own: of GPUs there may be many, and of cores. An estimate is
/// a model already; an interval made from its wobbling would say nothing of how far off it is.
fn solve(meter: &Meter, timeline: &Timeline, load: &Load) -> BTreeMap<u32, Solved> {
    let interval = meter.sampling.interval;
    let measured = |sensor: &&SensorInfo| sensor.measures_energy() && !sensor.is_estimate();
    let measuring = meter.sensors.iter().filter(measured);
    thread::scope(|scope| {
        let start = |sensor: &'_ SensorInfo| {
            let (id, sensor, reads) = (sensor.id, sensor.clone(), timeline.sensor(sensor.id));
            (id, scope.spawn(move || Solved::of(&sensor, reads, load, interval)))
        };
        let started: Vec<_> = measuring.map(start).collect();
        let solved = |thread: ScopedJoinHandle<'_, Solved>| {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        };
        started.into_iter().map(|(id, thread)| (id, solved(thread))).collect()
    })
}

/// From the start of the idle baseline, or the first request, to the end of the last one.
fn plan<'a>(part: &Part<'a>, length: Duration) -> Vec<Plan<'a>> {
    let requests = || part.requests.iter().copied();
    let first = requests().map(|entry| entry.start).chain(part.idle.map(|idle| idle.0)).min();
    let last = requests().map(|entry| entry.end).chain(part.idle.map(|idle| idle.1)).max();
    let (Some(first), Some(last)) = (first, last) else { return Vec::new() };
    let length = length.max(last.since(first) / MOST);
    let mut by_end: Vec<&RequestEntry> = requests().collect();
    by_end.sort_by_key(|entry| entry.end);
    let mut by_end = by_end.into_iter().peekable();
    let (mut plans, mut from) = (Vec::new(), first);
    loop {
        let to = (from + length).min(last);
        let mut own = Vec::new();
        while let Some(entry) = by_end.next_if(|entry| entry.end <= to) {
            own.push(entry);
        }
        let start = own.iter().map(|entry| entry.start).chain([from]).min().unwrap_or(from);
        plans.push(Plan { from, to, needed: start.before(NEIGHBOURHOOD), requests: own });
        if to >= last {
            break;
        }
        from = to;
    }
    // A long request needs what blocks before its own are done with.
    let mut needed = Nanos(u64::MAX);
    for plan in plans.iter_mut().rev() {
        needed = needed.min(plan.needed);
        plan.needed = needed;
    }
    plans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::basis::{Basis, BasisKind};
    use crate::attribution::energy::Sampling;
    use crate::results::{RequestKind, RequestOutcome, TelemetryWriter};
    use energy_proto::{Reading, SensorKind, SensorReading, Status, Watts};
    use std::collections::BTreeSet;

    const SECOND: u64 = 1_000_000_000;

    fn request(index: i64, start: u64, end: u64) -> RequestEntry {
        RequestEntry {
            kind: RequestKind::Query,
            query_index: Some(index),
            attempt: 1,
            segment: 0,
            start: Nanos(start * SECOND),
            first_byte: None,
            first_token: None,
            end: Nanos(end * SECOND),
            outcome: RequestOutcome::Ok,
            error: None,
            server_timing: None,
            flags: Vec::new(),
        }
    }

    fn part(requests: &[RequestEntry]) -> Part<'_> {
        let gpu = SensorInfo {
            measures: vec!["power".into(), "energy".into()],
            ..SensorInfo::new(0, SensorKind::Gpu, "nvml")
        };
        let basis = Basis { kind: BasisKind::Gpu, members: vec![0] };
        Part {
            meter: Meter::new(vec![gpu], BTreeSet::from([0]), Ok(basis), Sampling::default()),
            idle: Some((Nanos(100 * SECOND), Nanos(103 * SECOND))),
            requests: requests.iter().collect(),
        }
    }

    /// A sensor at 50 W until 105 s, and at 150 W from there on, read each half second.
    fn write(dir: &Path) {
        let mut telemetry = TelemetryWriter::create(dir).unwrap();
        for n in 0..8_000_u64 {
            let at = Nanos(n * SECOND / 2);
            let watts = if at < Nanos(105 * SECOND) { 50.0 } else { 150.0 };
            let read = SensorReading {
                power: Some(Watts(watts)),
                ..SensorReading::empty(0, at, at, Status::Ok)
            };
            let reading = Reading { sequence: n, instance: 1, dropped: 0, at, sensors: vec![read] };
            telemetry.push(0, "here", &reading);
        }
        telemetry.commit().unwrap();
    }

    /// What blocks of a length give: each query's energy, that of the blocks, and the most readings in
    /// memory.
    fn measured(requests: &[RequestEntry], seconds: u64) -> (Vec<f64>, f64, usize) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path());
        let (mut queries, mut total, mut most) = (Vec::new(), 0.0, 0);
        each(dir.path(), &[part(requests)], Duration::from_secs(seconds), |block| {
            most = most.max(block.timeline.sensor(0).len());
            let energy = |from, to| block.meter.energy(&block.timeline, &[0], from, to).unwrap();
            total += energy(block.from, block.to).energy.0;
            assert_eq!(block.meter.idle.map(|idle| idle.mean), Some(50.0));
            queries.extend(block.requests.iter().map(|one| energy(one.start, one.end).energy.0));
        })
        .unwrap();
        (queries, total, most)
    }

    #[test]
    fn blocks_give_what_the_whole_gives_and_need_less() {
        let requests = [request(0, 110, 120), request(1, 130, 1_530), request(2, 1_600, 3_600)];
        let (whole, all, at_once) = measured(&requests, 100_000);
        let (queries, total, most) = measured(&requests, 60);
        assert_eq!(queries, whole);
        assert!((whole[1] - 1_400.0 * 150.0).abs() < 1e-6);
        assert!((total - all).abs() < 1e-6, "{total} {all}");
        assert!(most < at_once, "the longest query and what is around it: {most} of {at_once}");
        let (_, _, short) = measured(&requests[..1], 60);
        assert!(short < 1_400, "{short}");
    }

    #[test]
    fn every_request_is_in_one_block_and_blocks_follow_each_other() {
        let requests: Vec<RequestEntry> =
            (0..50).map(|n| request(n as i64, 110 + 7 * n, 115 + 9 * n)).collect();
        let part = part(&requests);
        let plans = plan(&part, Duration::from_secs(60));
        let planned: Vec<i64> = plans
            .iter()
            .flat_map(|plan| plan.requests.iter().filter_map(|entry| entry.query_index))
            .collect();
        assert_eq!(planned, (0..50).collect::<Vec<_>>());
        assert!(plans.windows(2).all(|pair| pair[0].to == pair[1].from));
        assert_eq!(plans[0].from, Nanos(100 * SECOND));
        assert_eq!(plans.last().unwrap().to, Nanos((115 + 9 * 49) * SECOND));
        let absurd = [RequestEntry { end: Nanos(u64::MAX), ..requests[0].clone() }];
        let absurd =
            Part { idle: part.idle, meter: part.meter.clone(), requests: absurd.iter().collect() };
        assert!(plan(&absurd, BLOCK).len() <= MOST as usize + 1);
        let empty = Part { idle: None, requests: Vec::new(), ..part };
        assert!(plan(&empty, BLOCK).is_empty());
    }
}
