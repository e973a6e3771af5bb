//! A run's time in seconds from its start, with the pauses between its segments left out: a run that went on
//! the next day would be two dots otherwise.

use energy_proto::Nanos;

use crate::results::{RequestEntry, Segment};

/// What is free between two segments, as a share of the whole.
const BETWEEN: f64 = 0.02;

/// A segment's place in the run.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Part {
    /// Unix nanoseconds.
    from: i128,
    /// Unix nanoseconds.
    to: i128,
    /// Seconds from the run's start.
    offset: f64,
}

/// Where in the run instants are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RunTime {
    parts: Vec<Option<Part>>,
    /// Unix nanoseconds of monotonic zero, by segment.
    zeros: Vec<i128>,
}

impl RunTime {
    /// Of a run's segments: from the idle baseline, or the first request, to the end of the last one.
    #[must_use]
    pub(super) fn of(segments: &[Segment], requests: &[RequestEntry]) -> Self {
        let zeros: Vec<i128> = segments
            .iter()
            .map(|segment| {
                i128::from(segment.anchor.unix_nanos) - i128::from(segment.anchor.monotonic.0)
            })
            .collect();
        let mut ends: Vec<Option<(Nanos, Nanos)>> =
            segments.iter().map(|segment| segment.idle).collect();
        for request in requests {
            if let Some(ends) = ends.get_mut(request.segment as usize) {
                let (from, to) = ends.unwrap_or((request.start, request.end));
                *ends = Some((from.min(request.start), to.max(request.end)));
            }
        }
        let seconds =
            |(from, to): (Nanos, Nanos)| if to > from { to.since(from).as_secs_f64() } else { 0.0 };
        let pause = BETWEEN * ends.iter().flatten().copied().map(seconds).sum::<f64>();
        let mut offset = 0.0;
        let parts = ends
            .into_iter()
            .zip(&zeros)
            .map(|(ends, zero)| {
                let (from, to) = ends?;
                let part =
                    Part { from: zero + i128::from(from.0), to: zero + i128::from(to.0), offset };
                offset += seconds((from, to)) + pause;
                Some(part)
            })
            .collect();
        Self { parts, zeros }
    }

    /// Seconds of an instant of a segment's monotonic clock; `None` outside of the segment.
    #[must_use]
    pub(super) fn seconds(&self, segment: u32, at: Nanos) -> Option<f64> {
        let zero = self.zeros.get(segment as usize)?;
        self.parts.get(segment as usize)?.as_ref()?.seconds(zero + i128::from(at.0))
    }

    /// Seconds of a stretch of a segment's monotonic clock, as far as it lies in the segment.
    #[must_use]
    pub(super) fn stretch(&self, segment: u32, from: Nanos, to: Nanos) -> Option<(f64, f64)> {
        let zero = self.zeros.get(segment as usize)?;
        let part = self.parts.get(segment as usize)?.as_ref()?;
        let held = |at: Nanos| part.seconds((zero + i128::from(at.0)).clamp(part.from, part.to));
        let (from, to) = (held(from)?, held(to)?);
        (from < to).then_some((from, to))
    }

    /// Seconds of an instant in Unix time; `None` outside of all segments.
    #[must_use]
    pub(super) fn seconds_of_unix(&self, nanos: i64) -> Option<f64> {
        self.parts.iter().flatten().find_map(|part| part.seconds(i128::from(nanos)))
    }

    /// Seconds from the start of the first segment to the end of the last one.
    #[must_use]
    pub(super) fn length(&self) -> f64 {
        self.parts.iter().flatten().last().map_or(0.0, |part| part.offset + part.length())
    }

    /// Where segments but the first begin.
    #[must_use]
    pub(super) fn resumptions(&self) -> Vec<f64> {
        self.parts.iter().flatten().skip(1).map(|part| part.offset).collect()
    }
}

impl Part {
    fn length(&self) -> f64 {
        (self.to - self.from) as f64 / 1e9
    }

    fn seconds(&self, unix_nanos: i128) -> Option<f64> {
        let inside = (self.from..=self.to).contains(&unix_nanos);
        inside.then(|| self.offset + (unix_nanos - self.from) as f64 / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use energy_proto::ClockAnchor;

    use super::*;
    use crate::results::{RequestKind, RequestOutcome};

    const SECOND: u64 = 1_000_000_000;

    fn segment(unix_seconds: i64) -> Segment {
        let unix_nanos = unix_seconds * SECOND as i64;
        Segment {
            started_at: String::new(),
            boot_id: None,
            anchor: ClockAnchor { monotonic: Nanos(100 * SECOND), unix_nanos },
            idle: Some((Nanos(101 * SECOND), Nanos(104 * SECOND))),
            sensors: Vec::new(),
            counted: Vec::new(),
            no_energy: None,
            clock_uncertainty_nanos: 0,
        }
    }

    fn request(segment: u32, start: u64, end: u64) -> RequestEntry {
        RequestEntry {
            kind: RequestKind::Query,
            query_index: Some(0),
            attempt: 1,
            segment,
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

    #[test]
    fn pauses_between_segments_are_left_out() {
        let segments = [segment(1_000_000), segment(2_000_000)];
        let time = RunTime::of(&segments, &[request(0, 105, 111), request(1, 105, 201)]);
        assert_eq!(time.seconds(0, Nanos(101 * SECOND)), Some(0.0));
        assert_eq!(time.seconds(0, Nanos(111 * SECOND)), Some(10.0));
        let pause = BETWEEN * 110.0;
        assert_eq!(time.seconds(1, Nanos(101 * SECOND)), Some(10.0 + pause));
        assert_eq!(time.length(), 110.0 + pause);
        assert_eq!(time.resumptions(), [10.0 + pause]);
        // Monotonic 105 s of the first segment are 5 s after its anchor.
        assert_eq!(time.seconds_of_unix(1_000_005 * SECOND as i64), Some(4.0));
        assert_eq!(time.seconds_of_unix(1_500_000 * SECOND as i64), None);
        assert_eq!((time.seconds(0, Nanos(1)), time.seconds(7, Nanos(1))), (None, None));
        let at = |seconds: u64| Nanos(seconds * SECOND);
        assert_eq!(time.stretch(0, at(90), at(103)), Some((0.0, 2.0)));
        assert_eq!(
            (time.stretch(0, at(90), at(101)), time.stretch(0, at(111), at(120))),
            (None, None)
        );
    }

    #[test]
    fn a_run_without_requests_has_the_time_of_its_baseline() {
        let time = RunTime::of(&[segment(5)], &[]);
        assert_eq!(time.length(), 3.0);
        let nothing = RunTime::of(&[Segment { idle: None, ..segment(5) }], &[]);
        assert_eq!((nothing.length(), nothing.seconds(0, Nanos(0))), (0.0, None));
    }
}
