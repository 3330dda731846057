-- Removes one chunk of the letters that were last refused before a time, the oldest first. Of several
-- processes that do this at once none waits for another: each takes others.
--
-- $1, $2 refused after this time, or at this time and beyond this id  $3 before this time
-- $4 at most so many
--
-- Gives the number removed, and time, in microseconds since the Unix epoch, and id of the last one:
-- where the next chunk begins, so that it does not walk again over what this one removed. Nothing at
-- the end.
with old as (
    select at, id
    from dead_letters
    where (at, id) > ($1, $2) and at < $3
    order by at, id
    limit $4
    for update skip locked
),
removed as (
    delete from dead_letters where id = any (array (select id from old)) returning 1
)
select (select count(*) from removed), (extract(epoch from at) * 1000000)::bigint, id
from old
order by at desc, id desc
limit 1
