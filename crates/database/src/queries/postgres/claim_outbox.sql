-- Takes the lock of the sender until the end of this transaction. False: another process holds it.
--
-- $1 lock key   $2 how long the server keeps the transaction idle while its client sends
--
-- A separate statement: the next one must see what the previous holder has marked, so its snapshot
-- must not be older than the lock. While records are sent, the transaction has only read and has no
-- snapshot: nothing waits for it, and vacuum is not blocked.
select
    pg_try_advisory_xact_lock($1),
    set_config('idle_in_transaction_session_timeout', $2, true)
