//! What a panel shows of data, in the data's own numbers, and how that becomes shapes.

use super::axis::{Axis, is_plottable};
use super::cells;
use super::font;
use super::palette::{Hue, Ink};
use super::scene::{Align, Area, Fill, Label, Point, Shape, Stroke};

/// More dots than these hide each other; cells show how many there are.
pub const MOST_DOTS: usize = 1_500;

/// From the middle of a triangle at an edge to its tip, in pixels.
const TRIANGLE: f64 = 4.0;

/// The same, where an interval is cut.
const CUT: f64 = 2.5;

/// From the middle of a cross to its corners, in pixels.
const CROSS: f64 = 3.0;

/// The size of a tag's text, in pixels.
const TAG_SIZE: f64 = 11.0;

/// A place in data.
pub type Datum = (f64, f64);

/// Which way something lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Along the x axis.
    Across,
    /// Along the y axis.
    Up,
}

/// A rectangle in data; an infinite end is the frame's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extent {
    /// From and to.
    pub x: [f64; 2],
    /// From and to.
    pub y: [f64; 2],
}

/// Data in a panel.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// A dot for each; triangles at the edges for those beyond.
    Dots {
        /// Where.
        points: Vec<Datum>,
        /// In what.
        hue: Hue,
        /// In pixels.
        radius: f64,
    },
    /// Cells by how many there are in each; triangles as for dots.
    Cells {
        /// Where.
        points: Vec<Datum>,
    },
    /// A cross for each.
    Crosses {
        /// Where.
        points: Vec<Datum>,
        /// In what.
        hue: Hue,
    },
    /// A line through points.
    Line {
        /// In order.
        points: Vec<Datum>,
        /// Its look.
        stroke: Stroke,
    },
    /// The surface between two lines.
    Band {
        /// x, lower y, upper y, in order.
        columns: Vec<(f64, f64, f64)>,
        /// Its paint.
        fill: Fill,
    },
    /// Rectangles.
    Boxes {
        /// Where.
        boxes: Vec<Extent>,
        /// Their paint.
        fill: Fill,
    },
    /// Intervals; small triangles at the edges for ends beyond.
    Bars {
        /// The place on the other axis, and from where to where.
        bars: Vec<(f64, f64, f64)>,
        /// Along which axis.
        direction: Direction,
        /// Their look.
        stroke: Stroke,
    },
    /// A line from edge to edge.
    Rule {
        /// The place on the axis that it crosses.
        at: f64,
        /// Along which axis it lies.
        direction: Direction,
        /// Its look.
        stroke: Stroke,
    },
    /// Short texts beside points, as far as there is room for them.
    Tags {
        /// Where, and what.
        tags: Vec<(Datum, String)>,
    },
}

/// Where data is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// In the scene.
    pub area: Area,
    /// From left to right.
    pub x: &'a Axis,
    /// From below to above.
    pub y: &'a Axis,
}

impl Mark {
    /// Dots, or cells where they would be too many.
    #[must_use]
    pub fn scatter(points: Vec<Datum>, hue: Hue) -> Self {
        if points.len() > MOST_DOTS {
            return Self::Cells { points };
        }
        Self::Dots { radius: if points.len() > 300 { 2.0 } else { 2.8 }, points, hue }
    }

    /// Those of its points that should be in the frame.
    #[must_use]
    pub fn points(&self) -> &[Datum] {
        match self {
            Self::Dots { points, .. } | Self::Cells { points } | Self::Crosses { points, .. } => {
                points
            }
            _ => &[],
        }
    }

    /// As shapes.
    #[must_use]
    pub fn shapes(&self, frame: &Frame<'_>) -> Vec<Shape> {
        match self {
            Self::Dots { points, hue, radius } => dots(frame, points, *hue, *radius),
            Self::Cells { points } => {
                let inside = points.iter().filter_map(|at| frame.inside(*at)).collect::<Vec<_>>();
                let mut shapes = cells::shapes(&inside, &frame.area);
                shapes.extend(triangles(frame, points, Ink::Hue(Hue::Blue)));
                shapes
            }
            Self::Crosses { points, hue } => crosses(frame, points, *hue),
            Self::Line { points, stroke } => {
                let lines = frame.clipped(points);
                vec![Shape::Lines { lines, stroke: *stroke }]
            }
            Self::Band { columns, fill } => band(frame, columns, *fill),
            Self::Boxes { boxes, fill } => {
                let outlines = boxes
                    .iter()
                    .filter_map(|extent| frame.extent(extent))
                    .map(|area| area.corners());
                vec![Shape::Surfaces { outlines: outlines.collect(), fill: *fill }]
            }
            Self::Bars { bars, direction, stroke } => {
                let lines = bars.iter().filter_map(|bar| frame.bar(*bar, *direction)).collect();
                let cut = bars.iter().flat_map(|bar| frame.cut_ends(*bar, *direction)).collect();
                let cut = at_edges(cut, CUT, Fill { ink: stroke.ink, opacity: stroke.opacity });
                let lines = Shape::Lines { lines, stroke: *stroke };
                std::iter::once(lines).chain(cut).collect()
            }
            Self::Rule { at, direction, stroke } => {
                let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
                let lines = frame.bar((*at, low, high), *direction).into_iter().collect();
                vec![Shape::Lines { lines, stroke: *stroke }]
            }
            Self::Tags { tags } => self::tags(frame, tags),
        }
    }
}

impl Frame<'_> {
    /// Where a value is, wherever that may be.
    fn place(&self, (x, y): Datum) -> Point {
        Point::new(self.x_at(x), self.y_at(y))
    }

    /// Where on the scene a value of the x axis is.
    #[must_use]
    pub fn x_at(&self, value: f64) -> f64 {
        self.area.left + self.x.share(value) * self.area.width
    }

    /// The same of the y axis.
    #[must_use]
    pub fn y_at(&self, value: f64) -> f64 {
        self.area.bottom() - self.y.share(value) * self.area.height
    }

    fn inside(&self, at: Datum) -> Option<Point> {
        let known = is_plottable(at.0) && is_plottable(at.1);
        (known && self.x.holds(at.0) && self.y.holds(at.1)).then(|| self.place(at))
    }

    /// The nearest place inside, and the direction to the outside, of what is beyond.
    fn edge(&self, at: Datum) -> Option<(Point, Point)> {
        let known = is_plottable(at.0) && is_plottable(at.1);
        if !known || (self.x.holds(at.0) && self.y.holds(at.1)) {
            return None;
        }
        let place = self.place(at);
        let area = &self.area;
        let held = Point::new(
            place.x.clamp(area.left, area.right()),
            place.y.clamp(area.top, area.bottom()),
        );
        let away = Point::new(sign(place.x - held.x), sign(place.y - held.y));
        Some((held, away))
    }

    fn extent(&self, extent: &Extent) -> Option<Area> {
        let ends = |ends: [f64; 2], at: &dyn Fn(f64) -> f64, low: f64, high: f64| {
            let [a, b] = ends.map(|end| at(end).clamp(low, high));
            (a.is_finite() && b.is_finite()).then_some([a, b])
        };
        let area = &self.area;
        let [x0, x1] = ends(extent.x, &|value| self.x_at(value), area.left, area.right())?;
        let [y0, y1] = ends(extent.y, &|value| self.y_at(value), area.top, area.bottom())?;
        let shown = Area::between(Point::new(x0, y0), Point::new(x1, y1));
        (shown.width > 0.0 && shown.height > 0.0).then_some(shown)
    }

    fn bar(&self, (at, low, high): (f64, f64, f64), direction: Direction) -> Option<Vec<Point>> {
        let area = &self.area;
        let (across, along) = match direction {
            Direction::Up => (self.x, self.y),
            Direction::Across => (self.y, self.x),
        };
        if !across.holds(at) {
            return None;
        }
        let [from, to] = [low, high].map(|end| along.share(end).clamp(0.0, 1.0));
        // Both ends beyond the same edge, or not numbers.
        if from == to || !(from.is_finite() && to.is_finite()) {
            return None;
        }
        Some(
            [from, to]
                .map(|share| match direction {
                    Direction::Up => Point::new(self.x_at(at), area.bottom() - share * area.height),
                    Direction::Across => Point::new(area.left + share * area.width, self.y_at(at)),
                })
                .to_vec(),
        )
    }

    /// Where a bar that is partly inside leaves the frame, and the direction to the outside.
    fn cut_ends(&self, bar: (f64, f64, f64), direction: Direction) -> Vec<(Point, Point)> {
        let Some(line) = self.bar(bar, direction) else { return Vec::new() };
        let (along, outwards) = match direction {
            Direction::Up => (self.y, Point::new(0.0, -1.0)),
            Direction::Across => (self.x, Point::new(1.0, 0.0)),
        };
        let cut = |(value, at): (f64, &Point)| match along.share(value) {
            above if above > 1.0 + 1e-9 => Some((*at, outwards)),
            // Down to an axis that begins at zero is no cut: there is nothing below.
            _ if along.low == 0.0 => None,
            below if below < -1e-9 => Some((*at, Point::new(-outwards.x, -outwards.y))),
            _ => None,
        };
        [bar.1, bar.2].into_iter().zip(&line).filter_map(cut).collect()
    }

    /// The parts of a line that are inside.
    fn clipped(&self, points: &[Datum]) -> Vec<Vec<Point>> {
        let mut lines: Vec<Vec<Point>> = Vec::new();
        for pair in points.windows(2) {
            let Some([from, to]) = clip(self.place(pair[0]), self.place(pair[1]), &self.area)
            else {
                continue;
            };
            match lines.last_mut() {
                Some(line) if line.last() == Some(&from) => line.push(to),
                _ => lines.push(vec![from, to]),
            }
        }
        lines
    }
}

/// The part of a straight line inside an area (Liang and Barsky).
fn clip(from: Point, to: Point, area: &Area) -> Option<[Point; 2]> {
    let (dx, dy) = (to.x - from.x, to.y - from.y);
    if !(from.x.is_finite() && from.y.is_finite() && dx.is_finite() && dy.is_finite()) {
        return None;
    }
    let (mut enters, mut leaves) = (0.0_f64, 1.0_f64);
    for (towards, room) in [
        (-dx, from.x - area.left),
        (dx, area.right() - from.x),
        (-dy, from.y - area.top),
        (dy, area.bottom() - from.y),
    ] {
        if towards == 0.0 {
            if room < 0.0 {
                return None;
            }
        } else if towards < 0.0 {
            enters = enters.max(room / towards);
        } else {
            leaves = leaves.min(room / towards);
        }
    }
    if enters > leaves {
        return None;
    }
    // Ends that are inside stay as they are, so that the next part joins.
    let at = |share: f64| match share {
        0.0 => from,
        1.0 => to,
        share => Point::new(from.x + share * dx, from.y + share * dy),
    };
    Some([at(enters), at(leaves)])
}

fn sign(value: f64) -> f64 {
    if value > 0.0 {
        1.0
    } else if value < 0.0 {
        -1.0
    } else {
        0.0
    }
}

fn dots(frame: &Frame<'_>, points: &[Datum], hue: Hue, radius: f64) -> Vec<Shape> {
    let centres: Vec<Point> = points.iter().filter_map(|at| frame.inside(*at)).collect();
    let opacity = if points.len() > 100 { 0.5 } else { 0.8 };
    let mut shapes =
        vec![Shape::Dots { centres, radius, fill: Fill { ink: Ink::Hue(hue), opacity } }];
    shapes.extend(triangles(frame, points, Ink::Hue(hue)));
    shapes
}

/// At the edges, for what is beyond them.
fn triangles(frame: &Frame<'_>, points: &[Datum], ink: Ink) -> Option<Shape> {
    let edges = points.iter().filter_map(|at| frame.edge(*at)).collect();
    at_edges(edges, TRIANGLE, Fill::solid(ink))
}

/// Triangles at places on the edge, each with the direction to the outside.
fn at_edges(mut edges: Vec<(Point, Point)>, size: f64, fill: Fill) -> Option<Shape> {
    // Many in one place look like one.
    let cell = |edge: &(Point, Point)| {
        let whole = |value: f64| (value / 2.0).round() as i64;
        (whole(edge.0.x), whole(edge.0.y), whole(2.0 * edge.1.x), whole(2.0 * edge.1.y))
    };
    edges.sort_by_key(cell);
    edges.dedup_by_key(|edge| cell(edge));
    let outlines: Vec<Vec<Point>> =
        edges.iter().map(|edge| triangle(edge.0, edge.1, size)).collect();
    (!outlines.is_empty()).then_some(Shape::Surfaces { outlines, fill })
}

/// With its tip at `at`, in the direction `away`, whose parts are -1, 0 or 1.
fn triangle(at: Point, away: Point, size: f64) -> Vec<Point> {
    let length = away.x.hypot(away.y).max(1.0);
    let (x, y) = (away.x / length * size, away.y / length * size);
    let base = Point::new(at.x - 2.0 * x, at.y - 2.0 * y);
    vec![at, Point::new(base.x - y, base.y + x), Point::new(base.x + y, base.y - x)]
}

fn crosses(frame: &Frame<'_>, points: &[Datum], hue: Hue) -> Vec<Shape> {
    let arm = |at: Point, dy: f64| {
        vec![Point::new(at.x - CROSS, at.y - dy), Point::new(at.x + CROSS, at.y + dy)]
    };
    let inside = points.iter().filter_map(|at| frame.inside(*at));
    let lines = inside.flat_map(|at| [arm(at, CROSS), arm(at, -CROSS)]).collect();
    vec![Shape::Lines { lines, stroke: Stroke::solid(Ink::Hue(hue), 1.4) }]
}

fn band(frame: &Frame<'_>, columns: &[(f64, f64, f64)], fill: Fill) -> Vec<Shape> {
    let area = &frame.area;
    let edge = |upper: bool| {
        columns.iter().filter_map(move |(x, low, high)| {
            let value = if upper { *high } else { *low };
            let y = frame.y_at(value).clamp(area.top, area.bottom());
            (frame.x.holds(*x) && y.is_finite()).then(|| Point::new(frame.x_at(*x), y))
        })
    };
    let lower: Vec<Point> = edge(false).collect();
    let outline: Vec<Point> = edge(true).chain(lower.into_iter().rev()).collect();
    let outlines = if outline.len() > 2 { vec![outline] } else { Vec::new() };
    vec![Shape::Surfaces { outlines, fill }]
}

/// Each text where there is room beside its point; none where it would lie on another one or on a point.
fn tags(frame: &Frame<'_>, tags: &[(Datum, String)]) -> Vec<Shape> {
    const NEAR: f64 = 6.0;
    let points: Vec<Point> = tags.iter().filter_map(|(at, _)| frame.inside(*at)).collect();
    let mut taken: Vec<Area> = points
        .iter()
        .map(|at| Area { left: at.x - 3.0, top: at.y - 3.0, width: 6.0, height: 6.0 })
        .collect();
    let mut shapes = Vec::new();
    for (at, text) in tags {
        let Some(at) = frame.inside(*at) else { continue };
        let beside = [
            (NEAR, -NEAR, Align::Start),
            (-NEAR, -NEAR, Align::End),
            (NEAR, NEAR + font::ascent(TAG_SIZE), Align::Start),
            (-NEAR, NEAR + font::ascent(TAG_SIZE), Align::End),
        ];
        let free = beside.into_iter().find_map(|(dx, dy, align)| {
            let place = Point::new(at.x + dx, at.y + dy);
            let text = text.clone();
            let label =
                Label { text, at: place, size: TAG_SIZE, align, ink: Ink::Text, turned: false };
            let area = label.area();
            let is_free =
                frame.area.contains(&area) && !taken.iter().any(|one| one.overlaps(&area));
            is_free.then_some(label)
        });
        if let Some(label) = free {
            taken.push(label.area());
            shapes.push(Shape::Text(label));
        }
    }
    shapes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::number::Unit;

    const AREA: Area = Area { left: 100.0, top: 50.0, width: 200.0, height: 100.0 };

    fn axes() -> [Axis; 2] {
        [Axis::new("x", Unit::Plain, 0.0, 10.0), Axis::new("y", Unit::Plain, 0.0, 10.0)]
    }

    fn shapes(mark: &Mark) -> Vec<Shape> {
        let [x, y] = axes();
        mark.shapes(&Frame { area: AREA, x: &x, y: &y })
    }

    #[test]
    fn y_grows_upwards() {
        let [x, y] = axes();
        let frame = Frame { area: AREA, x: &x, y: &y };
        assert_eq!(frame.inside((0.0, 0.0)), Some(Point::new(100.0, 150.0)));
        assert_eq!(frame.inside((10.0, 10.0)), Some(Point::new(300.0, 50.0)));
        assert_eq!(frame.inside((11.0, 5.0)), None);
        assert_eq!(frame.inside((f64::NAN, 5.0)), None);
    }

    #[test]
    fn what_is_beyond_is_a_triangle_at_the_edge_and_what_is_no_number_is_nothing() {
        let points =
            vec![(5.0, 5.0), (5.0, 99.0), (-3.0, 5.0), (f64::NAN, 1.0), (5.0, f64::INFINITY)];
        let shapes = shapes(&Mark::Dots { points, hue: Hue::Blue, radius: 2.0 });
        let [Shape::Dots { centres, .. }, Shape::Surfaces { outlines, .. }] = &shapes[..] else {
            panic!("{shapes:?}")
        };
        assert_eq!((centres.len(), outlines.len()), (1, 2));
        for outline in outlines {
            assert!(outline.iter().all(|corner| {
                (99.9..=300.1).contains(&corner.x) && (49.9..=150.1).contains(&corner.y)
            }));
        }
    }

    #[test]
    fn a_line_is_cut_at_the_frame_and_goes_on_where_it_comes_back() {
        let points = vec![(-5.0, 5.0), (5.0, 5.0), (5.0, 20.0), (6.0, 20.0), (6.0, 5.0)];
        let stroke = Stroke::solid(Ink::Text, 1.0);
        let shapes = shapes(&Mark::Line { points, stroke });
        let [Shape::Lines { lines, .. }] = &shapes[..] else { panic!("{shapes:?}") };
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0][0], Point::new(100.0, 100.0));
        assert_eq!(lines[0][2], Point::new(200.0, 50.0));
        assert_eq!(lines[1], [Point::new(220.0, 50.0), Point::new(220.0, 100.0)]);
    }

    #[test]
    fn a_bar_ends_at_the_frame_with_a_triangle_and_one_that_is_beyond_is_not_drawn() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        let bars = vec![
            (5.0, 5.0, 11.0),
            (5.0, 20.0, 30.0),
            (50.0, 1.0, 2.0),
            (1.0, nan, 2.0),
            (2.0, -inf, inf),
        ];
        let stroke = Stroke::solid(Ink::Text, 1.0);
        let shapes = shapes(&Mark::Bars { bars, direction: Direction::Up, stroke });
        let [Shape::Lines { lines, .. }, Shape::Surfaces { outlines, .. }] = &shapes[..] else {
            panic!("{shapes:?}")
        };
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], [Point::new(200.0, 100.0), Point::new(200.0, 50.0)]);
        assert_eq!(lines[1], [Point::new(140.0, 150.0), Point::new(140.0, 50.0)]);
        let tips: Vec<Point> = outlines.iter().map(|outline| outline[0]).collect();
        assert_eq!(tips, [Point::new(140.0, 50.0), Point::new(200.0, 50.0)]);
    }

    #[test]
    fn tags_never_lie_on_each_other() {
        let tags = (0..40).map(|n| ((5.0 + 0.01 * f64::from(n), 5.0), n.to_string())).collect();
        let areas: Vec<Area> = shapes(&Mark::Tags { tags })
            .iter()
            .map(|shape| match shape {
                Shape::Text(label) => label.area(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(!areas.is_empty());
        for (index, area) in areas.iter().enumerate() {
            assert!(AREA.contains(area));
            assert!(areas[..index].iter().all(|other| !other.overlaps(area)));
        }
    }
}
