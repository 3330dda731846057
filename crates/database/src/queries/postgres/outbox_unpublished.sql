-- The oldest records that are not published, as far as limits allow.
--
-- $1 keys left out   $2 topics left out   $3 records at most
-- $4 bytes of values at most, beside those of the last one
--
-- Cost: a scan of the index of what is unpublished, up to the limit. What is left out is passed over
-- in the index alone: of no other row than those that are chosen anything is read.
with oldest as (
    select position
    from outbox
    where published_at is null
      and key <> all ($1::text[])
      and topic <> all ($2::text[])
    order by position
    limit $3
),
measured as (
    select
        position,
        sum(octet_length(value)) over (order by position) - octet_length(value) as bytes_before
    from outbox
    where position = any (array (select position from oldest))
)
select
    position, event_id, topic, key, batch_id, correlation_id, value,
    (extract(epoch from written_at) * 1000000)::bigint,
    (extract(epoch from published_at) * 1000000)::bigint
from outbox
where position = any (array (
    -- The first one always, however large it is.
    select position from measured where bytes_before < $4
))
order by position
