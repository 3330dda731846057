-- Keeps a refused record once, however often it is delivered.
--
-- ?1 fingerprint  ?2 source  ?3 topic  ?4 partition  ?5 offset  ?6 key  ?7 headers
-- ?8 bytes  ?9 code  ?10 detail  ?11 time
insert into dead_letters
    (fingerprint, source, topic, partition, "offset", key, headers, bytes, code, detail, at)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
on conflict (fingerprint) do nothing
