-- Writes essays, except those that a concurrent writer wrote since they were loaded: fewer rows are
-- then written than sent.
--
-- ?1 essays, a JSON array of {id, batch_id, revision: the loaded one + 1, or 1; state}
insert into essays (essay_id, batch_id, revision, state)
select value ->> 'id', value ->> 'batch_id', value ->> 'revision', value -> 'state'
from json_each(?1)
-- Without a `where`, SQLite would read the `on` of `on conflict` as that of a join.
where true
on conflict (essay_id) do update set
    batch_id = excluded.batch_id,
    revision = excluded.revision,
    state    = excluded.state
-- No row has revision 0, so this also refuses to insert an essay that a concurrent writer inserted.
where essays.revision = excluded.revision - 1
