-- Stores a refused record once, however often it is delivered.
--
-- ?1 fingerprint  ?2 source  ?3 topic  ?4 partition  ?5 offset  ?6 key  ?7 headers
-- ?8 bytes  ?9 time of receipt  ?10 code  ?11 detail  ?12 time of refusal
insert into dead_letters
    (fingerprint, source, topic, partition, "offset", key, headers, bytes, received_at, code,
     detail, at)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
on conflict (fingerprint) do nothing
