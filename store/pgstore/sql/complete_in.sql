-- Completes the slot in a transaction that goes on, if the token holds it, and the
-- transaction is the one in which it was taken. No row: it does not, not even as the one
-- that has completed it; or the transaction is another one, or none, and nothing is touched.
-- See complete.sql. The answer is the transaction's number.
-- $1 slot, $2 token, $3 status, $4 header, $5 body, $6 retention, $7 transaction, or 0: any
UPDATE "slots"
   SET state = 2, status = $3::integer, header = $4::bytea, body = $5::bytea,
       expires_at = CASE WHEN lease_until > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint THEN expires_at
                         ELSE greatest(expires_at, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + $6::bigint) END
 WHERE slot = $1::bytea AND token = $2::bytea AND state = 1
   AND ($7::bigint = 0 OR txid_current_if_assigned() = $7)
RETURNING txid_current()
