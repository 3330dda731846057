-- The outbox: what waits and what was published are looked through in indexes alone.
--
-- Why:   a topic that is missing for long leaves any number of announcements behind, which every
--        claim passes over to find what can be sent: topic and key are told without reading them.
--        And what was published long ago is found without looking at what was not.
-- Step:  expand. The new index serves a running version as the old one of the same name did.
-- Locks: the whole file, as every write does, while the indexes are built.
-- Undo:  drop the second index, and make the first one of `position` alone again.

drop index outbox_unpublished;

-- What is left to be sent, in order, and what may be left out: as small as that is. `published_at`,
-- always null here, rides along: without it SQLite reads each row to see that.
create index outbox_unpublished on outbox (position, topic, key, published_at)
    where published_at is null;

-- What is removed is looked for from the oldest on.
create index outbox_published on outbox (published_at) where published_at is not null;
