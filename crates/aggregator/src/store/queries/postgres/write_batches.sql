-- Writes batches whose locks are held.
--
-- $1 batch ids   $2 user ids   $3 statuses   $4 creation times   $5 states
insert into batches (batch_id, user_id, status, created_at, state)
select batch_id, user_id, status, created_at, state
from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::jsonb[])
    as changed (batch_id, user_id, status, created_at, state)
on conflict (batch_id) do update set
    user_id    = excluded.user_id,
    status     = excluded.status,
    created_at = excluded.created_at,
    state      = excluded.state
