-- The time on the machine of the database.
select clock_timestamp()
