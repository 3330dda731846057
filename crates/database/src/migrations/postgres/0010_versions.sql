-- Versions: how often what a list or a batch shows was changed.
--
-- Why:   a client that knows of a change names its version and never gets an older answer; and hears
--        of changes by their versions.
-- Step:  expand. What a running version that does not know them writes raises none, so versions are
--        right once all processes are of this build. Each version of a row from before is 0.
-- Locks: batches for a moment.
-- Undo:  drop the table and the column. Clients that name a version are then told that it does not
--        exist.

create table user_versions (
    user_id text collate "C" not null,
    version bigint not null,

    constraint user_versions_pk primary key (user_id),
    constraint user_versions_count_from_1 check (version >= 1)
)
-- A row is updated with each change: its page has room for that.
with (fillfactor = 50);

comment on table user_versions is
    'One row per user whose list was ever changed.';
comment on column user_versions.user_id is
    'Opaque id, 1 to 255 bytes, ordered by its bytes.';
comment on column user_versions.version is
    'Number of commits that changed what the lists of the user show.';

alter table batches add column version bigint not null default 0;

comment on column batches.version is
    'Number of commits that changed what the batch shows: its row, or an essay of it.';
