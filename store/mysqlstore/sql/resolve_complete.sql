-- The token changes: the attempt that lapsed did not make this response.
UPDATE {table} SET token = ?, status = ?, header = ?, body = ?, reason = ?, expires_at = {now} + ?, state = 2
 WHERE slot = ? AND fence = ? AND state = 1 AND (lease_until = 0 OR lease_until <= {now} - ?)
