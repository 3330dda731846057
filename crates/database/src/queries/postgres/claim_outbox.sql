-- Takes the right to send, for as long as this transaction lives. False: somebody else has it.
--
-- $1 lock key   $2 how long the server keeps the transaction while its client is busy sending
--
-- A statement of its own: the next one must see what the holder before has marked, so its snapshot
-- must not be older than the lock. While it sends, the transaction has read only, and has no
-- snapshot: nobody waits for it, and vacuum is not held up.
select
    pg_try_advisory_xact_lock($1),
    set_config('idle_in_transaction_session_timeout', $2, true)
