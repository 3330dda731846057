-- Dead letters that can be taken again: when each came, and which are the oldest.
--
-- Why:   a record whose sender left out the time takes the time at which it came, and must take the
--        same one again. And what was refused long ago is removed in the end, oldest first.
-- Step:  expand. A running version that does not know the column leaves it null.
-- Locks: writes to dead_letters wait while the index is made of the letters that there are. No row
--        is rewritten.
-- Undo:  drop the column and the index. Letters that are replayed later and have no time of their
--        own then take that of their refusal.

alter table dead_letters add column received_at timestamptz;

create index dead_letters_by_age on dead_letters (at);

comment on column dead_letters.received_at is
    'When the record came, or when the broker took it. Null in letters of an older program: '
    'then `at`, which is hardly later.';
comment on column dead_letters.code is
    'Why it was last refused, as a name.';
comment on column dead_letters.detail is
    'Why it was last refused, as a sentence.';
comment on column dead_letters.at is
    'When it was last refused.';
