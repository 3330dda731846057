-- One registered batch with its version and its essays: one statement, hence one snapshot.
--
-- ?1 batch id
--
-- Rows are of two kinds: batch, which there is one of or none, and essay.
with shown as materialized (
    select batch_id, state, version
    from batches
    where batch_id = ?1
      -- Facts before the registration are stored, not shown.
      and user_id is not null
)
select 'batch' as kind, state, version from shown
union all
select 'essay', essays.state, null
from shown
cross join essays on essays.batch_id = shown.batch_id
