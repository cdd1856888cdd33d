-- Takes the slot in a transaction that goes on, or tells what it holds; one row is
-- the verdict. None, and one that was to be had, say that another statement came
-- between. Whoever could get the slot must get its number first, an advisory lock that the
-- transaction keeps: a row that nobody sees yet would make others wait. Who does
-- not get it is shown a reservation by nobody: another transaction is at work.
-- Nothing that is lapsed is taken over. The last column is the transaction's own
-- number, when it has one: whoever has taken the slot has.
--
-- It is right at every isolation level, although the snapshot may be older than the
-- lock: what was committed in between makes the INSERT write nothing, or the
-- row's lock fail, at the higher levels with a serialization failure.
-- $1 slot, $2 token, $3 fingerprint, $4 lease, $5 retention, $6 number,
-- $7 scope, $8 key, $9 owner, $10 deferred, $11 route
WITH clock AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now
), held AS MATERIALIZED ( -- not to be had: whoever asks for it needs no number
    SELECT FROM "slots", clock
     WHERE slot = $1::bytea AND (state = 1 OR state = 2 AND expires_at > now)
), turn AS MATERIALIZED (
    SELECT CASE WHEN EXISTS (SELECT FROM held) THEN true
                ELSE pg_try_advisory_xact_lock($6::bigint) END AS mine
), open AS (
    SELECT slot FROM "slots"
     WHERE slot = $1 AND (SELECT mine FROM turn)
       AND (state = 0 OR state = 2 AND expires_at <= (SELECT now FROM clock))
       FOR NO KEY UPDATE SKIP LOCKED
), taken AS (
    UPDATE "slots" AS s
       SET state = 1, token = $2::bytea, fingerprint = $3::bytea, owner = $9::bytea,
           fence = greatest(s.fence + 1, now),
           lease_until = now + $4::bigint, created_at = now, expires_at = now + $5::bigint,
           attempts = CASE WHEN s.expires_at <= now THEN 1 ELSE s.attempts + 1 END, lapses = 0,
           deferred_fence = CASE WHEN $10::boolean THEN greatest(s.fence + 1, now) ELSE 0 END,
           status = NULL, header = NULL, body = NULL, reason = NULL,
           route = $11::bytea
      FROM open, clock
     WHERE s.slot = open.slot
    RETURNING s.*
), inserted AS (
    INSERT INTO "slots" (slot, scope, key, state, token, fingerprint, owner,
                         fence, lease_until, created_at, expires_at, attempts, lapses, deferred_fence, route)
    SELECT $1, $7::bytea, $8::bytea, 1, $2, $3, $9, now, now + $4, now, now + $5, 1, 0,
           CASE WHEN $10 THEN now ELSE 0 END, $11
      FROM clock, turn
     WHERE mine AND NOT EXISTS (SELECT FROM "slots" WHERE slot = $1)
        ON CONFLICT (slot) DO NOTHING
    RETURNING *
), verdict AS (
    SELECT * FROM taken
    UNION ALL
    SELECT * FROM inserted
    UNION ALL
    SELECT * FROM "slots" WHERE slot = $1 AND NOT EXISTS (SELECT FROM taken)
)
SELECT now, state, token, fingerprint, fence, lease_until, created_at, expires_at,
       attempts, lapses, deferred_fence, owner, coalesce(status, 0), reason, route, header, body,
       coalesce(txid_current_if_assigned(), 0)
  FROM verdict, clock, turn WHERE mine
UNION ALL
SELECT now, 1::smallint, decode(repeat('00', 16), 'hex'), $3, 0, now + $4, now, now + $5,
       0, 0, 0, ''::bytea, 0, NULL, ''::bytea, NULL, NULL, 0
  FROM clock, turn WHERE NOT mine
