//! `cargo xtask ci`: all that a change must pass.

use std::time::Duration;

use anyhow::Result;

use crate::steps::Steps;
use crate::workspace::Workspace;
use crate::{dataset, test, tidy};

/// Runs fmt, tidy, clippy, docs and the tests, the quick ones first.
///
/// # Errors
/// At the first step that fails.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let steps = Steps::start();
    step(&steps, "fmt", || quiet_cargo(workspace, &["fmt", "--all", "--check"]))?;
    step(&steps, "tidy", || tidy::run(&workspace.root))?;
    step(&steps, "dataset", || dataset::run(workspace, true))?;
    step(&steps, "clippy", || clippy(workspace))?;
    step(&steps, "docs", || docs(workspace))?;
    step(&steps, "test", || test::run(workspace, &[]))?;
    steps.announce("ci passed");
    Ok(())
}

fn step(steps: &Steps, name: &str, task: impl FnOnce() -> Result<()>) -> Result<()> {
    steps.announce(&format!("{name} ..."));
    let before = steps.elapsed();
    task()?;
    steps.announce(&format!("{name} passed in {}", seconds(steps.elapsed() - before)));
    Ok(())
}

fn clippy(workspace: &Workspace) -> Result<()> {
    quiet_cargo(
        workspace,
        &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"],
    )
}

fn docs(workspace: &Workspace) -> Result<()> {
    let mut command = workspace.cargo(&["doc", "--quiet", "--workspace", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    workspace.processes.quiet("docs", &mut command).map(drop)
}

fn quiet_cargo(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    let name = arguments.first().copied().unwrap_or("cargo");
    workspace.processes.quiet(name, &mut workspace.cargo(arguments)).map(drop)
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
