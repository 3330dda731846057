-- Whether no event is remembered: 1, else 0.
select case when exists (select 1 from inbox) then 0 else 1 end
