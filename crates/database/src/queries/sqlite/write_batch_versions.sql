-- Raises the versions of batches of which only essays were written: what they show changes too.
--
-- ?1 batch ids, a JSON array
update batches set version = version + 1
where batch_id in (select value from json_each(?1))
