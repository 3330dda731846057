-- The time on the database server.
select clock_timestamp()
