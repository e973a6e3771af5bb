//! The fake NVML library as a program under test sees it.

use std::path::PathBuf;
use std::process::Command;

use fake_nvml::{ENVIRONMENT_VARIABLE, Model};

/// Where cargo has put the shared library: beside the test executable, which depends on it.
///
/// # Panics
/// If it isn't there.
#[must_use]
pub fn library() -> PathBuf {
    let executable = std::env::current_exe().expect("a test knows its own path");
    let library = executable.with_file_name("libfake_nvml.so");
    assert!(library.is_file(), "{} is missing: cargo build -p fake-nvml", library.display());
    library
}

/// Makes a monitor load the fake instead of NVIDIA's library.
pub fn load_into(command: &mut Command, model: &Model) {
    command.arg("--nvml-library").arg(library()).env(ENVIRONMENT_VARIABLE, model.to_json());
}
