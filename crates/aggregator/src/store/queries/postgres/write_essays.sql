-- Writes essays unless somebody else wrote them since they were loaded: then fewer rows are
-- written than sent.
--
-- $1 essay ids, ascending   $2 batch ids   $3 revisions: the loaded one + 1, or 1   $4 states
--
-- Essays are not locked beforehand: one event may name 10,000, more than the server's table of
-- locks has room for. The ascending order keeps two writers from waiting for each other.
insert into essays (essay_id, batch_id, revision, state)
select essay_id, batch_id, revision, state
from unnest($1::text[], $2::text[], $3::bigint[], $4::jsonb[])
    as changed (essay_id, batch_id, revision, state)
on conflict (essay_id) do update set
    batch_id = excluded.batch_id,
    revision = excluded.revision,
    state    = excluded.state
-- No row has revision 0, so this also refuses to insert an essay that exists by now.
where essays.revision = excluded.revision - 1
