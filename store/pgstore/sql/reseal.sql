-- Replaces the response that this token has completed the slot with, by the same one
-- in another form.
-- $1 slot, $2 token, $3 header, $4 body
UPDATE "slots" SET header = $3::bytea, body = $4::bytea
 WHERE slot = $1::bytea AND token = $2::bytea AND state = 2
