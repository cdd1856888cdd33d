-- Takes a slot that find.sql showed to be free, expired or lapsed. Fence, state
-- and lease say that the row is still the one that was looked at. The answer
-- carries the fence.
UPDATE {table}
   SET fingerprint = ?, token = ?, attempts = ?, lapses = ?, owner = ?,
       created_at = {now}, expires_at = {now} + ?, status = NULL, header = NULL, body = NULL,
       fence = LAST_INSERT_ID(GREATEST(fence + 1, {now})), lease_until = {now} + ?, state = 1
 WHERE slot = ? AND fence = ? AND state = ? AND lease_until = ?
