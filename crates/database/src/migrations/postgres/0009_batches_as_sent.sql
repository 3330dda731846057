-- Documents of batches are kept as they are sent, those of essays uncompressed.
--
-- Why:   `jsonb` is turned into text for each read, and what PostgreSQL compresses it also unpacks for
--        each read. A list reads some hundred documents at once.
-- Step:  expand. A running version that writes `jsonb` is understood, and reads the text as before.
-- Locks: batches while the table is rewritten, some seconds for 100,000; essays for a moment.
-- Undo:  alter table batches alter column state type jsonb using state::text::jsonb.

-- Rows longer than 2 KB are compressed or cut up. Now twice that: two rows still fit into a page. The
-- ids of essays, which are written once, are the first to be stored elsewhere.
alter table batches
    alter column state type json using state::text::json,
    alter column state set storage main,
    alter column essay_ids set storage external,
    set (toast_tuple_target = 4080);

-- Rows that there are change when they are next written.
alter table essays
    alter column state set storage main,
    set (toast_tuple_target = 4080);
