-- The oldest unpublished records, within limits.
--
-- ?1 skipped keys, as JSON   ?2 skipped topics, as JSON   ?3 records at most
-- ?4 bytes of values at most, not counting the last one
--
-- Skipped records are skipped in the index.
with oldest as (
    select position
    from outbox
    where published_at is null
      and key not in (select value from json_each(?1))
      and topic not in (select value from json_each(?2))
    order by position
    limit ?3
),
measured as (
    select
        position, sum(length(value)) over (order by position) - length(value) as bytes_before
    from outbox
    join oldest using (position)
)
select
    position, event_id, topic, key, batch_id, correlation_id, value, written_at, published_at
from outbox
join measured using (position)
-- The first one always, even if too large.
where bytes_before < ?4
order by position
