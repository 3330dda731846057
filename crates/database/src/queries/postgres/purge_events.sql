-- Forgets events of one stretch of the inbox, of those the ones that nobody can deliver again.
--
-- $1, $2 applied after this time, and beyond this id   $3 applied before this time   $4 rows looked at
-- $5 topics   $6 partitions   $7 offsets where these begin now
--
-- Gives the number forgotten, and the last row looked at: where the next stretch begins. Nothing
-- at the end.
with looked_at as (
    select event_id, applied_at
    from inbox
    where (applied_at, event_id) > ($1, $2) and applied_at < $3
    order by applied_at, event_id
    limit $4
),
purged as (
    delete from inbox
    where event_id = any (array (select event_id from looked_at))
      -- The row itself is asked, not a copy of it: a place may have been added since.
      -- Null: nobody noted where it is, so it may be anywhere.
      and inbox.places is not null
      -- Every place that had it is gone: a partition of which nothing is known is not.
      and not exists (
          select from jsonb_each_text(inbox.places) as place (partition, "offset")
          where not exists (
              select from unnest($5::text[], $6::text[], $7::bigint[])
                  as log (topic, partition, start)
              where log.topic = inbox.kind
                and log.partition = place.partition
                and place."offset"::bigint < log.start
          )
      )
    returning 1
)
select (select count(*) from purged), (extract(epoch from applied_at) * 1000000)::bigint, event_id
from looked_at
order by looked_at.applied_at desc, event_id desc
limit 1
