-- The dead letters that a query selects, in the order of their ids, without their bytes.
--
-- ?1 source  ?2 topic  ?3 code  ?4 refused from  ?5 refused until (null: any)  ?6 after this id
-- ?7 limit  ?8 only below this id (null: any)  ?9 a part of the detail
--
-- Reads in the order of the primary key from ?6 on, until it has enough or is at ?8. An index for
-- each filter would cost every refused record, to speed up what an operator does now and then.
select
    id, source, topic, partition, "offset", length(bytes), coalesce(received_at, at), code, detail, at
from dead_letters
where id > ?6
  and id < coalesce(?8, 9223372036854775807)
  and (?1 is null or source = ?1)
  and (?2 is null or topic = ?2)
  and (?3 is null or code = ?3)
  and (?4 is null or at >= ?4)
  and (?5 is null or at < ?5)
  and (?9 is null or instr(detail, ?9) > 0)
order by id
limit ?7
