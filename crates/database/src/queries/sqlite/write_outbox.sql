-- Writes an outgoing event once, however often it is written.
--
-- ?1 id   ?2 topic   ?3 key   ?4 batch id   ?5 correlation id   ?6 value   ?7 time
insert into outbox (event_id, topic, key, batch_id, correlation_id, value, written_at)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
on conflict (event_id) do nothing
