-- Locks the row to the end of the transaction, if the token holds the slot.
-- $1 slot, $2 token
SELECT true FROM "slots"
 WHERE slot = $1::bytea AND token = $2::bytea AND state = 1
   FOR NO KEY UPDATE
