-- Which reservation has promised that it has had no effect yet, and what an
-- operator gave as the reason. Both are constants for the rows that are there, so
-- none is rewritten. The promise names its fence: a program that does not know
-- these columns leaves them as they are, and its reservations inherit nothing.
ALTER TABLE "slots"
    ADD COLUMN deferred_fence bigint NOT NULL DEFAULT 0, -- 0: none
    ADD COLUMN reason         bytea;                     -- null unless resolved with one
