-- Raises the versions of the users whose lists show these batches, each by one.
--
-- ?1 batch ids, a JSON array
insert into user_versions (user_id, version)
select distinct user_id, 1
from batches
where batch_id in (select value from json_each(?1))
  and user_id is not null
on conflict (user_id) do update set version = user_versions.version + 1
returning user_id, version
