-- The user of one registered batch; no row if it is not registered. Reads no document.
--
-- $1 batch id
select user_id from batches where batch_id = $1 and user_id is not null limit 1
