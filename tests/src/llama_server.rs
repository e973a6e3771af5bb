//! The demo's real server: llama.cpp with a real model.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde::Deserialize;

/// The model that it serves.
pub const MODEL: &str = "smollm2:135m";

/// A running one; killed when dropped.
#[derive(Debug)]
pub struct LlamaServer {
    child: Child,
    url: String,
}

#[derive(Deserialize)]
struct Listening {
    url: String,
}

impl LlamaServer {
    /// Starts `script` with `python`, on one thread, and waits until it answers.
    ///
    /// # Panics
    /// If it doesn't.
    #[must_use]
    pub fn start(python: &OsStr, script: &OsStr) -> Self {
        let mut child = Command::new(python)
            .arg(script)
            .args(["--threads", "1", "--exit-with-parent"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it was piped");
        BufReader::new(stdout).read_line(&mut line).expect("its output can be read");
        let listening: Listening = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("no listening line but {line:?}: {error}"));
        Self { child, url: listening.url }
    }

    /// Its root.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for LlamaServer {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
