-- Versions of the lists of some users. A user without a row has version 0.
--
-- ?1 user ids, a JSON array
select user_id, version from user_versions where user_id in (select value from json_each(?1))
