-- Writes a quarter of a megabyte, to see whether the disk takes it. Committed by itself: only a commit
-- writes to the disk.
create table if not exists write_probe (bytes blob not null);
insert into write_probe values (zeroblob(262144));
