-- Locks the row to the end of the transaction, if the token holds the slot, and takes
-- its number, by which others can tell that a transaction is at work. Whoever has
-- the number already is one that is not in the way for long. The promise that nothing has
-- happened ends with it: what is committed without the record must not be done again.
-- A rollback restores it. The answer is the transaction's own number.
-- $1 slot, $2 token, $3 number
UPDATE "slots" SET deferred_fence = 0
 WHERE slot = $1::bytea AND token = $2::bytea AND state = 1
RETURNING CASE WHEN pg_try_advisory_xact_lock($3::bigint) IS NOT NULL THEN txid_current() END
