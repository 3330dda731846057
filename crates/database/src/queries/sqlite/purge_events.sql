-- Forgets events of one stretch of the inbox, of those the ones that nobody can deliver again.
--
-- ?1, ?2 applied after this time, and beyond this id   ?3, ?4 up to this time and id
-- ?5 where logs begin, a JSON array of {topic, partition, start}
delete from inbox
where (applied_at, event_id) > (?1, ?2) and (applied_at, event_id) <= (?3, ?4)
  -- Null: nobody noted where it is, so it may be anywhere.
  and places is not null
  -- Every place that had it is gone: a partition of which nothing is known is not.
  and not exists (
      select 1
      from json_each(inbox.places) as place
      where not exists (
          select 1
          from json_each(?5) as log
          where log.value ->> 'topic' = inbox.kind
            and log.value ->> 'partition' = cast(place.key as integer)
            and place.value < log.value ->> 'start'
      )
  )
