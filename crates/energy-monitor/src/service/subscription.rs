//! One subscriber's stream: which readings it wants, how long they may wait for each other, and what
//! is added to each for this subscriber alone.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use energy_proto::{CLIENT_API, Description, Message, pb};
use futures_util::stream::unfold;
use tokio::time::sleep;
use tokio_stream::Stream;
use tonic::Status;

use crate::hub::{Found, Subscriber};

/// Readings are not kept back for longer: at 1 ms the hub keeps them for one second.
const LONGEST_DELAY: Duration = Duration::from_millis(500);

/// What a subscriber asked for, if it can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    /// Each so many ticks.
    every: u64,
    interval: Duration,
    max_delay: Duration,
    identity_once: bool,
}

impl Order {
    /// Checks a request against the sampling interval.
    ///
    /// # Errors
    /// If it can't be met; says what can.
    pub(super) fn check(request: &pb::StreamRequest, interval: Duration) -> Result<Self, String> {
        let sampling_ms = interval.as_millis();
        let asked_ms = u128::from(request.interval_ms);
        let every = if asked_ms == 0 { 1 } else { asked_ms / sampling_ms };
        if asked_ms % sampling_ms != 0 {
            return Err(format!(
                "interval_ms has to be a multiple of this monitor's {sampling_ms} ms, not {asked_ms}"
            ));
        }
        let max_delay = Duration::from_millis(request.max_delay_ms.into());
        if max_delay > LONGEST_DELAY {
            return Err(format!(
                "max_delay_ms may be at most {}, not {}",
                LONGEST_DELAY.as_millis(),
                request.max_delay_ms
            ));
        }
        Ok(Self {
            every: u64::try_from(every).unwrap_or(u64::MAX),
            interval,
            max_delay,
            identity_once: request.client_api >= CLIENT_API,
        })
    }

    /// Whether a tick belongs to another period of the subscriber's than the last one it got, so that
    /// a tick that was missed doesn't cost a whole period.
    fn wants(&self, tick: u64, last: Option<u64>) -> bool {
        last.is_none_or(|last| tick / self.every > last / self.every)
    }

    /// How long there is surely nothing to do after all news were read.
    fn rest(&self, last: Option<u64>) -> Duration {
        let until_due = last.map_or(Duration::ZERO, |last| {
            // Half a tick early, since the timer is coarse.
            let ticks = (self.every - 1 - last % self.every) as f64 - 0.5;
            self.interval.mul_f64(ticks.max(0.0))
        });
        // The timer rounds up to whole milliseconds, and the delay is a limit.
        until_due.max(self.max_delay.saturating_sub(Duration::from_millis(1)))
    }
}

/// What the original's clients look for in every message: the encoded fields 8 and 9.
#[derive(Debug)]
pub(super) struct Identity(Vec<u8>);

impl Identity {
    pub(super) fn of(description: &Description) -> Self {
        let identity = pb::TelemetryReading {
            system_info: Some(description.system_info.clone().into()),
            gpu_info: description.gpu_info.clone().map(Into::into),
            ..Default::default()
        };
        Self(identity.encode_to_vec())
    }
}

/// One subscriber's stream.
#[derive(Debug)]
pub(super) struct Subscription {
    subscriber: Subscriber,
    order: Order,
    /// Nothing once it was sent to a client that needs it once.
    identity: Option<Identity>,
    last: Option<u64>,
    /// Readings that were lost since the last one.
    lost: u64,
    dropped: u64,
    /// Room for messages, used again once they are sent.
    room: BytesMut,
}

impl Subscription {
    pub(super) fn new(subscriber: Subscriber, order: Order, identity: Identity) -> Self {
        let identity = Some(identity);
        Self { subscriber, order, identity, last: None, lost: 0, dropped: 0, room: BytesMut::new() }
    }

    /// Encoded readings, to the sampler's end.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes, Status>> + Send {
        unfold(self, |mut subscription| async move {
            let message = subscription.next().await?;
            Some((Ok(message), subscription))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        // A subscriber that has read everything rests without being woken by each tick.
        let mut rested = false;
        loop {
            match self.take() {
                Found::Reading { tick } => return Some(self.addressed(tick)),
                Found::Lost(lost) => self.lost += lost,
                Found::End => return None,
                Found::Nothing => {
                    let rest = self.order.rest(self.last);
                    if rested || rest.is_zero() {
                        self.subscriber.news().await;
                    } else {
                        sleep(rest).await;
                    }
                    rested = true;
                }
            }
        }
    }

    fn take(&mut self) -> Found {
        let (order, last) = (self.order, self.last);
        self.subscriber.take(&mut self.room, |tick| order.wants(tick, last))
    }

    /// Of the readings that were lost before this tick, one in each of the subscriber's periods was its
    /// own.
    fn count_lost(&mut self, tick: u64) {
        let lost = std::mem::take(&mut self.lost);
        let every = self.order.every;
        let periods = match self.last {
            Some(last) => (tick / every - last / every).saturating_sub(1),
            None => lost / every,
        };
        self.dropped += lost.min(periods);
    }

    /// Adds this subscriber's fields to the message in `room`: encoded messages that follow each other
    /// are one.
    fn addressed(&mut self, tick: u64) -> Bytes {
        self.count_lost(tick);
        self.last = Some(tick);
        if let Some(Identity(identity)) = &self.identity {
            self.room.extend_from_slice(identity);
        }
        if self.order.identity_once {
            self.identity = None;
        }
        if self.dropped > 0 {
            let dropped = pb::TelemetryReading { dropped: self.dropped, ..Default::default() };
            dropped.encode(&mut self.room).expect("the buffer grows");
        }
        self.room.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub;
    use tokio_stream::StreamExt;

    const TICK: Duration = Duration::from_millis(10);

    fn request(interval_ms: u32, max_delay_ms: u32) -> pb::StreamRequest {
        pb::StreamRequest { client_api: CLIENT_API, interval_ms, max_delay_ms }
    }

    fn publish(publisher: &hub::Publisher, tick: u64) {
        let message = pb::TelemetryReading { sequence: tick, ..Default::default() };
        publisher.publish(tick, |buffer| message.encode(buffer).unwrap());
    }

    fn subscription(hub: &hub::Hub, request: &pb::StreamRequest) -> Subscription {
        let system_info = Some(pb::SystemInfo { cpu_count: 7, ..Default::default() });
        let identity = pb::TelemetryReading { system_info, ..Default::default() };
        Subscription::new(
            hub.subscribe().unwrap(),
            Order::check(request, TICK).unwrap(),
            Identity(identity.encode_to_vec()),
        )
    }

    async fn read(subscription: Subscription) -> Vec<pb::TelemetryReading> {
        subscription
            .into_stream()
            .map(|message| pb::TelemetryReading::decode(message.unwrap()).unwrap())
            .collect()
            .await
    }

    #[test]
    fn an_interval_that_is_no_multiple_and_a_delay_beyond_the_ring_are_refused() {
        for (bad, word) in
            [(request(25, 0), "multiple of this monitor's 10 ms"), (request(0, 501), "at most 500")]
        {
            let refused = Order::check(&bad, TICK).unwrap_err();
            assert!(refused.contains(word), "{refused}");
        }
        assert!(Order::check(&request(30, 500), TICK).is_ok());
    }

    #[tokio::test]
    async fn a_slower_subscriber_gets_one_reading_in_each_of_its_periods() {
        let (publisher, hub) = hub::channel();
        let slower = subscription(&hub, &request(30, 0));
        for tick in [0, 1, 2, 4, 5, 6, 8, 9] {
            publish(&publisher, tick);
        }
        drop(publisher);
        let ticks: Vec<u64> = read(slower).await.iter().map(|reading| reading.sequence).collect();
        assert_eq!(ticks, [0, 4, 6, 9], "tick 3 was missed");
    }

    #[tokio::test]
    async fn readings_that_may_wait_are_found_together() {
        let (publisher, hub) = hub::channel();
        let mut patient = subscription(&hub, &request(0, 50));
        let began = tokio::time::Instant::now();
        let sampler = tokio::spawn(async move {
            for tick in 0..20 {
                sleep(TICK).await;
                publish(&publisher, tick);
            }
        });
        let mut found_at = Vec::new();
        while let Some(_message) = patient.next().await {
            found_at.push(began.elapsed());
        }
        sampler.await.unwrap();
        assert_eq!(found_at.len(), 20);
        let waits = found_at.windows(2).filter(|pair| pair[1] - pair[0] > TICK / 2).count();
        assert!(waits <= 5, "{found_at:?}");
    }

    #[tokio::test]
    async fn a_client_that_knows_the_contract_is_told_the_host_once_and_the_others_always() {
        let (publisher, hub) = hub::channel();
        let ours = subscription(&hub, &request(0, 0));
        let originals = subscription(&hub, &pb::StreamRequest::default());
        for tick in 0..3 {
            publish(&publisher, tick);
        }
        drop(publisher);
        let told = |readings: Vec<pb::TelemetryReading>| -> Vec<bool> {
            readings.iter().map(|reading| reading.system_info.is_some()).collect()
        };
        assert_eq!(told(read(ours).await), [true, false, false]);
        assert_eq!(told(read(originals).await), [true, true, true]);
    }

    #[tokio::test]
    async fn what_was_lost_is_told_with_every_later_reading() {
        let (publisher, hub) = hub::channel();
        let slow = subscription(&hub, &request(0, 0));
        for tick in 0..hub::CAPACITY + 5 {
            publish(&publisher, tick);
        }
        drop(publisher);
        let readings = read(slow).await;
        assert_eq!(readings.len() as u64, hub::CAPACITY);
        assert!(readings.iter().all(|reading| reading.dropped == 5));
        assert_eq!(readings[0].sequence, 5);
    }

    #[tokio::test]
    async fn a_slower_subscriber_is_told_only_of_readings_that_were_its_own() {
        let (publisher, hub) = hub::channel();
        let mut slower = subscription(&hub, &request(100, 0));
        publish(&publisher, 0);
        slower.next().await.unwrap();
        // The first 100 of these are lost, and with them nine of its periods.
        for tick in 1..=hub::CAPACITY + 100 {
            publish(&publisher, tick);
        }
        let next = pb::TelemetryReading::decode(slower.next().await.unwrap()).unwrap();
        assert_eq!((next.sequence, next.dropped), (101, 9));
    }
}
