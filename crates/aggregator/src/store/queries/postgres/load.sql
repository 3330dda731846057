-- Everything that a group of events needs to know, from one snapshot.
--
-- $1 event ids   $2 batch ids   $3 essay ids
--
-- Rows are of three kinds:
--   event   id, of an event that the inbox has
--   batch   id, state
--   essay   id, state, revision
with essay as (
    select essay_id, batch_id, revision, state
    from essays
    where essay_id = any ($3)
    -- What a batch answers rests on all its essays.
       or batch_id = any ($2)
)
select 'event' as kind, event_id::text as id, null::bigint as revision, null::text as state
from inbox
where event_id = any ($1)
union all
select 'batch', batch_id, null, state::text
from batches
where batch_id in (
    select unnest($2::text[])
    union
    -- The batch that an essay is in now: if the essay moves, that batch changes too.
    select batch_id from essay
)
union all
select 'essay', essay_id, revision, state::text
from essay
