-- One registered batch with its essays: one statement, hence one snapshot.
--
-- $1 batch id
select
    batches.state::text as batch,
    (
        select json_agg(essays.state order by essays.essay_id)::text
        from essays
        where essays.batch_id = batches.batch_id
    ) as essays
from batches
where batches.batch_id = $1
  -- Facts that came before the registration are kept, not shown.
  and batches.user_id is not null
