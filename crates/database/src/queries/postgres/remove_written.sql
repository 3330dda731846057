-- Removes records that were written before a time, published or not, the oldest first.
--
-- $1 time   $2 records at most
delete from outbox
where position = any (array (select position from outbox order by position limit $2))
  and written_at < $1
