-- Writes announcements, each once, however often it is found due.
--
-- $1 ids   $2 topics   $3 keys   $4 batch ids   $5 correlation ids   $6 values   $7 time   $8 lock
--
-- Positions are given out when rows are inserted and seen when they are committed. Whoever inserts
-- therefore holds a lock until the commit, so that a reader who has seen one position has seen all
-- before it. This is the last write of a unit, so nobody waits for anything while holding it.
with turn as materialized (
    select pg_advisory_xact_lock($8), pg_notify('outbox_written', '')
)
insert into outbox (event_id, topic, key, batch_id, correlation_id, value, written_at)
select event_id, topic, key, batch_id, correlation_id, value, $7
from turn,
    unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::bytea[])
        with ordinality
        as announced (event_id, topic, key, batch_id, correlation_id, value, nth)
order by nth
on conflict (event_id) do nothing
