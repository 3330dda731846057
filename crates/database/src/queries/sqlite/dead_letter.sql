-- One dead letter with its bytes.
--
-- ?1 id
select
    id, source, topic, partition, "offset", length(bytes), coalesce(received_at, at), code, detail, at,
    key, headers, bytes
from dead_letters
where id = ?1
