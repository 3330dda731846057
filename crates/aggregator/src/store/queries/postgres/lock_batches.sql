-- Waits for the locks of some batches and holds them until the transaction ends.
--
-- $1 lock keys, ascending
--
-- A statement of its own: in READ COMMITTED each statement has its own snapshot, taken at its
-- start. Rows read by this one could be older than the lock it had to wait for.
-- unnest keeps the order of the array, so everybody takes locks in ascending order and no two
-- can wait for each other.
select pg_advisory_xact_lock(lock_key) from unnest($1::bigint[]) as lock_key
