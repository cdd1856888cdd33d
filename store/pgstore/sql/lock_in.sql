-- lock.sql for a transaction that nobody watches. The promise that nothing has happened ends
-- with it: what somebody commits without the record must not be done again. A rollback
-- restores it.
-- $1 slot, $2 token, $3 number
UPDATE "slots" SET deferred_fence = 0
 WHERE slot = $1::bytea AND token = $2::bytea AND state = 1
RETURNING CASE WHEN pg_try_advisory_xact_lock($3::bigint) IS NOT NULL THEN txid_current() END
