-- Leaves a tombstone that keeps the fence.
-- $1 slot, $2 token
UPDATE "slots" SET state = 0, lapses = 0, lease_until = 0
 WHERE slot = $1::bytea AND token = $2::bytea AND state = 1
