-- Deletes those events of one chunk of the inbox that cannot be delivered again.
--
-- $1, $2 applied after this time, or at this time with a greater id   $3 applied before this time
-- $4 rows to scan
-- $5 topics   $6 partitions   $7 log start offsets
--
-- Returns the number of deleted events, and time, in microseconds since the Unix epoch, and id of
-- the last scanned row, where the next chunk starts. No row at the end of the inbox.
with chunk as (
    select event_id, applied_at
    from inbox
    where (applied_at, event_id) > ($1, $2) and applied_at < $3
    order by applied_at, event_id
    limit $4
),
purged as (
    delete from inbox
    where event_id = any (array (select event_id from chunk))
      -- Reads the row itself, not a copy: an offset may have been added since. Null: its offsets
      -- are not recorded, so it may be in any partition.
      and inbox.places is not null
      -- All its offsets are before the log starts. Of an unknown partition, nothing is purged.
      and not exists (
          select from jsonb_each_text(inbox.places) as recorded (partition, "offset")
          where not exists (
              select from unnest($5::text[], $6::text[], $7::bigint[])
                  as log (topic, partition, start)
              where log.topic = inbox.kind
                and log.partition = recorded.partition
                and recorded."offset"::bigint < log.start
          )
      )
    returning 1
)
select (select count(*) from purged), (extract(epoch from applied_at) * 1000000)::bigint, event_id
from chunk
order by chunk.applied_at desc, event_id desc
limit 1
