//! The Pythons that `cargo xtask test` sets up, with what the tests need in them.

use std::ffi::OsString;

/// The interpreter with pyarrow, datasets, playwright and others; `None`, said on stderr, where none was set up
/// and not everything is required.
pub(crate) fn interpreter(needed: &str) -> Option<OsString> {
    variable("IPW_TEST_PYTHON", &format!("a Python with `{needed}`"))
}

/// A variable that `cargo xtask test` sets; `None`, said on stderr, where it isn't set and not
/// everything is required.
pub(crate) fn variable(name: &str, meaning: &str) -> Option<OsString> {
    let value = std::env::var_os(name);
    if value.is_none() {
        let reason = format!("{name} ({meaning}) is not set; run `cargo xtask test`");
        assert!(std::env::var_os("IPW_TEST_REQUIRE_ALL").is_none_or(|all| all != "1"), "{reason}");
        e2e::profile::skipped(&reason);
    }
    value
}
