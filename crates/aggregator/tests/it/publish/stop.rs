//! A stop waits for what is under way, not for long, and marks what was acknowledged.

use std::time::Duration;

use aggregator::publish::DRAIN_TIMEOUT;

use crate::publish::broker::{FakeBroker, Mood};
use crate::publish::outbox::FakeOutbox;
use crate::publish::world::{Running, pass};

const MOMENT: Duration = Duration::from_millis(500);

#[tokio::test(start_paused = true)]
async fn what_is_under_way_is_brought_to_its_end_and_nothing_is_begun() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    broker.set("slow", Mood::Takes(Duration::from_secs(3)));
    outbox.write(&["quick", "slow", "slow", "quick"]);
    let relay = Running::new(&outbox, &broker);
    pass(Duration::from_secs(1)).await;
    let took = relay.stop().await;
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(broker.received(), [1, 4, 2]);
    assert_eq!(outbox.unpublished(), [3]);
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_is_left_and_the_rest_is_marked() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    broker.set("hanging", Mood::Hangs);
    outbox.write(&["quick", "hanging"]);
    let relay = Running::new(&outbox, &broker);
    pass(MOMENT).await;
    assert_eq!(outbox.unpublished(), [1, 2], "the claim is not at its end");
    let took = relay.stop().await;
    assert!(took < DRAIN_TIMEOUT + MOMENT, "{took:?}");
    assert_eq!(outbox.unpublished(), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_waits_stops_at_once() {
    let outbox = FakeOutbox::new();
    let broker = FakeBroker::choosing(|_| Mood::IsFull);
    for keys in [&[][..], &["key"]] {
        outbox.write(keys);
        let relay = Running::new(&outbox, &broker);
        pass(Duration::from_secs(60)).await;
        let took = relay.stop().await;
        assert!(took < MOMENT, "{took:?}");
    }
}
