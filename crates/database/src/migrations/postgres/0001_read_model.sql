-- The read model: batches, their essays, the inbox of applied events, the dead letters.
--
-- Why:   a client asks for a list of batches, or for one batch. Both are one statement over these
--        rows. What a row means is in its `state` document; every other column is copied out of
--        it, or made of it and its essays, to be looked up, filtered and ordered by.
-- Step:  expand. No running version reads or writes these tables.
-- Locks: none on existing tables.
-- Undo:  drop the four tables. Replayed events bring back all but the dead letters.
--
-- Ids are `collate "C"`: they order by their bytes, as they do in Rust and in SQLite, whatever
-- the locale of the database. There are no foreign keys: facts arrive in any order, an essay's
-- often before its batch's.

create table batches (
    batch_id   text collate "C" not null,
    user_id    text collate "C",
    status     text collate "C",
    created_at timestamptz,
    state      jsonb not null,

    constraint batches_pk primary key (batch_id),
    constraint batches_registered_in_full check (num_nulls(user_id, status, created_at) in (0, 3))
);

-- Serves the list in its order. `status` rides along so that counting and filtering never leave
-- the index.
create index batches_of_user on batches (user_id, created_at desc, batch_id) include (status)
    where user_id is not null;

comment on table batches is
    'One row per batch of which any fact is known. Only registered ones are shown.';
comment on column batches.batch_id is
    'Opaque id, 1 to 255 bytes, ordered by its bytes.';
comment on column batches.user_id is
    'Owner. Copied from state; null until the batch is registered.';
comment on column batches.status is
    'Internal status, made of the batch and all its essays; null until it is registered.';
comment on column batches.created_at is
    'Time of the earliest registration. Copied from state; null until then.';
comment on column batches.state is
    'The batch as the fold made it: a versioned JSON document, the truth of this row.';

create table essays (
    essay_id text collate "C" not null,
    batch_id text collate "C" not null,
    revision bigint not null,
    state    jsonb not null,

    constraint essays_pk primary key (essay_id),
    constraint essays_revision_counts_from_1 check (revision >= 1)
);

create index essays_of_batch on essays (batch_id, essay_id);

comment on table essays is
    'One row per essay of which any fact is known.';
comment on column essays.essay_id is
    'Opaque id, 1 to 255 bytes, ordered by its bytes.';
comment on column essays.batch_id is
    'The batch the essay belongs to now. Copied from state; may change.';
comment on column essays.revision is
    'Counts the writes of this row, from 1. A writer that did not see the last one is refused.';
comment on column essays.state is
    'The essay as the fold made it: a versioned JSON document, the truth of this row.';

create table inbox (
    event_id   uuid not null,
    kind       text not null,
    event_at   timestamptz not null,
    applied_at timestamptz not null,

    constraint inbox_pk primary key (event_id)
);

comment on table inbox is
    'Events whose effect is in the rows. An event found here changes nothing again.';
comment on column inbox.event_id is
    'Id of the event, as its sender gave it or as derived from its bytes.';
comment on column inbox.kind is
    'What kind of event it was.';
comment on column inbox.event_at is
    'When it happened, by its sender''s clock.';
comment on column inbox.applied_at is
    'When it was applied, by the clock of the process that applied it.';

create table dead_letters (
    id          bigint generated always as identity,
    fingerprint text collate "C" not null,
    source      text not null,
    topic       text,
    partition   integer,
    "offset"    bigint,
    key         bytea,
    headers     jsonb not null,
    bytes       bytea not null,
    code        text not null,
    detail      text not null,
    at          timestamptz not null,

    constraint dead_letters_pk primary key (id),
    constraint dead_letters_once unique (fingerprint)
);

comment on table dead_letters is
    'Records that were refused, with all that is needed to look into them or to resend them.';
comment on column dead_letters.id is
    'Order of arrival. Has gaps.';
comment on column dead_letters.fingerprint is
    'Names the record, so that a redelivered one is kept once.';
comment on column dead_letters.source is
    'How it came in: kafka or http.';
comment on column dead_letters.topic is
    'Kafka topic, if it came by one.';
comment on column dead_letters.partition is
    'Kafka partition, if it came by one.';
comment on column dead_letters."offset" is
    'Kafka offset, if it came by one.';
comment on column dead_letters.key is
    'Kafka key, as received.';
comment on column dead_letters.headers is
    'Kafka headers in their order: [[name, value in hexadecimal], ...].';
comment on column dead_letters.bytes is
    'The record, as received.';
comment on column dead_letters.code is
    'Why it was refused, as a name.';
comment on column dead_letters.detail is
    'Why it was refused, as a sentence.';
comment on column dead_letters.at is
    'When it was refused.';
