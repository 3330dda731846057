-- Removes records that were published before a moment: of those, the oldest.
--
-- $1 time   $2 records at most
--
-- Cost: as many records as it removes.
delete from outbox
where position = any (array (
    select position
    from outbox
    where published_at < $1
    order by published_at
    limit $2
))
