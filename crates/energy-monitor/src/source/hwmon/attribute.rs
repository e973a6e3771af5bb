//! One file of sysfs that holds a number or a word: opened once, read anew from its start each time,
//! without allocating.
//!
//! What the number means, and its unit, is the caller's business.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use energy_proto::Status;
use nix::libc;

/// Twenty digits, the most that 64 bits have, a sign and a line's end, and room to see that there is
/// more than that.
const LONGEST_NUMBER: usize = 32;
/// A label or a name. sysfs never gives more than a page.
const LONGEST_TEXT: usize = 4_096;

/// A number that the kernel writes into a file.
#[derive(Debug)]
pub(super) struct Attribute {
    file: File,
}

impl Attribute {
    /// Opens a file that is there; nothing if it isn't.
    ///
    /// # Errors
    /// If it exists and can't be opened: [`Unreadable`] names it.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, Unreadable> {
        match open_without_waiting(path) {
            Ok(file) => Ok(Some(Self { file })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let status = match error.kind() {
                    ErrorKind::PermissionDenied => Status::PermissionDenied,
                    _ => status_of(&error),
                };
                Err(Unreadable { path: path.to_owned(), status })
            }
        }
    }

    /// Reads the number that is there now.
    pub(super) fn read(&self) -> io::Result<i64> {
        let mut buffer = [0; LONGEST_NUMBER];
        let length = self.file.read_at(&mut buffer, 0)?;
        parse_number(&buffer[..length]).ok_or_else(|| ErrorKind::InvalidData.into())
    }

    /// Reads a number that can't be negative.
    pub(super) fn read_unsigned(&self) -> io::Result<u64> {
        self.read()?.try_into().map_err(|_| ErrorKind::InvalidData.into())
    }

    /// Whether the word that is there now is one of these.
    pub(super) fn is_one_of(&self, words: &[&[u8]]) -> bool {
        let mut buffer = [0; LONGEST_NUMBER];
        let length = self.file.read_at(&mut buffer, 0).unwrap_or(0);
        words.contains(&buffer[..length].trim_ascii())
    }
}

/// A file that exists and isn't to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) path: PathBuf,
    pub(super) status: Status,
}

impl Unreadable {
    /// What to do about it.
    pub(super) fn remedy(&self) -> String {
        let path = self.path.display();
        match self.status {
            Status::PermissionDenied => format!(
                "{path} is not readable: run the monitor as root, or `sudo chmod a+r {path}` until the next boot"
            ),
            _ => format!("{path} can't be opened: see the kernel's log"),
        }
    }
}

/// What a failed read says of the sensor.
///
/// Whether a file may be read is decided when it is opened. A refusal at a read is the driver's: amdgpu
/// answers EPERM while the device is being reset or is asleep (`amdgpu_pm_get_access_if_active`), runtime
/// power management EACCES while it is disabled. Such a read has no figure of now, but the device is
/// still there.
pub(super) fn status_of(error: &io::Error) -> Status {
    if error.kind() == ErrorKind::InvalidData {
        return Status::Implausible;
    }
    match error.raw_os_error() {
        Some(libc::ENODEV | libc::ENXIO | libc::ENOENT | libc::ESTALE | libc::ESPIPE) => {
            Status::Lost
        }
        Some(libc::EOPNOTSUPP | libc::ENODATA | libc::EINVAL | libc::ENOSYS) => Status::Unsupported,
        // Whatever it is, there is no read of now.
        _ => Status::Stale,
    }
}

/// A short text, for discovery; nothing if there is none or it is no text.
pub(super) fn read_text(path: &Path) -> Option<String> {
    let file = open_without_waiting(path).ok()?;
    let mut buffer = [0; LONGEST_TEXT];
    let length = file.read_at(&mut buffer, 0).ok()?;
    let text = std::str::from_utf8(&buffer[..length]).ok()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A number, for discovery.
pub(super) fn read_number(path: &Path) -> Option<i64> {
    Attribute::open(path).ok()??.read().ok()
}

/// A hexadecimal number as `device/vendor` has it: `0x1002`.
pub(super) fn parse_id(text: &str) -> Option<u16> {
    u16::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
}

/// The kernel's files open at once; what is put in their place, such as a pipe, may not.
fn open_without_waiting(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

/// One decimal number with a sign perhaps and space around it.
fn parse_number(text: &[u8]) -> Option<i64> {
    // A number that fills the buffer may go on behind it.
    if text.len() >= LONGEST_NUMBER {
        return None;
    }
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_has_a_sign_and_space_around_it_and_nothing_else() {
        for (text, number) in [
            ("0\n", 0),
            ("142000000\n", 142_000_000),
            (" -20\n", -20),
            ("+7", 7),
            ("9223372036854775807\n", i64::MAX),
        ] {
            assert_eq!(parse_number(text.as_bytes()), Some(number), "{text:?}");
        }
        for text in [
            "",
            "\n",
            "-",
            "12 13\n",
            "0x12",
            "1.5\n",
            "N/A\n",
            "nan",
            "9223372036854775808\n",
            "18446744073709551616",
            "00000000000000000000000000000001",
            "                                1",
        ] {
            assert_eq!(parse_number(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse_number(&[0xff, b'1']), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(number) = parse_number(&text) {
                let read: i64 = std::str::from_utf8(&text).unwrap().trim().parse().unwrap();
                prop_assert_eq!(read, number);
            }
        }

        #[test]
        fn a_number_that_is_changed_in_one_byte_is_read_as_what_it_says_or_not_at_all(
            number in any::<i64>(), at in 0usize..20, byte in any::<u8>(),
        ) {
            let mut text = format!("{number}\n").into_bytes();
            prop_assert_eq!(parse_number(&text), Some(number));
            let at = at % text.len();
            text[at] = byte;
            let said = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
            prop_assert_eq!(parse_number(&text), said);
        }
    }

    #[test]
    fn a_pipe_in_place_of_a_file_is_an_error_and_never_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("power1_average");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let attribute = Attribute::open(&path).unwrap().unwrap();
        assert_eq!(status_of(&attribute.read().unwrap_err()), Status::Lost);
        assert_eq!(read_text(&path), None);
    }

    #[test]
    fn a_directory_in_place_of_a_file_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let attribute = Attribute::open(root.path()).unwrap().unwrap();
        assert_eq!(status_of(&attribute.read().unwrap_err()), Status::Stale);
        assert!(Attribute::open(&root.path().join("none")).unwrap().is_none());
    }

    #[test]
    fn a_refusal_of_the_driver_is_no_matter_of_rights() {
        let status = |errno| status_of(&io::Error::from_raw_os_error(errno));
        for errno in [libc::EPERM, libc::EACCES, libc::EBUSY, libc::EAGAIN, libc::EIO] {
            assert_eq!(status(errno), Status::Stale, "{errno}");
        }
        assert_eq!(status(libc::ENODEV), Status::Lost);
        assert_eq!(status(libc::EOPNOTSUPP), Status::Unsupported);
    }

    #[test]
    fn a_file_that_may_not_be_opened_is_named_with_the_command_that_opens_it() {
        let denied = Unreadable {
            path: "/sys/class/drm/card0/device/hwmon/hwmon3/energy1_input".into(),
            status: Status::PermissionDenied,
        };
        let path = denied.path.display();
        assert!(denied.remedy().contains(&format!("`sudo chmod a+r {path}`")));
    }
}
