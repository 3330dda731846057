-- The newest dead letters, counted by how they came in and why they were last refused; the largest
-- group first. The last column is the latest refusal, in microseconds since the Unix epoch.
--
-- ?1 dead letters to count, at most: the cost
select source, topic, code, count(*), max(at)
from (select source, topic, code, at from dead_letters order by id desc limit ?1) as newest
group by source, topic, code
order by count(*) desc, code, topic, source
