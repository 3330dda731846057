-- The cheapest statement that makes SQLite read the file.
select count(*) from sqlite_schema
