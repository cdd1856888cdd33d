-- Takes a slot that has no row, in a transaction that goes on; no row: reserve_in.sql
-- knows why. It costs half of that one, and keys are fresh far more often than not. ON CONFLICT
-- waits for a row that an open transaction inserts or changes: who inserts it has the number,
-- and one that is there is left alone. (OFFSET 0: the clock is asked once.)
-- $1 slot, $2 token, $3 fingerprint, $4 lease, $5 retention, $6 number,
-- $7 scope, $8 key, $9 owner, $10 deferred, $11 route
INSERT INTO "slots" (slot, scope, key, state, token, fingerprint, owner,
                     fence, lease_until, created_at, expires_at, attempts, lapses, deferred_fence, route)
SELECT $1::bytea, $7::bytea, $8::bytea, 1, $2::bytea, $3::bytea, $9::bytea,
       now, now + $4::bigint, now, now + $5::bigint, 1, 0, CASE WHEN $10::boolean THEN now ELSE 0 END,
       $11::bytea
  FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now OFFSET 0) AS clock
 WHERE CASE WHEN EXISTS (SELECT FROM "slots" WHERE slot = $1) THEN false -- and the number is not taken
            ELSE pg_try_advisory_xact_lock($6::bigint) END
    ON CONFLICT (slot) DO NOTHING
RETURNING fence, txid_current()
