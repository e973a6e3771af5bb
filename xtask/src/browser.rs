//! The browser that pages are tested in: Chromium, or a Chrome.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::unistd::Uid;

use crate::steps::Steps;
use crate::workspace::Workspace;

/// Names one that isn't found by itself.
const VARIABLE: &str = "IPW_TEST_CHROMIUM";
/// What it may be called in PATH.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// Where it is on macOS, which has no programs with windows in PATH.
const OF_MACOS: [&str; 2] = [
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];
const REMEDY: &str = "install it (Debian: sudo apt install chromium), or name its program in \
                      IPW_TEST_CHROMIUM";

/// The browser's program. Where there is none, it is installed if that needs nobody's leave: as root, in
/// containers and CI, on systems with Debian's packages.
///
/// # Errors
/// If there is none, or it can't be installed.
pub(crate) fn ready(workspace: &Workspace, steps: &Steps) -> Result<PathBuf> {
    if let Some(named) = env::var_os(VARIABLE) {
        let named = PathBuf::from(named);
        ensure!(named.is_file(), "{VARIABLE} is {}, which is no file", named.display());
        return Ok(named);
    }
    if let Some(found) = find() {
        return Ok(found);
    }
    let may_install = Uid::effective().is_root() && in_path("apt-get").is_some();
    ensure!(may_install, "pages are tested in Chromium, and there is none: {REMEDY}");
    steps.announce("installing Chromium with apt-get, to test pages in");
    install(workspace).with_context(|| format!("Chromium can't be installed: {REMEDY}"))?;
    find().with_context(|| format!("Chromium is installed, but not found: {REMEDY}"))
}

fn install(workspace: &Workspace) -> Result<()> {
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        workspace.processes.quiet("apt-get", &mut command).map(drop)
    };
    apt(&["update"])?;
    apt(&["install", "--yes", "--no-install-recommends", "chromium", "fonts-dejavu-core"])
}

fn find() -> Option<PathBuf> {
    let of_macos = OF_MACOS.iter().map(PathBuf::from).find(|path| path.is_file());
    NAMES.iter().find_map(|name| in_path(name)).or(of_macos)
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let candidates = env::split_paths(&path).map(|directory: PathBuf| directory.join(name));
    candidates.into_iter().find(|candidate: &PathBuf| Path::is_file(candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_in_path_and_one_that_is_not_there_is_not() {
        assert!(in_path("sh").is_some());
        assert_eq!(in_path("a-browser-that-is-not-there"), None);
    }
}
