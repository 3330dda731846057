-- Deletes one chunk of the dead letters last refused before a time, the oldest first. Concurrent
-- purges do not wait for each other: each takes others.
--
-- $1, $2 refused after this time, or at this time with a greater id  $3 before this time
-- $4 limit
--
-- Returns the number of deleted dead letters, and time, in microseconds since the Unix epoch, and
-- id of the last one, where the next chunk starts: it does not scan again what this one deleted. No
-- row at the end.
with expired as (
    select at, id
    from dead_letters
    where (at, id) > ($1, $2) and at < $3
    order by at, id
    limit $4
    for update skip locked
),
purged as (
    delete from dead_letters where id = any (array (select id from expired)) returning 1
)
select (select count(*) from purged), (extract(epoch from at) * 1000000)::bigint, id
from expired
order by at desc, id desc
limit 1
