-- Adds applied events. Fewer rows written than sent: one of them was applied already.
--
-- ?1 events, a JSON array of {id, kind, at, applied_at, places}
insert into inbox (event_id, kind, event_at, applied_at, places)
select
    -- The hyphens of its text are no part of a uuid.
    unhex(value ->> 'id', '-'), value ->> 'kind', value ->> 'at', value ->> 'applied_at',
    value -> 'places'
from json_each(?1)
-- Without a `where`, SQLite would read the `on` of `on conflict` as that of a join.
where true
on conflict (event_id) do nothing
