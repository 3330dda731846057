//! A stop drains the sends in flight, for a limited time, and marks acknowledged records.

use std::time::Duration;

use aggregator::publish::DRAIN_TIMEOUT;

use crate::publish::broker::{FakeBroker, Reaction};
use crate::publish::outbox::FakeOutbox;
use crate::publish::world::{Running, pass};

const MOMENT: Duration = Duration::from_millis(500);

#[tokio::test(start_paused = true)]
async fn stop_drains_in_flight_and_starts_no_new_sends() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    broker.set("slow", Reaction::Accepts(Duration::from_secs(3)));
    outbox.write(&["quick", "slow", "slow", "quick"]);
    let relay = Running::new(&outbox, &broker);
    pass(Duration::from_secs(1)).await;
    let took = relay.stop().await;
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(broker.received(), [1, 4, 2]);
    assert_eq!(outbox.unpublished(), [3]);
}

#[tokio::test(start_paused = true)]
async fn stop_cancels_slow_sends_after_the_drain_timeout_and_marks_the_rest() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    broker.set("hanging", Reaction::Hangs);
    outbox.write(&["quick", "hanging"]);
    let relay = Running::new(&outbox, &broker);
    pass(MOMENT).await;
    assert_eq!(outbox.unpublished(), [1, 2], "the claim is still held");
    let took = relay.stop().await;
    assert!(took < DRAIN_TIMEOUT + MOMENT, "{took:?}");
    assert_eq!(outbox.unpublished(), [2]);
}

#[tokio::test(start_paused = true)]
async fn idle_relay_stops_at_once() {
    let outbox = FakeOutbox::new();
    let broker = FakeBroker::choosing(|_| Reaction::FailsAtOnce);
    for keys in [&[][..], &["key"]] {
        outbox.write(keys);
        let relay = Running::new(&outbox, &broker);
        pass(Duration::from_secs(60)).await;
        let took = relay.stop().await;
        assert!(took < MOMENT, "{took:?}");
    }
}
