UPDATE {table} SET lapses = 0, reason = ?, expires_at = {now} + ?, lease_until = 0, state = 0
 WHERE slot = ? AND fence = ? AND state = 1 AND (lease_until = 0 OR lease_until <= {now} - ?)
