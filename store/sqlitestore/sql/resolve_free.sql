UPDATE {slots} SET state = 0, lapses = 0, lease_until = 0, deferred = 0, expires_at = ?, reason = ?
 WHERE slot = ? AND fence = ? AND state = 1 AND lease_until <= ?
