-- Those of the events of some records that the database has: applied, or kept as dead letters.
--
-- $1 event ids   $2 fingerprints of the records, one for each event
select event_id
from inbox
where event_id = any ($1)
union
select asked.event_id
from unnest($1::uuid[], $2::text[]) as asked (event_id, fingerprint)
where asked.fingerprint in (select fingerprint from dead_letters where fingerprint = any ($2))
