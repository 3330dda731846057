//! What is special about PostgreSQL, and its run of the conformance suite.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use database::{
    BatchRepository, Changes, ClaimRequest, DbError, InboxChunk, InboxCursor, KafkaOffset,
    KafkaOffsets, ListChange, ListChanges, OutboxClaim, OutboxPosition, OutboxRepository,
    PostgresOptions, PostgresRepository, Repository,
};
use projection::{Rows, Timestamp};
use sqlx::{Connection, PgConnection};

use crate::conformance;
use crate::conformance::{Backend, DeadLetterColumns, conformance_tests};
use crate::events::{
    NOW, apply, load, numbers, outgoing_event, registered, slot, spellchecked, whole_list, write,
    write_outgoing, write_outgoing_in,
};

conformance_tests!(Server);

/// Time limit for a server to answer again.
const BACK_LIMIT: Duration = Duration::from_secs(30);
/// A time limit that is meant to be reached, yet not by what must succeed on a busy machine.
const SHORT: Duration = Duration::from_secs(1);

/// A database of its own on the server that all tests share.
struct Server {
    url: String,
}

impl Server {
    async fn connection(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    async fn open_with(&self, options: PostgresOptions) -> PostgresRepository {
        PostgresRepository::connect(&self.url, options).await.unwrap()
    }
}

impl Backend for Server {
    async fn empty() -> Self {
        Self { url: testkit::postgres().await.create_database().await }
    }

    async fn try_open(&self) -> Result<Arc<dyn Repository>, DbError> {
        Ok(Arc::new(
            PostgresRepository::connect(
                &self.url,
                PostgresOptions::new(16, Duration::from_secs(2)),
            )
            .await?,
        ))
    }

    async fn execute(&self, statement: &'static str) {
        sqlx::query(statement).execute(&mut self.connection().await).await.unwrap();
    }

    async fn uncount_essays(&self) {
        self.execute("delete from batches where batch_id = 'unregistered'").await;
        self.execute(
            "update batches
             set state = jsonb_set(
                     state::jsonb - 'tally' #- '{registration,listed_essay_count}',
                     '{registration,essay_ids}', essay_ids
                 ),
                 essay_ids = null, has_tally = false",
        )
        .await;
    }

    async fn dead_letters(&self) -> Vec<DeadLetterColumns> {
        const ALL: &str =
            "select fingerprint, key, headers::text, bytes from dead_letters order by fingerprint";
        sqlx::query_as(ALL).fetch_all(&mut self.connection().await).await.unwrap()
    }
}

#[tokio::test]
async fn ids_are_ordered_by_their_bytes_whatever_the_locale() {
    let server = testkit::postgres().await;
    // Where `a` comes before `B`.
    let english = "create database english template template0 locale_provider icu icu_locale 'en'";
    server.psql(&server.url("postgres"), english).await;
    conformance::r6_pages_are_slices_of_one_order(Server { url: server.url("english") }).await;
}

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
    let options = PostgresOptions {
        idle_in_transaction_timeout: SHORT,
        lock_timeout: BACK_LIMIT,
        statement_timeout: BACK_LIMIT,
        ..PostgresOptions::new(16, Duration::from_secs(2))
    };
    let repository = server.open_with(options).await;
    let events = [registered("b", "u", 1, &[])];

    let mut hanging = repository.begin().await.unwrap();
    load(hanging.as_mut(), &events).await.unwrap();
    apply(&repository, &events).await.unwrap();
    let outcome = hanging.commit().await;
    assert!(matches!(outcome, Err(DbError::Unavailable { .. })), "{outcome:?}");
}

#[tokio::test]
async fn statement_above_the_time_limit_is_cancelled() {
    let server = Server::empty().await;
    let repository = server
        .open_with(PostgresOptions {
            statement_timeout: SHORT,
            ..PostgresOptions::new(16, Duration::from_secs(2))
        })
        .await;

    let mut other = server.connection().await;
    let mut table = other.begin().await.unwrap();
    sqlx::query("lock table batches").execute(&mut *table).await.unwrap();
    let outcome = repository.user_page(&whole_list("u")).await;
    assert!(matches!(outcome, Err(DbError::TimedOut { .. })), "{outcome:?}");
    table.rollback().await.unwrap();
    repository.user_page(&whole_list("u")).await.unwrap();
}

#[tokio::test]
async fn stopped_server_is_unavailable_until_it_is_back() {
    let server = Server::empty().await;
    let repository = server.open().await;
    let mut unit = repository.begin().await.unwrap();
    server
        .execute(
            "select pg_terminate_backend(pid) from pg_stat_activity \
             where datname = current_database() and pid <> pg_backend_pid()",
        )
        .await;

    let events = [registered("b", "u", 1, &[])];
    let outcome = load(unit.as_mut(), &events).await;
    assert!(matches!(outcome, Err(DbError::Unavailable { .. })), "{outcome:?}");
    drop(unit);

    // A dead connection may still be in the pool.
    testkit::eventually(BACK_LIMIT, "the database answers", async || repository.ping().await).await;
    apply(repository.as_ref(), &events).await.unwrap();

    // Nothing listens on port 1.
    let nobody = "postgres://postgres@127.0.0.1:1/postgres";
    let outcome =
        PostgresRepository::connect(nobody, PostgresOptions::new(16, Duration::from_secs(2)))
            .await
            .map(drop);
    assert!(matches!(outcome, Err(DbError::Unavailable { .. })), "{outcome:?}");
}

#[tokio::test]
async fn silent_server_is_not_waited_for() {
    let server = testkit::Postgres::start().await;
    let database = Server { url: server.create_database().await };
    let options = PostgresOptions {
        statement_timeout: SHORT,
        idle_in_transaction_timeout: BACK_LIMIT,
        ..PostgresOptions::new(16, SHORT)
    };
    let repository = database.open_with(options).await;
    let mut unit = repository.begin().await.unwrap();
    repository.ping().await.unwrap();

    server.pause().await;
    let events = [registered("b", "u", 1, &[])];
    let outcome = load(unit.as_mut(), &events).await;
    assert!(matches!(outcome, Err(DbError::Unavailable { .. })), "{outcome:?}");
    let outcome = repository.user_page(&whole_list("u")).await;
    assert!(matches!(outcome, Err(DbError::Unavailable { .. })), "{outcome:?}");
    drop(unit);

    server.resume().await;
    testkit::eventually(BACK_LIMIT, "the database answers", async || repository.ping().await).await;
    apply(&repository, &events).await.unwrap();
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

#[tokio::test]
async fn every_table_and_column_has_a_comment() {
    let server = Server::empty().await;
    server.open().await;
    const SILENT: &str = "
        select pg_class.relname || '.' || coalesce(pg_attribute.attname, '')
        from pg_class
        left join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped
        where relnamespace = 'public'::regnamespace and relkind = 'r'
          and relname <> '_sqlx_migrations'
          and (obj_description(pg_class.oid, 'pg_class') is null
               or col_description(pg_class.oid, attnum) is null)";
    let silent: Vec<String> =
        sqlx::query_scalar(SILENT).fetch_all(&mut server.connection().await).await.unwrap();
    assert_eq!(silent, Vec::<String>::new());
}

/// The server neither converts nor decompresses what a list reads.
#[tokio::test]
async fn documents_are_stored_as_they_are_sent() {
    const CONVERTED: &str = "
        select 'batch ' || batch_id from batches
        where pg_typeof(state) <> 'json'::regtype or pg_column_compression(state) is not null
        union all
        select 'essay ' || essay_id from essays
        where pg_typeof(state) <> 'json'::regtype or pg_column_compression(state) is not null";
    let server = Server::empty().await;
    let repository = server.open().await;
    let essays: Vec<_> = (0..25).map(|n| format!("{n}-{}", "long".repeat(60))).collect();
    let essays: Vec<_> = essays.iter().map(String::as_str).collect();
    let batch = "long".repeat(60);
    apply(repository.as_ref(), &[registered(&batch, "u", 1, &essays)]).await.unwrap();
    for essay in &essays {
        apply(repository.as_ref(), &[slot(&batch, essay, 2)]).await.unwrap();
        apply(repository.as_ref(), &[spellchecked(&batch, essay, 3)]).await.unwrap();
    }
    let longest = "select max(octet_length(state::text)) from essays";
    let mut connection = server.connection().await;
    let longest: i32 = sqlx::query_scalar(longest).fetch_one(&mut connection).await.unwrap();
    assert!(longest > 2_032, "from there on the server would compress: {longest}");
    let converted: Vec<String> =
        sqlx::query_scalar(CONVERTED).fetch_all(&mut connection).await.unwrap();
    assert_eq!(converted, [""; 0]);
}

/// A build from before these documents were `json` sends `jsonb`.
#[tokio::test]
async fn documents_written_as_jsonb_are_read() {
    let server = Server::empty().await;
    let repository = server.open().await;
    apply(repository.as_ref(), &[registered("b", "u", 1, &["e"]), slot("b", "e", 2)])
        .await
        .unwrap();
    let page = repository.user_page(&whole_list("u")).await.unwrap();
    server.execute("update batches set state = state::jsonb").await;
    server.execute("update essays set state = state::jsonb").await;
    assert_eq!(repository.user_page(&whole_list("u")).await.unwrap(), page);
}

#[tokio::test]
async fn lists_are_read_from_their_indexes() {
    let server = Server::empty().await;
    server.open().await;
    server
        .execute(
            "insert into batches
             select 'b' || n, 'u' || n % 4000, 'cancelled', to_timestamp(n), '{}'
             from generate_series(1, 20000) as n",
        )
        .await;
    server
        .execute(
            "insert into essays select 'e' || n, 'b' || n % 20000, 1, '{}'
             from generate_series(1, 60000) as n",
        )
        .await;
    server
        .execute("insert into user_versions select 'u' || n, 1 from generate_series(1, 4000) as n")
        .await;
    server.execute("vacuum analyze").await;

    const PLAN: &str =
        concat!("explain (costs off) ", include_str!("../../src/queries/postgres/user_page.sql"));
    let plan: Vec<String> = sqlx::query_scalar(PLAN)
        .bind("u7")
        .bind(["cancelled"])
        .bind(20_i64)
        .bind(0_i64)
        .bind(true)
        .fetch_all(&mut server.connection().await)
        .await
        .unwrap();
    let plan = plan.join("\n");
    let count = |step: &str| plan.matches(step).count();
    // Once for the count, once for the page; neither reads a row of the table.
    assert_eq!(count("Index Only Scan using batches_of_user"), 2, "{plan}");
    assert_eq!(count("essays_of_batch"), 1, "{plan}");
    assert_eq!(count("user_versions_pk"), 1, "{plan}");
    assert_eq!(count("Seq Scan"), 0, "{plan}");
}

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
    let options = PostgresOptions {
        idle_in_transaction_timeout: SHORT,
        lock_timeout: BACK_LIMIT,
        statement_timeout: BACK_LIMIT,
        ..PostgresOptions::new(16, Duration::from_secs(2))
    };
    let repository = server.open_with(options).await;
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
        include_str!("../../src/queries/postgres/outbox_unpublished.sql")
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
        include_str!("../../src/queries/postgres/remove_published.sql")
    );
    let before = chrono::DateTime::from_timestamp_secs(60);
    let removal = sqlx::query_scalar(REMOVAL).bind(before).bind(1_000_i64);
    let removal: Vec<String> = removal.fetch_all(&mut connection).await.unwrap();
    let removal = removal.join("\n");
    assert!(removal.contains("Index Scan using outbox_published"), "{removal}");
    assert!(!removal.contains("Seq Scan"), "{removal}");
}
