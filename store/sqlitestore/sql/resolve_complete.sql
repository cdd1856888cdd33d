-- The token changes: the attempt that lapsed did not make this response.
UPDATE {slots} SET state = 2, token = ?, status = ?, body_id = ?, deferred = 0, expires_at = ?, reason = ?
 WHERE slot = ? AND fence = ? AND state = 1 AND lease_until <= ?
