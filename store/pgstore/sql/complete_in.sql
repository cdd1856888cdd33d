-- Completes the slot in a transaction that goes on, if the token holds it. No row:
-- it does not, not even as the one that has completed it. See complete.sql. The answer
-- is the transaction's number.
-- $1 slot, $2 token, $3 status, $4 header, $5 body, $6 retention
WITH clock AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now
)
UPDATE "slots"
   SET state = 2, status = $3::integer, header = $4::bytea, body = $5::bytea,
       expires_at = CASE WHEN lease_until > now THEN expires_at
                         ELSE greatest(expires_at, now + $6::bigint) END
  FROM clock
 WHERE slot = $1::bytea AND token = $2::bytea AND state = 1
RETURNING txid_current()
