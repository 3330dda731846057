//! Outages of broker and database: no record can be sent or marked, and retries are paced.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aggregator::publish::{CLAIM_RECORDS_MAX, SCHEDULED_MAX, WAIT_MAX};

use crate::publish::broker::{ACCEPTS, FakeBroker, Reaction};
use crate::publish::outbox::FakeOutbox;
use crate::publish::world::{DELIVERY_TIMEOUT, Running, assert_waited, gaps_seconds, pass};

const HOUR: Duration = Duration::from_secs(3_600);
/// The longest wait between two attempts, in seconds.
const WAIT_MAX_SECONDS: f64 = 10.0;

#[tokio::test(start_paused = true)]
async fn unavailable_broker_is_retried_until_it_is_back() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    for key in ["a", "b"] {
        broker.set(key, Reaction::TimesOut);
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
        broker.set(key, ACCEPTS);
    }
    pass(Duration::from_secs(30)).await;
    assert_eq!(broker.first_received()["a"], [1, 3]);
    assert!(outbox.unpublished().is_empty());
}

/// Sends fail at once, and new records notify the relay all the while.
#[tokio::test(start_paused = true)]
async fn outage_is_retried_at_a_limited_rate() {
    let outbox = FakeOutbox::new();
    let broker = FakeBroker::choosing(|_| Reaction::FailsAtOnce);
    let _relay = Running::new(&outbox, &broker);
    for _ in 0..1_000 {
        outbox.write(&["key"]);
        pass(Duration::from_millis(100)).await;
    }
    let claims = outbox.claims();
    assert!((10..32).contains(&claims), "{claims} claims in 100 seconds");
}

#[tokio::test(start_paused = true)]
async fn unmarked_records_are_sent_again_at_a_limited_rate() {
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
async fn unavailable_database_is_retried_at_a_limited_rate() {
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

/// One leader of a partition is unavailable: the other partitions wait for it once at most.
#[tokio::test(start_paused = true)]
async fn unacknowledged_key_is_scheduled_once_others_are_acknowledged() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    broker.set("silent", Reaction::TimesOut);
    outbox.write(&["silent", "good"]);
    let relay = Running::new(&outbox, &broker);
    pass(DELIVERY_TIMEOUT + Duration::from_millis(500)).await;
    outbox.write(&["good"]);
    pass(Duration::from_millis(100)).await;
    assert_eq!(broker.received(), [2, 3]);
    let failures = r#"ras_outbox_send_failures_total{topic="topic",reason="unavailable"}"#;
    assert_eq!(relay.metric(failures), 1);
}

/// A broker with this reaction to keys that begin with `part-`, until it is mended.
fn partly(reaction: Reaction) -> (FakeBroker, Arc<AtomicBool>) {
    let is_mended = Arc::new(AtomicBool::new(false));
    let broker = FakeBroker::choosing({
        let is_mended = Arc::clone(&is_mended);
        move |record| {
            let is_well = is_mended.load(Ordering::Relaxed) || !record.key.starts_with("part-");
            if is_well { ACCEPTS } else { reaction }
        }
    });
    (broker, is_mended)
}

/// Writes records of that part, each with a key of its own.
fn write_part(outbox: &FakeOutbox, records: usize) {
    let keys: Vec<_> = (0..records).map(|number| format!("part-{number}")).collect();
    outbox.write(&keys.iter().map(String::as_str).collect::<Vec<_>>());
}

/// The records of a partition without a leader fill one claim, or more.
#[tokio::test(start_paused = true)]
async fn unavailable_part_of_the_broker_delays_no_other() {
    const CLAIM: usize = CLAIM_RECORDS_MAX as usize;
    for (records, attempts) in [(CLAIM, 1), (CLAIM + 1, 2), (SCHEDULED_MAX, 2)] {
        let outbox = FakeOutbox::new();
        let (broker, is_mended) = partly(Reaction::TimesOut);
        write_part(&outbox, records);
        outbox.write(&["good"]);
        write_part(&outbox, records);
        outbox.write(&["good"]);
        let relay = Running::new(&outbox, &broker);
        pass((attempts + 1) * DELIVERY_TIMEOUT).await;
        let position = |record: usize| i64::try_from(record).unwrap();
        let good = vec![position(records + 1), position(2 * records + 2)];
        assert_eq!(broker.first_received(), HashMap::from([("good".into(), good)]), "{records}");

        // Later records of other keys are hardly delayed either.
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

/// The records that wait fill one claim, or several.
#[tokio::test(start_paused = true)]
async fn waiting_records_are_sent_soon_after_an_outage() {
    for reaction in [Reaction::TimesOut, Reaction::FailsAtOnce] {
        for claims_full in [1, 4] {
            let outbox = FakeOutbox::new();
            let (broker, is_mended) = partly(reaction);
            write_part(&outbox, claims_full * CLAIM_RECORDS_MAX as usize);
            let relay = Running::new(&outbox, &broker);
            pass(HOUR / 6).await;
            let claims = outbox.claims();
            assert!((30..220).contains(&claims), "{claims} claims in ten minutes");

            is_mended.store(true, Ordering::Relaxed);
            pass(2 * DELIVERY_TIMEOUT + Duration::from_secs(2)).await;
            let left = outbox.unpublished().len();
            assert_eq!(left, 0, "{reaction:?}, {claims_full} claims");
            assert!(outbox.claims() < claims + 20, "{} claims", outbox.claims() - claims);
            relay.stop().await;
        }
    }
}

/// A claim must end before the database ends it, whatever the producer does.
#[tokio::test(start_paused = true)]
async fn hanging_producer_is_cancelled() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    broker.set("hanging", Reaction::Hangs);
    outbox.write(&["hanging", "good"]);
    let _relay = Running::new(&outbox, &broker);
    pass(3 * DELIVERY_TIMEOUT).await;
    assert_eq!(outbox.unpublished(), [1], "the acknowledged record is marked");
}

/// Many slow records of one key do not prolong the claim.
#[tokio::test(start_paused = true)]
async fn claim_is_held_for_a_limited_time() {
    let (outbox, broker) = (FakeOutbox::new(), FakeBroker::new());
    broker.set("slow", Reaction::Accepts(3 * DELIVERY_TIMEOUT / 10));
    outbox.write(&["slow"; 40]);
    let _relay = Running::new(&outbox, &broker);
    pass(13 * DELIVERY_TIMEOUT / 10).await;
    assert_eq!(outbox.unpublished().len(), 36, "four were sent in time, and are marked");
    pass(100 * DELIVERY_TIMEOUT).await;
    assert_eq!(broker.received(), (1..=40).collect::<Vec<_>>(), "each once");
}
