//! A scene as a PNG, at twice its size in pixels.

use tiny_skia::{Color, FillRule, Paint, Path, PathBuilder, Pixmap, Shader, StrokeDash, Transform};

use super::font::{self, Pen};
use super::palette::Ink;
use super::scene::{Label, Point, Scene, Shape, Stroke};

/// Pixels of the picture for one of the scene: 192 to the inch.
pub const SCALE: f64 = 2.0;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
#[error("can't make a PNG of {width} x {height} pixels: {reason}")]
pub struct PngError {
    width: u32,
    height: u32,
    reason: String,
}

/// The file's bytes.
///
/// # Errors
/// The scene has no size, or one for which there is no memory.
pub fn encode(scene: &Scene) -> Result<Vec<u8>, PngError> {
    let [width, height] = [scene.width, scene.height].map(|side| (side * SCALE).round() as u32);
    let failed = |reason: String| PngError { width, height, reason };
    let mut pixmap = Pixmap::new(width, height).ok_or_else(|| failed("no such size".to_owned()))?;
    for shape in &scene.shapes {
        draw(&mut pixmap, shape);
    }
    pixmap.encode_png().map_err(|error| failed(error.to_string()))
}

fn draw(pixmap: &mut Pixmap, shape: &Shape) {
    match shape {
        Shape::Surfaces { outlines, fill } => {
            fill_path(pixmap, path(outlines, true), fill.ink, fill.opacity);
        }
        Shape::Lines { lines, stroke } => stroke_path(pixmap, path(lines, false), stroke),
        Shape::Dots { centres, radius, fill } => {
            for centre in centres {
                let circle =
                    PathBuilder::from_circle(centre.x as f32, centre.y as f32, *radius as f32);
                fill_path(pixmap, circle, fill.ink, fill.opacity);
            }
        }
        Shape::Text(label) => fill_path(pixmap, text(label), label.ink, 1.0),
    }
}

fn fill_path(pixmap: &mut Pixmap, path: Option<Path>, ink: Ink, opacity: f64) {
    if let Some(path) = path {
        pixmap.fill_path(&path, &paint(ink, opacity), FillRule::Winding, scaled(), None);
    }
}

fn stroke_path(pixmap: &mut Pixmap, path: Option<Path>, stroke: &Stroke) {
    let Some(path) = path else { return };
    let look = tiny_skia::Stroke {
        width: stroke.width as f32,
        line_join: tiny_skia::LineJoin::Round,
        dash: stroke
            .dash
            .and_then(|dash| StrokeDash::new(dash.map(|length| length as f32).to_vec(), 0.0)),
        ..tiny_skia::Stroke::default()
    };
    pixmap.stroke_path(&path, &paint(stroke.ink, stroke.opacity), &look, scaled(), None);
}

fn paint(ink: Ink, opacity: f64) -> Paint<'static> {
    let [red, green, blue] = ink.rgb();
    let alpha = (opacity.clamp(0.0, 1.0) * 255.0).round() as u8;
    Paint {
        shader: Shader::SolidColor(Color::from_rgba8(red, green, blue, alpha)),
        ..Paint::default()
    }
}

fn scaled() -> Transform {
    Transform::from_scale(SCALE as f32, SCALE as f32)
}

fn path(lines: &[Vec<Point>], closed: bool) -> Option<Path> {
    let mut path = PathBuilder::new();
    for line in lines {
        let mut points = line.iter().map(|point| (point.x as f32, point.y as f32));
        let Some((x, y)) = points.next() else { continue };
        path.move_to(x, y);
        points.for_each(|(x, y)| path.line_to(x, y));
        if closed {
            path.close();
        }
    }
    path.finish()
}

fn text(label: &Label) -> Option<Path> {
    let start = label.start(font::width(&label.text, label.size));
    let mut pen = Placed { path: PathBuilder::new(), at: label.at, start, turned: label.turned };
    font::outline(&label.text, label.size, &mut pen);
    pen.path.finish()
}

/// Draws glyphs where the text is.
struct Placed {
    path: PathBuilder,
    at: Point,
    /// Along the line.
    start: f64,
    turned: bool,
}

impl Placed {
    fn place(&self, x: f64, y: f64) -> (f32, f32) {
        let along = x + self.start;
        let (x, y) = if self.turned {
            (self.at.x - y, self.at.y - along)
        } else {
            (self.at.x + along, self.at.y - y)
        };
        (x as f32, y as f32)
    }
}

impl Pen for Placed {
    fn move_to(&mut self, x: f64, y: f64) {
        let (x, y) = self.place(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f64, y: f64) {
        let (x, y) = self.place(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, control: (f64, f64), x: f64, y: f64) {
        let (control, (x, y)) = (self.place(control.0, control.1), self.place(x, y));
        self.path.quad_to(control.0, control.1, x, y);
    }

    fn curve_to(&mut self, first: (f64, f64), second: (f64, f64), x: f64, y: f64) {
        let (first, second) = (self.place(first.0, first.1), self.place(second.0, second.1));
        let (x, y) = self.place(x, y);
        self.path.cubic_to(first.0, first.1, second.0, second.1, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::scene::{Align, Area, Fill};

    fn scene(width: f64, shapes: Vec<Shape>) -> Scene {
        let (id, title) = ("id".to_owned(), String::new());
        Scene { id, title, description: String::new(), width, height: 20.0, shapes }
    }

    fn ground() -> Shape {
        let area = Area { left: 0.0, top: 0.0, width: 100.0, height: 20.0 };
        Shape::Surfaces { outlines: vec![area.corners()], fill: Fill::solid(Ink::Paper) }
    }

    /// How many pixels are darker than half.
    fn dark(shapes: Vec<Shape>, inside: Area) -> usize {
        let png = encode(&scene(100.0, shapes)).unwrap();
        let pixmap = Pixmap::decode_png(&png).unwrap();
        assert_eq!((pixmap.width(), pixmap.height()), (200, 40));
        let (width, scale) = (pixmap.width() as usize, SCALE);
        let is_inside = |index: usize| {
            let (x, y) = ((index % width) as f64 / scale, (index / width) as f64 / scale);
            (inside.left..inside.right()).contains(&x) && (inside.top..inside.bottom()).contains(&y)
        };
        let pixels = pixmap.pixels().iter().enumerate();
        pixels.filter(|(index, pixel)| is_inside(*index) && pixel.red() < 128).count()
    }

    #[test]
    fn a_text_is_painted_inside_the_area_that_it_says_it_takes() {
        let label = Label {
            text: "Energie (kJ) glqÄ".into(),
            at: Point::new(50.0, 14.0),
            size: 11.0,
            align: Align::Middle,
            ink: Ink::Text,
            turned: false,
        };
        let own = label.area();
        let everywhere = Area { left: 0.0, top: 0.0, width: 100.0, height: 20.0 };
        let painted = |inside| dark(vec![ground(), Shape::Text(label.clone())], inside);
        assert!(painted(everywhere) > 100);
        // A pixel of what the font draws above its letters is allowed for.
        let grown = Area {
            left: own.left - 1.0,
            width: own.width + 2.0,
            top: own.top - 2.0,
            height: own.height + 3.0,
        };
        assert_eq!(painted(grown), painted(everywhere));
    }

    #[test]
    fn a_scene_without_a_size_is_an_error() {
        assert!(encode(&scene(0.0, Vec::new())).is_err());
    }
}
