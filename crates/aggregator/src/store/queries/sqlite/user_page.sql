-- One page of a user's batches, how many there are in all, and the essays of the page: one
-- statement, hence one snapshot.
--
-- ?1 user id   ?2 statuses, a JSON array, empty = any   ?3 limit   ?4 offset
--
-- Rows: one per batch of the page, in its order. A page without batches is one row that has
-- only the total.
with mine as not materialized (
    -- Everything asked here is in the index `batches_of_user`, so the count and a far offset
    -- read no table row.
    select batch_id, created_at
    from batches
    where user_id = ?1
      and (json_array_length(?2) = 0 or status in (select value from json_each(?2)))
),
page as materialized (
    select batch_id
    from mine
    order by created_at desc, batch_id
    limit ?3 offset ?4
),
counted as materialized (
    select count(*) as total from mine
)
select
    counted.total,
    batches.batch_id,
    batches.state as batch,
    -- Concatenated and not json_group_array: the documents are JSON already, parsing them here
    -- only to print them again would double the work.
    (
        select '[' || group_concat(essays.state, ',' order by essays.essay_id) || ']'
        from essays
        where essays.batch_id = batches.batch_id
    ) as essays
from counted
left join page on true
left join batches on batches.batch_id = page.batch_id
order by batches.created_at desc, batches.batch_id
