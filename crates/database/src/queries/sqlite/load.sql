-- Everything that a group of events needs, from one snapshot.
--
-- ?1 event ids   ?2 batch ids   ?3 essay ids   ?4 ids of batches whose essay ids are read: JSON arrays
--
-- Rows are of three kinds:
--   event   id in hexadecimal, places; of an event that the inbox has
--   batch   id, state, essay ids if they were asked for
--   essay   id, state, revision
with uncounted as materialized (
    -- No row, or a row that does not count its essays.
    select asked.value as batch_id
    from json_each(?2) as asked
    left join batches on batches.batch_id = asked.value
    where not coalesce(batches.has_tally, 0)
),
essay as materialized (
    select essay_id, batch_id, revision, state
    from essays
    where essay_id in (
        select value from json_each(?3)
        union
        select essay_id from essays where batch_id in (select batch_id from uncounted)
    )
)
select
    'event' as kind, hex(event_id) as id, null as revision, places as state, null as essay_ids
from inbox
where event_id in (select unhex(value, '-') from json_each(?1))
union all
select
    'batch', batch_id, null, state,
    case when batch_id in (select value from json_each(?4)) then essay_ids end
from batches
where batch_id in (
    select value from json_each(?2)
    union
    -- The batch that an essay is in now: if the essay moves, that batch changes too.
    select batch_id from essay
)
union all
select 'essay', essay_id, revision, state, null
from essay
