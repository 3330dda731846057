-- The records after a position, published or not, within limits.
--
-- $1 position   $2 records at most   $3 bytes of values at most, not counting the last one
with next as (
    select position, octet_length(value) as bytes
    from outbox
    where position > $1
    order by position
    limit $2
),
measured as (
    select position, sum(bytes) over (order by position) - bytes as bytes_before
    from next
)
select
    position, event_id, topic, key, batch_id, correlation_id, value,
    (extract(epoch from written_at) * 1000000)::bigint,
    (extract(epoch from published_at) * 1000000)::bigint
from outbox
where position = any (array (
    -- The first one always, even if too large.
    select position from measured where bytes_before < $3
))
order by position
