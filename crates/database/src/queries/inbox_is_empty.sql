-- Whether no event was ever applied: 1, else 0. An inbox that retention has emptied is not enough.
select case
    when exists (select 1 from inbox) or exists (select 1 from batches) or exists (select 1 from essays) then 0
    else 1
end
