-- Removes what probe_write.sql wrote.
drop table if exists write_probe;
