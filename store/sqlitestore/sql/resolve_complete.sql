-- The token changes: the attempt that lapsed did not make this response.
UPDATE slots SET state = 2, token = ?, status = ?, body_id = ?, expires_at = ?
 WHERE slot = ? AND fence = ? AND state = 1 AND lease_until <= ?
