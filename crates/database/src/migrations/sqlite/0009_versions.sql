-- Versions: how often what a list or a batch shows was changed.
--
-- Why:   a client that knows of a change names its version and never gets an older answer; and hears
--        of changes by their versions.
-- Step:  expand. What a running version that does not know them writes raises none, so versions are
--        right once all processes are of this build. Each version of a row from before is 0.
-- Locks: the whole file, for a moment.
-- Undo:  drop the table and the column. Clients that name a version are then told that it does not
--        exist.

-- One row per user whose list was ever changed.
create table user_versions (
    user_id text not null primary key,
    -- Number of commits that changed what the lists of the user show.
    version integer not null check (version >= 1)
) strict, without rowid;

-- Number of commits that changed what the batch shows: its row, or an essay of it.
alter table batches add column version integer not null default 0;
