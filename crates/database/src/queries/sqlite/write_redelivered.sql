-- Adds offsets to events that were applied before and delivered again.
--
-- ?1 events, a JSON array of {id, places}
update inbox set places = json_patch(inbox.places, added.places)
from (
    select unhex(value ->> 'id', '-') as event_id, value -> 'places' as places
    from json_each(?1)
) as added
where inbox.event_id = added.event_id
