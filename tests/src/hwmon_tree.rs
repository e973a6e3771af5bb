//! Trees of graphics cards and of Jetsons for a fake sysfs, from tests/data/hwmon, and what goes on in
//! them: counters that run, and a driver that doesn't answer.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::fanotify::{
    EventFFlags, Fanotify, FanotifyResponse, InitFlags, MarkFlags, MaskFlags, Response,
};

use crate::sysfs::Sysfs;

impl Sysfs {
    /// Adds the tree of this name.
    ///
    /// # Panics
    /// If there is none, or a line of it isn't `path = value`.
    pub fn hwmon_tree(&self, name: &str) {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/hwmon");
        let text = fs::read_to_string(data.join(format!("{name}.tree"))).expect("it is there");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (path, value) = line.split_once(" = ").expect("`path = value`");
            self.write(path, &value.replace("\\0", "\0").replace("\\n", "\n"));
        }
    }

    /// Writes a file below the root.
    ///
    /// # Panics
    /// If it can't.
    pub fn write(&self, path: &str, value: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().expect("it is below the root")).expect("writable");
        fs::write(path, format!("{value}\n")).expect("temporary files can be written");
    }

    /// Makes a file's number rise by so much in a second, until the guard is dropped.
    ///
    /// # Panics
    /// If the file can't be written.
    #[must_use]
    pub fn run_counter(&self, path: &str, from: u64, per_second: f64) -> RunningCounter {
        let path = self.root().join(path);
        set_in_place(&path, from);
        let file = OpenOptions::new().write(true).open(path).expect("it was just written");
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || count(&file, from, per_second, &stopped));
        RunningCounter { stop, thread: Some(thread) }
    }

    /// What can make reads of a file hang. Linux decides when the file is opened whether its reads have
    /// to ask anybody, so this comes before the monitor is started.
    ///
    /// # Errors
    /// If this user or kernel may not: it takes CAP_SYS_ADMIN.
    pub fn brake(&self, path: &str) -> Result<Brake, Errno> {
        // Not inherited: a program started meanwhile would go on holding the reads.
        let flags = InitFlags::FAN_CLASS_CONTENT | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK;
        let group = Arc::new(Fanotify::init(flags, EventFFlags::O_RDONLY)?);
        let (add, access) = (MarkFlags::FAN_MARK_ADD, MaskFlags::FAN_ACCESS_PERM);
        group.mark(add, access, AT_FDCWD, Some(&self.root().join(path)))?;
        let held = Arc::<AtomicBool>::default();
        let (asked, stopped) = (Arc::clone(&group), Arc::clone(&held));
        let thread = thread::spawn(move || allow_until(&asked, &stopped));
        Ok(Brake { _group: group, held, thread: Some(thread) })
    }
}

/// Makes reads wait, as a driver that hangs does; they go on when it is dropped.
#[derive(Debug)]
pub struct Brake {
    _group: Arc<Fanotify>,
    held: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Brake {
    /// From now on every read waits.
    pub fn hold(&mut self) {
        self.held.store(true, Ordering::Relaxed);
        // A panic there has been printed.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Drop for Brake {
    fn drop(&mut self) {
        self.hold();
    }
}

/// Lets every read go on until no more shall.
fn allow_until(group: &Fanotify, held: &AtomicBool) {
    while !held.load(Ordering::Relaxed) {
        let mut asked = [PollFd::new(group.as_fd(), PollFlags::POLLIN)];
        poll(&mut asked, PollTimeout::from(10_u8)).expect("it can be waited for");
        // An error is that nobody asks.
        for event in group.read_events().unwrap_or_default() {
            let file = event.fd().expect("the queue is long enough");
            let allowed = FanotifyResponse::new(file, Response::FAN_ALLOW);
            group.write_response(allowed).expect("it was asked");
        }
    }
}

/// A counter that runs.
#[derive(Debug)]
pub struct RunningCounter {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for RunningCounter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A panic there has been printed.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Writes the whole number in one call and in one length, so that nobody reads half of it.
fn set_in_place(path: &Path, number: u64) {
    fs::write(path, text_of(number)).expect("temporary files can be written");
}

fn text_of(number: u64) -> String {
    format!("{number:019}\n")
}

fn count(file: &File, from: u64, per_second: f64, stop: &AtomicBool) {
    let started = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let rise = started.elapsed().as_secs_f64() * per_second;
        file.write_all_at(text_of(from + rise as u64).as_bytes(), 0).expect("it is open");
        thread::sleep(Duration::from_millis(5));
    }
}
