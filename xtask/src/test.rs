//! `cargo xtask test`: sets up what the tests need and runs all of them.
//!
//! The tests learn of it by variables: IPW_TEST_REQUIRE_ALL=1 (nothing may be skipped for want of one
//! of the others), IPW_TEST_PYTHON (an interpreter with pyarrow, datasets, ollama and others),
//! IPW_TEST_CHROMIUM (a browser's program), IPW_DEMO_PYTHON (an interpreter with llama.cpp's server and a
//! model) and IPW_DEMO_SERVER (the script that serves it).

use anyhow::{Result, ensure};

use crate::browser;
use crate::process::describe;
use crate::python;
use crate::steps::Steps;
use crate::workspace::Workspace;

/// Runs every test of the workspace; `arguments` go to `cargo test`.
///
/// # Errors
/// If something can't be set up or built, or a test fails.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let steps = Steps::start();
    let test_python = python::TESTS.ready(workspace, &steps)?;
    let demo_python = python::DEMO.ready(workspace, &steps)?;
    let chromium = browser::ready(workspace, &steps)?;
    // `cargo test` builds neither programs nor shared libraries that only tests of other packages use.
    steps.announce("building the programs and the fake NVML library (minutes from cold)");
    let mut build = workspace.cargo(&["build", "--quiet", "--workspace"]);
    workspace.processes.quiet("build-debug", &mut build)?;
    steps.announce("building and running the tests");
    let mut tests = workspace.cargo(&["test", "--workspace", "--no-fail-fast"]);
    tests
        .args(arguments)
        // All of it is here, so a test that misses something has failed.
        .env("IPW_TEST_REQUIRE_ALL", "1")
        .env("IPW_TEST_PYTHON", test_python)
        .env("IPW_TEST_CHROMIUM", chromium)
        .env("IPW_DEMO_PYTHON", demo_python)
        .env("IPW_DEMO_SERVER", workspace.root.join("xtask/demo/server.py"));
    let status = workspace.processes.shown(&mut tests)?;
    ensure!(status.success(), "cargo test: {}; the failures are named above", describe(status));
    steps.announce("all tests passed");
    Ok(())
}
