//! Files that hold a secret: read once, bounded, and complained about when others can read them too.
//!
//! It doesn't know what is in them. What it says names the file, never its content.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use tracing::warn;

/// Reads a file of at most `most` bytes, and says in the log if group or others may read or change it
/// too.
///
/// # Errors
/// If it isn't a regular file, is longer, or can't be read.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let (file, mode) = open(path)?;
    if is_open_to_others(mode) {
        let file = path.display().to_string();
        let remedy = format!("chmod 600 {file}");
        warn!(file, remedy, "group or others may read or change this secret");
    }
    content(file, most)
}

/// Reads a file of at most `most` bytes.
///
/// # Errors
/// If it isn't a regular file, is longer, or can't be read.
pub(crate) fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    content(open(path)?.0, most)
}

/// A regular file and its mode. What is asked is the open file and not its path, which may lead to
/// another file a moment later.
fn open(path: &Path) -> io::Result<(File, u32)> {
    // The open of a FIFO would wait for its writer.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok((file, metadata.permissions().mode()))
}

fn content(file: File, most: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.take(most + 1).read_to_end(&mut content)?;
    if content.len() as u64 > most {
        return Err(io::Error::other(format!("it is longer than {most} bytes")));
    }
    Ok(content)
}

fn is_open_to_others(mode: u32) -> bool {
    // Who may write it may put a secret of their own there.
    mode & 0o066 != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

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
        for bit in [0o040, 0o020, 0o004, 0o002] {
            assert!(is_open_to_others(0o100_600 | bit), "{bit:o}");
        }
        assert!(!is_open_to_others(0o100_600));
    }

    #[test]
    fn the_mode_is_that_of_the_file_that_is_read_whatever_its_path_leads_to_later() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        fs::write(&path, "theirs").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o622)).unwrap();
        let (file, mode) = open(&path).unwrap();
        let other = directory.path().join("other");
        fs::write(&other, "ours").unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(&other, &path).unwrap();
        assert!(is_open_to_others(mode));
        assert_eq!(content(file, 10).unwrap(), b"theirs");
    }
}
