-- Which of some fingerprints belong to a dead letter that is kept.
--
-- $1 fingerprints
select fingerprint
from dead_letters
where fingerprint = any ($1)
