-- Prepares a connection; returns whether its server is a standby.
--
-- $1 statement timeout   $2 lock timeout   $3 idle in transaction timeout, each in milliseconds
--
-- A commit waits for the disk, whatever the server's default: an event is acknowledged after it.
-- Stronger settings, which wait for standbys too, are not changed.
--
-- The server sends no notices: the driver would log one with each start on an existing schema.
--
-- Every statement has its index. A prepared statement keeps a plan made for a small table until the
-- table is analysed, long after it has grown. So statements look up each row by itself, and
-- sequential scans, the best plan for a few blocks and the worst later, are off. So are bitmap
-- scans, which read all matches of an index before the first row, where a limit needs only a few;
-- and JIT compilation, which costs more than the longest of these statements. One generic plan
-- serves all values: planning for each finds no better one and costs a good part of a short read.
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
