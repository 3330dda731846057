-- Everything that a group of events needs to know, from one snapshot.
--
-- ?1 event ids   ?2 batch ids   ?3 essay ids, each a JSON array
--
-- Rows are of three kinds:
--   event   id in hexadecimal, places; of an event that the inbox has
--   batch   id, state
--   essay   id, state, revision
with essay as materialized (
    select essay_id, batch_id, revision, state
    from essays
    where essay_id in (
        select value from json_each(?3)
        union
        -- What a batch answers rests on all its essays.
        select essay_id from essays where batch_id in (select value from json_each(?2))
    )
)
select 'event' as kind, hex(event_id) as id, null as revision, places as state
from inbox
where event_id in (select unhex(value, '-') from json_each(?1))
union all
select 'batch', batch_id, null, state
from batches
where batch_id in (
    select value from json_each(?2)
    union
    -- The batch that an essay is in now: if the essay moves, that batch changes too.
    select batch_id from essay
)
union all
select 'essay', essay_id, revision, state
from essay
