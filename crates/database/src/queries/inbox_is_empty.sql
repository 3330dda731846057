-- 1 if no event was ever applied, else 0. Looks at the rows too, because retention may have emptied
-- the inbox.
select case
    when exists (select 1 from inbox) or exists (select 1 from batches) or exists (select 1 from essays) then 0
    else 1
end
