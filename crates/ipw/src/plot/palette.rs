//! Colours that people with any kind of colour vision can tell apart: those of Okabe and Ito, and a scale
//! of one hue whose steps differ in lightness.

/// What something is painted in: a role, so that a page may show it in the dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// What must be read.
    Text,
    /// What may be read.
    Muted,
    /// Frames and ticks.
    Frame,
    /// Lines behind the data.
    Grid,
    /// The ground.
    Paper,
    /// Data.
    Hue(Hue),
    /// A step of the scale from few to many, 0 to [`SHADES`] - 1.
    Shade(usize),
}

/// Colours by name, after Okabe and Ito (2008). Their yellow is too light for lines on white.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Hue {
    Blue,
    Vermillion,
    Green,
    Orange,
    Sky,
    Purple,
}

/// Steps of the scale from few to many.
pub const SHADES: usize = 6;

/// From light to dark, all of them visible on white.
const SCALE: [[u8; 3]; SHADES] = [
    [0xc3, 0xdc, 0xee],
    [0x93, 0xc1, 0xe1],
    [0x5c, 0xa3, 0xd1],
    [0x1f, 0x82, 0xbd],
    [0x00, 0x5c, 0x94],
    [0x00, 0x36, 0x5c],
];

const SHADE_CLASSES: [&str; SHADES] =
    ["shade-0", "shade-1", "shade-2", "shade-3", "shade-4", "shade-5"];

impl Ink {
    /// Red, green and blue.
    #[must_use]
    pub fn rgb(self) -> [u8; 3] {
        match self {
            Self::Text => [0x1a, 0x1a, 0x1a],
            Self::Muted => [0x5a, 0x5a, 0x5a],
            Self::Frame => [0x8a, 0x8a, 0x8a],
            Self::Grid => [0xe4, 0xe4, 0xe4],
            Self::Paper => [0xff, 0xff, 0xff],
            Self::Hue(hue) => hue.rgb(),
            Self::Shade(step) => SCALE[step.min(SHADES - 1)],
        }
    }

    /// Its name as a class, for style sheets that show it otherwise.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Muted => "muted",
            Self::Frame => "frame",
            Self::Grid => "grid",
            Self::Paper => "paper",
            Self::Hue(hue) => hue.class(),
            Self::Shade(step) => SHADE_CLASSES[step.min(SHADES - 1)],
        }
    }
}

impl Hue {
    fn class(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Vermillion => "vermillion",
            Self::Green => "green",
            Self::Orange => "orange",
            Self::Sky => "sky",
            Self::Purple => "purple",
        }
    }

    fn rgb(self) -> [u8; 3] {
        match self {
            Self::Blue => [0x00, 0x72, 0xb2],
            Self::Vermillion => [0xd5, 0x5e, 0x00],
            Self::Green => [0x00, 0x9e, 0x73],
            Self::Orange => [0xe6, 0x9f, 0x00],
            Self::Sky => [0x56, 0xb4, 0xe9],
            Self::Purple => [0xcc, 0x79, 0xa7],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance as WCAG 2 defines it.
    fn luminance(ink: Ink) -> f64 {
        let linear = |channel: u8| {
            let value = f64::from(channel) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        let [red, green, blue] = ink.rgb().map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    fn contrast_to_paper(ink: Ink) -> f64 {
        (luminance(Ink::Paper) + 0.05) / (luminance(ink) + 0.05)
    }

    #[test]
    fn text_has_the_contrast_that_wcag_asks_for() {
        assert!(contrast_to_paper(Ink::Text) >= 7.0);
        assert!(contrast_to_paper(Ink::Muted) >= 4.5);
    }

    #[test]
    fn the_scale_grows_darker_step_by_step_and_begins_visible() {
        let scale: Vec<f64> = (0..SHADES).map(|step| contrast_to_paper(Ink::Shade(step))).collect();
        assert!(scale[0] > 1.3, "{scale:?}");
        assert!(scale.windows(2).all(|pair| pair[1] > 1.2 * pair[0]), "{scale:?}");
    }
}
