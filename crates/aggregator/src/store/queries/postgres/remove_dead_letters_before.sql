-- Removes letters that were last refused before a time, the oldest first. Of several processes that
-- do this at once none waits for another: each takes others.
--
-- $1 before this time  $2 at most so many
delete from dead_letters
where id = any (array (
    select id from dead_letters where at < $1 order by at, id limit $2 for update skip locked
))
