//! Units of work: what locks them, what a second one waits for, what a limit ends.

use std::collections::BTreeMap;
use std::time::Duration;

use database::{
    BatchRepository as _, Changes, DbError, InboxChunk, InboxCursor, KafkaOffset, KafkaOffsets,
    PostgresOptions, PostgresRepository,
};
use projection::{Rows, Timestamp};

use sqlx::Connection as _;

use super::{BACK_LIMIT, SHORT, Server, short_idle_units};
use crate::conformance::Backend as _;
use crate::events::{apply, load, registered, slot, write};

#[tokio::test]
async fn second_unit_to_write_a_loaded_essay_is_refused() {
    let server = Server::empty().await;
    let repository = server.open().await;
    // First without a row, then with one.
    for at in [2, 1] {
        let (one, other) = ([slot("b1", "e", at)], [slot("b2", "e", at)]);
        let mut first = repository.begin().await.unwrap();
        let mut second = repository.begin().await.unwrap();
        let for_first = load(first.as_mut(), &one).await.unwrap();
        let for_second = load(second.as_mut(), &other).await.unwrap();

        write(first.as_mut(), for_first.rows, &one).await.unwrap();
        first.commit().await.unwrap();
        let outcome = write(second.as_mut(), for_second.rows, &other).await;
        assert!(matches!(outcome, Err(DbError::Conflict)), "{outcome:?}");
        drop(second);

        // A retry from the start succeeds.
        apply(repository.as_ref(), &other).await.unwrap();
    }
}

#[tokio::test]
async fn unit_that_waits_too_long_for_a_batch_is_unavailable() {
    let server = Server::empty().await;
    let repository = server
        .open_with(PostgresOptions {
            lock_timeout: SHORT,
            ..PostgresOptions::new(16, Duration::from_secs(2))
        })
        .await;
    let events = [registered("b", "u", 1, &[])];

    let mut first = repository.begin().await.unwrap();
    load(first.as_mut(), &events).await.unwrap();
    let waited = apply(&repository, &events).await;
    assert!(matches!(waited, Err(DbError::Unavailable { .. })), "{waited:?}");

    // Another batch is another lock.
    apply(&repository, &[registered("another", "u", 1, &[])]).await.unwrap();
    drop(first);
    apply(&repository, &events).await.unwrap();
}

#[tokio::test]
async fn hanging_unit_loses_its_locks() {
    let server = Server::empty().await;
    let repository = server.open_with(short_idle_units()).await;
    let events = [registered("b", "u", 1, &[])];

    let mut hanging = repository.begin().await.unwrap();
    load(hanging.as_mut(), &events).await.unwrap();
    apply(&repository, &events).await.unwrap();
    let outcome = hanging.commit().await;
    assert!(matches!(outcome, Err(DbError::Unavailable { .. })), "{outcome:?}");
}

#[tokio::test]
async fn unit_takes_three_round_trips() {
    let server = testkit::postgres().await;
    let proxy = testkit::FaultProxy::start(server.address()).await;
    let database = server.create_database().await;
    let name = database.rsplit('/').next().unwrap();
    let url = server.url_at(proxy.addr(), name);
    let options = PostgresOptions::new(1, Duration::from_secs(2));
    let repository = PostgresRepository::connect(&url, options).await.unwrap();
    // The first one on a connection also prepares the statement.
    apply(&repository, &[registered("b", "u", 1, &["e1", "e2"])]).await.unwrap();

    let events = [slot("b", "e1", 2), slot("b", "e2", 2)];
    let mut unit = repository.begin().await.unwrap();
    let before = proxy.turns();
    let loaded = load(unit.as_mut(), &events).await.unwrap();
    write(unit.as_mut(), loaded.rows, &events).await.unwrap();
    unit.commit().await.unwrap();
    assert_eq!(proxy.turns() - before, 3);
}

#[tokio::test]
async fn commit_waits_for_the_disk_whatever_the_default() {
    const NOTED: &str = "
        create table noted (setting text);
        create function note() returns trigger language plpgsql as $$ begin
            insert into noted values (current_setting('synchronous_commit'));
            return new;
        end $$;
        create trigger note after insert on batches for each row execute function note()";
    let (host, shared) = (testkit::postgres().await, Server::empty().await);
    let name = shared.url.rsplit('/').next().unwrap();
    shared.open().await;
    host.psql(&shared.url, NOTED).await;
    for (default, want) in [("off", "on"), ("local", "local"), ("remote_apply", "remote_apply")] {
        let alter = format!("alter database {name} set synchronous_commit = {default}");
        host.psql(&shared.url, &alter).await;
        let repository = shared.open().await;
        apply(repository.as_ref(), &[registered(default, "u", 1, &[])]).await.unwrap();
        let noted = host.psql(&shared.url, "delete from noted returning setting").await;
        assert_eq!(noted.lines().next(), Some(want), "{default}");
    }
}

#[tokio::test]
async fn event_purged_while_redelivered_is_a_conflict() {
    let server = Server::empty().await;
    let repository = server.open().await;
    let event = registered("b", "u", 1, &[]);
    apply(repository.as_ref(), std::slice::from_ref(&event)).await.unwrap();

    let mut unit = repository.begin().await.unwrap();
    let loaded = load(unit.as_mut(), std::slice::from_ref(&event)).await.unwrap();
    assert!(loaded.known.contains_key(&event.id));
    let everything = InboxChunk {
        after: InboxCursor::START,
        rows_max: 10,
        applied_before: Timestamp::MAX,
        log_starts: &[],
    };
    assert_eq!(repository.purge_events(everything).await.unwrap().events, 1);

    let offsets = KafkaOffsets::from(Some(KafkaOffset { partition: 0, offset: 7 }));
    let changes = Changes {
        events: &BTreeMap::new(),
        redelivered: &BTreeMap::from([(event.id, offsets)]),
        rows: &Rows::default(),
        statuses: &BTreeMap::new(),
        outgoing_events: &[],
        now: Timestamp::MAX,
    };
    let outcome = unit.write(changes).await;
    assert!(matches!(outcome, Err(DbError::Conflict)), "{outcome:?}");
}

/// The purge waits for the row, and then finds an offset that it did not know.
#[tokio::test]
async fn offset_added_during_a_purge_keeps_its_event() {
    let server = Server::empty().await;
    let repository = server.open().await;
    let event = registered("b", "u", 1, &[]);
    apply(repository.as_ref(), std::slice::from_ref(&event)).await.unwrap();

    let mut other = server.connection().await;
    let mut held = other.begin().await.unwrap();
    let added = "update inbox set places = '{\"0\": 7}'";
    sqlx::query(added).execute(&mut *held).await.unwrap();
    let everything = InboxChunk {
        after: InboxCursor::START,
        rows_max: 10,
        applied_before: Timestamp::MAX,
        log_starts: &[],
    };
    let purge = repository.purge_events(everything);
    let release = async {
        let waiting = "select count(*) from pg_stat_activity \
                       where datname = current_database() and wait_event_type = 'Lock'";
        testkit::eventually(BACK_LIMIT, "the purge waits for the row", async || {
            let mut connection = server.connection().await;
            let count: i64 = sqlx::query_scalar(waiting).fetch_one(&mut connection).await.unwrap();
            count == 1
        })
        .await;
        held.commit().await.unwrap();
    };
    let (purged, ()) = tokio::join!(purge, release);
    assert_eq!(purged.unwrap().events, 0);
}
