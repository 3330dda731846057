-- Dead letters that can be taken again: when each came, ids that stay, and which are the oldest.
--
-- Why:   a record whose sender left out the time takes the time at which it came, and must take the
--        same one again. An id that somebody has written down must not name another letter later;
--        without `autoincrement` the last one is given again once it is free. The record is the last
--        column now: SQLite walks through all pages of a large value to reach what stands behind it.
-- Step:  expand. An older program leaves received_at null.
-- Locks: the whole file, as every write does, while the letters are copied.
-- Undo:  none needed.

create table dead_letters_new (
    -- Order of arrival. Never given again.
    id          integer primary key autoincrement,
    -- Names the record, so that a redelivered one is kept once.
    fingerprint text not null,
    -- How it came in: kafka or http.
    source      text not null,
    -- Where it was in Kafka, and its key as received, if it came that way.
    topic       text,
    partition   integer,
    "offset"    integer,
    -- When the record came, or when the broker took it. Null in letters of an older program: then
    -- `at`, which is hardly later.
    received_at integer,
    -- Why it was last refused, as a name and as a sentence, and when.
    code        text not null,
    detail      text not null,
    at          integer not null,
    key         blob,
    -- Kafka headers in their order: [[name, value in hexadecimal], ...].
    headers     text not null,
    -- The record, as received.
    bytes       blob not null,

    constraint dead_letters_once unique (fingerprint)
) strict;

insert into dead_letters_new
    (id, fingerprint, source, topic, partition, "offset", code, detail, at, key, headers, bytes)
select id, fingerprint, source, topic, partition, "offset", code, detail, at, key, headers, bytes
from dead_letters
order by id;

drop table dead_letters;

alter table dead_letters_new rename to dead_letters;

create index dead_letters_by_age on dead_letters (at);
