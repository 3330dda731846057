-- The first dead letter that a page does not scan. No row if it scans all of them.
--
-- $1 after this id  $2 dead letters to scan
select id from dead_letters where id > $1 order by id limit 1 offset $2
