-- Removes records that were published before a time, the oldest first.
--
-- $1 time   $2 records at most
--
-- Cost: the records that it removes.
delete from outbox
where position = any (array (
    select position
    from outbox
    where published_at < $1
    order by published_at
    limit $2
))
