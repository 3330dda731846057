-- Prepares a connection, and says whether its server follows another one.
--
-- $1 statement timeout   $2 lock timeout   $3 idle in transaction timeout, each in milliseconds
--
-- A commit is to wait for the disk, whatever the server's default: an event is acknowledged after it.
-- Stronger settings, which wait for standbys too, are left as they are.
--
-- Notices are not sent: the driver logs them, one with each start on a schema that exists already.
--
-- Every statement has its index. A plan that was made for a small table, or from statistics of one,
-- is used long after the table has grown: a prepared statement keeps it until the table is analysed.
-- So the statements are written such that each row is looked up by itself, and a sequential scan,
-- the best plan for a few blocks and the worst ever after, is no choice. Nor is a bitmap scan, which
-- reads all that an index finds before it gives the first row, where a limit needs only a few; nor
-- compiling, which costs more than the longest of these statements, and which a wrong guess can set
-- off. One plan serves all values: to plan anew for each, as the server may choose to, finds no better
-- one and takes a good part of a short read.
select
    pg_is_in_recovery() as is_standby,
    set_config('statement_timeout', $1, false),
    set_config('lock_timeout', $2, false),
    set_config('idle_in_transaction_session_timeout', $3, false),
    set_config('client_min_messages', 'warning', false),
    set_config('enable_seqscan', 'off', false),
    set_config('enable_bitmapscan', 'off', false),
    set_config('jit', 'off', false),
    set_config('plan_cache_mode', 'force_generic_plan', false),
    set_config(
        'synchronous_commit',
        case current_setting('synchronous_commit')
            when 'off' then 'on'
            else current_setting('synchronous_commit')
        end,
        false
    )
