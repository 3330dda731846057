-- The last dead letter of one chunk of those last refused before a time. No row at the end.
--
-- ?1, ?2 refused after this time, or at this time with a greater id
-- ?3 before this time  ?4 limit
select at, id
from (
    select at, id
    from dead_letters
    where (at, id) > (?1, ?2) and at < ?3
    order by at, id
    limit ?4
)
order by at desc, id desc
limit 1
