-- Completes while the lease runs: expires_at stays, and with it its index.
UPDATE {slots} SET state = 2, status = ?, body_id = ?, deferred = 0
 WHERE slot = ? AND token = ? AND state = 1 AND lease_until > ?
