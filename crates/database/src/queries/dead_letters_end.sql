-- The first letter behind those that one list looks at. Nothing if it looks at all of them.
--
-- $1 after this id  $2 letters looked at
select id from dead_letters where id > $1 order by id limit 1 offset $2
