//! Fan-out: one immutable message for every subscriber. A subscriber that is too slow loses the
//! oldest ones and is told how many; it costs the sampler nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use energy_proto::{Nanos, pb};
use tokio::sync::broadcast;

/// How many messages a subscriber may be behind: 51 seconds at 50 ms, one at 1 ms. The buffer is
/// shared, so this bounds memory whatever the number of subscribers is: about 1 MB.
const CAPACITY: usize = 1_024;

/// A message as every subscriber gets it.
pub type Message = Arc<pb::TelemetryReading>;

/// The sampler's end. When it is dropped, the subscribers' streams end.
#[derive(Debug)]
pub struct Publisher {
    sender: broadcast::Sender<Message>,
    last_published: Arc<AtomicU64>,
}

/// The subscribers' end.
#[derive(Debug, Clone)]
pub struct Hub {
    sender: broadcast::WeakSender<Message>,
    last_published: Arc<AtomicU64>,
}

/// A sampler's end and the subscribers' end.
#[must_use]
pub fn channel() -> (Publisher, Hub) {
    let sender = broadcast::Sender::new(CAPACITY);
    let last_published = Arc::new(AtomicU64::new(0));
    let hub = Hub { sender: sender.downgrade(), last_published: Arc::clone(&last_published) };
    (Publisher { sender, last_published }, hub)
}

impl Publisher {
    /// Gives a message to all present subscribers; never waits.
    pub fn publish(&self, message: pb::TelemetryReading) {
        self.last_published.store(message.monotonic_nanos, Ordering::Relaxed);
        // An error means that nobody listens.
        let _ = self.sender.send(Arc::new(message));
    }
}

impl Hub {
    /// Messages from now on; nothing if the sampler has stopped.
    #[must_use]
    pub fn subscribe(&self) -> Option<broadcast::Receiver<Message>> {
        Some(self.sender.upgrade()?.subscribe())
    }

    /// How many streams are open.
    #[must_use]
    pub fn subscribers(&self) -> u64 {
        self.sender.upgrade().map_or(0, |sender| sender.receiver_count() as u64)
    }

    /// Whether a message was published within `limit` before `now`.
    #[must_use]
    pub fn is_sampling(&self, now: Nanos, limit: Duration) -> bool {
        let last = Nanos(self.last_published.load(Ordering::Relaxed));
        last != Nanos(0) && now.since(last) <= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::broadcast::error::TryRecvError;

    fn message(sequence: u64) -> pb::TelemetryReading {
        pb::TelemetryReading { sequence, monotonic_nanos: sequence, ..Default::default() }
    }

    #[test]
    fn a_slow_subscriber_loses_the_oldest_and_learns_how_many() {
        let (publisher, hub) = channel();
        let mut slow = hub.subscribe().unwrap();
        let lost = 7;
        for sequence in 0..CAPACITY as u64 + lost {
            publisher.publish(message(sequence));
        }
        assert_eq!(slow.try_recv().unwrap_err(), TryRecvError::Lagged(lost));
        assert_eq!(slow.try_recv().unwrap().sequence, lost);
    }

    #[test]
    fn when_the_sampler_is_gone_streams_end_and_no_new_one_begins() {
        let (publisher, hub) = channel();
        let mut subscriber = hub.subscribe().unwrap();
        drop(publisher);
        assert_eq!(subscriber.try_recv().unwrap_err(), TryRecvError::Closed);
        assert!(hub.subscribe().is_none());
    }

    #[test]
    fn it_samples_as_long_as_messages_come() {
        let (publisher, hub) = channel();
        let limit = Duration::from_nanos(10);
        assert!(!hub.is_sampling(Nanos(1), limit));
        publisher.publish(message(100));
        assert!(hub.is_sampling(Nanos(110), limit));
        assert!(!hub.is_sampling(Nanos(111), limit));
    }
}
