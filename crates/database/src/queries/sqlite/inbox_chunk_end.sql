-- The last row of one stretch of the inbox. Nothing at the end.
--
-- ?1, ?2 applied after this time, and beyond this id   ?3 applied before this time   ?4 rows
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
