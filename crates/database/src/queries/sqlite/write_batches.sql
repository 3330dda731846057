-- Writes batches.
--
-- ?1 batches, a JSON array of {id, user_id, status, created_at, state, essay_ids, has_tally}
insert into batches (batch_id, user_id, status, created_at, state, essay_ids, has_tally, version)
select
    value ->> 'id', value ->> 'user_id', value ->> 'status', value ->> 'created_at',
    value -> 'state', value ->> 'essay_ids', value ->> 'has_tally', 1
from json_each(?1)
-- Without a `where`, SQLite would read the `on` of `on conflict` as that of a join.
where true
on conflict (batch_id) do update set
    user_id    = excluded.user_id,
    status     = excluded.status,
    created_at = excluded.created_at,
    state      = excluded.state,
    -- Null: keep the stored ones.
    essay_ids  = coalesce(excluded.essay_ids, batches.essay_ids),
    has_tally  = excluded.has_tally,
    version    = batches.version + 1
