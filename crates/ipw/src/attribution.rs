//! From readings and times to joules: pure, without I/O and without a clock.
//!
//! [`energy`] answers for one sensor and one window, [`solved`] has what can be said of the sensor's whole
//! run beforehand (by [`locate`] and [`fit`], under the [`load`] of all requests), [`basis`] says which
//! sensors stand for the query, [`measure`] fills the groups of a record that come from telemetry. The
//! same functions make the provisional rows of a running run, without a solution, and the final ones.

pub mod basis;
pub mod energy;
mod envelope;
pub mod fit;
pub mod lag;
pub mod load;
pub mod locate;
pub mod measure;
mod power;
pub mod solved;
pub mod steady;

/// At most so many of some items, from the middle.
fn middle<T>(items: &[T], most: usize) -> &[T] {
    let beside = items.len().saturating_sub(most) / 2;
    &items[beside..(beside + most).min(items.len())]
}
