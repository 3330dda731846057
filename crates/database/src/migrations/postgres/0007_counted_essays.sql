-- Batches whose essays are counted in their rows, and the ids of these essays beside them.
--
-- Why:   an event loads the essays that it names, and no others of its batch: what the batch answers
--        is counted in its document. The ids that its registrations list are written only with a
--        registration, not with each result of one essay.
--        And the documents of essays, most of what a list reads, are kept as they are sent: `jsonb` is
--        turned into text for each read.
-- Step:  expand. A batch that was written before has no count; the next event about it counts all its
--        essays, once. A running version that does not know the count refuses the documents that
--        have it, and must be replaced.
-- Locks: batches for a moment; essays while the table is rewritten, some seconds for a million.
-- Undo:  none, but to replay all events into an empty database.

alter table batches
    add column essay_ids jsonb,
    add column has_tally boolean not null default false;

alter table essays alter column state type json using state::text::json;

comment on column batches.essay_ids is
    'The ids that its registrations list. Null until it is registered, or while an older row has them in state.';
comment on column batches.has_tally is
    'Whether its essays are counted in state. If not, all of them have to be read.';
