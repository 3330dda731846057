-- The oldest records that are not published, as far as limits allow.
--
-- $1 keys left out   $2 topics left out   $3 records at most
-- $4 bytes of values at most, beside those of the last one
--
-- Cost: an index scan of what is unpublished, up to the limit; what is left out is passed over.
with oldest as (
    select position, octet_length(value) as bytes
    from outbox
    where published_at is null
      and key <> all ($1::text[])
      and topic <> all ($2::text[])
    order by position
    limit $3
),
measured as (
    select position, sum(bytes) over (order by position) - bytes as bytes_before
    from oldest
)
select
    position, event_id, topic, key, batch_id, correlation_id, value,
    (extract(epoch from written_at) * 1000000)::bigint,
    (extract(epoch from published_at) * 1000000)::bigint
from outbox
join measured using (position)
-- The first one always, however large it is.
where bytes_before < $4
order by position
