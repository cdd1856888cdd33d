-- Completes the slot and tells its state, if the token holds it or completed it.
-- 1 says that another statement came between. The expiry moves only when the
-- lease had ended: a column of an index that keeps its value costs no index entry.
-- $1 slot, $2 token, $3 status, $4 header, $5 body, $6 retention
WITH clock AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now
), done AS (
    UPDATE "slots"
       SET state = 2, status = $3::integer, header = $4::bytea, body = $5::bytea,
           expires_at = CASE WHEN lease_until > now THEN expires_at
                             ELSE greatest(expires_at, now + $6::bigint) END
      FROM clock
     WHERE slot = $1::bytea AND token = $2::bytea AND state = 1
    RETURNING 2::smallint
)
SELECT coalesce((SELECT * FROM done), (SELECT state FROM "slots" WHERE slot = $1 AND token = $2), 0::smallint)
