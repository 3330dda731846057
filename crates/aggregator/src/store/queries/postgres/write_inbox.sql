-- Remembers events as applied. Fewer rows written than sent: another writer had one of them.
-- The ascending order keeps two writers from waiting for each other.
--
-- $1 event ids, ascending   $2 kinds   $3 event times   $4 times of applying
insert into inbox (event_id, kind, event_at, applied_at)
select * from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[])
on conflict (event_id) do nothing
