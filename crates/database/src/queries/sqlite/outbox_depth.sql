-- How many records are not published, and when the first of them was written.
--
-- Cost: all of the index `outbox_unpublished`, which is as small as what is left to be sent.
select
    count(*),
    (select written_at from outbox where published_at is null order by position limit 1)
from outbox
where published_at is null
