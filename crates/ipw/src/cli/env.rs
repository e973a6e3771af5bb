//! Secrets: from the environment, else from `.env` in the working directory. Never from flags.

use std::path::Path;

use secrecy::SecretString;

/// The value of a variable, unless it is empty.
pub(super) fn secret(name: &str) -> Option<SecretString> {
    let value = std::env::var(name).ok().or_else(|| from_file(Path::new(".env"), name))?;
    Some(value).filter(|value| !value.is_empty()).map(SecretString::from)
}

fn from_file(path: &Path, name: &str) -> Option<String> {
    let entries = dotenvy::from_path_iter(path).ok()?;
    entries.flatten().find(|(key, _)| key == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_the_named_value_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".env");
        std::fs::write(&path, "A=1\n# note\nKEY=\"s3cret\"\n").unwrap();
        assert_eq!(from_file(&path, "KEY").as_deref(), Some("s3cret"));
        assert_eq!(from_file(&path, "OTHER"), None);
        assert_eq!(from_file(&directory.path().join("none"), "KEY"), None);
    }
}
