-- Deletes a dead letter, unless it was refused again since it was read.
--
-- ?1 id  ?2 time of refusal (null: any)
delete from dead_letters
where id = ?1 and (?2 is null or at = ?2)
