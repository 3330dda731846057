-- Writes a quarter of a megabyte, to check that the disk accepts writes. In its own transaction:
-- only a commit writes to the disk.
create table if not exists write_probe (bytes blob not null);
insert into write_probe values (zeroblob(262144));
