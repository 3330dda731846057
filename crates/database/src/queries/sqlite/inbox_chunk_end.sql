-- The last row of one chunk of the inbox. No row at the end.
--
-- ?1, ?2 applied after this time, or at this time with a greater id   ?3 applied before this time
-- ?4 rows
select applied_at, event_id
from (
    select applied_at, event_id
    from inbox
    where (applied_at, event_id) > (?1, ?2) and applied_at < ?3
    order by applied_at, event_id
    limit ?4
)
order by applied_at desc, event_id desc
limit 1
