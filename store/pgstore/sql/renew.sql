-- Renews the leases of those that hold their slot, and returns their tokens. A
-- row that somebody has locked is passed over: see held.sql.
-- $1 slots, $2 tokens, $3 lease; 0 gives the slots up
UPDATE "slots" AS s
   SET lease_until = CASE WHEN $3::bigint > 0
                          THEN (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + $3 ELSE 0 END
 WHERE s.slot IN (
        SELECT h.slot
          FROM unnest($1::bytea[], $2::bytea[]) AS asked (slot, token)
          JOIN "slots" AS h ON h.slot = asked.slot AND h.token = asked.token AND h.state = 1
           FOR NO KEY UPDATE OF h SKIP LOCKED)
RETURNING s.token
