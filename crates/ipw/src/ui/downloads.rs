//! Progress of downloads on stderr: a bar on a terminal, else a line now and then.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::progress::{LINE_EVERY, print_line, screen};
use crate::dataset::Event;

/// Shows what a dataset's provider tells. What it drew goes with it.
#[derive(Debug)]
pub struct Downloads {
    quiet: bool,
    state: Mutex<Option<Shown>>,
}

/// The file that is shown.
#[derive(Debug)]
struct Shown {
    file: String,
    bar: ProgressBar,
    printed: Instant,
}

impl Downloads {
    /// With `quiet`, only warnings are shown.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        Self { quiet, state: Mutex::new(None) }
    }

    /// Where the provider's events go.
    pub fn events(&self) -> impl Fn(Event) + Send + Sync {
        |event| self.show(event)
    }

    fn show(&self, event: Event) {
        match event {
            Event::Warning(text) => print_line(&format!("warning: {text}")),
            _ if self.quiet => {}
            Event::Waiting(text) => print_line(&text),
            Event::Download { file, bytes, total } => self.download(file, bytes, total),
        }
    }

    fn download(&self, file: String, bytes: u64, total: Option<u64>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = match state.take().filter(|shown| shown.file == file) {
            Some(shown) => state.insert(shown),
            None => state.insert(Shown::begin(file, bytes, total)),
        };
        shown.bar.set_position(bytes);
        let is_due = total == Some(bytes) || shown.printed.elapsed() >= LINE_EVERY;
        if !io::stderr().is_terminal() && is_due {
            shown.printed = Instant::now();
            print_line(&format!("{}: {}{}", shown.file, HumanBytes(bytes), of(total)));
        }
    }
}

impl Drop for Downloads {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(shown) = state {
            shown.bar.finish_and_clear();
        }
    }
}

impl Shown {
    fn begin(file: String, bytes: u64, total: Option<u64>) -> Self {
        let bar = if io::stderr().is_terminal() {
            let style = ProgressStyle::with_template(
                "{msg} {bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left",
            )
            .expect("the template is well-formed");
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr())
                .with_style(style)
                .with_message(file.clone())
                .with_position(bytes);
            // What was there before took no time now, and mustn't enter the estimate.
            bar.reset_eta();
            screen().add(bar)
        } else {
            let before = match bytes {
                0 => String::new(),
                _ => format!(", {} of it from before", HumanBytes(bytes)),
            };
            let size = total.map(|total| format!(", {}", HumanBytes(total))).unwrap_or_default();
            print_line(&format!("downloading {file}{size}{before}"));
            ProgressBar::hidden()
        };
        Self { file, bar, printed: Instant::now() }
    }
}

/// ` of` so many bytes, if that is known.
fn of(total: Option<u64>) -> String {
    total.map(|total| format!(" of {}", HumanBytes(total))).unwrap_or_default()
}
