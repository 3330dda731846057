-- Removes a letter, unless it was refused again since it was seen.
--
-- $1 id  $2 when it was refused (null: whenever)
delete from dead_letters
where id = $1 and ($2::timestamptz is null or at = $2)
