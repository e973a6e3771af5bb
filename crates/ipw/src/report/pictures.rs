//! Figures as elements of the page, and how they look in the dark.

use std::fmt::Write as _;
use std::thread;

use maud::{Markup, PreEscaped, html};

use super::parts::Place;
use crate::plot::palette::{Hue, Ink, SHADES};
use crate::plot::{Figure, NotDrawable, RunData, VISUALIZATIONS, svg};

/// Inks that need another colour on a dark page: those of the frame, and of the hues those that are too
/// dark there.
const DARK: [(Ink, &str); 8] = [
    (Ink::Text, "#e6edf3"),
    (Ink::Muted, "#a3acb6"),
    (Ink::Frame, "#7d8690"),
    (Ink::Grid, "#2d343c"),
    (Ink::Paper, "#12161b"),
    (Ink::Hue(Hue::Blue), "#2f93d8"),
    (Ink::Hue(Hue::Vermillion), "#ee7a24"),
    (Ink::Hue(Hue::Green), "#12b98a"),
];

/// All figures of a run, drawn side by side: they share nothing but the run.
pub(super) fn of_run(run: &RunData, place: &Place) -> Vec<Markup> {
    thread::scope(|scope| {
        let start = |one: &&'static dyn crate::plot::Visualization| {
            let one = *one;
            scope.spawn(move || picture(one.id(), one.draw(run), place))
        };
        let drawing: Vec<_> = VISUALIZATIONS.iter().map(start).collect();
        let failed = |_| html! { p { "A figure could not be drawn." } };
        drawing.into_iter().map(|thread| thread.join().unwrap_or_else(failed)).collect()
    })
}

/// A figure, or why there is none. The element says what it shows to those who can't see it.
pub(super) fn picture(id: &str, figure: Result<Figure, NotDrawable>, place: &Place) -> Markup {
    match figure {
        Ok(figure) => {
            let mut scene = figure.scene();
            scene.id = place.id(&scene.id);
            let name = format!("Figure: {}", figure.title);
            let picture = PreEscaped(svg::element(&scene));
            html! { figure { (place.scrolling("scroll picture", &name, &picture)) } }
        }
        Err(reason) => html! { p class="what" { code { (id) } " is not drawn: " (reason) } },
    }
}

/// The style sheet of the figures: their font, and their colours in the dark. The scale is turned round
/// there, so that many stand out from the ground as they do on paper.
pub(super) fn style() -> String {
    let mut dark = String::new();
    let mut paint = |ink: Ink, colour: &str| {
        let class = ink.class();
        let _ = write!(dark, ".ipw-plot .fill-{class}{{fill:{colour}}}");
        let _ = write!(dark, ".ipw-plot .stroke-{class}{{stroke:{colour}}}");
    };
    DARK.into_iter().for_each(|(ink, colour)| paint(ink, colour));
    for step in 0..SHADES {
        let [red, green, blue] = Ink::Shade(SHADES - 1 - step).rgb();
        paint(Ink::Shade(step), &format!("rgb({red} {green} {blue})"));
    }
    format!("{}\n@media screen and (prefers-color-scheme:dark){{{dark}}}\n", svg::style())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_dark_the_scale_grows_lighter() {
        let style = style();
        let [few, many] = [Ink::Shade(SHADES - 1), Ink::Shade(0)].map(Ink::rgb);
        for (class, [red, green, blue]) in [("shade-0", few), ("shade-5", many)] {
            assert!(style.contains(&format!(".fill-{class}{{fill:rgb({red} {green} {blue})}}")));
        }
    }
}
