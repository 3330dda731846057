//! What PostgreSQL reads for each statement, whatever the size of the tables when it was planned,
//! and however old the statistics.
//!
//! The server counts sequential scans, rows and blocks of what was executed, with prepared plans.
//! Time is not measured.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use database::{
    BatchRepository, Changes, ClaimRequest, DEAD_LETTERS_SCANNED_MAX, DeadLetter, DeadLetterCursor,
    DeadLetterId, DeadLetterQuery, DeadLetterRepository, ExpiredDeadLetters, InboxChunk,
    InboxCursor, InboxRepository, KafkaOffset, KafkaOffsets, OutboxPosition, OutboxRepository,
    PageQuery, PostgresOptions, PostgresRepository, ReadRecord,
};
use projection::{BatchStatus, Event, EventId, Refusal, RefusalCode, Timestamp};
use sqlx::{Connection, PgConnection};

use crate::events::{
    NOW, apply, batch_id, load, outgoing_event, registered, slot, spellchecked, whole_list,
    write_outgoing,
};

/// More than the five executions after which the server may keep a plan for all values.
const ROUNDS: usize = 8;
/// Time limit for a closed connection to report its counters.
const CLOSE_LIMIT: Duration = Duration::from_secs(30);

/// Statistics change only when a test analyses the database.
const NO_AUTOVACUUM: &str = "
    alter table batches set (autovacuum_enabled = off);
    alter table essays set (autovacuum_enabled = off);
    alter table inbox set (autovacuum_enabled = off);
    alter table outbox set (autovacuum_enabled = off);
    alter table dead_letters set (autovacuum_enabled = off);
    alter table user_versions set (autovacuum_enabled = off)";

/// 20 batches of 2,000 essays with all their results.
const WHOLE_BATCHES: &str = r#"
    insert into batches (batch_id, user_id, status, created_at, state)
    select 'whole-' || n, 'u' || n % 4, 'completed_successfully', to_timestamp(n), '{}'
    from generate_series(1, 20) as n;
    insert into essays (essay_id, batch_id, revision, state)
    select 'whole-' || n, 'whole-' || n % 20 + 1, 4, jsonb_build_object('text', repeat('x', 600))
    from generate_series(1, 40000) as n;
    insert into inbox (event_id, kind, event_at, applied_at, places)
    select gen_random_uuid(), 'kind', to_timestamp(n), to_timestamp(n), '{"0": 7}'
    from generate_series(1, 1000) as n;
    insert into outbox (event_id, topic, key, batch_id, correlation_id, value, written_at)
    select gen_random_uuid(), 't', 'k' || n, 'b', gen_random_uuid(), 'x', now()
    from generate_series(1, 100) as n;
    insert into dead_letters (fingerprint, source, headers, bytes, code, detail, at)
    select 'whole-' || n, 'kafka', '[]', 'x', 'not_json', 'x', to_timestamp(n)
    from generate_series(1, 100) as n"#;

/// Far more of everything, with other values: here the records are published.
const FILLED: &str = r#"
    insert into batches (batch_id, user_id, status, created_at, state)
    select 'fill-' || n, 'f' || n % 400, 'awaiting_content_validation', to_timestamp(n), '{}'
    from generate_series(1, 6000) as n;
    insert into essays (essay_id, batch_id, revision, state)
    select 'fill-' || n, 'fill-' || n % 6000 + 1, 1, '{}'
    from generate_series(1, 60000) as n;
    insert into inbox (event_id, kind, event_at, applied_at, places)
    select gen_random_uuid(), 'kind', to_timestamp(n), to_timestamp(n), '{"0": 7}'
    from generate_series(1, 40000) as n;
    update outbox set published_at = to_timestamp(1);
    insert into outbox
        (event_id, topic, key, batch_id, correlation_id, value, written_at, published_at)
    select gen_random_uuid(), 't', 'k' || n, 'b', gen_random_uuid(), 'x', now(), to_timestamp(n)
    from generate_series(1, 40000) as n;
    insert into dead_letters (fingerprint, source, headers, bytes, code, detail, at)
    select 'fill-' || n, 'kafka', '[]', 'x', 'not_json', 'x', to_timestamp(n)
    from generate_series(1, 40000) as n;
    insert into user_versions (user_id, version)
    select 'f' || n, 1
    from generate_series(1, 40000) as n"#;

/// A database with the tables of the service.
struct Database {
    url: String,
}

/// Work of the server on one table.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    sequential_scans: i64,
    rows: i64,
    blocks: i64,
}

impl Database {
    async fn new() -> Self {
        let database = Self { url: testkit::postgres().await.create_database().await };
        database.open().await.close().await;
        database.execute(NO_AUTOVACUUM).await;
        database
    }

    /// One connection, so that all rounds share its prepared statements.
    async fn open(&self) -> PostgresRepository {
        let statement_timeout = Duration::from_secs(60);
        let options = PostgresOptions {
            statement_timeout,
            ..PostgresOptions::new(1, Duration::from_secs(2))
        };
        PostgresRepository::connect(&self.url, options).await.unwrap()
    }

    async fn execute(&self, statements: &'static str) {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// Size of the document of a batch.
    async fn state_bytes(&self, batch: &str) -> i32 {
        const BYTES: &str = "select octet_length(state::text) from batches where batch_id = $1";
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        sqlx::query_scalar(BYTES).bind(batch).fetch_one(&mut connection).await.unwrap()
    }

    /// Work on each table, once all connections have reported their counters.
    async fn work(&self) -> BTreeMap<String, Work> {
        const OTHERS: &str = "select count(*) from pg_stat_activity \
             where datname = current_database() and pid <> pg_backend_pid()";
        const WORK: &str = "
            select relname::text, seq_scan,
                   seq_tup_read + coalesce(idx_tup_fetch, 0),
                   heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit
            from pg_stat_user_tables
            join pg_statio_user_tables using (relid, relname)
            where relname in ('batches', 'essays', 'inbox', 'outbox', 'dead_letters', 'user_versions')";
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        testkit::eventually(CLOSE_LIMIT, "all counters are handed in", async || {
            let others: i64 = sqlx::query_scalar(OTHERS).fetch_one(&mut connection).await.unwrap();
            others == 0
        })
        .await;
        let tables: Vec<(String, i64, i64, i64)> =
            sqlx::query_as(WORK).fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let work = |(name, sequential_scans, rows, blocks)| {
            (name, Work { sequential_scans, rows, blocks })
        };
        tables.into_iter().map(work).collect()
    }

    /// Work of `working` on each table; it must close its connections.
    async fn work_of(&self, working: impl AsyncFnOnce()) -> BTreeMap<String, Work> {
        let before = self.work().await;
        working().await;
        let mut work = self.work().await;
        for (table, work) in &mut work {
            let before = before.get(table).copied().unwrap_or_default();
            work.sequential_scans -= before.sequential_scans;
            work.rows -= before.rows;
            work.blocks -= before.blocks;
        }
        work
    }
}

/// Executes every statement a few times.
async fn use_everything(repository: &PostgresRepository, name: &str) {
    for round in 0..ROUNDS {
        let name = format!("{name}-{round}");
        apply_events(repository, &name).await;
        read(repository, &name).await;
        insert_dead_letters(repository, &name).await;
        publish(repository).await;
        repository.purge_events(some_of_the_inbox()).await.unwrap();
    }
}

async fn apply_events(repository: &PostgresRepository, name: &str) {
    let essays = ["1", "2", "3"].map(|essay| format!("{name}-{essay}"));
    let essays = essays.each_ref().map(String::as_str);
    let registration = registered(name, &teacher(name), 1, &essays);
    apply(repository, std::slice::from_ref(&registration)).await.unwrap();
    apply(repository, &[slot(name, essays[0], 2), slot(name, essays[1], 3)]).await.unwrap();
    redeliver(repository, &registration).await;
}

/// The teacher of one batch.
fn teacher(batch: &str) -> String {
    format!("teacher of {batch}")
}

/// Adds an offset to an applied event.
async fn redeliver(repository: &PostgresRepository, event: &Event) {
    let mut unit = repository.begin().await.unwrap();
    let loaded = load(unit.as_mut(), std::slice::from_ref(event)).await.unwrap();
    assert!(loaded.known.contains_key(&event.id));
    let offsets = KafkaOffsets::from(Some(KafkaOffset { partition: 0, offset: 7 }));
    let changes = Changes {
        events: &BTreeMap::new(),
        redelivered: &BTreeMap::from([(event.id, offsets)]),
        rows: &projection::Rows::default(),
        statuses: &BTreeMap::new(),
        outgoing_events: &[],
        now: NOW,
    };
    unit.write(changes).await.unwrap();
    unit.commit().await.unwrap();
}

async fn read(repository: &PostgresRepository, name: &str) {
    assert!(repository.batch(&batch_id(name)).await.unwrap().is_some());
    let all = whole_list(&teacher(name));
    assert!(repository.user_page(&all).await.unwrap().total > 0);
    let statuses = vec![BatchStatus::AwaitingContentValidation];
    let some = PageQuery { statuses, limit: 2, ..all };
    assert!(!repository.user_page(&some).await.unwrap().batches.is_empty());
}

async fn insert_dead_letters(repository: &PostgresRepository, name: &str) {
    let dead_letter = |number: i64| DeadLetter {
        fingerprint: format!("{name}-{number}"),
        source: "kafka".into(),
        topic: Some("topic".into()),
        partition: Some(3),
        offset: Some(number),
        key: None,
        headers: Vec::new(),
        bytes: b"{".to_vec(),
        received_at: NOW,
        code: RefusalCode::NotJson,
        detail: "end of input".into(),
        at: Timestamp::from_unix_micros(number),
    };
    let dead_letters: Vec<_> = (1..=3).map(dead_letter).collect();
    assert_eq!(repository.new_dead_letters(&dead_letters).await.unwrap().len(), 3);
    repository.insert_dead_letters(&dead_letters).await.unwrap();
    assert!(repository.new_dead_letters(&dead_letters).await.unwrap().is_empty());
    let read = |dead_letter: &DeadLetter| ReadRecord {
        event: EventId(uuid::Uuid::from_u128(next())),
        fingerprint: dead_letter.fingerprint.clone(),
    };
    let read: Vec<_> = dead_letters.iter().map(read).collect();
    assert_eq!(repository.known_events(&read).await.unwrap().len(), 3);
    let query = DeadLetterQuery { limit: 3, ..DeadLetterQuery::default() };
    let listed = repository.dead_letters(&query).await.unwrap().dead_letters;
    assert_eq!(listed.len(), 3);
    let (first, second) = (listed[0].id, listed[1].id);
    let refusal = Refusal::new(RefusalCode::Unstorable, "again");
    repository.dead_letter(first).await.unwrap().unwrap();
    repository.dead_letter_refused_again(first, &refusal, NOW).await.unwrap();
    assert!(repository.delete_dead_letter(second, None).await.unwrap());
    let refused_before = Timestamp::from_unix_micros(100);
    let old = ExpiredDeadLetters { after: DeadLetterCursor::START, refused_before, limit: 1 };
    repository.purge_dead_letters(old).await.unwrap();
    let after = DeadLetterId::parse("9000000000");
    let none = DeadLetterQuery { source: Some("nobody".into()), after, ..query };
    assert_eq!(repository.dead_letters(&none).await.unwrap().dead_letters, []);
}

async fn publish(repository: &PostgresRepository) {
    write_outgoing(repository, &[outgoing_event(next(), "key")]).await;
    let nothing = BTreeSet::<String>::new();
    let request = ClaimRequest {
        records_max: 3,
        bytes_max: 1_000_000,
        hold_max: Duration::from_secs(10),
        skipped_keys: &nothing,
        skipped_topics: &nothing,
    };
    let claim = repository.claim(request).await.unwrap().unwrap();
    let claimed: Vec<_> = claim.records().iter().map(|record| record.position).collect();
    assert!(!claimed.is_empty());
    claim.mark_published(&claimed, NOW).await.unwrap();
    repository.outbox_after(OutboxPosition::START, 3).await.unwrap();
    repository.outbox_after(claimed[0], 3).await.unwrap();
    repository.outbox_depth().await.unwrap();
    repository.remove_published(Timestamp::from_unix_micros(1_000_001), 3).await.unwrap();
    repository.remove_written(Timestamp::MAX, 1).await.unwrap();
}

/// A number that no outgoing event had before.
fn next() -> u128 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed).into()
}

fn some_of_the_inbox() -> InboxChunk<'static> {
    InboxChunk {
        after: InboxCursor::START,
        rows_max: 5,
        applied_before: Timestamp::from_unix_micros(100_000_000),
        log_starts: &[],
    }
}

/// Only a limited number of rows and blocks per round was read in each table.
#[track_caller]
fn assert_looked_up(name: &str, work: &BTreeMap<String, Work>, rounds: usize) {
    let rounds = i64::try_from(rounds).unwrap();
    for (table, work) in work {
        assert_eq!(work.sequential_scans, 0, "{name}: sequential scans of {table}: {work:?}");
        assert!(work.rows <= 60 * rounds, "{name}: rows of {table}: {work:?}");
        assert!(work.blocks <= 400 * rounds, "{name}: blocks of {table}: {work:?}");
    }
}

#[tokio::test]
async fn statements_look_up_rows_in_a_small_database_never_analysed() {
    let database = Database::new().await;
    let work = database
        .work_of(async || {
            let repository = database.open().await;
            use_everything(&repository, "new").await;
            repository.close().await;
        })
        .await;
    assert_looked_up("never analysed", &work, ROUNDS);
}

/// A small database is analysed and statements are prepared; then it is filled with other things.
#[tokio::test]
async fn statements_look_up_rows_with_stale_plans() {
    let database = Database::new().await;
    database.execute(WHOLE_BATCHES).await;
    database.execute("vacuum analyze").await;
    let work = database
        .work_of(async || {
            let repository = database.open().await;
            use_everything(&repository, "early").await;
            database.execute(FILLED).await;
            use_everything(&repository, "late").await;
            repository.close().await;
        })
        .await;
    // Without the work of filling itself.
    let mut work = work;
    let outbox = work.get_mut("outbox").unwrap();
    (outbox.rows, outbox.blocks, outbox.sequential_scans) = (0, 0, outbox.sequential_scans - 1);
    for filled in work.values_mut() {
        filled.blocks = 0;
    }
    assert_looked_up("analysed, then filled", &work, 2 * ROUNDS);

    let work = database
        .work_of(async || {
            let repository = database.open().await;
            use_everything(&repository, "later").await;
            repository.close().await;
        })
        .await;
    assert_looked_up("planned after it was filled", &work, ROUNDS);
}

#[tokio::test]
async fn statements_look_up_rows_in_a_large_database_with_fresh_statistics() {
    let database = Database::new().await;
    database.execute(WHOLE_BATCHES).await;
    database.execute(FILLED).await;
    database.execute("vacuum analyze").await;
    let work = database
        .work_of(async || {
            let repository = database.open().await;
            use_everything(&repository, "new").await;
            repository.close().await;
        })
        .await;
    assert_looked_up("large", &work, ROUNDS);
}

/// 10,000 essays cost what they cost one by one, although statistics show large batches.
#[tokio::test]
async fn largest_registration_reads_only_its_own_essays() {
    let database = Database::new().await;
    database.execute(WHOLE_BATCHES).await;
    database.execute("vacuum analyze").await;
    let essays: Vec<_> =
        (0..projection::ESSAYS_PER_EVENT_MAX).map(|n| format!("large-{n}")).collect();
    let essays: Vec<_> = essays.iter().map(String::as_str).collect();
    let event = registered("large", "teacher", 1, &essays);
    let work = database
        .work_of(async || {
            let repository = database.open().await;
            apply(&repository, &[event]).await.unwrap();
            repository.close().await;
        })
        .await;
    let (count, read) = (essays.len() as i64, work["essays"]);
    assert_eq!(read.sequential_scans, 0, "{read:?}");
    // To look for it, to look for it again when it is written, and to write it to two indexes.
    assert!(read.blocks < 20 * count, "{read:?}");
    assert!(read.rows < 100, "there is none yet: {read:?}");
}

/// The last of 10,000 batches cost what the first ones cost, without an analyse in between.
#[tokio::test]
async fn applying_to_ten_thousand_batches_has_an_even_cost() {
    const FILL: [&str; 3] = [
        "insert into batches (batch_id, user_id, status, created_at, state)
         select 'fill-' || n, 'f' || n % 400, 'awaiting_content_validation', to_timestamp(n), '{}'
         from generate_series(1, 1000) as n;
         insert into essays (essay_id, batch_id, revision, state)
         select 'fill-' || n || '-' || m, 'fill-' || n, 1, '{}'
         from generate_series(1, 1000) as n, generate_series(1, 25) as m",
        "insert into batches (batch_id, user_id, status, created_at, state)
         select 'fill-' || n, 'f' || n % 400, 'awaiting_content_validation', to_timestamp(n), '{}'
         from generate_series(1001, 4000) as n;
         insert into essays (essay_id, batch_id, revision, state)
         select 'fill-' || n || '-' || m, 'fill-' || n, 1, '{}'
         from generate_series(1001, 4000) as n, generate_series(1, 25) as m",
        "insert into batches (batch_id, user_id, status, created_at, state)
         select 'fill-' || n, 'f' || n % 400, 'awaiting_content_validation', to_timestamp(n), '{}'
         from generate_series(4001, 10000) as n;
         insert into essays (essay_id, batch_id, revision, state)
         select 'fill-' || n || '-' || m, 'fill-' || n, 1, '{}'
         from generate_series(4001, 10000) as n, generate_series(1, 25) as m",
    ];
    const BATCHES: i64 = 40;
    const ESSAYS: usize = 25;
    let database = Database::new().await;
    database.execute(WHOLE_BATCHES).await;
    // The first change of a list has no row to look up.
    database.execute("insert into user_versions values ('teacher', 1)").await;
    database.execute("vacuum analyze").await;

    let mut costs = Vec::new();
    for sample in 0..=FILL.len() {
        let work = database
            .work_of(async || {
                let repository = database.open().await;
                for number in 0..BATCHES {
                    let name = format!("sample-{sample}-{number}");
                    let essays: Vec<_> = (0..ESSAYS).map(|n| format!("{name}-{n}")).collect();
                    let essays: Vec<_> = essays.iter().map(String::as_str).collect();
                    apply(&repository, &[registered(&name, "teacher", 1, &essays)]).await.unwrap();
                    apply(&repository, &[slot(&name, essays[0], 2)]).await.unwrap();
                }
                repository.close().await;
            })
            .await;
        costs.push(work);
        if let Some(fill) = FILL.get(sample) {
            database.execute(fill).await;
        }
    }
    let total = |work: &BTreeMap<String, Work>, of: fn(&Work) -> i64| -> i64 {
        work.values().map(of).sum::<i64>() / BATCHES
    };
    let (first, last) = (&costs[0], &costs[FILL.len()]);
    for work in &costs {
        assert_eq!(total(work, |work| work.sequential_scans), 0, "{work:?}");
    }
    assert_eq!(total(first, |work| work.rows), total(last, |work| work.rows), "{costs:#?}");
    // An index grows by a level.
    let (blocks, at_last) = (total(first, |work| work.blocks), total(last, |work| work.blocks));
    assert!(at_last <= blocks * 3 / 2, "{blocks} blocks a batch at first, {at_last} in the end");
}

/// Each chunk costs what it deletes, although all dead letters have the same time.
#[tokio::test]
async fn purging_dead_letters_of_one_time_has_an_even_cost() {
    const DEAD_LETTERS: &str = "
        insert into dead_letters (fingerprint, source, headers, bytes, code, detail, at)
        select n::text, 'kafka', '[]', 'x', 'not_json', 'x', to_timestamp(1)
        from generate_series(1, 20000) as n";
    let database = Database::new().await;
    database.execute(DEAD_LETTERS).await;
    let (mut chunk, mut removed) = (old_dead_letters(), 0);
    let work = database
        .work_of(async || {
            let repository = database.open().await;
            loop {
                let outcome = repository.purge_dead_letters(chunk).await.unwrap();
                removed += outcome.dead_letters;
                let Some(last) = outcome.last else { break };
                chunk.after = last;
            }
            repository.close().await;
        })
        .await;
    assert_eq!(removed, 20_000);
    let read = work["dead_letters"];
    assert_eq!(read.sequential_scans, 0, "{read:?}");
    // To find, lock and delete it.
    assert!(read.rows <= 3 * 20_000, "{read:?}");
    assert!(read.blocks <= 20 * 20_000, "{read:?}");
}

fn old_dead_letters() -> ExpiredDeadLetters {
    ExpiredDeadLetters { after: DeadLetterCursor::START, refused_before: NOW, limit: 50 }
}

/// The largest page scans a part of all dead letters, whatever it selects.
#[tokio::test]
async fn dead_letter_filter_without_matches_scans_a_limited_number() {
    const DEAD_LETTERS: &str = "
        insert into dead_letters (fingerprint, source, headers, bytes, code, detail, at)
        select n::text, 'kafka', '[]', 'x', 'not_json', 'x', to_timestamp(1)
        from generate_series(1, 40000) as n";
    let database = Database::new().await;
    database.execute(DEAD_LETTERS).await;
    let query =
        DeadLetterQuery { topic: Some("none".into()), limit: 5, ..DeadLetterQuery::default() };
    let work = database
        .work_of(async || {
            let repository = database.open().await;
            let page = repository.dead_letters(&query).await.unwrap();
            assert!(page.dead_letters.is_empty() && page.next_after.is_some(), "{page:?}");
            repository.close().await;
        })
        .await;
    // Once in the index, to find the end, and once in the table.
    let (read, limit) = (work["dead_letters"], i64::from(DEAD_LETTERS_SCANNED_MAX));
    assert!(read.rows <= 2 * limit + 1, "{read:?}");
}

/// A spellcheck reads and writes its essay and the row of its batch, whatever else the batch has.
#[tokio::test]
async fn spellcheck_costs_the_same_in_large_and_small_batches() {
    const SPELLCHECKS: usize = 20;
    let database = Database::new().await;
    let mut costs = Vec::new();
    for (batch, essays) in [("small", 25), ("large", 2_000)] {
        let essays: Vec<_> = (0..essays).map(|n| format!("{batch}-{n}")).collect();
        let essays: Vec<_> = essays.iter().map(String::as_str).collect();
        let repository = database.open().await;
        apply(&repository, &[registered(batch, &teacher(batch), 1, &essays)]).await.unwrap();
        repository.close().await;
        let work = database
            .work_of(async || {
                let repository = database.open().await;
                for essay in &essays[..SPELLCHECKS] {
                    apply(&repository, &[spellchecked(batch, essay, 2)]).await.unwrap();
                }
                repository.close().await;
            })
            .await;
        costs.push((batch, work, database.state_bytes(batch).await));
    }
    let [(_, small, small_bytes), (_, large, large_bytes)] = &costs[..] else { panic!() };
    for table in ["batches", "essays"] {
        let (small, large) = (small[table], large[table]);
        assert!(large.rows <= small.rows * 2, "{table}: {small:?}, {large:?}");
        assert!(large.blocks <= small.blocks * 2, "{table}: {small:?}, {large:?}");
    }
    assert!(*large_bytes <= small_bytes * 2, "what is written: {small_bytes}, {large_bytes}");
}

#[tokio::test]
async fn list_without_essays_reads_no_essay_row() {
    let database = Database::new().await;
    let repository = database.open().await;
    let essays: Vec<_> = (0..200).map(|n| format!("e{n}")).collect();
    let essays: Vec<_> = essays.iter().map(String::as_str).collect();
    apply(&repository, &[registered("b", "teacher", 1, &essays)]).await.unwrap();
    repository.close().await;
    let work = database
        .work_of(async || {
            let repository = database.open().await;
            let summary = PageQuery { include_essays: false, ..whole_list("teacher") };
            let page = repository.user_page(&summary).await.unwrap();
            assert_eq!((page.batches.len(), page.batches[0].essays.len()), (1, 0));
            repository.close().await;
        })
        .await;
    let read = work["essays"];
    assert_eq!((read.rows, read.sequential_scans), (0, 0), "{read:?}");
}
