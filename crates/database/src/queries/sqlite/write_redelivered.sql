-- Remembers where else events are that were applied before.
--
-- ?1 events, a JSON array of {id, places}
update inbox set places = json_patch(inbox.places, again.places)
from (
    select unhex(value ->> 'id', '-') as event_id, value -> 'places' as places
    from json_each(?1)
) as again
where inbox.event_id = again.event_id
