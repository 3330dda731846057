-- Removes records that were written before a moment, published or not: of the oldest, some.
--
-- ?1 time   ?2 records at most
delete from outbox
where position in (select position from outbox order by position limit ?2)
  and written_at < ?1
