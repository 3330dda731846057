-- Those of some fingerprints that belong to a stored dead letter.
--
-- ?1 fingerprints: a JSON array
select fingerprint
from dead_letters
where fingerprint in (select value from json_each(?1))
