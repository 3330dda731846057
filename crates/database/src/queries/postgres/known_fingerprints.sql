-- Those of some fingerprints that belong to a stored dead letter.
--
-- $1 fingerprints
select fingerprint
from dead_letters
where fingerprint = any ($1)
