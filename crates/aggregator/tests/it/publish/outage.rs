//! Nothing can be sent, or nothing can be marked: everything waits, nobody runs in circles.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aggregator::publish::{CLAIM_RECORDS_MAX, SCHEDULED_MAX, WAIT_MAX};

use crate::publish::broker::{FakeBroker, Mood, TAKES};
use crate::publish::outbox::FakeOutbox;
use crate::publish::world::{DELIVERY_TIMEOUT, Running, assert_waited, gaps_seconds, pass};

const HOUR: Duration = Duration::from_secs(3_600);
/// The longest wait between two attempts, in seconds.
const WAIT_MAX_SECONDS: f64 = 10.0;

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_is_asked_for_as_long_as_it_takes() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    for key in ["a", "b"] {
        broker.set(key, Mood::IsSilent);
    }
    outbox.write(&["a", "b", "a"]);
    let _relay = Running::new(&outbox, &broker);
    pass(HOUR).await;
    let tried = broker.tried_at("a");
    let gaps = gaps_seconds(&tried);
    let delivery = DELIVERY_TIMEOUT.as_secs_f64();
    assert_waited(gaps[0] - delivery, 0.1);
    assert_waited(gaps[gaps.len() - 1] - delivery, WAIT_MAX_SECONDS);
    assert_eq!(outbox.claims(), tried.len());

    for key in ["a", "b"] {
        broker.set(key, TAKES);
    }
    pass(Duration::from_secs(30)).await;
    assert_eq!(broker.first_received()["a"], [1, 3]);
    assert!(outbox.unpublished().is_empty());
}

/// It fails without taking any time, and new records ring all the while.
#[tokio::test(start_paused = true)]
async fn an_outage_is_no_busy_loop() {
    let outbox = FakeOutbox::new();
    let broker = FakeBroker::choosing(|_| Mood::IsFull);
    let _relay = Running::new(&outbox, &broker);
    for _ in 0..1_000 {
        outbox.write(&["key"]);
        pass(Duration::from_millis(100)).await;
    }
    let claims = outbox.claims();
    assert!((10..32).contains(&claims), "{claims} claims in 100 seconds");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_marked_is_sent_again_and_not_all_the_time() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    outbox.fail_to_mark(true);
    outbox.write(&["a", "a"]);
    let _relay = Running::new(&outbox, &broker);
    pass(Duration::from_secs(100)).await;
    let sent = broker.received().len() / 2;
    assert!((10..32).contains(&sent), "sent {sent} times in 100 seconds");
    assert_eq!(broker.first_received()["a"], [1, 2]);
    assert_eq!(outbox.unpublished(), [1, 2]);

    outbox.fail_to_mark(false);
    pass(Duration::from_secs(11)).await;
    assert!(outbox.unpublished().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_away_is_asked_less_and_less_often() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    outbox.fail_to_claim(true);
    outbox.write(&["key"]);
    let _relay = Running::new(&outbox, &broker);
    pass(Duration::from_secs(100)).await;
    let claims = outbox.claims();
    assert!((10..32).contains(&claims), "{claims} claims in 100 seconds");

    outbox.fail_to_claim(false);
    pass(Duration::from_secs(11)).await;
    assert_eq!(broker.received(), [1]);
}

/// One leader of a partition is away: the others do not wait for it more than once.
#[tokio::test(start_paused = true)]
async fn a_key_without_acknowledgement_waits_for_itself_once_others_go_through() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    broker.set("silent", Mood::IsSilent);
    outbox.write(&["silent", "good"]);
    let relay = Running::new(&outbox, &broker);
    pass(DELIVERY_TIMEOUT + Duration::from_millis(500)).await;
    outbox.write(&["good"]);
    pass(Duration::from_millis(100)).await;
    assert_eq!(broker.received(), [2, 3]);
    let failures = r#"ras_outbox_send_failures_total{topic="topic",reason="unavailable"}"#;
    assert_eq!(relay.metric(failures), 1);
}

/// A broker that does something else with the keys that begin with `part-` until told that it is
/// mended.
fn partly(mood: Mood) -> (FakeBroker, Arc<AtomicBool>) {
    let is_mended = Arc::new(AtomicBool::new(false));
    let broker = FakeBroker::choosing({
        let is_mended = Arc::clone(&is_mended);
        move |record| {
            let is_well = is_mended.load(Ordering::Relaxed) || !record.key.starts_with("part-");
            if is_well { TAKES } else { mood }
        }
    });
    (broker, is_mended)
}

/// Writes so many records, each of a key of its own.
fn write_part(outbox: &FakeOutbox, records: usize) {
    let keys: Vec<_> = (0..records).map(|number| format!("part-{number}")).collect();
    outbox.write(&keys.iter().map(String::as_str).collect::<Vec<_>>());
}

/// A partition or a topic without a leader, and what waits for it fills one claim, or more.
#[tokio::test(start_paused = true)]
async fn a_part_of_the_broker_that_is_away_holds_up_no_other() {
    const CLAIM: usize = CLAIM_RECORDS_MAX as usize;
    for (records, attempts) in [(CLAIM, 1), (CLAIM + 1, 2), (SCHEDULED_MAX, 2)] {
        let outbox = FakeOutbox::new();
        let (broker, is_mended) = partly(Mood::IsSilent);
        write_part(&outbox, records);
        outbox.write(&["good"]);
        write_part(&outbox, records);
        outbox.write(&["good"]);
        let relay = Running::new(&outbox, &broker);
        pass((attempts + 1) * DELIVERY_TIMEOUT).await;
        let position = |record: usize| i64::try_from(record).unwrap();
        let good = vec![position(records + 1), position(2 * records + 2)];
        assert_eq!(broker.first_received(), HashMap::from([("good".into(), good)]), "{records}");

        // Those of the others that come later hardly wait for it either.
        pass(WAIT_MAX).await;
        let (claims, sent) = (outbox.claims(), broker.received().len());
        for _ in 0..300 {
            outbox.write(&["good"]);
            pass(Duration::from_secs(1)).await;
        }
        let sent = broker.received().len() - sent;
        assert!(sent > 225, "{sent} of 300 were sent while {records} were not");
        let claims = outbox.claims() - claims;
        assert!(claims < 700, "{claims} claims in 300 seconds");

        is_mended.store(true, Ordering::Relaxed);
        pass(WAIT_MAX + DELIVERY_TIMEOUT).await;
        assert!(outbox.unpublished().is_empty());
        for (key, positions) in broker.first_received() {
            assert!(positions.is_sorted(), "{key}: {positions:?}");
        }
        relay.stop().await;
    }
}

/// With so many waiting that none but a whole claim, or several, can be tried at a time.
#[tokio::test(start_paused = true)]
async fn after_an_outage_all_that_waited_is_sent_soon() {
    for mood in [Mood::IsSilent, Mood::IsFull] {
        for claims_full in [1, 4] {
            let outbox = FakeOutbox::new();
            let (broker, is_mended) = partly(mood);
            write_part(&outbox, claims_full * CLAIM_RECORDS_MAX as usize);
            let relay = Running::new(&outbox, &broker);
            pass(HOUR / 6).await;
            let claims = outbox.claims();
            assert!((30..220).contains(&claims), "{claims} claims in ten minutes");

            is_mended.store(true, Ordering::Relaxed);
            pass(2 * DELIVERY_TIMEOUT + Duration::from_secs(2)).await;
            let left = outbox.unpublished().len();
            assert_eq!(left, 0, "{mood:?}, {claims_full} claims");
            assert!(outbox.claims() < claims + 20, "{} claims", outbox.claims() - claims);
            relay.stop().await;
        }
    }
}

/// Whatever a producer promises about its time: a claim must end before the database ends it.
#[tokio::test(start_paused = true)]
async fn a_producer_that_hangs_is_given_up_on() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    broker.set("hanging", Mood::Hangs);
    outbox.write(&["hanging", "good"]);
    let _relay = Running::new(&outbox, &broker);
    pass(3 * DELIVERY_TIMEOUT).await;
    assert_eq!(outbox.unpublished(), [1], "what went through is marked");
}

/// Many records of one key, each of which takes long: the claim does not become as long as all.
#[tokio::test(start_paused = true)]
async fn a_claim_is_held_for_a_limited_time() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    broker.set("slow", Mood::Takes(3 * DELIVERY_TIMEOUT / 10));
    outbox.write(&["slow"; 40]);
    let _relay = Running::new(&outbox, &broker);
    pass(13 * DELIVERY_TIMEOUT / 10).await;
    assert_eq!(outbox.unpublished().len(), 36, "four were begun in time, and are marked");
    pass(100 * DELIVERY_TIMEOUT).await;
    assert_eq!(broker.received(), (1..=40).collect::<Vec<_>>(), "each once");
}
