//! The embedded font: how wide texts are, and the outlines of their glyphs. Sizes are pixels of the em.
//! Nothing is asked of the system, so that a label is as wide everywhere as it was when room was made for
//! it. Glyphs stand at their own widths, without kerning or ligatures, in both outputs.

use std::sync::LazyLock;

use ttf_parser::{Face, GlyphId, OutlineBuilder};

/// The font file; see `data/font/README.md`.
pub(super) const DATA: &[u8] = include_bytes!("../../data/font/Inter-Regular.ttf");

/// The name that the font has in SVG files.
pub(super) const FAMILY: &str = "Inter";

static FACE: LazyLock<Face<'static>> =
    LazyLock::new(|| Face::parse(DATA, 0).expect("the embedded font is well-formed"));

/// What stands for what was left out.
const ELLIPSIS: char = '…';

/// The width of a line of text.
#[must_use]
pub fn width(text: &str, size: f64) -> f64 {
    let units: u32 = text.chars().map(|c| u32::from(advance(glyph(c)))).sum();
    f64::from(units) * scale(size)
}

/// How far letters rise above the baseline: accents on capitals aside.
#[must_use]
pub fn ascent(size: f64) -> f64 {
    size * 0.78
}

/// How far letters reach below the baseline.
#[must_use]
pub fn descent(size: f64) -> f64 {
    size * 0.22
}

/// The distance between lines.
#[must_use]
pub fn line_height(size: f64) -> f64 {
    size * 1.3
}

/// As much of `text` as fits, with an ellipsis for what doesn't.
#[must_use]
pub fn fit(text: &str, size: f64, most: f64) -> String {
    cut(text, size, most, |kept| (kept, 0))
}

/// The same, but what is left out is in the middle: names of models differ at both ends.
#[must_use]
pub fn fit_middle(text: &str, size: f64, most: f64) -> String {
    cut(text, size, most, |kept| (kept.div_ceil(2), kept / 2))
}

/// The text with as many of its letters as fit, at its head and at its tail as `ends` divides them, around
/// an ellipsis. Nothing if not even one has room.
fn cut(text: &str, size: f64, most: f64, ends: impl Fn(usize) -> (usize, usize)) -> String {
    if width(text, size) <= most {
        return text.to_owned();
    }
    let letters: Vec<char> = text.chars().collect();
    let whole = |kept: usize| {
        let (head, tail) = ends(kept);
        let tail = &letters[letters.len() - tail..];
        letters[..head].iter().chain([&ELLIPSIS]).chain(tail).collect::<String>()
    };
    // More letters are never narrower, so that the search may halve.
    let counts: Vec<usize> = (1..letters.len()).collect();
    let fitting = counts.partition_point(|kept| width(&whole(*kept), size) <= most);
    if fitting == 0 { String::new() } else { whole(fitting) }
}

/// `text` in lines of at most `most`, broken at spaces; the last of `lines` ends in an ellipsis if there
/// is more.
#[must_use]
pub fn wrap(text: &str, size: f64, most: f64, lines: usize) -> Vec<String> {
    let mut wrapped: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let longer = wrapped.last().map(|line| format!("{line} {word}"));
        match longer {
            Some(longer) if width(&longer, size) <= most => {
                wrapped.pop();
                wrapped.push(longer);
            }
            // No room for another line: the last one takes the rest, and is cut.
            Some(longer) if wrapped.len() == lines => {
                wrapped.pop();
                wrapped.push(longer);
            }
            _ => wrapped.push(word.to_owned()),
        }
    }
    wrapped.iter().map(|line| fit_middle_or_end(line, size, most)).collect()
}

/// A single word is a name; of a sentence the beginning says the most.
fn fit_middle_or_end(line: &str, size: f64, most: f64) -> String {
    if line.contains(' ') { fit(line, size, most) } else { fit_middle(line, size, most) }
}

/// Draws the outlines of a text that begins at the origin, with y upwards, in pixels.
pub(super) fn outline(text: &str, size: f64, pen: &mut impl Pen) {
    let scale = scale(size);
    let mut units = 0_u32;
    for c in text.chars() {
        let glyph = glyph(c);
        let mut at = Placed { pen: &mut *pen, x: f64::from(units) * scale, scale };
        FACE.outline_glyph(glyph, &mut at);
        units += u32::from(advance(glyph));
    }
}

/// What draws outlines.
pub(super) trait Pen {
    fn move_to(&mut self, x: f64, y: f64);
    fn line_to(&mut self, x: f64, y: f64);
    fn quad_to(&mut self, control: (f64, f64), x: f64, y: f64);
    fn curve_to(&mut self, first: (f64, f64), second: (f64, f64), x: f64, y: f64);
    fn close(&mut self);
}

/// A glyph at its place in the line.
struct Placed<'a, P> {
    pen: &'a mut P,
    x: f64,
    scale: f64,
}

impl<P> Placed<'_, P> {
    fn place(&self, x: f32, y: f32) -> (f64, f64) {
        (self.x + f64::from(x) * self.scale, f64::from(y) * self.scale)
    }
}

impl<P: Pen> OutlineBuilder for Placed<'_, P> {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.place(x, y);
        self.pen.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.place(x, y);
        self.pen.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let (control, (x, y)) = (self.place(x1, y1), self.place(x, y));
        self.pen.quad_to(control, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let (first, second, (x, y)) = (self.place(x1, y1), self.place(x2, y2), self.place(x, y));
        self.pen.curve_to(first, second, x, y);
    }

    fn close(&mut self) {
        self.pen.close();
    }
}

/// The first one is the font's sign for what it hasn't got.
fn glyph(c: char) -> GlyphId {
    FACE.glyph_index(c).unwrap_or(GlyphId(0))
}

fn advance(glyph: GlyphId) -> u16 {
    FACE.glyph_hor_advance(glyph).unwrap_or(0)
}

fn scale(size: f64) -> f64 {
    size / f64::from(FACE.units_per_em())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_font_has_all_that_the_figures_write() {
        let own = "0123456789 ABCXYZabcxyz µ×·–—…±²³⁰⁴⁵⁶⁷⁸⁹⁻€äöüßéçñ αβγμσΩ ЖдЯ ≤≥≈→−\u{2009}\u{a0}'\"%<>&()[]{}/\\_-.,:;";
        for c in own.chars() {
            assert!(FACE.glyph_index(c).is_some(), "{c:?} ({:x})", c as u32);
        }
    }

    #[test]
    fn what_is_too_long_is_cut_to_fit() {
        let name = "organisation/very-long-model-name-instruct-fp8-dynamic-q4_K_M.gguf";
        for most in [0.0, 5.0, 20.0, 100.0, 200.0] {
            for cut in [fit(name, 12.0, most), fit_middle(name, 12.0, most)] {
                assert!(width(&cut, 12.0) <= most, "{cut} in {most}");
            }
        }
        assert_eq!(fit("short", 12.0, 100.0), "short");
        let cut = fit_middle(name, 12.0, 200.0);
        assert!(cut.starts_with("organi") && cut.ends_with("gguf"), "{cut}");
        assert!(fit(name, 12.0, 200.0).ends_with('…'));
    }

    #[test]
    fn a_text_is_wrapped_at_spaces_and_nothing_of_it_is_lost_unsaid() {
        let text = "one two three four five six seven eight nine ten";
        let lines = wrap(text, 12.0, 80.0, 20);
        assert_eq!(lines.join(" "), text);
        assert!(lines.len() > 2 && lines.iter().all(|line| width(line, 12.0) <= 80.0));
        let two = wrap(text, 12.0, 80.0, 2);
        assert!(two.len() == 2 && two[1].ends_with('…'), "{two:?}");
        assert!(wrap("", 12.0, 80.0, 2).is_empty());
    }
}
