-- How many dead letters there are, and how many bytes they take.
--
-- Why:   they have a limit in bytes, which is looked at before each is kept, and a gauge. To count them
--        each time would read all of them.
-- Step:  expand. Triggers keep the sums, so those of a running version that does not know them are
--        right too.
-- Locks: writes to dead_letters wait while the letters that there are are counted.
-- Undo:  drop the triggers, their functions, and the table.

create table dead_letter_usage (
    -- There is one row.
    singleton boolean primary key default true check (singleton),
    letters   bigint not null,
    bytes     bigint not null
);

comment on table dead_letter_usage is
    'Number and bytes of dead_letters: record, key and headers. Kept by triggers.';
comment on column dead_letter_usage.singleton is
    'True: there is one row.';
comment on column dead_letter_usage.letters is
    'How many dead letters there are.';
comment on column dead_letter_usage.bytes is
    'How many bytes they have together.';

create function dead_letters_kept() returns trigger language plpgsql as $$
begin
    update dead_letter_usage
    set letters = dead_letter_usage.letters + added.letters,
        bytes = dead_letter_usage.bytes + added.bytes
    from (
        select
            count(*) as letters,
            coalesce(sum(octet_length(bytes) + coalesce(octet_length(key), 0)
                + octet_length(headers::text)), 0)::bigint as bytes
        from changed
    ) as added
    where added.letters > 0;
    return null;
end
$$;

create function dead_letters_removed() returns trigger language plpgsql as $$
begin
    update dead_letter_usage
    set letters = dead_letter_usage.letters - gone.letters,
        bytes = dead_letter_usage.bytes - gone.bytes
    from (
        select
            count(*) as letters,
            coalesce(sum(octet_length(bytes) + coalesce(octet_length(key), 0)
                + octet_length(headers::text)), 0)::bigint as bytes
        from changed
    ) as gone
    where gone.letters > 0;
    return null;
end
$$;

create trigger dead_letters_kept after insert on dead_letters
    referencing new table as changed
    for each statement execute function dead_letters_kept();

create trigger dead_letters_removed after delete on dead_letters
    referencing old table as changed
    for each statement execute function dead_letters_removed();

insert into dead_letter_usage (letters, bytes)
select
    count(*),
    coalesce(sum(octet_length(bytes) + coalesce(octet_length(key), 0)
        + octet_length(headers::text)), 0)
from dead_letters;
