-- Batches whose essays are counted in their rows, and the ids of these essays beside them.
--
-- Why:   an event loads the essays that it names, and no others of its batch: what the batch answers
--        is counted in its document. The ids that its registrations list are written only with a
--        registration, not with each result of one essay.
-- Step:  expand. A batch that was written before has no count; the next event about it counts all its
--        essays, once.
-- Locks: the whole file, for a moment.
-- Undo:  none, but to replay all events into an empty database.

-- The ids that its registrations list, a JSON array. Null until it is registered, or while an older
-- row has them in state.
alter table batches add column essay_ids text;

-- Whether its essays are counted in state. If not, all of them have to be read.
alter table batches add column has_tally integer not null default 0;
