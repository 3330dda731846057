-- Writes all changes of a unit of work in one round trip.
--
-- Returns the number of rows written: events, redelivered events, batches, essays. Fewer than sent
-- mean a concurrent writer: this transaction must not be committed. And the number of users whose
-- lists changed.
--
-- Each part but the first waits for the count of the part before it, so that all writers write the
-- tables in one order, and the rows of each in ascending order of ids: writers never deadlock.
with
-- $1 event ids, ascending   $2 kinds   $3 event times   $4 time of applying   $5 offsets
new_event as (
    insert into inbox (event_id, kind, event_at, applied_at, places)
    select event_id, kind, event_at, $4, places
    from unnest($1::uuid[], $2::text[], $3::timestamptz[], $5::jsonb[])
        as applied (event_id, kind, event_at, places)
    on conflict (event_id) do nothing
    returning 1
),
-- $6 ids of redelivered events, ascending   $7 their new offsets
redelivered as (
    update inbox set places = inbox.places || added.places
    from unnest($6::uuid[], $7::jsonb[]) as added (event_id, places)
    where inbox.event_id = added.event_id
      -- Looked up in the index, whatever the planner estimates for the join.
      and inbox.event_id = any ($6::uuid[])
    returning 1
),
-- $8 batch ids, their locks held   $9 user ids   $10 statuses   $11 creation times   $12 states
-- $13 ids of their essays, null: keep the stored ones   $14 whether these are counted in the states
batch as (
    insert into batches
        (batch_id, user_id, status, created_at, state, essay_ids, has_tally, version)
    select batch_id, user_id, status, created_at, state, essay_ids, has_tally, 1
    from
        (select count(*) from new_event) as events_first,
        (select count(*) from redelivered) as repetitions_first,
        unnest(
            $8::text[], $9::text[], $10::text[], $11::timestamptz[], $12::json[], $13::jsonb[],
            $14::boolean[]
        ) as changed (batch_id, user_id, status, created_at, state, essay_ids, has_tally)
    on conflict (batch_id) do update set
        user_id    = excluded.user_id,
        status     = excluded.status,
        created_at = excluded.created_at,
        state      = excluded.state,
        essay_ids  = coalesce(excluded.essay_ids, batches.essay_ids),
        has_tally  = excluded.has_tally,
        version    = batches.version + 1
    returning user_id
),
-- $15 essay ids, ascending   $16 batch ids   $17 revisions: the loaded one + 1, or 1   $18 states
--
-- Essays are not locked beforehand: one event may name 10,000, more than fit into the server's lock
-- table.
essay as (
    insert into essays (essay_id, batch_id, revision, state)
    select essay_id, batch_id, revision, state
    from
        (select count(*) from batch) as batches_first,
        unnest($15::text[], $16::text[], $17::bigint[], $18::json[])
            as changed (essay_id, batch_id, revision, state)
    on conflict (essay_id) do update set
        batch_id = excluded.batch_id,
        revision = excluded.revision,
        state    = excluded.state
    -- No row has revision 0, so this also refuses to insert an essay that a concurrent writer
    -- inserted.
    where essays.revision = excluded.revision - 1
    returning 1
),
-- $26 ids of the batches of these essays that are not written themselves, their locks held
--
-- What they show changes with their essays.
batch_of_essay as (
    update batches set version = batches.version + 1
    from
        (select count(*) from essay) as essays_first,
        unnest($26::text[]) as changed (batch_id)
    where batches.batch_id = changed.batch_id
      -- Looked up in the index, whatever the planner estimates for the join.
      and batches.batch_id = any ($26::text[])
    returning batches.user_id
),
-- Of units that change the lists of one user, the second waits here until the first has ended. So
-- the versions of a user ascend in the order of commits.
user_version as (
    insert into user_versions (user_id, version)
    select user_id, 1
    from
        (select count(*) from essay) as essays_first,
        (select user_id from batch union select user_id from batch_of_essay) as changed
    where user_id is not null
    order by user_id
    on conflict (user_id) do update set version = user_versions.version + 1
    returning user_id, version
),
-- Delivered after the commit, to the processes that listen.
notified as materialized (
    select
        pg_notify(
            'list_changed', json_build_object('user_id', user_id, 'version', version)::text
        )
    from user_version
),
-- $19 lock key
--
-- Positions in the outbox are assigned at the insert and visible after the commit. So a writer
-- holds a lock from the insert to the commit: a reader who has seen a position has seen all before
-- it. Taken last: its holder waits for no other lock.
outbox_lock as materialized (
    select pg_advisory_xact_lock($19), pg_notify('outbox_written', '')
    from
        (select count(*) from essay) as essays_first,
        (select count(*) from user_version) as versions_first
    where cardinality($20::uuid[]) > 0
),
-- $20 ids   $21 topics   $22 keys   $23 batch ids   $24 correlation ids   $25 values
outgoing_event as (
    insert into outbox (event_id, topic, key, batch_id, correlation_id, value, written_at)
    select event_id, topic, key, batch_id, correlation_id, value, $4
    from
        outbox_lock,
        unnest($20::uuid[], $21::text[], $22::text[], $23::text[], $24::uuid[], $25::bytea[])
            with ordinality
            as written (event_id, topic, key, batch_id, correlation_id, value, nth)
    order by nth
    -- Each once, however often it is written.
    on conflict (event_id) do nothing
)
select
    (select count(*) from new_event),
    (select count(*) from redelivered),
    (select count(*) from batch),
    (select count(*) from essay),
    (select count(*) from notified)
