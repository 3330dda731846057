-- One registered batch with its essays: one statement, hence one snapshot.
--
-- ?1 batch id
select
    batches.state as batch,
    -- Concatenated and not json_group_array: the documents are JSON already, parsing them here
    -- only to print them again would double the work.
    (
        select '[' || group_concat(essays.state, ',' order by essays.essay_id) || ']'
        from essays
        where essays.batch_id = batches.batch_id
    ) as essays
from batches
where batches.batch_id = ?1
  -- Facts that came before the registration are kept, not shown.
  and batches.user_id is not null
