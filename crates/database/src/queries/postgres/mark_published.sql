-- Marks records as published. The caller holds the claim.
--
-- $1 positions   $2 time
update outbox
set published_at = $2
where position = any ($1)
