//! The energy of each query, by when it was sent: whether a run was steady.

use super::{MOST_BARS, WIDTH, bars};
use crate::analysis::stats::quantile;
use crate::plot::axis::{Axis, is_plottable};
use crate::plot::data::{Query, positive};
use crate::plot::figure::{Figure, Key, Row, Sample};
use crate::plot::mark::{Datum, Direction, Mark};
use crate::plot::number::{Unit, count};
use crate::plot::palette::{Hue, Ink};
use crate::plot::panel::Panel;
use crate::plot::run_time::RunTime;
use crate::plot::scene::{Fill, Stroke};
use crate::plot::{NotDrawable, RunData, Visualization};

/// Energy by query over time.
pub(in crate::plot) struct EnergyOverTime;

/// A longer run is summed up in so many stretches of time.
const STRETCHES: usize = 120;

const ALL: Fill = Fill { ink: Ink::Hue(Hue::Sky), opacity: 0.3 };
const HALF: Fill = Fill { ink: Ink::Hue(Hue::Blue), opacity: 0.35 };
const MEDIAN: Stroke = Stroke::solid(Ink::Hue(Hue::Blue), 1.8);
pub(super) const RESUMED: Stroke = Stroke::dashed(Ink::Hue(Hue::Purple), 1.4);

impl Visualization for EnergyOverTime {
    fn id(&self) -> &'static str {
        "energy_over_time"
    }

    fn help(&self) -> &'static str {
        "energy of each query over the run, with its bounds"
    }

    fn draw(&self, run: &RunData) -> Result<Figure, NotDrawable> {
        let requests = run.requests.as_ref().map_err(|error| NotDrawable(error.clone()))?;
        let time = RunTime::of(&run.summary.segments, requests);
        let when = |query: &Query| time.seconds_of_unix(query.started_at_nanos);
        let with_energy = |query: &Query| Some((when(query)?, positive(query.joules)?));
        let answered: Vec<Datum> = run.answered().filter_map(with_energy).collect();
        let failed = run.queries.iter().filter(|query| !query.is_ok());
        let failed: Vec<Datum> = failed.filter_map(with_energy).collect();
        let values = answered.iter().chain(&failed).map(|at| at.1);
        let Some(mut y) = Axis::from_zero("Energy per query", Unit::Joules, values.clone()) else {
            return Err(NotDrawable(run.why_no_energy()));
        };
        let x = Axis::new("Time of the run, pauses left out", Unit::Seconds, 0.0, time.length());
        let (mut marks, mut legend) = (Vec::new(), Vec::new());
        let mut summed_up_beyond = None;
        if answered.len() <= MOST_BARS {
            let span = |query: &Query, ends: Option<[f64; 2]>| {
                let [low, high] = ends?;
                Some((with_energy(query)?.0, low, high))
            };
            let bounds: Vec<_> =
                run.answered().filter_map(|query| span(query, query.bounds())).collect();
            let intervals: Vec<_> =
                run.answered().filter_map(|query| span(query, query.interval())).collect();
            // Bars that nearly fit get room; those that are far longer than energies are cut.
            let reach =
                bounds.iter().chain(&intervals).map(|bar| bar.2).filter(|end| is_plottable(*end));
            let reach = Axis::from_zero("", Unit::Joules, values.chain(reach))
                .map_or(y.high, |axis| axis.high);
            y.high = y.high.max(reach.min(2.0 * y.high));
            marks.extend(bars(bounds, intervals, &mut legend));
            marks.push(Mark::Dots { points: answered, hue: Hue::Blue, radius: 2.6 });
            legend.insert(0, Key::new(Sample::Dot(Hue::Blue), "a query"));
        } else {
            marks.extend(summed_up(&answered, &time));
            summed_up_beyond = beyond(&answered, y.high);
            legend.extend([
                Key::new(Sample::Line(MEDIAN), "median of the queries at a time"),
                Key::new(Sample::Surface(HALF), "middle half"),
                Key::new(Sample::Surface(ALL), "all"),
            ]);
        }
        if !failed.is_empty() {
            marks.push(Mark::Crosses { points: failed, hue: Hue::Vermillion });
            legend.push(Key::new(Sample::Cross(Hue::Vermillion), "a query that failed"));
        }
        if !time.resumptions().is_empty() {
            legend.push(Key::new(Sample::Line(RESUMED), "the run was resumed"));
        }
        marks.extend(time.resumptions().into_iter().map(|at| Mark::Rule {
            at,
            direction: Direction::Up,
            stroke: RESUMED,
        }));
        let mut panel = Panel::new("", x, y, marks).noting(told(run));
        panel = summed_up_beyond.into_iter().fold(panel, Panel::noting);
        Ok(Figure {
            id: self.id(),
            title: "Energy by query over time".to_owned(),
            description: format!(
                "Energy of each query by the time at which it was sent. {}.",
                told(run)
            ),
            caption: run.caption(),
            legend,
            rows: vec![Row { panels: vec![panel], height: 270.0 }],
            table: None,
            notes: Vec::new(),
            width: WIDTH,
        })
    }
}

fn told(run: &RunData) -> String {
    let mut sorted = run.values(|query| positive(query.joules));
    sorted.sort_by(f64::total_cmp);
    let of =
        |q: f64, name: &str| Some(format!("{name} {}", Unit::Joules.text(quantile(&sorted, q)?)));
    let mut told: Vec<String> =
        [of(0.05, "p5"), of(0.5, "median"), of(0.95, "p95")].into_iter().flatten().collect();
    let answered = run.answered().count();
    told.push(format!("energy of {} of {} answered queries", count(sorted.len()), count(answered)));
    told.join(" · ")
}

/// What the bands don't show, since they end where the axis does.
fn beyond(points: &[Datum], high: f64) -> Option<String> {
    let above: Vec<f64> = points.iter().map(|at| at.1).filter(|joules| *joules > high).collect();
    let most = above.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let up_to = || Unit::Joules.text(most);
    (!above.is_empty()).then(|| format!("{} beyond, up to {}", count(above.len()), up_to()))
}

/// Medians and ranges of the queries that were sent in each stretch of time.
fn summed_up(points: &[Datum], time: &RunTime) -> Vec<Mark> {
    let length = time.length() / STRETCHES as f64;
    let mut stretches = vec![Vec::new(); STRETCHES];
    for (at, value) in points.iter().filter(|_| length > 0.0) {
        stretches[((at / length) as usize).min(STRETCHES - 1)].push(*value);
    }
    let (mut all, mut half, mut median) = (Vec::new(), Vec::new(), Vec::new());
    for (index, values) in stretches.iter_mut().enumerate() {
        values.sort_by(f64::total_cmp);
        let at = (index as f64 + 0.5) * length;
        let of = |q| quantile(values, q);
        let (Some(least), Some(low), Some(middle), Some(high), Some(most)) =
            (of(0.0), of(0.25), of(0.5), of(0.75), of(1.0))
        else {
            continue;
        };
        all.push((at, least, most));
        half.push((at, low, high));
        median.push((at, middle));
    }
    vec![
        Mark::Band { columns: all, fill: ALL },
        Mark::Band { columns: half, fill: HALF },
        Mark::Line { points: median, stroke: MEDIAN },
    ]
}
