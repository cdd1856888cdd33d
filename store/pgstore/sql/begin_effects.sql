-- Ends the promise that nothing has happened.
-- $1 slot, $2 token
UPDATE "slots" SET deferred_fence = 0
 WHERE slot = $1::bytea AND token = $2::bytea AND state = 1
