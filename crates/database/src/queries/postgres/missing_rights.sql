-- The rights that the service needs and this user lacks.
--
-- $1 names of the tables
--
-- A table that does not exist is made by a migration. The right to create is needed by each start,
-- also where there is nothing to migrate. `current_schema()` is null without the right to use it.
select privilege || ' on ' || name
from unnest($1::text[]) as name
cross join unnest(array['select', 'insert', 'update', 'delete']) as privilege
where to_regclass(name) is not null and not has_table_privilege(to_regclass(name), privilege)
union all
select 'create in schema ' || coalesce(current_schema(), 'public')
where current_schema() is null or not has_schema_privilege(current_schema(), 'create')
order by 1
