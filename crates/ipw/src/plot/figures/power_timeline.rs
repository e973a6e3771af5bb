//! Power of the basis over the run, with the queries and their phases: the whole run, and, where single
//! queries can't be seen in it, a stretch from its middle.

use super::WIDTH;
use super::energy_over_time::RESUMED;
use crate::plot::axis::Axis;
use crate::plot::figure::{Figure, Key, Row, Sample};
use crate::plot::mark::{Direction, Extent, Mark};
use crate::plot::number::Unit;
use crate::plot::palette::{Hue, Ink};
use crate::plot::panel::Panel;
use crate::plot::power::{self, Grid};
use crate::plot::run_time::RunTime;
use crate::plot::scene::{Fill, Stroke};
use crate::plot::{NotDrawable, RunData, Visualization};
use crate::results::{RequestEntry, RequestKind, RequestOutcome, read_telemetry};

/// Power over time.
pub(in crate::plot) struct PowerTimeline;

/// The shortest cell of a grid in seconds, and the most cells.
const CELL: f64 = 0.01;
const MOST_CELLS: f64 = 60_000.0;
/// What is drawn of a curve is an envelope over so many columns.
const COLUMNS: usize = 600;
/// Up to so many requests can be told apart in one picture of the run; of more, so many from its middle
/// are shown apart.
const FEW: usize = 14;
/// At most so many requests that were under way at once have lanes of their own.
const MOST_LANES: usize = 64;

const MEAN: Stroke = Stroke::solid(Ink::Text, 1.3);
const ENVELOPE: Fill = Fill { ink: Ink::Hue(Hue::Blue), opacity: 0.35 };
const IDLE: Stroke = Stroke::dashed(Ink::Hue(Hue::Green), 1.3);
const GAP: Fill = Fill::solid(Ink::Grid);
const PREFILL: Fill = Fill { ink: Ink::Hue(Hue::Orange), opacity: 0.9 };
const DECODE: Fill = Fill { ink: Ink::Hue(Hue::Sky), opacity: 0.9 };
const FAILED: Fill = Fill { ink: Ink::Hue(Hue::Vermillion), opacity: 0.9 };
const WARM_UP: Fill = Fill { ink: Ink::Frame, opacity: 0.8 };
/// The same behind a curve.
const BEHIND: f64 = 0.28;

impl Visualization for PowerTimeline {
    fn id(&self) -> &'static str {
        "power_timeline"
    }

    fn help(&self) -> &'static str {
        "power over the run, with the queries and their prefill and decode phases"
    }

    fn draw(&self, run: &RunData) -> Result<Figure, NotDrawable> {
        let no_power = |reason: String| NotDrawable(format!("no power: {reason}"));
        let requests = run.requests.as_ref().map_err(|error| NotDrawable(error.clone()))?;
        let devices = power::devices(&run.summary).map_err(no_power)?;
        let time = RunTime::of(&run.summary.segments, requests);
        let spans = spans(requests, &time);
        let stretch = stretch(&spans);
        let mut grids = vec![grid(0.0, time.length(), devices)];
        grids.extend(stretch.map(|[from, to]| grid(from, to, devices)));
        let unreadable = |error: crate::results::ResultsError| no_power(error.to_string());
        let rows = read_telemetry(&run.directory).map_err(unreadable)?;
        power::fill(&mut grids, &run.summary, &time, rows).map_err(unreadable)?;
        if grids[0].watts().iter().all(|(_, watts)| watts.is_none()) {
            return Err(no_power("the telemetry has no two readings of the basis".to_owned()));
        }
        let mut legend = Legend::default();
        let idle = run.summary.energy.idle_watts;
        let whole = Part { grid: &grids[0], range: [0.0, time.length()], spans: &spans, idle };
        let rows = match (stretch, grids.get(1)) {
            (Some(range), Some(grid)) => {
                let detail = Part { grid, range, ..whole };
                let mut rows =
                    vec![power_row("Whole run", &whole, &time, &mut legend), in_flight_row(&whole)];
                rows.push(power_row("A stretch from its middle", &detail, &time, &mut legend));
                rows.push(lanes_row(&detail));
                rows
            }
            _ => vec![power_row("", &whole, &time, &mut legend), lanes_row(&whole)],
        };
        let cell = Unit::Seconds.text(grids[grids.len() - 1].step());
        Ok(Figure {
            id: self.id(),
            title: "Power over time".to_owned(),
            description: "Power of the energy basis over the run, with the requests below it, in prefill (up to \
                          the first token) and decode (after it)."
                .to_owned(),
            caption: run.caption(),
            legend: legend.keys(&spans, idle),
            rows,
            table: None,
            notes: vec![format!(
                "Means over {cell} or more, from every reading; pauses between segments are left out."
            )],
            width: WIDTH,
        })
    }
}

fn grid(from: f64, to: f64, devices: usize) -> Grid {
    let cells = ((to - from) / CELL).clamp(1.0, MOST_CELLS) as usize;
    Grid::new(from, to, cells, devices)
}

/// A request in the run's time.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Span {
    from: f64,
    /// The first token, if one came.
    first_token: Option<f64>,
    to: f64,
    is_warm_up: bool,
    has_failed: bool,
}

/// Those of the requests that have a time, by their start.
fn spans(requests: &[RequestEntry], time: &RunTime) -> Vec<Span> {
    let span = |request: &RequestEntry| {
        let (from, to) = time.stretch(request.segment, request.start, request.end)?;
        let first_token = request.first_token.and_then(|at| time.seconds(request.segment, at));
        Some(Span {
            from,
            first_token: first_token.filter(|at| (from..=to).contains(at)),
            to,
            is_warm_up: request.kind == RequestKind::Warmup,
            has_failed: request.outcome != RequestOutcome::Ok,
        })
    };
    let mut spans: Vec<Span> = requests.iter().filter_map(span).collect();
    spans.sort_by(|a, b| a.from.total_cmp(&b.from));
    spans
}

/// A stretch from the middle that holds a few requests; `None` where there are only few.
fn stretch(spans: &[Span]) -> Option<[f64; 2]> {
    let queries: Vec<&Span> = spans.iter().filter(|span| !span.is_warm_up).collect();
    if queries.len() <= FEW {
        return None;
    }
    let first = (queries.len() - FEW) / 2;
    let shown = &queries[first..first + FEW / 2];
    let from = shown[0].from;
    let to = shown.iter().map(|span| span.to).fold(from, f64::max);
    let margin = 0.04 * (to - from);
    Some([(from - margin).max(0.0), to + margin])
}

/// A part of the run that has panels of its own.
#[derive(Clone, Copy)]
struct Part<'a> {
    grid: &'a Grid,
    range: [f64; 2],
    spans: &'a [Span],
    idle: Option<f64>,
}

impl Part<'_> {
    fn time_axis(&self, name: &str) -> Axis {
        Axis::new(name, Unit::Seconds, self.range[0], self.range[1])
    }

    fn shown(&self) -> impl Iterator<Item = &Span> {
        let [from, to] = self.range;
        self.spans.iter().filter(move |span| span.to > from && span.from < to)
    }

    /// Whether no two requests are under way at once.
    fn is_one_by_one(&self) -> bool {
        let shown: Vec<&Span> = self.shown().collect();
        shown.windows(2).all(|pair| pair[0].to <= pair[1].from)
    }
}

/// What the panels turned out to have.
#[derive(Default)]
struct Legend {
    envelope: bool,
    gap: bool,
    resumed: bool,
}

impl Legend {
    fn keys(&self, spans: &[Span], idle: Option<f64>) -> Vec<Key> {
        let mut keys = vec![Key::new(Sample::Line(MEAN), "mean power")];
        let mut add = |shown: bool, sample: Sample, text: String| {
            if shown {
                keys.push(Key::new(sample, text));
            }
        };
        add(self.envelope, Sample::Surface(ENVELOPE), "least to greatest".to_owned());
        if let Some(idle) = idle {
            let text = format!("idle before the run ({})", Unit::Watts.text(idle));
            add(true, Sample::Line(IDLE), text);
        }
        let any = |which: fn(&Span) -> bool| spans.iter().any(which);
        add(any(|span| !span.is_warm_up), Sample::Surface(PREFILL), "prefill".to_owned());
        add(any(|span| !span.is_warm_up), Sample::Surface(DECODE), "decode".to_owned());
        add(any(|span| span.is_warm_up), Sample::Surface(WARM_UP), "warm-up".to_owned());
        add(any(|span| span.has_failed), Sample::Surface(FAILED), "failed".to_owned());
        add(self.gap, Sample::Surface(GAP), "no readings".to_owned());
        add(self.resumed, Sample::Line(RESUMED), "the run was resumed".to_owned());
        keys
    }
}

fn power_row(title: &str, part: &Part<'_>, time: &RunTime, legend: &mut Legend) -> Row {
    let curve = Curve::of(&part.grid.watts());
    let ends = curve.columns.iter().flatten().map(|column| column.most);
    // Never cut: of a run that mostly rests, what is far out is the run.
    let most = ends.chain(part.idle).fold(0.0, f64::max);
    let y = Axis::new("Power", Unit::Watts, 0.0, if most > 0.0 { 1.05 * most } else { 1.0 });
    let mut marks = Vec::new();
    if part.shown().count() <= FEW && part.is_one_by_one() {
        let up = [f64::NEG_INFINITY, f64::INFINITY];
        marks.extend(phases(part.shown().map(|span| (*span, up)), BEHIND));
    }
    let gaps = curve.gaps();
    legend.gap |= !gaps.is_empty();
    marks.push(Mark::Boxes { boxes: gaps, fill: GAP });
    legend.envelope |= curve.is_reduced;
    if curve.is_reduced {
        marks.extend(curve.bands());
    }
    marks.extend(curve.lines());
    if let Some(at) = part.idle {
        marks.push(Mark::Rule { at, direction: Direction::Across, stroke: IDLE });
    }
    let [from, to] = part.range;
    let inside = time.resumptions().into_iter().filter(|at| (from..to).contains(at));
    let resumed = inside.map(|at| Mark::Rule { at, direction: Direction::Up, stroke: RESUMED });
    let before = marks.len();
    marks.extend(resumed);
    legend.resumed |= marks.len() > before;
    let panel = Panel::new(title, part.time_axis(""), y, marks);
    Row { panels: vec![panel], height: 180.0 }
}

/// Power in columns of time.
struct Curve {
    /// From and to, and what it was; `None` where it isn't known.
    columns: Vec<Option<Column>>,
    from: f64,
    width: f64,
    /// Whether a column is of more than one cell.
    is_reduced: bool,
}

#[derive(Debug, Clone, Copy)]
struct Column {
    least: f64,
    mean: f64,
    most: f64,
}

impl Curve {
    fn of(cells: &[(f64, Option<f64>)]) -> Self {
        let of_column = cells.len().div_ceil(COLUMNS).max(1);
        let column = |cells: &[(f64, Option<f64>)]| {
            let known: Vec<f64> = cells.iter().filter_map(|cell| cell.1).collect();
            // What isn't known in most of a column isn't known in it.
            if 2 * known.len() < cells.len() || known.is_empty() {
                return None;
            }
            Some(Column {
                least: known.iter().copied().fold(f64::INFINITY, f64::min),
                mean: known.iter().sum::<f64>() / known.len() as f64,
                most: known.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            })
        };
        let step = match cells {
            [first, second, ..] => second.0 - first.0,
            _ => 0.0,
        };
        Self {
            columns: cells.chunks(of_column).map(column).collect(),
            from: cells.first().map_or(0.0, |cell| cell.0 - step / 2.0),
            width: step * of_column as f64,
            is_reduced: of_column > 1,
        }
    }

    fn start(&self, column: usize) -> f64 {
        self.from + column as f64 * self.width
    }

    /// Columns that follow each other and are known, with the index of the first.
    fn known(&self) -> Vec<(usize, Vec<Column>)> {
        let mut runs: Vec<(usize, Vec<Column>)> = Vec::new();
        for (index, column) in self.columns.iter().enumerate() {
            let Some(column) = column else { continue };
            match runs.last_mut() {
                Some((first, run)) if *first + run.len() == index => run.push(*column),
                _ => runs.push((index, vec![*column])),
            }
        }
        runs
    }

    /// Steps: a cell's power is its mean.
    fn lines(&self) -> Vec<Mark> {
        let line = |(first, run): (usize, Vec<Column>)| {
            let ends = |(index, column): (usize, &Column)| {
                [self.start(first + index), self.start(first + index + 1)]
                    .map(|at| (at, column.mean))
            };
            let points = run.iter().enumerate().flat_map(ends).collect();
            Mark::Line { points, stroke: MEAN }
        };
        self.known().into_iter().map(line).collect()
    }

    fn bands(&self) -> Vec<Mark> {
        let band = |(first, run): (usize, Vec<Column>)| {
            let ends = |(index, column): (usize, &Column)| {
                [self.start(first + index), self.start(first + index + 1)]
                    .map(|at| (at, column.least, column.most))
            };
            let columns = run.iter().enumerate().flat_map(ends).collect();
            Mark::Band { columns, fill: ENVELOPE }
        };
        self.known().into_iter().map(band).collect()
    }

    fn gaps(&self) -> Vec<Extent> {
        let mut gaps = Vec::new();
        let mut next = 0;
        let y = [f64::NEG_INFINITY, f64::INFINITY];
        let known = self.known();
        let ends = known.iter().map(|(first, run)| (*first, first + run.len()));
        for (first, end) in ends.chain([(self.columns.len(), 0)]) {
            if first > next {
                gaps.push(Extent { x: [self.start(next), self.start(first)], y });
            }
            next = end;
        }
        gaps
    }
}

/// What a request's time is painted in, by the places of [`parts`].
const KINDS: [Fill; 4] = [WARM_UP, FAILED, PREFILL, DECODE];

/// The parts of a request's time, each with its place in [`KINDS`].
fn parts(span: &Span) -> Vec<(usize, f64, f64)> {
    match span.first_token {
        _ if span.is_warm_up => vec![(0, span.from, span.to)],
        _ if span.has_failed => vec![(1, span.from, span.to)],
        Some(first_token) => vec![(2, span.from, first_token), (3, first_token, span.to)],
        None => vec![(2, span.from, span.to)],
    }
}

/// The phases of requests at heights of their own.
fn phases(spans: impl Iterator<Item = (Span, [f64; 2])>, opacity: f64) -> Vec<Mark> {
    let mut boxes: [Vec<Extent>; KINDS.len()] = Default::default();
    for (span, y) in spans {
        for (kind, from, to) in parts(&span) {
            boxes[kind].push(Extent { x: [from, to], y });
        }
    }
    let painted = |fill: Fill| Fill { opacity: opacity * fill.opacity, ..fill };
    filled(boxes, painted)
}

/// Boxes in their fills; of what there is none, nothing.
fn filled(boxes: [Vec<Extent>; KINDS.len()], painted: impl Fn(Fill) -> Fill) -> Vec<Mark> {
    let all = KINDS.into_iter().zip(boxes).filter(|(_, boxes)| !boxes.is_empty());
    all.map(|(fill, boxes)| Mark::Boxes { boxes, fill: painted(fill) }).collect()
}

/// Each request in the first lane that is free.
fn lanes_row(part: &Part<'_>) -> Row {
    let mut ends: Vec<f64> = Vec::new();
    let mut placed: Vec<(Span, usize)> = Vec::new();
    let mut left_out = 0;
    for span in part.shown() {
        let free = ends.iter().position(|end| *end <= span.from);
        let lane = match free {
            Some(lane) => lane,
            None if ends.len() < MOST_LANES => {
                ends.push(0.0);
                ends.len() - 1
            }
            None => {
                left_out += 1;
                continue;
            }
        };
        ends[lane] = span.to;
        placed.push((*span, lane));
    }
    let lanes = ends.len().max(1);
    let at = |lane: usize| [lane as f64 - 0.4, lane as f64 + 0.4];
    let marks = phases(placed.iter().map(|(span, lane)| (*span, at(*lane))), 1.0);
    let x = part.time_axis("Time of the run");
    let mut panel = Panel::new("", x, Axis::of_names(vec![String::new(); lanes]), marks);
    if left_out > 0 {
        panel = panel
            .noting(format!("{left_out} more requests under way at the same time are not shown"));
    }
    Row { panels: vec![panel], height: (14.0 * lanes as f64).clamp(16.0, 150.0) }
}

/// How many requests were under way, by phase: of many, lanes can't be told apart.
fn in_flight_row(part: &Part<'_>) -> Row {
    let [start, end] = part.range;
    let width = (end - start) / COLUMNS as f64;
    let mut columns = vec![[0.0_f64; KINDS.len()]; COLUMNS];
    for (kind, from, to) in part.spans.iter().flat_map(parts) {
        let first = ((from - start) / width).floor().max(0.0) as usize;
        for (index, column) in columns.iter_mut().enumerate().skip(first) {
            let begin = start + index as f64 * width;
            if begin >= to {
                break;
            }
            column[kind] += ((begin + width).min(to) - begin.max(from)).max(0.0) / width;
        }
    }
    let mut boxes: [Vec<Extent>; KINDS.len()] = Default::default();
    let mut most = 1.0_f64;
    for (index, column) in columns.iter().enumerate() {
        let from = start + index as f64 * width;
        let mut below = 0.0;
        for (boxes, height) in boxes.iter_mut().zip(column).filter(|(_, height)| **height > 0.0) {
            boxes.push(Extent { x: [from, from + width], y: [below, below + height] });
            below += height;
        }
        most = most.max(below);
    }
    let marks = filled(boxes, |fill| fill);
    let y = Axis::new("In flight", Unit::Plain, 0.0, most);
    let panel = Panel::new("", part.time_axis("Time of the run"), y, marks);
    Row { panels: vec![panel], height: 52.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: f64, to: f64) -> Span {
        Span { from, first_token: None, to, is_warm_up: false, has_failed: false }
    }

    #[test]
    fn peaks_are_in_the_envelope_however_long_the_run_is() {
        let cells: Vec<(f64, Option<f64>)> = (0..60_000)
            .map(|n| (f64::from(n) + 0.5, Some(if n == 12_345 { 900.0 } else { 100.0 })))
            .collect();
        let curve = Curve::of(&cells);
        assert!(curve.is_reduced && curve.columns.len() <= COLUMNS);
        let most = curve.columns.iter().flatten().map(|column| column.most).fold(0.0, f64::max);
        assert_eq!(most, 900.0);
        assert!(curve.gaps().is_empty() && curve.lines().len() == 1);
    }

    #[test]
    fn what_is_not_known_is_a_gap_and_breaks_the_line() {
        let cell = |n: i32| (f64::from(n) + 0.5, (!(3..6).contains(&n) && n < 9).then_some(1.0));
        let curve = Curve::of(&(0..10).map(cell).collect::<Vec<_>>());
        let gaps: Vec<[f64; 2]> = curve.gaps().iter().map(|gap| gap.x).collect();
        assert_eq!(gaps, [[3.0, 6.0], [9.0, 10.0]]);
        assert_eq!(curve.lines().len(), 2);
    }

    #[test]
    fn a_stretch_holds_whole_queries_from_the_middle() {
        let spans: Vec<Span> = (0..100).map(|n| span(f64::from(n), f64::from(n) + 0.9)).collect();
        let [from, to] = stretch(&spans).unwrap();
        assert!(from < 43.0 && 42.0 < from && 49.9 < to && to < 51.0, "{from} {to}");
        assert_eq!(stretch(&spans[..FEW]), None);
    }

    #[test]
    fn requests_at_the_same_time_have_lanes_of_their_own() {
        let spans = [span(0.0, 2.0), span(1.0, 3.0), span(2.0, 4.0)];
        let grid = Grid::new(0.0, 4.0, 1, 1);
        let part = Part { grid: &grid, range: [0.0, 4.0], spans: &spans, idle: None };
        assert!(!part.is_one_by_one());
        assert_eq!(lanes_row(&part).panels[0].y.names.len(), 2);
        let many: Vec<Span> = (0..76).map(|_| span(0.0, 1.0)).collect();
        let row = lanes_row(&Part { spans: &many, ..part });
        assert_eq!(row.panels[0].y.names.len(), MOST_LANES);
        assert!(row.panels[0].notes[0].starts_with("12 more"));
    }
}
