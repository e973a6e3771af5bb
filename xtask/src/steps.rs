//! What the person at the terminal sees: steps and failures on standard error, results on standard
//! output. The only file of this program that prints.

use std::time::{Duration, Instant};

/// Announces the steps of one task with the time that has passed since its start.
pub(crate) struct Steps {
    started: Instant,
}

impl Steps {
    /// Starts the clock.
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Says what happens next.
    pub(crate) fn announce(&self, text: &str) {
        to_stderr(&format!("[{:>6.1} s] {text}", self.elapsed().as_secs_f64()));
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Says why a task stops here.
pub(crate) fn failure(text: &str) {
    to_stderr(text);
}

/// Says what a task found.
#[expect(clippy::print_stdout, reason = "results belong on standard output")]
pub(crate) fn result(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "progress and failures belong on standard error")]
fn to_stderr(text: &str) {
    eprintln!("{text}");
}
