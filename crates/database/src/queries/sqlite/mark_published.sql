-- Marks records as published. The caller holds the claim.
--
-- ?1 positions, as JSON   ?2 time
update outbox
set published_at = ?2
where position in (select value from json_each(?1))
