//! What the page is put together from.

use maud::{Markup, html};

use crate::analysis::words::printable;

/// Where something stands on the page: of which run it is, so that ids and names differ from those of the
/// others, and the level of headings.
#[derive(Debug, Clone)]
pub(super) struct Place {
    run: Option<usize>,
}

impl Place {
    /// What is not of one run among several.
    pub(super) fn alone() -> Self {
        Self { run: None }
    }

    /// Of the run with this number on a page of several.
    pub(super) fn of_run(number: usize) -> Self {
        Self { run: Some(number) }
    }

    /// An id that no other place has.
    pub(super) fn id(&self, name: &str) -> String {
        self.run.map(|number| format!("run{number}-{name}")).unwrap_or_else(|| name.to_owned())
    }

    /// A name for who can't see where it stands.
    fn label(&self, name: &str) -> String {
        self.run.map(|number| format!("{name} of run {number}")).unwrap_or_else(|| name.to_owned())
    }

    /// Sections, and before them where to find which.
    pub(super) fn sections(&self, sections: &[Section]) -> Markup {
        html! {
            nav aria-label=(self.label("Sections")) {
                ul class="contents" {
                    @for section in sections {
                        li { a href=(format!("#{}", self.id(section.name))) { (section.title) } }
                    }
                }
            }
            @for section in sections { (self.section(section)) }
        }
    }

    /// A section with its heading.
    pub(super) fn section(&self, section: &Section) -> Markup {
        let id = self.id(section.name);
        html! {
            section {
                @match self.run {
                    None => h2 id=(id) { (section.title) },
                    Some(_) => h3 id=(id) { (section.title) },
                }
                (section.content)
            }
        }
    }

    /// What scrolls by itself where it is too wide.
    pub(super) fn scrolling(&self, class: &str, name: &str, content: &Markup) -> Markup {
        html! {
            div class=(class) role="region" tabindex="0" aria-label=(self.label(name)) { (content) }
        }
    }

    /// A table whose first column names the rows.
    pub(super) fn table(&self, name: &str, head: &[&str], rows: &[Vec<String>]) -> Markup {
        let table = html! {
            table {
                thead { tr { @for title in head { th scope="col" { (title) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (column, cell) in row.iter().enumerate() {
                                @if column == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
                            }
                        }
                    }
                }
            }
        };
        self.scrolling("scroll", name, &table)
    }

    /// What a reader has to know, if there is anything; `of` says of what.
    pub(super) fn warnings<'a>(&self, of: &str, all: impl Iterator<Item = &'a String>) -> Markup {
        let all: Vec<&String> = all.collect();
        html! {
            @if !all.is_empty() {
                aside class="warnings" aria-label=(self.label(of)) {
                    p { strong { "Know before you read on" } }
                    ul { @for warning in all { li { (warning) } } }
                }
            }
        }
    }
}

/// A part of the page with a heading.
pub(super) struct Section {
    /// For its id.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) content: Markup,
}

/// Names and what they stand for; what isn't known is left out.
pub(super) fn facts<'a>(facts: impl IntoIterator<Item = (&'a str, Option<String>)>) -> Markup {
    html! {
        dl class="facts" {
            @for (name, value) in facts {
                @if let Some(value) = value { dt { (name) } dd { (value) } }
            }
        }
    }
}

/// The most characters of a name that a model or a dataset gives.
const NAME_CHARS: usize = 160;

/// A name as one line, cut if it is long.
pub(super) fn line(name: &str) -> String {
    match name.char_indices().nth(NAME_CHARS) {
        Some((end, _)) => printable(&name[..end]) + "…",
        None => printable(name),
    }
}

/// A value that isn't known.
pub(super) const UNKNOWN: &str = "–";

/// A value in words, or that it isn't known.
pub(super) fn shown(value: Option<f64>, text: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), text)
}

/// An interval in words, or that it isn't known.
pub(super) fn interval(ends: Option<[f64; 2]>, text: impl Fn(f64) -> String) -> String {
    ends.map_or_else(
        || UNKNOWN.to_owned(),
        |[low, high]| format!("{} to {}", text(low), text(high)),
    )
}
