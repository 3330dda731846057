-- The records after a position, published or not, within limits.
--
-- ?1 position   ?2 records at most   ?3 bytes of values at most, not counting the last one
with next as (
    select position, length(value) as bytes
    from outbox
    where position > ?1
    order by position
    limit ?2
),
measured as (
    select position, sum(bytes) over (order by position) - bytes as bytes_before
    from next
)
select
    position, event_id, topic, key, batch_id, correlation_id, value, written_at, published_at
from outbox
join measured using (position)
-- The first one always, even if too large.
where bytes_before < ?3
order by position
