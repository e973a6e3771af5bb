//! What a thread asks of the kernel's scheduler so that it wakes on time: no timer slack, and short
//! slices, which get their turn sooner. Neither needs a privilege; where the kernel knows neither,
//! nothing is lost but punctuality.

use std::time::Duration;

/// A slice as long as a tick's work, far below the usual 3 ms.
const SLICE: Duration = Duration::from_micros(100);

/// Makes the calling thread punctual.
pub fn be_punctual() {
    #[cfg(target_os = "linux")]
    {
        // The default lets timers of all threads fire 50 us late, to save wake-ups.
        if let Err(error) = nix::sys::prctl::set_timerslack(1) {
            tracing::debug!(%error, "timer slack stays as it is");
        }
        if let Err(error) = ask_for_slice(SLICE) {
            tracing::debug!(%error, "the scheduler's slice stays as it is");
        }
    }
}

/// Asks for a slice of the fair scheduler: Linux 6.12 and later take it as a request for latency
/// (`sched_setattr(2)`, EEVDF), older ones ignore it.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no library wraps sched_setattr for the fair scheduler")]
fn ask_for_slice(slice: Duration) -> std::io::Result<()> {
    // Who gave this program another policy, such as real time, knows better.
    // SAFETY: no pointer is passed; thread 0 is the calling one.
    if unsafe { libc::sched_getscheduler(0) } != libc::SCHED_OTHER {
        return Ok(());
    }
    // Whatever niceness the user gave stays: the call sets it too.
    // SAFETY: as above.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_OTHER as u32,
        sched_flags: 0,
        sched_nice: nice,
        sched_priority: 0,
        sched_runtime: slice.as_nanos() as u64,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the structure lives during the call and says its own size; thread 0 is the calling
    // one.
    let done = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_may_ask_for_it_without_any_right() {
        be_punctual();
        assert_eq!(nix::sys::prctl::get_timerslack().unwrap(), 1);
        // A sandbox may forbid the call; a wrong structure would be EINVAL or E2BIG.
        if let Err(error) = ask_for_slice(SLICE) {
            assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{error}");
        }
    }
}
