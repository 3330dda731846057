-- Which of some fingerprints belong to a dead letter that is kept.
--
-- ?1 fingerprints: a JSON array
select fingerprint
from dead_letters
where fingerprint in (select value from json_each(?1))
