//! Progress on stderr: a bar on a terminal, else a line now and then.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::runner::{Event, Events};

/// Time between two lines where there is no bar.
pub(super) const LINE_EVERY: Duration = Duration::from_secs(10);

/// The one bar's screen: whatever else is written to stderr has to step around it.
pub(super) fn screen() -> &'static MultiProgress {
    static SCREEN: OnceLock<MultiProgress> = OnceLock::new();
    SCREEN.get_or_init(MultiProgress::new)
}

/// Writes a line to stderr, above a bar if there is one.
pub(super) fn print_line(text: &str) {
    screen().suspend(|| {
        // Nobody is left to tell if stderr is closed.
        let _ = writeln!(io::stderr().lock(), "{text}");
    });
}

/// A writer for logs that steps around the bar.
pub(super) fn above_the_bar() -> impl Write {
    AboveTheBar
}

struct AboveTheBar;

impl Write for AboveTheBar {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        screen().suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Shows a run's events.
#[derive(Debug, Clone)]
pub struct Progress {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    quiet: bool,
    bar: ProgressBar,
    total: usize,
    done: usize,
    failed: usize,
    printed: Instant,
    started: Instant,
}

impl Progress {
    /// With `quiet`, only warnings are shown.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let now = Instant::now();
        Self {
            state: Arc::new(Mutex::new(State {
                quiet,
                bar: ProgressBar::hidden(),
                total: 0,
                done: 0,
                failed: 0,
                printed: now,
                started: now,
            })),
        }
    }

    /// Where the runner's events go.
    #[must_use]
    pub fn events(&self) -> Events {
        let state = Arc::clone(&self.state);
        Arc::new(move |event| state.lock().unwrap_or_else(PoisonError::into_inner).show(event))
    }

    /// A judge is asked about so many answers.
    pub fn judging(&self, answers: usize) {
        let mut state = self.state();
        if !state.quiet {
            state.begin("answers judged", answers, 0);
        }
    }

    /// The judge has ruled on one, or couldn't be had for it.
    pub fn judged(&self, ok: bool) {
        let mut state = self.state();
        if !state.quiet {
            state.count("answers judged", ok, "");
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.state().bar.finish_and_clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn show(&mut self, event: Event) {
        match event {
            Event::Warning(text) => print_line(&format!("warning: {text}")),
            _ if self.quiet => {}
            Event::Stage(text) => print_line(&text),
            Event::Directory(path) => print_line(&format!("results go to {}", path.display())),
            Event::Queries { total, done } => {
                if done > 0 {
                    print_line(&format!("{done} of {total} queries are done from before"));
                }
                if !io::stderr().is_terminal() {
                    print_line(&format!("sending {} queries", total - done));
                }
                self.begin("queries", total, done);
            }
            Event::Query { ok, output_tokens, seconds } => {
                let rate = output_tokens
                    .filter(|_| seconds > 0.0)
                    .map(|tokens| format!(", {:.1} tokens/s", tokens as f64 / seconds))
                    .unwrap_or_default();
                self.count("queries", ok, &rate);
            }
        }
    }

    fn begin(&mut self, what: &str, total: usize, done: usize) {
        self.total = total;
        self.done = done;
        self.failed = 0;
        self.started = Instant::now();
        self.printed = Instant::now();
        if io::stderr().is_terminal() {
            let style = ProgressStyle::with_template(&format!(
                "{{bar:30}} {{pos}}/{{len}} {what}, {{elapsed}} elapsed, {{eta}} left {{msg}}",
            ))
            .expect("the template is well-formed");
            let bar =
                ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr())
                    .with_style(style)
                    .with_position(done as u64);
            // What was done before took no time now, and mustn't enter the estimate.
            bar.reset_eta();
            self.bar = screen().add(bar);
        }
    }

    fn count(&mut self, what: &str, ok: bool, rate: &str) {
        self.done += 1;
        self.failed += usize::from(!ok);
        let failed = match self.failed {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        };
        self.bar.set_message(format!("{rate}{failed}").trim_start_matches(", ").to_owned());
        self.bar.inc(1);
        let last = self.done == self.total;
        if !io::stderr().is_terminal() && (last || self.printed.elapsed() >= LINE_EVERY) {
            self.printed = Instant::now();
            let elapsed = self.started.elapsed().as_secs();
            print_line(&format!("{}/{} {what}, {elapsed} s{rate}{failed}", self.done, self.total));
        }
    }
}
