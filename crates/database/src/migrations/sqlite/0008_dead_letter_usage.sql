-- How many dead letters there are, and how many bytes they take.
--
-- Why:   they have a limit in bytes, which is looked at before each is kept, and a gauge. To count them
--        each time would read all of them.
-- Step:  expand. Triggers keep the sums, so those of a running version that does not know them are
--        right too.
-- Locks: the whole file, as every write does, while the letters that there are are counted.
-- Undo:  drop the triggers and the table.

create table dead_letter_usage (
    -- There is one row.
    singleton integer primary key check (singleton = 1),
    letters   integer not null,
    -- Of record, key and headers.
    bytes     integer not null
) strict;

insert into dead_letter_usage (singleton, letters, bytes)
select
    1,
    count(*),
    coalesce(sum(length(bytes) + coalesce(length(key), 0) + length(cast(headers as blob))), 0)
from dead_letters;

create trigger dead_letters_kept after insert on dead_letters begin
    update dead_letter_usage
    set letters = letters + 1,
        bytes = bytes + length(new.bytes) + coalesce(length(new.key), 0)
            + length(cast(new.headers as blob));
end;

create trigger dead_letters_removed after delete on dead_letters begin
    update dead_letter_usage
    set letters = letters - 1,
        bytes = bytes - length(old.bytes) - coalesce(length(old.key), 0)
            - length(cast(old.headers as blob));
end;
