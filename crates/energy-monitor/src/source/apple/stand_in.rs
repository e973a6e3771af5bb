//! A program of the shell that stands in for powermetrics in tests.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A directory with a program of this script, and the program.
///
/// Another process writes it: while this one had it open for writing, a child that another test starts
/// at that moment would keep it open, and it couldn't be run.
pub(super) fn program(script: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("powermetrics");
    let mut writer = Command::new("/bin/sh")
        .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = writer.stdin.take().unwrap();
    stdin.write_all(format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
    drop(stdin);
    assert!(writer.wait().unwrap().success());
    (dir, path)
}
