-- Removes records that were published before a moment: of the oldest published ones, some.
--
-- ?1 time   ?2 records at most
--
-- The limit is on what is looked at, not on what is found, so that a look when there is nothing to
-- remove does not read all that is kept. Positions and times of publishing ascend together but for
-- records that had to be tried for long, and those hold up no more than a place each.
delete from outbox
where position in (
        select position
        from outbox
        where published_at is not null
        order by position
        limit ?2
    )
  and published_at < ?1
