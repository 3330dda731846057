-- Records that a dead letter was refused again. Everything else stays.
--
-- $1 id  $2 code  $3 detail  $4 time
update dead_letters set code = $2, detail = $3, at = $4 where id = $1
