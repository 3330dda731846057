-- The outbox: what is to be told to others, written in the transaction that brought it about.
--
-- Why:   an announcement and the change it is about happen both or not at all. Sending comes later
--        and as often as it must; the row is fixed, so whoever gets it twice can tell.
-- Step:  expand. No running version reads or writes this table.
-- Locks: the whole file, as every write does.
-- Undo:  drop the table, once nothing in it is unpublished. Replayed events do not bring it back.

-- Announcements: to be sent, or sent lately.
create table outbox (
    -- Ascends in the order in which transactions commit, and is never used again, not even that of
    -- the last row once it is gone: readers remember how far they have read.
    position       integer primary key autoincrement,
    -- Id of the announcement, the same whoever finds it due. A blob of 16 bytes.
    event_id       blob not null,
    -- Kafka topic, which is also its kind, and key: records of one key are sent in the order of
    -- their positions.
    topic          text not null,
    key            text not null,
    -- The batch that it is about.
    batch_id       text not null,
    -- Of the event that caused it. A blob of 16 bytes.
    correlation_id blob not null,
    -- The record: one envelope as UTF-8 JSON, byte for byte as it is sent.
    value          blob not null,
    -- When it was written, by the clock of the process that wrote it.
    written_at     integer not null,
    -- When the broker had acknowledged it; null until then.
    published_at   integer,

    constraint outbox_once unique (event_id),
    constraint outbox_ids_are_uuids check (length(event_id) = 16 and length(correlation_id) = 16)
) strict;

-- What is left to be sent, in order: as small as that is.
create index outbox_unpublished on outbox (position) where published_at is null;
