//! Retention by the clock of the database.

use std::sync::Arc;
use std::time::Duration;

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
const PERIOD: Duration = Duration::from_secs(90 * 24 * 3600);

#[tokio::test]
async fn wrong_clock_purges_nothing_and_is_reported_by_the_database_clock() {
    let world = World::start().await;
    world.insert("young", world.now).await;
    world.insert("old", before(world.now, PERIOD + DAY)).await;

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
        assert!(!world.health.is_blocked(), "reads are answered as before");
    }

    world.clock.set_wall(world.now);
    world.retention.sweep().await;
    assert_eq!(world.dead_letters().await, 1, "old dead letters are purged again");
    assert_eq!(world.health.findings(), []);
}

#[tokio::test]
async fn slightly_wrong_clock_does_not_decide_what_is_old() {
    let world = World::start().await;
    let little = CLOCK_DIFFERENCE_MAX / 2;
    // Old by this clock, not by the database's.
    world.clock.set_wall(after(world.now, little));
    world.insert("young", before(world.now, PERIOD - little / 2)).await;
    world.retention.sweep().await;
    assert_eq!(world.dead_letters().await, 1);
    assert_eq!(world.health.findings(), []);
}

#[tokio::test]
async fn first_sweep_begins_after_its_delay() {
    let world = World::start().await;
    world.insert("old", before(world.now, PERIOD + DAY)).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(world.retention.run(stop.clone()));
    // It has read the clock of the database by then, and a sweep would have followed at once.
    let at_once = tokio::time::timeout(Duration::from_secs(1), running).await;
    assert!(at_once.is_err(), "it runs");
    let count = world.repository.dead_letter_usage().await.unwrap().dead_letters;
    assert_eq!(count, 1);
    stop.cancel();
}

#[tokio::test]
async fn sqlite_uses_the_clock_of_its_process() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("file");
    let repository = SqliteRepository::open(&path, SqliteOptions::default()).await.unwrap();
    assert_eq!(repository.database_now().await.unwrap(), None);
}

struct World {
    repository: Arc<PostgresRepository>,
    clock: Arc<ManualClock>,
    now: Timestamp,
    health: Health,
    retention: Retention,
}

impl World {
    async fn start() -> Self {
        let url = testkit::postgres().await.create_database().await;
        let repository =
            PostgresRepository::connect(&url, PostgresOptions::new(16, Duration::from_secs(2)))
                .await
                .unwrap();
        let repository = Arc::new(repository);
        let now = SystemClock::new().now();
        let clock = Arc::new(ManualClock::new(now));
        let health = Health::default();
        let retention = Retention {
            inbox: repository.clone(),
            outbox: repository.clone(),
            dead_letters: repository.clone(),
            log_starts: None,
            periods: RetentionPeriods {
                inbox: PERIOD,
                outbox: OutboxRetention::SincePublished(PERIOD),
                dead_letters: PERIOD,
            },
            time: RetentionTime {
                database: repository.clone(),
                clock: clock.clone(),
                health: health.clone(),
            },
            metrics: Metrics::new(),
            inbox_sweep: InboxSweep::default(),
        };
        Self { repository, clock, now, health, retention }
    }

    async fn insert(&self, fingerprint: &str, at: Timestamp) {
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
        self.repository.insert_dead_letters(&[dead_letter]).await.unwrap();
    }

    async fn dead_letters(&self) -> u64 {
        self.repository.dead_letter_usage().await.unwrap().dead_letters
    }
}

fn after(moment: Timestamp, time: Duration) -> Timestamp {
    Timestamp::from_unix_micros(moment.unix_micros() + i64::try_from(time.as_micros()).unwrap())
}

fn before(moment: Timestamp, time: Duration) -> Timestamp {
    Timestamp::from_unix_micros(moment.unix_micros() - i64::try_from(time.as_micros()).unwrap())
}
