//! A scene as an SVG file that needs nothing else: the font is in it.
//!
//! Every text has its width in the file, so that it keeps to its place even where a program takes another
//! font. Colours are attributes, which a page's style sheet may override by class: `fill-text`,
//! `stroke-grid` and so on, below `.ipw-plot`.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::font;
use super::palette::Ink;
use super::scene::{Fill, Label, Point, Scene, Shape, Stroke};
use crate::analysis::words::printable;

/// A file's text.
#[must_use]
pub fn document(scene: &Scene) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    open(&mut out, scene);
    let _ = writeln!(out, "<style>{}</style>", style());
    close(&mut out, scene);
    out
}

/// An element for a page of HTML, whose style sheet must have [`style`].
#[must_use]
pub fn element(scene: &Scene) -> String {
    let mut out = String::new();
    open(&mut out, scene);
    close(&mut out, scene);
    out
}

/// The style sheet that an element needs: the font, and how its texts are set.
#[must_use]
pub fn style() -> String {
    let family = font::FAMILY;
    format!(
        "@font-face{{font-family:\"{family}\";src:url(data:font/ttf;base64,{})}}\n\
         .ipw-plot text{{font-kerning:none;font-variant-ligatures:none;white-space:pre}}",
        STANDARD.encode(font::DATA)
    )
}

fn close(out: &mut String, scene: &Scene) {
    for shape in &scene.shapes {
        draw(out, shape);
    }
    out.push_str("</svg>\n");
}

fn open(out: &mut String, scene: &Scene) {
    let (width, height) = (number(scene.width), number(scene.height));
    let (id, family) = (escape(&scene.id), font::FAMILY);
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"ipw-plot\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\" \
         font-family=\"'{family}','DejaVu Sans',sans-serif\">\n\
         <title id=\"{id}-title\">{}</title>\n<desc id=\"{id}-desc\">{}</desc>",
        escape(&scene.title),
        escape(&scene.description)
    );
}

fn draw(out: &mut String, shape: &Shape) {
    match shape {
        Shape::Surfaces { outlines, fill } => {
            let _ = write!(out, "<path{} d=\"", filled(fill));
            for outline in outlines {
                path(out, outline);
                out.push('z');
            }
            out.push_str("\"/>\n");
        }
        Shape::Lines { lines, stroke } => {
            let _ = write!(out, "<path fill=\"none\"{} d=\"", stroked(stroke));
            for line in lines {
                path(out, line);
            }
            out.push_str("\"/>\n");
        }
        Shape::Dots { centres, radius, fill } => {
            let _ = writeln!(out, "<g{}>", filled(fill));
            for centre in centres {
                let (x, y) = (number(centre.x), number(centre.y));
                let _ = write!(out, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"/>");
            }
            out.push_str("\n</g>\n");
        }
        Shape::Text(label) => text(out, label),
    }
}

fn text(out: &mut String, label: &Label) {
    let width = font::width(&label.text, label.size);
    let start = label.start(width);
    let Point { x, y } = label.at;
    let place = if label.turned {
        format!("transform=\"translate({} {})rotate(-90)\"", number(x), number(y - start))
    } else {
        format!("x=\"{}\" y=\"{}\"", number(x + start), number(y))
    };
    let _ = writeln!(
        out,
        "<text {place} font-size=\"{}\" textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\" \
         class=\"fill-{}\" fill=\"{}\">{}</text>",
        number(label.size),
        number(width),
        label.ink.class(),
        hex(label.ink),
        escape(&label.text)
    );
}

/// Steps from point to point are shorter than places. They start from what was written, so that rounding
/// doesn't add up.
fn path(out: &mut String, points: &[Point]) {
    let rounded = |point: &Point| (hundredths(point.x), hundredths(point.y));
    let mut points = points.iter().map(rounded);
    let Some(mut last) = points.next() else { return };
    let _ = write!(out, "M{} {}", of_hundredths(last.0), of_hundredths(last.1));
    for next in points {
        let (dx, dy) = (next.0 - last.0, next.1 - last.1);
        let _ = match (dx, dy) {
            (0, 0) => Ok(()),
            (0, dy) => write!(out, "v{}", of_hundredths(dy)),
            (dx, 0) => write!(out, "h{}", of_hundredths(dx)),
            (dx, dy) => write!(out, "l{} {}", of_hundredths(dx), of_hundredths(dy)),
        };
        last = next;
    }
}

fn filled(fill: &Fill) -> String {
    let opacity = opacity("fill-opacity", fill.opacity);
    format!(" class=\"fill-{}\" fill=\"{}\"{opacity}", fill.ink.class(), hex(fill.ink))
}

fn stroked(stroke: &Stroke) -> String {
    let opacity = opacity("stroke-opacity", stroke.opacity);
    let dash = stroke.dash.map_or_else(String::new, |[dash, gap]| {
        format!(" stroke-dasharray=\"{} {}\"", number(dash), number(gap))
    });
    format!(
        " class=\"stroke-{}\" stroke=\"{}\" stroke-width=\"{}\" stroke-linejoin=\"round\"{opacity}{dash}",
        stroke.ink.class(),
        hex(stroke.ink),
        number(stroke.width)
    )
}

fn opacity(name: &str, value: f64) -> String {
    if value < 1.0 { format!(" {name}=\"{}\"", number(value)) } else { String::new() }
}

fn hex(ink: Ink) -> String {
    let [red, green, blue] = ink.rgb();
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn hundredths(value: f64) -> i64 {
    (value * 100.0).round() as i64
}

fn number(value: f64) -> String {
    of_hundredths(hundredths(value))
}

fn of_hundredths(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let (whole, part) = (value.unsigned_abs() / 100, value.unsigned_abs() % 100);
    match (whole, part) {
        (whole, 0) => format!("{sign}{whole}"),
        (whole, part) if part % 10 == 0 => format!("{sign}{whole}.{}", part / 10),
        (whole, part) => format!("{sign}{whole}.{part:02}"),
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::scene::Align;

    fn scene(shapes: Vec<Shape>) -> Scene {
        let (id, title) = ("id".to_owned(), "a < b".to_owned());
        Scene { id, title, description: "\"&'".into(), width: 20.0, height: 10.5, shapes }
    }

    #[test]
    fn numbers_are_as_short_as_they_can_be() {
        let shown = [0.0, -0.001, 1.0, -2.5, 3.45678, 0.05, -0.05, 100.0].map(number);
        assert_eq!(shown, ["0", "0", "1", "-2.5", "3.46", "0.05", "-0.05", "100"]);
    }

    #[test]
    fn a_path_ends_where_it_should_however_many_steps_it_has() {
        let points: Vec<Point> =
            (0..1000).map(|n| Point::new(f64::from(n) / 3.0, f64::from(n) / 7.0)).collect();
        let mut out = String::new();
        path(&mut out, &points);
        let (mut x, mut y) = (0.0, 0.0);
        for step in out[3..].trim_start().split('l').skip(1) {
            let (dx, dy) = step.split_once(' ').unwrap();
            x += dx.parse::<f64>().unwrap();
            y += dy.parse::<f64>().unwrap();
        }
        assert!((x - 333.0).abs() < 0.01 && (y - 999.0 / 7.0).abs() < 0.01, "{x} {y}");
    }

    #[test]
    fn a_text_has_its_width_and_is_escaped() {
        let mut scene = scene(Vec::new());
        scene.write("<script>&", Point::new(10.0, 5.0), 10.0, Align::End, Ink::Text);
        let svg = document(&scene);
        assert!(svg.contains(">&lt;script&gt;&amp;</text>") && !svg.contains("<script>"));
        let width = number(font::width("<script>&", 10.0));
        assert!(svg.contains(&format!("textLength=\"{width}\"")));
        assert!(svg.contains("<title id=\"id-title\">a &lt; b</title>"));
        assert!(svg.contains("<desc id=\"id-desc\">&quot;&amp;&#39;</desc>"));
    }

    #[test]
    fn each_paint_says_its_role() {
        let outlines = vec![vec![Point::new(0.0, 0.0), Point::new(1.0, 0.0), Point::new(1.0, 1.0)]];
        let fill = Fill { ink: Ink::Paper, opacity: 0.5 };
        let svg = document(&scene(vec![
            Shape::Surfaces { outlines: outlines.clone(), fill },
            Shape::Lines { lines: outlines, stroke: Stroke::dashed(Ink::Grid, 1.0) },
        ]));
        assert!(svg.contains(
            "<path class=\"fill-paper\" fill=\"#ffffff\" fill-opacity=\"0.5\" d=\"M0 0h1v1z\"/>"
        ));
        assert!(svg.contains("class=\"stroke-grid\"") && svg.contains("stroke-dasharray=\"5 3\""));
    }
}
