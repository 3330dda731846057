//! Every record arrives, in the order of its key, whatever happens to single records.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aggregator::publish::{SCHEDULED_MAX, WAIT_MAX};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::publish::broker::{ACCEPTS, FakeBroker, Reaction};
use crate::publish::outbox::FakeOutbox;
use crate::publish::world::{Running, assert_waited, gaps_seconds, pass};

const MOMENT: Duration = Duration::from_millis(500);

#[tokio::test(start_paused = true)]
async fn keys_are_sent_concurrently_and_records_of_a_key_in_order() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    outbox.write(&["a", "b", "a", "c", "a", "b"]);
    let relay = Running::new(&outbox, &broker);
    pass(MOMENT).await;

    // The broker asserts that no two records of a key are in flight.
    assert_eq!(broker.concurrent_keys_max(), 3);
    let expected = HashMap::from([
        ("a".into(), vec![1, 3, 5]),
        ("b".into(), vec![2, 6]),
        ("c".into(), vec![4]),
    ]);
    assert_eq!(broker.first_received(), expected);
    assert_eq!(broker.received().len(), 6, "each once");
    assert!(outbox.unpublished().is_empty());
    assert_eq!(relay.metric(r#"ras_outbox_published_total{topic="topic"}"#), 6);
    assert_eq!(relay.metric("ras_outbox_delay_seconds_count"), 6);
    assert_eq!(outbox.claims(), 2, "the second finds none");
}

#[tokio::test(start_paused = true)]
async fn written_record_is_sent_at_once() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    let _relay = Running::new(&outbox, &broker);
    for number in 1..4 {
        pass(Duration::from_secs(1_000)).await;
        outbox.write(&["key"]);
        pass(MOMENT).await;
        assert_eq!(broker.received().len(), number);
    }
}

#[tokio::test(start_paused = true)]
async fn record_written_during_a_claim_is_sent_next() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    broker.set("slow", Reaction::Accepts(Duration::from_secs(5)));
    outbox.write(&["slow"]);
    let _relay = Running::new(&outbox, &broker);
    pass(MOMENT).await;
    outbox.write_without_notification(&["late"]);
    pass(Duration::from_secs(6)).await;
    assert_eq!(broker.received(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn missed_notification_delays_by_the_poll_interval_at_most() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    let poll = Duration::from_secs(5);
    let _relay = Running::polling(poll, &outbox, &broker);
    pass(MOMENT).await;
    outbox.write_without_notification(&["key"]);
    pass(poll).await;
    assert_eq!(broker.received(), [1]);
    pass(poll * 100).await;
    assert!(outbox.claims() < 110, "{}", outbox.claims());
}

#[tokio::test(start_paused = true)]
async fn refused_record_delays_its_key_and_no_other() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    broker.set("bad", Reaction::Refuses);
    outbox.write(&["bad", "good", "bad", "good"]);
    let relay = Running::new(&outbox, &broker);
    pass(MOMENT).await;
    assert_eq!(broker.received(), [2, 4]);
    outbox.write(&["good", "bad"]);
    pass(MOMENT).await;
    assert_eq!(broker.received(), [2, 4, 5]);
    assert_eq!(outbox.unpublished(), [1, 3, 6], "none is discarded");

    broker.set("bad", ACCEPTS);
    pass(Duration::from_secs(10)).await;
    assert_eq!(broker.received(), [2, 4, 5, 1, 3, 6]);
    assert!(relay.metric(r#"ras_outbox_send_failures_total{topic="topic",reason="refused"}"#) > 0);
}

#[tokio::test(start_paused = true)]
async fn failing_key_is_retried_with_growing_waits_for_ever() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    broker.set("bad", Reaction::Refuses);
    outbox.write(&["bad"]);
    let _relay = Running::new(&outbox, &broker);
    pass(Duration::from_secs(3_600)).await;

    let tried = broker.tried_at("bad");
    let expected = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0];
    let gaps = gaps_seconds(&tried);
    for (gap, expected) in gaps.iter().zip(expected) {
        assert_waited(*gap, expected);
    }
    assert!(tried.len() > expected.len());
    assert!(outbox.claims() <= 2 * tried.len(), "{} claims", outbox.claims());
}

/// Another process may have sent the records of a scheduled key.
#[tokio::test(start_paused = true)]
async fn key_without_records_leaves_the_schedule() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    broker.set("bad", Reaction::Refuses);
    outbox.write(&["bad"]);
    let _relay = Running::new(&outbox, &broker);
    pass(MOMENT).await;
    outbox.publish_all();
    pass(Duration::from_secs(3_600)).await;
    assert!(outbox.claims() < 6, "{} claims", outbox.claims());
}

#[tokio::test(start_paused = true)]
async fn claim_held_by_another_process_is_asked_for_once_per_poll_interval() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    let held = outbox.hold();
    broker.set("bad", Reaction::Refuses);
    outbox.write(&["bad", "good"]);
    let _relay = Running::polling(Duration::from_secs(5), &outbox, &broker);
    pass(Duration::from_secs(500)).await;
    assert!(broker.received().is_empty());
    assert!(outbox.claims() < 110, "{} claims", outbox.claims());
    drop(held);
    pass(Duration::from_secs(5)).await;
    assert_eq!(broker.received(), [2]);
}

#[tokio::test(start_paused = true)]
async fn missing_topic_delays_its_own_records_alone() {
    let outbox = FakeOutbox::new();
    let broker = FakeBroker::choosing(|record| {
        if record.topic == "missing" { Reaction::HasNoTopic } else { ACCEPTS }
    });
    let keys: Vec<_> = (0..3 * SCHEDULED_MAX).map(|number| format!("key-{number}")).collect();
    outbox.write_to("missing", &keys.iter().map(String::as_str).collect::<Vec<_>>());
    outbox.write(&["key-0", "another"]);
    let relay = Running::new(&outbox, &broker);
    pass(MOMENT).await;
    let received = broker.first_received();
    assert!(received.contains_key("key-0"), "a key of a missing topic is sent to another topic");
    assert!(received.contains_key("another"));

    pass(Duration::from_secs(3_600)).await;
    // Jitter at most halves each wait, so there are at most twice as many claims as without.
    assert!(outbox.claims() < 100, "{} claims", outbox.claims());
    let failures = relay.metric(r#"ras_outbox_send_failures_total{topic="missing""#);
    assert!(failures > 0, "counted in the metrics");
    let gaps = gaps_seconds(&broker.tried_at("key-0"));
    assert_waited(gaps[gaps.len() - 1], WAIT_MAX.as_secs_f64());
}

/// It costs few claims, and after the repair all records arrive.
#[tokio::test(start_paused = true)]
async fn more_failing_keys_than_the_schedule_holds_cost_few_claims() {
    const KEYS: usize = 3 * SCHEDULED_MAX;
    let outbox = FakeOutbox::new();
    let is_mended = Arc::new(AtomicBool::new(false));
    let broker = FakeBroker::choosing({
        let is_mended = Arc::clone(&is_mended);
        move |_| if is_mended.load(Ordering::Relaxed) { ACCEPTS } else { Reaction::Refuses }
    });
    let keys: Vec<_> = (0..KEYS).map(|number| format!("key-{number}")).collect();
    outbox.write(&keys.iter().map(String::as_str).collect::<Vec<_>>());
    let _relay = Running::new(&outbox, &broker);
    pass(Duration::from_secs(3_600)).await;
    assert!(outbox.claims() < 100, "{} claims", outbox.claims());

    is_mended.store(true, Ordering::Relaxed);
    pass(WAIT_MAX + MOMENT).await;
    assert_eq!(broker.received().len(), KEYS);
    assert!(outbox.unpublished().is_empty());
}

#[tokio::test(start_paused = true)]
async fn random_failures_lose_no_record_and_keep_the_order_of_keys() {
    const KEYS: usize = 8;
    const RECORDS: usize = 2_000;
    let seed = testkit::seed();
    let dice = Mutex::new(StdRng::seed_from_u64(seed));
    let outbox = FakeOutbox::new();
    let broker = FakeBroker::choosing(move |_| {
        let mut dice = dice.lock().unwrap();
        match dice.random_range(0..100) {
            0..1 => Reaction::Refuses,
            1..2 => Reaction::HasNoTopic,
            2..3 => Reaction::TimesOut,
            3..4 => Reaction::FailsAtOnce,
            4..5 => Reaction::LosesAcknowledgement,
            _ => Reaction::Accepts(Duration::from_millis(dice.random_range(1..100))),
        }
    });
    let relays: Vec<_> =
        (0..3).map(|_| Running::polling(Duration::from_secs(5), &outbox, &broker)).collect();

    let mut dice = StdRng::seed_from_u64(seed + 1);
    let keys: Vec<_> = (0..KEYS).map(|number| format!("key-{number}")).collect();
    let mut expected = HashMap::<String, Vec<i64>>::new();
    for position in 1..=RECORDS {
        let key = &keys[dice.random_range(0..KEYS)];
        expected.entry(key.clone()).or_default().push(i64::try_from(position).unwrap());
        outbox.write(&[key]);
        pass(Duration::from_millis(dice.random_range(0..50))).await;
    }
    pass(Duration::from_secs(7_200)).await;
    assert!(outbox.unpublished().is_empty());
    assert_eq!(broker.first_received(), expected);
    for relay in relays {
        relay.stop().await;
    }
}
