//! Where things lie in this clone, and how to call cargo there.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::Processes;

/// This clone.
pub(crate) struct Workspace {
    /// The folder with the workspace's Cargo.toml.
    pub(crate) root: PathBuf,
    /// Cargo's target directory, wherever the environment has put it.
    pub(crate) target: PathBuf,
    /// Starts and ends the task's child processes.
    pub(crate) processes: Processes,
    _logs_are_ours: File,
}

impl Workspace {
    /// Finds the clone that this program was built from, and its target directory.
    ///
    /// # Errors
    /// If cargo doesn't answer or the target directory can't be written.
    pub(crate) fn open() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask lies at the top of the workspace")?
            .to_owned();
        let target = target_directory(&root)?;
        let (logs, lock) = claim_logs(&target.join("xtask").join("logs"))?;
        Ok(Self { root, target, processes: Processes::listen(logs)?, _logs_are_ours: lock })
    }

    /// A call of the cargo that runs this program, in the workspace's root.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = cargo(&self.root);
        command.args(arguments);
        command
    }

    /// A program of ours, built in release.
    pub(crate) fn release_binary(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }

    /// `path` as one would type it in the root of the workspace.
    pub(crate) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}

/// The first of the folders `1`, `2`, ... in `parent` that no other running task writes to, and the
/// lock that keeps it ours.
fn claim_logs(parent: &Path) -> Result<(PathBuf, File)> {
    let mut number = 0_u32;
    loop {
        number += 1;
        let folder = parent.join(number.to_string());
        fs::create_dir_all(&folder)
            .with_context(|| format!("can't create {}", folder.display()))?;
        let lock = File::create(folder.join(".lock"))
            .with_context(|| format!("can't write to {}", folder.display()))?;
        match lock.try_lock() {
            Ok(()) => return Ok((folder, lock)),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("can't lock {}", folder.display()));
            }
        }
    }
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or(OsString::from("cargo")));
    command.current_dir(root);
    command
}

fn target_directory(root: &Path) -> Result<PathBuf> {
    let output = cargo(root)
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .output()
        .context("can't start cargo")?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let target = metadata["target_directory"]
        .as_str()
        .context("cargo metadata names no target directory")?;
    Ok(PathBuf::from(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_tasks_at_once_write_to_different_logs_and_the_next_uses_them_again() {
        let parent = tempfile::tempdir().unwrap();
        let (first, lock) = claim_logs(parent.path()).unwrap();
        let (second, _second_lock) = claim_logs(parent.path()).unwrap();
        assert_ne!(first, second);
        drop(lock);
        assert_eq!(claim_logs(parent.path()).unwrap().0, first);
    }
}
