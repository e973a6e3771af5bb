//! A picture as a list of shapes, in pixels of 1/96 inch from its upper left corner. What draws it, as SVG
//! or as PNG, knows nothing of charts; what composes it knows nothing of files.

use super::font;
use super::palette::Ink;

/// A place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// From the left edge.
    pub x: f64,
    /// From the upper edge.
    pub y: f64,
}

impl Point {
    /// The place at `x`, `y`.
    #[must_use]
    pub const fn new(x: f64, y: f64) -> Self {
        Self { x, y }
    }
}

/// A rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Area {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

impl Area {
    /// The rectangle between two of its corners.
    #[must_use]
    pub fn between(a: Point, b: Point) -> Self {
        let (left, top) = (a.x.min(b.x), a.y.min(b.y));
        Self { left, top, width: (a.x - b.x).abs(), height: (a.y - b.y).abs() }
    }

    /// Its right edge.
    #[must_use]
    pub fn right(&self) -> f64 {
        self.left + self.width
    }

    /// Its lower edge.
    #[must_use]
    pub fn bottom(&self) -> f64 {
        self.top + self.height
    }

    /// Whether they share more than an edge.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right()
            && other.left < self.right()
            && self.top < other.bottom()
            && other.top < self.bottom()
    }

    /// Whether `other` lies in it.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self.left <= other.left
            && other.right() <= self.right()
            && self.top <= other.top
            && other.bottom() <= self.bottom()
    }

    /// Its outline.
    #[must_use]
    pub fn corners(&self) -> Vec<Point> {
        vec![
            Point::new(self.left, self.top),
            Point::new(self.right(), self.top),
            Point::new(self.right(), self.bottom()),
            Point::new(self.left, self.bottom()),
        ]
    }
}

/// How a surface is painted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fill {
    /// In what.
    pub ink: Ink,
    /// 0 to 1.
    pub opacity: f64,
}

impl Fill {
    /// Opaque.
    #[must_use]
    pub const fn solid(ink: Ink) -> Self {
        Self { ink, opacity: 1.0 }
    }
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stroke {
    /// In what.
    pub ink: Ink,
    /// In pixels.
    pub width: f64,
    /// 0 to 1.
    pub opacity: f64,
    /// Lengths of a dash and of the gap behind it; `None` for an unbroken line.
    pub dash: Option<[f64; 2]>,
}

impl Stroke {
    /// Unbroken and opaque.
    #[must_use]
    pub const fn solid(ink: Ink, width: f64) -> Self {
        Self { ink, width, opacity: 1.0, dash: None }
    }

    /// In dashes.
    #[must_use]
    pub const fn dashed(ink: Ink, width: f64) -> Self {
        Self { ink, width, opacity: 1.0, dash: Some([5.0, 3.0]) }
    }
}

/// Where a text lies relative to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// It begins there.
    Start,
    /// Its middle is there.
    Middle,
    /// It ends there.
    End,
}

/// A line of text.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// Without characters that can't be shown.
    pub text: String,
    /// On the baseline.
    pub at: Point,
    /// Of the font, in pixels.
    pub size: f64,
    /// Which part of it is at its place.
    pub align: Align,
    /// In what.
    pub ink: Ink,
    /// Turned to be read from below.
    pub turned: bool,
}

impl Label {
    /// The rectangle that the text takes, from the font's metrics.
    #[must_use]
    pub fn area(&self) -> Area {
        let width = font::width(&self.text, self.size);
        let (ascent, descent) = (font::ascent(self.size), font::descent(self.size));
        let start = self.start(width);
        if self.turned {
            let from = Point::new(self.at.x - ascent, self.at.y - start);
            return Area::between(from, Point::new(self.at.x + descent, from.y - width));
        }
        let from = Point::new(self.at.x + start, self.at.y - ascent);
        Area::between(from, Point::new(from.x + width, self.at.y + descent))
    }

    /// How far before its place the text begins, along its line; negative.
    #[must_use]
    pub fn start(&self, width: f64) -> f64 {
        match self.align {
            Align::Start => 0.0,
            Align::Middle => -width / 2.0,
            Align::End => -width,
        }
    }
}

/// One thing in a picture. What stands in a list is painted in one go: where its members overlap the paint
/// is not thicker, except for dots.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Closed outlines.
    Surfaces {
        /// Each of at least three corners.
        outlines: Vec<Vec<Point>>,
        /// Their paint.
        fill: Fill,
    },
    /// Lines through points.
    Lines {
        /// Each of at least two points.
        lines: Vec<Vec<Point>>,
        /// Their look.
        stroke: Stroke,
    },
    /// Circles, each painted for itself, so that many in one place are darker.
    Dots {
        /// Their centres.
        centres: Vec<Point>,
        /// In pixels.
        radius: f64,
        /// Their paint.
        fill: Fill,
    },
    /// Text.
    Text(Label),
}

/// A picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// The visualization's id.
    pub id: String,
    /// For who can't see it: what it is.
    pub title: String,
    /// And what it shows.
    pub description: String,
    /// In pixels.
    pub width: f64,
    /// In pixels.
    pub height: f64,
    /// From the back to the front.
    pub shapes: Vec<Shape>,
}

impl Scene {
    /// Its texts.
    pub fn labels(&self) -> impl Iterator<Item = &Label> {
        self.shapes.iter().filter_map(|shape| match shape {
            Shape::Text(label) => Some(label),
            _ => None,
        })
    }

    /// Adds a text that begins, is centred or ends at a place; an empty one leaves nothing.
    pub fn write(&mut self, text: &str, at: Point, size: f64, align: Align, ink: Ink) {
        if !text.is_empty() {
            let text = text.to_owned();
            self.shapes.push(Shape::Text(Label { text, at, size, align, ink, turned: false }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(align: Align, turned: bool) -> Label {
        let at = Point::new(100.0, 100.0);
        Label { text: "12345".into(), at, size: 10.0, align, ink: Ink::Text, turned }
    }

    #[test]
    fn a_text_begins_is_centred_or_ends_at_its_place() {
        let [start, middle, end] =
            [Align::Start, Align::Middle, Align::End].map(|align| label(align, false).area());
        assert_eq!(start.left, 100.0);
        assert!((end.right() - 100.0).abs() < 1e-9);
        assert!((middle.left + middle.width / 2.0 - 100.0).abs() < 1e-9);
        assert!(start.top < 100.0 && start.bottom() > 100.0);
    }

    #[test]
    fn a_turned_text_reads_upwards() {
        let area = label(Align::Start, true).area();
        assert!((area.bottom() - 100.0).abs() < 1e-9 && area.top < 100.0);
        assert!(area.left < 100.0 && area.right() > 100.0 && area.width < area.height);
        let end = label(Align::End, true).area();
        assert!((end.top - 100.0).abs() < 1e-9);
    }

    #[test]
    fn areas_that_touch_do_not_overlap() {
        let area = |left: f64| Area { left, top: 0.0, width: 10.0, height: 10.0 };
        assert!(!area(0.0).overlaps(&area(10.0)) && area(0.0).overlaps(&area(9.0)));
        assert!(area(0.0).contains(&area(0.0)) && !area(0.0).contains(&area(1.0)));
    }
}
