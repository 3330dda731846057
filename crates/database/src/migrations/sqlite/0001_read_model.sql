-- The read model: batches, their essays, the inbox of applied events, the dead letters.
--
-- Why:   a client asks for a list of batches, or for one batch. Both are one statement over these
--        rows. What a row means is in its `state` document; every other column is copied out of
--        it, or made of it and its essays, to be looked up, filtered and ordered by.
-- Step:  expand. No running version reads or writes these tables.
-- Locks: the whole file, as every write does.
-- Undo:  drop the four tables. Replayed events bring back all but the dead letters.
--
-- Times are integers, microseconds since the Unix epoch, UTC: SQLite has no type for times, and
-- integers compare as times do. Text orders by its bytes, SQLite's default, as it does in Rust.
-- There are no foreign keys: facts arrive in any order, an essay's often before its batch's.

-- One row per batch of which any fact is known. Only registered ones are shown.
create table batches (
    -- Opaque id, 1 to 255 bytes.
    batch_id   text not null primary key,
    -- Owner and time of the earliest registration, copied from state, and the internal status, made
    -- of the batch and all its essays. Null until the batch is registered.
    user_id    text,
    status     text,
    created_at integer,
    -- The batch as the fold made it: a versioned JSON document, the truth of this row.
    state      text not null,

    constraint batches_registered_in_full check (
        (user_id is null) = (status is null) and (user_id is null) = (created_at is null)
    )
) strict;

-- Serves the list in its order. `status` rides along so that counting and filtering never leave
-- the index.
create index batches_of_user on batches (user_id, created_at desc, batch_id, status)
    where user_id is not null;

-- One row per essay of which any fact is known.
create table essays (
    -- Opaque id, 1 to 255 bytes.
    essay_id text not null primary key,
    -- The batch the essay belongs to now. Copied from state; may change.
    batch_id text not null,
    -- Counts the writes of this row, from 1. A writer that did not see the last one is refused.
    revision integer not null,
    -- The essay as the fold made it: a versioned JSON document, the truth of this row.
    state    text not null,

    constraint essays_revision_counts_from_1 check (revision >= 1)
) strict;

create index essays_of_batch on essays (batch_id, essay_id);

-- Events whose effect is in the rows. An event found here changes nothing again.
-- Without rowid: the key is nearly the whole row, so it is kept once, not also in an index.
create table inbox (
    -- Id of the event, as its sender gave it or as derived from its bytes. A blob of 16 bytes:
    -- less than half of its text, in the one table that grows with every event.
    event_id   blob not null primary key,
    -- What kind of event it was.
    kind       text not null,
    -- When it happened, by its sender's clock.
    event_at   integer not null,
    -- When it was applied, by the clock of the process that applied it.
    applied_at integer not null,

    constraint inbox_event_id_is_a_uuid check (length(event_id) = 16)
) strict, without rowid;

-- Records that were refused, with all that is needed to look into them or send them again.
create table dead_letters (
    -- Order of arrival.
    id          integer primary key,
    -- Names the record, so that a redelivered one is kept once.
    fingerprint text not null,
    -- How it came in: kafka or http.
    source      text not null,
    -- Where it was in Kafka, and its key as received, if it came that way.
    topic       text,
    partition   integer,
    "offset"    integer,
    key         blob,
    -- Kafka headers in their order: [[name, value in hexadecimal], ...].
    headers     text not null,
    -- The record, as received.
    bytes       blob not null,
    -- Why it was refused, as a name and as a sentence.
    code        text not null,
    detail      text not null,
    -- When it was refused.
    at          integer not null,

    constraint dead_letters_once unique (fingerprint)
) strict;
