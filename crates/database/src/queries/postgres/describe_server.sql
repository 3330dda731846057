-- Version of the server, as text and as a number: 150008 is 15.8.
select current_setting('server_version'), current_setting('server_version_num')::int4
