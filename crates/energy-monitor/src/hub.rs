//! Fan-out: each reading is encoded once, into a ring of buffers that all subscribers read. A
//! subscriber that is too slow loses the oldest readings and is told how many; it costs the sampler
//! nothing, which neither waits for anybody nor, once each buffer was used, allocates.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use energy_proto::Nanos;
use tokio::sync::Notify;

/// How many readings a subscriber may be behind: 51 seconds at 50 ms, one at 1 ms. The ring is
/// shared, so this bounds memory whatever the number of subscribers is: about 1 MB with eight GPUs.
pub const CAPACITY: u64 = 1_024;

/// The sampler's end. When it is dropped, the subscribers' streams end.
#[derive(Debug)]
pub struct Publisher(Arc<Ring>);

/// The subscribers' end.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Ring>);

#[derive(Debug)]
struct Ring {
    slots: Box<[Mutex<Slot>]>,
    /// Number of readings published so far.
    published: AtomicU64,
    last_tick: AtomicU64,
    closed: AtomicBool,
    subscribers: AtomicU64,
    /// Subscribers that wait for news. One that rests for a while doesn't.
    waiting: AtomicU64,
    arrived: Notify,
    news: Notify,
}

/// A published reading.
#[derive(Debug, Default)]
struct Slot {
    /// How many were published before it; tells whether the slot was used again meanwhile.
    number: u64,
    /// Number of the sampling tick.
    tick: u64,
    message: Vec<u8>,
}

/// A sampler's end and the subscribers' end.
#[must_use]
pub fn channel() -> (Publisher, Hub) {
    let ring = Arc::new(Ring {
        slots: (0..CAPACITY).map(|_| Mutex::default()).collect(),
        published: AtomicU64::new(0),
        last_tick: AtomicU64::new(0),
        closed: AtomicBool::new(false),
        subscribers: AtomicU64::new(0),
        waiting: AtomicU64::new(0),
        arrived: Notify::new(),
        news: Notify::new(),
    });
    (Publisher(Arc::clone(&ring)), Hub(ring))
}

impl Publisher {
    /// Whether anybody would get a reading.
    #[must_use]
    pub fn has_subscribers(&self) -> bool {
        self.0.subscribers.load(Ordering::Relaxed) > 0
    }

    /// Notes that a tick was made, published or not.
    pub fn ticked(&self, at: Nanos) {
        self.0.last_tick.store(at.0, Ordering::Relaxed);
    }

    /// Gives a reading, which `encode` appends to an empty buffer, to all present subscribers.
    pub fn publish(&self, tick: u64, encode: impl FnOnce(&mut Vec<u8>)) {
        let number = self.0.published.load(Ordering::Relaxed);
        {
            // Only a subscriber that is a whole ring behind can hold this lock, for the time of a
            // copy.
            let mut slot = lock(self.0.slot(number));
            slot.number = number;
            slot.tick = tick;
            slot.message.clear();
            encode(&mut slot.message);
        }
        if number == 0 {
            self.make_room();
        }
        // Who waits is counted before it looks at this number: one of both sees the other.
        self.0.published.store(number + 1, Ordering::SeqCst);
        if self.0.waiting.load(Ordering::SeqCst) > 0 {
            self.0.arrived.notify_one();
        }
    }
}

impl Publisher {
    /// Gives every buffer the room that the first needed: one by one, as each is first used, they
    /// would cost the sampler a hundred system calls a megabyte.
    fn make_room(&self) {
        let room = lock(self.0.slot(0)).message.capacity();
        for slot in &self.0.slots[1..] {
            lock(slot).message.reserve_exact(room);
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::SeqCst);
        self.0.arrived.notify_one();
        // Whoever passes news on may have stopped already.
        self.0.news.notify_waiters();
    }
}

impl Ring {
    fn slot(&self, number: u64) -> &Mutex<Slot> {
        &self.slots[(number % CAPACITY) as usize]
    }
}

/// A panic of another subscriber leaves a slot whole: it is only copied from.
fn lock(slot: &Mutex<Slot>) -> std::sync::MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// Readings from now on; nothing if the sampler has stopped.
    #[must_use]
    pub fn subscribe(&self) -> Option<Subscriber> {
        if self.0.closed.load(Ordering::Acquire) {
            return None;
        }
        self.0.subscribers.fetch_add(1, Ordering::Relaxed);
        let next = self.0.published.load(Ordering::Acquire);
        Some(Subscriber { ring: Arc::clone(&self.0), next })
    }

    /// Passes news on to all who wait for them, until the sampler stops: to be run where they are. To
    /// wake each of them from the sampler's thread would cost it a system call each.
    pub async fn forward(self) {
        loop {
            self.0.arrived.notified().await;
            self.0.news.notify_waiters();
            if self.0.closed.load(Ordering::SeqCst) {
                return;
            }
        }
    }

    /// Whether a tick was made within `limit` before `now`.
    #[must_use]
    pub fn is_sampling(&self, now: Nanos, limit: Duration) -> bool {
        let last = Nanos(self.0.last_tick.load(Ordering::Relaxed));
        last != Nanos(0) && now.since(last) <= limit
    }

    /// How many listen.
    #[must_use]
    pub fn subscribers(&self) -> u64 {
        self.0.subscribers.load(Ordering::Relaxed)
    }
}

/// One subscriber's place in the ring.
#[derive(Debug)]
pub struct Subscriber {
    ring: Arc<Ring>,
    next: u64,
}

/// What a subscriber finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A reading of this tick.
    Reading {
        /// Number of the tick.
        tick: u64,
    },
    /// So many readings were lost since the last one.
    Lost(u64),
    /// Nothing new so far.
    Nothing,
    /// The sampler has stopped, and everything it said was read.
    End,
}

impl Subscriber {
    /// Appends the next reading to `message`, if there is one that `wanted` takes by its tick; passes
    /// over those it doesn't.
    pub fn take(&mut self, message: &mut BytesMut, wanted: impl Fn(u64) -> bool) -> Found {
        loop {
            // Before the number of readings: what is published before the end is still read.
            let closed = self.ring.closed.load(Ordering::Acquire);
            let published = self.ring.published.load(Ordering::Acquire);
            if self.next == published {
                return if closed { Found::End } else { Found::Nothing };
            }
            let oldest = published.saturating_sub(CAPACITY);
            if self.next < oldest {
                let lost = oldest - self.next;
                self.next = oldest;
                return Found::Lost(lost);
            }
            let slot = lock(self.ring.slot(self.next));
            if slot.number != self.next {
                // Overwritten since: the loop finds how much was lost.
                continue;
            }
            self.next += 1;
            if wanted(slot.tick) {
                message.extend_from_slice(&slot.message);
                return Found::Reading { tick: slot.tick };
            }
        }
    }

    /// Waits until there is something to find. [`Hub::forward`] has to run.
    pub async fn news(&self) {
        let ring = &*self.ring;
        let mut news = pin!(ring.news.notified());
        news.as_mut().enable();
        let _waiting = Waiting::one_more(&ring.waiting);
        let published = ring.published.load(Ordering::SeqCst);
        if self.next == published && !ring.closed.load(Ordering::SeqCst) {
            news.await;
        }
    }
}

/// Counts one who waits, for as long as it lives.
struct Waiting<'a>(&'a AtomicU64);

impl<'a> Waiting<'a> {
    fn one_more(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.ring.subscribers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(publisher: &Publisher, tick: u64) {
        publisher.publish(tick, |buffer| buffer.push((tick % 251) as u8));
    }

    fn take(subscriber: &mut Subscriber) -> (Found, Vec<u8>) {
        let mut message = BytesMut::new();
        let found = subscriber.take(&mut message, |_| true);
        (found, message.to_vec())
    }

    #[test]
    fn every_subscriber_gets_every_reading_from_its_beginning_on() {
        let (publisher, hub) = channel();
        publish(&publisher, 6);
        let mut first = hub.subscribe().unwrap();
        publish(&publisher, 7);
        let mut second = hub.subscribe().unwrap();
        publish(&publisher, 8);
        assert_eq!(take(&mut first), (Found::Reading { tick: 7 }, vec![7]));
        assert_eq!(take(&mut first), (Found::Reading { tick: 8 }, vec![8]));
        assert_eq!(take(&mut first).0, Found::Nothing);
        assert_eq!(take(&mut second), (Found::Reading { tick: 8 }, vec![8]));
    }

    #[test]
    fn a_slow_subscriber_loses_the_oldest_and_learns_how_many() {
        let (publisher, hub) = channel();
        let mut slow = hub.subscribe().unwrap();
        for tick in 0..CAPACITY + 7 {
            publish(&publisher, tick);
        }
        assert_eq!(take(&mut slow).0, Found::Lost(7));
        assert_eq!(take(&mut slow).0, Found::Reading { tick: 7 });
    }

    #[test]
    fn what_a_subscriber_does_not_want_is_passed_over() {
        let (publisher, hub) = channel();
        let mut subscriber = hub.subscribe().unwrap();
        for tick in 0..10 {
            publish(&publisher, tick);
        }
        let mut message = BytesMut::new();
        let found = subscriber.take(&mut message, |tick| tick >= 8);
        assert_eq!((found, message.to_vec()), (Found::Reading { tick: 8 }, vec![8]));
    }

    #[tokio::test]
    async fn when_the_sampler_is_gone_streams_end_after_the_last_reading_and_no_new_one_begins() {
        let (publisher, hub) = channel();
        let forwarding = tokio::spawn(hub.clone().forward());
        let mut subscriber = hub.subscribe().unwrap();
        publish(&publisher, 1);
        drop(publisher);
        subscriber.news().await;
        assert_eq!(take(&mut subscriber).0, Found::Reading { tick: 1 });
        assert_eq!(take(&mut subscriber).0, Found::End);
        assert!(hub.subscribe().is_none());
        forwarding.await.unwrap();
    }

    #[tokio::test]
    async fn all_who_wait_are_woken_by_a_sampler_on_another_thread() {
        let (publisher, hub) = channel();
        tokio::spawn(hub.clone().forward());
        let waiters: Vec<_> = (0..20)
            .map(|_| {
                let mut subscriber = hub.subscribe().unwrap();
                tokio::spawn(async move {
                    let mut ticks = Vec::new();
                    loop {
                        match take(&mut subscriber).0 {
                            Found::Reading { tick } => ticks.push(tick),
                            Found::Nothing => subscriber.news().await,
                            Found::End | Found::Lost(_) => return ticks,
                        }
                    }
                })
            })
            .collect();
        let sampler = std::thread::spawn(move || {
            for tick in 0..200 {
                publish(&publisher, tick);
                std::thread::sleep(Duration::from_micros(tick % 3 * 100));
            }
        });
        for waiter in waiters {
            assert_eq!(waiter.await.unwrap(), (0..200).collect::<Vec<u64>>());
        }
        sampler.join().unwrap();
    }

    #[tokio::test]
    async fn news_that_came_before_it_was_waited_for_are_not_missed() {
        let (publisher, hub) = channel();
        let mut subscriber = hub.subscribe().unwrap();
        for tick in 0..100 {
            publish(&publisher, tick);
            subscriber.news().await;
            assert_eq!(take(&mut subscriber).0, Found::Reading { tick });
        }
    }

    #[test]
    fn it_counts_who_listens() {
        let (publisher, hub) = channel();
        assert!(!publisher.has_subscribers());
        let subscriber = hub.subscribe().unwrap();
        assert!(publisher.has_subscribers());
        drop(subscriber);
        assert_eq!(hub.subscribers(), 0);
    }

    #[test]
    fn it_samples_as_long_as_ticks_come() {
        let (publisher, hub) = channel();
        let limit = Duration::from_nanos(10);
        assert!(!hub.is_sampling(Nanos(1), limit));
        publisher.ticked(Nanos(100));
        assert!(hub.is_sampling(Nanos(110), limit));
        assert!(!hub.is_sampling(Nanos(111), limit));
    }

    #[test]
    fn a_reading_costs_no_allocation_once_the_ring_was_used() {
        let (publisher, hub) = channel();
        let _subscriber = hub.subscribe().unwrap();
        let fill = |tick| publisher.publish(tick, |buffer| buffer.extend([7; 900]));
        (0..CAPACITY).for_each(fill);
        let counted = allocation_counter::measure(|| (0..3 * CAPACITY).for_each(fill));
        assert_eq!(counted.count_total, 0);
    }
}
