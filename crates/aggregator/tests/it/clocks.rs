//! Retention by the clock that all processes share.

use std::{sync::Arc, time::Duration};

use aggregator::clock::{Clock, ManualClock, SystemClock};
use aggregator::health::Health;
use aggregator::metrics::Metrics;
use aggregator::retention::{
    CLOCK_DIFFERENCE_MAX, InboxSweep, OutboxRetention, Retention, RetentionPeriods, RetentionTime,
};
use database::{
    DatabaseClock, DeadLetter, DeadLetterRepository, PostgresOptions, PostgresRepository,
    SqliteOptions, SqliteRepository,
};
use projection::{RefusalCode, Timestamp};
use tokio_util::sync::CancellationToken;

const DAY: Duration = Duration::from_secs(24 * 3600);
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

#[tokio::test]
async fn process_whose_clock_is_wrong_removes_nothing_and_reports_it() {
    let world = World::start().await;
    world.keep("young", world.now).await;
    world.keep("old", before(world.now, KEPT + DAY)).await;

    for wrong in [after(world.now, 100 * DAY), before(world.now, 100 * DAY)] {
        world.clock.set_wall(wrong);
        world.retention.sweep().await;
        assert_eq!(world.dead_letters().await, 2);
        let [finding] = &world.health.findings()[..] else { panic!("one finding") };
        let finding = serde_json::to_value(finding).unwrap();
        assert_eq!(finding["component"], "clock");
        assert_eq!(finding["code"], "differs_from_database");
        let since = Timestamp::parse(finding["since"].as_str().unwrap()).unwrap();
        let near = before(world.now, DAY)..after(world.now, DAY);
        assert!(near.contains(&since), "by the database's clock: {since}");
        assert!(!world.health.is_blocked(), "it answers reads as well as ever");
    }

    world.clock.set_wall(world.now);
    world.retention.sweep().await;
    assert_eq!(world.dead_letters().await, 1, "what is old is removed again");
    assert_eq!(world.health.findings(), []);
}

#[tokio::test]
async fn clock_that_is_a_little_off_does_not_decide_what_is_old() {
    let world = World::start().await;
    let little = CLOCK_DIFFERENCE_MAX / 2;
    // Old by this clock, not by the database's.
    world.clock.set_wall(after(world.now, little));
    world.keep("young", before(world.now, KEPT - little / 2)).await;
    world.retention.sweep().await;
    assert_eq!(world.dead_letters().await, 1);
    assert_eq!(world.health.findings(), []);
}

#[tokio::test]
async fn first_sweep_waits() {
    let world = World::start().await;
    world.keep("old", before(world.now, KEPT + DAY)).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(world.retention.run(stop.clone()));
    // It has asked the database for the time by then, and a sweep would have followed at once.
    let at_once = tokio::time::timeout(Duration::from_secs(1), running).await;
    assert!(at_once.is_err(), "it runs");
    let count = world.store.dead_letter_usage().await.unwrap().dead_letters;
    assert_eq!(count, 1);
    stop.cancel();
}

#[tokio::test]
async fn sqlite_goes_by_the_clock_of_its_process() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("file");
    let store = SqliteRepository::open(&path, SqliteOptions::default()).await.unwrap();
    assert_eq!(store.database_now().await.unwrap(), None);
}

struct World {
    store: Arc<PostgresRepository>,
    clock: Arc<ManualClock>,
    now: Timestamp,
    health: Health,
    retention: Retention,
}

impl World {
    async fn start() -> Self {
        let url = testkit::postgres().await.create_database().await;
        let store = PostgresRepository::connect(&url, PostgresOptions::default()).await.unwrap();
        let store = Arc::new(store);
        let now = SystemClock::new().now();
        let clock = Arc::new(ManualClock::new(now));
        let health = Health::default();
        let retention = Retention {
            inbox: store.clone(),
            outbox: store.clone(),
            dead_letters: store.clone(),
            log_starts: None,
            periods: RetentionPeriods {
                inbox: KEPT,
                outbox: OutboxRetention::SincePublished(KEPT),
                dead_letters: KEPT,
            },
            time: RetentionTime {
                database: store.clone(),
                clock: clock.clone(),
                health: health.clone(),
            },
            metrics: Metrics::new(),
            inbox_sweep: InboxSweep::default(),
        };
        Self { store, clock, now, health, retention }
    }

    async fn keep(&self, fingerprint: &str, at: Timestamp) {
        let dead_letter = DeadLetter {
            fingerprint: fingerprint.into(),
            source: "http".into(),
            topic: None,
            partition: None,
            offset: None,
            key: None,
            headers: Vec::new(),
            bytes: b"{".to_vec(),
            received_at: at,
            code: RefusalCode::NotJson,
            detail: "end of input".into(),
            at,
        };
        self.store.insert_dead_letters(&[dead_letter]).await.unwrap();
    }

    async fn dead_letters(&self) -> u64 {
        self.store.dead_letter_usage().await.unwrap().dead_letters
    }
}

fn after(moment: Timestamp, time: Duration) -> Timestamp {
    Timestamp::from_unix_micros(moment.unix_micros() + i64::try_from(time.as_micros()).unwrap())
}

fn before(moment: Timestamp, time: Duration) -> Timestamp {
    Timestamp::from_unix_micros(moment.unix_micros() - i64::try_from(time.as_micros()).unwrap())
}
