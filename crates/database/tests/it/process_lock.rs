//! The process lock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use database::{DbError, LockMode, LockWatch, PostgresOptions, PostgresRepository, ProcessLock};
use testkit::eventually;

const LIMIT: Duration = Duration::from_secs(30);

struct World {
    url: String,
}

impl World {
    async fn start() -> Self {
        Self { url: testkit::postgres().await.create_database().await }
    }

    async fn lock(&self, lock_mode: LockMode) -> Result<ProcessLock, DbError> {
        let options = PostgresOptions::new(16, Duration::from_secs(2));
        let repository = PostgresRepository::connect(&self.url, options).await.unwrap();
        repository.lock_for_process(lock_mode).await
    }

    /// Ends the connections that hold locks, as a failover does.
    async fn cut(&self) {
        let cut = "select pg_terminate_backend(pid) from pg_locks
                   where locktype = 'advisory' and database =
                       (select oid from pg_database where datname = current_database())";
        testkit::postgres().await.psql(&self.url, cut).await;
    }
}

/// Records the changes: true is held.
#[derive(Default)]
struct Seen(Mutex<Vec<bool>>);

impl Seen {
    fn add(&self, is_held: bool) {
        let mut seen = self.0.lock().unwrap();
        if seen.last() != Some(&is_held) {
            seen.push(is_held);
        }
    }

    async fn wait_for(&self, want: &[bool]) {
        eventually(LIMIT, "the watch has heard it", async || *self.0.lock().unwrap() == want).await;
    }
}

impl LockWatch for Seen {
    fn held(&self, _: Duration) {
        self.add(true);
    }

    fn lost(&self) {
        self.add(false);
    }
}

#[track_caller]
fn check_refused(outcome: Result<ProcessLock, DbError>, want: &str) {
    match outcome.map(drop) {
        Err(DbError::Misconfigured { hint, .. }) => assert!(hint.contains(want), "{hint}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn process_with_its_own_cache_holds_the_lock_exclusively() {
    let world = World::start().await;
    let shared = world.lock(LockMode::Shared).await.unwrap();
    let another = world.lock(LockMode::Shared).await.unwrap();
    check_refused(world.lock(LockMode::Exclusive).await, "another process uses it");
    drop((shared, another));

    let alone = world.lock(LockMode::Exclusive).await.unwrap();
    check_refused(world.lock(LockMode::Exclusive).await, "another process uses it");
    check_refused(world.lock(LockMode::Shared).await, "cache of its own");
    drop(alone);
    world.lock(LockMode::Exclusive).await.unwrap();
}

#[tokio::test]
async fn lock_of_a_lost_connection_is_reacquired() {
    let world = World::start().await;
    let seen = Arc::new(Seen::default());
    let holding = tokio::spawn(world.lock(LockMode::Exclusive).await.unwrap().hold(seen.clone()));
    seen.wait_for(&[true]).await;
    world.cut().await;
    seen.wait_for(&[true, false, true]).await;
    let is_held = "select count(*) from pg_locks where locktype = 'advisory' and granted
                   and database = (select oid from pg_database where datname = current_database())";
    assert_eq!(testkit::postgres().await.psql(&world.url, is_held).await, "1");
    assert!(!holding.is_finished());
    holding.abort();
}

#[tokio::test]
async fn lock_taken_by_another_process_ends_the_first_holder() {
    let world = World::start().await;
    let first = world.lock(LockMode::Exclusive).await.unwrap();
    world.cut().await;
    // The first has not noticed yet.
    let _second = world.lock(LockMode::Exclusive).await.unwrap();
    let seen = Arc::new(Seen::default());
    let reason = tokio::time::timeout(LIMIT, first.hold(seen.clone())).await.unwrap();
    seen.wait_for(&[false]).await;
    assert!(matches!(reason, DbError::Misconfigured { .. }), "{reason:?}");
}
