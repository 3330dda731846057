-- The inbox: where in Kafka each event is, so that it is forgotten only once it is not there.
--
-- Why:   an event that is forgotten while Kafka can still deliver it would have its effect again.
--        How long Kafka keeps a record follows from no clock; where its partitions begin, it says.
-- Step:  expand. What a version writes that does not know the column is never forgotten.
-- Locks: the inbox, for a moment: there is no default. The index is built while nothing can be
--        written to the inbox, about a second for a million events.
-- Undo:  drop the column and the index, with no version running that forgets events.

alter table inbox add column places jsonb;

-- What is forgotten is looked for from the oldest on.
create index inbox_by_age on inbox (applied_at, event_id);

comment on column inbox.places is
    'Where the topic of its kind has it: {partition: largest offset}; {}: not from Kafka; null: unknown.';
