-- Stores refused records, each once, however often it is delivered.
--
-- $1 fingerprints  $2 sources  $3 topics  $4 partitions  $5 offsets  $6 keys  $7 headers
-- $8 bytes  $9 times of receipt  $10 codes  $11 details  $12 times of refusal
insert into dead_letters
    (fingerprint, source, topic, partition, "offset", key, headers, bytes, received_at, code,
     detail, at)
select *
from unnest(
    $1::text[], $2::text[], $3::text[], $4::integer[], $5::bigint[], $6::bytea[], $7::jsonb[],
    $8::bytea[], $9::timestamptz[], $10::text[], $11::text[], $12::timestamptz[]
)
on conflict (fingerprint) do nothing
