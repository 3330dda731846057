//! The outbox and the notifications of commits.

use std::collections::BTreeSet;
use std::time::Duration;

use database::{
    BatchRepository as _, ClaimRequest, DbError, ListChange, ListChanges, OutboxClaim,
    OutboxPosition, OutboxRepository,
};

use super::{BACK_LIMIT, SHORT, Server, short_idle_units};
use crate::conformance::Backend as _;
use crate::events::{
    NOW, apply, load, numbers, outgoing_event, registered, write_outgoing, write_outgoing_in,
};

/// A claim of everything.
fn everything(hold_max: Duration) -> ClaimRequest<'static> {
    const NOTHING: &BTreeSet<String> = &BTreeSet::new();
    ClaimRequest {
        records_max: 1_000,
        bytes_max: u64::MAX,
        hold_max,
        skipped_keys: NOTHING,
        skipped_topics: NOTHING,
    }
}

async fn try_claim(repository: &dyn OutboxRepository) -> Option<Box<dyn OutboxClaim>> {
    repository.claim(everything(BACK_LIMIT)).await.unwrap()
}

#[tokio::test]
async fn outbox_writers_commit_one_after_the_other() {
    let server = Server::empty().await;
    let repository = server.open().await;
    let (mut first, mut second) =
        (repository.begin().await.unwrap(), repository.begin().await.unwrap());
    write_outgoing_in(first.as_mut(), &[outgoing_event(1, "a")]).await.unwrap();
    let waiting = tokio::spawn(async move {
        write_outgoing_in(second.as_mut(), &[outgoing_event(2, "b")]).await.unwrap();
        second.commit().await.unwrap();
    });

    const WAITING: &str = "
        select count(*) from pg_stat_activity
        where datname = current_database() and wait_event = 'advisory'";
    let mut observer = server.connection().await;
    testkit::eventually(BACK_LIMIT, "the second waits", async || {
        let count: i64 = sqlx::query_scalar(WAITING).fetch_one(&mut observer).await.unwrap();
        count == 1
    })
    .await;
    assert_eq!(repository.outbox_after(OutboxPosition::START, 100).await.unwrap(), []);
    first.commit().await.unwrap();
    waiting.await.unwrap();
    assert_eq!(
        numbers(&repository.outbox_after(OutboxPosition::START, 100).await.unwrap()),
        [1, 2]
    );
}

#[tokio::test]
async fn claim_of_a_lost_connection_is_released_and_marks_nothing() {
    let server = Server::empty().await;
    let (one, other) = (server.open().await, server.open().await);
    write_outgoing(one.as_ref(), &[outgoing_event(1, "key")]).await;
    let held = try_claim(one.as_ref()).await.unwrap();
    assert!(try_claim(other.as_ref()).await.is_none());
    server
        .execute(
            "select pg_terminate_backend(pid) from pg_stat_activity \
             where datname = current_database() and state = 'idle in transaction'",
        )
        .await;

    let again = testkit::eventually(BACK_LIMIT, "a claim", || try_claim(other.as_ref())).await;
    assert_eq!(numbers(again.records()), [1]);
    let position = again.records()[0].position;
    let outcome = held.mark_published(&[position], NOW).await;
    assert!(matches!(outcome, Err(DbError::Unavailable { .. })), "{outcome:?}");
    again.mark_published(&[position], NOW).await.unwrap();
}

#[tokio::test]
async fn claim_is_held_for_the_requested_time() {
    let server = Server::empty().await;
    let repository = server.open_with(short_idle_units()).await;
    write_outgoing(&repository, &[outgoing_event(1, "key")]).await;
    let held = try_claim(&repository).await.unwrap();

    // An idle unit that begins later loses its locks meanwhile.
    let events = [registered("b", "u", 1, &[])];
    let mut hanging = repository.begin().await.unwrap();
    load(hanging.as_mut(), &events).await.unwrap();
    apply(&repository, &events).await.unwrap();
    assert!(hanging.commit().await.is_err());

    let position = held.records()[0].position;
    held.mark_published(&[position], NOW).await.unwrap();

    write_outgoing(&repository, &[outgoing_event(2, "key")]).await;
    let hanging = repository.claim(everything(SHORT)).await.unwrap().unwrap();
    let again = testkit::eventually(BACK_LIMIT, "a claim", || try_claim(&repository)).await;
    let position = again.records()[0].position;
    assert!(hanging.mark_published(&[position], NOW).await.is_err());
}

#[tokio::test]
async fn notifier_hears_other_processes_and_outlives_its_connection() {
    let server = Server::empty().await;
    let (one, other) = (server.open().await, server.open().await);
    let mut notifier = other.outbox_notifier();
    for round in 0..3 {
        // Also notified whenever it begins to listen.
        tokio::time::timeout(BACK_LIMIT, notifier.notified()).await.unwrap();
        write_outgoing(one.as_ref(), &[outgoing_event(round, "key")]).await;
        tokio::time::timeout(BACK_LIMIT, notifier.notified()).await.unwrap();
        server
            .execute(
                "select pg_terminate_backend(pid) from pg_stat_activity \
                 where datname = current_database() and query like 'LISTEN%'",
            )
            .await;
    }
}

/// The next change of a list; what only says that some were missed is skipped.
async fn next_version(changes: &mut ListChanges) -> u64 {
    loop {
        let change = tokio::time::timeout(BACK_LIMIT, changes.next()).await.unwrap();
        if let ListChange::Changed { version, .. } = change {
            return version.0;
        }
    }
}

#[tokio::test]
async fn list_changes_of_other_processes_are_heard_and_lost_connections_too() {
    let server = Server::empty().await;
    let (one, other) = (server.open().await, server.open().await);
    // Both share a connection.
    let mut changes = other.list_changes();
    let _notifier = other.outbox_notifier();
    for round in 1..4 {
        // Reported whenever it begins to listen: what was changed before may have been missed.
        let begun = tokio::time::timeout(BACK_LIMIT, changes.next()).await.unwrap();
        assert_eq!(begun, ListChange::Missed);
        apply(one.as_ref(), &[registered(&format!("b{round}"), "u", round, &[])]).await.unwrap();
        assert_eq!(next_version(&mut changes).await, round.unsigned_abs());
        const KILL: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                            where datname = current_database() and query like 'LISTEN%'";
        let killed: i64 =
            sqlx::query_scalar(KILL).fetch_one(&mut server.connection().await).await.unwrap();
        // The one before may still be ending.
        assert!(killed >= 1);
    }
}

/// Regardless of how many records wait for a missing topic, and how many are published.
#[tokio::test]
async fn outbox_is_read_from_its_indexes() {
    let server = Server::empty().await;
    server.open().await;
    server
        .execute(
            "insert into outbox (event_id, topic, key, batch_id, correlation_id, value, written_at, \
                                 published_at)
             select gen_random_uuid(), case when n <= 20000 then 'missing' else 't' end,
                    'k' || n % 100, 'b', gen_random_uuid(),
                    convert_to(repeat('x', 1500), 'UTF8'), now(),
                    case when n between 20001 and 39900 then to_timestamp(n / 500) end
             from generate_series(1, 40000) as n",
        )
        .await;
    server.execute("vacuum analyze outbox").await;
    let mut connection = server.connection().await;

    const CLAIM: &str = concat!(
        "explain (analyze, costs off) ",
        include_str!("../../../src/queries/postgres/outbox_unpublished.sql")
    );
    let claim = sqlx::query_scalar(CLAIM)
        .bind(["k1", "k2"])
        .bind(["missing"])
        .bind(500_i64)
        .bind(1_000_000_i64);
    let claim: Vec<String> = claim.fetch_all(&mut connection).await.unwrap();
    let claim = claim.join("\n");
    assert!(claim.contains("Index Only Scan using outbox_unpublished"), "{claim}");
    assert!(claim.contains("Heap Fetches: 0"), "no row of a skipped record is read: {claim}");
    assert!(!claim.contains("Seq Scan"), "{claim}");

    const REMOVAL: &str = concat!(
        "explain (costs off) ",
        include_str!("../../../src/queries/postgres/remove_published.sql")
    );
    let before = chrono::DateTime::from_timestamp_secs(60);
    let removal = sqlx::query_scalar(REMOVAL).bind(before).bind(1_000_i64);
    let removal: Vec<String> = removal.fetch_all(&mut connection).await.unwrap();
    let removal = removal.join("\n");
    assert!(removal.contains("Index Scan using outbox_published"), "{removal}");
    assert!(!removal.contains("Seq Scan"), "{removal}");
}
