-- Deletes one chunk of dead letters.
--
-- ?1, ?2 refused after this time, or at this time with a greater id  ?3, ?4 up to this time and id
delete from dead_letters
where (at, id) > (?1, ?2) and (at, id) <= (?3, ?4)
