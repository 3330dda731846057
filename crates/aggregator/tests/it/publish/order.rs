//! Everything arrives, in the order of its key, whatever happens to single records.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aggregator::publish::{SCHEDULED_MAX, WAIT_MAX};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::publish::broker::{FakeBroker, Mood, TAKES};
use crate::publish::outbox::FakeOutbox;
use crate::publish::world::{Running, assert_waited, gaps_seconds, pass};

const MOMENT: Duration = Duration::from_millis(500);

#[tokio::test(start_paused = true)]
async fn keys_go_beside_each_other_and_records_of_a_key_one_after_another() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    outbox.write(&["a", "b", "a", "c", "a", "b"]);
    let relay = Running::new(&outbox, &broker);
    pass(MOMENT).await;

    // That no two of one key are under way, the broker sees to.
    assert_eq!(broker.keys_beside_each_other(), 3);
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
    assert_eq!(outbox.claims(), 2, "the second finds nothing");
}

#[tokio::test(start_paused = true)]
async fn what_is_written_is_sent_at_once() {
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
async fn what_is_written_while_something_is_sent_is_sent_next() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    broker.set("slow", Mood::Takes(Duration::from_secs(5)));
    outbox.write(&["slow"]);
    let _relay = Running::new(&outbox, &broker);
    pass(MOMENT).await;
    outbox.write_silently(&["late"]);
    pass(Duration::from_secs(6)).await;
    assert_eq!(broker.received(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_sign_that_was_missed_costs_no_more_than_the_poll_interval() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    let poll = Duration::from_secs(5);
    let _relay = Running::polling(poll, &outbox, &broker);
    pass(MOMENT).await;
    outbox.write_silently(&["key"]);
    pass(poll).await;
    assert_eq!(broker.received(), [1]);
    pass(poll * 100).await;
    assert!(outbox.claims() < 110, "{}", outbox.claims());
}

#[tokio::test(start_paused = true)]
async fn a_refused_record_holds_up_its_key_and_nobody_else() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    broker.set("bad", Mood::Refuses);
    outbox.write(&["bad", "good", "bad", "good"]);
    let relay = Running::new(&outbox, &broker);
    pass(MOMENT).await;
    assert_eq!(broker.received(), [2, 4]);
    outbox.write(&["good", "bad"]);
    pass(MOMENT).await;
    assert_eq!(broker.received(), [2, 4, 5]);
    assert_eq!(outbox.unpublished(), [1, 3, 6], "nothing is dropped");

    broker.set("bad", TAKES);
    pass(Duration::from_secs(10)).await;
    assert_eq!(broker.received(), [2, 4, 5, 1, 3, 6]);
    assert!(relay.metric(r#"ras_outbox_send_failures_total{topic="topic",reason="refused"}"#) > 0);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_fails_is_tried_less_and_less_often_and_never_given_up() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    broker.set("bad", Mood::Refuses);
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

/// Another process may have sent what this one waits for.
#[tokio::test(start_paused = true)]
async fn a_key_with_nothing_left_to_send_is_not_looked_for() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    broker.set("bad", Mood::Refuses);
    outbox.write(&["bad"]);
    let _relay = Running::new(&outbox, &broker);
    pass(MOMENT).await;
    outbox.publish_all();
    pass(Duration::from_secs(3_600)).await;
    assert!(outbox.claims() < 6, "{} claims", outbox.claims());
}

#[tokio::test(start_paused = true)]
async fn while_another_process_has_the_claim_nobody_asks_all_the_time() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    let held = outbox.hold();
    broker.set("bad", Mood::Refuses);
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
async fn a_missing_topic_holds_up_its_own_records_alone() {
    let outbox = FakeOutbox::new();
    let broker =
        FakeBroker::choosing(
            |record| {
                if record.topic == "missing" { Mood::HasNoTopic } else { TAKES }
            },
        );
    let keys: Vec<_> = (0..3 * SCHEDULED_MAX).map(|number| format!("key-{number}")).collect();
    outbox.write_to("missing", &keys.iter().map(String::as_str).collect::<Vec<_>>());
    outbox.write(&["key-0", "another"]);
    let relay = Running::new(&outbox, &broker);
    pass(MOMENT).await;
    let received = broker.first_received();
    assert!(received.contains_key("key-0"), "a key that waits for one topic goes on in another");
    assert!(received.contains_key("another"));

    pass(Duration::from_secs(3_600)).await;
    // Each wait is at least half of its nominal length, so there are at most twice as many as without
    // jitter.
    assert!(outbox.claims() < 100, "{} claims", outbox.claims());
    let failures = relay.metric(r#"ras_outbox_send_failures_total{topic="missing""#);
    assert!(failures > 0, "and the metrics tell");
    let gaps = gaps_seconds(&broker.tried_at("key-0"));
    assert_waited(gaps[gaps.len() - 1], WAIT_MAX.as_secs_f64());
}

/// Whatever the reason is that so many keys fail, each for itself: it costs little, and when it is
/// over all arrive.
#[tokio::test(start_paused = true)]
async fn more_keys_fail_than_can_be_left_out() {
    const KEYS: usize = 3 * SCHEDULED_MAX;
    let outbox = FakeOutbox::new();
    let is_mended = Arc::new(AtomicBool::new(false));
    let broker = FakeBroker::choosing({
        let is_mended = Arc::clone(&is_mended);
        move |_| if is_mended.load(Ordering::Relaxed) { TAKES } else { Mood::Refuses }
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
async fn whatever_the_broker_does_all_arrive_in_the_order_of_their_keys() {
    const KEYS: usize = 8;
    const RECORDS: usize = 2_000;
    let seed = testkit::seed();
    let dice = Mutex::new(StdRng::seed_from_u64(seed));
    let outbox = FakeOutbox::new();
    let broker = FakeBroker::choosing(move |_| {
        let mut dice = dice.lock().unwrap();
        match dice.random_range(0..100) {
            0..1 => Mood::Refuses,
            1..2 => Mood::HasNoTopic,
            2..3 => Mood::IsSilent,
            3..4 => Mood::IsFull,
            4..5 => Mood::TakesAndIsSilent,
            _ => Mood::Takes(Duration::from_millis(dice.random_range(1..100))),
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
