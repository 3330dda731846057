-- Whether this server follows another one.
--
-- Besides, a commit is to wait for the disk, whatever the server's default: an event is acknowledged
-- after it. Stronger settings, which wait for standbys too, are left as they are.
select
    pg_is_in_recovery(),
    set_config(
        'synchronous_commit',
        case current_setting('synchronous_commit')
            when 'off' then 'on'
            else current_setting('synchronous_commit')
        end,
        false
    )
