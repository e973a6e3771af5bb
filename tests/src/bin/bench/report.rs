//! What the person at the terminal sees: progress on standard error, the result on standard output.

/// Says what is being done.
#[expect(clippy::print_stderr, reason = "progress belongs on standard error")]
pub(crate) fn progress(text: &str) {
    eprintln!("{text}");
}

/// Says what came out.
#[expect(clippy::print_stdout, reason = "results belong on standard output")]
pub(crate) fn result(text: &str) {
    println!("{text}");
}
