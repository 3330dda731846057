-- The name of the database, and how it encodes texts.
select current_database()::text, current_setting('server_encoding')
