-- Name and encoding of the database.
select current_database()::text, current_setting('server_encoding')
