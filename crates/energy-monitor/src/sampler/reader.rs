//! Reads sources, notes when their values changed, and finds out what the sensors are like.

use energy_proto::{SensorInfo, SensorReading};

use super::Sensors;
use crate::character::Watch;
use crate::counter::ChangeTracker;
use crate::source::Source;

use std::sync::atomic::Ordering;
use std::time::Duration;

/// The sources that one thread reads.
pub(super) struct Reader {
    sources: Vec<Owned>,
    /// By the sensor's number.
    changes: Vec<ChangeTracker>,
    /// Sensors that are being found out about.
    watches: Vec<(u32, Watch)>,
    sensors: Sensors,
}

impl Reader {
    pub(super) fn new(sources: Vec<Owned>, sensors: &Sensors) -> Self {
        let own = |sensor: u32| sources.iter().flat_map(numbers).any(|number| number == sensor);
        let watches: Vec<(u32, Watch)> = sensors
            .now()
            .iter()
            .filter(|info| own(info.id) && is_worth_watching(info))
            .map(|info| (info.id, Watch::default()))
            .collect();
        sensors.unsettled.fetch_add(watches.len() as u64, Ordering::AcqRel);
        Self {
            changes: vec![ChangeTracker::default(); sensors.now().len()],
            sources,
            watches,
            sensors: sensors.clone(),
        }
    }

    /// Reads all sources into `readings`, which is emptied first.
    pub(super) fn read(&mut self, readings: &mut Vec<SensorReading>) {
        readings.clear();
        for (first, source) in &mut self.sources {
            let from = readings.len();
            source.read(readings);
            for reading in &mut readings[from..] {
                reading.sensor += *first;
            }
        }
        for reading in readings.iter_mut() {
            self.note_change(reading);
        }
        for (sensor, watch) in &mut self.watches {
            if let Some(reading) = readings.iter().find(|reading| reading.sensor == *sensor) {
                watch.observe(reading);
            }
        }
    }

    fn note_change(&mut self, reading: &mut SensorReading) {
        // A trace that is replayed knows better.
        if reading.changed_before.is_some() {
            return;
        }
        let (Some(tracker), Some(energy)) =
            (self.changes.get_mut(reading.sensor as usize), reading.energy_microjoules)
        else {
            return;
        };
        let change = tracker.observe(reading.epoch, energy, reading.read_start, reading.read_end);
        reading.changed_after = change.after;
        reading.changed_before = Some(change.before);
    }

    /// Whether there is something to find out still.
    pub(super) fn is_finding_out(&self) -> bool {
        self.watches.iter().any(|(_, watch)| !watch.has_seen_enough())
    }

    /// Writes down what was found out and ends the search. Returns, for each source, the shortest
    /// update period of its sensors.
    pub(super) fn settle(&mut self) -> Vec<Option<Duration>> {
        let watches = std::mem::take(&mut self.watches);
        for (sensor, watch) in &watches {
            let character = watch.character();
            self.sensors.change(*sensor, |info| character.describe(info));
        }
        self.sensors.unsettled.fetch_sub(watches.len() as u64, Ordering::AcqRel);
        let infos = self.sensors.now();
        let period_of = |sensor: u32| infos.get(sensor as usize)?.update_period;
        self.sources.iter().map(|owned| numbers(owned).filter_map(period_of).min()).collect()
    }

    /// The same sources by readers of their own, each with those whose places are named.
    pub(super) fn split(self, places: &[Vec<usize>]) -> Vec<Self> {
        let mut sources: Vec<Option<Owned>> = self.sources.into_iter().map(Some).collect();
        let reader = |places: &Vec<usize>| Self {
            sources: places.iter().filter_map(|place| sources[*place].take()).collect(),
            changes: self.changes.clone(),
            watches: Vec::new(),
            sensors: self.sensors.clone(),
        };
        places.iter().map(reader).collect()
    }

    /// Whether it reads one sensor with an energy counter that was seen to move, and no other source.
    pub(super) fn is_one_seen_counter(&self) -> bool {
        let infos = self.sensors.now();
        let counters = self
            .sources
            .iter()
            .flat_map(numbers)
            .filter_map(|sensor| infos.get(sensor as usize))
            .filter(|info| info.gives("energy"));
        let seen: Vec<bool> = counters.map(|info| info.characterized).collect();
        seen == [true]
    }

    /// Says in the description how often the sensors are read.
    pub(super) fn describe_period(&self, period: Duration) {
        for sensor in self.sources.iter().flat_map(numbers) {
            self.sensors.change(sensor, |info| info.read_period = Some(period));
        }
    }
}

/// A source and the number of its first sensor.
type Owned = (u32, Box<dyn Source>);

/// The numbers of a source's sensors.
fn numbers((first, source): &Owned) -> impl Iterator<Item = u32> + use<> {
    (*first..).take(source.describe().len())
}

/// Whether a sensor has a rhythm of its own: made-up and replayed figures have that of their source.
fn is_worth_watching(info: &SensorInfo) -> bool {
    info.measures_energy() && !info.is_estimate() && info.source != "scripted"
}
