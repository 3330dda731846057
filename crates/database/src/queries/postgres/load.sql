-- Opens a transaction, takes the locks of some batches, and reads everything that a group of events
-- needs: three statements, one round trip.
--
-- Names in braces are replaced by lists. Several statements in one round trip cannot have
-- parameters, so the lists contain only what cannot end a literal: numbers, uuids, and ids in
-- hexadecimal.

-- Explicit, whatever the server's default: each statement must see what was committed before it,
-- above all the load after the wait for a lock.
begin isolation level read committed;

-- A longer time limit, if an event needs it.
{time_limit}

-- In ascending order of keys in every unit, so that units never deadlock. Held until the
-- transaction ends. Returns no rows: the result of taking a lock is not null.
select from unnest('{lock_keys}'::bigint[]) as lock_key
where pg_advisory_xact_lock(lock_key) is null;

-- Rows are of three kinds:
--   event   id, places; of an event that the inbox has
--   batch   id, state, essay ids if they were asked for
--   essay   id, state, revision
--
-- Each essay is looked up by itself in an index: `limit` and `offset` prevent any other plan,
-- whatever the planner estimates.
with asked_batch as (
    select convert_from(decode(id, 'hex'), 'UTF8') as batch_id
    from unnest('{batches}'::text[]) as id
),
asked_essay as (
    select convert_from(decode(id, 'hex'), 'UTF8') as essay_id
    from unnest('{essays}'::text[]) as id
),
asked_list as (
    select convert_from(decode(id, 'hex'), 'UTF8') as batch_id
    from unnest('{listed}'::text[]) as id
),
uncounted as (
    -- No row, or a row that does not count its essays.
    select asked_batch.batch_id
    from asked_batch
    left join lateral (
        select has_tally
        from batches
        where batches.batch_id = asked_batch.batch_id
        limit 1
    ) as known on true
    where known.has_tally is not true
),
essay as (
    select found.essay_id, found.batch_id, found.revision, found.state
    from uncounted
    cross join lateral (
        select essay_id, batch_id, revision, state
        from essays
        where essays.batch_id = uncounted.batch_id
        offset 0
    ) as found
    union all
    select found.essay_id, found.batch_id, found.revision, found.state
    from asked_essay
    cross join lateral (
        select essay_id, batch_id, revision, state
        from essays
        where essays.essay_id = asked_essay.essay_id
        limit 1
    ) as found
    -- The others are in the first part already.
    where found.batch_id not in (select batch_id from uncounted)
)
select
    'event' as kind, event_id::text as id, null::bigint as revision, places::text as state,
    null as essay_ids
from inbox
where event_id = any ('{events}'::uuid[])
union all
select
    'batch', batch_id, null, state::text,
    case when batch_id in (select batch_id from asked_list) then essay_ids::text end
from batches
where batch_id = any (array (
    select batch_id from asked_batch
    union
    -- The batch that an essay is in now: if the essay moves, that batch changes too.
    select batch_id from essay
))
union all
select 'essay', essay_id, revision, state::text, null
from essay
