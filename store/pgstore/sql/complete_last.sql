-- complete_in.sql for a COMMIT that is sent along: it must fail, by a division by zero,
-- if the token does not hold the slot, or the transaction is not the one in which the
-- slot was taken. The server then passes the COMMIT over.
-- $1 slot, $2 token, $3 status, $4 header, $5 body, $6 retention, $7 transaction, or 0
WITH clock AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now
), done AS (
    UPDATE "slots"
       SET state = 2, status = $3::integer, header = $4::bytea, body = $5::bytea,
           expires_at = CASE WHEN lease_until > now THEN expires_at
                             ELSE greatest(expires_at, now + $6::bigint) END
      FROM clock
     WHERE slot = $1::bytea AND token = $2::bytea AND state = 1
    RETURNING txid_current() AS id
)
SELECT 1 / count(*) FROM done WHERE $7::bigint IN (0, id)
