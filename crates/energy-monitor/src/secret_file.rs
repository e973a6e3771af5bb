//! Files that hold a secret: read once, bounded, and complained about when others can read them too.
//!
//! It doesn't know what is in them. What it says names the file, never its content.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tracing::warn;

/// Reads a file of at most `most` bytes, and says in the log if group or others may read it too.
///
/// # Errors
/// If it isn't a regular file, is longer, or can't be read.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let content = read_bounded(path, most)?;
    let mode = fs::metadata(path)?.permissions().mode();
    if is_open_to_others(mode) {
        let file = path.display().to_string();
        let remedy = format!("chmod 600 {file}");
        warn!(file, remedy, "group or others may read this secret");
    }
    Ok(content)
}

/// Reads a file of at most `most` bytes.
///
/// # Errors
/// If it isn't a regular file, is longer, or can't be read.
pub(crate) fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // Before it is opened: the open of a FIFO waits for its writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut content = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut content)?;
    if content.len() as u64 > most {
        return Err(io::Error::other(format!("it is longer than {most} bytes")));
    }
    Ok(content)
}

fn is_open_to_others(mode: u32) -> bool {
    mode & 0o044 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound_and_not_beyond() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert!(read(&path, 4).unwrap_err().to_string().contains("longer than 4 bytes"));
    }

    #[test]
    fn what_is_no_regular_file_is_refused_without_waiting_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
        for path in [&fifo, directory.path(), Path::new("/dev/zero")] {
            let error = read(path, 5).unwrap_err().to_string();
            assert!(error.contains("not a regular file"), "{error}");
        }
    }

    #[test]
    fn only_the_owner_is_to_read_a_secret() {
        for (mode, open) in [(0o100_600, false), (0o100_640, true), (0o100_604, true)] {
            assert_eq!(is_open_to_others(mode), open, "{mode:o}");
        }
    }
}
