-- Dead letters in the order of their age, each with its place in it.
--
-- Why:   letters of an outage share one time. With the id, the chunks in which the old ones are removed
--        have a key that always advances; without it, each chunk sorts all of them again.
-- Step:  expand. The new index serves a running version as the old one of the same name did.
-- Locks: writes to dead_letters wait while the index is made of the letters that there are.
-- Undo:  make the index of `at` alone again.

drop index dead_letters_by_age;

create index dead_letters_by_age on dead_letters (at, id);
