-- The oldest unpublished records, within limits.
--
-- $1 skipped keys   $2 skipped topics   $3 records at most
-- $4 bytes of values at most, not counting the last one
--
-- Cost: a scan of the index of unpublished records, up to the limit. Skipped records are skipped in
-- the index: only rows of the claim are read.
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
    -- The first one always, even if too large.
    select position from measured where bytes_before < $4
))
order by position
