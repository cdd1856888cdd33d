-- Deletes free and completed records that are over, from a time of expiry on,
-- and tells the largest time of expiry that it met. Reservations are passed over,
-- whatever their age.
-- $1 from, $2 limit
WITH over AS (
    SELECT slot FROM "slots"
     WHERE expires_at >= $1::bigint
       AND expires_at <= (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
       AND state <> 1
     ORDER BY expires_at LIMIT $2::integer
       FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM "slots" AS s USING over WHERE s.slot = over.slot RETURNING s.expires_at
)
SELECT count(*), coalesce(max(expires_at), 0) FROM gone
