-- The response of a listed record, if the slot still holds that one.
-- $1 slot, $2 fence
SELECT header, body FROM "slots" WHERE slot = $1::bytea AND fence = $2::bigint AND state = 2
