//! A figure: what run it is of, panels in rows, a legend outside of them, a table, and notes. Its height
//! follows from what is in it.

use super::cells::class_names;
use super::font;
use super::palette::{Hue, Ink};
use super::panel::Panel;
use super::scene::{Align, Area, Fill, Point, Scene, Shape, Stroke};
use crate::analysis::words::printable;

const TITLE_SIZE: f64 = 17.0;
const MODEL_SIZE: f64 = 12.5;
const TEXT_SIZE: f64 = 11.0;
const MARGIN: f64 = 16.0;
const GAP: f64 = 18.0;
/// The width of a sample in the legend.
const SAMPLE: f64 = 18.0;
const SPACE: f64 = 6.0;

/// What run a figure is of.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Caption {
    /// The model, or what else it is of.
    pub subject: String,
    /// Hardware, basis, method and what else the numbers depend on.
    pub about: Vec<String>,
    /// What stands beside every number that wasn't measured here.
    pub mark: Option<&'static str>,
}

/// What stands for something in the legend.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    /// A dot.
    Dot(Hue),
    /// A cross.
    Cross(Hue),
    /// A line across.
    Line(Stroke),
    /// An upright line: an interval.
    Bar(Stroke),
    /// A surface.
    Surface(Fill),
}

/// An entry of the legend.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// What it looks like.
    pub sample: Sample,
    /// What it is.
    pub text: String,
}

impl Key {
    /// An entry.
    #[must_use]
    pub fn new(sample: Sample, text: impl Into<String>) -> Self {
        Self { sample, text: text.into() }
    }

    /// The entries for cells.
    #[must_use]
    pub fn of_cells() -> Vec<Self> {
        let names = class_names().into_iter().enumerate();
        let key = |(class, name): (usize, String)| {
            let last = name.ends_with("more");
            let text = if last { format!("{name} queries in a cell") } else { name };
            Self::new(Sample::Surface(Fill::solid(Ink::Shade(class))), text)
        };
        names.map(key).collect()
    }
}

/// Panels side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Of equal width.
    pub panels: Vec<Panel>,
    /// Of the data, in pixels.
    pub height: f64,
}

/// A table below the panels; the first column's texts are names.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// Titles of the columns.
    pub head: Vec<String>,
    /// Cells.
    pub rows: Vec<Vec<String>>,
}

/// A figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// The visualization's id, and its file's name.
    pub id: &'static str,
    /// Its title.
    pub title: String,
    /// For who can't see it: what it shows, in a sentence or two.
    pub description: String,
    /// What run it is of.
    pub caption: Caption,
    /// What its marks mean.
    pub legend: Vec<Key>,
    /// The panels.
    pub rows: Vec<Row>,
    /// Below them.
    pub table: Option<Table>,
    /// What must be known to read it.
    pub notes: Vec<String>,
    /// In pixels.
    pub width: f64,
}

impl Figure {
    /// Lays it out.
    #[must_use]
    pub fn scene(&self) -> Scene {
        let figure = self.printable();
        let mut scene = Scene {
            id: figure.id.to_owned(),
            title: format!("{}: {}", figure.title, figure.caption.subject),
            description: figure.description.clone(),
            width: figure.width,
            height: 0.0,
            shapes: Vec::new(),
        };
        let mut y = figure.draw_head(&mut scene, MARGIN);
        y = figure.draw_legend(&mut scene, y);
        for row in &figure.rows {
            y = figure.draw_row(&mut scene, row, y) + GAP / 2.0;
        }
        y = figure.draw_table(&mut scene, y);
        y = figure.draw_notes(&mut scene, y);
        scene.height = (y + MARGIN / 2.0).ceil();
        let ground = Area { left: 0.0, top: 0.0, width: scene.width, height: scene.height };
        let ground =
            Shape::Surfaces { outlines: vec![ground.corners()], fill: Fill::solid(Ink::Paper) };
        scene.shapes.insert(0, ground);
        scene
    }

    /// With nothing in its texts that can't stand in a line.
    fn printable(&self) -> Self {
        let mut figure = self.clone();
        let clean = |text: &mut String| *text = printable(text);
        let clean_all = |texts: &mut Vec<String>| texts.iter_mut().for_each(clean);
        clean(&mut figure.title);
        clean(&mut figure.caption.subject);
        clean_all(&mut figure.caption.about);
        clean_all(&mut figure.notes);
        figure.legend.iter_mut().for_each(|key| clean(&mut key.text));
        figure.table.iter_mut().flat_map(|table| &mut table.rows).for_each(clean_all);
        for panel in figure.rows.iter_mut().flat_map(|row| &mut row.panels) {
            clean(&mut panel.title);
            clean_all(&mut panel.notes);
            clean_all(&mut panel.y.names);
            panel.empty.iter_mut().for_each(clean);
        }
        figure
    }

    fn inner(&self) -> f64 {
        self.width - 2.0 * MARGIN
    }

    fn draw_head(&self, scene: &mut Scene, mut y: f64) -> f64 {
        let mark =
            self.caption.mark.map(|mark| format!("{mark}, not measured")).unwrap_or_default();
        let taken = if mark.is_empty() { 0.0 } else { font::width(&mark, MODEL_SIZE) + GAP };
        let baseline = y + font::ascent(TITLE_SIZE);
        let title = font::fit(&self.title, TITLE_SIZE, self.inner() - taken);
        scene.write(&title, Point::new(MARGIN, baseline), TITLE_SIZE, Align::Start, Ink::Text);
        let right = Point::new(self.width - MARGIN, baseline);
        scene.write(&mark, right, MODEL_SIZE, Align::End, Ink::Hue(Hue::Vermillion));
        y += font::line_height(TITLE_SIZE) + 2.0;
        let subject = font::fit_middle(&self.caption.subject, MODEL_SIZE, self.inner());
        let at = Point::new(MARGIN, y + font::ascent(MODEL_SIZE));
        scene.write(&subject, at, MODEL_SIZE, Align::Start, Ink::Text);
        y += font::line_height(MODEL_SIZE);
        draw_lines(
            scene,
            &font::wrap(&self.caption.about.join(" · "), TEXT_SIZE, self.inner(), 3),
            y,
        ) + SPACE
    }

    fn draw_legend(&self, scene: &mut Scene, mut y: f64) -> f64 {
        if self.legend.is_empty() {
            return y + SPACE;
        }
        let mut x = MARGIN;
        for key in &self.legend {
            let text = font::fit(&key.text, TEXT_SIZE, self.inner() - SAMPLE - SPACE);
            let width = SAMPLE + SPACE + font::width(&text, TEXT_SIZE);
            if x > MARGIN && x + width > self.width - MARGIN {
                x = MARGIN;
                y += font::line_height(TEXT_SIZE) + 2.0;
            }
            let middle = y + font::line_height(TEXT_SIZE) / 2.0;
            scene.shapes.extend(key.sample.shapes(Point::new(x + SAMPLE / 2.0, middle)));
            let at = Point::new(x + SAMPLE + SPACE, middle + 0.36 * TEXT_SIZE);
            scene.write(&text, at, TEXT_SIZE, Align::Start, Ink::Text);
            x += width + GAP;
        }
        y + font::line_height(TEXT_SIZE) + GAP / 2.0
    }

    fn draw_row(&self, scene: &mut Scene, row: &Row, y: f64) -> f64 {
        let width = self.panel_width(row);
        let head = row.panels.iter().map(Panel::head).fold(0.0, f64::max);
        for (column, panel) in row.panels.iter().enumerate() {
            let outer = Area {
                left: MARGIN + column as f64 * (width + GAP),
                top: y,
                width,
                height: head + row.height + panel.foot(),
            };
            panel.draw(scene, outer, self.left(column, row.panels.len()), head);
        }
        let foot = row.panels.iter().map(Panel::foot).fold(0.0, f64::max);
        y + head + row.height + foot
    }

    fn panel_width(&self, row: &Row) -> f64 {
        let panels = row.panels.len().max(1) as f64;
        (self.inner() - GAP * (panels - 1.0)) / panels
    }

    /// Where the data of a column of panels begins, so that one stands exactly below the other.
    fn left(&self, column: usize, columns: usize) -> f64 {
        let alike = self.rows.iter().filter(|row| row.panels.len() == columns);
        let lefts = alike.map(|row| row.panels[column].left(self.panel_width(row), row.height));
        lefts.fold(0.0, f64::max)
    }

    fn draw_table(&self, scene: &mut Scene, mut y: f64) -> f64 {
        let Some(table) = &self.table else { return y };
        let columns = table.head.len();
        let widest = |column: usize| {
            let cells = table.rows.iter().filter_map(|row| row.get(column));
            cells
                .chain([&table.head[column]])
                .map(|cell| font::width(cell, TEXT_SIZE))
                .fold(0.0, f64::max)
        };
        let mut widths: Vec<f64> = (0..columns).map(widest).collect();
        // Numbers need what they need; names get what is left.
        let others: f64 =
            widths.iter().enumerate().filter(|(at, _)| *at != 1).map(|(_, width)| width).sum();
        let left_over = self.inner() - others - GAP * (columns.max(1) - 1) as f64;
        if let Some(names) = widths.get_mut(1) {
            *names = names.min(left_over);
        }
        for (index, row) in std::iter::once(&table.head).chain(&table.rows).enumerate() {
            let baseline = y + font::ascent(TEXT_SIZE);
            let ink = if index == 0 { Ink::Muted } else { Ink::Text };
            let mut x = MARGIN;
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let cell = font::fit_middle(cell, TEXT_SIZE, *width + 0.01);
                let (at, align) = if column == 1 {
                    (Point::new(x, baseline), Align::Start)
                } else {
                    (Point::new(x + width, baseline), Align::End)
                };
                scene.write(&cell, at, TEXT_SIZE, align, ink);
                x += width + GAP;
            }
            y += font::line_height(TEXT_SIZE) + 1.0;
        }
        y + SPACE
    }

    fn draw_notes(&self, scene: &mut Scene, y: f64) -> f64 {
        let wrap = |note: &String| font::wrap(note, TEXT_SIZE, self.inner(), 5);
        draw_lines(scene, &self.notes.iter().flat_map(wrap).collect::<Vec<String>>(), y)
    }
}

fn draw_lines(scene: &mut Scene, lines: &[String], mut y: f64) -> f64 {
    for line in lines {
        let at = Point::new(MARGIN, y + font::ascent(TEXT_SIZE));
        scene.write(line, at, TEXT_SIZE, Align::Start, Ink::Muted);
        y += font::line_height(TEXT_SIZE);
    }
    y
}

impl Sample {
    fn shapes(&self, middle: Point) -> Vec<Shape> {
        let Point { x, y } = middle;
        let half = SAMPLE / 2.0;
        let line = |from: Point, to: Point, stroke: Stroke| Shape::Lines {
            lines: vec![vec![from, to]],
            stroke,
        };
        match *self {
            Self::Dot(hue) => vec![Shape::Dots {
                centres: vec![middle],
                radius: 3.2,
                fill: Fill::solid(Ink::Hue(hue)),
            }],
            Self::Cross(hue) => {
                let stroke = Stroke::solid(Ink::Hue(hue), 1.4);
                [3.0, -3.0]
                    .map(|dy| {
                        line(Point::new(x - 3.0, y - dy), Point::new(x + 3.0, y + dy), stroke)
                    })
                    .to_vec()
            }
            Self::Line(stroke) => {
                vec![line(Point::new(x - half, y), Point::new(x + half, y), stroke)]
            }
            Self::Bar(stroke) => {
                vec![line(Point::new(x, y - 6.0), Point::new(x, y + 6.0), stroke)]
            }
            Self::Surface(fill) => {
                let area = Area { left: x - half, top: y - 5.0, width: SAMPLE, height: 10.0 };
                vec![Shape::Surfaces { outlines: vec![area.corners()], fill }]
            }
        }
    }
}
