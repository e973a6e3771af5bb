//! One pair of axes with data: room is made for its texts first, and the rest is the data's.

use super::axis::{Axis, Scale, is_plottable};
use super::font;
use super::mark::{Frame, Mark};
use super::number::count;
use super::palette::Ink;
use super::scene::{Align, Area, Label, Point, Scene, Shape, Stroke};
use super::ticks::Tick;

const TITLE_SIZE: f64 = 13.0;
const TEXT_SIZE: f64 = 11.0;
const AXIS_SIZE: f64 = 12.0;
/// The length of a tick, and the space between things that belong together.
const TICK: f64 = 4.0;
/// The least space between two labels.
const APART: f64 = 10.0;
/// What is free at the right for half of the last label.
const RIGHT: f64 = 14.0;
/// The most of a panel's width that names at its left may take.
const NAMES_SHARE: f64 = 0.4;

/// A panel.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// What it shows; may be empty.
    pub title: String,
    /// What must be said of it, a line each.
    pub notes: Vec<String>,
    /// From left to right.
    pub x: Axis,
    /// From below to above.
    pub y: Axis,
    /// From the back to the front.
    pub marks: Vec<Mark>,
    /// Why nothing can be shown.
    pub empty: Option<String>,
}

impl Panel {
    /// A panel of data.
    #[must_use]
    pub fn new(title: &str, x: Axis, y: Axis, marks: Vec<Mark>) -> Self {
        Self { title: title.to_owned(), notes: Vec::new(), x, y, marks, empty: None }
    }

    /// A panel that says why it is empty.
    #[must_use]
    pub fn without_data(title: &str, why: &str) -> Self {
        let axis = || Axis::new("", super::number::Unit::Plain, 0.0, 1.0);
        Self { empty: Some(why.to_owned()), ..Self::new(title, axis(), axis(), Vec::new()) }
    }

    /// Says more about it.
    #[must_use]
    pub fn noting(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// How much of the height above the data is taken by texts.
    #[must_use]
    pub fn head(&self) -> f64 {
        let title = if self.title.is_empty() { 0.0 } else { font::line_height(TITLE_SIZE) };
        title + font::line_height(TEXT_SIZE) * self.all_notes().len() as f64 + 2.0 * TICK
    }

    /// How much of the height below the data.
    #[must_use]
    pub fn foot(&self) -> f64 {
        let title = if self.x.title().is_empty() { 0.0 } else { font::line_height(AXIS_SIZE) };
        TICK + font::line_height(TEXT_SIZE) + title + TICK
    }

    /// How much of the width at the left of the data, if it is `height` high.
    #[must_use]
    pub fn left(&self, width: f64, height: f64) -> f64 {
        let labels =
            self.y_ticks(width, height).into_iter().map(|tick| font::width(&tick.1, TEXT_SIZE));
        let title =
            if self.y.title().is_empty() { 0.0 } else { font::line_height(AXIS_SIZE) + TICK };
        title + labels.fold(0.0, f64::max) + 2.0 * TICK
    }

    fn y_ticks(&self, width: f64, height: f64) -> Vec<Tick> {
        if self.empty.is_some() {
            return Vec::new();
        }
        let most = (height / 36.0).clamp(2.0, 8.0) as usize;
        let mut ticks = self.y.ticks(most);
        for tick in &mut ticks {
            tick.1 = font::fit(&tick.1, TEXT_SIZE, width * NAMES_SHARE);
        }
        ticks
    }

    /// What is said of it, with how many are beyond its axes.
    fn all_notes(&self) -> Vec<String> {
        self.notes.iter().cloned().chain(self.beyond()).collect()
    }

    fn beyond(&self) -> Option<String> {
        let points = || self.marks.iter().flat_map(Mark::points).copied();
        let known = |at: &(f64, f64)| is_plottable(at.0) && is_plottable(at.1);
        let outside = |at: &(f64, f64)| !(self.x.holds(at.0) && self.y.holds(at.1));
        let beyond: Vec<(f64, f64)> = points().filter(known).filter(outside).collect();
        if beyond.is_empty() {
            return None;
        }
        let farthest = |axis: &Axis, value: fn(&(f64, f64)) -> f64| {
            let above = beyond.iter().map(value).filter(|value| *value > axis.high);
            let most = above.fold(f64::NEG_INFINITY, f64::max);
            most.is_finite().then(|| axis.unit.text(most))
        };
        let ends = [farthest(&self.x, |at| at.0), farthest(&self.y, |at| at.1)];
        let ends: Vec<String> = ends.into_iter().flatten().collect();
        let up_to =
            if ends.is_empty() { String::new() } else { format!(", up to {}", ends.join(", ")) };
        Some(format!("{} beyond{up_to}", count(beyond.len())))
    }

    /// Draws it into `outer`, with the data from `left` on.
    pub fn draw(&self, scene: &mut Scene, outer: Area, left: f64, head: f64) {
        self.draw_head(scene, outer, left);
        let area = Area {
            left: outer.left + left,
            top: outer.top + head,
            width: outer.width - left - RIGHT,
            height: outer.height - head - self.foot(),
        };
        if let Some(why) = &self.empty {
            return draw_empty(scene, area, why);
        }
        let frame = Frame { area, x: &self.x, y: &self.y };
        let x_ticks = x_ticks(&frame, outer);
        let y_ticks = self.y_ticks(outer.width, area.height);
        draw_grid(scene, &frame, &x_ticks, &y_ticks);
        for mark in &self.marks {
            scene.shapes.extend(mark.shapes(&frame));
        }
        draw_axes(scene, &frame, outer, &x_ticks, &y_ticks);
    }

    fn draw_head(&self, scene: &mut Scene, outer: Area, left: f64) {
        // A head wider than the data would stand beside its own panel.
        let (x, width) = (outer.left + left, outer.width - left);
        let mut y = outer.top;
        if !self.title.is_empty() {
            let title = font::fit(&self.title, TITLE_SIZE, width);
            let at = Point::new(x, y + font::ascent(TITLE_SIZE));
            scene.write(&title, at, TITLE_SIZE, Align::Start, Ink::Text);
            y += font::line_height(TITLE_SIZE);
        }
        for note in self.all_notes() {
            let at = Point::new(x, y + font::ascent(TEXT_SIZE));
            let note = font::fit(&note, TEXT_SIZE, width);
            scene.write(&note, at, TEXT_SIZE, Align::Start, Ink::Muted);
            y += font::line_height(TEXT_SIZE);
        }
    }
}

fn draw_empty(scene: &mut Scene, area: Area, why: &str) {
    let mut outline = area.corners();
    outline.push(outline[0]);
    scene.shapes.push(Shape::Lines { lines: vec![outline], stroke: Stroke::solid(Ink::Grid, 1.0) });
    let lines = font::wrap(why, TEXT_SIZE, area.width - 2.0 * APART, 4);
    let height = font::line_height(TEXT_SIZE);
    let top = area.top + (area.height - height * lines.len() as f64) / 2.0;
    for (index, line) in lines.iter().enumerate() {
        let y = top + height * index as f64 + font::ascent(TEXT_SIZE);
        let at = Point::new(area.left + area.width / 2.0, y);
        scene.write(line, at, TEXT_SIZE, Align::Middle, Ink::Muted);
    }
}

/// As many ticks as have room for their labels: where each is, where its label's middle is, and the label.
fn x_ticks(frame: &Frame<'_>, outer: Area) -> Vec<(f64, f64, String)> {
    let most = (frame.area.width / 40.0).clamp(1.0, 12.0) as usize;
    for most in (1..=most).rev() {
        let ticks: Vec<(f64, f64, String)> = frame
            .x
            .ticks(most)
            .into_iter()
            .map(|(value, label)| {
                let (at, half) = (frame.x_at(value), font::width(&label, TEXT_SIZE) / 2.0);
                // Not beyond the panel, whose neighbour has labels, too.
                let middle = at.min(outer.right() - half).max(outer.left + half);
                (at, middle, label)
            })
            .collect();
        let has_room = ticks.windows(2).all(|pair| {
            let width = |tick: &(f64, f64, String)| font::width(&tick.2, TEXT_SIZE) / 2.0;
            pair[0].1 + width(&pair[0]) + APART <= pair[1].1 - width(&pair[1])
        });
        if has_room {
            return ticks;
        }
    }
    Vec::new()
}

fn draw_grid(scene: &mut Scene, frame: &Frame<'_>, x: &[(f64, f64, String)], y: &[Tick]) {
    let area = &frame.area;
    let upright =
        x.iter().map(|(at, ..)| vec![Point::new(*at, area.top), Point::new(*at, area.bottom())]);
    let across = y.iter().map(|(value, _)| {
        let at = frame.y_at(*value);
        vec![Point::new(area.left, at), Point::new(area.right(), at)]
    });
    let lines = upright.chain(across).collect();
    scene.shapes.push(Shape::Lines { lines, stroke: Stroke::solid(Ink::Grid, 1.0) });
}

fn draw_axes(
    scene: &mut Scene,
    frame: &Frame<'_>,
    outer: Area,
    x: &[(f64, f64, String)],
    y: &[Tick],
) {
    let area = &frame.area;
    let corner = Point::new(area.left, area.bottom());
    let mut lines = vec![vec![
        Point::new(area.left, area.top),
        corner,
        Point::new(area.right(), area.bottom()),
    ]];
    lines.extend(x.iter().map(|(at, ..)| {
        vec![Point::new(*at, area.bottom()), Point::new(*at, area.bottom() + TICK)]
    }));
    if frame.y.names.is_empty() {
        lines.extend(y.iter().map(|(value, _)| {
            let at = frame.y_at(*value);
            vec![Point::new(area.left - TICK, at), Point::new(area.left, at)]
        }));
    }
    if frame.x.scale == Scale::Logarithmic || frame.y.scale == Scale::Logarithmic {
        lines.extend(minor_ticks(frame));
    }
    scene.shapes.push(Shape::Lines { lines, stroke: Stroke::solid(Ink::Frame, 1.0) });

    let baseline = area.bottom() + TICK + 3.0 + font::ascent(TEXT_SIZE);
    for (_, middle, label) in x {
        scene.write(label, Point::new(*middle, baseline), TEXT_SIZE, Align::Middle, Ink::Muted);
    }
    for (value, label) in y {
        // The middle of a digit is at 0.36 of its size.
        let at = Point::new(area.left - 2.0 * TICK, frame.y_at(*value) + 0.36 * TEXT_SIZE);
        scene.write(label, at, TEXT_SIZE, Align::End, Ink::Muted);
    }
    let title = font::fit(&frame.x.title(), AXIS_SIZE, outer.width);
    let half = font::width(&title, AXIS_SIZE) / 2.0;
    let middle = (area.left + area.width / 2.0).min(outer.right() - half).max(outer.left + half);
    let y = outer.bottom() - font::descent(AXIS_SIZE) - TICK;
    scene.write(&title, Point::new(middle, y), AXIS_SIZE, Align::Middle, Ink::Text);
    write_turned(scene, &frame.y.title(), outer, area);
}

fn write_turned(scene: &mut Scene, title: &str, outer: Area, area: &Area) {
    let text = font::fit(title, AXIS_SIZE, outer.height);
    if text.is_empty() {
        return;
    }
    let half = font::width(&text, AXIS_SIZE) / 2.0;
    // A title longer than its axis may reach beside the foot, not above the panel.
    let middle = (area.top + area.height / 2.0).max(outer.top + half).min(outer.bottom() - half);
    let at = Point::new(outer.left + font::ascent(AXIS_SIZE), middle);
    let (size, align, ink) = (AXIS_SIZE, Align::Middle, Ink::Text);
    scene.shapes.push(Shape::Text(Label { text, at, size, align, ink, turned: true }));
}

/// What shows at a glance that an axis is logarithmic: short ticks at 1 to 9 times each power of ten.
fn minor_ticks(frame: &Frame<'_>) -> Vec<Vec<Point>> {
    let area = &frame.area;
    let across = minor(frame.x).into_iter().map(|value| {
        let at = frame.x_at(value);
        vec![Point::new(at, area.bottom()), Point::new(at, area.bottom() + TICK / 2.0)]
    });
    let up = minor(frame.y).into_iter().map(|value| {
        let at = frame.y_at(value);
        vec![Point::new(area.left - TICK / 2.0, at), Point::new(area.left, at)]
    });
    across.chain(up).collect()
}

fn minor(axis: &Axis) -> Vec<f64> {
    let decades = (axis.high / axis.low).log10();
    // Over more decades they would be a grey line.
    if axis.scale == Scale::Linear || decades > 8.0 {
        return Vec::new();
    }
    let (first, last) = (axis.low.log10().floor() as i32, axis.high.log10().ceil() as i32);
    let all = (first..=last)
        .flat_map(|exponent| (1..10).map(move |factor| f64::from(factor) * 10_f64.powi(exponent)));
    all.filter(|value| axis.holds(*value)).collect()
}
