-- One page of a user's batches, their total, the essays of the page, and the versions: one statement,
-- hence one snapshot.
--
-- ?1 user id   ?2 statuses, a JSON array, empty = any   ?3 limit   ?4 offset
-- ?5 whether essays are shown; if not, only those of batches that do not count them are read
--
-- Rows are of three kinds, distinguished by their nulls:
--   total   number: of all batches; version of the list; no id, no state
--   batch   number: its position on the page; id, state, version
--   essay   number: that of its batch; no id, state
--
-- Essays are rows of their own, in no order.
with mine as not materialized (
    -- The index `batches_of_user` has all these columns, so the count and a large offset read no
    -- table row.
    select batch_id, created_at
    from batches
    where user_id = ?1
      and (json_array_length(?2) = 0 or status in (select value from json_each(?2)))
),
page as materialized (
    select batch_id, row_number() over (order by created_at desc, batch_id) as number
    from mine
    order by created_at desc, batch_id
    limit ?3 offset ?4
),
shown as materialized (
    select page.number, page.batch_id, batches.state, batches.has_tally, batches.version
    from page
    cross join batches on batches.batch_id = page.batch_id
)
select
    count(*) as number, null as id, null as state,
    -- No row: nothing of this user was ever changed.
    coalesce((select version from user_versions where user_id = ?1), 0) as version
from mine
union all
select number, batch_id, state, version
from shown
union all
select shown.number, null, essays.state, null
from shown
cross join essays on essays.batch_id = shown.batch_id
where ?5 or not shown.has_tally
