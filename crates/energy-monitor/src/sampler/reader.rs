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
    sources: Vec<(u32, Box<dyn Source>)>,
    /// By the sensor's number.
    changes: Vec<ChangeTracker>,
    /// Sensors that are being found out about.
    watches: Vec<(u32, Watch)>,
    sensors: Sensors,
}

impl Reader {
    pub(super) fn new(sources: Vec<(u32, Box<dyn Source>)>, sensors: &Sensors) -> Self {
        let own = |sensor: u32| {
            sources.iter().any(|(first, source)| {
                (*first..).zip(source.describe()).any(|(number, _)| number == sensor)
            })
        };
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

    /// Writes down what was found out and ends the search. Returns the shortest update period.
    pub(super) fn settle(&mut self) -> Option<Duration> {
        let watches = std::mem::take(&mut self.watches);
        let characters = watches.iter().map(|(sensor, watch)| (*sensor, watch.character()));
        let mut shortest: Option<Duration> = None;
        for (sensor, character) in characters {
            self.sensors.change(sensor, |info| {
                character.describe(info);
                shortest = shortest.into_iter().chain(info.update_period).min();
            });
        }
        self.sensors.unsettled.fetch_sub(watches.len() as u64, Ordering::AcqRel);
        shortest
    }

    /// Says in the description how often the sensors are read.
    pub(super) fn describe_period(&self, period: Duration) {
        for (first, source) in &self.sources {
            for (sensor, _) in (*first..).zip(source.describe()) {
                self.sensors.change(sensor, |info| info.read_period = Some(period));
            }
        }
    }
}

/// Whether a sensor has a rhythm of its own: made-up and replayed figures have that of their source.
fn is_worth_watching(info: &SensorInfo) -> bool {
    info.measures_energy() && !info.is_estimate() && info.source != "scripted"
}
