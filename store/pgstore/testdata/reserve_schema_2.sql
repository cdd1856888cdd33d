-- Takes the slot or tells what it holds; one row is the verdict. None says that
-- another statement came between: its row blocked the INSERT and is too new for
-- the SELECT. Nothing is written, and no transaction id taken, when the slot is
-- not to be had.
-- $1 slot, $2 token, $3 fingerprint, $4 lease, $5 retention, $6 margin, $7 take over,
-- $8 scope, $9 key, $10 owner, $11 take over what is blameless, $12 deferred, $13 number
WITH clock AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now
), open AS ( -- the row, if it is to be had now; locked by others, it is not
    SELECT slot FROM "slots"
     WHERE slot = $1::bytea
       AND CASE state
           WHEN 0 THEN true
           WHEN 2 THEN expires_at <= (SELECT now FROM clock)
           ELSE ($7::boolean OR $11::boolean AND deferred_fence = fence AND lapses = 0)
                AND token <> $2::bytea AND fingerprint = $3::bytea
                AND (lease_until = 0 OR lease_until + $6::bigint <= (SELECT now FROM clock))
           END
       FOR NO KEY UPDATE SKIP LOCKED
), taken AS (
    UPDATE "slots" AS s
       SET state = 1, token = $2, fingerprint = $3, owner = $10::bytea,
           fence = greatest(s.fence + 1, now),
           lease_until = now + $4::bigint, created_at = now, expires_at = now + $5::bigint,
           attempts = CASE WHEN s.state <> 1 AND s.expires_at <= now THEN 1 ELSE s.attempts + 1 END,
           lapses = CASE WHEN s.state <> 1 OR s.deferred_fence = s.fence AND s.lapses = 0 THEN 0
                         ELSE s.lapses + 1 END,
           deferred_fence = CASE WHEN $12::boolean THEN greatest(s.fence + 1, now) ELSE 0 END,
           status = NULL, header = NULL, body = NULL, reason = NULL
      FROM open, clock
     WHERE s.slot = open.slot
    RETURNING s.*
), inserted AS (
    INSERT INTO "slots" (slot, scope, key, state, token, fingerprint, owner,
                         fence, lease_until, created_at, expires_at, attempts, lapses, deferred_fence)
    SELECT $1, $8::bytea, $9::bytea, 1, $2, $3, $10, now, now + $4, now, now + $5, 1, 0,
           CASE WHEN $12 THEN now ELSE 0 END
      FROM clock
     WHERE NOT EXISTS (SELECT FROM "slots" WHERE slot = $1)
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
       attempts, lapses, deferred_fence, owner, coalesce(status, 0), reason, header, body,
       -- A reservation that was to be had, and was not: does a transaction hold it?
       CASE WHEN state = 1 AND token <> $2 AND fingerprint = $3 AND ($7 OR $11)
             AND (lease_until = 0 OR lease_until + $6 <= now)
            THEN NOT pg_try_advisory_xact_lock_shared($13::bigint) ELSE false END
  FROM verdict, clock
