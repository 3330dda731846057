-- One dead letter with its bytes. Times come back in microseconds since the Unix epoch.
--
-- $1 id
select
    id, source, topic, partition, "offset", octet_length(bytes)::bigint,
    (extract(epoch from coalesce(received_at, at)) * 1000000)::bigint,
    code, detail, (extract(epoch from at) * 1000000)::bigint,
    key, headers::text, bytes
from dead_letters
where id = $1
