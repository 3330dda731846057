-- Whether this server follows another one.
select pg_is_in_recovery()
