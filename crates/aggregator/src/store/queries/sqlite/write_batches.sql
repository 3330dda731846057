-- Writes batches.
--
-- ?1 batches, a JSON array of {id, user_id, status, created_at, state}
insert into batches (batch_id, user_id, status, created_at, state)
select
    value ->> 'id', value ->> 'user_id', value ->> 'status', value ->> 'created_at',
    value -> 'state'
from json_each(?1)
-- Without a `where`, SQLite would read the `on` of `on conflict` as that of a join.
where true
on conflict (batch_id) do update set
    user_id    = excluded.user_id,
    status     = excluded.status,
    created_at = excluded.created_at,
    state      = excluded.state
