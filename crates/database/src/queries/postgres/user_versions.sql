-- Versions of the lists of some users. A user without a row has version 0.
--
-- $1 user ids
select user_id, version from user_versions where user_id = any ($1)
