-- Those of the events of some records that the database has: applied, or kept as dead letters.
--
-- ?1 records, a JSON array of [event id, fingerprint]
with asked as materialized (
    -- The hyphens of its text are no part of a uuid.
    select unhex(value ->> 0, '-') as event_id, value ->> 1 as fingerprint
    from json_each(?1)
)
select event_id
from asked
where exists (select 1 from inbox where inbox.event_id = asked.event_id)
   or exists (select 1 from dead_letters where dead_letters.fingerprint = asked.fingerprint)
