-- The cheapest question that makes SQLite look into the file.
select count(*) from sqlite_schema
