-- Writes all that a group of events changes, in one round trip.
--
-- Gives the number of rows written: events, events that came again, batches, essays. Fewer than sent means that another
-- writer was faster, and that this transaction must not be committed.
--
-- Each part but the first waits for the count of the one before it, so that everybody writes the
-- tables in one order, and the rows of each in ascending order of their ids: no two writers can
-- wait for each other.
with
-- $1 event ids, ascending   $2 kinds   $3 event times   $4 time of applying   $5 places
new_event as (
    insert into inbox (event_id, kind, event_at, applied_at, places)
    select event_id, kind, event_at, $4, places
    from unnest($1::uuid[], $2::text[], $3::timestamptz[], $5::jsonb[])
        as applied (event_id, kind, event_at, places)
    on conflict (event_id) do nothing
    returning 1
),
-- $6 ids of events that came again, ascending   $7 where
seen_again as (
    update inbox set places = inbox.places || again.places
    from unnest($6::uuid[], $7::jsonb[]) as again (event_id, places)
    where inbox.event_id = again.event_id
    returning 1
),
-- $8 batch ids, their locks held   $9 user ids   $10 statuses   $11 creation times   $12 states
batch as (
    insert into batches (batch_id, user_id, status, created_at, state)
    select batch_id, user_id, status, created_at, state
    from
        (select count(*) from new_event) as events_first,
        (select count(*) from seen_again) as repetitions_first,
        unnest($8::text[], $9::text[], $10::text[], $11::timestamptz[], $12::jsonb[])
            as changed (batch_id, user_id, status, created_at, state)
    on conflict (batch_id) do update set
        user_id    = excluded.user_id,
        status     = excluded.status,
        created_at = excluded.created_at,
        state      = excluded.state
    returning 1
),
-- $13 essay ids, ascending   $14 batch ids   $15 revisions: the loaded one + 1, or 1   $16 states
--
-- Essays are not locked beforehand: one event may name 10,000, more than the server's table of
-- locks has room for.
essay as (
    insert into essays (essay_id, batch_id, revision, state)
    select essay_id, batch_id, revision, state
    from
        (select count(*) from batch) as batches_first,
        unnest($13::text[], $14::text[], $15::bigint[], $16::jsonb[])
            as changed (essay_id, batch_id, revision, state)
    on conflict (essay_id) do update set
        batch_id = excluded.batch_id,
        revision = excluded.revision,
        state    = excluded.state
    -- No row has revision 0, so this also refuses to insert an essay that exists by now.
    where essays.revision = excluded.revision - 1
    returning 1
),
-- $17 lock key
--
-- Positions in the outbox are given out when rows are inserted and seen when they are committed.
-- Whoever inserts therefore holds a lock until the commit, so that a reader who has seen one
-- position has seen all before it. Taken last: nobody waits for anything while holding it.
turn as materialized (
    select pg_advisory_xact_lock($17), pg_notify('outbox_written', '')
    from (select count(*) from essay) as essays_first
    where cardinality($18::uuid[]) > 0
),
-- $18 ids   $19 topics   $20 keys   $21 batch ids   $22 correlation ids   $23 values
announcement as (
    insert into outbox (event_id, topic, key, batch_id, correlation_id, value, written_at)
    select event_id, topic, key, batch_id, correlation_id, value, $4
    from
        turn,
        unnest($18::uuid[], $19::text[], $20::text[], $21::text[], $22::uuid[], $23::bytea[])
            with ordinality
            as announced (event_id, topic, key, batch_id, correlation_id, value, nth)
    order by nth
    -- Each once, however often it is found due.
    on conflict (event_id) do nothing
)
select
    (select count(*) from new_event),
    (select count(*) from seen_again),
    (select count(*) from batch),
    (select count(*) from essay)
