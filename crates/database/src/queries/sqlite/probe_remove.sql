-- Removes what probe_write.sql wrote, once or several times.
drop table if exists write_probe;
