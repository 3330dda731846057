-- The outbox: what is to be told to others, written in the transaction that brought it about.
--
-- Why:   an announcement and the change it is about happen both or not at all. Sending comes later
--        and as often as it must; the row is fixed, so whoever gets it twice can tell.
-- Step:  expand. No running version reads or writes this table.
-- Locks: none on existing tables.
-- Undo:  drop the table, once nothing in it is unpublished. Replayed events do not bring it back.

create table outbox (
    position       bigint generated always as identity,
    event_id       uuid not null,
    topic          text not null,
    key            text not null,
    batch_id       text collate "C" not null,
    correlation_id uuid not null,
    value          bytea not null,
    written_at     timestamptz not null,
    published_at   timestamptz,

    constraint outbox_pk primary key (position),
    constraint outbox_once unique (event_id)
);

-- What is left to be sent, in order: as small as that is.
create index outbox_unpublished on outbox (position) where published_at is null;

comment on table outbox is
    'Announcements: to be sent, or sent lately.';
comment on column outbox.position is
    'Ascends in the order in which transactions commit. Has gaps.';
comment on column outbox.event_id is
    'Id of the announcement, the same whoever finds it due.';
comment on column outbox.topic is
    'Kafka topic, which is also its kind.';
comment on column outbox.key is
    'Kafka key. Records of one key are sent in the order of their positions.';
comment on column outbox.batch_id is
    'The batch that it is about.';
comment on column outbox.correlation_id is
    'Of the event that caused it.';
comment on column outbox.value is
    'The record: one envelope as UTF-8 JSON, byte for byte as it is sent.';
comment on column outbox.written_at is
    'When it was written, by the clock of the process that wrote it.';
comment on column outbox.published_at is
    'When the broker had acknowledged it, by the clock of the process that sent it; null until then.';
