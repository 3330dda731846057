-- Number of unpublished records, and when the oldest of them was written.
--
-- Cost: a scan of the index `outbox_unpublished`, which has the unpublished records only.
select
    count(*),
    (
        select (extract(epoch from written_at) * 1000000)::bigint
        from outbox
        where published_at is null
        order by position
        limit 1
    )
from outbox
where published_at is null
