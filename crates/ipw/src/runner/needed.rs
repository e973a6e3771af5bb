//! How far back readings are still needed: to the first start among the queries that are under way or
//! wait for their row. Shared by those who send and the recorder, which forgets what is older.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use energy_proto::Nanos;

/// The starts of all such queries.
#[derive(Debug, Clone, Default)]
pub(super) struct Needed(Arc<Mutex<Vec<Nanos>>>);

/// Keeps the readings from a query's start on until it is dropped.
#[derive(Debug)]
pub(super) struct Hold {
    needed: Needed,
    since: Nanos,
}

impl Needed {
    pub(super) fn hold(&self, since: Nanos) -> Hold {
        self.starts().push(since);
        Hold { needed: self.clone(), since }
    }

    /// The first of the starts; `None` if there is no such query.
    pub(super) fn since(&self) -> Option<Nanos> {
        self.starts().iter().min().copied()
    }

    fn starts(&self) -> MutexGuard<'_, Vec<Nanos>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut starts = self.needed.starts();
        if let Some(own) = starts.iter().position(|start| *start == self.since) {
            starts.swap_remove(own);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_that_started_first_says_how_far_back() {
        let needed = Needed::default();
        assert_eq!(needed.since(), None);
        let (first, later) = (needed.hold(Nanos(10)), needed.hold(Nanos(30)));
        let (one, twin) = (needed.hold(Nanos(20)), needed.hold(Nanos(20)));
        assert_eq!(needed.since(), Some(Nanos(10)));
        drop(first);
        assert_eq!(needed.since(), Some(Nanos(20)));
        drop(one);
        assert_eq!(needed.since(), Some(Nanos(20)), "its twin is still under way");
        drop(twin);
        assert_eq!(needed.since(), Some(Nanos(30)));
        drop(later);
        assert_eq!(needed.since(), None);
    }
}
