-- Applies an operator's answer. The token changes: the attempt that lapsed did
-- not make this response. Tells whether it was applied, and, if not, whether the slot
-- is reserved under the fence and whether its lease and margin are over: then another
-- statement came between.
-- $1 slot, $2 fence, $3 margin, $4 keep, $5 token, $6 status, $7 header, $8 body, $9 retention,
-- $10 reason
WITH clock AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now
), done AS (
    UPDATE "slots"
       SET state = CASE WHEN $4::boolean THEN 2 ELSE 0 END, token = $5::bytea,
           lapses = CASE WHEN $4 THEN lapses ELSE 0 END, lease_until = 0,
           status = $6::integer, header = $7::bytea, body = $8::bytea,
           expires_at = now + $9::bigint, reason = $10::bytea
      FROM clock
     WHERE slot = $1::bytea AND fence = $2::bigint AND state = 1
       AND (lease_until = 0 OR lease_until + $3::bigint <= now)
    RETURNING true
)
SELECT EXISTS (SELECT FROM done), s.slot IS NOT NULL,
       coalesce(s.lease_until = 0 OR s.lease_until + $3 <= now, false)
  FROM clock LEFT JOIN "slots" AS s ON s.slot = $1 AND s.fence = $2 AND s.state = 1
