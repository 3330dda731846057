-- Deletes those events of one chunk of the inbox that cannot be delivered again.
--
-- ?1, ?2 applied after this time, or at this time with a greater id   ?3, ?4 up to this time and id
-- ?5 log start offsets, a JSON array of {topic, partition, start}
delete from inbox
where (applied_at, event_id) > (?1, ?2) and (applied_at, event_id) <= (?3, ?4)
  -- Null: its offsets are not recorded, so it may be in any partition.
  and places is not null
  -- All its offsets are before the log starts. Of an unknown partition, nothing is purged.
  and not exists (
      select 1
      from json_each(inbox.places) as recorded
      where not exists (
          select 1
          from json_each(?5) as log
          where log.value ->> 'topic' = inbox.kind
            and log.value ->> 'partition' = cast(recorded.key as integer)
            and recorded.value < log.value ->> 'start'
      )
  )
